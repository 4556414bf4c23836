//! Events in the unit of work: what is told when a call succeeds, and what is told in any case.

use super::database::Numbers;
use super::fakes::Fake;
use super::units::{CAPS, bench, nested, number, numbers, run};
use super::{Bench, exporting};
use crate::events::Event;
use crate::tree::{Ended, Tree};
use crate::work::{Mark, SqlError};
use station_model::{CallId, CallReport, Code, Failure, UnitOutcome};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

fn event(topic: &str) -> Event {
    Event { topic: topic.to_owned(), key: String::new(), payload: vec![1], call: CallId::from_u128(1), at_ms: 1 }
}

fn publish(tree: &Tree<Fake>, topic: &str) -> Result<(), Failure> {
    tree.publish(&event(topic), u64::MAX)?.unwrap();
    Ok(())
}

fn always(tree: &Tree<Fake>, topic: &str) -> Result<(), Failure> {
    tree.publish_always(event(topic), u64::MAX)?.unwrap();
    Ok(())
}

fn trap() -> Failure {
    Failure::new(Code::CallTrap, "it trapped")
}

/// What there is after one call, and its report.
async fn after(behave: impl Fn(&Tree<Fake>) -> Result<(), Failure> + Send + Sync + 'static) -> (Numbers, CallReport) {
    let bench = bench(behave).await;
    let ended = bench.call("a").await.unwrap();
    (bench.database.numbers(), CallReport::clone(&ended.report))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_there_when_its_call_succeeds_and_gone_with_what_fails() {
    let (there, report) = after(|tree| {
        publish(tree, "mine")?;
        nested(tree, || publish(tree, "theirs"), |_| Ended::Refused);
        nested(tree, || publish(tree, "kept"), |_| Ended::Returned);
        Ok(())
    })
    .await;
    assert_eq!(there, numbers(&[("kept", 1), ("mine", 1)]));
    let unit = report.unit.unwrap();
    let wrote: Vec<_> = unit.wrote.iter().map(|w| (w.table.as_deref(), w.rows)).collect();
    assert_eq!(wrote, [(Some("events/mine"), 1), (Some("events/kept"), 1)]);
    let (there, _) = after(|tree| publish(tree, "mine").and(Err(trap()))).await;
    assert_eq!(there, numbers(&[]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_be_known_is_told_although_the_call_or_a_callee_failed() {
    let (there, report) = after(|tree| {
        run(tree, "set x 1")?;
        nested(tree, || always(tree, "theirs"), |trap| Ended::Failed(trap, vec![]));
        always(tree, "mine")?;
        Err(trap())
    })
    .await;
    assert_eq!(there, numbers(&[("mine", 1), ("theirs", 1)]), "and nothing else");
    let unit = report.unit.unwrap();
    assert_eq!((unit.outcome, unit.always), (UnitOutcome::RolledBack, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_be_known_is_told_with_the_commit_and_after_a_call_that_only_read() {
    let bench = bench(|tree| run(tree, "set x 1").and_then(|()| always(tree, "e"))).await;
    let ended = bench.call("a").await.unwrap();
    assert_eq!(bench.database.numbers(), numbers(&[("e", 1), ("x", 1)]));
    assert_eq!(ended.report.unit.as_ref().unwrap().always, 1);
    assert_eq!(bench.database.begun.lock().unwrap().as_slice(), [true], "one unit, one commit");
    bench.executor.behave(|tree| always(tree, "e").map(|()| None));
    assert!(bench.call("a").await.unwrap().report.failure.is_none());
    assert_eq!(bench.database.numbers(), numbers(&[("e", 2), ("x", 1)]));
}

/// The last statement may have used all the steps that it had.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_last_statement_has_left_does_not_keep_it_from_being_told() {
    let (there, report) = after(|tree| {
        always(tree, "e")?;
        tree.sql("set x 1", &[], CAPS, 0)?.unwrap();
        Ok(())
    })
    .await;
    assert_eq!((there, report.failure), (numbers(&[("e", 1), ("x", 1)]), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_waits_until_what_must_be_known_is_on_the_disk() {
    let bench = bench(|tree| always(tree, "e").and(Err(trap()))).await;
    assert_eq!(bench.call("a").await.unwrap().report.failure.as_ref().unwrap().code, Code::CallTrap);
    assert_eq!(bench.database.waits.lock().unwrap().as_slice(), [Mark(1)]);
    bench.database.broken_disk.store(true, Ordering::Relaxed);
    assert_eq!(bench.call("a").await.unwrap_err().code, Code::StationInternal);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_cannot_be_told_of_is_no_success() {
    let bench = Bench::new().await;
    bench.deploy("a", &exporting("run")).await.unwrap();
    let database = Arc::clone(&bench.database);
    bench.executor.behave(move |tree| {
        always(tree, "e")?;
        database.stopped.store(true, Ordering::Relaxed);
        Ok(None)
    });
    let failure = bench.call("a").await.unwrap().report.failure.clone();
    assert_eq!(failure.unwrap().code, Code::StationReadOnly, "and why");
}

/// A call that conflicts in its first attempt; whether it is run again, and what there is then.
async fn conflicting(outside: bool) -> (usize, Numbers) {
    let attempts = Arc::new(AtomicUsize::new(0));
    let bench = Bench::new().await;
    bench.deploy("a", &exporting("run")).await.unwrap();
    let (counted, database) = (Arc::clone(&attempts), Arc::clone(&bench.database));
    bench.executor.behave(move |tree| {
        number(tree, "x")?;
        always(tree, "e")?;
        if counted.fetch_add(1, Ordering::Relaxed) == 0 {
            database.put("x", 10);
        }
        if outside {
            tree.note_outside();
        }
        run(tree, "set x 1").map(|()| None)
    });
    bench.call("a").await.unwrap();
    (attempts.load(Ordering::Relaxed), bench.database.numbers())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_call_that_is_run_again_only_the_second_attempt_tells() {
    assert_eq!(conflicting(false).await, (2, numbers(&[("e", 1), ("x", 1)])));
    assert_eq!(conflicting(true).await, (1, numbers(&[("e", 1), ("x", 10)])), "there is no second attempt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_is_held_for_what_must_be_known_and_nothing_is_told_after_it() {
    let (there, report) = after(|tree| {
        always(tree, "e")?;
        assert!(!tree.begin_response());
        always(tree, "e")
    })
    .await;
    assert_eq!((there, report.failure), (numbers(&[("e", 2)]), None));
    let (there, report) = after(|tree| {
        assert!(tree.begin_response());
        always(tree, "e")
    })
    .await;
    assert_eq!(there, numbers(&[]));
    assert_eq!(report.failure.unwrap().code, Code::UnitResponseStarted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_may_tell_so_much_in_any_case_and_no_more() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let (there, _) = after(move |tree| {
        let note = |event| {
            let told = tree.publish_always(event, 2 << 20)?;
            tell.lock().unwrap().push(told.err().map(|error| match error {
                SqlError::Limit { name, max } => (name, max),
                other => panic!("{other}"),
            }));
            Ok(())
        };
        let of = |bytes: usize| Event { payload: vec![0; bytes], ..event("e") };
        note(of((1 << 20) - 256 * 128 - 1))?;
        note(of(256 * 128))?;
        note(of(2 << 20))?;
        (0..255).try_for_each(|_| note(Event { topic: String::new(), ..of(0) }))?;
        note(Event { topic: String::new(), ..of(0) })
    })
    .await;
    let told = told.lock().unwrap().clone();
    let first = [None, Some(("events_always_bytes", 1 << 20)), Some(("event_bytes", 2 << 20))];
    assert_eq!(told[..3], first);
    assert!(told[3..258].iter().all(Option::is_none));
    assert_eq!(told[258..], [Some(("events_always", 256))]);
    assert_eq!(there, numbers(&[("", 255), ("e", 1)]), "what was refused is not there, and the rest is");
}
