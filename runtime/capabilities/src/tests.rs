//! What is true of all capabilities together.

use crate::{Egress, EventSettings, KeyValueSettings, Ports, SqlSettings, all};
use station_engine::{Capability, Ctx};
use station_kernel::{Clock, Logs};
use std::sync::Arc;
use wasmtime::component::Linker;

/// A clock that stands.
pub(crate) struct Noon;

impl Clock for Noon {
    fn now_ms(&self) -> u64 {
        12
    }
}

fn capabilities() -> Vec<Arc<dyn Capability>> {
    all(Ports {
        keyvalue: KeyValueSettings::default(),
        sql: SqlSettings::default(),
        events: EventSettings::default(),
        egress: Egress::default(),
        logs: Arc::<Logs>::default(),
        clock: Arc::new(Noon),
    })
}

fn offered() -> Vec<String> {
    capabilities().iter().flat_map(|c| c.offers()).map(|offer| offer.name.to_string()).collect()
}

#[test]
fn everything_links_into_one_linker() {
    let mut linker = Linker::<Ctx>::new(&wasmtime::Engine::default());
    for capability in capabilities() {
        capability.link(&mut linker).unwrap();
    }
}

#[test]
fn every_offered_name_is_a_name_and_stands_once() {
    let mut names = offered();
    assert_eq!(names.len(), 27 + 2 + 4 + 6 + 2 + 3 + 1 + 2 + 2);
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 49);
}

#[test]
fn only_durable_data_needs_a_grant() {
    let offers: Vec<_> = capabilities().iter().flat_map(|c| c.offers()).collect();
    let guarded = offers.iter().filter(|offer| !offer.harmless).map(|offer| offer.name.to_string());
    let durable =
        ["wasi:keyvalue/", "station:events/", "station:sql/database@", "spin:sqlite/sqlite@", "fermyon:spin/sqlite"];
    assert!(guarded.clone().all(|name| durable.iter().any(|start| name.starts_with(start))));
    assert_eq!(guarded.count(), 6 + 1 + 3 + 1);
}

/// A habit of a function that is spelled wrong would be nobody's.
#[test]
fn every_function_with_a_habit_is_in_the_wit_folder() {
    let wit = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let folders =
        ["station-sql", "station-events", "deps/spin-sqlite", "deps/fermyon-spin", "deps/keyvalue-draft2", "deps/http"];
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(wit.join(folder)).unwrap());
    let text: String = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    let offers: Vec<_> = capabilities().iter().flat_map(|c| c.offers()).collect();
    let habits: Vec<_> = offers.iter().flat_map(|offer| offer.habits).collect();
    assert!(habits.len() > 10);
    for (name, _) in habits {
        let (resource, function) = match name.strip_prefix("[method]").and_then(|name| name.split_once('.')) {
            Some((resource, function)) => (format!("resource {resource} {{"), function),
            None => (String::new(), *name),
        };
        let inside = text.split_once(&resource).unwrap_or_else(|| panic!("{name}")).1;
        assert!(inside.contains(&format!("{function}: func(")), "{name}");
    }
}

/// The interfaces that a component of any tool chain imports, by the names they have in wasmtime's own WIT.
#[test]
fn every_interface_of_the_wit_folder_is_offered() {
    let deps = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/deps");
    for package in ["cli", "clocks", "filesystem", "http", "io", "random", "sockets"] {
        let text = std::fs::read_to_string(deps.join(package).join(format!("{package}.wit"))).unwrap();
        assert!(text.contains(&format!("package wasi:{package}@{};", crate::host::WASI)), "{package}");
        for line in text.lines().filter(|line| line.starts_with("interface ")) {
            let name = line.trim_start_matches("interface ").trim_end_matches(" {");
            let served_or_off = ["run", "incoming-handler", "timezone"];
            let full = format!("wasi:{package}/{name}@{}", crate::host::WASI);
            assert_eq!(offered().contains(&full), !served_or_off.contains(&name), "{full}");
        }
    }
}
