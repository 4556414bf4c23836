//! Backups: a whole station in one file, taken while it works, and back again.

use crate::crash::disk;
use crate::unit_of_work::{CALLER, both, pair, there};
use crate::{started, station};
use serde_json::json;
use station_testkit::{Cache, Station, until};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

fn shown(path: &Path) -> &str {
    path.to_str().expect("a path of ours")
}

/// A backup of a station that runs.
#[track_caller]
fn backed_up(station: &Station, name: &str) -> PathBuf {
    let file = station.folder().join(name);
    let told = station.cli(&["backup", shown(&file)]).ok();
    assert_eq!(told["file"], json!(file));
    file
}

/// A station that is not started yet, on what the backup has.
#[track_caller]
fn restored(from: &Station, file: &Path) -> Station {
    let station = station().cache(Cache::Own).stopped();
    from.cli(&["restore", shown(file), "--data", shown(&station.data())]).ok();
    station
}

/// Waits until a station without compiled code has made it again: it serves meanwhile, on a busy machine for a while.
fn compiled(station: &Station) {
    until("every module is compiled again", || {
        let list = station.get("/v1/modules");
        let modules = list["modules"].as_array().expect("a list");
        modules.iter().all(|module| module["state"] != "broken").then_some(())
    });
}

#[test]
fn a_backup_under_load_is_a_consistent_prefix() {
    let station = pair();
    let (done, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    let backups = std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(SeqCst) {
                    assert_eq!(station.call_with(CALLER, both("succeed", "succeed")).result(), json!({"ok": "ok"}));
                    acknowledged.fetch_add(1, SeqCst);
                }
            });
        }
        let backups = [0, 1, 2].map(|round| {
            let before = acknowledged.load(SeqCst);
            let file = backed_up(&station, &format!("{round}.tar"));
            (before, file, acknowledged.load(SeqCst) + 3)
        });
        done.store(true, SeqCst);
        backups
    });
    for (before, file, after) in backups {
        let mut again = restored(&station, &file);
        again.start();
        compiled(&again);
        let (caller, runner) = there(&again);
        assert_eq!(caller, runner, "both modules have what both have written");
        assert!(
            before <= caller && caller <= after,
            "{before} were acknowledged before, {after} at the end, not {caller}"
        );
        assert_eq!(again.call_with(CALLER, both("succeed", "succeed")).result(), json!({"ok": "ok"}));
        again.is_alive();
    }
}

#[test]
fn a_restored_station_serves_the_same_with_a_new_first_token() {
    let station = pair();
    station.deploy("unused-import");
    station.call_with(CALLER, both("succeed", "succeed")).ok();
    let other = station.cli(&["token", "create", "--label", "ci", "--scope", "read"]).ok();
    let mut again = restored(&station, &backed_up(&station, "one.tar"));
    for secret in ["admin.token", "cache.key"] {
        assert!(station.data().join(secret).exists() && !again.data().join(secret).exists(), "{secret}");
    }
    again.start();
    compiled(&again);
    let modules = |of: &Station| {
        let mut list = of.get("/v1/modules");
        // What was counted since the start of each.
        for module in list["modules"].as_array_mut().expect("a list") {
            for counted in ["calls", "failures", "fuel"] {
                module[counted] = json!(0);
            }
        }
        list
    };
    assert_eq!(modules(&again), modules(&station));
    assert_eq!(there(&again), (1, 1));
    let audit = again.get("/v1/audit").to_string();
    assert!(audit.contains("\"backup\""), "who asked for it is in it: {audit}");
    let secret = other["secret"].as_str().expect("a secret");
    again.cli_as(secret, &["ls"]).ok();
    again.cli_as(&station.token(), &["ls"]).problem("admin.unauthenticated");
}

#[test]
fn a_backup_of_a_stopped_station_is_the_same() {
    let mut station = pair();
    station.call_with(CALLER, both("succeed", "succeed")).ok();
    let (data, file) = (station.data(), station.folder().join("stopped.tar"));
    let args = ["backup", shown(&file), "--data", shown(&data)];
    station.cli(&args).problem("admin.conflict");
    assert!(!file.exists());
    let live = backed_up(&station, "live.tar");
    station.cli(&["backup", shown(&live)]).problem("admin.conflict");
    station.cli(&["backup", shown(&live), "--force"]).ok();
    station.cli(&["restore", shown(&live), "--data", shown(&data)]).problem("admin.conflict");
    station.kill();
    station.cli(&args).ok();
    let mut again = restored(&station, &file);
    again.start();
    compiled(&again);
    assert_eq!(there(&again), (1, 1));
}

/// A disk that does not flush keeps the station from writing down who asked.
#[test]
fn a_backup_that_takes_long_says_that_it_is_alive() {
    let mut station = started();
    let gate = station.folder().join("gate");
    station.kill();
    station.set_disk(Some(disk().held_by(&gate)));
    station.start();
    let file = station.folder().join("long.tar");
    std::fs::write(&gate, "").unwrap();
    let asks = |more: &[&str]| {
        let mut backup = Command::new(env!("CARGO_BIN_EXE_station"));
        backup.args(["backup", shown(&file), "--force", "--url", &station.ready().admin]).args(more);
        backup.env("STATION_TOKEN", station.token()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut waits = asks(&[]);
    let said = BufReader::new(waits.stderr.take().unwrap());
    let mut lines = said.lines().map_while(Result::ok);
    let first = lines.next().expect("it says something while it waits");
    assert!(first.starts_with("the station copies its database, ") && first.ends_with(" s"), "{first}");
    std::fs::remove_file(&gate).unwrap();
    assert!(lines.last().is_some_and(|line| line.ends_with("; checked")));
    assert!(waits.wait().unwrap().success() && file.exists());
    let quiet = asks(&["--quiet"]).wait_with_output().unwrap();
    assert!(quiet.status.success() && quiet.stderr.is_empty(), "{quiet:?}");
}

/// A disk that does not flush keeps what was restored from being whole.
#[test]
fn a_restore_that_takes_long_says_that_it_is_alive() {
    let station = started();
    let (file, gate) = (backed_up(&station, "one.tar"), station.folder().join("gate"));
    std::fs::write(&gate, "").unwrap();
    let asks = |data: &Path, more: &[&str]| {
        let program = Path::new(env!("CARGO_BIN_EXE_station"));
        let mut restore = Command::new(program);
        restore.args(["restore", shown(&file), "--data", shown(data)]).args(more);
        restore.envs(disk().held_by(&gate).environment(program, data));
        restore.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let data = station.folder().join("again");
    let mut waits = asks(&data, &[]);
    let said = BufReader::new(waits.stderr.take().unwrap());
    let mut lines = said.lines().map_while(Result::ok);
    let first = lines.next().expect("it says something while it waits");
    assert!(first.starts_with("checking the backup and writing what is in it, ") && first.ends_with(" s"), "{first}");
    assert!(!data.join("station.db").exists(), "it waits");
    std::fs::remove_file(&gate).unwrap();
    assert!(lines.last().is_some_and(|line| line.ends_with("; start it with `station serve`")));
    assert!(waits.wait().unwrap().success() && data.join("station.db").exists());
    let quiet = asks(&station.folder().join("quiet"), &["--quiet"]).wait_with_output().unwrap();
    assert!(quiet.status.success() && quiet.stderr.is_empty(), "{quiet:?}");
}

#[test]
fn a_backup_needs_the_scope_and_leaves_no_file_without_it() {
    let station = started();
    let made = station.cli(&["token", "create", "--label", "ci", "--scope", "deploy"]).ok();
    let file = station.folder().join("x.tar");
    station.cli_as(made["secret"].as_str().expect("a secret"), &["backup", shown(&file)]).problem("admin.forbidden");
    let damaged = station.folder().join("damaged.tar");
    std::fs::write(&damaged, "no archive").unwrap();
    let data = station.folder().join("again");
    station.cli(&["restore", shown(&damaged), "--data", shown(&data)]).problem("admin.bad_request");
    station.cli(&["restore", shown(&file), "--data", shown(&data)]).problem("client.file");
    assert!(!file.exists() && !data.exists() && !station.folder().join("x.tar.part").exists());
}
