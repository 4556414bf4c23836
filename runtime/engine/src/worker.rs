//! Untrusted bytes are parsed and compiled in a child process of our own binary.
//!
//! A component of two megabytes can cost the compiler half a minute and two gigabytes, and upstream does not count
//! that as a security bug. So the child has limits on processor time, memory, files, system calls and wall time, and
//! it is the child that dies. The station reads two things from it: what the component is, and its machine code.

pub(crate) mod child;
mod protocol;
mod seccomp;

use protocol::{Answer, Header};
use station_kernel::Prepared;
use station_model::{Code, Failure, Location};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

pub use protocol::Limits;

/// Machine code is 5 to 20 times the size of the wasm; this is what a child may hand over.
const CODE_BYTES_MAX: u64 = 1 << 30;
/// What a child may say about itself when it dies.
const STDERR_BYTES_MAX: u64 = 4 * 1024;

/// The verb under which our binary compiles.
pub(crate) const COMPILE: &str = "compile-worker";
/// The verb under which our binary reads debug information.
pub(crate) const SYMBOLIZE: &str = "symbolize-worker";

/// Starts children and holds them to their limits.
pub(crate) struct Worker {
    program: PathBuf,
    limits: Limits,
    compiling: Semaphore,
    symbolizing: Semaphore,
}

/// What a component is, and its machine code.
pub(crate) struct Compiled {
    pub(crate) prepared: Prepared,
    pub(crate) code: Vec<u8>,
}

impl Worker {
    pub(crate) fn new(program: PathBuf, limits: Limits) -> Self {
        // Two children at a time: there are rarely more cores to spare beside the calls.
        Self { program, limits, compiling: Semaphore::new(2), symbolizing: Semaphore::new(1) }
    }

    /// Checks, inspects and compiles the component in `wasm`.
    ///
    /// # Errors
    /// `upload.*`, `link.unknown_import`; `station.internal` when the child cannot be started.
    pub(crate) async fn compile(&self, wasm: &Path) -> Result<Compiled, Failure> {
        let _turn = self.compiling.acquire().await;
        let mut child = self.start(COMPILE, wasm, &self.limits)?;
        let wall = Duration::from_millis(self.limits.wall_ms_max);
        match tokio::time::timeout(wall, collect(&mut child)).await {
            Ok(collected) => self.judge(collected?),
            // The child is killed when it is dropped.
            Err(_) => Err(self.too_slow()),
        }
    }

    fn judge(&self, (status, out, said): (ExitStatus, Vec<u8>, String)) -> Result<Compiled, Failure> {
        if let Some((Header::Compiled { world, metadata }, code)) = protocol::read(&out).filter(|_| status.success()) {
            return Ok(Compiled { prepared: Prepared { world, metadata }, code: code.to_vec() });
        }
        if let Some((Header::Refused(failure), _)) = protocol::read(&out) {
            return Err(failure);
        }
        tracing::warn!(%status, said, "a compile child died");
        Err(self.died(status, &said))
    }

    fn died(&self, status: ExitStatus, said: &str) -> Failure {
        let out_of_memory = said.contains("memory allocation of") || said.contains("Cannot allocate memory");
        match status.signal() {
            Some(signal) if signal == rustix::process::Signal::XCPU.as_raw() => self.too_slow(),
            Some(signal) if signal == rustix::process::Signal::KILL.as_raw() && !out_of_memory => self.too_slow(),
            Some(_) | None if out_of_memory => self.too_large(),
            // A compiler that is refused memory in the wrong place, or overflows its stack, ends like this.
            Some(_) => self.too_large(),
            None => Failure::new(Code::UploadInvalid, "the compiler failed on this component"),
        }
    }

    fn too_slow(&self) -> Failure {
        let seconds = self.limits.cpu_s_max;
        let message =
            "compiling the component took too long; make it smaller, or raise `engine.compile` in station.yaml";
        Failure::new(Code::UploadCompileTimeout, message).with_limit("compile_cpu_s_max", seconds, seconds)
    }

    fn too_large(&self) -> Failure {
        let bytes = self.limits.memory_bytes;
        let message = "compiling the component needed too much memory; split its largest functions, or raise `engine.compile` in station.yaml";
        Failure::new(Code::UploadCompileMemory, message).with_limit("compile_memory_bytes", bytes, bytes)
    }

    /// Resolves offsets in the component in `wasm`; unresolved where the child cannot or is busy.
    pub(crate) async fn symbolize(&self, wasm: &Path, at: &[Location]) -> Option<Vec<Vec<Location>>> {
        let _turn = self.symbolizing.try_acquire().ok()?;
        let request = protocol::Symbolize { limits: self.limits, at: at.to_vec() };
        let mut child = self.start(SYMBOLIZE, wasm, &request).ok()?;
        let (status, out, _) = tokio::time::timeout(Duration::from_secs(10), collect(&mut child)).await.ok()?.ok()?;
        match protocol::read(&out).filter(|_| status.success())? {
            (Header::Symbolized(found), _) if found.len() == at.len() => Some(found),
            _ => None,
        }
    }

    fn start(&self, verb: &str, wasm: &Path, request: &impl serde::Serialize) -> Result<Child, Failure> {
        let broken = |what: &str| Failure::new(Code::StationInternal, format!("{what} failed; see the station's log"));
        let file = std::fs::File::open(wasm).map_err(|error| {
            tracing::error!(%error, "opening an upload for the compile child");
            Failure::new(Code::UploadStorage, "the uploaded file is gone")
        })?;
        let request = serde_json::to_string(request).map_err(|_| broken("asking the compile child"))?;
        Command::new(&self.program)
            .arg(verb)
            .arg(request)
            .env_clear()
            .stdin(Stdio::from(file))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                tracing::error!(%error, program = %self.program.display(), "starting a compile child");
                broken("starting the compile child")
            })
    }
}

/// What a component turned out to be, and what finding out took.
#[derive(Debug)]
pub struct Checked {
    /// What it is.
    pub prepared: Prepared,
    /// Wall time in milliseconds.
    pub compile_ms: u64,
}

/// Checks, inspects and compiles a component as a station would, and keeps nothing.
///
/// # Errors
/// `upload.*`, `link.unknown_import`.
pub async fn check(program: &Path, limits: Limits, wasm: &Path) -> Result<Checked, Failure> {
    let started = std::time::Instant::now();
    let compiled = Worker::new(program.to_owned(), limits).compile(wasm).await?;
    let compile_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Checked { prepared: compiled.prepared, compile_ms })
}

async fn collect(child: &mut Child) -> Result<(ExitStatus, Vec<u8>, String), Failure> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let out = async {
        let mut bytes = Vec::new();
        if let Some(pipe) = stdout {
            pipe.take(CODE_BYTES_MAX).read_to_end(&mut bytes).await?;
        }
        std::io::Result::Ok(bytes)
    };
    let said = async {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = stderr {
            (&mut pipe).take(STDERR_BYTES_MAX).read_to_end(&mut bytes).await?;
            // What it says beyond that is read and dropped, or it would block for ever.
            tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
        }
        std::io::Result::Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let lost = |error: std::io::Error| {
        tracing::error!(%error, "reading from a compile child");
        Failure::new(Code::StationInternal, "the compile child was lost")
    };
    let (out, said) = tokio::try_join!(out, said).map_err(lost)?;
    let status = child.wait().await.map_err(lost)?;
    Ok((status, out, said))
}

impl Answer<'_> {
    /// Writes the answer where the station reads it.
    pub(crate) fn send(&self) -> std::io::Result<()> {
        use std::io::Write;
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, &self.header)?;
        out.write_all(b"\n")?;
        out.write_all(self.code)?;
        out.flush()
    }
}
