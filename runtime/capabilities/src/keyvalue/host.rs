//! What both drafts do in the same words: charge, find the bucket, ask the shelf.

use super::options::Settings;
use super::shelf::{
    self, Answer, Bucket, Fault, Pairs, Problem, READ_FUEL, Shelf, Shelved, WRITE_FUEL, Writes, check_key,
};
use crate::host::Host;
use station_kernel::work::SqlError;
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
        Ok(Bucket::new(name))
    }

    /// Reads from the module's data, in the call's unit of work.
    pub(super) fn look<T>(&mut self, work: impl FnOnce(&mut Shelf<'_>) -> Shelved<T>) -> Result<Answer<T>> {
        let quota_bytes = self.0.state::<Settings>()?.quota_bytes;
        let done = self.0.read(|unit, module| apart(work(&mut Shelf { unit, module, quota_bytes })))?;
        Ok(self.told(done))
    }

    /// Changes the module's data, in the call's unit of work and with the write lock. `rows` tells from the
    /// answer how many keys were written, for the report of the call.
    pub(super) fn change<T>(
        &mut self,
        bucket: &str,
        rows: impl FnOnce(&T) -> usize,
        work: impl FnOnce(&mut Shelf<'_>) -> Shelved<T>,
    ) -> Result<Answer<T>> {
        let quota_bytes = self.0.state::<Settings>()?.quota_bytes;
        let done = self.0.write(|unit, module| apart(work(&mut Shelf { unit, module, quota_bytes })))?;
        if let Ok(Ok(answer)) = &done {
            self.0.note_write(&format!("kv/{bucket}"), rows(answer) as u64);
        }
        Ok(self.told(done))
    }

    fn told<T>(&self, done: std::result::Result<Answer<T>, SqlError>) -> Answer<T> {
        done.unwrap_or_else(|error| Err(shelf::told(self.0.module(), error)))
    }

    pub(super) fn name_of(&self, bucket: &Resource<Bucket>) -> Result<String> {
        Ok(self.0.table.get(bucket)?.name.clone())
    }

    pub(super) fn read_key(&mut self, bucket: &Resource<Bucket>, key: &str) -> Result<Answer<Option<Vec<u8>>>> {
        let bucket = self.name_of(bucket)?;
        self.read_value(&bucket, key)
    }

    pub(super) fn read_value(&mut self, bucket: &str, key: &str) -> Result<Answer<Option<Vec<u8>>>> {
        self.0.charge(READ_FUEL);
        let value = self.look(|shelf| shelf.get(bucket, key))?;
        if let Ok(Some(value)) = &value {
            self.0.charge(value.len() as u64);
        }
        Ok(value)
    }

    pub(super) fn read_keys(&mut self, bucket: &Resource<Bucket>, keys: Vec<String>) -> Result<Answer<Pairs>> {
        self.0.charge(READ_FUEL.saturating_mul(keys.len() as u64 + 1));
        let bucket = self.name_of(bucket)?;
        let found = self.look(|shelf| shelf.get_many(&bucket, keys))?;
        let values = found.iter().flatten().filter_map(|(_, value)| value.as_ref());
        let bytes: usize = values.map(Vec::len).sum();
        self.0.charge(bytes as u64);
        Ok(found)
    }

    pub(super) fn write_keys(&mut self, bucket: &Resource<Bucket>, writes: Pairs) -> Result<Answer<()>> {
        let bytes: usize = writes.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum();
        self.0.charge(WRITE_FUEL + READ_FUEL.saturating_mul(writes.len() as u64) + bytes as u64);
        let bucket = self.name_of(bucket)?;
        match Writes::check(writes) {
            Ok(writes) => self.change(&bucket, |()| writes.len(), |shelf| shelf.set(&bucket, &writes)),
            Err(problem) => Ok(Err(problem)),
        }
    }

    pub(super) fn add_to_key(
        &mut self,
        bucket: &Resource<Bucket>,
        key: &str,
        delta: i128,
        range: (i128, i128),
    ) -> Result<Answer<i128>> {
        self.0.charge(READ_FUEL + WRITE_FUEL);
        let bucket = self.name_of(bucket)?;
        match check_key(key) {
            Ok(()) => self.change(&bucket, |_| 1, |shelf| shelf.increment(&bucket, key, delta, range)),
            Err(problem) => Ok(Err(problem)),
        }
    }

    /// The same keys, with their bytes charged.
    pub(super) fn charged(&mut self, keys: Vec<String>) -> Vec<String> {
        let bytes: usize = keys.iter().map(String::len).sum();
        self.0.charge(bytes as u64);
        keys
    }
}

/// What is the database's error goes to the engine, which knows whether the call may go on.
fn apart<T>(done: Shelved<T>) -> std::result::Result<Answer<T>, SqlError> {
    match done {
        Ok(value) => Ok(Ok(value)),
        Err(Fault::Guest(problem)) => Ok(Err(problem)),
        Err(Fault::Database(error)) => Err(error),
    }
}
