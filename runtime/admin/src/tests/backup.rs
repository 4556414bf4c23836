//! Backups: whole, one at a time.

use super::*;
use fake::BACKUP_BYTES;

fn asked() -> axum::http::Request<Body> {
    request("POST", "/v1/backup", Some(ADMIN)).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_backup_comes_whole_and_says_its_length() {
    let answer = Station::new().send(asked()).await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/x-tar"));
    assert_eq!(answer.header("content-length"), BACKUP_BYTES.to_string());
    assert_eq!(answer.text.len() as u64, BACKUP_BYTES);
}

#[tokio::test]
async fn a_second_one_is_refused_until_the_first_was_taken_or_left() {
    let station = Station::new();
    let first = station.router.clone().oneshot(asked()).await.unwrap();
    station.send(asked()).await.assert_problem("station.busy");
    drop(first);
    assert_eq!(station.send(asked()).await.status, StatusCode::OK);
}
