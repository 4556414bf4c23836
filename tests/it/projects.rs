//! `station new`, `station build`, `station deploy`, `station call`: a stranger's first module, in each language.
//!
//! The tools of the language are brought by the project's own lock files, as they are for a user.

use crate::started;
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

/// Makes, builds, deploys and calls a project in `lang`.
#[track_caller]
fn first_module_in(lang: &str) -> Station {
    let station = started();
    in_folder(station.folder(), &["new", "hello-world", "--lang", lang]);
    let component = station.folder().join(in_folder(station.folder(), &["build", "hello-world"]));
    station.cli(&["deploy", component.to_str().unwrap(), "--name", "hello-world", "--grant-all"]).ok();
    assert_eq!(station.state("hello-world"), "ready");
    let greeting = station.call("hello-world", "hello-world:hello-world/greeter#greet", "(\"Ada\")").result();
    assert!(greeting.as_str().is_some_and(|text| text.contains("Ada")), "{greeting}");
    station
}

/// Builds the project again with this as its first migration, and deploys it.
#[track_caller]
fn deployed_with_migration(station: &Station, sql: &str) -> Run {
    let folder = station.folder().join("hello-world/migrations");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("V1__init.sql"), sql).unwrap();
    let component = station.folder().join(in_folder(station.folder(), &["build", "hello-world"]));
    station.cli(&["deploy", component.to_str().unwrap(), "--name", "hello-world", "--grant-all"])
}

#[test]
fn a_new_project_in_rust_is_built_deployed_and_called_and_its_migrations_come_along() {
    let station = first_module_in("rust");
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
fn a_new_project_in_javascript_is_built_deployed_and_called() {
    first_module_in("js");
}

#[test]
fn a_new_project_in_python_is_built_deployed_and_called() {
    first_module_in("python");
}
