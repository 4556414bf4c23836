//! The listener, over real sockets.

use super::*;
use fake::Way;
use std::time::Instant;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

const WAIT: Duration = Duration::from_secs(5);

async fn connect(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

async fn read(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset after the answer is as good as an end.
    timeout(WAIT, stream.read_to_end(&mut bytes)).await.unwrap().ok();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn head(method: &str, path: &str, length: usize) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-length: {length}\r\n\r\n",
        token(ADMIN)
    )
}

fn call() -> String {
    let body = r#"{"function":"f"}"#;
    head("POST", "/v1/modules/m/call", body.len()) + body
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_call() {
    let station = Station::new();
    station.fake.goes(Way::Hangs);
    let address = station.listen().await;
    let stream = connect(address, &call()).await;
    timeout(WAIT, station.fake.began.notified()).await.unwrap();
    drop(stream);
    timeout(WAIT, station.fake.dropped.notified()).await.expect("the call goes on");
}

#[tokio::test]
async fn a_client_that_closes_its_sending_half_counts_as_gone() {
    let station = Station::new();
    station.fake.goes(Way::Hangs);
    let address = station.listen().await;
    let mut stream = connect(address, &call()).await;
    timeout(WAIT, station.fake.began.notified()).await.unwrap();
    stream.shutdown().await.unwrap();
    timeout(WAIT, station.fake.dropped.notified()).await.expect("the call goes on");
}

#[tokio::test]
async fn a_client_that_goes_away_while_it_is_compiled_for_leaves_no_file() {
    let station = Station::new();
    station.fake.goes(Way::Hangs);
    let address = station.listen().await;
    for accept in ["*/*", "application/x-ndjson"] {
        let head =
            head("PUT", "/v1/modules/m", 3).replace("host: localhost", &format!("host: localhost\r\naccept: {accept}"));
        let stream = connect(address, &(head + "abc")).await;
        timeout(WAIT, station.fake.began.notified()).await.unwrap();
        assert_eq!(station.fake.files(), 1);
        drop(stream);
        timeout(WAIT, station.fake.dropped.notified()).await.expect("the deployment goes on");
        gone(&station).await;
    }
}

#[tokio::test]
async fn a_client_that_goes_away_while_it_sends_leaves_no_file() {
    let station = Station::new();
    let address = station.listen().await;
    let stream = connect(address, &(head("PUT", "/v1/modules/m", 1_000) + "abc")).await;
    timeout(WAIT, async {
        while station.fake.files() == 0 {
            tokio::task::yield_now().await
        }
    })
    .await
    .unwrap();
    drop(stream);
    gone(&station).await;
}

async fn gone(station: &Station) {
    let empty = async {
        while station.fake.files() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(WAIT, empty).await.expect("the partial file stays");
}

#[tokio::test]
async fn a_slow_head_and_an_idle_connection_are_cut() {
    let station = Station::with(Settings { header_wait: Duration::from_millis(200), ..Settings::default() });
    let address = station.listen().await;
    for begun in ["", "GET /livez HTTP/1.1\r\nx: y\r\n", "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"] {
        let began = Instant::now();
        let mut stream = connect(address, begun).await;
        read(&mut stream).await;
        assert!(began.elapsed() < WAIT, "{begun:?}");
    }
}

#[tokio::test]
async fn a_huge_head_is_refused() {
    let station = Station::new();
    let address = station.listen().await;
    let mut stream =
        connect(address, &format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "a".repeat(100_000))).await;
    let answer = read(&mut stream).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut() {
    let settings = Settings { stall_wait: Duration::from_millis(200), connections_max: 1, ..Settings::default() };
    let station = Station::with(settings);
    let address = station.listen().await;
    let pipelined = "GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(400);
    let mut deaf = TcpStream::connect(address).await.unwrap();
    tokio::spawn(async move {
        deaf.write_all(pipelined.as_bytes()).await.ok();
        tokio::time::sleep(Duration::from_secs(60)).await;
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    // There is one slot, so this answers only when the deaf client has lost it.
    let mut stream = connect(address, "GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert!(read(&mut stream).await.contains("200 OK"));
}

#[tokio::test]
async fn a_refused_client_sees_why_although_it_still_sends() {
    let station = Station::with(Settings { upload_bytes_max: 1_000, ..Settings::default() });
    let address = station.listen().await;
    let size = 20_000_000;
    let head = head("PUT", "/v1/modules/m", size).replace("host: localhost", "host: localhost\r\nconnection: close");
    let mut stream = connect(address, &head).await;
    stream.write_all(&vec![b'x'; size]).await.unwrap();
    assert!(read(&mut stream).await.contains("upload.too_large"));
}

#[tokio::test]
async fn a_client_that_asks_first_need_not_send() {
    let station = Station::with(Settings { upload_bytes_max: 1_000, ..Settings::default() });
    let address = station.listen().await;
    let head =
        head("PUT", "/v1/modules/m", 2_000).replace("host: localhost", "host: localhost\r\nexpect: 100-continue");
    let mut stream = connect(address, &head).await;
    let answer = read(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413") && !answer.contains("100 Continue"), "{answer}");
}

#[tokio::test]
async fn a_drain_is_bounded_even_with_a_call_that_hangs() {
    let station = Station::with(Settings { drain_wait: Duration::from_millis(200), ..Settings::default() });
    station.fake.goes(Way::Hangs);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(serve(listener, station.fake.clone(), station.settings.clone(), station.drain.clone()));
    let _stream = connect(address, &call()).await;
    timeout(WAIT, station.fake.began.notified()).await.unwrap();
    station.drain.cancel();
    timeout(WAIT, server).await.expect("the drain does not end").unwrap();
    timeout(WAIT, station.fake.dropped.notified()).await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
