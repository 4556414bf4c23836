//! `wasi:keyvalue@0.2.0-draft`, as wasmCloud's components import it: cursors are numbers, increments unsigned.

use super::shelf::{Answer, Bucket, Problem, READ_FUEL};
use crate::host::Host;
use wasmtime::component::Resource;

wasmtime::component::bindgen!({
    path: "../../wit/deps/keyvalue-draft",
    world: "imports",
    imports: { default: trappable },
    with: { "wasi:keyvalue/store.bucket": crate::keyvalue::shelf::Bucket },
});

use wasi::keyvalue::store::{self, Error, KeyResponse};
use wasi::keyvalue::{atomics, batch};

type Reply<T> = wasmtime::Result<Result<T, Error>>;

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Denied => Self::AccessDenied,
            Problem::Other(why) => Self::Other(why),
        }
    }
}

fn reply<T>(answer: Answer<T>) -> Reply<T> {
    Ok(answer.map_err(Error::from))
}

impl store::Host for Host<'_> {
    fn open(&mut self, identifier: String) -> Reply<Resource<Bucket>> {
        match self.open_bucket(identifier)? {
            Ok(bucket) => Ok(Ok(self.0.table.push(bucket)?)),
            Err(problem) => reply(Err(problem)),
        }
    }
}

impl store::HostBucket for Host<'_> {
    fn get(&mut self, bucket: Resource<Bucket>, key: String) -> Reply<Option<Vec<u8>>> {
        reply(self.read_key(&bucket, &key)?)
    }

    fn set(&mut self, bucket: Resource<Bucket>, key: String, value: Vec<u8>) -> Reply<()> {
        reply(self.write_keys(&bucket, vec![(key, Some(value))])?)
    }

    fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Reply<()> {
        reply(self.write_keys(&bucket, vec![(key, None)])?)
    }

    fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> Reply<bool> {
        reply(self.read_key(&bucket, &key)?.map(|value| value.is_some()))
    }

    fn list_keys(&mut self, bucket: Resource<Bucket>, cursor: Option<u64>) -> Reply<KeyResponse> {
        self.0.charge(READ_FUEL);
        let (mut open, cursor) = (self.0.table.get(&bucket)?.clone(), cursor.unwrap_or(0));
        // A cursor that this handle has not given out is reached by walking there.
        let walks = if open.page.as_ref().is_some_and(|(at, _)| *at == cursor) { 0 } else { cursor };
        let page = self.look(|shelf| shelf.page(&mut open, cursor))?;
        self.0.table.get_mut(&bucket)?.page = open.page;
        self.0.charge(walks.saturating_mul(200));
        reply(page.map(|(keys, cursor)| KeyResponse { keys: self.charged(keys), cursor }))
    }

    fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.0.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for Host<'_> {
    fn increment(&mut self, bucket: Resource<Bucket>, key: String, delta: u64) -> Reply<u64> {
        let sum = self.add_to_key(&bucket, &key, i128::from(delta), (0, i128::from(u64::MAX)))?;
        reply(sum.and_then(|sum| u64::try_from(sum).map_err(|_| Problem::Other("the sum is too big".to_owned()))))
    }
}

impl batch::Host for Host<'_> {
    fn get_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Reply<Vec<Option<(String, Vec<u8>)>>> {
        let found = self.read_keys(&bucket, keys)?;
        let pairs = |(key, value): (String, Option<Vec<u8>>)| value.map(|value| (key, value));
        reply(found.map(|found| found.into_iter().map(pairs).collect()))
    }

    fn set_many(&mut self, bucket: Resource<Bucket>, pairs: Vec<(String, Vec<u8>)>) -> Reply<()> {
        let writes = pairs.into_iter().map(|(key, value)| (key, Some(value))).collect();
        reply(self.write_keys(&bucket, writes)?)
    }

    fn delete_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Reply<()> {
        reply(self.write_keys(&bucket, keys.into_iter().map(|key| (key, None)).collect())?)
    }
}
