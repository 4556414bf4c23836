//! Who may do what, route by route.

use super::*;

/// Every route: method, path, body, and the least scope that may use it.
const ROUTES: &[(&str, &str, &str, Option<&str>)] = &[
    ("GET", "/livez", "", None),
    ("GET", "/readyz", "", None),
    ("GET", "/metrics", "", None),
    ("GET", "/openapi.json", "", None),
    ("GET", "/errors/call.trap", "", None),
    ("GET", "/v1/modules", "", Some("read")),
    ("GET", "/v1/modules/m", "", Some("read")),
    ("GET", "/v1/modules/m/versions", "", Some("read")),
    ("GET", "/v1/modules/m/logs", "", Some("read")),
    ("GET", "/v1/graph", "", Some("read")),
    ("GET", "/v1/calls", "", Some("read")),
    ("GET", "/v1/calls/call-00000000000000000000000000000001", "", Some("read")),
    ("GET", "/v1/tokens", "", Some("admin")),
    ("GET", "/v1/audit", "", Some("read")),
    ("PUT", "/v1/modules/m", "m", Some("deploy")),
    ("POST", "/v1/modules/m/call", r#"{"function":"f","args":[]}"#, Some("deploy")),
    ("PUT", "/v1/modules/m?grant=a:b", "m", Some("admin")),
    ("PUT", "/v1/modules/m?grant_all=true", "m", Some("admin")),
    ("PUT", "/v1/modules/m?link=a:b/c%3Dn", "m", Some("admin")),
    ("POST", "/v1/modules/m/grants", r#"{"grants":["a:b/c"]}"#, Some("admin")),
    ("DELETE", "/v1/modules/m/grants", r#"{"grants":["a:b/c"]}"#, Some("admin")),
    ("PUT", "/v1/modules/m/links", r#"{"interface":"a:b/c","module":"n"}"#, Some("admin")),
    ("PUT", "/v1/modules/m/limits", r#"{"fuel":1}"#, Some("admin")),
    ("PUT", "/v1/modules/m/routes", r#"{"routes":[{"path":"/m"}]}"#, Some("admin")),
    ("PUT", "/v1/modules/m/config", r#"{"config":{"k":"v"}}"#, Some("admin")),
    ("POST", "/v1/tokens", r#"{"label":"x","scopes":["read"]}"#, Some("admin")),
    ("DELETE", "/v1/tokens/read", "", Some("admin")),
    ("GET", "/v1/tables", "", Some("read")),
    ("GET", "/v1/events?after=3&limit=2&module=m&topic=t", "", Some("read")),
    ("DELETE", "/v1/events?through=3", "", Some("admin")),
    ("POST", "/v1/backup", "", Some("admin")),
    ("DELETE", "/v1/modules/m", "", Some("admin")),
];

const SCOPES: [&str; 3] = ["read", "deploy", "admin"];

async fn status(route: &(&str, &str, &str, Option<&str>), token_id: Option<&str>) -> (StatusCode, Answer) {
    let request = request(route.0, route.1, token_id).body(Body::from(route.2.to_owned())).unwrap();
    let answer = Station::new().send(request).await;
    (answer.status, answer)
}

#[tokio::test]
async fn every_route_asks_for_its_scope() {
    for route in ROUTES {
        let rank = |scope| SCOPES.iter().position(|s| *s == scope).unwrap();
        for scope in SCOPES {
            let (status, answer) = status(route, Some(scope)).await;
            match route.3.is_none_or(|needed| rank(scope) >= rank(needed)) {
                true => assert!(status.is_success(), "{route:?} with {scope}: {status} {}", answer.text),
                false => answer.assert_problem("admin.forbidden"),
            }
        }
    }
}

#[tokio::test]
async fn without_a_token_or_with_a_wrong_one_only_open_routes_answer() {
    for route in ROUTES {
        for wrong in [None, Some("nobody")] {
            let (status, answer) = status(route, wrong).await;
            if route.3.is_none() {
                assert!(status.is_success(), "{route:?}");
                continue;
            }
            answer.assert_problem("admin.unauthenticated");
            assert_eq!((status.as_u16(), answer.header("www-authenticate")), (401, "Bearer"), "{route:?}");
        }
    }
}

#[tokio::test]
async fn the_table_above_has_every_route() {
    let document: Value = serde_json::from_str(&crate::document()).unwrap();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let fits = |route: &&(&str, &str, &str, Option<&str>)| {
                let known = path.replace("{name}", "m");
                let known = known.split('{').next().unwrap();
                route.0.eq_ignore_ascii_case(method) && route.1.split('?').next().unwrap().starts_with(known)
            };
            assert!(ROUTES.iter().any(|route| fits(&route)), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn forms_of_a_token_that_are_not_one_are_refused() {
    let (station, right) = (Station::new(), token(ADMIN));
    let tail = right.strip_prefix("stn_admin").unwrap();
    let cases = [
        right.clone(),
        "Bearer".into(),
        "Bearer ".into(),
        format!("Basic {right}"),
        format!("Bearer Bearer {right}"),
        format!("Bearer {right}x"),
        format!("Bearer stn_read{tail}"),
        format!("Bearer stn_admin_{}", "A".repeat(43)),
        "Bearer stn_admin_".into(),
        "Bearer stn__".into(),
    ];
    for case in cases {
        let request = request("GET", "/v1/modules", None).header("authorization", &case).body(Body::empty()).unwrap();
        station.send(request).await.assert_problem("admin.unauthenticated");
    }
}

#[tokio::test]
async fn a_token_twice_or_in_the_query_is_refused() {
    let station = Station::new();
    let header = format!("Bearer {}", token(ADMIN));
    let twice = request("GET", "/v1/modules", Some(ADMIN)).header("authorization", header).body(Body::empty()).unwrap();
    station.send(twice).await.assert_problem("admin.unauthenticated");
    let path = format!("/v1/modules?token={0}&access_token={0}", token(ADMIN));
    let query = request("GET", &path, None).body(Body::empty()).unwrap();
    station.send(query).await.assert_problem("admin.unauthenticated");
}

#[tokio::test]
async fn guessing_is_slowed_down_and_the_admin_is_not_locked_out() {
    let station = Station::with(Settings { wrong_tokens_max: 3, ..Settings::default() });
    let mut seen = Vec::new();
    for _ in 0..8 {
        let answer = station.send(request("GET", "/v1/modules", Some("nobody")).body(Body::empty()).unwrap()).await;
        seen.push(answer.status.as_u16());
        assert!(station.get("/v1/modules").await.status.is_success());
    }
    assert!(seen.contains(&401) && seen.contains(&429), "{seen:?}");
}

#[tokio::test]
async fn a_page_of_another_site_is_turned_away() {
    let station = Station::new();
    for (origin, ok) in [
        ("http://evil.example", false),
        ("null", false),
        ("http://localhost.evil.example", false),
        ("http://127.0.0.1:9", true),
        ("http://localhost:3000", true),
        ("http://[::1]:3000", true),
    ] {
        let request = request("GET", "/v1/modules", Some(ADMIN)).header("origin", origin).body(Body::empty()).unwrap();
        let answer = station.send(request).await;
        assert_eq!(answer.status.is_success(), ok, "{origin}");
        if !ok {
            answer.assert_problem("admin.forbidden");
        }
    }
}

#[tokio::test]
async fn a_name_that_was_led_here_reads_nothing_without_a_token() {
    let station = Station::new();
    for (host, ok) in [
        ("evil.example", false),
        ("evil.example:8081", false),
        ("localhost.evil.example:8081", false),
        ("127.0.0.1.evil.example", false),
        ("127.0.0.1@evil.example", false),
        ("", false),
        ("localhost", true),
        ("LOCALHOST:8081", true),
        ("127.0.0.1:8081", true),
        ("10.1.2.3:8081", true),
        ("[::1]:8081", true),
    ] {
        for route in ROUTES.iter().filter(|route| route.3.is_none()) {
            let ask = |token| request("GET", route.1, token).header("host", host).body(Body::empty()).unwrap();
            let answer = station.send(ask(None)).await;
            assert_eq!(answer.status.is_success(), ok, "{host} {route:?}");
            if !ok {
                answer.assert_problem("admin.forbidden");
                station.send(ask(Some("nobody"))).await.assert_problem("admin.forbidden");
            }
            assert!(station.send(ask(Some("read"))).await.status.is_success(), "{host} {route:?} with a token");
        }
    }
    let twice = request("GET", "/metrics", None).header("host", "localhost").header("host", "evil.example");
    station.send(twice.body(Body::empty()).unwrap()).await.assert_problem("admin.forbidden");
}

#[tokio::test]
async fn a_made_token_works_until_it_is_revoked() {
    let station = Station::new();
    let made = station.json("POST", "/v1/tokens", r#"{"label":"ci","scopes":["deploy","read"]}"#).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let (id, secret) =
        (made.json()["id"].as_str().unwrap().to_owned(), made.json()["secret"].as_str().unwrap().to_owned());
    let who = tokens::verify(&station.fake.state.lock().unwrap(), &secret).unwrap();
    assert_eq!((who.name, who.scope), (format!("admin:{id}"), Scope::Deploy));
    let list = station.get("/v1/tokens").await;
    assert!(list.text.contains(&id) && !list.text.contains(&secret));
    assert_eq!(station.json("DELETE", &format!("/v1/tokens/{id}"), "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(tokens::verify(&station.fake.state.lock().unwrap(), &secret), None);
}

#[tokio::test]
async fn the_last_admin_token_stays() {
    let station = Station::new();
    station.json("DELETE", "/v1/tokens/admin", "").await.assert_problem("admin.conflict");
    station.json("DELETE", "/v1/tokens/nobody", "").await.assert_problem("admin.not_found");
}
