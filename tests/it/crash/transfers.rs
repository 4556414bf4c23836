//! Rows of two modules in one unit of work: a transfer from an account of one to an account of the other.

use super::client::{Client, Reply};
use super::workload::{Mark, Outcome, Workload};
use serde_json::{Value, json};
use station_testkit::Station;
use std::collections::BTreeSet;

/// The module that is called first needs the other.
const MODULES: [&str; 2] = ["bank-ledger", "bank-teller"];
/// Few, so that every transfer meets others.
const ACCOUNTS: u32 = 3;
/// What each account begins with.
const BALANCE: i64 = 1_000;

/// Transfers whose id is the mark, logged on both sides; now and then the id is longer than a page of the database.
pub(crate) struct Transfers;

impl Workload for Transfers {
    fn weight(&self) -> u32 {
        2
    }

    fn prepare(&self, client: &Client) -> bool {
        let deployed =
            |module: &&str| matches!(client.upload(module, station_testkit::guest_bytes(module)), Reply::Done { .. });
        MODULES.iter().all(deployed)
            && matches!(call(client, "open", json!([ACCOUNTS, BALANCE])), Reply::Done { value, .. } if value == json!({"ok": null}))
    }

    fn write(&self, client: &Client, mark: Mark) -> Outcome {
        match call(client, "transfer", json!([id(mark), mine(mark), theirs(mark), amount(mark)])) {
            Reply::Done { value, call } if value == json!({"ok": null}) => Outcome::Acknowledged(call),
            Reply::Done { .. } => Outcome::Failed,
            Reply::Problem { code } if ["station.busy", "station.draining"].contains(&code.as_str()) => {
                Outcome::Refused
            }
            Reply::Problem { code } if code.starts_with("station.") || code == "sql.busy" => Outcome::Failed,
            Reply::Problem { code } => panic!("{code} is about the workload and not about the disk"),
            Reply::Lost => Outcome::Lost,
        }
    }

    fn read(&self, client: &Client, mark: Mark) -> Option<(bool, String)> {
        let Reply::Done { value, call } = call(client, "entries", json!([mark.to_string()])) else { return None };
        Some((!pairs(&value["ok"]).is_empty(), call))
    }

    fn there(&self, station: &Station, round: u32) -> BTreeSet<Mark> {
        let client = Client::of(station);
        let ask = |function: &str, args: Value| match call(&client, function, args) {
            Reply::Done { value, .. } => value["ok"].clone(),
            other => panic!("the teller does not answer: {other:?}"),
        };
        assert_eq!(ask("balances", json!([])), replayed(&ask("entries", json!([""]))), "the balances and the log");
        pairs(&ask("entries", json!([format!("r{round:05}")])))
    }
}

fn call(client: &Client, function: &str, args: Value) -> Reply {
    client.call("bank-teller", &format!("t:bank/teller#{function}"), &args)
}

fn id(mark: Mark) -> String {
    mark.to_string().repeat(if mark.number % 16 == 3 { 300 } else { 1 })
}

fn mine(mark: Mark) -> u32 {
    mark.number % ACCOUNTS
}

fn theirs(mark: Mark) -> u32 {
    (mark.number + mark.writer) % ACCOUNTS
}

fn amount(mark: Mark) -> i64 {
    i64::from(mark.number + mark.writer) % 7 - 3
}

/// The transfers in the logs of both sides.
///
/// # Panics
/// When one is there on one side only, or is not what was asked for.
fn pairs(logs: &Value) -> BTreeSet<Mark> {
    let side = |at: usize| logs[at].as_array().unwrap_or_else(|| panic!("no logs: {logs}"));
    assert_eq!(side(0).len(), side(1).len(), "half of a transfer is there: {logs}");
    let whole = |(out, into): (&Value, &Value)| {
        let text = out["id"].as_str().expect("an id");
        let mark = Mark::parse(text).unwrap_or_else(|| panic!("nobody transfers {text}"));
        assert_eq!(*out, json!({"id": id(mark), "account": mine(mark), "amount": -amount(mark)}), "{mark}");
        assert_eq!(*into, json!({"id": id(mark), "account": theirs(mark), "amount": amount(mark)}), "{mark}");
        mark
    };
    side(0).iter().zip(side(1)).map(whole).collect()
}

/// The balances that the logs lead to.
fn replayed(logs: &Value) -> Value {
    let side = |at: usize| {
        let mut balances = [BALANCE; ACCOUNTS as usize];
        for entry in logs[at].as_array().unwrap_or_else(|| panic!("no logs: {logs}")) {
            balances[entry["account"].as_u64().unwrap() as usize] += entry["amount"].as_i64().unwrap();
        }
        balances
    };
    json!([side(0), side(1)])
}
