//! Takes in a new case: asks the JavaScript module for labels and the Python module for the deadline, then opens the
//! case file with both.
//!
//! Labels and deadline are a help, not a condition. Their functions can carry a `call-error`, so a trap over there
//! arrives here as a value and becomes a warning; only what `dossiers` refuses is refused here.

wit_bindgen::generate!({
    path: [
        "../../../wit/station-kernel",
        "../../wit/lex-dossiers",
        "../../wit/lex-labels",
        "../../wit/lex-deadlines",
        "../../wit/lex-intake",
        "wit",
    ],
    world: "lexorbital:intake-module/module",
    generate_all,
});

use exports::lexorbital::intake::desk::{Admitted, Error, Guest, Request};
use lexorbital::deadlines::calendar;
use lexorbital::dossiers::files::{self, Draft};
use lexorbital::labels::labeler;

struct Module;

impl Guest for Module {
    fn admit(request: Request, today: String, actor: String) -> Result<Admitted, Error> {
        let mut warnings = Vec::new();
        let labels = labels(&request.title, &mut warnings);
        let deadline = deadline(&today, &request.kind, &mut warnings);
        let Request {
            title,
            client,
            kind,
        } = request;
        let dossier = files::open(
            &Draft {
                title,
                client,
                kind,
                labels,
                deadline,
            },
            &actor,
        )
        .map_err(refused)?;
        Ok(Admitted { dossier, warnings })
    }
}

fn labels(title: &str, warnings: &mut Vec<String>) -> Vec<String> {
    labeler::label(title).unwrap_or_else(|error| {
        warnings.push(format!("no labels: {}", error.code));
        Vec::new()
    })
}

fn deadline(today: &str, kind: &str, warnings: &mut Vec<String>) -> Option<String> {
    let why = match calendar::due(today, kind) {
        Ok(day) => return Some(day),
        Err(calendar::Error::Failed(error)) => error.code,
        Err(calendar::Error::Invalid(why) | calendar::Error::Unavailable(why)) => why,
        Err(calendar::Error::UnknownDossier(id)) => format!("{id} is unknown"),
    };
    warnings.push(format!("no deadline: {why}"));
    None
}

/// A failed call stays one, so that the caller can see whether to try again.
fn refused(error: files::Error) -> Error {
    match error {
        files::Error::Failed(error) => Error::Failed(error),
        error => Error::Refused(error),
    }
}

export!(Module);
