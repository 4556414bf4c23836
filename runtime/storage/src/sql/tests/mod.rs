//! Two modules, 7 and 8, and the station share a database; everything that 7 must never see says `canary`.

mod costs;
mod denials;
mod errors;
mod limits;
mod random;
mod rewriting;
mod runs;
mod schema_change;
mod wall;

use super::Desk;
use rusqlite::Connection;
use station_kernel::work::{Caps, Rows, SqlError, Value, Watch};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tempfile::TempDir;

const CAPS: Caps = Caps { rows_max: 1_000, bytes_max: 1 << 20 };

/// What others have.
const FOREIGN: &str = "
    CREATE TABLE tokens (id INTEGER PRIMARY KEY, secret TEXT);
    INSERT INTO tokens VALUES (1, 'canary of the station');
    CREATE TABLE m8__cases (id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT UNIQUE, secret TEXT);
    INSERT INTO m8__cases (title, secret) VALUES ('a', 'canary of 8'), ('b', 'canary of 8');
    CREATE TABLE m8__notes (id INTEGER PRIMARY KEY, secret TEXT);
    INSERT INTO m8__notes VALUES (1, 'canary of 8');
    CREATE VIEW m8__seen AS SELECT secret FROM m8__cases;
    CREATE INDEX m8__by_secret ON m8__cases (secret);
    CREATE TRIGGER m8__log AFTER INSERT ON m8__notes BEGIN UPDATE m8__cases SET secret = 'canary'; END;
    CREATE TABLE m77__cases (id INTEGER PRIMARY KEY, secret TEXT);
    INSERT INTO m77__cases VALUES (1, 'canary of 77');
    ANALYZE;
";

/// What module 7 has.
const OWN: &str = "
    CREATE TABLE cases (id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL, rank INTEGER DEFAULT 0,
                        CHECK (cases.rank < 1000));
    CREATE UNIQUE INDEX by_title ON cases (title);
    CREATE TABLE notes (id INTEGER PRIMARY KEY, \"case\" INTEGER REFERENCES cases (id) ON DELETE CASCADE, text TEXT);
    INSERT INTO cases (title, rank) VALUES ('one', 1), ('two', 2), ('three', 3);
    INSERT INTO notes (\"case\", text) VALUES (1, 'first'), (2, 'second');
";

struct Room {
    desk: Desk,
    file: PathBuf,
    _folder: TempDir,
}

impl Room {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("room.db");
        let mut desk = Desk::new(crate::connection::open_writer(&file).unwrap()).unwrap();
        desk.station(|conn| conn.execute_batch(&format!("PRAGMA journal_mode = WAL; {FOREIGN}"))).unwrap();
        desk.script(7, OWN).unwrap_or_else(|failed| panic!("{failed}: {}", failed.error));
        Self { desk, file, _folder: folder }
    }

    fn run(&mut self, sql: &str) -> Result<Rows, SqlError> {
        self.desk.run(7, sql, &[], CAPS)
    }

    fn ok(&mut self, sql: &str) -> Rows {
        self.run(sql).unwrap_or_else(|error| panic!("{sql:.300}: {error:?}"))
    }

    /// The first value of the first row.
    fn value(&mut self, sql: &str) -> Value {
        self.ok(sql).rows.remove(0).remove(0)
    }

    fn number(&mut self, sql: &str) -> i64 {
        match self.value(sql) {
            Value::Integer(number) => number,
            other => panic!("{sql}: {other:?}"),
        }
    }

    /// As the station sees it.
    fn station(&mut self, sql: &str) {
        self.desk.station(|conn| conn.execute_batch(sql)).unwrap_or_else(|error| panic!("{sql:.300}: {error}"));
    }

    /// Everything that is not module 7's, as text.
    fn foreign(&mut self) -> String {
        let schema = "SELECT group_concat(name || ifnull(sql, ''), ';') FROM
            (SELECT * FROM sqlite_schema WHERE name NOT LIKE '%m7!_!_%' ESCAPE '!' ORDER BY name)";
        let mut all = vec![schema.to_owned()];
        for table in ["tokens", "m8__cases", "m8__notes", "m77__cases"] {
            all.push(format!("SELECT group_concat(id || secret, ';') FROM {table}"));
        }
        all.push("SELECT group_concat(title, ';') FROM m8__cases".to_owned());
        let read = |conn: &mut Connection| {
            all.iter().map(|sql| conn.query_row(sql, [], |row| row.get::<_, String>(0))).collect::<Result<Vec<_>, _>>()
        };
        self.desk.station(read).unwrap().join("\n")
    }
}

/// The message of a denial.
fn denied(outcome: Result<Rows, SqlError>) -> String {
    match outcome {
        Err(SqlError::Denied(message)) => message,
        other => panic!("not denied: {other:?}"),
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// Ends the statement after so many steps.
struct After {
    steps_max: u64,
    steps: AtomicU64,
}

impl After {
    fn steps(steps_max: u64) -> Arc<Self> {
        Arc::new(Self { steps_max, steps: AtomicU64::new(0) })
    }
}

impl Watch for After {
    fn step(&self, steps: u64) -> bool {
        self.steps.fetch_add(steps, Ordering::Relaxed) + steps > self.steps_max
    }
}
