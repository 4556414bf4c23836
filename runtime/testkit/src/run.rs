//! What came of a command or of a call: one JSON document, and whether it is a success.

use serde_json::Value;

/// An ended command, or an answer of the admin API in the same words.
#[derive(Debug, Clone)]
pub struct Run {
    /// What was asked.
    pub asked: String,
    /// The exit code; for a request, 0 when the status is below 400, else 1.
    pub code: i32,
    /// What was on stdout; for a request, the body.
    pub stdout: String,
    /// What was on stderr.
    pub stderr: String,
}

impl Run {
    /// The one JSON document on stdout.
    ///
    /// # Panics
    /// When it is not exactly one.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not one JSON document ({error}): {self:#?}"))
    }

    /// The document of a success.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.code, 0, "it should have worked: {self:#?}");
        self.json()
    }

    /// The `result` of a call that succeeded.
    #[track_caller]
    pub fn result(&self) -> Value {
        let document = self.ok();
        document.get("result").unwrap_or_else(|| panic!("no result: {document}")).clone()
    }

    /// The problem document of a failure with this code.
    #[track_caller]
    pub fn problem(&self, code: &str) -> Value {
        assert_eq!(self.code, 1, "it should have failed with {code}: {self:#?}");
        let document = self.json();
        assert_eq!(document["code"], code, "another problem was expected: {document:#}");
        document
    }
}
