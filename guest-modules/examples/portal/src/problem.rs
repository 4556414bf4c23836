//! What went wrong, as HTTP says it (RFC 9457).

use serde_json::{Value, json};

use crate::lexorbital::audit::journal;
use crate::lexorbital::dossiers::files;
use crate::station::kernel::types::CallError;

/// An answer that is not the one asked for.
#[derive(Debug, PartialEq)]
pub struct Problem {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    detail: String,
    mistakes: Vec<String>,
}

impl Problem {
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            detail: detail.into(),
            mistakes: Vec::new(),
        }
    }

    /// The path exists, the method does not.
    pub fn method(allowed: &str) -> Self {
        let mut problem = Self::new(405, format!("allowed here: {allowed}"));
        problem.headers.push(("allow", allowed.to_owned()));
        problem
    }

    fn invalid(mistakes: Vec<String>) -> Self {
        Self {
            mistakes,
            ..Self::new(422, "the request was understood but cannot be accepted")
        }
    }

    pub fn body(&self) -> Value {
        let mut body = json!({ "type": "about:blank", "title": title(self.status), "status": self.status, "detail": self.detail });
        if !self.mistakes.is_empty() {
            body["mistakes"] = json!(self.mistakes);
        }
        body
    }
}

fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

/// A module behind this one did not come to an end.
impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        let detail = format!("{} (call {})", error.code, error.call_id);
        if !error.retryable {
            return Self::new(502, detail);
        }
        Self {
            headers: vec![("retry-after", "1".to_owned())],
            ..Self::new(503, detail)
        }
    }
}

impl From<files::Error> for Problem {
    fn from(error: files::Error) -> Self {
        match error {
            files::Error::Invalid(mistakes) => Self::invalid(mistakes),
            files::Error::NotFound(id) => Self::new(404, format!("there is no case file {id}")),
            files::Error::Closed(id) => Self::new(409, format!("the case file {id} is closed")),
            files::Error::Audit(why) | files::Error::Storage(why) => Self::new(500, why),
            files::Error::Failed(error) => error.into(),
        }
    }
}

impl From<journal::Error> for Problem {
    fn from(error: journal::Error) -> Self {
        match error {
            journal::Error::Invalid(why) => Self::invalid(vec![why]),
            journal::Error::Tampered(seq) => {
                Self::new(500, format!("line {seq} is not what was written"))
            }
            journal::Error::Storage(why) => Self::new(500, why),
            journal::Error::Failed(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call_error(retryable: bool) -> CallError {
        CallError {
            code: "call.trap".into(),
            retryable,
            call_id: "c1".into(),
        }
    }

    #[test]
    fn a_failed_call_says_whether_to_try_again() {
        assert_eq!(Problem::from(call_error(false)).status, 502);
        let later = Problem::from(files::Error::Failed(call_error(true)));
        assert_eq!(
            (later.status, later.headers),
            (503, vec![("retry-after", "1".to_owned())])
        );
    }

    #[test]
    fn mistakes_are_listed() {
        let body = Problem::from(files::Error::Invalid(vec!["title is empty".into()])).body();
        assert_eq!(body["status"], 422);
        assert_eq!(body["mistakes"], json!(["title is empty"]));
        assert_eq!(Problem::new(404, "x").body().get("mistakes"), None);
    }
}
