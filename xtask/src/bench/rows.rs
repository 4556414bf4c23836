//! From what the benches and the peers measured to rows with goals, and to the lines of the plot.
//!
//! The goals are those of `docs/performance.md`.

use super::list;
use super::plot::Line;
use super::row::{Goal, Row};
use serde_json::Value;

/// What the benches call ours.
const OURS: &str = "brokered";
const SQLITE: [&str; 2] = ["SQLite, 64 threads, a connection each", "SQLite, 64 threads, one connection"];

/// Rows of `benches/call.rs`, which knows its goals itself.
pub(super) fn of_calls(call: &Value) -> Vec<Row> {
    let row = |row: &Value| {
        let goal = row.get("goal").and_then(Value::as_f64).map(Goal::Times);
        let (ours, reference) = (number(row, "ours_ns")?, number(row, "reference_ns")?);
        let name = format!("call: {}", text(row, "what"));
        let made = Row::against((name, ours), (text(row, "reference"), reference), "ns", goal);
        // Of its rounds it has kept the median of the ratios, which says more than the ratio of the medians.
        let ratio = number(row, "ratio")?;
        Some(Row { ratio: Some(ratio), pass: row.get("goal")?.as_f64().map(|goal| ratio <= goal), ..made })
    };
    list(call, "rows").iter().filter_map(row).collect()
}

/// Ours against each peer with the same bytes there and back, both by the clock that the peer says: the one on the wall
/// where a hop is waiting for somebody, processor time where it only computes.
pub(super) fn of_hops(ours: &[Value], peers: &[Value]) -> Vec<Row> {
    peers.iter().filter_map(|peer| of_hop(ours, peer)).collect()
}

fn of_hop(ours: &[Value], peer: &Value) -> Option<Row> {
    let bytes = number(peer, "bytes")?;
    let is_same = |case: &&Value| text(case, "by") == OURS && number(case, "bytes") == Some(bytes) && is_echo(case);
    let ours = ours.iter().find(is_same)?;
    let clock = clock(peer);
    let goal = goal_of_hop(text(peer, "by"), bytes);
    let name = format!("call: {}", text(ours, "what"));
    let mut row = Row::against((name, number(ours, clock)?), (text(peer, "by"), number(peer, clock)?), "ns", goal);
    row.ratio = row.reference.map(|reference| reference / row.ours);
    Some(row)
}

fn goal_of_hop(peer: &str, bytes: f64) -> Option<Goal> {
    match peer {
        "HTTP/1.1 over loopback" if bytes <= 65_536.0 => Some(Goal::Faster(50.0)),
        "gRPC over loopback" if bytes <= 65_536.0 => Some(Goal::Faster(90.0)),
        "Extism, plugin to plugin" => Some(Goal::Faster(5.0)),
        _ => None,
    }
}

/// Requests per second of the station and of `wasmtime serve`: kept instances, then fresh ones.
pub(super) fn of_servers(measured: &Value) -> Vec<Row> {
    let rates: Vec<f64> = list(measured, "servers").iter().filter_map(|server| number(server, "per_second")).collect();
    let names = [
        ("HTTP hello, reused instances", "wasmtime serve, reuse on"),
        ("HTTP hello, fresh instances", "wasmtime serve, reuse off"),
    ];
    let row = |(pair, (ours, theirs)): (&[f64], (&str, &str))| match pair {
        [station, wasmtime] => {
            let goal = Some(Goal::Share(0.9));
            Some(Row::against((ours.to_owned(), *station), (theirs, *wasmtime), "per second", goal))
        }
        _ => None,
    };
    rates.chunks(2).zip(names).filter_map(row).collect()
}

/// Durable writes per second, and what one caller waits. The goals are for flushes that take a millisecond.
pub(super) fn of_units(measured: &Value, slow: bool) -> Vec<Row> {
    let sides = list(measured, "sides");
    let of = |name: &str, key: &str| number(sides.iter().find(|side| text(side, "by") == name)?, key);
    let better = SQLITE
        .into_iter()
        .max_by(|a, b| of(a, "per_second").partial_cmp(&of(b, "per_second")).unwrap_or(std::cmp::Ordering::Equal));
    let flushes = if slow { ", flushes of 1 ms" } else { "" };
    let row = |name: &str, key: &str, unit: &str, (ours, theirs): (&str, &str), goal: Option<Goal>| {
        let goal = goal.filter(|_| slow);
        Some(Row::against((format!("{name}{flushes}"), of(ours, key)?), (theirs, of(theirs, key)?), unit, goal))
    };
    let better = better.unwrap_or(SQLITE[0]);
    let many = ("station, 64 callers", better);
    let one = ("station, one caller", "SQLite, one thread");
    // A caller of the gateway pays for HTTP, whoever serves it: judged is what both pay for.
    let by_http = ("station, one caller", "axum and SQLite, one caller");
    [
        row("durable writes, 64 callers", "per_second", "per second", many, Some(Goal::Share(5.0))),
        row("durable write, 64 callers, p99", "p99_ms", "ms", many, None),
        row("durable write, one caller, p50", "p50_ms", "ms", one, None),
        row("durable write, one caller, p50, by HTTP", "p50_ms", "ms", by_http, Some(Goal::Times(1.3))),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Durable units by the storage alone, against the better of two ways to use SQLite.
pub(super) fn of_storage(measured: &Value) -> Vec<Row> {
    let sides = list(measured, "sides");
    let of = |by: &str, threads: f64, key: &str| {
        let is_it = |side: &&Value| text(side, "by") == by && number(side, "threads") == Some(threads);
        number(sides.iter().find(is_it)?, key)
    };
    let row = |name: &str, threads: f64, (key, unit): (&str, &str), goal: Goal| {
        let (each, shared) = (of("each", threads, key)?, of("shared", threads, key)?);
        let better = if matches!(goal, Goal::Share(_)) { each.max(shared) } else { each.min(shared) };
        let ours = (format!("durable units, storage, {name}, flushes of 1 ms"), of("station", threads, key)?);
        Some(Row::against(ours, ("SQLite, the same statements", better), unit, Some(goal)))
    };
    let many = row("64 threads", 64.0, ("per_second", "per second"), Goal::Share(5.0));
    many.into_iter().chain(row("one thread, p50", 1.0, ("p50_ms", "ms"), Goal::Times(1.3))).collect()
}

/// The lines of the plot: ours first, then references of the same run, then peers.
pub(super) fn lines(cases: &[Value]) -> Vec<Line> {
    let mut names: Vec<&str> = Vec::new();
    for case in cases.iter().filter(|case| is_echo(case)) {
        if !names.contains(&text(case, "by")) && text(case, "by") != "host to guest" {
            names.push(text(case, "by"));
        }
    }
    names.into_iter().map(|name| line(cases, name)).collect()
}

fn line(cases: &[Value], by: &str) -> Line {
    let of_this = cases.iter().filter(|case| is_echo(case) && text(case, "by") == by);
    let mut points: Vec<_> =
        of_this.filter_map(|case| Some((number(case, "bytes")?, number(case, clock(case))?))).collect();
    points.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let name = match by {
        OURS => "Station, module to module",
        "dynamic lane" => "Station, dynamic lane",
        "composed" => "composed into one component",
        "memcpy" => "memcpy, two",
        peer => peer,
    };
    Line { name: name.to_owned(), is_ours: by == OURS, points }
}

/// Bytes that go there and come back. Peers do nothing else, and do not say so.
fn is_echo(case: &Value) -> bool {
    number(case, clock(case)).is_some() && case.get("both_ways").and_then(Value::as_bool).unwrap_or(true)
}

/// Processor time for what says nothing else.
fn clock(case: &Value) -> &str {
    case.get("clock").and_then(Value::as_str).unwrap_or("ns")
}

fn number(value: &Value, key: &str) -> Option<f64> {
    value.get(key).and_then(Value::as_f64)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ours(bytes: u32, both_ways: bool, ns: f64) -> Value {
        json!({ "what": format!("{bytes} B"), "by": "brokered", "bytes": bytes, "both_ways": both_ways, "ns": ns, "wall_ns": 2.0 * ns })
    }

    #[test]
    fn a_peer_is_held_against_the_same_bytes_there_and_back() {
        let by_wall = json!({ "by": "HTTP/1.1 over loopback", "bytes": 64, "wall_ns": 200.0, "clock": "wall_ns" });
        let by_processor = json!({ "by": "Extism, plugin to plugin", "bytes": 64, "ns": 8.0, "clock": "ns" });
        let ours = [ours(64, false, 1.0), ours(1024, true, 1.0), ours(64, true, 2.0)];
        let rows = of_hops(&ours, &[by_wall, by_processor]);
        assert_eq!(
            rows.iter().map(|row| (row.ratio, row.pass)).collect::<Vec<_>>(),
            [(Some(50.0), Some(true)), (Some(4.0), Some(false))]
        );
    }

    #[test]
    fn a_peer_without_goal_has_a_ratio_all_the_same() {
        let peer = json!({ "by": "workerd", "bytes": 64, "ns": 100.0 });
        let rows = of_hops(&[ours(64, true, 2.0)], &[peer]);
        assert_eq!((rows[0].ratio, rows[0].pass, rows[0].goal.clone()), (Some(50.0), None, None));
    }

    #[test]
    fn the_better_sqlite_is_the_reference() {
        let side = |by: &str, rate: f64| json!({ "by": by, "per_second": rate, "p50_ms": 1.0, "p99_ms": 2.0 });
        let sides = [
            side("station, 64 callers", 1000.0),
            side(SQLITE[0], 100.0),
            side(SQLITE[1], 200.0),
            side("station, one caller", 90.0),
            side("SQLite, one thread", 80.0),
            side("axum and SQLite, one caller", 70.0),
        ];
        let of = |slow| of_units(&json!({ "sides": sides }), slow);
        let rows = of(false);
        assert_eq!(rows.len(), 4);
        assert_eq!((rows[0].reference, rows[0].ratio, rows[0].pass), (Some(200.0), Some(5.0), None));
        let judged: Vec<_> = of(true).iter().map(|row| row.pass).collect();
        assert_eq!(judged, [Some(true), None, None, Some(true)], "goals hold where a flush takes a millisecond");
    }

    #[test]
    fn the_storage_is_held_against_the_better_sqlite_too() {
        let side = |by: &str, threads: u32, rate: f64, p50: f64| json!({ "by": by, "threads": threads, "per_second": rate, "p50_ms": p50 });
        let sides = [
            side("station", 1, 9.0, 1.2),
            side("each", 1, 9.0, 1.0),
            side("shared", 1, 9.0, 1.1),
            side("station", 64, 90.0, 9.0),
            side("each", 64, 10.0, 9.0),
            side("shared", 64, 20.0, 9.0),
        ];
        let rows = of_storage(&json!({ "sides": sides }));
        let judged: Vec<_> = rows.iter().map(|row| (row.reference, row.ratio, row.pass)).collect();
        assert_eq!(judged, [(Some(20.0), Some(4.5), Some(false)), (Some(1.0), Some(1.2), Some(true))]);
    }

    #[test]
    fn the_plot_has_a_line_per_lane_and_peer_in_the_order_of_bytes() {
        let cases = [ours(1024, true, 3.0), ours(64, true, 2.0), ours(64, false, 1.0)];
        let lines = lines(&cases);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].points, [(64.0, 2.0), (1024.0, 3.0)]);
    }
}
