//! A module's key-value data, with limits: what both drafts of the interface do.
//!
//! A [`Shelf`] stands for one host call: it works in the unit of work of the call tree, so whatever is written commits
//! or vanishes with everything else that the tree does. What reads before it writes (an increment, a swap) runs while
//! the unit has the write lock, so that nobody can come in between and nothing need be tried again.

use station_kernel::work::{SqlError, Unit};
use station_model::ModuleName;
use std::hash::{BuildHasher, RandomState};

const KEY_BYTES_MAX: usize = 1_024;
const VALUE_BYTES_MAX: usize = 4 << 20;
const BUCKET_BYTES_MAX: usize = 128;
/// Keys of one batch.
const BATCH_MAX: usize = 1_000;
/// Bytes that one batch may read; the host holds them all before the guest gets them.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// Keys of one page.
pub(super) const PAGE: u32 = 1_000;

/// Fuel of a read: some microseconds in the database.
pub(super) const READ_FUEL: u64 = 5_000;
/// Fuel of a write. The disk takes longer than this, but not the processor.
pub(super) const WRITE_FUEL: u64 = 50_000;

/// Why something could not be done, as the guest sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    Denied,
    Other(String),
}

/// What stops the work on a shelf: a guest's mistake, or the database, which may end the call.
#[derive(Debug)]
pub(super) enum Fault {
    Guest(Problem),
    Database(SqlError),
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self::Guest(problem)
    }
}

impl From<SqlError> for Fault {
    fn from(error: SqlError) -> Self {
        Self::Database(error)
    }
}

pub(super) type Answer<T> = Result<T, Problem>;
pub(super) type Shelved<T> = Result<T, Fault>;
/// Keys, each with its value if it has one.
pub(super) type Pairs = Vec<(String, Option<Vec<u8>>)>;

/// The data of one module, in the unit of work of the call that runs.
pub(super) struct Shelf<'u> {
    pub(super) unit: &'u mut dyn Unit,
    pub(super) module: &'u ModuleName,
    pub(super) quota_bytes: u64,
}

/// An open bucket. `page` remembers where the last page of keys ended, for cursors that are numbers.
#[derive(Debug, Clone, Default)]
#[expect(unreachable_pub, reason = "the generated code exports it again")]
pub struct Bucket {
    pub(super) name: String,
    pub(super) page: Option<(u64, String)>,
}

impl Bucket {
    pub(super) fn new(name: String) -> Answer<Self> {
        if name.len() > BUCKET_BYTES_MAX {
            return Err(Problem::Other(format!("a bucket's name has at most {BUCKET_BYTES_MAX} bytes")));
        }
        Ok(Self { name, page: None })
    }
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
    /// Begins with the value that the key has now.
    pub(super) fn new(bucket: String, key: String, value: Option<&[u8]>) -> Self {
        let mut cas = Self { bucket, key, hasher: RandomState::new(), seen: 0 };
        cas.see(value);
        cas
    }

    /// Lets this be the value that the swap will be compared with.
    pub(super) fn see(&mut self, value: Option<&[u8]>) {
        self.seen = self.hasher.hash_one(value);
    }

    fn saw(&self, value: Option<&[u8]>) -> bool {
        self.seen == self.hasher.hash_one(value)
    }
}

/// Writes whose sizes are in their bounds. Checked before anybody queues for the write lock.
pub(super) struct Writes(Pairs);

impl Writes {
    pub(super) fn check(pairs: Pairs) -> Answer<Self> {
        check_batch(pairs.len())?;
        for (key, value) in &pairs {
            check_key(key)?;
            check_value(value.as_ref().map_or(0, Vec::len))?;
        }
        Ok(Self(pairs))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Shelf<'_> {
    pub(super) fn get(&mut self, bucket: &str, key: &str) -> Shelved<Option<Vec<u8>>> {
        check_key(key)?;
        Ok(self.unit.get(self.module, bucket, key)?)
    }

    pub(super) fn set(&mut self, bucket: &str, writes: &Writes) -> Shelved<()> {
        Ok(self.unit.set(self.module, bucket, &writes.0, self.quota_bytes)?)
    }

    pub(super) fn get_many(&mut self, bucket: &str, keys: Vec<String>) -> Shelved<Pairs> {
        check_batch(keys.len())?;
        let mut bytes = 0;
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            let value = self.get(bucket, &key)?;
            bytes += value.as_ref().map_or(0, Vec::len);
            if bytes > BATCH_BYTES_MAX {
                let why = format!("a batch may read {BATCH_BYTES_MAX} bytes; ask for fewer keys");
                return Err(Problem::Other(why).into());
            }
            found.push((key, value));
        }
        Ok(found)
    }

    /// A page of keys after `after`, and the last of them when there may be more.
    pub(super) fn keys(&mut self, bucket: &str, after: Option<&str>) -> Shelved<(Vec<String>, Option<String>)> {
        let keys = self.unit.keys(self.module, bucket, after, PAGE)?;
        let full = keys.len() as u64 == u64::from(PAGE);
        let last = keys.last().filter(|_| full).cloned();
        Ok((keys, last))
    }

    /// The page that begins after `cursor` keys, for the draft whose cursors are numbers.
    pub(super) fn page(&mut self, bucket: &mut Bucket, cursor: u64) -> Shelved<(Vec<String>, Option<u64>)> {
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
    fn skip(&mut self, bucket: &str, count: u64) -> Shelved<Option<String>> {
        let mut after: Option<String> = None;
        let mut left = count;
        while left > 0 {
            let limit = u32::try_from(left).unwrap_or(PAGE).min(PAGE);
            let keys = self.unit.keys(self.module, bucket, after.as_deref(), limit)?;
            if (keys.len() as u64) < u64::from(limit) {
                return Ok(None);
            }
            left -= u64::from(limit);
            after = keys.into_iter().next_back();
        }
        Ok(after)
    }

    /// Adds to the decimal number under a key and returns the sum. Text, so that other tools read it as well. Wants
    /// the write lock.
    pub(super) fn increment(&mut self, bucket: &str, key: &str, delta: i128, range: (i128, i128)) -> Shelved<i128> {
        let old = self.get(bucket, key)?;
        let sum = number(old.as_deref())?.checked_add(delta).filter(|sum| (range.0..=range.1).contains(sum));
        let sum = sum.ok_or_else(|| Problem::Other("the sum is too big for the number's type".to_owned()))?;
        self.set(bucket, &Writes(vec![(key.to_owned(), Some(sum.to_string().into_bytes()))]))?;
        Ok(sum)
    }

    /// Writes if the key has still the value that `cas` saw; otherwise answers what begins anew from the present
    /// one. Wants the write lock.
    pub(super) fn swap(&mut self, cas: &Cas, writes: &Writes) -> Shelved<Option<Cas>> {
        let now = self.get(&cas.bucket, &cas.key)?;
        if !cas.saw(now.as_deref()) {
            return Ok(Some(Cas::new(cas.bucket.clone(), cas.key.clone(), now.as_deref())));
        }
        self.set(&cas.bucket, writes)?;
        Ok(None)
    }
}

/// What the guest learns of an error of the database. Why the storage failed is for the operator.
pub(super) fn told(module: &ModuleName, error: SqlError) -> Problem {
    match error {
        SqlError::Denied(_) => Problem::Denied,
        SqlError::Limit { max, .. } => Problem::Other(format!("the module may keep {max} bytes, and has no room left")),
        SqlError::Busy => Problem::Other("the storage is busy; try again".to_owned()),
        error => {
            let cause = std::error::Error::source(&error);
            tracing::error!(%module, %error, cause, "key-value storage failed");
            Problem::Other("the storage failed".to_owned())
        }
    }
}

pub(super) fn check_key(key: &str) -> Answer<()> {
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
