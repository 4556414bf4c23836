//! Headers that must not pass the gateway.
//!
//! Those of one hop belong to a connection. Those that say where a request came from are believed by applications,
//! so a client does not get to write them: they are taken away and written anew from what the gateway saw.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use station_model::CallId;
use std::net::IpAddr;

/// Carries the id of the root call.
pub(crate) const STATION_CALL: HeaderName = HeaderName::from_static("station-call");

const HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
];
const FORWARDED: [HeaderName; 3] =
    [header::FORWARDED, HeaderName::from_static("x-real-ip"), HeaderName::from_static("x-client-ip")];
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Removes the headers of one hop, and those that `connection` names as such.
pub(crate) fn remove_hop(headers: &mut HeaderMap) {
    let connection: Vec<HeaderValue> = headers.get_all(header::CONNECTION).iter().cloned().collect();
    let listed = connection.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    // A client must not have the gateway drop what names the host or measures the body.
    let kept = [header::HOST, header::CONTENT_LENGTH];
    for name in listed.map(str::trim).filter(|name| !kept.iter().any(|kept| name.eq_ignore_ascii_case(kept.as_str()))) {
        headers.remove(name);
    }
    for name in HOP {
        headers.remove(name);
    }
}

/// Makes a request's headers those of a request that came straight from `peer`.
pub(crate) fn incoming(headers: &mut HeaderMap, peer: IpAddr) {
    remove_hop(headers);
    let claimed: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with("x-forwarded-")).cloned().collect();
    for name in FORWARDED.into_iter().chain(claimed).chain([STATION_CALL]) {
        headers.remove(name);
    }
    if let Ok(peer) = HeaderValue::try_from(peer.to_string()) {
        headers.insert(FORWARDED_FOR, peer);
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
}

/// Makes an answer's headers fit to leave, with the id of its call.
pub(crate) fn outgoing(headers: &mut HeaderMap, call: Option<CallId>) {
    remove_hop(headers);
    headers.remove(STATION_CALL);
    if let Some(id) = call.and_then(|id| HeaderValue::try_from(id.to_string()).ok()) {
        headers.insert(STATION_CALL, id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn headers_of_one_hop_and_those_that_connection_names_are_removed() {
        let mut map = headers(&[
            ("connection", "close, X-Secret, host, Content-Length"),
            ("x-secret", "1"),
            ("host", "a"),
            ("content-length", "3"),
            ("te", "trailers"),
            ("keep-alive", "1"),
            ("upgrade", "websocket"),
            ("accept", "*/*"),
        ]);
        remove_hop(&mut map);
        assert_eq!(names(&map), ["accept", "content-length", "host"]);
    }

    #[test]
    fn a_client_cannot_say_where_it_comes_from() {
        let mut map = headers(&[
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-host", "admin"),
            ("x-forwarded-user", "root"),
            ("forwarded", "for=10.0.0.1"),
            ("x-real-ip", "10.0.0.1"),
            ("station-call", "call-1"),
        ]);
        incoming(&mut map, "192.0.2.7".parse().unwrap());
        assert_eq!(names(&map), ["x-forwarded-for", "x-forwarded-proto"]);
        assert_eq!(map["x-forwarded-for"], "192.0.2.7");
    }

    #[test]
    fn an_answer_carries_the_id_of_its_own_call() {
        let mut map = headers(&[("station-call", "forged"), ("transfer-encoding", "chunked"), ("etag", "1")]);
        outgoing(&mut map, Some(CallId::from_u128(7)));
        assert_eq!(names(&map), ["etag", "station-call"]);
        assert_eq!(map["station-call"], CallId::from_u128(7).to_string());
    }
}
