//! From method and path to what is meant.

use crate::problem::Problem;

const LIMIT_DEFAULT: u32 = 20;

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Route {
    ListDossiers(Page),
    OpenDossier,
    GetDossier(String),
    CloseDossier(String),
    ListAudit(Page),
    VerifyAudit,
}

/// Which part of a list.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    pub after: Option<String>,
    pub limit: u32,
}

/// What a request asks for; 404 for an unknown path, 405 with `allow` for a method that the path does not have.
pub fn parse(method: &str, path_and_query: &str) -> Result<Route, Problem> {
    let (path, query) = path_and_query
        .split_once('?')
        .unwrap_or((path_and_query, ""));
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    match (segments.as_slice(), method) {
        (["dossiers"], "GET") => Ok(Route::ListDossiers(page(query)?)),
        (["dossiers"], "POST") => Ok(Route::OpenDossier),
        (["dossiers", id], "GET") => Ok(Route::GetDossier((*id).to_owned())),
        (["dossiers", id, "close"], "POST") => Ok(Route::CloseDossier((*id).to_owned())),
        (["audit"], "GET") => Ok(Route::ListAudit(page(query)?)),
        (["audit", "verify"], "GET") => Ok(Route::VerifyAudit),
        (["dossiers"], _) => Err(Problem::method("GET, POST")),
        (["dossiers", _, "close"], _) => Err(Problem::method("POST")),
        (["dossiers", _] | ["audit"] | ["audit", "verify"], _) => Err(Problem::method("GET")),
        _ => Err(Problem::new(404, format!("there is nothing at {path}"))),
    }
}

/// The page a query asks for. Ids and numbers need no percent-decoding; unknown keys are ignored, as on the web.
fn page(query: &str) -> Result<Page, Problem> {
    let value = |key: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .filter(|(name, value)| *name == key && !value.is_empty())
            .map(|(_, value)| value.to_owned())
            .next()
    };
    let limit = match value("limit") {
        None => LIMIT_DEFAULT,
        Some(limit) => limit
            .parse()
            .map_err(|_| Problem::new(400, "`limit` is not a number"))?,
    };
    Ok(Page {
        after: value("after"),
        limit,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: &str, path: &str) -> u16 {
        parse(method, path)
            .err()
            .map_or(200, |problem| problem.status)
    }

    #[test]
    fn paths_are_found() {
        assert_eq!(
            parse("GET", "/dossiers/LX-000001"),
            Ok(Route::GetDossier("LX-000001".into()))
        );
        assert_eq!(
            parse("POST", "/dossiers/LX-000001/close"),
            Ok(Route::CloseDossier("LX-000001".into()))
        );
        assert_eq!(parse("GET", "/audit/verify"), Ok(Route::VerifyAudit));
    }

    #[test]
    fn pages_have_a_start_and_a_length() {
        let page = |after: Option<&str>, limit| Page {
            after: after.map(str::to_owned),
            limit,
        };
        assert_eq!(
            parse("GET", "/dossiers"),
            Ok(Route::ListDossiers(page(None, 20)))
        );
        assert_eq!(
            parse("GET", "/audit?limit=5&after=7&x=y"),
            Ok(Route::ListAudit(page(Some("7"), 5)))
        );
        assert_eq!(status("GET", "/audit?limit=many"), 400);
    }

    #[test]
    fn unknown_paths_and_methods_are_told_apart() {
        assert_eq!(status("GET", "/"), 404);
        assert_eq!(status("GET", "/dossiers/1/2/3"), 404);
        assert_eq!(status("DELETE", "/dossiers/LX-000001"), 405);
        assert_eq!(
            parse("PUT", "/dossiers").unwrap_err().headers,
            [("allow", "GET, POST".to_owned())]
        );
    }
}
