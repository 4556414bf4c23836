//! What one call tree writes, in whatever module and by whatever interface, commits together or vanishes together.

use crate::sql::{count, execute, rows, run};
use crate::{started, station};
use serde_json::{Value, json};
use station_testkit::Station;

pub(crate) const CALLER: &str = "sql-caller";
const RUNNER: &str = "sql-runner";

/// A station with `sql-caller` and `sql-runner`, each with a table `t`.
pub(crate) fn pair() -> Station {
    with_tables(started())
}

fn with_tables(station: Station) -> Station {
    station.deploy_all(&[RUNNER, CALLER]);
    let table = "CREATE TABLE t (x)";
    execute(&station, RUNNER, &[table]);
    assert_eq!(call(&station, "execute", json!([table, []])), json!({"ok": 0}));
    station
}

/// Calls a function of `t:sql/call`.
#[track_caller]
fn call(station: &Station, function: &str, args: Value) -> Value {
    station.call_json(CALLER, &format!("t:sql/call#{function}"), args).result()
}

/// The body of a call of `both`: each writes a row, then they end as told.
pub(crate) fn both(they: &str, then: &str) -> Value {
    let row = ["INSERT INTO t VALUES (1)"];
    json!({"function": "t:sql/call#both", "args": [row, row, they, then]})
}

/// How many rows the caller and the runner have.
#[track_caller]
pub(crate) fn there(station: &Station) -> (u64, u64) {
    let own = call(station, "query", json!(["SELECT count(*) FROM t", []]));
    let own = own["ok"]["rows"][0]["values"][0]["integer"].as_u64().expect("a number");
    (own, count(station, RUNNER, "SELECT count(*) FROM t"))
}

#[test]
fn two_modules_commit_together() {
    let mut station = pair();
    assert_eq!(station.call_with(CALLER, both("succeed", "succeed")).result(), json!({"ok": "ok"}));
    assert_eq!(there(&station), (1, 1));
    station.kill();
    station.start();
    assert_eq!(there(&station), (1, 1), "what was answered is on the disk");
}

#[test]
fn two_modules_vanish_together_when_the_root_call_fails() {
    let config = "limits: { fuel: 9_000_000_000_000, deadline: 30s }";
    let mut station = with_tables(station().config(config).start());
    assert_eq!(station.call_with(CALLER, both("succeed", "refuse")).result(), json!({"err": "refused"}));
    assert_eq!(there(&station), (0, 0), "after an err");
    station.call_with(CALLER, both("succeed", "trap")).problem("call.trap");
    assert_eq!(there(&station), (0, 0), "after a trap");
    let mut hangs = both("succeed", "hang");
    hangs["deadline"] = json!("300ms");
    station.call_with(CALLER, hangs).problem("call.deadline");
    assert_eq!(there(&station), (0, 0), "after the deadline");
    let mut poor = both("succeed", "hang");
    poor["fuel"] = json!(20_000_000);
    station.call_with(CALLER, poor).problem("call.out_of_fuel");
    assert_eq!(there(&station), (0, 0), "after the fuel");
    let mut hangs = both("hang", "succeed");
    hangs["deadline"] = json!("300ms");
    station.call_with(CALLER, hangs).problem("call.deadline");
    assert_eq!(there(&station), (0, 0), "after the deadline in the callee");
    assert_eq!(station.call_with(CALLER, both("succeed", "succeed")).result(), json!({"ok": "ok"}));
    assert_eq!(there(&station), (1, 1), "nothing is in the way of the next call");
    station.is_alive();
}

#[test]
fn a_callee_that_fails_takes_only_its_own_writes_along() {
    let station = pair();
    for (at, (they, came)) in [("refuse", "refused"), ("trap", "call.trap")].into_iter().enumerate() {
        assert_eq!(station.call_with(CALLER, both(they, "succeed")).result(), json!({"ok": came}));
        assert_eq!(there(&station), (at as u64 + 1, 0), "after {they}");
    }
    let args =
        json!([["INSERT INTO t VALUES (1)"], ["INSERT INTO t VALUES (1)", "SELECT * FROM gone"], "succeed", "succeed"]);
    assert_eq!(call(&station, "both", args), json!({"ok": "sql"}), "an err that the database began");
    assert_eq!(there(&station), (3, 0));
    assert_eq!(station.call_with(CALLER, both("refuse", "refuse")).result(), json!({"err": "refused"}));
    assert_eq!(there(&station), (3, 0));
}

#[test]
fn modules_of_one_tree_see_what_each_other_did_through_calls() {
    let station = pair();
    let args = json!([
        "INSERT INTO t VALUES ('caller')",
        "INSERT INTO t VALUES ('runner')",
        "SELECT x, count(*) FROM t GROUP BY x",
        "SELECT x, count(*) FROM t GROUP BY x",
    ]);
    let seen = call(&station, "in-turns", args);
    let seen: Vec<_> = seen["ok"].as_array().expect("tables").iter().map(|table| table["rows"].clone()).collect();
    let one = |name: &str, times: u64| json!([{"values": [{"text": name}, {"integer": times}]}]);
    assert_eq!(seen, [one("caller", 1), one("runner", 1), one("caller", 2), one("runner", 2)]);
    assert_eq!(there(&station), (2, 2));
}

#[test]
fn a_call_sees_its_own_writes_and_another_call_sees_them_after_the_commit() {
    let station = pair();
    let sql = ["INSERT INTO t VALUES (1)", "INSERT INTO t SELECT x + 1 FROM t", "INSERT INTO t SELECT x + 10 FROM t"];
    execute(&station, RUNNER, &sql);
    let numbers = [1, 2, 11, 12].map(|n| json!([{"integer": n}]));
    assert_eq!(rows(&station, RUNNER, "SELECT x FROM t ORDER BY x"), json!(numbers));
    let refused = run(&station, RUNNER, "execute-then", json!([["DELETE FROM t", "DROP TABLE t"], "refuse"]));
    assert_eq!(refused, json!({"err": "refused"}));
    assert_eq!(rows(&station, RUNNER, "SELECT x FROM t ORDER BY x"), json!(numbers), "the schema comes back, too");
}

#[test]
fn keys_and_rows_are_in_one_unit() {
    let station = pair();
    let write = |key: &str, then: &str| {
        let args = json!([key, "INSERT INTO t VALUES (1)", then]);
        station.call_json(CALLER, "t:sql/call#key-and-row", args)
    };
    let there = |key: &str| (call(&station, "has-key", json!([key])) == json!(true), there(&station).0);
    assert_eq!(write("one", "refuse").result(), json!({"err": "refused"}));
    assert_eq!(there("one"), (false, 0));
    write("two", "trap").problem("call.trap");
    assert_eq!(there("two"), (false, 0));
    let done = write("three", "succeed").ok();
    assert_eq!(done["result"], json!({"ok": null}));
    let unit = &done["call"]["unit"];
    let tables: Vec<_> = unit["wrote"].as_array().expect("tables").iter().map(|wrote| &wrote["table"]).collect();
    assert_eq!((&unit["outcome"], tables), (&json!("committed"), vec![&json!("kv/b"), &json!("t")]), "{unit}");
    assert_eq!(there("three"), (true, 1));
    let args = json!(["four", "INSERT INTO gone VALUES (1)", "succeed"]);
    let failed = call(&station, "key-and-row", args);
    assert!(failed["err"]["sql"].is_object(), "{failed}");
    assert_eq!(there("four"), (false, 1), "a statement that fails undoes the key when the call fails with it");
}

#[test]
fn data_ends_with_its_module() {
    let station = pair();
    assert_eq!(station.call_with(CALLER, both("succeed", "succeed")).result(), json!({"ok": "ok"}));
    station.cli(&["rm", CALLER]).ok();
    station.deploy_all(&[CALLER]);
    let gone = call(&station, "query", json!(["SELECT count(*) FROM t", []]));
    assert!(gone["err"]["sql"]["syntax"].is_object(), "{gone}");
    assert_eq!(count(&station, RUNNER, "SELECT count(*) FROM t"), 1);
}

/// Calls a function of an interface of `t:sql` that a Spin guest exports.
#[track_caller]
fn spin(station: &Station, module: &str, function: &str, args: Value) -> Value {
    station.call_json(module, &format!("t:sql/{function}"), args).result()
}

#[test]
fn modules_made_for_spin_run_unmodified() {
    let station = started();
    for module in ["sql-spin2", "sql-spin3"] {
        station.deploy_with(module, module, &[]).ok();
        assert!(station.waits_for(module).contains("/sqlite@"), "it needs a grant: {}", station.waits_for(module));
        station.deploy_all(&[module]);
        let execute = |sql: &str, params: Value| spin(&station, module, "spin#execute", json!([sql, params]));
        assert_eq!(spin(&station, module, "spin#open", json!(["default"])), json!({"ok": null}));
        for other in ["other", "", "Default", "../station.db", ":memory:"] {
            assert_eq!(spin(&station, module, "spin#open", json!([other])), json!({"err": "access-denied"}), "{other}");
        }
        assert_eq!(execute("CREATE TABLE t (a, b, c, d, e)", json!([])), json!({"ok": [[], []]}));
        let values =
            json!([{"integer": "-9223372036854775808"}, {"real": 0.5}, {"text": "☃"}, {"blob": [0, 1]}, "null"]);
        assert_eq!(execute("INSERT INTO t VALUES (?, ?, ?, ?, ?)", values.clone()), json!({"ok": [[], []]}));
        let found = execute("SELECT * FROM t WHERE c = :c", json!([{"text": "☃"}]));
        assert_eq!(found, json!({"ok": [["a", "b", "c", "d", "e"], [{"values": values}]]}));
        let failed = execute("SELECT * FROM gone", json!([]));
        assert!(failed["err"].as_str().is_some_and(|why| why.contains("gone")), "{failed}");
        let denied = execute("ATTACH 'x.db' AS x", json!([]));
        assert!(denied["err"].is_string(), "{denied}");
        assert_eq!(execute("SELECT count(*) FROM t", json!([]))["ok"][1][0]["values"], json!([{"integer": 1}]));
    }
}

#[test]
fn the_third_spin_counts_and_the_first_has_numbers() {
    let station = started();
    station.deploy_all(&["sql-spin2", "sql-spin3"]);
    let statements = [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a)",
        "INSERT INTO t (a) VALUES (1)",
        "INSERT INTO t (a) VALUES (2), (3)",
        "UPDATE t SET a = 0",
        "SELECT * FROM t",
        "DELETE FROM t WHERE id = 99",
    ];
    let counted = spin(&station, "sql-spin3", "spin-counters#count", json!([statements]));
    assert_eq!(counted, json!({"ok": [[0, 0], [1, 1], [3, 2], [3, 3], [3, 3], [3, 0]]}));
    let first = |function: &str, args: Value| spin(&station, "sql-spin2", &format!("spin-numbers#{function}"), args);
    assert_eq!(first("execute", json!(["SELECT 1 UNION ALL SELECT 2"])), json!({"ok": 2}));
    for number in [0_u32, 1, 7, u32::MAX] {
        let forged = first("forge", json!([number]));
        assert!(forged["err"].as_str().is_some_and(|why| why.contains("InvalidConnection")), "{number}: {forged}");
    }
}
