//! Looking into a station's data folder: tables, rows, the disk below.

use crate::sql::execute;
use crate::{started, station};
use serde_json::{Value, json};
use station_testkit::Station;

/// A station in which the module `one` has a table of two rows, and `two` has the same one, empty.
fn filled() -> Station {
    let station = started();
    station.deploy_as("sql-runner", "one");
    station.deploy_as("sql-runner", "two");
    execute(&station, "one", &["CREATE TABLE notes (text TEXT)", "INSERT INTO notes VALUES ('a'), ('b')"]);
    execute(&station, "two", &["CREATE TABLE notes (text TEXT)"]);
    station
}

fn shell(station: &Station, data: &str, sql: &str) -> station_testkit::Run {
    station.cli(&["db", "shell", "--read-only", "--data", data, "-c", sql])
}

#[test]
fn tables_are_told_by_a_station_and_by_its_folder_alike() {
    let mut station = filled();
    let asked = station.cli(&["db", "tables"]).ok();
    let told: Vec<_> =
        asked["tables"].as_array().unwrap().iter().map(|t| json!([t["module"], t["name"], t["rows"]])).collect();
    assert_eq!(told, [json!(["one", "notes", 2]), json!(["two", "notes", 0])]);
    let data = station.data().display().to_string();
    assert_eq!(station.cli(&["db", "tables", "--data", &data]).ok(), asked);
    let one = station.cli(&["db", "tables", "--module", "two"]).ok();
    assert_eq!(one["tables"].as_array().unwrap().len(), 1);
    station.cli(&["db", "tables", "--module", "three"]).problem("call.no_such_module");
    let text = station.text(&["db", "tables"]).stdout;
    assert!(text.contains("one     notes  2") && text.contains("m1__notes"), "{text}");
    station.kill();
    assert_eq!(station.cli(&["db", "tables", "--data", &data]).ok(), asked);
}

#[test]
fn the_keys_of_modules_are_counted_beside_their_tables() {
    let station = filled();
    assert_eq!(station.cli(&["db", "tables"]).ok()["keys"], json!([]));
    station.deploy_all(&["kv-draft", "kv-draft2"]);
    let pairs = json!([["é", "12345"], ["b", ""]]);
    for bucket in ["one", "two"] {
        station.call_json("kv-draft", "fixture:kv/kv#set-many", json!([bucket, pairs])).ok();
    }
    let keys = json!([{"module": "kv-draft", "keys": 4, "bytes": 16}]);
    let data = station.data().display().to_string();
    assert_eq!(station.cli(&["db", "tables"]).ok()["keys"], keys);
    assert_eq!(station.cli(&["db", "tables", "--data", &data]).ok()["keys"], keys);
    assert_eq!(station.cli(&["db", "tables", "--module", "kv-draft2"]).ok(), json!({"tables": [], "keys": []}));
    let text = station.text(&["db", "tables"]).stdout;
    assert!(text.contains("kv-draft  4     16 B"), "{text}");
}

#[test]
fn the_shell_reads_beside_a_running_station_and_changes_nothing() {
    let mut station = filled();
    let data = station.data().display().to_string();
    let read = |sql: &str| shell(&station, &data, sql).ok()["results"].clone();
    let count = "SELECT count(*) AS n FROM m1__notes";
    assert_eq!(read(count), json!([{"columns": ["n"], "rows": [[2]], "more": false}]));
    execute(&station, "one", &["INSERT INTO notes VALUES ('c')"]);
    assert_eq!(read(count)[0]["rows"], json!([[3]]), "what was committed since is there");
    for sql in ["DELETE FROM m1__notes", "PRAGMA journal_mode = DELETE", "BEGIN", "ATTACH 'x.db' AS x"] {
        shell(&station, &data, sql).problem("sql.denied");
    }
    shell(&station, &data, "SELEC 1").problem("sql.syntax");
    let endless = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n";
    let args = ["db", "shell", "--read-only", "--data", &data, "--timeout", "100ms", "-c", endless];
    station.cli(&args).problem("sql.interrupted");
    station.cli(&["db", "shell", "--read-only", "--data", "/nonexistent", "-c", count]).problem("admin.not_found");
    assert_eq!(station.cli(&["db", "shell", "--data", &data, "-c", count]).code, 2, "there is no shell that writes");
    let text = station.text(&["db", "shell", "--read-only", "--data", &data, "-c", "SELECT text FROM m1__notes"]);
    assert_eq!(text.stdout, "text\na\nb\nc\n");
    execute(&station, "one", &["INSERT INTO notes VALUES ('d')"]);
    station.is_alive();
}

#[test]
fn the_doctor_measures_the_disk_and_leaves_nothing() {
    let station = started();
    let data = station.data().display().to_string();
    let files = || std::fs::read_dir(&data).unwrap().count();
    let before = files();
    let run = station.cli(&["doctor", "--disk", "--data", &data]);
    let report = run.json();
    assert_eq!((report["in_use"].as_bool(), files()), (Some(true), before));
    assert!(
        report["flush"]["count"].as_u64() > Some(0) && report["flush"]["p50_us"].as_f64() > Some(0.0),
        "{report:#}"
    );
    // What this machine's disk is like is not ours to say.
    let code = if report["problem"] == Value::Null { 0 } else { 1 };
    assert_eq!(run.code, code, "{report:#}");
    assert!(code == 0 || report["problem"]["code"] == "station.read_only");
    station.cli(&["doctor", "--disk", "--data", "/nonexistent"]).problem("admin.not_found");
}

#[test]
fn a_station_that_leaves_checkpoints_to_others_keeps_its_wal() {
    let mut station = station().config("unit: { checkpoints: false }").start();
    station.deploy_all(&["sql-runner"]);
    let wal = |station: &Station| std::fs::metadata(station.data().join("station.db-wal")).map_or(0, |wal| wal.len());
    execute(&station, "sql-runner", &["CREATE TABLE t (x)"]);
    for _ in 0..60 {
        execute(&station, "sql-runner", &["DELETE FROM t", "INSERT INTO t VALUES (randomblob(200000))"]);
    }
    assert!(
        wal(&station) > 8 << 20,
        "{} bytes: a station with checkpoints begins anew at four mebibytes",
        wal(&station)
    );
    station.kill();
    station.start();
    station.is_alive();
}
