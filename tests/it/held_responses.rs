//! What the public is told by a call that writes: after the commit, as a whole, or not at all.
//!
//! `http-writer` does what the path says, from left to right. Where a test needs a call to stand still it lets it ask
//! something of [`Outside`], which answers when the test says so.

use crate::crash::{WAL, disk, syncs_of_a_start};
use crate::gateway::{record, route_to};
use crate::station;
use serde_json::json;
use station_testkit::http::{Answer, Exchange};
use station_testkit::{Harm, How, Of, Station, Trace, What, until};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// Longer than any test takes.
const LONG: &str = "30s";

/// A station that serves `http-writer`, which may write for so long and ask `outside`.
fn serving(write_max: &str, outside: &Outside) -> Station {
    let station = station().config(&format!("limits: {{ deadline: 1m }}\nunit: {{ write-max: {write_max} }}")).start();
    station.deploy("http-writer");
    station.cli(&["grant", "http-writer", &format!("http://127.0.0.1:{}", outside.port())]).ok();
    assert_eq!(station.state("http-writer"), "ready", "{:#}", station.show("http-writer"));
    route_to(&station, "http-writer", &json!({"path": "/"}));
    station
}

/// A server beside the station, one question at a time.
struct Outside(TcpListener);

/// A question that waits for its answer.
struct Asked(TcpStream);

impl Outside {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// Waits until somebody asks.
    #[track_caller]
    fn asked(&self) -> Asked {
        Asked(until("a question", || self.0.accept().ok()).0)
    }

    fn was_asked(&self) -> bool {
        self.0.accept().is_ok()
    }
}

impl Asked {
    fn answer(mut self) {
        self.0.set_nonblocking(false).unwrap();
        let (mut asked, mut bytes) = (Vec::new(), [0; 1024]);
        while !asked.ends_with(b"\r\n\r\n") {
            let read = self.0.read(&mut bytes).unwrap();
            assert!(read > 0, "who asked has gone");
            asked.extend(&bytes[..read]);
        }
        self.0.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
    }
}

#[track_caller]
fn get(station: &Station, path: &str) -> Answer {
    station.gateway("GET", path).send()
}

fn start(station: &Station, path: &str) -> Exchange {
    station.gateway("GET", path).start()
}

/// How many rows are there, for everybody.
#[track_caller]
fn rows(station: &Station) -> u64 {
    let answer = get(station, "/answer=200/rows");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text().parse().expect("a number")
}

/// Checks that there is no whole answer, and why by the station's own record.
#[track_caller]
fn assert_cut(station: &Station, exchange: Exchange, code: &str) {
    let answer = exchange.answer().expect("the head of an answer");
    assert!(!answer.complete, "the answer ended as if nothing had happened: {}", answer.text());
    let record = record(station, answer.header("station-call").expect("the call's id"));
    assert_eq!(record["outcome"], code, "{record:#}");
}

#[test]
fn an_error_of_the_server_undoes_what_the_call_wrote_and_any_other_answer_keeps_it() {
    let station = serving(LONG, &Outside::new());
    for status in [500, 503, 599] {
        let answer = get(&station, &format!("/write/answer={status}/say=sorry"));
        assert_eq!((answer.status, answer.text().as_str(), answer.complete), (status, "sorry", true));
        assert_eq!(rows(&station), 0, "after {status}");
        let record = record(&station, answer.header("station-call").unwrap());
        assert_eq!(record["unit"]["outcome"], "rolled-back", "{record:#}");
    }
    for (rows_then, status) in [200, 303, 404, 499].into_iter().enumerate() {
        assert_eq!(get(&station, &format!("/write/answer={status}/say=done")).status, status);
        assert_eq!(rows(&station), rows_then as u64 + 1, "after {status}");
    }
}

#[test]
fn the_answer_of_a_call_that_wrote_leaves_after_the_commit_and_whole() {
    let outside = Outside::new();
    let station = serving(LONG, &outside);
    let fetch = format!("fetch={}", outside.port());
    let streams = start(&station, &format!("/read/answer=200/say=one/{fetch}/say=two"));
    let asked = outside.asked();
    until("the first byte of an answer that is not held", || streams.has_begun().then_some(()));
    asked.answer();
    assert_eq!(streams.answer().unwrap().text(), "onetwo");

    let held = start(&station, &format!("/write/answer=200/say=one/{fetch}/say=two/rows"));
    let asked = outside.asked();
    assert_eq!(rows(&station), 0, "others see what is not committed");
    assert!(!held.has_begun(), "the answer has begun before the commit");
    asked.answer();
    let answer = held.answer().unwrap();
    assert_eq!((answer.status, answer.text().as_str(), answer.complete), (200, "onetwo1", true));
    assert_eq!(rows(&station), 1);

    let failed = start(&station, &format!("/write/answer=200/say=one/{fetch}/trap"));
    outside.asked().answer();
    failed.answer().unwrap().problem(500, "call.trap");
    assert_eq!(rows(&station), 1, "nobody has seen half of the answer, and nothing is there");
}

#[test]
fn an_answer_whose_commit_fails_is_the_failure() {
    let station = serving(LONG, &Outside::new());
    let answer = get(&station, "/owe/answer=200/say=done");
    assert!(answer.status >= 400, "{} {}", answer.status, answer.text());
    answer.problem(answer.status, "sql.constraint");
    assert_eq!(get(&station, "/write/answer=200/rows").text(), "1", "nothing is in the way of the next");
}

/// The first sync after a start is that of the log's new head, within the commit; the second is the one that all wait
/// for.
#[test]
fn an_answer_whose_commit_is_not_on_the_disk_is_a_failure() {
    for (after, status, code) in [(1, 503, "station.read_only"), (2, 500, "station.internal")] {
        let mut station = serving(LONG, &Outside::new());
        get(&station, "/write/answer=200");
        station.kill();
        let at = syncs_of_a_start(&mut station) + after;
        station.set_disk(Some(disk().harming(Harm { at, of: Of::Syncs, how: How::Io, on: true })));
        station.start();
        assert_eq!(get(&station, "/answer=200/rows").text(), "1", "what only reads needs no sync");
        get(&station, "/write/answer=200/say=done").problem(status, code);
        // It reads before it answers, so that the refusal comes before the head.
        let read = get(&station, "/read/answer=200/rows");
        assert!(read.status >= 500, "what may not be on the disk was shown: {}", read.text());
        station.is_up();
    }
}

/// Rows that are committed, durable or not, seen from beside the station.
#[track_caller]
fn committed(station: &Station) -> u64 {
    let tables = station.cli(&["db", "tables", "--data", station.data().to_str().unwrap()]).ok();
    tables["tables"][0]["rows"].as_u64().expect("one table")
}

/// Checks by what the station did that a sync of the last commit had ended when this was sent.
#[track_caller]
fn assert_sent_after_the_sync(trace: &Trace, sent: &str) {
    let sending = trace.first_mentions([sent], |what| *what == What::Answer);
    let commit = *trace.commits(WAL).last().expect("a commit");
    assert!(trace.synced_between(WAL, commit, sending[sent]), "{sent:?} was sent before the commit was on the disk");
}

/// No sync ends as long as `gate` is there. The readers have read then what a power cut would take.
#[test]
fn what_streams_waits_until_what_it_has_read_is_on_the_disk() {
    let outside = Outside::new();
    let mut station = serving(LONG, &outside);
    let (gate, trace) = (station.folder().join("gate"), station.folder().join("trace"));
    station.kill();
    station.set_disk(Some(disk().traced(&trace).held_by(&gate)));
    station.start();
    assert_eq!(get(&station, "/write/answer=200/rows").text(), "1");
    std::fs::write(&gate, "").unwrap();
    let writer = start(&station, "/insert/answer=200/say=written");
    until("the row to be committed", || (committed(&station) == 2).then_some(()));

    let fetch = format!("fetch={}", outside.port());
    let reads_first = [200, 500].map(|status| {
        let reader = start(&station, &format!("/read/{fetch}/answer={status}/say=with-{status}"));
        outside.asked().answer();
        reader
    });
    let begins_first = start(&station, &format!("/answer=200/say=begun/{fetch}/rows/say=read"));
    let asked = outside.asked();
    until("the answer to begin", || begins_first.has_begun().then_some(()));
    asked.answer();
    assert_eq!(get(&station, "/answer=200/say=nothing").text(), "nothing", "who has read nothing waits for nobody");
    assert!(!reads_first.iter().any(Exchange::has_begun), "a reader told of what is not on the disk");
    assert!(!writer.has_begun(), "the writer was told of what is not on the disk");

    std::fs::remove_file(&gate).unwrap();
    let texts = |exchange: Exchange| exchange.answer().unwrap().text();
    assert_eq!(reads_first.map(texts), ["with-200", "with-500"]);
    assert_eq!([texts(begins_first), texts(writer)], ["begun2read", "written"]);
    station.kill();
    let trace = Trace::read(&trace);
    // The count is a chunk of its own.
    ["with-200", "with-500", "1\r\n2\r\n", "written"].iter().for_each(|sent| assert_sent_after_the_sync(&trace, sent));
}

#[test]
fn an_answer_that_is_too_big_to_hold_undoes_what_the_call_wrote() {
    let station = serving(LONG, &Outside::new());
    get(&station, "/write/answer=200/kib=1025").problem(500, "unit.response_too_big");
    assert_eq!(rows(&station), 0);
    let fits = get(&station, "/write/answer=200/kib=1024");
    assert_eq!((fits.status, fits.body.len(), fits.complete), (200, 1 << 20, true));
    assert_eq!(rows(&station), 1);
    assert_eq!(get(&station, "/read/answer=200/kib=2000").body.len(), 2_000 << 10, "what only reads is not held");
}

#[test]
fn after_the_answer_has_begun_nothing_can_be_written() {
    let outside = Outside::new();
    let station = serving(LONG, &outside);
    for path in ["", "read/"] {
        let exchange =
            start(&station, &format!("/{path}answer=200/say=done/fetch={}/write/say=really", outside.port()));
        let asked = outside.asked();
        until("the answer to begin", || exchange.has_begun().then_some(()));
        asked.answer();
        assert_cut(&station, exchange, "unit.response_started");
        assert_eq!(rows(&station), 0);
    }
}

#[test]
fn a_trap_after_the_first_byte_cuts_the_connection() {
    let outside = Outside::new();
    let station = serving(LONG, &outside);
    let exchange = start(&station, &format!("/read/answer=200/say=one/fetch={}/trap", outside.port()));
    let asked = outside.asked();
    until("the answer to begin", || exchange.has_begun().then_some(()));
    asked.answer();
    assert_cut(&station, exchange, "call.trap");
}

#[test]
fn a_writer_that_sleeps_is_ended_and_the_next_gets_its_turn() {
    let outside = Outside::new();
    let station = serving("2s", &outside);
    let sleeper = start(&station, &format!("/write/fetch={}/sleep=50000/answer=200", outside.port()));
    let asked = outside.asked();
    let next = start(&station, "/write/answer=200/rows");
    asked.answer();
    sleeper.answer().unwrap().problem(503, "unit.too_long");
    let next = next.answer().unwrap();
    assert_eq!((next.status, next.text().as_str()), (200, "1"), "what the sleeper wrote is gone");
    let sleeper = start(&station, &format!("/write/answer=200/say=one/fetch={}/sleep=50000", outside.port()));
    outside.asked().answer();
    sleeper.answer().unwrap().problem(503, "unit.too_long");
    assert_eq!(rows(&station), 1);
}

#[test]
fn a_writer_that_waits_for_a_body_or_an_answer_is_ended_as_well() {
    let outside = Outside::new();
    let station = serving("1s", &outside);
    let body = station.gateway("POST", "/write/body/answer=200").body("some").start_claiming(9);
    body.answer().unwrap().problem(503, "unit.too_long");
    let asks = start(&station, &format!("/write/fetch={}/answer=200", outside.port()));
    let _never_answered = outside.asked();
    // The module is told that there is no answer and traps, if it is not ended before.
    assert!(asks.answer().unwrap().status >= 500);
    assert_eq!(rows(&station), 0);
}

#[test]
fn what_a_call_wrote_is_gone_when_its_client_goes_away() {
    let outside = Outside::new();
    let station = serving(LONG, &outside);
    let leaves = start(&station, &format!("/write/fetch={}/answer=200", outside.port()));
    let _never_answered = outside.asked();
    assert_eq!(station.running(), 1);
    drop(leaves);
    until("the call to end", || (station.running() == 0).then_some(()));
    let last = station.get("/v1/calls")["calls"][0].clone();
    assert_eq!(
        (&last["outcome"], &last["unit"]["outcome"]),
        (&json!("call.cancelled"), &json!("rolled-back")),
        "{last:#}"
    );
    assert_eq!(rows(&station), 0);
}

#[test]
fn a_unit_that_is_open_for_long_is_told_of_in_the_log() {
    let station = serving(LONG, &Outside::new());
    let told = || {
        station
            .stderr()
            .lines()
            .filter(|line| line.contains("a long unit of work"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(get(&station, "/write/answer=200").status, 200);
    let long = get(&station, "/read/sleep=1100/answer=200");
    let id = long.header("station-call").unwrap();
    record(&station, id);
    until("the log to tell", || (!told().is_empty()).then_some(()));
    assert!(told().len() == 1 && told()[0].contains(id) && told()[0].contains("http-writer"), "{:#?}", told());
}

#[test]
fn a_call_that_asked_outside_is_not_run_again() {
    let outside = Outside::new();
    let station = serving(LONG, &outside);
    let reader = start(&station, &format!("/read/fetch={}/write/answer=200", outside.port()));
    let asked = outside.asked();
    assert_eq!(get(&station, "/write/answer=200").status, 200);
    asked.answer();
    reader.answer().unwrap().problem(409, "unit.conflict");
    assert!(!outside.was_asked(), "the question was sent twice");
    assert_eq!(rows(&station), 1);
}

/// What six are answered that post this body, read, write and do more, at the same time as somebody holds the lock and commits.
#[track_caller]
fn crowd(station: &Station, outside: &Outside, body: &str, more: &str) -> Vec<Answer> {
    let post = || station.gateway("POST", &format!("/body/read/write/answer=200{more}")).body(body).send();
    let holder = start(station, &format!("/write/fetch={}/answer=200", outside.port()));
    let asked = outside.asked();
    let answers = thread::scope(|scope| {
        let others: Vec<_> = (0..6).map(|_| scope.spawn(post)).collect();
        until("all to run", || (station.running() == 7).then_some(()));
        asked.answer();
        others.into_iter().map(|other| other.join().unwrap()).collect()
    });
    assert_eq!(holder.answer().unwrap().status, 200);
    answers
}

/// More than 64 KiB of a body are not kept for a second attempt.
#[test]
fn a_request_that_conflicts_after_reading_a_long_body_is_told_so() {
    let outside = Outside::new();
    let station = serving(LONG, &outside);
    let body = "what the client sent ".repeat(4_000);
    let mut written = 0;
    let round = |_| {
        let answers = crowd(&station, &outside, &body, "");
        let (done, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
        refused.iter().for_each(|answer| drop(answer.problem(409, "unit.conflict")));
        written += 1 + done.len() as u64;
        assert_eq!(rows(&station), written, "who was refused has written nothing");
        !refused.is_empty()
    };
    assert!((0..20).any(round), "nothing conflicted");
}

/// Who is run again cannot be chosen from outside: somebody who has read before the holder of the lock commits. So
/// several try at once, until it has happened.
#[test]
fn a_request_that_conflicts_is_served_again_from_its_first_byte() {
    let outside = Outside::new();
    let station = serving(LONG, &outside);
    let body = "what the client sent ".repeat(100);
    let round = |round: u64| {
        let answers = crowd(&station, &outside, &body, "/echo");
        assert!(answers.iter().all(|answer| answer.status == 200 && answer.text() == body));
        assert_eq!(rows(&station), 7 * (round + 1), "each has written once");
        let reran = |answer: &Answer| record(&station, answer.header("station-call").unwrap())["unit"]["reran"] == true;
        answers.iter().any(reran)
    };
    assert!((0..20).any(round), "nothing was run again");
}
