//! What goes into a backup comes out of it, and nothing that is not whole does.

use super::*;
use crate::{
    Storage,
    tests::{entry, key, name, opened, set_key, write_keys},
};
use rusqlite::Connection;
use station_kernel::{Change, Registry as _, Revision, state::Metadata};
use station_model::{Code, Digest, World};
use std::{
    fs,
    io::{Read as _, Write as _},
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};
use tempfile::{TempDir, tempdir};

/// A storage with a module `a`, its component and a key.
fn filled() -> (TempDir, Storage) {
    let (folder, storage) = opened();
    add(&storage, "a", b"component");
    set_key(&storage, "a", "", "k", b"v");
    (folder, storage)
}

fn add(storage: &Storage, module: &str, bytes: &[u8]) {
    let (uploaded, digest) = (storage.upload_path(), Digest::of(bytes));
    fs::write(&uploaded, bytes).unwrap();
    storage.keep_artifact(&digest, &uploaded).unwrap();
    let world = World { imports: vec![], exports: vec![] };
    let size = bytes.len() as u64;
    let revision = Revision { digest, size, uploaded_ms: 1, world, metadata: Metadata::default() };
    let changes = [Change::AddModule(name(module)), Change::AddRevision(name(module), revision)];
    storage.commit(&changes, &entry(1)).unwrap();
}

fn written(mut backup: Backup, path: &Path) -> Contents {
    let mut bytes = Vec::new();
    backup.archive.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, backup.bytes);
    let mut target = Target::create(path, true).unwrap();
    target.append(&bytes).unwrap();
    target.finish().unwrap()
}

fn backed_up(storage: &Storage, folder: &Path) -> PathBuf {
    let path = folder.join("backup.tar");
    written(storage.backup(7).unwrap(), &path);
    path
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_restored_folder_has_everything() {
    let ((folder, storage), aside) = (filled(), tempdir().unwrap());
    let path = backed_up(&storage, aside.path());
    assert_eq!(names(&folder.path().join("uploads")), [""; 0], "what was needed for it is gone");
    let again = aside.path().join("again");
    let contents = restore(&path, &again).unwrap();
    assert_eq!((contents.made_ms, contents.artifacts.len()), (7, 1));
    assert_eq!(names(&again), ["artifacts", "lock", "station.db"]);
    let restored = Storage::open(&again).unwrap();
    assert_eq!(restored.load().unwrap(), storage.load().unwrap());
    assert_eq!(key(&restored, "a", "", "k"), Some(b"v".to_vec()));
    assert_eq!(fs::read(restored.artifact(&Digest::of(b"component"))).unwrap(), b"component");
    assert_eq!(names(aside.path()), ["again", "backup.tar"]);
}

#[test]
fn a_stopped_station_has_the_same_backup_with_its_wal() {
    let ((folder, storage), aside) = (filled(), tempdir().unwrap());
    let refused = of_folder(folder.path(), 7).unwrap_err();
    assert_eq!(refused.failure().code, Code::AdminConflict, "{refused}");
    let copy = aside.path().join("copy");
    // As after a kill: with a WAL that nobody has brought back.
    fs::create_dir_all(copy.join("artifacts")).unwrap();
    for file in ["station.db", "station.db-wal"] {
        fs::copy(folder.path().join(file), copy.join(file)).unwrap();
    }
    let component = storage.artifact(&Digest::of(b"component"));
    fs::copy(&component, copy.join("artifacts").join(component.file_name().unwrap())).unwrap();
    let path = aside.path().join("backup.tar");
    written(of_folder(&copy, 7).unwrap(), &path);
    let again = aside.path().join("again");
    restore(&path, &again).unwrap();
    assert_eq!(Storage::open(&again).unwrap().load().unwrap(), storage.load().unwrap());
    let missing = of_folder(&aside.path().join("nothing"), 7).unwrap_err();
    assert_eq!(missing.failure().code, Code::AdminNotFound);
    assert!(!aside.path().join("nothing").exists());
}

#[test]
fn a_backup_under_load_is_one_moment() {
    let ((_folder, storage), aside, done) = (filled(), tempdir().unwrap(), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0_u64.. {
                let value = Some([number.to_le_bytes().to_vec(), vec![7; 20_000]].concat());
                let both = [("x".to_owned(), value.clone()), ("y".to_owned(), value)];
                write_keys(&storage, "a", "", &both).unwrap();
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let mut last = 0;
        for round in 0..5 {
            let path = backed_up(&storage, aside.path());
            let again = aside.path().join(format!("again-{round}"));
            restore(&path, &again).unwrap();
            let restored = Storage::open(&again).unwrap();
            let value = |name| key(&restored, "a", "", name);
            assert_eq!(value("x"), value("y"));
            let number = value("x").map_or(0, |value| u64::from_le_bytes(value[..8].try_into().unwrap()));
            assert!(number >= last, "{number} after {last}");
            last = number;
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_damaged_backup_restores_nothing() {
    let ((_folder, storage), aside) = (filled(), tempdir().unwrap());
    let path = backed_up(&storage, aside.path());
    let whole = fs::read(&path).unwrap();
    let again = aside.path().join("again");
    let refused = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).unwrap();
        let error = restore(&path, &again).expect_err(what);
        assert!(!again.exists(), "{what}");
        error
    };
    for end in (0..whole.len() - 1_024).step_by(3_001) {
        refused(&whole[..end], &format!("cut at {end}"));
    }
    let at = |text: &[u8]| whole.windows(text.len()).rposition(|window| window == text).unwrap();
    for at in [at(b"component"), at(b"SQLite format 3") + 40, at(b"\"format\": 1") + 10, at(b"\"made_ms\"")] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        refused(&bytes, &format!("byte {at}"));
    }
    let twice = [&whole[..whole.len() - 1_024], &whole[..]].concat();
    assert!(refused(&twice, "more behind it").to_string().contains("behind its last part"));
    assert_eq!(refused(b"no archive at all", "no archive").failure().code, Code::AdminBadRequest);
}

/// An archive with these parts, whose manifest announces a database of `size`.
fn forged(path: &Path, manifest: &[u8], parts: &[(&str, &[u8], tar::EntryType)]) {
    let mut archive = tar::Builder::new(fs::File::create(path).unwrap());
    let mut append = |name: &str, bytes: &[u8], kind| {
        let mut head = tar::Header::new_gnu();
        head.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        head.set_size(bytes.len() as u64);
        head.set_entry_type(kind);
        head.set_cksum();
        archive.append(&head, bytes).unwrap();
    };
    append(manifest::NAME, manifest, tar::EntryType::Regular);
    parts.iter().for_each(|(name, bytes, kind)| append(name, bytes, *kind));
    archive.into_inner().unwrap().flush().unwrap();
}

#[test]
fn a_forged_archive_writes_nothing_elsewhere() {
    let aside = tempdir().unwrap();
    let (path, again) = (aside.path().join("forged.tar"), aside.path().join("again"));
    let manifest = |bytes: &[u8]| {
        let database = manifest::Part { digest: Digest::of(bytes), size: bytes.len() as u64 };
        let contents = Contents { format: 1, made_ms: 1, schema: 3, database, artifacts: vec![] };
        serde_json::to_vec(&contents).unwrap()
    };
    let regular = tar::EntryType::Regular;
    let cases: [(&str, &[u8], tar::EntryType); 5] = [
        ("../station.db", b"x", regular),
        ("/tmp/station.db", b"x", regular),
        ("./station.db", b"x", regular),
        ("station.db", b"x", tar::EntryType::Symlink),
        ("station.db", b"not a database, whatever its digest says", regular),
    ];
    for case in cases {
        forged(&path, &manifest(case.1), &[case]);
        restore(&path, &again).expect_err(case.0);
        assert_eq!(names(aside.path()), ["forged.tar"]);
    }
    forged(&path, br#"{"format": 2, "new": true}"#, &[]);
    assert!(restore(&path, &again).unwrap_err().to_string().contains("form 2"));
}

#[test]
fn a_backup_without_the_component_of_a_module_is_none() {
    let ((_folder, storage), aside) = (filled(), tempdir().unwrap());
    storage.drop_artifact(&Digest::of(b"component")).unwrap();
    assert_eq!(storage.backup(7).unwrap_err().source.to_string(), BackupError::Restless.to_string());
    let bytes = fs::read(storage.inner.file.as_path()).unwrap();
    let path = aside.path().join("x.db");
    fs::write(&path, bytes).unwrap();
    let database = manifest::Part { digest: Digest::of(b""), size: 0 };
    let contents = Contents { format: 1, made_ms: 1, schema: 3, database, artifacts: vec![] };
    drop(storage);
    let copied = _folder.path().join("station.db");
    let refused = check::whole(&copied, &path, &contents).unwrap_err();
    assert!(refused.to_string().contains("is not in it"), "{refused}");
}

#[test]
fn no_table_of_a_module_keeps_anybody_from_a_backup() {
    let ((folder, storage), aside) = (filled(), tempdir().unwrap());
    let hostile = Connection::open(folder.path().join("station.db")).unwrap();
    crate::sql::install_functions(&hostile).unwrap();
    // A check that is never true, and an index that SQLite's own functions would have made otherwise.
    let sql = "PRAGMA ignore_check_constraints = ON; CREATE TABLE m1__t (a CHECK (a > abs(random())));
               CREATE INDEX m1__i ON m1__t (replace(a, 'x', 'y')); CREATE INDEX m1__j ON m1__t (instr(a, '+'));
               INSERT INTO m1__t VALUES (0), (1e20), (CAST(x'78ff' AS TEXT));";
    hostile.execute_batch(sql).unwrap();
    check(&backed_up(&storage, aside.path())).unwrap();
}

#[test]
fn a_file_that_is_there_stays_until_a_new_one_is_whole() {
    let ((_folder, storage), aside) = (filled(), tempdir().unwrap());
    let path = backed_up(&storage, aside.path());
    let before = fs::read(&path).unwrap();
    let exists = Target::create(&path, false).unwrap_err();
    assert_eq!(exists.failure().code, Code::AdminConflict);
    let mut half = Target::create(&path, true).unwrap();
    half.append(&before[..before.len() / 2]).unwrap();
    assert!(matches!(Target::create(&path, true), Err(BackupError::Writing { .. })));
    half.finish().unwrap_err();
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(names(aside.path()), ["backup.tar"]);
}

#[test]
fn nothing_is_restored_over_something() {
    let ((folder, storage), aside) = (filled(), tempdir().unwrap());
    let path = backed_up(&storage, aside.path());
    let occupied = restore(&path, folder.path()).unwrap_err();
    assert_eq!(occupied.failure().code, Code::AdminConflict, "{occupied}");
    let empty = aside.path().join("empty");
    fs::create_dir(&empty).unwrap();
    restore(&path, &empty).unwrap();
    let file = aside.path().join("file");
    fs::write(&file, "").unwrap();
    restore(&path, &file).unwrap_err();
    assert_eq!(names(&empty), ["artifacts", "lock", "station.db"]);
}
