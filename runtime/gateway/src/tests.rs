//! The server over real sockets, with a fake backend.

use crate::{Answer, Backend, BodyError, Held, Refused, RequestBody, ResponseBody, Settings, serve};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use station_kernel::ports::BoxFuture;
use station_kernel::state::Route;
use station_model::{CallId, Code, Failure, ModuleName};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Does what the module's name says.
struct Fake {
    routes: Mutex<Arc<Vec<(Route, ModuleName)>>>,
    running: Arc<AtomicUsize>,
}

/// Counts what runs, so that a test sees a cancellation.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One piece, and then what `after` says: a clean end never comes by itself.
struct Piece {
    data: Option<Bytes>,
    after: After,
}

enum After {
    Fail,
    Hang,
}

impl Body for Piece {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match (self.data.take(), &self.after) {
            (Some(data), _) => Poll::Ready(Some(Ok(Frame::data(data)))),
            (None, After::Fail) => Poll::Ready(Some(Err("the call failed".into()))),
            (None, After::Hang) => Poll::Pending,
        }
    }
}

fn full(text: impl Into<Bytes>) -> ResponseBody {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

fn piece(after: After) -> Piece {
    Piece { data: Some(Bytes::from_static(b"begun")), after }
}

fn refused(code: Code) -> Refused {
    Refused { call: Some(call()), failure: Failure::new(code, "a secret of the module") }
}

fn call() -> CallId {
    CallId::from_u128(7)
}

impl Backend for Fake {
    fn serve(&self, module: ModuleName, request: Request<RequestBody>) -> BoxFuture<'_, Result<Answer, Refused>> {
        let running = Running::new(&self.running);
        Box::pin(async move {
            let body = match module.as_str() {
                "echo" => echo(request).await,
                "hangs" => std::future::pending().await,
                "breaks" => piece(After::Fail).boxed_unsync(),
                "streams" => Held::new(piece(After::Hang), running).boxed_unsync(),
                "traps" => return Err(refused(Code::CallTrap)),
                "late" => return Err(refused(Code::CallDeadline)),
                "busy" => return Err(refused(Code::StationBusy)),
                _ => full("ok"),
            };
            let mut response = Response::new(body);
            response.headers_mut().insert("station-call", "forged".parse().unwrap());
            Ok(Answer { call: call(), response })
        })
    }

    fn routes(&self) -> Arc<Vec<(Route, ModuleName)>> {
        Arc::clone(&self.routes.lock().unwrap())
    }
}

/// What the module saw of a request.
async fn echo(request: Request<RequestBody>) -> ResponseBody {
    let (parts, body) = request.into_parts();
    let body = match body.collect().await {
        Ok(body) => String::from_utf8(body.to_bytes().to_vec()).unwrap(),
        Err(error) => format!("error: {error}"),
    };
    let forwarded = parts.headers.get_all("x-forwarded-for").iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>();
    full(format!("{} {} {} [{body}]", parts.method, parts.uri.path(), forwarded.join("+")))
}

struct Server {
    addr: SocketAddr,
    backend: Arc<Fake>,
    drain: CancellationToken,
    served: JoinHandle<()>,
}

fn route(module: &str) -> (Route, ModuleName) {
    (Route { host: None, path: Some(format!("/{module}")) }, module.parse().unwrap())
}

async fn start(settings: Settings) -> Server {
    let routes = ["echo", "hangs", "breaks", "streams", "traps", "late", "busy"].map(route).to_vec();
    let backend = Arc::new(Fake { routes: Mutex::new(Arc::new(routes)), running: Arc::default() });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let drain = CancellationToken::new();
    let served = tokio::spawn(serve(listener, Arc::clone(&backend), settings, drain.clone()));
    Server { addr, backend, drain, served }
}

fn settings() -> Settings {
    Settings {
        head_max: Duration::from_millis(300),
        drain_max: Duration::from_millis(500),
        body_bytes_max: 1_000,
        ..Settings::default()
    }
}

/// Sends bytes and reads until the server closes.
async fn exchange(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _reset_counts_as_end = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

async fn get(server: &Server, path: &str) -> String {
    exchange(server, &format!("GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")).await
}

/// Waits until as many calls run, with a bound.
async fn running(server: &Server, count: usize) {
    for _ in 0..500 {
        if server.backend.running.load(Ordering::SeqCst) == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{} calls run, not {count}", server.backend.running.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_module_serves_and_the_answer_carries_the_id_of_its_call() {
    let server = start(settings()).await;
    let answer = exchange(
        &server,
        "POST //echo/%61?q=1 HTTP/1.1\r\nhost: h\r\nconnection: close, x-secret\r\nx-forwarded-for: 1.2.3.4\r\n\
         content-length: 5\r\n\r\nhello",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains(&format!("station-call: {}\r\n", call())), "{answer}");
    assert!(answer.ends_with("POST //echo/%61 127.0.0.1 [hello]"), "{answer}");
}

#[tokio::test]
async fn a_failure_shows_its_code_and_the_call_and_nothing_else() {
    let server = start(settings()).await;
    for (path, status, code) in [
        ("/traps", "500", "call.trap"),
        ("/late", "504", "call.deadline"),
        ("/busy", "503", "station.busy"),
        ("/nothing", "404", "call.no_such_module"),
    ] {
        let answer = get(&server, path).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains("content-type: application/problem+json\r\n"), "{answer}");
        assert!(answer.contains(&format!("\"code\":\"{code}\"")), "{answer}");
        assert!(!answer.contains("secret"), "{answer}");
        assert_eq!(answer.contains(&call().to_string()), path != "/nothing", "{answer}");
        assert_eq!(answer.contains("retry-after: 1\r\n"), status == "503", "{answer}");
    }
}

#[tokio::test]
async fn new_routes_count_for_the_next_request() {
    let server = start(settings()).await;
    assert!(get(&server, "/later").await.starts_with("HTTP/1.1 404"));
    *server.backend.routes.lock().unwrap() = Arc::new(vec![route("later")]);
    assert!(get(&server, "/later").await.starts_with("HTTP/1.1 200"));
    assert!(get(&server, "/echo").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn a_call_that_fails_in_mid_answer_never_ends_it_cleanly() {
    let server = start(settings()).await;
    let answer = get(&server, "/breaks").await;
    assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_the_call() {
    let server = start(settings()).await;
    for path in ["/hangs", "/streams"] {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n").as_bytes()).await.unwrap();
        running(&server, 1).await;
        drop(stream);
        running(&server, 0).await;
    }
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_or_cut() {
    let server = start(settings()).await;
    let declared = "POST /echo HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 1001\r\n\r\n";
    assert!(exchange(&server, declared).await.starts_with("HTTP/1.1 413"));
    let chunk = format!("258\r\n{}\r\n", "x".repeat(600));
    let chunked = format!(
        "POST /echo HTTP/1.1\r\nhost: h\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n"
    );
    assert!(exchange(&server, &chunked).await.contains("[error: length limit exceeded]"));
}

#[tokio::test]
async fn slow_and_malformed_heads_end_the_connection() {
    let server = start(settings()).await;
    let many = format!("GET /echo HTTP/1.1\r\nhost: h\r\n{}\r\n", "a: b\r\n".repeat(200));
    for (request, expected) in [
        ("", ""),
        ("P", ""),
        ("PRI * HTTP/2.0\r\n", ""),
        ("GET /echo HTTP/1.1\r\nhost:", "HTTP/1.1 408"),
        ("GET /echo\u{1} HTTP/1.1\r\nhost: h\r\n\r\n", "HTTP/1.1 400"),
        (many.as_str(), "HTTP/1.1 431"),
    ] {
        let answer = tokio::time::timeout(Duration::from_secs(5), exchange(&server, request)).await.expect(request);
        assert!(answer.is_empty() || answer.starts_with(expected) && !expected.is_empty(), "{request:?}: {answer}");
    }
}

#[tokio::test]
async fn connections_have_a_bound() {
    let server = start(Settings { connections_max: 1, ..settings() }).await;
    let mut first = TcpStream::connect(server.addr).await.unwrap();
    first.write_all(b"GET /hangs HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    running(&server, 1).await;
    let second = tokio::time::timeout(Duration::from_millis(100), get(&server, "/echo")).await;
    assert!(second.is_err(), "the second waits");
    drop(first);
    assert!(get(&server, "/echo").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn http2_is_served_on_the_same_port() {
    let server = start(settings()).await;
    let stream = TcpStream::connect(server.addr).await.unwrap();
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let uri = format!("http://{}/echo/x", server.addr);
    let request = Request::get(uri).body(Empty::<Bytes>::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.headers()["station-call"], call().to_string());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "GET /echo/x 127.0.0.1 []");
}

#[tokio::test]
async fn a_drain_answers_what_is_open_and_cuts_what_hangs() {
    let server = start(settings()).await;
    let mut idle = TcpStream::connect(server.addr).await.unwrap();
    let mut hangs = TcpStream::connect(server.addr).await.unwrap();
    hangs.write_all(b"GET /hangs HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    running(&server, 1).await;
    server.drain.cancel();
    tokio::time::timeout(Duration::from_secs(5), server.served).await.unwrap().unwrap();
    assert_eq!(server.backend.running.load(Ordering::SeqCst), 0);
    assert!(TcpStream::connect(server.addr).await.is_err());
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap_or(0), 0);
}
