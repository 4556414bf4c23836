//! Calling, and what is said about calls.

use super::*;
use fake::{Way, trap};
use station_kernel::ports::Arguments;

#[tokio::test]
async fn a_call_answers_result_and_cost() {
    let station = Station::new();
    let body = r#"{"function":"demo:calc/ops#add","args":[1,"x"],"fuel":9,"deadline":"2s"}"#;
    let answer = station.json("POST", "/v1/modules/m/call", body).await;
    let json = answer.json();
    assert_eq!((answer.status, &json["result"], &json["call"]["fuel"]), (StatusCode::OK, &3.into(), &10.into()));
    assert_eq!(json["call"]["frames"][0]["outcome"], "ok");
    let (who, request) = station.fake.called.lock().unwrap().clone().unwrap();
    assert_eq!((who.name.as_str(), request.fuel, request.deadline_ms), ("admin:admin", Some(9), Some(2_000)));
    assert_eq!(request.arguments, Arguments::Json(vec![1.into(), "x".into()]));
}

#[tokio::test]
async fn arguments_may_be_wave_or_absent() {
    let station = Station::new();
    for (body, arguments) in [
        (r#"{"function":"f","wave":"(1)","deadline":500}"#, Arguments::Wave("(1)".into())),
        (r#"{"function":"f"}"#, Arguments::Json(vec![])),
    ] {
        station.json("POST", "/v1/modules/m/call", body).await;
        assert_eq!(station.fake.called.lock().unwrap().clone().unwrap().1.arguments, arguments);
    }
}

#[tokio::test]
async fn a_failed_call_is_a_problem_with_limit_and_frames() {
    let station = Station::new();
    station.fake.goes(Way::Fails(trap()));
    let answer = station.json("POST", "/v1/modules/m/call", r#"{"function":"f"}"#).await;
    answer.assert_problem("call.trap");
    let problem = answer.json();
    assert_eq!(answer.status.as_u16(), 500);
    assert_eq!(problem["limit"], serde_json::json!({ "name": "fuel", "value": 1, "used": 2 }));
    assert_eq!(problem["call"]["id"], "call-00000000000000000000000000000001");
    let frame = &problem["call"]["frames"][0];
    for member in ["module", "revision", "interface", "function", "fuel", "outcome", "at"] {
        assert!(!frame[member].is_null(), "{member}");
    }
    assert_eq!((&frame["at"][0]["file"], &frame["at"][0]["line"]), (&"src/lib.rs".into(), &3.into()));
}

#[tokio::test]
async fn a_call_of_an_impossible_name_says_that_there_is_no_such_module() {
    let answer = Station::new().json("POST", "/v1/modules/No_Name/call", r#"{"function":"f"}"#).await;
    answer.assert_problem("call.no_such_module");
}

#[tokio::test]
async fn calls_are_listed_and_shown() {
    let station = Station::new();
    assert_eq!(station.get("/v1/calls").await.json()["calls"].as_array().unwrap().len(), 2);
    let failed = station.get("/v1/calls?failed=true&limit=5").await.json();
    assert_eq!((failed["calls"].as_array().unwrap().len(), &failed["calls"][0]["outcome"]), (1, &"call.trap".into()));
    let one = station.get("/v1/calls/call-00000000000000000000000000000001").await.json();
    assert_eq!(
        (&one["failure"]["code"], &one["principal"], &one["id"]),
        (&"call.trap".into(), &"admin:admin".into(), &"call-00000000000000000000000000000001".into())
    );
}
