//! The unit of work of a call tree: what stays, what vanishes, who waits, what is run again.

use super::database::Numbers;
use super::{Bench, admin, exporting, until};
use crate::Settings;
use crate::control::Control as _;
use crate::tests::fakes::{Fake, Gate};
use crate::tree::{Ended, Tree};
use crate::work::{Caps, SqlError, Value};
use proptest::prelude::*;
use station_model::{Code, Failure, UnitOutcome};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub(super) const CAPS: Caps = Caps { rows_max: 10, bytes_max: 1_000 };

pub(super) async fn bench(behave: impl Fn(&Tree<Fake>) -> Result<(), Failure> + Send + Sync + 'static) -> Bench {
    bench_with(Settings::default(), behave).await
}

async fn bench_with(
    settings: Settings,
    behave: impl Fn(&Tree<Fake>) -> Result<(), Failure> + Send + Sync + 'static,
) -> Bench {
    let bench = Bench::with(settings).await;
    bench.deploy("a", &exporting("run")).await.unwrap();
    bench.executor.behave(move |tree| behave(tree).map(|()| None));
    bench
}

pub(super) fn run(tree: &Tree<Fake>, sql: &str) -> Result<(), Failure> {
    tree.sql(sql, &[], CAPS, u64::MAX)?.unwrap();
    Ok(())
}

pub(super) fn number(tree: &Tree<Fake>, key: &str) -> Result<i64, Failure> {
    match tree.sql(&format!("get {key}"), &[], CAPS, u64::MAX)?.unwrap().rows[0][0] {
        Value::Integer(number) => Ok(number),
        _ => Ok(0),
    }
}

pub(super) fn nested(tree: &Tree<Fake>, what: impl FnOnce() -> Result<(), Failure>, ended: fn(&Failure) -> Ended<'_>) {
    let entered = tree.enter(tree.root, tree.called.clone()).unwrap();
    let trap = Failure::new(Code::CallTrap, "it trapped");
    what().unwrap();
    tree.leave(entered, 0, 0, ended(&trap));
}

pub(super) fn numbers(of: &[(&str, i64)]) -> Numbers {
    of.iter().map(|(key, number)| ((*key).to_owned(), *number)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_call_wrote_stays_when_it_succeeds_and_the_answer_waits_for_the_disk() {
    let bench = bench(|tree| run(tree, "set x 1")).await;
    let answer = bench.call("a").await.unwrap();
    assert_eq!(bench.database.numbers(), numbers(&[("x", 1)]));
    assert_eq!(bench.database.waits.lock().unwrap().as_slice(), [crate::work::Mark(1)]);
    let unit = answer.report.unit.clone().unwrap();
    assert_eq!(unit.outcome, UnitOutcome::Committed);
    let wrote: Vec<_> = unit.wrote.iter().map(|w| (w.module.as_str(), w.table.as_deref(), w.rows)).collect();
    assert_eq!(wrote, [("a", Some("numbers"), 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_a_flush_is_no_answer() {
    let bench = bench(|tree| run(tree, "set x 1")).await;
    bench.database.broken_disk.store(true, Ordering::Relaxed);
    let told = bench.call("a").await.unwrap_err();
    assert_eq!(told.code, Code::StationInternal);
    let failures: Vec<_> = bench.service.calls(9, true).iter().map(|report| report.failure.clone().unwrap()).collect();
    let all: Vec<_> = bench.service.calls(9, false).iter().map(|report| report.failure.clone()).collect();
    assert_eq!((failures, all), (vec![told.clone()], vec![Some(told)]), "the record says what its client was told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_has_stopped_is_why_the_station_is_not_ready_and_refuses() {
    let bench = bench(|tree| run(tree, "set x 1")).await;
    bench.service.ready().unwrap();
    bench.database.stopped.store(true, Ordering::Relaxed);
    let unready = bench.service.ready().unwrap_err();
    assert_eq!((unready.code, unready.message.as_str()), (Code::StationReadOnly, "the disk is gone"));
    assert_eq!(bench.call("a").await.unwrap().report.failure.clone().unwrap(), unready);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_call_wrote_vanishes_when_it_fails() {
    let bench = bench(|tree| {
        run(tree, "set x 1")?;
        Err(Failure::new(Code::CallTrap, "it trapped"))
    })
    .await;
    let answer = bench.call("a").await.unwrap();
    assert_eq!(bench.database.numbers(), numbers(&[]));
    assert_eq!(answer.report.unit.clone().unwrap().outcome, UnitOutcome::RolledBack);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_callee_that_fails_or_refuses_only_its_own_writes_are_gone() {
    for ended in [(|trap| Ended::Failed(trap, vec![])) as fn(&Failure) -> Ended<'_>, |_| Ended::Refused] {
        let bench = bench(move |tree| {
            run(tree, "set x 1")?;
            nested(tree, || run(tree, "set x 2").and_then(|()| run(tree, "set y 2")), ended);
            assert_eq!(number(tree, "x")?, 1);
            nested(tree, || run(tree, "set z 3"), |_| Ended::Returned);
            Ok(())
        })
        .await;
        let answer = bench.call("a").await.unwrap();
        assert_eq!(bench.database.numbers(), numbers(&[("x", 1), ("z", 3)]));
        let rows: u64 = answer.report.unit.clone().unwrap().wrote.iter().map(|w| w.rows).sum();
        assert_eq!(rows, 2, "undone rows are not told");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_conflicts_is_run_again_once_and_nobody_notices() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let bench = Bench::new().await;
    bench.deploy("a", &exporting("run")).await.unwrap();
    let (counted, database) = (Arc::clone(&attempts), Arc::clone(&bench.database));
    bench.executor.behave(move |tree| {
        let x = number(tree, "x")?;
        if counted.fetch_add(1, Ordering::Relaxed) == 0 {
            database.put("x", 10);
        }
        run(tree, &format!("set x {}", x + 1)).map(|()| None)
    });
    let answer = bench.call("a").await.unwrap();
    assert!(answer.report.failure.is_none());
    assert_eq!(bench.database.numbers(), numbers(&[("x", 11)]));
    assert_eq!(attempts.load(Ordering::Relaxed), 2);
    assert!(answer.report.unit.clone().unwrap().reran);
    assert_eq!(bench.database.begun.lock().unwrap().as_slice(), [false, true], "the second takes the lock first");
    assert_eq!(answer.report.fuel, 2, "the first attempt is on the bill");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_run_again_after_a_callee_trapped_has_only_what_is_left_of_its_fuel() {
    const OF_CALLEE: u64 = 600;
    let budgets = Arc::new(std::sync::Mutex::new(Vec::new()));
    let bench = Bench::new().await;
    bench.deploy("a", &exporting("run")).await.unwrap();
    let (given, charged, database) = (budgets.clone(), bench.executor.charged.clone(), bench.database.clone());
    bench.executor.behave(move |tree| {
        let attempts = {
            let mut given = given.lock().unwrap();
            given.push(tree.fuel);
            given.len()
        };
        let x = number(tree, "x")?;
        if attempts == 1 {
            let entered = tree.enter(tree.root, tree.called.clone())?;
            let trap = Failure::new(Code::CallTrap, "it trapped");
            charged.store(tree.leave(entered, tree.fuel, OF_CALLEE, Ended::Failed(&trap, vec![])), Ordering::Relaxed);
            database.put("x", 10);
        }
        run(tree, &format!("set x {}", x + 1)).map(|()| None)
    });
    let answer = bench.call("a").await.unwrap();
    assert!(answer.report.failure.is_none() && answer.report.unit.clone().unwrap().reran);
    let budgets = budgets.lock().unwrap().clone();
    let [first, second] = budgets[..] else { panic!("{budgets:?}") };
    assert!(second < first - OF_CALLEE, "{budgets:?}: what the callee used and one of the root are gone");
    assert_eq!(answer.report.fuel, first - second + 1, "all of it is on the bill");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_reached_outside_is_not_run_again() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let bench = Bench::new().await;
    bench.deploy("a", &exporting("run")).await.unwrap();
    let (counted, database) = (Arc::clone(&attempts), Arc::clone(&bench.database));
    bench.executor.behave(move |tree| {
        counted.fetch_add(1, Ordering::Relaxed);
        number(tree, "x")?;
        tree.note_outside();
        database.put("x", 10);
        run(tree, "set x 1").map(|()| None)
    });
    let answer = bench.call("a").await.unwrap();
    assert_eq!(answer.report.failure.as_ref().unwrap().code, Code::UnitConflict);
    assert_eq!(attempts.load(Ordering::Relaxed), 1);
    assert_eq!(bench.database.numbers(), numbers(&[("x", 10)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_writes_for_longer_than_the_limit_and_the_next_gets_its_turn() {
    let settings = Settings { write_ms_max: 50, ..Settings::default() };
    let bench = bench_with(settings, |tree| {
        run(tree, "set x 1")?;
        tree.wait(tokio::time::sleep(Duration::from_secs(20)))
    })
    .await;
    let failure = bench.call("a").await.unwrap().report.failure.clone().unwrap();
    assert_eq!(failure.code, Code::UnitTooLong);
    assert_eq!(bench.database.numbers(), numbers(&[]));
    bench.executor.behave(|tree| run(tree, "set x 2").map(|()| None));
    assert!(bench.call("a").await.unwrap().report.failure.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_take_turns_in_the_order_in_which_they_asked() {
    let (gate, order) = (Gate::new(), Arc::new(std::sync::Mutex::new(Vec::new())));
    let asked = Arc::new(AtomicUsize::new(0));
    let bench = Bench::new().await;
    for module in ["a", "b", "c"] {
        bench.deploy(module, &exporting("run")).await.unwrap();
    }
    let (held, noted, asking) = (gate.clone(), Arc::clone(&order), Arc::clone(&asked));
    bench.executor.behave(move |tree| {
        asking.fetch_add(1, Ordering::Relaxed);
        run(tree, "set x 1")?;
        let module = tree.graph.node(tree.root).unwrap().name.clone();
        noted.lock().unwrap().push(module.to_string());
        if module.as_str() == "a" {
            held.arrive_and_wait();
        }
        Ok(None)
    });
    let call = |module: &'static str| {
        let service = bench.service.clone();
        tokio::spawn(async move { service.call(admin(), Bench::request(module)).await.unwrap() })
    };
    let first = call("a");
    until("the first writes", || gate.arrived()).await;
    let second = call("b");
    until("the second asks", || asked.load(Ordering::Relaxed) == 2).await;
    let third = call("c");
    until("the third asks", || asked.load(Ordering::Relaxed) == 3).await;
    gate.open();
    for task in [first, second, third] {
        assert!(task.await.unwrap().report.failure.is_none());
    }
    assert_eq!(*order.lock().unwrap(), ["a", "b", "c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_its_response_has_begun_a_call_writes_nothing() {
    let bench = bench(|tree| {
        assert!(tree.begin_response());
        number(tree, "x")?;
        run(tree, "set x 1")
    })
    .await;
    let failure = bench.call("a").await.unwrap().report.failure.clone().unwrap();
    assert_eq!(failure.code, Code::UnitResponseStarted);
    let bench = self::bench(|tree| {
        run(tree, "set x 1")?;
        assert!(!tree.begin_response(), "the response of a call that has written is held");
        run(tree, "set x 2")
    })
    .await;
    assert!(bench.call("a").await.unwrap().report.failure.is_none());
    assert_eq!(bench.database.numbers(), numbers(&[("x", 2)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_runs_on_ends_with_its_call() {
    let bench = bench(|tree| run(tree, "loop")).await;
    let mut request = Bench::request("a");
    request.deadline_ms = Some(30);
    let answer = bench.service.call(admin(), request).await.unwrap();
    assert_eq!(answer.report.failure.as_ref().unwrap().code, Code::CallDeadline);
    let bench = self::bench(|tree| tree.sql("loop", &[], CAPS, 1_000).map(|told| drop(told.unwrap()))).await;
    let answer = bench.call("a").await.unwrap();
    assert_eq!(answer.report.failure.as_ref().unwrap().code, Code::CallOutOfFuel);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_transaction_ends_the_tree_whatever_its_modules_do() {
    let bench = bench(|tree| {
        run(tree, "set x 1")?;
        nested(tree, || tree.sql("full", &[], CAPS, u64::MAX).map(drop).or(Ok(())), |_| Ended::Returned);
        assert!(tree.is_broken());
        Ok(())
    })
    .await;
    let failure = bench.call("a").await.unwrap().report.failure.clone().unwrap();
    assert_eq!(failure.code, Code::StationReadOnly);
    assert_eq!(bench.database.numbers(), numbers(&[]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_of_the_guest_is_told_to_the_guest() {
    let bench = bench(|tree| {
        let told = tree.sql("gibberish", &[], CAPS, u64::MAX)?;
        assert!(matches!(told, Err(SqlError::Syntax { offset: Some(0), .. })));
        run(tree, "set x 1")
    })
    .await;
    assert!(bench.call("a").await.unwrap().report.failure.is_none());
    assert_eq!(bench.database.numbers(), numbers(&[("x", 1)]));
}

/// What a call of a random tree does.
#[derive(Debug, Clone)]
enum Step {
    Write(u8, i64),
    Read(u8),
    Call(Vec<Step>, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let leaf = prop_oneof![
        (0..4_u8, 0..100_i64).prop_map(|(key, number)| Step::Write(key, number)),
        (0..4_u8).prop_map(Step::Read)
    ];
    let step = leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            3 => inner.clone(),
            2 => (proptest::collection::vec(inner, 0..6), any::<bool>()).prop_map(|(steps, ok)| Step::Call(steps, ok)),
        ]
    });
    proptest::collection::vec(step, 0..8)
}

/// What is there after `steps`, on top of `before`.
fn model(steps: &[Step], before: &Numbers) -> Numbers {
    let mut now = before.clone();
    for step in steps {
        match step {
            Step::Write(key, number) => drop(now.insert(format!("k{key}"), *number)),
            Step::Read(_) => {}
            Step::Call(inside, ok) => {
                let after = model(inside, &now);
                if *ok {
                    now = after;
                }
            }
        }
    }
    now
}

/// Does the steps, and checks every read against the model.
fn act(tree: &Tree<Fake>, steps: &[Step], now: &mut Numbers) {
    for step in steps {
        match step {
            Step::Write(key, value) => {
                run(tree, &format!("set k{key} {value}")).unwrap();
                now.insert(format!("k{key}"), *value);
            }
            Step::Read(key) => {
                let expected = now.get(&format!("k{key}")).copied().unwrap_or(0);
                assert_eq!(number(tree, &format!("k{key}")).unwrap(), expected);
            }
            Step::Call(inside, ok) => {
                let before = now.clone();
                let ended: fn(&Failure) -> Ended<'_> =
                    if *ok { |_| Ended::Returned } else { |trap| Ended::Failed(trap, vec![]) };
                let work = || {
                    act(tree, inside, now);
                    Ok(())
                };
                nested(tree, work, ended);
                if !*ok {
                    *now = before;
                }
            }
        }
    }
}

#[test]
fn random_trees_with_random_failures_leave_what_the_model_says() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let bench = runtime.block_on(async {
        let bench = Bench::new().await;
        bench.deploy("a", &exporting("run")).await.unwrap();
        bench
    });
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases: 300, ..ProptestConfig::default() });
    let outcome = runner.run(&(steps(), any::<bool>()), |(steps, ok)| {
        let before = bench.database.numbers();
        let expected = if ok { model(&steps, &before) } else { before.clone() };
        bench.executor.behave(move |tree| {
            act(tree, &steps, &mut before.clone());
            if ok { Ok(None) } else { Err(Failure::new(Code::CallTrap, "it trapped")) }
        });
        let report = runtime.block_on(bench.call("a")).unwrap().report;
        prop_assert_eq!(report.failure.is_none(), ok);
        prop_assert_eq!(bench.database.numbers(), expected);
        Ok(())
    });
    outcome.unwrap();
}
