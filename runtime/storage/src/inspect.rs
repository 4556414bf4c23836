//! Looking into the database of a data folder, also while a station works in it.
//!
//! [`tables`] says which module has which tables; [`Shell`] runs statements that somebody typed. Both read on
//! connections of their own that cannot write: opened read-only, behind an authorizer that knows reading only, each
//! statement with a deadline. No statement stays open between two answers, so that the WAL can begin anew.
//!
//! Names of tables are the physical ones here, `m7__users` for what module 7 calls `users`.

use crate::{Fault, connection, schema, sql};
use rusqlite::{
    Batch, Connection, Statement,
    fallible_iterator::FallibleIterator as _,
    ffi,
    hooks::{AuthAction, AuthContext, Authorization},
    types::ValueRef,
};
use station_kernel::{
    control::{DataView, KeysView, TableView},
    work::Value,
};
use station_model::{Code, Failure, ModuleName};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long listing tables may take: it counts the rows and pages of all of them.
const TABLES_MAX: Duration = Duration::from_secs(30);

/// Steps of SQLite's machine between two looks at the clock; some ten microseconds.
const STEPS: i32 = 1_000;

/// What one statement of a [`Shell`] may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShellSettings {
    /// Rows that are answered; of more it is said that there are more.
    pub rows_max: usize,
    /// Bytes of all values together, the same. 8 MiB: half of what the largest row may have.
    pub bytes_max: usize,
    /// How long it may run.
    pub time_max: Duration,
}

impl Default for ShellSettings {
    fn default() -> Self {
        Self { rows_max: 1_000, bytes_max: 8 << 20, time_max: Duration::from_secs(10) }
    }
}

/// What a statement answered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows, a value per column.
    pub rows: Vec<Vec<Value>>,
    /// True when there are more rows than were answered.
    pub more: bool,
}

/// Runs statements that read.
#[derive(Debug)]
pub struct Shell {
    connection: Connection,
    settings: ShellSettings,
    end: End,
}

/// When what runs must have ended.
#[derive(Debug, Clone)]
struct End(Arc<Mutex<Instant>>);

impl End {
    fn set(&self, wait: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + wait;
    }

    fn passed(&self) -> bool {
        Instant::now() > *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shell {
    /// Opens the database in the folder `data`.
    ///
    /// # Errors
    /// `admin.not_found` when there is none, `admin.bad_request` when it is not a station's.
    pub fn open(data: &Path, settings: ShellSettings) -> Result<Self, Failure> {
        let mut connection = opened(data)?;
        let end = limited(&mut connection, settings.time_max).map_err(failure)?;
        connection.authorizer(Some(judge)).map_err(failure)?;
        Ok(Self { connection, settings, end })
    }

    /// Runs every statement of a text, and hands each answer to `tell` before the next one runs.
    ///
    /// # Errors
    /// `sql.syntax`, `sql.denied`, `sql.interrupted`, `sql.busy`, `sql.too_big`.
    pub fn run(&self, text: &str, mut tell: impl FnMut(Answer)) -> Result<(), Failure> {
        let mut batch = Batch::new(&self.connection, text);
        loop {
            self.end.set(self.settings.time_max);
            let Some(mut statement) = batch.next().map_err(failure)? else { return Ok(()) };
            tell(self.answer(&mut statement).map_err(failure)?);
        }
    }

    fn answer(&self, statement: &mut Statement<'_>) -> rusqlite::Result<Answer> {
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let (mut answer, mut bytes) = (Answer { columns, ..Answer::default() }, 0);
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            if answer.rows.len() >= self.settings.rows_max || bytes > self.settings.bytes_max {
                answer.more = true;
                break;
            }
            let values = (0..answer.columns.len()).map(|column| Ok(value(row.get_ref(column)?)));
            let values = values.collect::<rusqlite::Result<Vec<_>>>()?;
            bytes += values.iter().map(size).sum::<usize>();
            answer.rows.push(values);
        }
        Ok(answer)
    }
}

fn value(of: ValueRef<'_>) -> Value {
    match of {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Blob(bytes) => bytes.len(),
        Value::Null | Value::Integer(_) | Value::Real(_) => size_of::<Value>(),
    }
}

/// The tables and keys of all modules, or of one, in the order of their names.
///
/// # Errors
/// `admin.not_found` when there is no database in `data`, `call.no_such_module`, `sql.interrupted` when counting takes
/// too long.
pub fn tables(data: &Path, module: Option<&ModuleName>) -> Result<DataView, Failure> {
    let mut connection = opened(data)?;
    let _end = limited(&mut connection, TABLES_MAX).map_err(failure)?;
    list(&mut connection, module).map_err(|fault| match fault {
        Fault::Sqlite(error) => failure(error),
        Fault::NoModule(name) => Failure::new(Code::CallNoSuchModule, format!("there is no module {name}")),
        other => Failure::new(Code::StationInternal, crate::error::chain(&other)),
    })
}

fn opened(data: &Path) -> Result<Connection, Failure> {
    let file = data.join("station.db");
    if !file.is_file() {
        let why = format!("there is no station in {}; --data is the folder with its station.db", data.display());
        return Err(Failure::new(Code::AdminNotFound, why));
    }
    let connection = connection::open_reader(&file).and_then(|connection| {
        schema::seen(&connection, &file)?;
        Ok(connection)
    });
    connection.map_err(|error| Failure::new(Code::AdminBadRequest, crate::error::chain(&error)))
}

/// Lets everything on the connection end in time, and gives it the functions of modules.
fn limited(connection: &mut Connection, wait: Duration) -> rusqlite::Result<End> {
    sql::install_functions(connection)?;
    connection.pragma_update(None, "query_only", true)?;
    let end = End(Arc::new(Mutex::new(Instant::now() + wait)));
    let looked = end.clone();
    connection.progress_handler(STEPS, Some(move || looked.passed()))?;
    Ok(end)
}

fn list(connection: &mut Connection, only: Option<&ModuleName>) -> Result<DataView, Fault> {
    let snapshot = connection.transaction()?;
    let modules = modules(&snapshot)?;
    if let Some(name) = only.filter(|name| !modules.values().any(|known| known == *name)) {
        return Err(Fault::NoModule(name.clone()));
    }
    let bytes = bytes(&snapshot)?;
    let mut found = Vec::new();
    for physical in names(&snapshot)? {
        let Some((id, name)) = sql::owned(&physical) else { continue };
        let Some(module) = modules.get(&id).filter(|name| only.is_none_or(|only| only == *name)) else { continue };
        let rows = rows(&snapshot, &physical)?;
        let bytes = bytes.get(&physical).copied().unwrap_or(0);
        found.push(TableView {
            module: module.clone(),
            name: name.to_owned(),
            physical: physical.clone(),
            rows,
            bytes,
        });
    }
    found.sort_by(|a, b| (&a.module, &a.name).cmp(&(&b.module, &b.name)));
    let keys = keys(&snapshot, &modules, only)?;
    Ok(DataView { tables: found, keys })
}

/// The keys of modules that have any. How many bytes they have is counted at every write, for the quota.
fn keys(
    db: &Connection,
    modules: &BTreeMap<i64, ModuleName>,
    only: Option<&ModuleName>,
) -> rusqlite::Result<Vec<KeysView>> {
    let sql = "SELECT kv.module, count(*), m.kv_bytes FROM kv JOIN modules AS m ON m.id = kv.module GROUP BY kv.module";
    let mut statement = db.prepare(sql)?;
    let unsigned = |number: i64| number.unsigned_abs();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, unsigned(row.get(1)?), unsigned(row.get(2)?))))?;
    let rows: Vec<(i64, u64, u64)> = rows.collect::<rusqlite::Result<_>>()?;
    let mut found: Vec<_> = rows
        .into_iter()
        .filter_map(|(id, keys, bytes)| Some(KeysView { module: modules.get(&id)?.clone(), keys, bytes }))
        .filter(|keys| only.is_none_or(|only| *only == keys.module))
        .collect();
    found.sort_by(|a, b| a.module.cmp(&b.module));
    Ok(found)
}

/// The modules by number. One whose name cannot be read is none here; the start of the station says so.
fn modules(db: &Connection) -> rusqlite::Result<BTreeMap<i64, ModuleName>> {
    let mut statement = db.prepare("SELECT id, name FROM modules")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    let rows: Vec<(i64, String)> = rows.collect::<rusqlite::Result<_>>()?;
    Ok(rows.into_iter().filter_map(|(id, name)| Some((id, name.parse().ok()?))).collect())
}

fn names(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")?;
    statement.query_map([], |row| row.get(0))?.collect()
}

/// Bytes of the pages of each table, its indices included.
fn bytes(db: &Connection) -> rusqlite::Result<BTreeMap<String, u64>> {
    let sql = "SELECT s.tbl_name, sum(d.pgsize) FROM dbstat AS d JOIN sqlite_schema AS s ON s.name = d.name
               WHERE d.aggregate = TRUE GROUP BY s.tbl_name";
    let mut statement = db.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?;
    rows.collect()
}

fn rows(db: &Connection, physical: &str) -> rusqlite::Result<u64> {
    let sql = format!("SELECT count(*) FROM \"{}\"", physical.replace('"', "\"\""));
    db.query_row(&sql, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}

/// Pragmas that tell and do not change, sorted.
#[rustfmt::skip]
const PRAGMAS: &[&str] = &[
    "application_id", "compile_options", "database_list", "foreign_key_check", "foreign_key_list", "freelist_count",
    "index_info", "index_list", "index_xinfo", "integrity_check", "page_count", "page_size", "quick_check",
    "table_info", "table_list", "table_xinfo", "user_version",
];

/// Those of them that take a value which says what to tell.
#[rustfmt::skip]
const WITH_VALUE: &[&str] = &[
    "foreign_key_check", "foreign_key_list", "index_info", "index_list", "index_xinfo", "integrity_check",
    "quick_check", "table_info", "table_list", "table_xinfo",
];

/// Reading is allowed, and nothing else. A transaction, too, is denied: it would keep an old state, and with it the WAL.
fn judge(context: AuthContext<'_>) -> Authorization {
    let allowed = match context.action {
        AuthAction::Select | AuthAction::Recursive | AuthAction::Read { .. } => true,
        AuthAction::Function { function_name } => !["load_extension", "fts3_tokenizer"].contains(&function_name),
        AuthAction::Pragma { pragma_name, pragma_value } => {
            let name = pragma_name.to_ascii_lowercase();
            let list = if pragma_value.is_some() { WITH_VALUE } else { PRAGMAS };
            list.contains(&name.as_str())
        }
        _ => false,
    };
    if allowed { Authorization::Allow } else { Authorization::Deny }
}

/// What SQLite says, with our code.
fn failure(error: rusqlite::Error) -> Failure {
    let message = error.to_string();
    let code = error.sqlite_error().map_or(ffi::SQLITE_ERROR, |error| error.extended_code & 0xff);
    let code = match code {
        ffi::SQLITE_ERROR | ffi::SQLITE_RANGE | ffi::SQLITE_MISMATCH => Code::SqlSyntax,
        ffi::SQLITE_AUTH | ffi::SQLITE_READONLY => Code::SqlDenied,
        ffi::SQLITE_INTERRUPT => Code::SqlInterrupted,
        ffi::SQLITE_TOOBIG | ffi::SQLITE_NOMEM => Code::SqlTooBig,
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => Code::SqlBusy,
        _ => Code::StationInternal,
    };
    let denied = code == Code::SqlDenied || message.contains("not authorized");
    match denied {
        true => Failure::new(Code::SqlDenied, format!("{message}; this prompt only reads")),
        false => Failure::new(code, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Storage,
        tests::{entry, name, set_key, with_modules},
    };
    use station_kernel::{Change, Registry as _, state::Migration};
    use tempfile::TempDir;

    /// A storage in which module `a` has a table `users` of three rows, and `b` an empty one.
    fn filled() -> (TempDir, Storage) {
        let (folder, storage) = with_modules(&["a", "b"]);
        make(
            &storage,
            "a",
            "CREATE TABLE users (x); CREATE INDEX i ON users (x); INSERT INTO users VALUES (1), (2), (3)",
        );
        make(&storage, "b", "CREATE TABLE \"odd \"\" name\" (x)");
        (folder, storage)
    }

    fn make(storage: &Storage, module: &str, sql: &str) {
        let migration = Migration { version: 1, name: "t".into(), sql: sql.into() };
        storage.commit(&[Change::Migrate(name(module), vec![migration])], &entry(1)).unwrap();
    }

    fn shell(folder: &TempDir) -> Shell {
        Shell::open(folder.path(), ShellSettings { time_max: Duration::from_millis(200), ..Default::default() })
            .unwrap()
    }

    fn answers(shell: &Shell, sql: &str) -> Result<Vec<Answer>, Failure> {
        let mut all = Vec::new();
        shell.run(sql, |answer| all.push(answer))?;
        Ok(all)
    }

    #[test]
    fn tables_are_listed_by_their_modules_names() {
        let (folder, _storage) = filled();
        let found = tables(folder.path(), None).unwrap().tables;
        let told: Vec<_> =
            found.iter().map(|t| (t.module.as_str(), t.name.as_str(), t.physical.as_str(), t.rows)).collect();
        assert_eq!(told, [("a", "users", "m1__users", 3), ("b", "odd \" name", "m2__odd \" name", 0)]);
        assert_eq!(found[0].bytes, 2 * found[1].bytes, "an index belongs to its table");
        assert_eq!(tables(folder.path(), Some(&name("b"))).unwrap().tables.len(), 1);
        assert_eq!(tables(folder.path(), Some(&name("c"))).unwrap_err().code, Code::CallNoSuchModule);
    }

    #[test]
    fn every_statement_of_a_text_is_answered_in_turn() {
        let (folder, storage) = filled();
        let shell = shell(&folder);
        let all =
            answers(&shell, "SELECT count(*) AS n FROM m1__users; SELECT 'a', x'01', NULL, 1.5; -- end\n").unwrap();
        assert_eq!((all[0].columns[0].as_str(), &all[0].rows[0][0]), ("n", &Value::Integer(3)));
        let values = vec![Value::Text("a".into()), Value::Blob(vec![1]), Value::Null, Value::Real(1.5)];
        assert_eq!(all[1].rows, [values]);
        set_key(&storage, "a", "", "k", &[1]);
        let later = answers(&shell, "SELECT count(*) FROM kv").unwrap();
        assert_eq!(later[0].rows[0][0], Value::Integer(1), "the shell neither holds nor keeps an old state");
    }

    #[test]
    fn nothing_can_be_changed_or_held() {
        let (folder, _storage) = filled();
        let shell = shell(&folder);
        for sql in [
            "INSERT INTO m1__users VALUES (4)",
            "DROP TABLE m1__users",
            "CREATE TABLE x (a)",
            "CREATE TEMP TABLE x (a)",
            "BEGIN",
            "SAVEPOINT x",
            "ATTACH ':memory:' AS x",
            "VACUUM",
            "VACUUM INTO 'copy.db'",
            "PRAGMA query_only = 0",
            "PRAGMA journal_mode = DELETE",
            "PRAGMA wal_checkpoint",
            "PRAGMA user_version = 9",
            "REINDEX",
            "ANALYZE",
            "SELECT load_extension('x')",
            "PRAGMA writable_schema = 1",
        ] {
            assert_eq!(answers(&shell, sql).expect_err(sql).code, Code::SqlDenied, "{sql}");
        }
        for sql in [
            "PRAGMA table_info('m1__users')",
            "PRAGMA integrity_check",
            "SELECT * FROM pragma_table_list",
            "EXPLAIN SELECT 1",
        ] {
            answers(&shell, sql).expect(sql);
        }
        assert!(!Path::new("copy.db").exists());
    }

    #[test]
    fn mistakes_and_limits_have_codes() {
        let (folder, _storage) = filled();
        let shell = shell(&folder);
        let forever = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n";
        for (sql, code) in [
            ("SELEC 1", Code::SqlSyntax),
            ("SELECT * FROM nothing", Code::SqlSyntax),
            (forever, Code::SqlInterrupted),
            ("SELECT zeroblob(99999999)", Code::SqlTooBig),
        ] {
            assert_eq!(answers(&shell, sql).expect_err(sql).code, code, "{sql}");
        }
        let many = answers(&shell, &forever.replace("max(x) FROM n", "x FROM n LIMIT 5000")).unwrap();
        assert_eq!((many[0].rows.len(), many[0].more), (1_000, true));
        let missing = Shell::open(&folder.path().join("nothing"), ShellSettings::default()).unwrap_err();
        assert_eq!(missing.code, Code::AdminNotFound);
    }
}
