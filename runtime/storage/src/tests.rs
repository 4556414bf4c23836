//! The registry as the kernel sees it: what was committed is what is loaded, and nothing else.

use crate::{Error, Fault, Storage, change::AUDIT_ENTRIES_MAX};
use proptest::prelude::*;
use serde_json::json;
use station_kernel::{
    Change, Registry as _, Revision, State, StorageError, Token,
    state::{AuditEntry, Metadata, Route, Scope},
    work::{KeyWrites, SqlError, Unit, Units as _, Watch},
};
use station_model::{
    Digest, Function, Grant, Instances, Interface, InterfaceName, LimitsPatch, Mode, ModuleName, Type, World,
};
use std::{collections::BTreeMap, error::Error as _, fs, os::unix::fs::PermissionsExt as _, sync::Arc};
use tempfile::{TempDir, tempdir};

pub(crate) fn opened() -> (TempDir, Storage) {
    let folder = tempdir().unwrap();
    let storage = Storage::open(folder.path()).unwrap();
    (folder, storage)
}

pub(crate) fn with_modules(names: &[&str]) -> (TempDir, Storage) {
    let (folder, storage) = opened();
    let changes: Vec<_> = names.iter().map(|text| Change::AddModule(name(text))).collect();
    storage.commit(&changes, &entry(0)).unwrap();
    (folder, storage)
}

/// Writes keys of a module in a unit of work of their own, whatever the quota.
pub(crate) fn write_keys(storage: &Storage, module: &str, bucket: &str, writes: &KeyWrites) -> Result<(), SqlError> {
    let mut unit = unit(storage);
    unit.set(&name(module), bucket, writes, u64::MAX)?;
    unit.commit().map(drop)
}

pub(crate) fn set_key(storage: &Storage, module: &str, bucket: &str, key: &str, value: &[u8]) {
    write_keys(storage, module, bucket, &[(key.to_owned(), Some(value.to_vec()))]).unwrap();
}

/// What is committed.
pub(crate) fn key(storage: &Storage, module: &str, bucket: &str, key: &str) -> Option<Vec<u8>> {
    unit(storage).get(&name(module), bucket, key).unwrap()
}

fn unit(storage: &Storage) -> Box<dyn Unit> {
    storage.begin(false, Arc::new(Patient)).unwrap()
}

/// Never ends anything.
pub(crate) struct Patient;

impl Watch for Patient {
    fn step(&self, _: u64) -> bool {
        false
    }
}

pub(crate) fn name(text: &str) -> ModuleName {
    text.parse().unwrap()
}

pub(crate) fn entry(number: u64) -> AuditEntry {
    AuditEntry {
        at_ms: number,
        principal: "admin:root".into(),
        action: "deploy".into(),
        subject: "a".into(),
        detail: json!({ "number": number, "forced": [true, null, "é"] }),
    }
}

fn revision(seed: u8) -> Revision {
    let ty = Type::List(Arc::new(Type::Tuple(Arc::new(vec![Type::String, Type::F64]))));
    let function = Function { name: format!("f{seed}"), params: vec![("x".into(), ty.clone())], result: Some(ty) };
    let export = Interface {
        name: "a:b/c@1.2.3-rc.1+build".parse().unwrap(),
        root: false,
        functions: vec![function],
        resources: vec!["file".into()],
    };
    Revision {
        digest: Digest::of(&[seed]),
        size: u64::from(seed) << 40,
        uploaded_ms: i64::MAX as u64,
        world: World { imports: vec![], exports: vec![export] },
        metadata: Metadata { name: Some("ünï".into()), producers: vec!["Rust".into()], ..Default::default() },
    }
}

fn token(id: &str, scopes: &[Scope]) -> Token {
    let scopes = scopes.to_vec();
    Token { id: id.into(), label: format!("for {id}"), hash: Digest::of(id.as_bytes()), scopes, created_ms: 7 }
}

/// A type as deep as `levels`.
fn nested(levels: usize) -> Type {
    (0..levels).fold(Type::U8, |inner, _| Type::List(Arc::new(inner)))
}

fn with_type(ty: Type) -> Revision {
    let mut revision = revision(1);
    revision.world.exports[0].functions[0].result = Some(ty);
    revision
}

/// A number that SQL finds in the database, on the writing connection.
fn number(storage: &Storage, sql: &str) -> i64 {
    storage.write(|tx| Ok(tx.query_row(sql, [], |row| row.get(0))?)).unwrap()
}

/// The messages of an error and its sources, as the log prints them.
fn chain(error: &StorageError) -> String {
    let sources = std::iter::successors(error.source(), |&error| error.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}

fn names() -> impl Strategy<Value = ModuleName> {
    prop::sample::select(vec!["a", "b", "c"]).prop_map(name)
}

fn grants() -> impl Strategy<Value = Grant> {
    let texts = ["a:b", "a:b/c", "a:b/c@1.2.0", "a:b/c@1.2.0@m", "greet", "https://*.example.com", "http://[::1]:8080"];
    prop::sample::select(texts.to_vec()).prop_map(|text| text.parse().unwrap())
}

fn interfaces() -> impl Strategy<Value = InterfaceName> {
    prop::sample::select(vec!["a:b/c", "a:b/c@1.2.0", "greet"]).prop_map(|text| text.parse().unwrap())
}

fn limits() -> impl Strategy<Value = LimitsPatch> {
    (any::<Option<u64>>(), any::<Option<u64>>(), any::<Option<u64>>(), any::<Option<u32>>()).prop_map(
        |(fuel, deadline_ms, memory_bytes, instances_max)| LimitsPatch {
            fuel,
            deadline_ms,
            memory_bytes,
            instances_max,
        },
    )
}

fn instances() -> impl Strategy<Value = Instances> {
    (any::<bool>(), any::<u64>(), any::<u64>()).prop_map(|(reused, calls_max, idle_ms_max)| Instances {
        mode: if reused { Mode::Reused } else { Mode::Fresh },
        calls_max,
        idle_ms_max,
    })
}

fn routes() -> impl Strategy<Value = Vec<Route>> {
    let route = (any::<Option<String>>(), any::<Option<String>>()).prop_map(|(host, path)| Route { host, path });
    prop::collection::vec(route, 0..3)
}

fn changes() -> impl Strategy<Value = Change> {
    let tokens = || prop::sample::select(vec!["t1", "t2"]);
    let scopes = prop::sample::subsequence(vec![Scope::Read, Scope::Deploy, Scope::Admin], 0..=3);
    prop_oneof![
        1 => names().prop_map(Change::AddModule),
        1 => names().prop_map(Change::RemoveModule),
        4 => (names(), 0u8..4).prop_map(|(name, seed)| Change::AddRevision(name, revision(seed))),
        4 => (names(), 0u8..4).prop_map(|(name, seed)| Change::Activate(name, Digest::of(&[seed]))),
        2 => (names(), grants()).prop_map(|(name, grant)| Change::AddGrant(name, grant)),
        1 => (names(), grants()).prop_map(|(name, grant)| Change::RemoveGrant(name, grant)),
        2 => (names(), interfaces(), names()).prop_map(|(name, what, from)| Change::SetLink(name, what, from)),
        1 => (names(), limits()).prop_map(|(name, limits)| Change::SetLimits(name, limits)),
        1 => (names(), instances()).prop_map(|(name, instances)| Change::SetInstances(name, instances)),
        1 => (names(), prop::collection::btree_map(any::<String>(), any::<String>(), 0..3))
            .prop_map(|(name, config)| Change::SetConfig(name, config)),
        1 => (names(), routes()).prop_map(|(name, routes)| Change::SetRoutes(name, routes)),
        1 => (tokens(), scopes).prop_map(|(id, scopes)| Change::AddToken(token(id, &scopes))),
        1 => tokens().prop_map(|id| Change::RemoveToken(id.to_owned())),
    ]
}

/// Changes of one transaction. Most are made so that they succeed, or few states would have an active revision.
fn batches() -> impl Strategy<Value = Vec<(bool, Vec<Change>)>> {
    prop::collection::vec((prop::bool::weighted(0.2), prop::collection::vec(changes(), 0..12)), 1..8)
}

/// True unless the change makes a revision active that the module does not have.
fn is_allowed(state: &State, change: &Change) -> bool {
    match change {
        Change::Activate(name, digest) => state.module(name).is_some_and(|m| m.revision(digest).is_some()),
        _ => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..Default::default() })]
    #[test]
    fn what_was_committed_is_what_is_loaded(batches in batches()) {
        let (folder, storage) = opened();
        let mut state = State::default();
        for (may_fail, mut batch) in batches {
            let (mut after, mut allowed) = (state.clone(), true);
            batch.retain(|change| {
                let kept = may_fail || is_allowed(&after, change);
                allowed &= !kept || is_allowed(&after, change);
                after.apply(if kept { std::slice::from_ref(change) } else { &[] });
                kept
            });
            let committed = storage.commit(&batch, &entry(1));
            prop_assert_eq!(committed.is_ok(), allowed, "{:?}", committed);
            state = if allowed { after } else { state };
            prop_assert_eq!(&storage.load().unwrap(), &state);
        }
        drop(storage);
        prop_assert_eq!(Storage::open(folder.path()).unwrap().load().unwrap(), state);
    }
}

#[test]
fn a_new_station_remembers_nothing() {
    let (_folder, storage) = opened();
    assert_eq!(storage.load().unwrap(), State::default());
    assert!(storage.audit(10).unwrap().is_empty());
}

#[test]
fn everything_about_a_module_survives_a_restart() {
    let (folder, storage) = opened();
    let changes = [
        Change::AddRevision(name("a"), revision(2)),
        Change::AddRevision(name("a"), revision(1)),
        Change::AddRevision(name("b"), revision(1)),
        Change::Activate(name("a"), Digest::of(&[1])),
        Change::AddGrant(name("a"), "a:b/c@1.0.0@b".parse().unwrap()),
        Change::AddGrant(name("a"), "a:a".parse().unwrap()),
        Change::SetLink(name("a"), "a:b/c@1.0.0".parse().unwrap(), name("gone")),
        Change::SetConfig(name("a"), BTreeMap::from([("key".into(), "value\0".into())])),
        Change::AddToken(token("t", &[Scope::Read, Scope::Admin])),
    ];
    storage.commit(&changes, &entry(1)).unwrap();
    drop(storage);
    let mut expected = State::default();
    expected.apply(&changes);
    assert_eq!(Storage::open(folder.path()).unwrap().load().unwrap(), expected);
}

#[test]
fn a_commit_that_fails_changes_nothing() {
    let (_folder, storage) = with_modules(&["a"]);
    let before = storage.load().unwrap();
    let mut too_big = revision(1);
    too_big.size = u64::MAX;
    let unknown = Change::Activate(name("a"), Digest::of(b"unknown"));
    for last in [unknown, Change::AddRevision(name("a"), too_big)] {
        let changes = [Change::AddModule(name("b")), Change::AddToken(token("t", &[])), last];
        storage.commit(&changes, &entry(1)).unwrap_err();
        assert_eq!(storage.load().unwrap(), before);
        assert_eq!(storage.audit(10).unwrap().len(), 1);
    }
}

#[test]
fn a_commit_whose_audit_entry_fails_changes_nothing() {
    let (_folder, storage) = with_modules(&["a"]);
    let entry = AuditEntry { at_ms: u64::MAX, ..entry(1) };
    let error = storage.commit(&[Change::AddModule(name("b"))], &entry).unwrap_err();
    assert!(chain(&error).contains("more than the database can hold"), "{}", chain(&error));
    assert_eq!(storage.load().unwrap().modules.len(), 1);
}

#[test]
fn only_a_known_revision_can_be_active() {
    let (_folder, storage) = with_modules(&["a", "b"]);
    storage.commit(&[Change::AddRevision(name("b"), revision(1))], &entry(1)).unwrap();
    let error = storage.commit(&[Change::Activate(name("a"), Digest::of(&[1]))], &entry(2)).unwrap_err();
    let fault = error.source.downcast_ref::<Fault>().unwrap();
    assert!(matches!(fault, Fault::NoRevision { module, .. } if *module == name("a")), "{fault}");
}

#[test]
fn a_removed_module_comes_back_empty() {
    let (_folder, storage) = opened();
    let changes = [
        Change::AddRevision(name("a"), revision(1)),
        Change::Activate(name("a"), Digest::of(&[1])),
        Change::AddGrant(name("a"), "a:b".parse().unwrap()),
        Change::SetLink(name("a"), "greet".parse().unwrap(), name("b")),
    ];
    storage.commit(&changes, &entry(1)).unwrap();
    storage.commit(&[Change::RemoveModule(name("a")), Change::AddModule(name("a"))], &entry(2)).unwrap();
    assert_eq!(storage.load().unwrap().modules, BTreeMap::from([(name("a"), Default::default())]));
    for table in ["revisions", "grants", "links", "kv"] {
        assert_eq!(number(&storage, &format!("SELECT count(*) FROM {table}")), 0, "{table}");
    }
}

#[test]
fn a_world_that_could_not_be_read_back_is_refused() {
    let (_folder, storage) = with_modules(&["a"]);
    let deep = Change::AddRevision(name("a"), with_type(nested(200)));
    let error = storage.commit(&[deep], &entry(1)).unwrap_err();
    assert!(chain(&error).contains("the world of a revision cannot be kept"), "{}", chain(&error));
    let fine = Change::AddRevision(name("a"), with_type(nested(50)));
    storage.commit(&[fine], &entry(1)).unwrap();
    assert_eq!(storage.load().unwrap().modules[&name("a")].revisions.len(), 1);
}

#[test]
fn a_row_that_cannot_be_read_names_its_module_and_a_way_out() {
    for (damage, part) in [
        ("UPDATE modules SET limits = '{'", "limits"),
        ("UPDATE modules SET routes = '[{\"surprise\": 1}]'", "routes"),
        ("UPDATE grants SET \"grant\" = 'a:'", "grants"),
        ("UPDATE links SET provider = '../x'", "links"),
        ("UPDATE revisions SET world = ''", "world of a revision"),
        ("UPDATE revisions SET size = -1", "size of a revision"),
        ("UPDATE revisions SET digest = 'md5:0'", "digest of a revision"),
    ] {
        let (_folder, storage) = opened();
        let changes = [
            Change::AddRevision(name("case-files"), revision(1)),
            Change::AddGrant(name("case-files"), "a:b".parse().unwrap()),
            Change::SetLink(name("case-files"), "greet".parse().unwrap(), name("b")),
        ];
        storage.commit(&changes, &entry(1)).unwrap();
        storage.write(|tx| Ok(tx.execute_batch(damage)?)).unwrap();
        let message = chain(&storage.load().unwrap_err());
        assert!(message.contains(&format!("the {part} of module \"case-files\" (number 1)")), "{message}");
        assert!(message.contains("restore station.db from a backup, or give it up"), "{message}");
        // What the message says works.
        storage.write(|tx| Ok(tx.execute_batch("DELETE FROM modules WHERE id = 1")?)).unwrap();
        assert_eq!(storage.load().unwrap(), State::default());
    }
}

#[test]
fn a_damaged_token_is_an_error_that_names_it() {
    let (_folder, storage) = opened();
    storage.commit(&[Change::AddToken(token("t", &[]))], &entry(1)).unwrap();
    storage.write(|tx| Ok(tx.execute_batch("UPDATE tokens SET scopes = '[\"root\"]'")?)).unwrap();
    let message = chain(&storage.load().unwrap_err());
    assert!(message.contains("the scopes of token \"t\" cannot be read"), "{message}");
}

#[test]
fn an_active_revision_that_is_missing_is_an_error() {
    let (folder, storage) = opened();
    let changes = [Change::AddRevision(name("a"), revision(1)), Change::Activate(name("a"), Digest::of(&[1]))];
    storage.commit(&changes, &entry(1)).unwrap();
    drop(storage);
    // As an operator would with a tool that does not guard references.
    let by_hand = rusqlite::Connection::open(folder.path().join("station.db")).unwrap();
    by_hand.execute_batch("PRAGMA foreign_keys = OFF; DELETE FROM revisions;").unwrap();
    drop(by_hand);
    let message = chain(&Storage::open(folder.path()).unwrap().load().unwrap_err());
    assert!(message.contains("the active revision of module \"a\""), "{message}");
}

#[test]
fn the_audit_log_is_newest_first_and_bounded_by_the_reader() {
    let (_folder, storage) = opened();
    (1..=3).for_each(|number| storage.commit(&[], &entry(number)).unwrap());
    assert_eq!(storage.audit(2).unwrap(), [entry(3), entry(2)]);
    assert!(storage.audit(0).unwrap().is_empty());
    assert_eq!(storage.audit(u32::MAX).unwrap().len(), 3);
}

#[test]
fn the_audit_log_forgets_what_is_too_old() {
    let (_folder, storage) = opened();
    let fill = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {AUDIT_ENTRIES_MAX})
         INSERT INTO audit (at_ms, principal, action, subject, detail) SELECT i, '', '', '', 'null' FROM n"
    );
    storage.write(|tx| Ok(tx.execute_batch(&fill)?)).unwrap();
    storage.commit(&[], &entry(7)).unwrap();
    assert_eq!(number(&storage, "SELECT count(*) FROM audit"), AUDIT_ENTRIES_MAX);
    assert_eq!(number(&storage, "SELECT min(at_ms) FROM audit"), 2);
    assert_eq!(storage.audit(1).unwrap(), [entry(7)]);
}

#[test]
fn a_second_station_is_refused_until_the_first_has_gone() {
    let (folder, storage) = opened();
    let clone = storage.clone();
    drop(storage);
    let refused = Storage::open(folder.path()).unwrap_err();
    assert!(matches!(&refused, Error::InUse { data } if *data == folder.path().canonicalize().unwrap()));
    assert!(refused.to_string().contains(folder.path().file_name().unwrap().to_str().unwrap()), "{refused}");
    drop(clone);
    Storage::open(folder.path()).unwrap();
}

#[test]
fn a_lock_file_that_nobody_holds_is_no_obstacle() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("lock"), "left behind").unwrap();
    Storage::open(folder.path()).unwrap();
}

#[test]
fn a_station_that_was_refused_leaves_uploads_alone() {
    let (folder, storage) = opened();
    let upload = storage.upload_path();
    fs::write(&upload, b"arriving").unwrap();
    Storage::open(folder.path()).unwrap_err();
    assert!(upload.exists());
}

#[test]
fn only_the_owner_can_look_into_the_data_folder() {
    let above = tempdir().unwrap();
    let data = above.path().join("deep/data");
    let storage = Storage::open(&data).unwrap();
    storage.commit(&[], &entry(1)).unwrap();
    let mode = |path: &str| fs::metadata(data.join(path)).unwrap().permissions().mode() & 0o777;
    for folder in ["", "artifacts", "uploads"] {
        assert_eq!(mode(folder), 0o700, "{folder}");
    }
    for file in ["station.db", "station.db-wal", "lock"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Storage::open(&file.join("data")).unwrap_err();
    assert!(error.to_string().contains("file/data"), "{error}");
}

#[test]
fn reading_does_not_wait_for_writing() {
    let (_folder, storage) = with_modules(&["a"]);
    set_key(&storage, "a", "bucket", "key", &[1]);
    let before = storage.load().unwrap();
    let written = storage.write(|tx| {
        tx.execute_batch("UPDATE kv SET value = x'02'; INSERT INTO modules (name) VALUES ('new')")?;
        // The transaction is open, and holds the only writing connection.
        assert_eq!(storage.load().unwrap(), before);
        assert_eq!(key(&storage, "a", "bucket", "key"), Some(vec![1]));
        Ok(())
    });
    written.unwrap();
    assert_eq!(key(&storage, "a", "bucket", "key"), Some(vec![2]));
}

#[test]
fn components_are_kept_swept_and_dropped_by_digest() {
    let (folder, storage) = opened();
    let keep = |revision: &Revision| {
        let upload = storage.upload_path();
        fs::write(&upload, b"wasm").unwrap();
        storage.keep_artifact(&revision.digest, &upload).unwrap();
    };
    let (wanted, orphan) = (revision(1), revision(2));
    [&wanted, &orphan].into_iter().for_each(keep);
    let expected = folder.path().canonicalize().unwrap().join(format!("artifacts/{}.wasm", wanted.digest.hex()));
    assert_eq!(storage.artifact(&wanted.digest), expected);
    storage.commit(&[Change::AddRevision(name("a"), wanted.clone())], &entry(1)).unwrap();
    storage.sweep(&storage.load().unwrap()).unwrap();
    assert!(expected.exists() && !storage.artifact(&orphan.digest).exists());
    storage.drop_artifact(&wanted.digest).unwrap();
    storage.drop_artifact(&wanted.digest).unwrap();
    assert!(!expected.exists());
}

#[test]
fn closing_leaves_one_whole_file() {
    let (folder, storage) = with_modules(&["a", "b"]);
    storage.commit(&[Change::RemoveModule(name("a"))], &entry(1)).unwrap();
    drop(storage);
    // The last connection tidied the WAL away, so a copy of the one file is a backup.
    assert!(!folder.path().join("station.db-wal").exists());
    let connection = rusqlite::Connection::open(folder.path().join("station.db")).unwrap();
    let answer: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(answer, "ok");
}
