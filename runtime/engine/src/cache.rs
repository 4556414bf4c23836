//! Compiled code on disk, trusted only after it was authenticated.
//!
//! Loading machine code is running it, and wasmtime says so: `deserialize` is unsafe. An entry is a MAC and the
//! code; the MAC covers the code, the component's digest, what the code must agree with, and our version, under a
//! key that lies in the station's data folder and not in the cache. An entry is copied into [sealed](crate::sealed) memory,
//! checked there, and loaded from there, so that nobody can change it in between. Whatever does not check is
//! deleted and compiled again from the component, which is the source of truth.
//!
//! The MAC is BLAKE3 with a key: a module's code has megabytes, and BLAKE3 works on many blocks of it at once.
//!
//! Beside the code lies what its component turned out to be, under a MAC of its own, so that the same bytes are
//! neither checked nor compiled again when somebody uploads them again.
//!
//! The cache can be deleted at any time. Where no folder can be written there is no cache, and every start
//! compiles.

use crate::sealed::Sealed;
use blake3::{Hash, Hasher};
use station_kernel::Prepared;
use station_model::Digest;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const MAC_BYTES: usize = blake3::OUT_LEN;
/// The ending of the file that says what a component is.
const PREPARED: &str = "world";
const KEY_BYTES: usize = blake3::KEY_LEN;
/// Larger than any code that the compile child hands over.
const CODE_BYTES_MAX: u64 = 1 << 30;

/// The folder of compiled code and the key to it.
pub(crate) struct Cache {
    folder: Option<PathBuf>,
    key: [u8; KEY_BYTES],
    compatibility: u64,
}

/// What was found under a digest.
#[derive(Debug)]
pub(crate) enum Found {
    /// Code that was written by this station for this component and engine.
    Code(Sealed),
    /// Nothing.
    Nothing,
    /// Something else, which was deleted.
    Rejected,
}

impl Cache {
    /// Opens the cache in `folder`, with the key in `key_file`, which is made when it is not there.
    ///
    /// # Errors
    /// When the key can be neither read nor made.
    pub(crate) fn open(folder: Option<&Path>, key_file: &Path, compatibility: u64) -> std::io::Result<Self> {
        let key = read_or_make_key(key_file)?;
        let name: String = begin(&key, [b"folder"]).finalize().to_hex().chars().take(16).collect();
        // One folder per key, so that stations that share a cache do not reject each other's entries.
        let folder = folder.map(|folder| folder.join(name)).filter(|folder| writable(folder));
        if folder.is_none() {
            tracing::warn!("no folder for compiled code can be written; every start will compile");
        }
        Ok(Self { folder, key, compatibility })
    }

    /// What a component turned out to be when it was compiled.
    pub(crate) fn prepared(&self, digest: &Digest) -> Option<Prepared> {
        let path = self.path(digest)?.with_extension(PREPARED);
        let bytes = std::fs::read(&path).ok()?;
        let told = bytes
            .split_at_checked(MAC_BYTES)
            .filter(|(mac, told)| Hash::from_slice(mac).is_ok_and(|mac| mac == self.mac_of_prepared(digest, told)));
        let prepared = told.and_then(|(_, told)| serde_json::from_slice(told).ok());
        if prepared.is_none() {
            tracing::warn!(%digest, "what was known of a component was damaged or not written here; it is checked again");
            let _written_over_anyway = std::fs::remove_file(&path);
        }
        let (world, metadata) = prepared?;
        Some(Prepared { world, metadata })
    }

    /// The code of a component.
    pub(crate) fn get(&self, digest: &Digest) -> Found {
        let Some(path) = self.path(digest) else { return Found::Nothing };
        let Ok(file) = File::open(&path) else { return Found::Nothing };
        match self.checked(digest, file) {
            Ok(Some(code)) => return Found::Code(code),
            Ok(None) => {}
            // Not the entry's fault.
            Err(error) => {
                tracing::warn!(%digest, %error, "compiled code could not be read; it is compiled again");
                return Found::Nothing;
            }
        }
        tracing::warn!(%digest, "a cache entry was damaged or not made here; it is compiled again");
        let _compiled_over_it_anyway = std::fs::remove_file(&path);
        Found::Rejected
    }

    /// The code in an entry, if it is for this component and was made here.
    fn checked(&self, digest: &Digest, mut entry: File) -> std::io::Result<Option<Sealed>> {
        let mut mac = [0; MAC_BYTES];
        if entry.metadata()?.len() < MAC_BYTES as u64 {
            return Ok(None);
        }
        entry.read_exact(&mut mac)?;
        let code = Sealed::copy(entry, CODE_BYTES_MAX)?;
        let mut hasher = self.begin_code(digest, code.bytes);
        code.show(|piece| {
            hasher.update(piece);
        })?;
        // Compared in constant time.
        Ok((hasher.finalize() == Hash::from_bytes(mac)).then_some(code))
    }

    /// Keeps the code of a component and what it is. A cache that cannot be written is only slower.
    pub(crate) fn put(&self, digest: &Digest, prepared: &Prepared, code: &[u8]) {
        let Some(path) = self.path(digest) else { return };
        // The code first, so that what is known has code.
        let kept =
            write(&path, self.begin_code(digest, code.len() as u64).update(code).finalize(), code).and_then(|()| {
                let told = serde_json::to_vec(&(&prepared.world, &prepared.metadata))?;
                write(&path.with_extension(PREPARED), self.mac_of_prepared(digest, &told), &told)
            });
        if let Err(error) = kept {
            tracing::warn!(%digest, %error, "could not keep compiled code; the next start compiles again");
        }
    }

    /// Forgets the code of a component.
    pub(crate) fn remove(&self, digest: &Digest) {
        if let Some(path) = self.path(digest) {
            let _was_never_there = std::fs::remove_file(path.with_extension(PREPARED));
            let _was_never_there = std::fs::remove_file(path);
        }
    }

    fn path(&self, digest: &Digest) -> Option<PathBuf> {
        let name = format!("{}-{:016x}", digest.hex(), self.compatibility);
        self.folder.as_ref().map(|folder| folder.join(name))
    }

    /// The beginning of the MAC of so many bytes of code; the code comes after it.
    fn begin_code(&self, digest: &Digest, bytes: u64) -> Hasher {
        let mut hasher = self.begin(digest, b"code");
        hasher.update(&bytes.to_le_bytes());
        hasher
    }

    fn mac_of_prepared(&self, digest: &Digest, told: &[u8]) -> Hash {
        self.begin(digest, b"prepared").update(told).finalize()
    }

    /// What every MAC of a component begins with.
    fn begin(&self, digest: &Digest, what: &[u8]) -> Hasher {
        let version = env!("CARGO_PKG_VERSION").as_bytes();
        begin(&self.key, [what, digest.as_bytes().as_slice(), &self.compatibility.to_le_bytes(), version])
    }
}

fn write(path: &Path, mac: Hash, content: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_added_extension(format!("{}.tmp", std::process::id()));
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(mac.as_bytes())?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}

/// The MAC of `parts` so far, each with its length before it, so that no two lists of parts are alike.
fn begin<const N: usize>(key: &[u8; KEY_BYTES], parts: [&[u8]; N]) -> Hasher {
    let mut hasher = Hasher::new_keyed(key);
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    hasher
}

fn read_or_make_key(path: &Path) -> std::io::Result<[u8; KEY_BYTES]> {
    match std::fs::read(path).ok().and_then(|bytes| bytes.try_into().ok()) {
        Some(key) => Ok(key),
        // A key of the wrong length is replaced as well: at worst everything is compiled once more.
        None => make_key(path),
    }
}

fn make_key(path: &Path) -> std::io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(std::io::Error::other)?;
    let _old = std::fs::remove_file(path);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&key)?;
    file.sync_all()?;
    Ok(key)
}

fn writable(folder: &Path) -> bool {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).is_ok()
        && !std::fs::metadata(folder).is_ok_and(|found| found.permissions().readonly())
}

#[cfg(test)]
mod tests {
    use super::*;
    use station_kernel::state::Metadata;
    use station_model::World;

    fn cache(folder: &Path) -> Cache {
        Cache::open(Some(&folder.join("cache")), &folder.join("key"), 7).unwrap()
    }

    fn code(cache: &Cache, digest: &Digest) -> Vec<u8> {
        let Found::Code(code) = cache.get(digest) else { panic!("there is no code") };
        std::fs::read(code.path()).unwrap()
    }

    fn prepared() -> Prepared {
        let metadata = Metadata { name: Some("name".into()), ..Metadata::default() };
        Prepared { world: World::default(), metadata }
    }

    #[test]
    fn code_comes_back_as_it_went_in_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let digest = Digest::of(b"wasm");
        cache(folder.path()).put(&digest, &prepared(), b"code");
        assert_eq!(code(&cache(folder.path()), &digest), b"code");
        assert_eq!(cache(folder.path()).prepared(&digest), Some(prepared()));
        cache(folder.path()).remove(&digest);
        assert!(matches!(cache(folder.path()).get(&digest), Found::Nothing));
        assert_eq!(cache(folder.path()).prepared(&digest), None);
    }

    #[test]
    fn a_change_of_any_byte_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, digest) = (cache(folder.path()), Digest::of(b"wasm"));
        cache.put(&digest, &prepared(), b"code");
        let path = cache.path(&digest).unwrap();
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, bad).unwrap();
            assert!(matches!(cache.get(&digest), Found::Rejected), "byte {at}");
            assert!(!path.exists());
        }
        for len in 0..good.len() {
            std::fs::write(&path, &good[..len]).unwrap();
            assert!(matches!(cache.get(&digest), Found::Rejected), "first {len} bytes");
        }
    }

    #[test]
    fn what_a_component_is_counts_only_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, digest) = (cache(folder.path()), Digest::of(b"wasm"));
        cache.put(&digest, &prepared(), b"code");
        let path = cache.path(&digest).unwrap().with_extension(PREPARED);
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, bad).unwrap();
            assert_eq!(cache.prepared(&digest), None, "byte {at}");
            assert!(!path.exists());
        }
        let other = Digest::of(b"other");
        std::fs::write(cache.path(&other).unwrap().with_extension(PREPARED), &good).unwrap();
        assert_eq!(cache.prepared(&other), None, "of another component");
        // Code that says what a component is, in its place.
        let told = good.get(MAC_BYTES..).unwrap();
        cache.put(&digest, &prepared(), told);
        std::fs::copy(cache.path(&digest).unwrap(), &path).unwrap();
        assert_eq!(cache.prepared(&digest), None);
        assert_eq!(code(&cache, &digest), told, "the code is as good as before");
    }

    #[test]
    fn an_entry_is_good_for_its_own_component_engine_and_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, digest) = (cache(folder.path()), Digest::of(b"wasm"));
        cache.put(&digest, &prepared(), b"code");
        let other = Digest::of(b"other");
        std::fs::copy(cache.path(&digest).unwrap(), cache.path(&other).unwrap()).unwrap();
        assert!(matches!(cache.get(&other), Found::Rejected));
        let upgraded = Cache::open(Some(&folder.path().join("cache")), &folder.path().join("key"), 8).unwrap();
        assert!(matches!(upgraded.get(&digest), Found::Nothing));
        let stranger = Cache::open(Some(&folder.path().join("cache")), &folder.path().join("key2"), 7).unwrap();
        assert!(matches!(stranger.get(&digest), Found::Nothing));
    }

    #[test]
    fn the_key_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let _cache = cache(folder.path());
        let mode = std::fs::metadata(folder.path().join("key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
