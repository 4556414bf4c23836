//! A running station.
//!
//! Every station has a folder of its own; the folder outlives a restart and ends with the [`Station`]. Compiled code is
//! shared by all tests with one build of the binary ([`Cache::Shared`]): the data folder gets a cache key that they all
//! know, so that each guest is compiled once and not once per test. A test that is about compiling takes [`Cache::Own`].

use crate::{Disk, Run, guests, http, wait::WAIT_S_MAX};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant, UNIX_EPOCH};
use tempfile::TempDir;

/// Whose compiled code a station uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// That of all tests.
    Shared,
    /// Its own, empty at first, in `cache/` of the test's folder.
    Own,
}

/// What a station is started with.
#[derive(Debug)]
pub struct Builder {
    bin: PathBuf,
    config: String,
    cache: Cache,
}

impl Builder {
    /// With more lines of `station.yaml`.
    #[must_use]
    pub fn config(mut self, yaml: &str) -> Self {
        self.config.push_str(yaml);
        self.config.push('\n');
        self
    }

    /// With this cache of compiled code.
    #[must_use]
    pub fn cache(mut self, cache: Cache) -> Self {
        self.cache = cache;
        self
    }

    /// Starts it and waits until it is ready.
    #[track_caller]
    pub fn start(self) -> Station {
        let mut station = self.stopped();
        station.start();
        station
    }

    /// Prepares its folder and leaves starting it to the test.
    pub fn stopped(self) -> Station {
        let folder = tempfile::Builder::new().prefix("station-it-").tempdir().expect("a temporary folder");
        let cache = match self.cache {
            Cache::Own => folder.path().join("cache"),
            Cache::Shared => shared_cache(&self.bin, &folder.path().join("data")),
        };
        let config = format!("cache: {{ dir: {:?} }}\n{}", cache.display().to_string(), self.config);
        std::fs::write(folder.path().join("station.yaml"), config).unwrap();
        Station { bin: self.bin, folder, child: None, ready: Ready::default(), disk: None }
    }
}

/// A folder that belongs to this build of the binary, so that no test sees code that another build compiled. Its key is
/// put where the station looks for its own.
fn shared_cache(bin: &Path, data: &Path) -> PathBuf {
    let about = std::fs::metadata(bin).expect("the station's binary");
    let age = about.modified().unwrap().duration_since(UNIX_EPOCH).unwrap();
    let all = bin.ancestors().nth(2).unwrap().join("tmp").join("it-cache");
    let own = all.join(format!("{}-{}", age.as_nanos(), about.len()));
    std::fs::create_dir_all(&own).unwrap();
    for other in std::fs::read_dir(&all).unwrap().flatten().filter(|entry| entry.path() != own) {
        let _ = std::fs::remove_dir_all(other.path());
    }
    std::fs::DirBuilder::new().mode(0o700).create(data).unwrap();
    let mut key = std::fs::OpenOptions::new();
    let mut key = key.write(true).create_new(true).mode(0o600).open(data.join("cache.key")).unwrap();
    std::io::Write::write_all(&mut key, &[0x5e; 32]).unwrap();
    own
}

/// What a station says when it is ready.
#[derive(Debug, Clone, Default)]
pub struct Ready {
    /// The admin API's address, `http://127.0.0.1:PORT`.
    pub admin: String,
    /// The gateway's address.
    pub gateway: String,
    /// The file with the first token.
    pub token_file: PathBuf,
}

/// A station that runs.
#[derive(Debug)]
pub struct Station {
    bin: PathBuf,
    folder: TempDir,
    child: Option<Child>,
    ready: Ready,
    disk: Option<Disk>,
}

/// How a station ended that never became ready.
#[derive(Debug)]
pub struct NotStarted {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stderr in this start.
    pub stderr: String,
}

impl Station {
    /// A station of this binary, not started yet.
    pub fn of(bin: &str) -> Builder {
        Builder { bin: bin.into(), config: String::new(), cache: Cache::Shared }
    }

    /// Starts it again, on the same folder.
    #[track_caller]
    pub fn start(&mut self) {
        if let Err(ended) = self.try_start() {
            panic!("the station did not become ready: {ended:#?}");
        }
    }

    /// Starts it, where it may not be able to; answers how long it took.
    ///
    /// # Panics
    /// When it neither becomes ready nor ends.
    #[track_caller]
    pub fn try_start(&mut self) -> Result<Duration, NotStarted> {
        assert!(self.child.is_none(), "it runs already");
        let (begun, said_before) = (Instant::now(), self.stderr().len());
        let mut child = self.serve().spawn().expect("the binary starts");
        let line = first_line(child.stdout.take().unwrap());
        self.child = Some(child);
        match line.recv_timeout(Duration::from_secs(WAIT_S_MAX)) {
            Ok(line) => self.ready = ready(&line),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let code = self.ended();
                return Err(NotStarted { code, stderr: self.stderr().split_off(said_before) });
            }
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("the station did not become ready:\n{}", self.stderr()),
        }
        Ok(begun.elapsed())
    }

    /// Lets its data folder be on this disk from the next start on, or on the machine's own.
    pub fn set_disk(&mut self, disk: Option<Disk>) {
        self.disk = disk;
    }

    /// The command that starts it, for tests in which it does not start.
    pub fn serve(&self) -> Command {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        let mut command = Command::new(&self.bin);
        command.arg("serve").arg("--config").arg(self.config()).arg("--data").arg(self.data());
        command.args(["--admin", "127.0.0.1:0", "--gateway", "127.0.0.1:0"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        if let Some(disk) = &self.disk {
            command.envs(disk.environment(&self.bin, &self.data()));
        }
        command
    }

    /// Asks it to stop with SIGTERM; answers its exit code.
    #[track_caller]
    pub fn stop(&mut self) -> Option<i32> {
        self.terminate();
        self.ended()
    }

    /// Sends SIGTERM and does not wait.
    pub fn terminate(&self) {
        let pid = Pid::from_raw(self.pid() as i32).unwrap();
        kill_process(pid, Signal::TERM).expect("the station runs");
    }

    /// Waits until it has ended; answers its exit code.
    #[track_caller]
    pub fn ended(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("it runs");
        let end = Instant::now() + Duration::from_secs(2 * WAIT_S_MAX);
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code();
            }
            if Instant::now() > end {
                self.child = Some(child);
                panic!("the station did not end");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Where it listens.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Checks that it is the process that was started, and serves.
    #[track_caller]
    pub fn is_alive(&mut self) {
        self.is_up();
        assert_eq!(self.request("GET", "/readyz").send().status, 200, "it is not ready");
    }

    /// Checks that it is the process that was started, and answers: also if its disk has failed and it is not ready.
    #[track_caller]
    pub fn is_up(&mut self) {
        let ended = self.child.as_mut().expect("it runs").try_wait().unwrap();
        assert_eq!(ended, None, "the station ended:\n{}", self.stderr());
        assert_eq!(self.request("GET", "/livez").send().status, 200, "it does not answer");
        let log = self.stderr();
        assert!(!log.contains("panicked at"), "something panicked:\n{log}");
    }

    /// The folder of the test, for files beside the station's own.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The station's data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The station's configuration.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("station.yaml")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("stderr.log")
    }

    /// What it wrote to stderr since the first start.
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// The token that may do everything.
    pub fn token(&self) -> String {
        std::fs::read_to_string(&self.ready.token_file).expect("the token file").trim().to_owned()
    }

    /// A request to the admin API, with the token that may do everything.
    pub fn request(&self, method: &str, path: &str) -> http::Request {
        http::Request::new(&self.ready.admin, method, path).token(&self.token())
    }

    /// A request to the gateway.
    pub fn gateway(&self, method: &str, path: &str) -> http::Request {
        http::Request::new(&self.ready.gateway, method, path)
    }

    /// A client verb with `--json`, by the token that may do everything.
    #[track_caller]
    pub fn cli(&self, args: &[&str]) -> Run {
        self.cli_as(&self.token(), args)
    }

    /// A client verb with `--json`, by another token.
    #[track_caller]
    pub fn cli_as(&self, token: &str, args: &[&str]) -> Run {
        let mut command = self.command(token);
        self.run(command.args(args).arg("--json"))
    }

    /// A client verb as people see it.
    #[track_caller]
    pub fn text(&self, args: &[&str]) -> Run {
        self.run(self.command(&self.token()).args(args))
    }

    fn command(&self, token: &str) -> Command {
        let mut command = Command::new(&self.bin);
        command.env("STATION_URL", &self.ready.admin).env("STATION_TOKEN", token).stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn run(&self, command: &mut Command) -> Run {
        let asked = format!("{:?}", command.get_args().collect::<Vec<_>>());
        let output = command.output().expect("the binary starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Run {
            asked,
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Deploys a guest under its own name, with everything that it asks for. It need not become ready.
    #[track_caller]
    pub fn deploy(&self, name: &str) -> Value {
        self.deploy_as(name, name)
    }

    /// Deploys a guest under another name, with everything that it asks for.
    #[track_caller]
    pub fn deploy_as(&self, guest: &str, name: &str) -> Value {
        self.deploy_with(guest, name, &["--grant-all"]).ok()
    }

    /// Deploys a guest with these options.
    #[track_caller]
    pub fn deploy_with(&self, guest: &str, name: &str, options: &[&str]) -> Run {
        let path = guests::guest(guest).display().to_string();
        let mut args = vec!["deploy", &path, "--name", name];
        args.extend(options);
        self.cli(&args)
    }

    /// Deploys several guests under their own names, in any order; at the end all of them are ready.
    #[track_caller]
    pub fn deploy_all(&self, names: &[&str]) {
        names.iter().for_each(|name| drop(self.deploy(name)));
        names
            .iter()
            .for_each(|name| assert_eq!(self.state(name), "ready", "{name} is not ready: {:#}", self.show(name)));
    }

    /// Uploads bytes as a component with everything that it asks for.
    #[track_caller]
    pub fn upload(&self, name: &str, bytes: &[u8]) -> Run {
        self.upload_with(name, "?grant_all=true", bytes)
    }

    /// Uploads bytes with this query.
    #[track_caller]
    pub fn upload_with(&self, name: &str, query: &str, bytes: &[u8]) -> Run {
        let path = format!("/v1/modules/{name}{query}");
        let answer = self.request("PUT", &path).header("content-type", "application/wasm").body(bytes).send();
        answered(path, &answer)
    }

    /// Calls a function with arguments as WAVE.
    #[track_caller]
    pub fn call(&self, module: &str, function: &str, wave: &str) -> Run {
        self.call_with(module, json!({ "function": function, "wave": wave }))
    }

    /// Calls a function with arguments as JSON.
    #[track_caller]
    pub fn call_json(&self, module: &str, function: &str, args: Value) -> Run {
        self.call_with(module, json!({ "function": function, "args": args }))
    }

    /// Calls a function with this body.
    #[track_caller]
    pub fn call_with(&self, module: &str, body: Value) -> Run {
        let path = format!("/v1/modules/{module}/call");
        let answer = self.request("POST", &path).json(&body).send();
        answered(format!("{path} {body}"), &answer)
    }

    /// Everything about a module.
    #[track_caller]
    pub fn show(&self, module: &str) -> Value {
        self.get(&format!("/v1/modules/{module}"))
    }

    /// Whether a module is `ready`, `waiting` or `broken`.
    #[track_caller]
    pub fn state(&self, module: &str) -> String {
        self.show(module)["state"].as_str().expect("a state").to_owned()
    }

    /// What a module waits for, as `interface: reason`, a line each.
    #[track_caller]
    pub fn waits_for(&self, module: &str) -> String {
        let shown = self.show(module);
        let mut lines = String::new();
        for waiting in shown["waiting_for"].as_array().expect("a list") {
            writeln!(lines, "{}: {}", waiting["interface"].as_str().unwrap(), waiting["reason"].as_str().unwrap())
                .unwrap();
        }
        lines.trim_end().to_owned()
    }

    /// How many root calls run now.
    #[track_caller]
    pub fn running(&self) -> u64 {
        let metrics = self.request("GET", "/metrics").send().text();
        let line = metrics.lines().find_map(|line| line.strip_prefix("station_calls_running "));
        line.and_then(|number| number.parse().ok()).expect("the number of running calls")
    }

    /// Lets a part of `station.yaml` be another one at the next start.
    pub fn configure(&self, yaml: &str) {
        let before = std::fs::read_to_string(self.config()).unwrap();
        let cache = before.lines().next().unwrap();
        std::fs::write(self.config(), format!("{cache}\n{yaml}\n")).unwrap();
    }

    /// The document behind a path of the admin API.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        let answer = self.request("GET", path).send();
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.text());
        answer.json()
    }
}

/// The first line, as soon as it is there; nothing when there is none. Reads on, so that nobody writes to a closed pipe.
fn first_line(stdout: ChildStdout) -> mpsc::Receiver<String> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut tell = Some(tell);
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            tell.take().map(|tell| tell.send(line));
        }
    });
    told
}

#[track_caller]
fn ready(line: &str) -> Ready {
    let ready: Value = serde_json::from_str(line).expect("the ready line is JSON");
    assert_eq!(ready["event"], "ready");
    let text = |name: &str| ready[name].as_str().unwrap_or_else(|| panic!("no {name} in {line}")).to_owned();
    Ready { admin: text("admin"), gateway: text("gateway"), token_file: text("token_file").into() }
}

fn answered(asked: String, answer: &http::Answer) -> Run {
    Run {
        asked,
        code: i32::from(answer.status >= 400),
        stdout: answer.text(),
        stderr: format!("status {}", answer.status),
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- stderr of the station\n{}---", self.stderr());
        }
    }
}
