//! Fresh instances against kept ones, and what a kept one holds while it waits.

use crate::row::{Goal, Row, median};
use crate::shared::{Host, module};
use futures_util::{StreamExt as _, stream};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use station_model::Mode::{Fresh, Reused};
use std::time::{Duration, Instant};

/// Imports WASI, as every real guest does, and does nothing.
const GUEST: &str = "plain-echo";
const NOTHING: &str = "fixture:plain/echo#nothing";
const SLEEP: &str = "fixture:time-sleep/time#sleep";
/// Calls of each kind in one round.
const CALLS: usize = 500;
/// Before each call of [`first_call`].
const REST: Duration = Duration::from_micros(200);
/// Callers of [`per_second`].
const AT_ONE_TIME: usize = 64;
/// Instances that are idle at one time: a module gets three quarters of the call threads.
const IDLE: usize = 100;
/// Long enough for so many calls to be asleep together.
const SLEEP_MS: u64 = 2_000;
/// The stack of a call thread, as `smaps` shows it: it belongs to the thread and not to an instance.
const STACK_KIB: f64 = 8.0 * 1024.0;

pub(crate) fn host() -> Host {
    let sleeper = module("sleeper", "time-sleep", Reused);
    Host::start(vec![module("fresh", GUEST, Fresh), module("reused", GUEST, Reused), sleeper], None)
}

/// One call of each in turn, so that what disturbs one disturbs the other. The goal is for spares that are ready, so each
/// call comes after a rest: calls without one are as quick as instances can be made, which is [`per_second`].
pub(crate) fn first_call(host: &Host, rounds: usize) -> Row {
    let call = |module: &str| {
        rest();
        let start = Instant::now();
        host.ask(module, NOTHING, Vec::new());
        start.elapsed().as_nanos() as f64 / 1e3
    };
    let pairs: Vec<_> = (0..rounds * CALLS).map(|_| (call("fresh"), call("reused"))).collect();
    let (fresh, reused): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
    Row {
        name: "first call on a fresh instance, spare ready, p50",
        unit: "us",
        ours: median(fresh),
        reference: Some(("reused instance, p50", median(reused))),
        goal: Goal::MoreMax(1.0),
    }
}

/// Time enough to throw an instance away and make another. Awake, so that at least this core need not be woken.
fn rest() {
    let start = Instant::now();
    while start.elapsed() < REST {
        std::hint::spin_loop();
    }
}

/// By processor time, so that it is one core's worth however many helped; and with some at one time, as a busy station has
/// them, so that being woken for each of them is not a part of it.
pub(crate) fn per_second(host: &Host, rounds: usize) -> Row {
    let round = |_| {
        let start = processor_time();
        let calls = stream::iter(0..CALLS).map(|_| host.asked("fresh", NOTHING, Vec::new()));
        host.runtime.block_on(calls.buffer_unordered(AT_ONE_TIME).count());
        CALLS as f64 / (processor_time() - start).as_secs_f64()
    };
    Row {
        name: "fresh instances with WASI, one call each",
        unit: "per core and second",
        ours: median((0..rounds).map(round).collect()),
        reference: None,
        goal: Goal::Min(30_000.0),
    }
}

/// So many calls at one time leave so many instances.
pub(crate) fn idle(host: &Host) -> Row {
    let (before, start) = (resident_kib(), Instant::now());
    let calls = (0..IDLE).map(|_| host.asked("sleeper", SLEEP, vec![json!(SLEEP_MS)]));
    let slept = host.runtime.block_on(futures_util::future::join_all(calls));
    // None slept in an instance that another had used before.
    assert!(slept.len() == IDLE && start.elapsed() < Duration::from_millis(2 * SLEEP_MS), "{:?}", start.elapsed());
    Row {
        name: "idle instance with WASI, after one call",
        unit: "KiB",
        ours: (resident_kib() - before) / IDLE as f64,
        reference: None,
        goal: Goal::Max(80.0),
    }
}

/// Resident memory of this process without the stacks of call threads.
fn resident_kib() -> f64 {
    let maps = std::fs::read_to_string("/proc/self/smaps").expect("the process' mappings");
    let of = |line: &str, key: &str| line.strip_prefix(key)?.trim().strip_suffix(" kB")?.parse::<f64>().ok();
    let mut size = 0.0;
    let mut resident = 0.0;
    for line in maps.lines() {
        size = of(line, "Size:").unwrap_or(size);
        let rss = of(line, "Rss:").filter(|_| size != STACK_KIB);
        resident += rss.unwrap_or_default();
    }
    resident
}

fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::from_secs(now.tv_sec.unsigned_abs()) + Duration::from_nanos(now.tv_nsec.unsigned_abs())
}
