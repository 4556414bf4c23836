//! A module's key-value data, with limits: what both drafts of the interface do.
//!
//! Each function says what it costs in fuel beside its answer: the caller charges it whether it succeeded or not.

use super::options::Settings;
use station_kernel::{KeyValue, StorageError};
use station_model::ModuleName;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

const KEY_BYTES_MAX: usize = 1_024;
const VALUE_BYTES_MAX: usize = 4 << 20;
const BUCKET_BYTES_MAX: usize = 128;
/// Keys of one batch.
const BATCH_MAX: usize = 1_000;
/// Bytes that one batch may read; the host holds them all before the guest gets them.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// Keys of one page.
pub(super) const PAGE: u32 = 1_000;
/// How often an increment is tried again because somebody else was quicker.
const TRIES_MAX: u32 = 32;

/// Fuel of a read: some microseconds in the database.
pub(super) const READ_FUEL: u64 = 5_000;
/// Fuel of a durable write. The disk takes longer than this, but not the processor.
pub(super) const WRITE_FUEL: u64 = 50_000;

/// Why something could not be done, as the guest sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    Denied,
    Other(String),
}

pub(super) type Answer<T> = Result<T, Problem>;
/// Keys, each with its value if it has one.
pub(super) type Pairs = Vec<(String, Option<Vec<u8>>)>;

/// The data of one module.
#[derive(Clone)]
pub(super) struct Shelf {
    port: Arc<dyn KeyValue>,
    settings: Settings,
    module: ModuleName,
}

/// An open bucket. `page` remembers where the last page of keys ended, for cursors that are numbers.
#[derive(Debug, Clone, Default)]
#[expect(unreachable_pub, reason = "the generated code exports it again")]
pub struct Bucket {
    pub(super) name: String,
    pub(super) page: Option<(u64, String)>,
}

/// A compare-and-swap in preparation. It keeps a hash of the value, not the value: a guest may hold a thousand.
#[expect(unreachable_pub, reason = "the generated code exports it again")]
pub struct Cas {
    pub(super) bucket: String,
    pub(super) key: String,
    hasher: RandomState,
    seen: u64,
}

impl Cas {
    fn of(&self, value: Option<&Vec<u8>>) -> u64 {
        self.hasher.hash_one(value)
    }
}

impl Shelf {
    pub(super) fn new(port: Arc<dyn KeyValue>, settings: Settings, module: ModuleName) -> Self {
        Self { port, settings, module }
    }

    pub(super) fn open(name: String) -> Answer<Bucket> {
        if name.len() > BUCKET_BYTES_MAX {
            return Err(Problem::Other(format!("a bucket's name has at most {BUCKET_BYTES_MAX} bytes")));
        }
        Ok(Bucket { name, page: None })
    }

    pub(super) fn get(&self, bucket: &str, key: &str) -> Answer<Option<Vec<u8>>> {
        check_key(key)?;
        self.port.get(&self.module, bucket, key).map_err(|e| self.failed(&e))
    }

    pub(super) fn set(&self, bucket: &str, writes: Pairs) -> Answer<()> {
        check_batch(writes.len())?;
        let mut growth = 0;
        for (key, value) in &writes {
            check_key(key)?;
            if let Some(value) = value {
                check_value(value.len())?;
                growth += (key.len() + value.len()) as u64;
            }
        }
        self.check_quota(growth)?;
        self.port.set(&self.module, bucket, &writes).map_err(|e| self.failed(&e))
    }

    pub(super) fn get_many(&self, bucket: &str, keys: Vec<String>) -> Answer<Pairs> {
        check_batch(keys.len())?;
        let mut bytes = 0;
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            let value = self.get(bucket, &key)?;
            bytes += value.as_ref().map_or(0, Vec::len);
            if bytes > BATCH_BYTES_MAX {
                return Err(Problem::Other(format!("a batch may read {BATCH_BYTES_MAX} bytes; ask for fewer keys")));
            }
            found.push((key, value));
        }
        Ok(found)
    }

    /// A page of keys after `after`, and the last of them when there may be more.
    pub(super) fn keys(&self, bucket: &str, after: Option<&str>) -> Answer<(Vec<String>, Option<String>)> {
        let keys = self.port.keys(&self.module, bucket, after, PAGE).map_err(|e| self.failed(&e))?;
        let full = keys.len() as u64 == u64::from(PAGE);
        let last = keys.last().filter(|_| full).cloned();
        Ok((keys, last))
    }

    /// The page that begins after `cursor` keys, for the draft whose cursors are numbers.
    pub(super) fn page(&self, bucket: &mut Bucket, cursor: u64) -> Answer<(Vec<String>, Option<u64>)> {
        let after = match bucket.page.take() {
            _ if cursor == 0 => None,
            Some((at, key)) if at == cursor => Some(key),
            _ => match self.skip(&bucket.name, cursor)? {
                Some(key) => Some(key),
                None => return Ok((Vec::new(), None)),
            },
        };
        let (keys, last) = self.keys(&bucket.name, after.as_deref())?;
        let next = cursor.saturating_add(keys.len() as u64);
        bucket.page = last.map(|key| (next, key));
        Ok((keys, bucket.page.as_ref().map(|_| next)))
    }

    /// The key at position `count`, walking from the first; none when there are fewer.
    fn skip(&self, bucket: &str, count: u64) -> Answer<Option<String>> {
        let mut after: Option<String> = None;
        let mut left = count;
        while left > 0 {
            let limit = u32::try_from(left).unwrap_or(PAGE).min(PAGE);
            let keys = self.port.keys(&self.module, bucket, after.as_deref(), limit).map_err(|e| self.failed(&e))?;
            if (keys.len() as u64) < u64::from(limit) {
                return Ok(None);
            }
            left -= u64::from(limit);
            after = keys.into_iter().next_back();
        }
        Ok(after)
    }

    /// Adds to the decimal number under a key and returns the sum. Text, so that other tools read it as well.
    pub(super) fn increment(&self, bucket: &str, key: &str, delta: i128, range: (i128, i128)) -> Answer<i128> {
        for _ in 0..TRIES_MAX {
            let old = self.get(bucket, key)?;
            let number = number(old.as_deref())?.checked_add(delta).filter(|sum| (range.0..=range.1).contains(sum));
            let sum = number.ok_or_else(|| Problem::Other("the sum is too big for the number's type".to_owned()))?;
            if self.swap_value(bucket, key, old.as_deref(), sum.to_string().as_bytes())? {
                return Ok(sum);
            }
        }
        Err(Problem::Other("too many others change this number; try again".to_owned()))
    }

    /// Begins a compare-and-swap, from the value that the key has now.
    pub(super) fn cas(&self, bucket: &str, key: String) -> Answer<Cas> {
        let value = self.get(bucket, &key)?;
        let mut cas = Cas { bucket: bucket.to_owned(), key, hasher: RandomState::new(), seen: 0 };
        cas.seen = cas.of(value.as_ref());
        Ok(cas)
    }

    /// The value that the swap will be compared with: the present one, from now on.
    pub(super) fn current(&self, cas: &mut Cas) -> Answer<Option<Vec<u8>>> {
        let value = self.get(&cas.bucket, &cas.key)?;
        cas.seen = cas.of(value.as_ref());
        Ok(value)
    }

    /// Writes if the key has still the value that `cas` saw; otherwise says so.
    pub(super) fn swap(&self, cas: &Cas, value: &[u8]) -> Answer<bool> {
        let now = self.get(&cas.bucket, &cas.key)?;
        if cas.of(now.as_ref()) != cas.seen {
            return Ok(false);
        }
        self.swap_value(&cas.bucket, &cas.key, now.as_deref(), value)
    }

    fn swap_value(&self, bucket: &str, key: &str, expected: Option<&[u8]>, value: &[u8]) -> Answer<bool> {
        check_value(value.len())?;
        self.check_quota((key.len() + value.len()) as u64)?;
        self.port.swap(&self.module, bucket, key, expected, value).map_err(|e| self.failed(&e))
    }

    /// Growth is taken at its worst: a value that replaces another is counted in full.
    fn check_quota(&self, growth: u64) -> Answer<()> {
        if growth == 0 {
            return Ok(());
        }
        let max = self.settings.quota_bytes;
        let used = self.port.used(&self.module).map_err(|e| self.failed(&e))?;
        if used.saturating_add(growth) > max {
            return Err(Problem::Other(format!("the module may keep {max} bytes and has {used}")));
        }
        Ok(())
    }

    /// The guest learns that the storage failed; why is for the operator.
    fn failed(&self, error: &StorageError) -> Problem {
        let cause: &dyn std::error::Error = &*error.source;
        tracing::error!(module = %self.module, error = %error, cause, "key-value storage failed");
        Problem::Other("the storage failed".to_owned())
    }
}

fn check_key(key: &str) -> Answer<()> {
    match key.len() {
        1..=KEY_BYTES_MAX => Ok(()),
        _ => Err(Problem::Other(format!("a key has 1 to {KEY_BYTES_MAX} bytes"))),
    }
}

fn check_value(len: usize) -> Answer<()> {
    if len > VALUE_BYTES_MAX {
        return Err(Problem::Other(format!("a value has at most {VALUE_BYTES_MAX} bytes")));
    }
    Ok(())
}

fn check_batch(len: usize) -> Answer<()> {
    if len > BATCH_MAX {
        return Err(Problem::Other(format!("a batch has at most {BATCH_MAX} keys")));
    }
    Ok(())
}

fn number(value: Option<&[u8]>) -> Answer<i128> {
    let Some(value) = value else { return Ok(0) };
    let text = std::str::from_utf8(value).ok();
    text.and_then(|t| t.parse().ok()).ok_or_else(|| Problem::Other("the value is not a decimal number".to_owned()))
}
