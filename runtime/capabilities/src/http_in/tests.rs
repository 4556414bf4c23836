//! How an answer ends, for every way in which its call can end.

use super::body::{AnswerBody, Judge, Verdict};
use super::slot::{Attempt, Returned, Slot};
use super::{body_error, with_host};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use station_engine::UnitHandle;
use std::sync::Arc;
use tokio::sync::oneshot;
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p2::body::{HostOutgoingBody, StreamContext};

struct Parts {
    host: HostOutgoingBody,
    body: AnswerBody,
    judge: Judge,
    delivered: oneshot::Receiver<()>,
}

fn parts() -> Parts {
    let (host, inner) = HostOutgoingBody::new(StreamContext::Response, None, 1, 1_024);
    let verdict = Arc::new(Verdict::default());
    let judge = Judge::new(&verdict);
    let (sender, delivered) = oneshot::channel();
    Parts { host, body: AnswerBody::new(inner, verdict, sender), judge, delivered }
}

fn write(host: &mut HostOutgoingBody, text: &'static str) {
    host.take_output_stream().unwrap().write(Bytes::from_static(text.as_bytes())).unwrap();
}

#[tokio::test]
async fn it_ends_cleanly_after_the_handler_has_returned() {
    let Parts { mut host, mut body, judge, mut delivered } = parts();
    write(&mut host, "all");
    host.finish(None).unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "all");
    assert!(delivered.try_recv().is_err());
    let rest = tokio::spawn(async move { body.frame().await.is_none() });
    tokio::task::yield_now().await;
    assert!(!rest.is_finished(), "the handler still runs");
    judge.returned();
    assert!(rest.await.unwrap());
    delivered.await.unwrap();
}

#[tokio::test]
async fn it_fails_when_the_handler_traps_even_after_the_last_byte() {
    let Parts { mut host, mut body, judge, .. } = parts();
    write(&mut host, "all");
    host.finish(None).unwrap();
    assert!(body.frame().await.unwrap().is_ok());
    drop(judge);
    assert!(body.frame().await.unwrap().is_err());
}

#[tokio::test]
async fn a_store_that_is_dropped_in_mid_answer_is_no_end() {
    let Parts { mut host, mut body, judge, .. } = parts();
    write(&mut host, "half");
    drop(host);
    assert!(body.frame().await.unwrap().is_ok());
    drop(judge);
    assert!(body.frame().await.unwrap().is_err());
}

#[tokio::test]
async fn a_body_that_the_guest_left_open_ends_when_it_returns() {
    let Parts { mut host, mut body, judge, delivered } = parts();
    write(&mut host, "all");
    judge.returned();
    assert!(body.frame().await.unwrap().is_ok());
    assert!(body.frame().await.is_none());
    delivered.await.unwrap();
}

#[tokio::test]
async fn a_client_that_goes_away_is_noticed() {
    let Parts { host: _host, body, delivered, .. } = parts();
    drop(body);
    assert!(delivered.await.is_err());
}

fn set(slot: &Arc<Slot>, text: &'static str) -> HostOutgoingBody {
    let (mut host, inner) = HostOutgoingBody::new(StreamContext::Response, None, 1, 1_024);
    write(&mut host, text);
    slot.set(Ok(Response::new(inner)), &UnitHandle::default());
    host
}

#[test]
fn a_handler_that_sets_nothing_or_an_error_has_failed() {
    for set in [false, true] {
        let (slot, _early) = Slot::new();
        let attempt = Attempt::begin(&slot);
        if set {
            slot.set(Err(ErrorCode::InternalError(None)), &UnitHandle::default());
        }
        assert_eq!(attempt.returned().err().unwrap().code, station_model::Code::CallTrap);
        assert!(slot.take_whole().is_none());
    }
}

#[tokio::test]
async fn an_answer_that_is_complete_when_the_handler_returns_leaves_in_one_piece() {
    for finished in [true, false] {
        let (slot, mut early) = Slot::new();
        let attempt = Attempt::begin(&slot);
        let host = set(&slot, "all");
        let _open = if finished { host.finish(None).map(|()| None) } else { Ok(Some(host)) };
        assert!(early.try_recv().is_err() && matches!(attempt.returned(), Ok(Returned::Whole)));
        let mut body = slot.take_whole().unwrap().into_body();
        assert_eq!(body.size_hint().exact(), Some(3));
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "all");
        assert!(body.is_end_stream() && body.frame().await.is_none());
    }
}

#[tokio::test]
async fn an_answer_leaves_before_its_call_waits_and_is_cut_when_the_handler_traps() {
    let (slot, mut early) = Slot::new();
    let attempt = Attempt::begin(&slot);
    let _host = set(&slot, "half");
    station_kernel::threads::do_before_wait();
    let mut body = early.try_recv().unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "half");
    drop(attempt);
    assert!(body.frame().await.unwrap().is_err());
    assert!(slot.take_whole().is_none());
}

#[test]
fn nothing_of_an_answer_leaves_when_the_handler_traps_before_it_waits() {
    let (slot, mut early) = Slot::new();
    let attempt = Attempt::begin(&slot);
    let _host = set(&slot, "half");
    drop(attempt);
    station_kernel::threads::do_before_wait();
    assert!(early.try_recv().is_err() && slot.take_whole().is_none());
}

#[test]
fn a_request_always_has_an_authority() {
    let request = with_host(Request::builder().uri("/x").body(()).unwrap());
    assert_eq!(request.headers()["host"], "localhost");
    let request = with_host(Request::builder().uri("/x").header("host", "h:1").body(()).unwrap());
    assert_eq!(request.headers()["host"], "h:1");
}

#[test]
fn a_cut_request_body_is_not_a_clean_end() {
    assert!(matches!(body_error(&std::io::Error::other("reset")), Error::ConnectionTerminated));
}
