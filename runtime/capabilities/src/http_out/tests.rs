//! Who may be reached, by address and by name; and one request over a real socket.

use super::address::{Reach, reach};
use super::connect::{Connector, Resolve};
use super::gate::{Opens, Refusal, decide};
use super::options::Egress;
use super::send::{Times, send};
use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Empty, Full};
use station_kernel::ports::BoxFuture;
use station_model::HostPattern;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

#[test]
fn only_the_internet_is_public() {
    for address in [
        "1.1.1.1",
        "8.8.8.8",
        "93.184.216.34",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "192.167.255.255",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2a00:1450:4001:800::200e",
        "2001:200::1",
        "2400::1",
        "::ffff:8.8.8.8",
    ] {
        assert_eq!(reach(address.parse().unwrap()), Reach::Public, "{address}");
    }
}

#[test]
fn the_own_machine_and_network_are_private() {
    for address in [
        "127.0.0.1",
        "127.255.255.254",
        "10.0.0.1",
        "10.255.255.255",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "192.168.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "::1",
        "0:0:0:0:0:0:0:1",
        "fc00::1",
        "fd12:3456::1",
        "fdff:ffff::",
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        "::ffff:10.0.0.1",
        "::ffff:192.168.1.1",
        "::ffff:100.64.0.1",
        "::ffff:172.16.0.1",
    ] {
        assert_eq!(reach(address.parse().unwrap()), Reach::Private, "{address}");
    }
}

#[test]
fn everything_else_is_closed() {
    for address in [
        "0.0.0.0",
        "0.1.2.3",
        "169.254.169.254",
        "169.254.0.1",
        "192.0.0.1",
        "192.0.0.170",
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
        "198.18.0.1",
        "198.19.255.255",
        "192.88.99.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::ffff:169.254.169.254",
        "::ffff:0.0.0.0",
        "::127.0.0.1",
        "::8.8.8.8",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:db8::1",
        "3fff::1",
        "100::1",
        "5f00::1",
        "4000::1",
    ] {
        assert_eq!(reach(address.parse().unwrap()), Reach::Special, "{address}");
    }
}

fn hosts(texts: &[&str]) -> Vec<HostPattern> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn allows(grants: &[&str], uri: &str) -> Option<Opens> {
    decide(&hosts(grants), &uri.parse::<Uri>().ok()?).ok().map(|target| target.opens)
}

#[test]
fn a_request_needs_a_grant_for_its_origin() {
    let grants = ["https://api.example.com", "https://*.wild.example", "http://plain.example:8080"];
    for uri in [
        "https://api.example.com/x?y",
        "https://API.Example.COM./",
        "https://api.example.com:443/",
        "https://a.wild.example/",
        "https://a.b.wild.example/",
        "http://plain.example:8080/",
    ] {
        assert_eq!(allows(&grants, uri), Some(Opens::Public), "{uri}");
    }
    for uri in [
        "http://api.example.com/",
        "https://api.example.com:8443/",
        "https://api.example.com.evil/",
        "https://evil/api.example.com",
        "https://api.example.com@evil/",
        "https://u:p@api.example.com/",
        "https://wild.example/",
        "https://.wild.example/",
        "https://plain.example:8080/",
        "http://plain.example/",
        "ftp://api.example.com/",
        "/api.example.com",
    ] {
        assert_eq!(allows(&grants, uri), None, "{uri}");
    }
}

/// Every other spelling of an address is refused, or is the very address that was granted.
#[test]
fn an_address_has_one_spelling() {
    for uri in ["http://127.0.0.1:9000/", "http://127.0.0.1.:9000/"] {
        assert_eq!(allows(&["http://127.0.0.1:9000"], uri), Some(Opens::Literal), "{uri}");
    }
    for uri in ["http://[::1]:9000/", "http://[0:0:0:0:0:0:0:1]:9000/", "http://[0000::0001]:9000/"] {
        assert_eq!(allows(&["http://[::1]:9000"], uri), Some(Opens::Literal), "{uri}");
        assert_eq!(allows(&["http://[0:0::1]:9000"], uri), Some(Opens::Literal), "{uri}");
    }
    let grants = ["http://127.0.0.1:9000", "http://2130706433:9000", "http://0x7f.1:9000", "http://127.1:9000"];
    for host in [
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0x7F.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "127.1",
        "127.0.1",
        "127.0.0.01",
        "127.0.0.256",
        "127.0.0.1.1",
        "a.0x",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "localhost",
        "127.0.0.1%00",
        "[::1%25lo]",
        "%31%32%37.0.0.1",
    ] {
        assert_eq!(allows(&grants, &format!("http://{host}:9000/")), None, "{host}");
    }
}

fn reaches(grant: &str, uri: &str, address: &str) -> bool {
    let target = decide(&hosts(&[grant]), &uri.parse().unwrap()).unwrap();
    target.may_reach(address.parse().unwrap())
}

#[test]
fn a_public_name_does_not_open_the_own_network() {
    for grant in ["https://api.example.com", "https://*.example.com"] {
        let uri = "https://api.example.com/";
        assert!(reaches(grant, uri, "93.184.216.34"));
        for address in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1", "::ffff:127.0.0.1"] {
            assert!(!reaches(grant, uri, address), "{address}");
        }
    }
    assert!(!reaches("http://*.internal", "http://ocr.internal/", "10.0.0.1"), "a wildcard names nobody");
}

#[test]
fn a_name_that_can_only_be_local_opens_it_and_no_metadata_service() {
    for (grant, uri) in [
        ("http://localhost:9000", "http://LOCALHOST.:9000/"),
        ("http://ocr:9001", "http://ocr:9001/"),
        ("http://ocr.internal", "http://ocr.internal/"),
    ] {
        for address in ["127.0.0.1", "::1", "10.0.0.1", "fd00::1"] {
            assert!(reaches(grant, uri, address), "{grant} {address}");
        }
        for address in ["169.254.169.254", "fe80::1", "0.0.0.0", "224.0.0.1", "64:ff9b::7f00:1"] {
            assert!(!reaches(grant, uri, address), "{grant} {address}");
        }
    }
}

#[test]
fn an_address_in_a_grant_opens_itself_alone() {
    assert!(reaches("http://127.0.0.1:9000", "http://127.0.0.1:9000/", "127.0.0.1"));
    assert!(!reaches("http://127.0.0.1:9000", "http://127.0.0.1:9000/", "127.0.0.2"));
    assert!(reaches("http://169.254.169.254", "http://169.254.169.254/", "169.254.169.254"));
}

#[test]
fn a_refusal_names_the_origin_to_grant() {
    let refused = decide(&[], &"https://A.example:444/x".parse().unwrap());
    assert_eq!(refused, Err(Refusal::Denied("https://a.example:444".to_owned())));
}

/// Every name has this address.
struct Always(SocketAddr);

impl Resolve for Always {
    fn resolve<'a>(&'a self, _host: &'a str, _port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        let address = self.0;
        Box::pin(async move { Ok(vec![address]) })
    }
}

fn connector(address: SocketAddr, body_bytes_max: u64) -> Arc<Connector> {
    let resolver = Arc::new(Always(address));
    Arc::new(Connector::new(Egress { resolver, body_bytes_max, read_ms_max: 300, ..Egress::default() }))
}

fn place(connector: &Connector) -> super::connect::Place {
    connector.place(&"m".parse().unwrap()).unwrap()
}

#[test]
fn no_module_takes_every_connection() {
    let egress = Egress { connections_max: 3, connections_per_module_max: 2, ..Egress::default() };
    let connector = Connector::new(egress);
    let (one, two) = ("one".parse().unwrap(), "two".parse().unwrap());
    let held = (connector.place(&one).unwrap(), connector.place(&one).unwrap());
    assert!(connector.place(&one).is_err());
    let other = connector.place(&two).unwrap();
    assert!(connector.place(&two).is_err(), "the station has three");
    drop((held, other));
    assert!(connector.place(&one).is_ok());
}

/// A server that reads until it has seen `until`, answers once with `answer`, and hands back what it read.
async fn server(until: &'static str, answer: &'static str) -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains(until) {
            if stream.read_buf(&mut seen).await.unwrap_or(0) == 0 {
                break;
            }
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        // The client ends the exchange, so that what it does with an answer that never ends is seen.
        let _client_is_gone = stream.read_to_end(&mut seen).await;
        String::from_utf8(seen).unwrap()
    });
    (address, serving)
}

fn body(text: &'static str) -> WasiBody {
    match text {
        "" => Empty::new().map_err(|never| match never {}).boxed_unsync(),
        text => Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {}).boxed_unsync(),
    }
}

/// Sends a request to `host:port` of `address`, with a grant for it, and reads the whole answer.
async fn fetch(connector: &Arc<Connector>, host: &str, port: u16, text: &'static str) -> Result<(u16, Bytes), Error> {
    let origin = format!("http://{host}:{port}");
    let request = Request::post(format!("{origin}/p?q")).header("te", "trailers").header("connection", "x-hop");
    let request = request.header("x-hop", "1").header("host", "forged").body(body(text)).unwrap();
    let target = decide(&hosts(&[&origin]), request.uri()).unwrap();
    let times = Times::new(connector, None, Duration::from_secs(5));
    let (answer, _io) = send(Arc::clone(connector), place(connector), target, request, times).await?;
    let status = answer.status().as_u16();
    Ok((status, answer.into_body().collect().await?.to_bytes()))
}

#[tokio::test]
async fn a_request_goes_out_in_its_own_words_and_the_answer_comes_back() {
    let (address, serving) =
        server("hello", "HTTP/1.1 302 Found\r\nlocation: http://x/\r\ncontent-length: 2\r\n\r\nhi").await;
    let connector = connector(address, 1_000);
    let answer = fetch(&connector, "localhost", address.port(), "hello").await.unwrap();
    assert_eq!(answer, (302, Bytes::from_static(b"hi")), "a redirect is not followed");
    let seen = serving.await.unwrap();
    assert!(seen.starts_with("POST /p?q HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains(&format!("host: localhost:{}\r\n", address.port())), "{seen}");
    assert!(!seen.contains("x-hop") && !seen.contains("te:") && !seen.contains("forged"), "{seen}");
}

#[tokio::test]
async fn the_address_is_looked_at_when_it_is_connected_to() {
    let (address, _serving) = server("", "HTTP/1.1 200 OK\r\n\r\n").await;
    let connector = connector(address, 1_000);
    let denied = fetch(&connector, "api.example.com", address.port(), "").await;
    assert!(matches!(denied, Err(Error::HttpRequestDenied)), "{denied:?}");
}

#[tokio::test]
async fn a_hostile_server_is_an_error_with_a_name() {
    let endless = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf";
    let long: &'static str =
        Box::leak(format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(70_000)).into_boxed_str());
    let many: &'static str = Box::leak(format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(200)).into_boxed_str());
    let big: &'static str =
        Box::leak(format!("HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n{}", "a".repeat(2_000)).into_boxed_str());
    for (answer, expected) in [
        ("", "HttpResponseTimeout"),
        (endless, "ConnectionReadTimeout"),
        (long, "HttpResponseHeaderSectionSize"),
        (many, "HttpResponseHeaderSectionSize"),
        (big, "HttpResponseBodySize"),
        ("garbage\r\n\r\n", "HttpProtocolError"),
        ("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", "Http"),
    ] {
        let (address, _serving) = server("\r\n\r\n", answer).await;
        let failed = fetch(&connector(address, 1_000), "localhost", address.port(), "").await;
        let failed = format!("{:?}", failed.expect_err(expected));
        assert!(failed.contains(expected), "{expected}: {failed}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_long_is_not_sent() {
    let (address, _serving) = server("never", "").await;
    let failed = fetch(&connector(address, 3), "localhost", address.port(), "hello").await;
    assert!(matches!(failed, Err(Error::HttpRequestBodySize(None))), "{failed:?}");
}

#[tokio::test]
async fn nobody_there_and_no_time_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let failed = fetch(&connector(address, 1_000), "localhost", address.port(), "").await;
    assert!(matches!(failed, Err(Error::ConnectionRefused)), "{failed:?}");
    let (address, _serving) = server("never", "").await;
    let connector = connector(address, 1_000);
    let request = Request::get(format!("http://localhost:{}/", address.port())).body(body("")).unwrap();
    let target = decide(&hosts(&[&format!("http://localhost:{}", address.port())]), request.uri()).unwrap();
    let options = RequestOptions { first_byte_timeout: Some(Duration::ZERO), ..RequestOptions::default() };
    let times = Times::new(&connector, Some(options), Duration::from_secs(5));
    let failed = send(Arc::clone(&connector), place(&connector), target, request, times).await.map(drop);
    assert!(matches!(failed, Err(Error::HttpResponseTimeout)), "{failed:?}");
}
