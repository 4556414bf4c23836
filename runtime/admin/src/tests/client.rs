//! The typed client against the server.

use super::*;
use fake::{Way, trap};
use futures_util::StreamExt as _;
use station_api::{CallBody, Client, Error, NewToken, Progress, UploadOptions};
use station_model::{Code, Digest};
use std::{io::Write as _, sync::Mutex};

async fn client(station: &Station, id: &str) -> Client {
    let url = format!("http://{}", station.listen().await);
    Client::new(&url, Some(&token(id))).unwrap()
}

fn body(function: &str) -> CallBody {
    CallBody { function: function.parse().unwrap(), args: Some(vec![]), wave: None, fuel: None, deadline: None }
}

fn code(error: &Error) -> Option<Code> {
    error.problem().and_then(station_api::Problem::known_code)
}

#[tokio::test]
async fn every_question_has_its_answer() {
    let station = Station::new();
    let client = client(&station, ADMIN).await;
    assert_eq!(client.ready().await.unwrap().status, "ready");
    assert_eq!(client.modules().await.unwrap().modules.len(), 1);
    let module = client.module("m").await.unwrap();
    assert_eq!(module.exports[0].functions[0].path, "demo:calc/ops@1.0.0#add");
    assert_eq!(module.exports[0].functions[0].signature, "func(a: u32) -> u32");
    assert!(client.versions("m").await.unwrap().versions[0].active);
    assert_eq!(client.graph().await.unwrap().modules[0].exports[0].to_string(), "demo:calc/ops@1.0.0");
    assert_eq!(client.calls(1, true).await.unwrap().calls.len(), 1);
    assert_eq!(client.trace("call-00000000000000000000000000000001").await.unwrap().call.frames.len(), 1);
    assert_eq!(client.audit(5).await.unwrap().entries.len(), 1);
    assert!(client.metrics().await.unwrap().ends_with("# EOF\n"));
    assert_eq!(client.openapi().await.unwrap()["openapi"], "3.1.0");
    assert_eq!(client.call("m", &body("f")).await.unwrap().result, 3);
}

#[tokio::test]
async fn changes_arrive() {
    let station = Station::new();
    let client = client(&station, ADMIN).await;
    let grant = "a:b/c".parse().unwrap();
    assert_eq!(client.grant("m", std::slice::from_ref(&grant)).await.unwrap().grants, std::slice::from_ref(&grant));
    assert!(client.revoke("m", &[grant]).await.unwrap().grants.is_empty());
    assert_eq!(client.link("m", &"a:b/c".parse().unwrap(), &"n".parse().unwrap()).await.unwrap().links.len(), 1);
    let limits = station_api::Limits { fuel: Some(5), ..Default::default() };
    assert_eq!(client.set_limits("m", &limits).await.unwrap().limits, limits);
    let route = station_api::Route { host: None, path: Some("/m".into()) };
    assert_eq!(client.set_routes("m", std::slice::from_ref(&route)).await.unwrap().routes, [route]);
    let config = [("k".to_owned(), "v".to_owned())].into();
    assert_eq!(client.set_config("m", &config).await.unwrap().config_keys, ["k"]);
    let made =
        client.create_token(&NewToken { label: "x".into(), scopes: vec![station_api::Scope::Read] }).await.unwrap();
    assert_eq!(client.tokens().await.unwrap().tokens.len(), 4);
    client.remove_token(&made.token.id).await.unwrap();
    client.remove("m").await.unwrap();
    assert_eq!(code(&client.module("m").await.unwrap_err()), Some(Code::AdminNotFound));
}

#[tokio::test]
async fn an_upload_shows_its_progress() {
    let station = Station::new();
    let client = client(&station, ADMIN).await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&vec![7; 300_000]).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    let digest = Some(Digest::of(&vec![7; 300_000]));
    let options = UploadOptions { grant_all: true, digest, plan: true, ..Default::default() };
    let deployed = client.upload("new", file.path(), &options, move |p| sink.lock().unwrap().push(p)).await.unwrap();
    assert_eq!((Some(deployed.digest), deployed.planned), (digest, true));
    let seen = seen.lock().unwrap();
    assert!(seen.contains(&Progress::Sent { bytes: 300_000, total: 300_000 }) && seen.contains(&Progress::Received));
}

#[tokio::test]
async fn a_refused_upload_is_a_problem_at_every_stage() {
    let station = Station::new();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&vec![7; 20_000_000]).unwrap();
    let upload = async |client: &Client, name: &str| {
        let error = client.upload(name, file.path(), &UploadOptions::default(), |_| {}).await.unwrap_err();
        code(&error).unwrap_or_else(|| panic!("{error:?}"))
    };
    assert_eq!(upload(&client(&station, "nobody").await, "m").await, Code::AdminUnauthenticated);
    assert_eq!(upload(&client(&station, "read").await, "m").await, Code::AdminForbidden);
    let client = client(&station, "deploy").await;
    assert_eq!(upload(&client, "..").await, Code::UploadBadName);
    station.fake.goes(Way::Fails(station_model::Failure::new(Code::UploadNotWasm, "no")));
    assert_eq!(upload(&client, "m").await, Code::UploadNotWasm);
}

#[tokio::test]
async fn a_failed_call_carries_its_frames() {
    let station = Station::new();
    station.fake.goes(Way::Fails(trap()));
    let error = client(&station, "deploy").await.call("m", &body("f")).await.unwrap_err();
    let problem = error.problem().unwrap();
    assert!(problem.is(Code::CallTrap));
    assert_eq!(problem.call.as_ref().unwrap().frames[0].at[0].line, Some(3));
}

#[tokio::test]
async fn logs_are_followed() {
    let station = Station::new();
    let client = client(&station, "read").await;
    station.fake.logs.write(&"m".parse().unwrap(), 1, None, "stdout", "a\nb");
    assert_eq!(client.logs("m", 0, 10).await.unwrap().lines[0].text, "a\\nb");
    let mut lines = Box::pin(client.follow("m", 0).await.unwrap());
    assert_eq!(lines.next().await.unwrap().unwrap().seq, 1);
    station.fake.logs.write(&"m".parse().unwrap(), 1, None, "stdout", "c");
    assert_eq!(lines.next().await.unwrap().unwrap().text, "c");
    station.drain.cancel();
    assert!(lines.next().await.is_none());
}

#[tokio::test]
async fn errors_name_the_address_and_the_next_step() {
    let nobody = Client::new("http://127.0.0.1:1", None).unwrap().modules().await.unwrap_err();
    assert!(
        nobody.to_string().contains("http://127.0.0.1:1") && nobody.to_string().contains("station serve"),
        "{nobody}"
    );
    assert!(matches!(Client::new("127.0.0.1:8081", None), Err(Error::Url { .. })));
    assert!(matches!(Client::new("http://x", Some("a\nb")), Err(Error::Token)));
    let missing = Client::new("http://127.0.0.1:1", None).unwrap();
    let error =
        missing.upload("m", std::path::Path::new("/no/such"), &UploadOptions::default(), |_| {}).await.unwrap_err();
    assert!(matches!(error, Error::File { .. }));
}
