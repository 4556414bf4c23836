//! The JSON that clients see, which is not the WIT that modules see: fields may be left out here.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::lexorbital::audit::journal::Line;
use crate::lexorbital::dossiers::files::{self, Dossier, Status};
use crate::problem::Problem;

/// The body of `POST /dossiers`. An unknown field is a mistake: it is usually a known one, misspelt.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    title: String,
    client: String,
    kind: String,
    #[serde(default)]
    labels: Vec<String>,
    deadline: Option<String>,
}

/// The body of `POST /dossiers/ID/close`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closing {
    pub reason: String,
}

impl From<Draft> for files::Draft {
    fn from(draft: Draft) -> Self {
        let Draft {
            title,
            client,
            kind,
            labels,
            deadline,
        } = draft;
        Self {
            title,
            client,
            kind,
            labels,
            deadline,
        }
    }
}

pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| Problem::new(400, format!("the body is not what is expected: {error}")))
}

pub fn dossier(dossier: &Dossier) -> Value {
    json!({
        "id": dossier.id,
        "title": dossier.title,
        "client": dossier.client,
        "kind": dossier.kind,
        "labels": dossier.labels,
        "deadline": dossier.deadline,
        "status": if dossier.status == Status::Open { "open" } else { "closed" },
        "opened": dossier.opened,
        "closed": dossier.closed,
    })
}

pub fn line(line: &Line) -> Value {
    json!({
        "seq": line.seq,
        "at": line.at,
        "actor": line.entry.actor,
        "action": line.entry.action,
        "subject": line.entry.subject,
        "detail": line.entry.detail,
        "previous": line.previous,
        "hash": line.hash,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_deadline_may_be_left_out() {
        let draft: Draft = parse(br#"{"title": "t", "client": "c", "kind": "k"}"#).unwrap();
        assert_eq!((draft.labels.len(), draft.deadline), (0, None));
    }

    #[test]
    fn a_body_that_is_not_understood_is_a_400() {
        for body in [
            "",
            "{",
            "[]",
            r#"{"title": "t"}"#,
            r#"{"title": "t", "client": "c", "kind": "k", "lables": []}"#,
        ] {
            assert_eq!(
                parse::<Draft>(body.as_bytes()).unwrap_err().status,
                400,
                "{body}"
            );
        }
    }
}
