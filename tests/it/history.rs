//! Many clients at once, and afterwards their history held against one order: calls are serialisable.
//!
//! Two modules own accounts. A call of `bank-teller` reads on both sides and then writes, so that whoever waits for the
//! write lock meanwhile has read what is not so any more, and is run again. The clients remember what they were
//! answered, and the modules log in the same unit what they did. One order of all calls must explain both.
//!
//! All choices come from a seed that is printed; `STATION_HISTORY_SEED=N` has them again, as far as threads do.
//! `STATION_HISTORY_EACH=N` lets each client make more calls.

#![allow(clippy::print_stderr, reason = "how often calls met belongs to the result")]

use crate::station;
use serde_json::{Value, json};
use station_testkit::{Run, Seed, Station};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;

/// Few, so that every call meets others.
const ACCOUNTS: usize = 2;
/// What each begins with.
const BALANCE: i64 = 1_000;
/// Clients that write. More than processors, so that they meet while they wait.
const WRITERS: u64 = 8;
/// Clients that only read.
const READERS: u64 = 2;

/// A station with both modules and their accounts. How long a busy machine takes is not what is tested.
fn bank() -> Station {
    let station = station().config("limits: { deadline: 1m }\nunit: { write-max: 30s }").start();
    station.deploy_all(&["bank-ledger", "bank-teller"]);
    assert_eq!(call(&station, "open", json!([ACCOUNTS, BALANCE])).result(), json!({"ok": null}));
    station
}

#[track_caller]
fn call(station: &Station, function: &str, args: Value) -> Run {
    station.call_json("bank-teller", &format!("t:bank/teller#{function}"), args)
}

fn seed() -> Seed {
    Seed::from_env("STATION_HISTORY_SEED")
}

fn each() -> u64 {
    std::env::var("STATION_HISTORY_EACH").map_or(25, |text| text.parse().expect("a number"))
}

/// What the clients know.
#[derive(Default)]
struct History {
    /// Ids of what was answered as done.
    done: Mutex<BTreeSet<String>>,
    /// Calls that were run again.
    reran: AtomicU64,
    /// Set when nobody writes any more.
    over: AtomicBool,
}

impl History {
    /// Notes a call that was answered as done.
    fn note(&self, id: &str, answer: &Value) {
        let unit = &answer["call"]["unit"];
        assert_eq!(unit["outcome"], "committed", "{answer}");
        self.reran.fetch_add(u64::from(unit["reran"] == true), Ordering::Relaxed);
        self.done.lock().unwrap().insert(id.to_owned());
    }

    fn done(&self) -> BTreeSet<String> {
        self.done.lock().unwrap().clone()
    }
}

/// Lets clients write, each with its number and a seed of its own, while others read. Ends when all have.
fn at_once(seed: &mut Seed, history: &History, write: impl Fn(u64, Seed) + Sync, read: impl Fn() + Sync) {
    let (start, seeds) = (Barrier::new(WRITERS as usize), (0..WRITERS).map(|_| seed.number()).collect::<Vec<_>>());
    thread::scope(|scope| {
        let writer = |number: u64| {
            start.wait();
            write(number, Seed::of(seeds[number as usize]));
        };
        let writers: Vec<_> = (0..WRITERS).map(|number| scope.spawn(move || writer(number))).collect();
        let reader = || {
            while !history.over.load(Ordering::Relaxed) {
                read()
            }
        };
        (0..READERS).for_each(|_| drop(scope.spawn(reader)));
        let ended: Vec<_> = writers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        history.over.store(true, Ordering::Relaxed);
        ended.into_iter().for_each(|ended| ended.unwrap());
    });
}

/// What is logged on both sides, as id, account and amount.
fn logs(station: &Station) -> [Vec<(String, usize, i64)>; 2] {
    let logs = call(station, "entries", json!([""])).result();
    let entry = |entry: &Value| {
        let account = entry["account"].as_u64().unwrap() as usize;
        (entry["id"].as_str().unwrap().to_owned(), account, entry["amount"].as_i64().unwrap())
    };
    [0, 1].map(|side| logs["ok"][side].as_array().unwrap_or_else(|| panic!("{logs}")).iter().map(entry).collect())
}

fn ids(log: &[(String, usize, i64)]) -> BTreeSet<String> {
    log.iter().map(|(id, _, _)| id.clone()).collect()
}

/// All balances, in one call.
fn balances(station: &Station) -> [Vec<i64>; 2] {
    let found = call(station, "balances", json!([])).result();
    let side = |side: usize| found["ok"][side].as_array().unwrap_or_else(|| panic!("{found}"));
    [0, 1].map(|at| side(at).iter().map(|balance| balance.as_i64().unwrap()).collect())
}

/// The balances that a log leads to. A write that was made on what another had changed already shows here.
fn replayed(log: &[(String, usize, i64)]) -> Vec<i64> {
    let mut balances = vec![BALANCE; ACCOUNTS];
    log.iter().for_each(|(_, account, amount)| balances[*account] += amount);
    balances
}

#[track_caller]
fn assert_explained(station: &Station, logs: &[Vec<(String, usize, i64)>; 2]) {
    assert_eq!(balances(station), [replayed(&logs[0]), replayed(&logs[1])], "the balances are not those of the log");
}

#[test]
fn concurrent_transfers_lose_nothing_and_nobody_sees_half_of_one() {
    let (station, history, mut seed) = (bank(), History::default(), seed());
    let transfer = |number: u64, mut seed: Seed| {
        for at in 0..each() {
            // Now and then one that was made already: the last of four writes fails, and the others with it.
            let again = at > 0 && seed.percent(10);
            let id = format!("{number}-{}", if again { at - 1 } else { at });
            let (mine, theirs) = (seed.below(ACCOUNTS as u64), seed.below(ACCOUNTS as u64));
            let run = call(&station, "transfer", json!([id, mine, theirs, seed.below(200) as i64 - 100]));
            let answer = run.ok();
            match history.done().contains(&id) {
                true => assert!(answer["result"]["err"]["sql"].is_string(), "{id} was made twice: {answer}"),
                false => {
                    assert_eq!(answer["result"], json!({"ok": null}), "{id}");
                    history.note(&id, &answer);
                }
            }
        }
    };
    let read = || {
        let sum: i64 = balances(&station).iter().flatten().sum();
        assert_eq!(sum, 2 * ACCOUNTS as i64 * BALANCE, "a reader saw half of a transfer");
        let before = history.done();
        let seen = logs(&station).map(|log| ids(&log));
        assert_eq!(seen[0], seen[1], "a reader saw half of a transfer");
        assert!(before.is_subset(&seen[0]), "{:?} were answered before a reader began", before.difference(&seen[0]));
    };
    at_once(&mut seed, &history, transfer, read);
    let (done, logs, reran) = (history.done(), logs(&station), history.reran.into_inner());
    eprintln!("{} transfers, {reran} of them run again", done.len());
    assert_eq!((ids(&logs[0]), ids(&logs[1])), (done.clone(), done.clone()), "what was answered is what happened");
    assert_eq!((logs[0].len(), logs[1].len()), (done.len(), done.len()), "each of them once");
    assert_explained(&station, &logs);
    assert!(reran > 0, "nothing was run again, so nothing met");
}

/// Each call reads two accounts and writes one, so that two at once write different rows: alone they are right, and
/// both are only if neither has read what the other changed.
#[test]
fn what_a_call_has_read_still_holds_when_it_commits() {
    const AMOUNT: i64 = 150;
    let (station, history, mut seed) = (bank(), History::default(), seed());
    let withdraw = |number: u64, mut seed: Seed| {
        for at in 0..each() {
            let (id, account) = (format!("{number}-{at}"), seed.below(ACCOUNTS as u64));
            let answer = call(&station, "withdraw", json!([id, account, seed.percent(50), AMOUNT])).ok();
            match &answer["result"]["ok"] {
                Value::Bool(true) => history.note(&id, &answer),
                refused => assert_eq!(*refused, false, "{answer}"),
            }
        }
    };
    let pairs = || {
        let [mine, theirs] = balances(&station);
        mine.into_iter().zip(theirs).map(|(mine, theirs)| mine + theirs).collect::<Vec<_>>()
    };
    let read = || assert!(pairs().iter().all(|both| *both >= 0), "more was withdrawn than there was: {:?}", pairs());
    at_once(&mut seed, &history, withdraw, read);
    let (done, logs, reran) = (history.done(), logs(&station), history.reran.into_inner());
    eprintln!("{} withdrawals, {reran} of them run again", done.len());
    assert_eq!(pairs(), [2 * BALANCE % AMOUNT; ACCOUNTS], "all that could be was withdrawn, and no more");
    assert_eq!(&ids(&logs[0]) | &ids(&logs[1]), done, "what was answered is what happened");
    assert_eq!(logs[0].len() + logs[1].len(), done.len(), "each of them once");
    assert_explained(&station, &logs);
    assert!(reran > 0, "nothing was run again, so nothing met");
}
