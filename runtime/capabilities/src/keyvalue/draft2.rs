//! `wasi:keyvalue@0.2.0-draft2`, as Spin's components import it: cursors are text, increments signed, and there is
//! a compare-and-swap.

use super::shelf::{Answer, Bucket, Cas, Problem, READ_FUEL, WRITE_FUEL, Writes};
use crate::host::Host;
use wasmtime::component::Resource;

wasmtime::component::bindgen!({
    path: "../../wit/deps/keyvalue-draft2",
    world: "imports",
    imports: { default: trappable },
    with: {
        "wasi:keyvalue/store.bucket": crate::keyvalue::shelf::Bucket,
        "wasi:keyvalue/atomics.cas": crate::keyvalue::shelf::Cas,
    },
});

use wasi::keyvalue::atomics::{self, CasError};
use wasi::keyvalue::batch;
use wasi::keyvalue::store::{self, Error, KeyResponse};

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

    fn list_keys(&mut self, bucket: Resource<Bucket>, cursor: Option<String>) -> Reply<KeyResponse> {
        self.0.charge(READ_FUEL);
        let bucket = self.name_of(&bucket)?;
        let page = self.look(|shelf| shelf.keys(&bucket, cursor.as_deref()))?;
        reply(page.map(|(keys, cursor)| KeyResponse { keys: self.charged(keys), cursor }))
    }

    fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.0.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for Host<'_> {
    fn increment(&mut self, bucket: Resource<Bucket>, key: String, delta: i64) -> Reply<i64> {
        let range = (i128::from(i64::MIN), i128::from(i64::MAX));
        let sum = self.add_to_key(&bucket, &key, i128::from(delta), range)?;
        reply(sum.and_then(|sum| i64::try_from(sum).map_err(|_| Problem::Other("the sum is too big".to_owned()))))
    }

    fn swap(&mut self, cas: Resource<Cas>, value: Vec<u8>) -> wasmtime::Result<Result<(), CasError>> {
        self.0.charge(READ_FUEL + WRITE_FUEL + value.len() as u64);
        let cas = self.0.table.delete(cas)?;
        let swapped = match Writes::check(vec![(cas.key.clone(), Some(value))]) {
            Ok(writes) => {
                let rows = |fresh: &Option<Cas>| usize::from(fresh.is_none());
                self.change(&cas.bucket, rows, |shelf| shelf.swap(&cas, &writes))?
            }
            Err(problem) => Err(problem),
        };
        match swapped {
            Ok(None) => Ok(Ok(())),
            Ok(Some(fresh)) => Ok(Err(CasError::CasFailed(self.0.table.push(fresh)?))),
            Err(problem) => Ok(Err(CasError::StoreError(problem.into()))),
        }
    }
}

impl atomics::HostCas for Host<'_> {
    fn new(&mut self, bucket: Resource<Bucket>, key: String) -> Reply<Resource<Cas>> {
        let bucket = self.name_of(&bucket)?;
        match self.read_value(&bucket, &key)? {
            Ok(value) => Ok(Ok(self.0.table.push(Cas::new(bucket, key, value.as_deref()))?)),
            Err(problem) => reply(Err(problem)),
        }
    }

    fn current(&mut self, cas: Resource<Cas>) -> Reply<Option<Vec<u8>>> {
        let known = self.0.table.get(&cas)?;
        let (bucket, key) = (known.bucket.clone(), known.key.clone());
        let value = self.read_value(&bucket, &key)?;
        if let Ok(value) = &value {
            self.0.table.get_mut(&cas)?.see(value.as_deref());
        }
        reply(value)
    }

    fn drop(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
        self.0.table.delete(cas)?;
        Ok(())
    }
}

impl batch::Host for Host<'_> {
    fn get_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Reply<Vec<(String, Option<Vec<u8>>)>> {
        reply(self.read_keys(&bucket, keys)?)
    }

    fn set_many(&mut self, bucket: Resource<Bucket>, pairs: Vec<(String, Vec<u8>)>) -> Reply<()> {
        let writes = pairs.into_iter().map(|(key, value)| (key, Some(value))).collect();
        reply(self.write_keys(&bucket, writes)?)
    }

    fn delete_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Reply<()> {
        reply(self.write_keys(&bucket, keys.into_iter().map(|key| (key, None)).collect())?)
    }
}
