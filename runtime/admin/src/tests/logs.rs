//! Logs, as a list and as a stream.

use super::*;
use axum::body::BodyDataStream;
use futures_util::StreamExt as _;
use station_model::ModuleName;

fn name() -> ModuleName {
    "m".parse().unwrap()
}

fn write(station: &Station, texts: &[&str]) {
    for text in texts {
        station.fake.logs.write(&name(), 1, None, "stdout", text);
    }
}

async fn follow(station: &Station, last_seen: Option<&str>) -> (StatusCode, BodyDataStream) {
    let mut request = request("GET", "/v1/modules/m/logs", Some("read")).header("accept", "text/event-stream");
    if let Some(last_seen) = last_seen {
        request = request.header("last-event-id", last_seen);
    }
    let response = station.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    (response.status(), response.into_body().into_data_stream())
}

async fn next(events: &mut BodyDataStream) -> String {
    let chunk = tokio::time::timeout(Duration::from_secs(5), events.next()).await.unwrap();
    String::from_utf8(chunk.unwrap().unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn lines_after_a_number_are_listed() {
    let station = Station::new();
    write(&station, &["a", "b", "c"]);
    let lines = station.get("/v1/modules/m/logs?after=1&limit=1").await.json();
    assert_eq!((&lines["lines"][0]["seq"], &lines["lines"][0]["text"]), (&3.into(), &"c".into()));
    assert_eq!(station.get("/v1/modules/m/logs?after=3").await.json()["lines"], serde_json::json!([]));
}

#[tokio::test]
async fn a_number_from_before_a_restart_begins_anew() {
    let station = Station::new();
    write(&station, &["a"]);
    assert_eq!(station.get("/v1/modules/m/logs?after=900").await.json()["lines"][0]["text"], "a");
}

#[tokio::test]
async fn a_follower_sees_lines_as_they_come_and_resumes() {
    let station = Station::new();
    write(&station, &["a", "b"]);
    let (_, mut events) = follow(&station, None).await;
    assert!(next(&mut events).await.contains("\"text\":\"a\""));
    assert!(next(&mut events).await.contains("id: 2"));
    write(&station, &["c"]);
    assert!(next(&mut events).await.contains("\"text\":\"c\""));
    let (_, mut resumed) = follow(&station, Some("2")).await;
    assert!(next(&mut resumed).await.contains("\"text\":\"c\""));
}

#[tokio::test]
async fn a_silent_stream_says_that_it_lives() {
    let station = Station::with(Settings { keepalive: Duration::from_millis(50), ..Settings::default() });
    let (_, mut events) = follow(&station, None).await;
    assert!(next(&mut events).await.starts_with(':'));
}

#[tokio::test]
async fn followers_are_counted_and_a_gone_one_makes_room() {
    let station = Station::with(Settings { streams_max: 1, ..Settings::default() });
    let (_, first) = follow(&station, None).await;
    assert_eq!(follow(&station, None).await.0, StatusCode::SERVICE_UNAVAILABLE);
    drop(first);
    assert_eq!(follow(&station, None).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_stream_ends_with_the_drain_and_with_the_module() {
    let station = Station::new();
    let (_, events) = follow(&station, None).await;
    station.drain.cancel();
    assert_eq!(tokio::time::timeout(Duration::from_secs(5), events.count()).await.unwrap(), 0);
    let station = Station::new();
    let (_, events) = follow(&station, None).await;
    station.json("DELETE", "/v1/modules/m", "").await;
    assert_eq!(tokio::time::timeout(Duration::from_secs(5), events.count()).await.unwrap(), 0);
}
