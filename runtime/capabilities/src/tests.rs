//! What is true of all capabilities together.

use crate::{Egress, KeyValueSettings, Ports, all};
use station_engine::{Capability, Ctx};
use station_kernel::{Clock, KeyValue, Logs, StorageError};
use station_model::ModuleName;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use wasmtime::component::Linker;

/// A clock that stands.
pub(crate) struct Noon;

impl Clock for Noon {
    fn now_ms(&self) -> u64 {
        12
    }
}

/// Key-value data in memory. `broken` makes everything fail.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) data: Mutex<BTreeMap<(String, String, String), Vec<u8>>>,
    pub(crate) broken: bool,
}

impl Memory {
    fn check(&self) -> Result<(), StorageError> {
        let source = || "the disk /secret is gone".into();
        if self.broken { Err(StorageError { doing: "reading".to_owned(), source: source() }) } else { Ok(()) }
    }
}

fn at(module: &ModuleName, bucket: &str, key: &str) -> (String, String, String) {
    (module.to_string(), bucket.to_owned(), key.to_owned())
}

impl KeyValue for Memory {
    fn get(&self, module: &ModuleName, bucket: &str, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.check()?;
        Ok(self.data.lock().unwrap().get(&at(module, bucket, key)).cloned())
    }

    fn set(&self, module: &ModuleName, bucket: &str, writes: &[(String, Option<Vec<u8>>)]) -> Result<(), StorageError> {
        self.check()?;
        let mut data = self.data.lock().unwrap();
        for (key, value) in writes {
            match value {
                Some(value) => drop(data.insert(at(module, bucket, key), value.clone())),
                None => drop(data.remove(&at(module, bucket, key))),
            }
        }
        Ok(())
    }

    fn swap(
        &self,
        module: &ModuleName,
        bucket: &str,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
    ) -> Result<bool, StorageError> {
        let same = self.get(module, bucket, key)?.as_deref() == expected;
        if same {
            self.set(module, bucket, &[(key.to_owned(), Some(value.to_vec()))])?;
        }
        Ok(same)
    }

    fn keys(
        &self,
        module: &ModuleName,
        bucket: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<String>, StorageError> {
        self.check()?;
        let data = self.data.lock().unwrap();
        let own = data.keys().filter(|(m, b, _)| *m == module.to_string() && b == bucket).map(|(_, _, key)| key);
        let newer = own.filter(|key| after.is_none_or(|after| key.as_str() > after));
        Ok(newer.take(limit as usize).cloned().collect())
    }

    fn used(&self, module: &ModuleName) -> Result<u64, StorageError> {
        self.check()?;
        let data = self.data.lock().unwrap();
        let own = data.iter().filter(|((m, _, _), _)| *m == module.to_string());
        Ok(own.map(|((_, _, key), value)| (key.len() + value.len()) as u64).sum())
    }
}

fn capabilities() -> Vec<Arc<dyn Capability>> {
    all(Ports {
        keyvalue: Arc::new(Memory::default()),
        keyvalue_settings: KeyValueSettings::default(),
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
    assert_eq!(names.len(), 27 + 2 + 4 + 6 + 2 + 2);
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 43);
}

#[test]
fn only_durable_data_needs_a_grant() {
    let offers: Vec<_> = capabilities().iter().flat_map(|c| c.offers()).collect();
    let guarded = offers.iter().filter(|offer| !offer.harmless).map(|offer| offer.name.to_string());
    assert!(guarded.clone().all(|name| name.starts_with("wasi:keyvalue/")));
    assert_eq!(guarded.count(), 6);
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
