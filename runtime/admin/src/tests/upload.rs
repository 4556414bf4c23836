//! Uploading, and that nothing stays of what went wrong.

use super::*;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use fake::Way;
use futures_util::stream;
use sha2::Digest as _;
use station_model::{Code, Digest, Failure};
use std::{convert::Infallible, io};

fn body_of(parts: Vec<Result<&'static str, io::Error>>) -> Body {
    Body::from_stream(stream::iter(parts.into_iter().map(|part| part.map(Bytes::from))))
}

#[tokio::test]
async fn an_upload_arrives_whole_and_leaves_no_file() {
    let station = Station::new();
    let answer = station
        .put(
            "/v1/modules/new?grant=a:b&grant=c:d/e@n&link=a:b/c@1.0.0=n&grant_all=true",
            body_of(vec![Ok("ab"), Ok("c")]),
        )
        .await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let expected = serde_json::json!({
        "module": "new", "digest": Digest::of(b"abc").to_string(), "state": "ready", "changed": true, "planned": false,
        "waiting_for": [], "warnings": [{"code": "writes_and_waits", "detail": "m does both"}]
    });
    assert_eq!(answer.json(), expected);
    let (upload, bytes) = station.fake.uploaded.lock().unwrap().clone().unwrap();
    assert_eq!((bytes.as_slice(), upload.size, upload.grant_all), (b"abc".as_slice(), 3, true));
    assert_eq!(upload.grants, ["a:b".parse().unwrap(), "c:d/e@n".parse().unwrap()]);
    assert_eq!(upload.links, [("a:b/c@1.0.0".parse().unwrap(), "n".parse().unwrap())]);
    assert_eq!(station.fake.files(), 0);
}

#[tokio::test]
async fn the_same_revision_again_is_200() {
    let answer = Station::new().put("/v1/modules/m", "m").await;
    assert_eq!((answer.status, &answer.json()["changed"]), (StatusCode::OK, &false.into()));
}

#[tokio::test]
async fn a_plan_is_200_and_asked_for_in_the_query() {
    let station = Station::new();
    let answer = station.put("/v1/modules/new?plan=true", "abc").await;
    let said = (answer.status, answer.json()["planned"].clone(), answer.json()["changed"].clone());
    assert_eq!(said, (StatusCode::OK, true.into(), true.into()));
    assert!(station.fake.uploaded.lock().unwrap().clone().unwrap().0.plan);
    assert_eq!(station.put("/v1/modules/new?plan=false", "abc").await.status, StatusCode::CREATED);
    station.put("/v1/modules/new?plan=maybe", "abc").await.assert_problem("admin.bad_request");
    assert_eq!(station.fake.files(), 0);
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_removed() {
    let station = Station::with(Settings { upload_bytes_max: 4, ..Settings::default() });
    let streamed = station.put("/v1/modules/m", body_of(vec![Ok("abc"), Ok("def")])).await;
    streamed.assert_problem("upload.too_large");
    assert_eq!(streamed.json()["limit"], serde_json::json!({ "name": "upload_bytes", "value": 4, "used": 6 }));
    let declared = request("PUT", "/v1/modules/m", Some(ADMIN)).header("content-length", "5");
    station.send(declared.body(Body::empty()).unwrap()).await.assert_problem("upload.too_large");
    assert_eq!(station.fake.files(), 0);
    assert!(station.fake.uploaded.lock().unwrap().is_none());
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_nothing() {
    let station = Station::new();
    let body = body_of(vec![Ok("abc"), Err(io::Error::other("gone"))]);
    station.put("/v1/modules/m", body).await.assert_problem("upload.truncated");
    assert_eq!(station.fake.files(), 0);
}

#[tokio::test]
async fn silence_ends_an_upload() {
    let station = Station::with(Settings { upload_chunk: Duration::from_millis(50), ..Settings::default() });
    let body = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
    let answer = tokio::time::timeout(Duration::from_secs(20), station.put("/v1/modules/m", body)).await.unwrap();
    answer.assert_problem("upload.truncated");
    assert_eq!(station.fake.files(), 0);
}

#[tokio::test]
async fn a_declared_digest_is_checked() {
    let station = Station::new();
    let base64 = |bytes: &[u8]| STANDARD.encode(sha2::Sha256::digest(bytes));
    let (right, wrong) = (base64(b"abc"), base64(b"abd"));
    for (name, value, ok) in [
        ("content-digest", format!("sha-256=:{right}:"), true),
        ("content-digest", format!("md5=:AAAA:, sha-256=:{wrong}:"), false),
        ("digest", format!("SHA-256={right}"), true),
        ("digest", format!("SHA-256={wrong}"), false),
        ("digest", "md5=AAAA".to_owned(), true),
    ] {
        let request =
            request("PUT", "/v1/modules/m", Some("deploy")).header(name, &value).body(Body::from("abc")).unwrap();
        let answer = station.send(request).await;
        match ok {
            true => assert!(answer.status.is_success(), "{value}: {}", answer.text),
            false => answer.assert_problem("upload.digest_mismatch"),
        }
    }
    station
        .put(&format!("/v1/modules/m?digest={}", Digest::of(b"abd")), "abc")
        .await
        .assert_problem("upload.digest_mismatch");
    assert!(station.put(&format!("/v1/modules/m?digest={}", Digest::of(b"abc")), "abc").await.status.is_success());
    assert_eq!(station.fake.files(), 0);
}

#[tokio::test]
async fn a_malformed_digest_is_a_bad_request() {
    let request = request("PUT", "/v1/modules/m", Some(ADMIN))
        .header("content-digest", "sha-256=:zz:")
        .body(Body::from("abc"))
        .unwrap();
    Station::new().send(request).await.assert_problem("admin.bad_request");
}

#[tokio::test]
async fn a_bad_name_is_told() {
    for name in ["Bad", "a_b", "station", "a%2Fb", "%20"] {
        Station::new().put(&format!("/v1/modules/{name}"), "abc").await.assert_problem("upload.bad_name");
    }
}

#[tokio::test]
async fn a_refused_deployment_leaves_no_file() {
    let station = Station::new();
    station.fake.goes(Way::Fails(Failure::new(Code::UploadNotWasm, "it is not WebAssembly")));
    station.put("/v1/modules/m", "abc").await.assert_problem("upload.not_wasm");
    assert_eq!(station.fake.files(), 0);
}

#[tokio::test]
async fn two_uploads_of_one_module_are_a_conflict_and_too_many_wait() {
    let station = Arc::new(Station::new());
    station.fake.goes(Way::Hangs);
    let running: Vec<_> = ["a", "b"].map(|name| upload_in_background(&station, name)).into();
    for _ in &running {
        station.fake.began.notified().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    station.put("/v1/modules/a", "abc").await.assert_problem("upload.conflict");
    station.put("/v1/modules/c", "abc").await.assert_problem("station.busy");
    for upload in running {
        upload.abort();
        upload.await.ok();
    }
    station.fake.goes(Way::Well);
    assert_eq!(station.fake.files(), 0);
    assert!(station.put("/v1/modules/a", "abc").await.status.is_success());
}

fn upload_in_background(station: &Arc<Station>, name: &str) -> tokio::task::JoinHandle<()> {
    let (station, path) = (station.clone(), format!("/v1/modules/{name}"));
    tokio::spawn(async move { drop(station.put(&path, "abc").await) })
}

async fn events(station: &Station) -> Vec<Value> {
    let request = request("PUT", "/v1/modules/m", Some(ADMIN))
        .header("accept", "application/x-ndjson")
        .body(Body::from("abc"))
        .unwrap();
    let answer = station.send(request).await;
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_client_that_likes_events_gets_them() {
    let station = Station::new();
    let events = events(&station).await;
    assert_eq!((&events[0]["event"], &events[0]["bytes"]), (&"uploaded".into(), &3.into()));
    let done = events.last().unwrap();
    assert_eq!((&done["event"], &done["status"], &done["body"]["module"]), (&"done".into(), &201.into(), &"m".into()));
    assert_eq!(station.fake.files(), 0);
}

#[tokio::test]
async fn the_last_event_of_a_failure_is_the_problem() {
    let station = Station::new();
    station.fake.goes(Way::Fails(Failure::new(Code::UploadInvalid, "bad")));
    let events = events(&station).await;
    let failed = events.last().unwrap();
    assert_eq!((&failed["event"], &failed["problem"]["code"]), (&"failed".into(), &"upload.invalid".into()));
}
