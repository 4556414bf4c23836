//! What both drafts do in the same words: charge, find the bucket, ask the shelf.

use super::shelf::{Answer, Bucket, Pairs, Problem, READ_FUEL, Shelf, WRITE_FUEL};
use crate::host::Host;
use wasmtime::Result;
use wasmtime::component::Resource;

/// Fuel of opening a bucket, which is only a name.
const OPEN_FUEL: u64 = 300;

impl Host<'_> {
    /// Opens a bucket. Every other function needs one, so this is where authority is looked at.
    pub(super) fn open_bucket(&mut self, name: String) -> Result<Answer<Bucket>> {
        self.0.charge(OPEN_FUEL);
        if self.0.call_id().is_none() {
            return Ok(Err(Problem::Denied));
        }
        Ok(Shelf::open(name))
    }

    pub(super) fn read_key(&mut self, bucket: &Resource<Bucket>, key: &str) -> Result<Answer<Option<Vec<u8>>>> {
        self.0.charge(READ_FUEL);
        let (shelf, table) = self.0.parts::<Shelf>()?;
        let value = shelf.get(&table.get(bucket)?.name, key);
        self.charge_value(&value);
        Ok(value)
    }

    pub(super) fn read_keys(&mut self, bucket: &Resource<Bucket>, keys: Vec<String>) -> Result<Answer<Pairs>> {
        self.0.charge(READ_FUEL.saturating_mul(keys.len() as u64 + 1));
        let (shelf, table) = self.0.parts::<Shelf>()?;
        let found = shelf.get_many(&table.get(bucket)?.name, keys);
        let values = found.iter().flatten().filter_map(|(_, value)| value.as_ref());
        let bytes: usize = values.map(Vec::len).sum();
        self.0.charge(bytes as u64);
        Ok(found)
    }

    pub(super) fn write_keys(&mut self, bucket: &Resource<Bucket>, writes: Pairs) -> Result<Answer<()>> {
        let bytes: usize = writes.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum();
        self.0.charge(WRITE_FUEL + READ_FUEL.saturating_mul(writes.len() as u64) + bytes as u64);
        let (shelf, table) = self.0.parts::<Shelf>()?;
        Ok(shelf.set(&table.get(bucket)?.name, writes))
    }

    pub(super) fn charge_value(&mut self, value: &Answer<Option<Vec<u8>>>) {
        if let Ok(Some(value)) = value {
            self.0.charge(value.len() as u64);
        }
    }

    /// The same keys, with their bytes charged.
    pub(super) fn charged(&mut self, keys: Vec<String>) -> Vec<String> {
        let bytes: usize = keys.iter().map(String::len).sum();
        self.0.charge(bytes as u64);
        keys
    }
}
