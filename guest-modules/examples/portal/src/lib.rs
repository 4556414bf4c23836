//! The HTTP front of the law office.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /dossiers?after=ID&limit=N` | a page of case files, `next` for the following one |
//! | `POST /dossiers` | 201 and the new case file; body `{"title", "client", "kind", "labels"?, "deadline"?}` |
//! | `GET /dossiers/ID` | one case file |
//! | `POST /dossiers/ID/close` | the closed case file; body `{"reason"}` |
//! | `GET /audit?after=N&limit=N` | a page of the journal |
//! | `GET /audit/verify` | `{"lines": N}`, or 500 when somebody has changed it |
//!
//! Mistakes are answered as problems (RFC 9457): 400 when the request is not understood, 422 when what it says is
//! refused, 503 with `retry-after` when a module behind this one may work later, 502 when it failed. Who is acting is
//! taken from the header `x-actor`; a real office would put a login in front.

mod http;
mod json;
mod problem;
mod route;

#[rustfmt::skip]
wit_bindgen::generate!({
    path: [
        "../../../wit/deps/io", "../../../wit/deps/clocks", "../../../wit/deps/random", "../../../wit/deps/filesystem",
        "../../../wit/deps/sockets", "../../../wit/deps/cli", "../../../wit/deps/http",
        "../../../wit/station-kernel", "../../wit/lex-audit", "../../wit/lex-dossiers", "wit",
    ],
    world: "lexorbital:portal-module/module",
    generate_all,
});

use exports::wasi::http::incoming_handler::{Guest, IncomingRequest, ResponseOutparam};
use lexorbital::audit::journal;
use lexorbital::dossiers::files;
use serde_json::{Value, json};

use problem::Problem;
use route::{Page, Route};

struct Module;

impl Guest for Module {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        match answer(&request) {
            Ok((status, body)) => http::send(out, status, "application/json", &[], &body),
            Err(problem) => {
                http::send(
                    out,
                    problem.status,
                    "application/problem+json",
                    &problem.headers,
                    &problem.body(),
                );
            }
        }
    }
}

/// What a request is answered with.
type Answer = Result<(u16, Value), Problem>;

fn answer(request: &IncomingRequest) -> Answer {
    let path = request.path_with_query().unwrap_or_default();
    match route::parse(&http::method(request), &path)? {
        Route::ListDossiers(page) => list_dossiers(&page),
        Route::OpenDossier => open_dossier(request),
        Route::GetDossier(id) => Ok((200, json::dossier(&files::get(&id)?))),
        Route::CloseDossier(id) => close_dossier(request, &id),
        Route::ListAudit(page) => list_audit(&page),
        Route::VerifyAudit => Ok((200, json!({ "lines": journal::verify()? }))),
    }
}

fn list_dossiers(page: &Page) -> Answer {
    let found = files::list(page.after.as_deref(), page.limit)?;
    let dossiers: Vec<Value> = found.dossiers.iter().map(json::dossier).collect();
    Ok((200, json!({ "dossiers": dossiers, "next": found.next })))
}

fn open_dossier(request: &IncomingRequest) -> Answer {
    let draft: json::Draft = json::parse(&http::body(request)?)?;
    let opened = files::open(&draft.into(), &http::actor(request))?;
    Ok((201, json::dossier(&opened)))
}

fn close_dossier(request: &IncomingRequest, id: &str) -> Answer {
    let closing: json::Closing = json::parse(&http::body(request)?)?;
    Ok((
        200,
        json::dossier(&files::close(id, &closing.reason, &http::actor(request))?),
    ))
}

fn list_audit(page: &Page) -> Answer {
    let after = page.after.as_deref().unwrap_or("0");
    let after = after
        .parse()
        .map_err(|_| Problem::new(400, "`after` is not a number"))?;
    let found = journal::page(after, page.limit)?;
    let lines: Vec<Value> = found.lines.iter().map(json::line).collect();
    Ok((200, json!({ "lines": lines, "next": found.next })))
}

export!(Module);
