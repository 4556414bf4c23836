//! `station new`, `station build`, `station deploy`, `station call`: a stranger's first module, in each language.
//!
//! The tools of the language are brought by the project's own lock files, as they are for a user.

use crate::started;
use serde_json::{Value, json};
use station_testkit::{Run, Station};
use std::path::Path;
use std::process::Command;

/// Runs a verb in `folder`, as somebody who has gone there would, and returns what it printed.
#[track_caller]
fn in_folder(folder: &Path, args: &[&str]) -> String {
    let run = Command::new(env!("CARGO_BIN_EXE_station")).args(args).current_dir(folder).output().unwrap();
    assert!(run.status.success(), "{args:?}: {}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap().trim().to_owned()
}

/// A station, and beside its data folder a new project.
#[track_caller]
fn project_in(lang: &str) -> Station {
    let station = started();
    in_folder(station.folder(), &["new", "hello-world", "--lang", lang]);
    station
}

/// Writes a migration of the project, over one that is there.
fn write_migration(station: &Station, file: &str, sql: &str) {
    let folder = station.folder().join("hello-world/migrations");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(file), sql).unwrap();
}

/// Builds the project and deploys it.
#[track_caller]
fn deployed(station: &Station) -> Run {
    let component = station.folder().join(in_folder(station.folder(), &["build", "hello-world"]));
    station.cli(&["deploy", component.to_str().unwrap(), "--name", "hello-world", "--grant-all"])
}

/// Builds the project again with this as its first migration, and deploys it.
#[track_caller]
fn deployed_with_migration(station: &Station, sql: &str) -> Run {
    write_migration(station, "V1__init.sql", sql);
    deployed(station)
}

#[track_caller]
fn assert_greets(station: &Station) {
    assert_eq!(station.state("hello-world"), "ready");
    let greeting = station.call("hello-world", "hello-world:hello-world/greeter#greet", "(\"Ada\")").result();
    assert!(greeting.as_str().is_some_and(|text| text.contains("Ada")), "{greeting}");
}

/// The module's tables, and what its migrations have noted in one of them.
#[track_caller]
fn noted(station: &Station) -> (Vec<String>, Value) {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let tables = station.cli(&["db", "tables"]).ok()["tables"].as_array().expect("a list").clone();
    let notes = tables.iter().find(|table| table["name"] == "notes").expect("the first migration has run");
    let sql = format!("SELECT note FROM {} ORDER BY rowid", text(&notes["physical"]));
    let data = station.data().display().to_string();
    let read = station.cli(&["db", "shell", "--read-only", "--data", &data, "-c", &sql]).ok();
    (tables.iter().map(|table| text(&table["name"])).collect(), read["results"][0]["rows"].clone())
}

const NOTE: &str = "INSERT INTO notes VALUES";

/// A station with a project that serves and has its first migration. Each build takes a language's tools, and then the
/// compiler, many seconds, so it is there from the first one on.
#[track_caller]
fn first_module_with_a_migration_in(lang: &str) -> Station {
    let station = project_in(lang);
    deployed_with_migration(&station, &format!("CREATE TABLE notes (note); {NOTE} ('first')")).ok();
    assert_greets(&station);
    assert_eq!(noted(&station), (vec!["notes".to_owned()], json!([["first"]])));
    station
}

#[track_caller]
fn assert_that_a_second_migration_that_fails_is_undone(station: &Station) {
    let fails = format!("{NOTE} ('gone'); CREATE TABLE gone (x); INSERT INTO nowhere VALUES (1)");
    write_migration(station, "V2__more.sql", &fails);
    let digest = station.show("hello-world")["digest"].clone();
    let refused = deployed(station).problem("sql.syntax");
    assert!(refused["detail"].as_str().is_some_and(|why| why.contains("migration V2")), "{refused}");
    assert_eq!(noted(station), (vec!["notes".to_owned()], json!([["first"]])), "a part of what failed has stayed");
    assert_eq!(station.show("hello-world")["digest"], digest);
    assert_greets(station);
}

#[track_caller]
fn assert_that_a_second_migration_runs_alone(station: &Station) {
    write_migration(station, "V2__more.sql", &format!("{NOTE} ('second')"));
    deployed(station).ok();
    assert_greets(station);
    assert_eq!(noted(station).1, json!([["first"], ["second"]]), "each has run once");
}

#[test]
fn a_new_project_in_rust_is_built_deployed_and_called_and_its_migrations_come_along() {
    let station = project_in("rust");
    deployed(&station).ok();
    assert_greets(&station);
    let refused = deployed_with_migration(&station, "CREATE TABEL t (x)").problem("sql.syntax");
    assert!(refused["detail"].as_str().is_some_and(|why| why.contains("migration V1")), "{refused}");
    deployed_with_migration(&station, "CREATE TABLE t (x)").ok();
    // Cargo has nothing to do the second time, and what it left must not get the migrations twice.
    deployed_with_migration(&station, "CREATE TABLE t (x)").ok();
    let changed = deployed_with_migration(&station, "CREATE TABLE t (x, y)").problem("upload.invalid");
    assert!(changed["detail"].as_str().is_some_and(|why| why.contains("migration V1")), "{changed}");
    assert_eq!(station.state("hello-world"), "ready");
}

#[test]
fn a_new_project_in_javascript_is_built_deployed_and_called_and_its_migrations_come_along() {
    let station = first_module_with_a_migration_in("js");
    assert_that_a_second_migration_that_fails_is_undone(&station);
    assert_that_a_second_migration_runs_alone(&station);
}

#[test]
fn a_new_project_in_python_is_built_deployed_and_called_and_its_migrations_come_along() {
    let station = first_module_with_a_migration_in("python");
    assert_that_a_second_migration_runs_alone(&station);
}
