//! `station.yaml`: desired state, read at start.
//!
//! Every key has a default, so an empty file is a station. Keys are kebab-case with human units. Relative paths
//! are beside the file, whatever folder the station is started in. All mistakes are told at once, each with its
//! line, its column and its key; an unknown key is one of them.

mod mistakes;
mod modules;
mod options;
mod show;
mod tree;

pub(crate) use mistakes::{Mistake, Mistakes, Place};
pub(crate) use options::{ADMIN_PORT, DATA, address};
pub(crate) use show::document;

use modules::ModuleOptions;
use options::StationOptions;
use station_host::{ModuleSpec, Settings};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};
use tree::{Node, Section, Value};

/// What the flags of `station serve` say instead of the file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overrides {
    /// The data folder, beside the working folder.
    pub data: Option<PathBuf>,
    /// Where the admin API listens.
    pub admin: Option<SocketAddr>,
    /// Where the gateway listens.
    pub gateway: Option<SocketAddr>,
}

/// A configuration without mistakes.
pub(crate) struct Config {
    /// What to start a station with.
    pub settings: Settings,
    /// Where each key stands, for errors that only show at start.
    pub places: BTreeMap<String, Place>,
}

/// Reads a file.
///
/// # Errors
/// All mistakes; a file that cannot be read is one.
pub(crate) fn load(file: &Path, overrides: Overrides) -> Result<Config, Mistakes> {
    let shown = file.display().to_string();
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            let mut found = Mistakes::new(shown);
            found.add(None, "", unreadable(&error));
            return Err(found);
        }
    };
    let base = file.parent().unwrap_or(Path::new(""));
    parse(&text, &shown, base, overrides)
}

fn unreadable(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}

/// Reads the text of a file that the user calls `shown` and that lies in `base`.
///
/// # Errors
/// All mistakes.
pub(crate) fn parse(text: &str, shown: &str, base: &Path, overrides: Overrides) -> Result<Config, Mistakes> {
    let mut found = Mistakes::new(shown);
    let Some(node) = tree::read(text, &mut found) else { return Err(found) };
    let mut places = BTreeMap::new();
    remember(&node, "", &mut places);
    let settings = settings(node, base, overrides, &mut found);
    match found.is_empty() {
        true => Ok(Config { settings, places }),
        false => Err(found),
    }
}

/// Options in, settings out.
fn settings(node: Node, base: &Path, overrides: Overrides, found: &mut Mistakes) -> Settings {
    let mut root = Section::new(Some(node), "", found);
    let station = StationOptions::read(&mut root, found);
    let modules = root.entries("modules", found);
    let modules: Vec<_> = modules.into_iter().map(|(name, node)| ModuleOptions::read(name, node, found)).collect();
    root.close(found);
    let station = station.validate(found);
    let modules = modules.into_iter().filter_map(|module| module.validate(base, &station.engine, found));
    let modules: Vec<ModuleSpec> = modules.collect();
    Settings {
        name: station.name,
        data: overrides.data.unwrap_or_else(|| base.join(station.data)),
        cache: station.cache.map(|cache| base.join(cache)),
        admin: overrides.admin.unwrap_or(station.admin),
        gateway: overrides.gateway.unwrap_or(station.gateway),
        worker: worker(),
        limits: station.limits,
        engine: station.engine,
        call_threads_max: station.call_threads_max,
        queue_max: station.queue_max,
        write_ms_max: station.write_ms_max,
        sql_bytes_max: station.sql_bytes_max,
        sql_rows_max: station.sql_rows_max,
        checkpoints: station.checkpoints,
        drain_ms_max: station.drain_ms_max,
        upload_bytes_max: station.upload_bytes_max,
        modules,
    }
}

/// The binary that compiles in a child process: this one. The kernel's name for it still works after an upgrade
/// replaced the file, which a path would not.
pub(crate) fn worker() -> PathBuf {
    let own = PathBuf::from("/proc/self/exe");
    match own.exists() {
        true => own,
        false => std::env::current_exe().unwrap_or_else(|_| PathBuf::from("station")),
    }
}

fn remember(node: &Node, path: &str, places: &mut BTreeMap<String, Place>) {
    places.insert(path.to_owned(), node.place);
    if let Value::Map(entries) = &node.value {
        for (key, node) in entries {
            let path = if path.is_empty() { key.name.clone() } else { format!("{path}.{}", key.name) };
            remember(node, &path, places);
        }
    }
}

#[cfg(test)]
mod tests;
