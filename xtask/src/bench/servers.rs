//! Servers under measurement: started on free ports of the loopback address, ended when they are dropped.

use super::tools;
use crate::repo;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server compiles what it serves before it is ready.
const READY_MAX: Duration = Duration::from_secs(120);

/// A process that serves.
pub(super) struct Server {
    child: Child,
    /// `ADDR:PORT`.
    pub(super) addr: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _it_may_have_ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A station with `http-hello` behind the hosts `reused` and `fresh`, and `http-writer` behind `writer`. With its
/// default limits and on the disk that the target folder is on, slowed down where there is a library for that.
pub(super) fn station(program: &Path, slow: Option<&Path>) -> Result<Server> {
    let folder = repo::target().join("bench/station");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let config = folder.join("station.yaml");
    std::fs::write(&config, yaml())?;
    let mut serve = Command::new(program);
    serve.arg("serve").arg("--config").arg(config);
    slow.into_iter().for_each(|library| tools::slow_down(&mut serve, library, &folder));
    let mut child = serve.stdout(Stdio::piped()).stderr(log("station")?).spawn().context("starting the station")?;
    let line = first_line(child.stdout.take().context("the station has no output")?, "\"ready\"")?;
    let ready: Value = serde_json::from_str(&line)?;
    let gateway = ready.get("gateway").and_then(Value::as_str).context("no gateway in the ready line")?;
    let addr = gateway.trim_start_matches("http://").to_owned();
    Ok(Server { child, addr })
}

fn yaml() -> String {
    let module = |name: &str, guest: &str, grants: &str, instances: &str| {
        let source = component(guest).display().to_string();
        format!(
            "  {name}:\n    source: {source:?}\n    grants: [{grants}]\n    routes: [{{ host: {name}.bench }}]\n    \
             instances: {{ {instances} }}\n"
        )
    };
    let kept = "mode: reused, calls-max: 1_000_000, idle-max: 1h";
    "station: { name: bench, data: data }\n\
     gateway: { listen: \"127.0.0.1:0\" }\n\
     admin: { listen: \"127.0.0.1:0\" }\n\
     cache: { dir: cache }\n\
     modules:\n"
        .to_owned()
        + &module("reused", "http-hello", "", kept)
        + &module("fresh", "http-hello", "", "mode: fresh")
        + &module("writer", "http-writer", "\"station:sql\"", kept)
}

/// `wasmtime serve` with the component, keeping an instance for so many requests.
pub(super) fn wasmtime(program: &Path, component: &Path, requests_per_instance: u32) -> Result<Server> {
    let mut serve = Command::new(program);
    serve.args(["serve", "--addr", "127.0.0.1:0", "-S", "cli", "--max-instance-reuse-count"]);
    serve.arg(requests_per_instance.to_string()).args(["--idle-instance-timeout", "3600"]).arg(component);
    let mut child = serve.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context("starting wasmtime serve")?;
    let line = first_line(child.stderr.take().context("wasmtime has no output")?, "http://")?;
    let addr = line.split("http://").nth(1).context("no address")?.trim_end_matches('/').to_owned();
    Ok(Server { child, addr })
}

/// `workerd` with the two isolates of `benches/peers/isolate`.
pub(super) fn workerd(program: &Path) -> Result<Server> {
    let addr = format!("127.0.0.1:{}", free_port()?);
    let config = repo::root().join("benches/peers/isolate/config.capnp");
    let mut serve = Command::new(program);
    serve.arg("serve").arg(config).arg("--socket-addr").arg(format!("http={addr}"));
    let child = serve.stdout(Stdio::null()).stderr(log("workerd")?).spawn().context("starting workerd")?;
    let server = Server { child, addr };
    let end = Instant::now() + READY_MAX;
    while std::net::TcpStream::connect(&server.addr).is_err() {
        if Instant::now() > end {
            bail!("workerd does not listen; see target/bench/workerd.log");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(server)
}

/// The first line with these words. What comes after it is read and forgotten, so that nobody writes into a full pipe.
fn first_line(output: impl Read + Send + 'static, words: &'static str) -> Result<String> {
    let (found, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(std::result::Result::ok) {
            if line.contains(words) {
                let _nobody_waits_any_more = found.send(line);
            }
        }
    });
    told.recv_timeout(READY_MAX).context("the server did not become ready; its log is in target/bench")
}

fn log(name: &str) -> Result<std::fs::File> {
    let folder = repo::target().join("bench");
    std::fs::create_dir_all(&folder)?;
    Ok(std::fs::File::create(folder.join(format!("{name}.log")))?)
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The component of a guest.
pub(super) fn component(name: &str) -> PathBuf {
    repo::target().join("guest-modules").join(format!("{name}.wasm"))
}
