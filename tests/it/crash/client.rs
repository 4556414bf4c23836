//! A client of a station that may fail, die, or be told lies by its disk: every reply is a value.

use serde_json::{Value, json};
use station_testkit::{Station, http};

/// Where the station is and who asks. Outlives the station, as clients do.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    admin: String,
    token: String,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Reply {
    /// It was done. For a call: what the function answered, and the id of the call.
    Done { value: Value, call: String },
    /// A problem with this code.
    Problem { code: String },
    /// There is no answer, or no whole one.
    Lost,
}

impl Client {
    pub(crate) fn of(station: &Station) -> Self {
        Self { admin: station.ready().admin.clone(), token: station.token() }
    }

    /// Calls a function with arguments as JSON.
    pub(crate) fn call(&self, module: &str, function: &str, args: &Value) -> Reply {
        let path = format!("/v1/modules/{module}/call");
        reply(&self.request("POST", &path).json(&json!({ "function": function, "args": args })))
    }

    /// Uploads a component with everything that it asks for.
    pub(crate) fn upload(&self, module: &str, bytes: Vec<u8>) -> Reply {
        let request = self.request("PUT", &format!("/v1/modules/{module}?grant_all=true"));
        reply(&request.header("content-type", "application/wasm").body(bytes))
    }

    fn request(&self, method: &str, path: &str) -> http::Request {
        http::Request::new(&self.admin, method, path).token(&self.token)
    }
}

/// # Panics
/// When the answer is a failure without a code: what fails must say so in the station's own words.
fn reply(request: &http::Request) -> Reply {
    let answer = match request.try_send() {
        Ok(answer) if answer.complete => answer,
        _ => return Reply::Lost,
    };
    let body = answer.json();
    if answer.status < 400 {
        let call = body["call"]["id"].as_str().unwrap_or_default().to_owned();
        return Reply::Done { value: body.get("result").unwrap_or(&body).clone(), call };
    }
    let code = body["code"].as_str().unwrap_or_else(|| panic!("status {} and no code: {body}", answer.status));
    let page = format!("{}/docs/errors/{code}.md", env!("CARGO_MANIFEST_DIR"));
    assert!(std::path::Path::new(&page).is_file(), "nobody documents {code}: {body}");
    Reply::Problem { code: code.to_owned() }
}
