//! `modules:` of `station.yaml`: what the operator decides about each module.

use super::{
    mistakes::Mistakes,
    options::{LimitsOptions, path, within},
    tree::{Found, Node, Section, scalar},
};
use crate::units::{self, Count, Millis};
use station_host::{EngineSettings, ModuleSpec, Route};
use station_model::{Grant, Instances, InterfaceName, Mode, ModuleName};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    str::FromStr,
};

/// One module as written.
pub(crate) struct ModuleOptions {
    name: Found<String>,
    source: Option<Found<PathBuf>>,
    grants: Vec<Found<Grant>>,
    grant_all: Option<Found<bool>>,
    links: Vec<(Found<String>, Found<ModuleName>)>,
    limits: LimitsOptions,
    instances: InstancesOptions,
    routes: Vec<Found<Route>>,
    config: BTreeMap<String, String>,
}

/// `instances:` of a module.
#[derive(Debug)]
struct InstancesOptions {
    mode: Option<Found<Mode>>,
    calls: Option<Found<Count>>,
    idle: Option<Found<Millis>>,
}

impl ModuleOptions {
    /// Reads the module `name` and closes its section.
    pub(crate) fn read(name: Found<String>, node: Node, found: &mut Mistakes) -> Self {
        let mut section = Section::new(Some(node), &name.key, found);
        let options = Self {
            source: section.scalar("source", path, found),
            grants: section.list("grants", parsed, found),
            grant_all: section.scalar("grant-all", boolean, found),
            links: links(&mut section, found),
            limits: LimitsOptions::read(section.section("limits", found), found),
            instances: InstancesOptions::read(section.section("instances", found), found),
            routes: routes(&mut section, found),
            config: config(&mut section, found),
            name,
        };
        section.close(found);
        options
    }

    /// Checks everything before answering. Paths are beside the file, in `base`.
    pub(crate) fn validate(self, base: &Path, engine: &EngineSettings, found: &mut Mistakes) -> Option<ModuleSpec> {
        let source = self.source.map(|source| existing(source, base, found));
        let links = self
            .links
            .into_iter()
            .filter_map(|(interface, module)| Some((parsed_or_noted(&interface, found)?, module.value)));
        let links: Vec<(InterfaceName, ModuleName)> = links.collect();
        let limits = self.limits.validate(engine, found);
        let instances = self.instances.validate(found);
        Some(ModuleSpec {
            name: parsed_or_noted(&self.name, found)?,
            source,
            grants: self.grants.into_iter().map(|grant| grant.value).collect(),
            grant_all: self.grant_all.is_some_and(|all| all.value),
            links,
            limits,
            instances,
            routes: self.routes.into_iter().map(|route| route.value).collect(),
            config: self.config,
        })
    }
}

impl InstancesOptions {
    fn read(mut section: Section, found: &mut Mistakes) -> Self {
        let options = Self {
            mode: section.scalar("mode", mode, found),
            calls: section.scalar("calls-max", units::count, found),
            idle: section.scalar("idle-max", units::millis, found),
        };
        section.close(found);
        options
    }

    fn validate(self, found: &mut Mistakes) -> Instances {
        let usual = Instances::default();
        Instances {
            mode: self.mode.map_or(usual.mode, |mode| mode.value),
            calls_max: within(self.calls, Count(1), Count(1_000_000_000), found).map_or(usual.calls_max, |v| v.0),
            idle_ms_max: within(self.idle, Millis(1), Millis(86_400_000), found).map_or(usual.idle_ms_max, |v| v.0),
        }
    }
}

fn links(section: &mut Section, found: &mut Mistakes) -> Vec<(Found<String>, Found<ModuleName>)> {
    let entries = section.entries("links", found).into_iter();
    let link = |(interface, node): (Found<String>, Node)| {
        let module = scalar(node, interface.key.clone(), &parsed, found)?;
        Some((interface, module))
    };
    entries.filter_map(link).collect()
}

fn config(section: &mut Section, found: &mut Mistakes) -> BTreeMap<String, String> {
    let entries = section.entries("config", found).into_iter();
    let value = |(key, node): (Found<String>, Node)| {
        let value = scalar(node, key.key, &|text: &str| Ok(text.to_owned()), found)?;
        Some((key.value, value.value))
    };
    entries.filter_map(value).collect()
}

fn routes(section: &mut Section, found: &mut Mistakes) -> Vec<Found<Route>> {
    let sections = section.sections("routes", found).into_iter();
    let route = |(place, mut section): (_, Section)| {
        let before = found.count();
        let host = section.scalar("host", host, found);
        let path = section.scalar("path", prefix, found);
        let key = section.path().to_owned();
        section.close(found);
        if host.is_none() && path.is_none() {
            if found.count() == before {
                found.add(Some(place), key, "needs a `host`, a `path`, or both");
            }
            return None;
        }
        let value = Route { host: host.map(|v| v.value), path: path.map(|v| v.value) };
        Some(Found { value, place, key })
    };
    sections.filter_map(route).collect()
}

/// The path beside the configuration file; a mistake when there is no such file.
fn existing(source: Found<PathBuf>, base: &Path, found: &mut Mistakes) -> PathBuf {
    let path = base.join(&source.value);
    if !path.is_file() {
        source.wrong(found, format!("there is no file {}; build the module first", path.display()));
    }
    path
}

fn parsed<T: FromStr<Err = station_model::Invalid>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|invalid: station_model::Invalid| invalid.why)
}

fn parsed_or_noted<T: FromStr<Err = station_model::Invalid>>(text: &Found<String>, found: &mut Mistakes) -> Option<T> {
    text.value.parse().map_err(|invalid: station_model::Invalid| text.wrong(found, invalid.to_string())).ok()
}

/// Reads a yes or no.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("write `true` or `false`".to_owned()),
    }
}

fn mode(text: &str) -> Result<Mode, String> {
    match text {
        "fresh" => Ok(Mode::Fresh),
        "reused" => Ok(Mode::Reused),
        _ => Err("write `fresh` or `reused`".to_owned()),
    }
}

fn host(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'-';
    match !text.is_empty() && text.len() <= 253 && text.bytes().all(plain) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("write a host name such as `cases.example.com`, without scheme and port".to_owned()),
    }
}

fn prefix(text: &str) -> Result<String, String> {
    match text.starts_with('/') && !text.contains(['?', '#', ' ']) {
        true => Ok(text.to_owned()),
        false => Err("write a path that begins with `/`".to_owned()),
    }
}
