//! The child's side: take limits upon itself, read, check, compile, answer.
//!
//! Called first thing in `main`, before any thread or runtime exists.

use super::protocol::{Answer, Header, Limits, Symbolize};
use super::seccomp;
use crate::{config, inspect, migrations, prescan, symbolize};
use rlimit::Resource;
use station_kernel::state::Metadata;
use station_model::{Code, Failure};
use std::io::Read;
use std::process::ExitCode;
use wasmtime::component::Component;

/// Stack of the thread that compiles; small ones overflow on deeply nested code.
const STACK_BYTES: usize = 64 << 20;
/// Largest component that is read at all. The upload's own cap is lower and has a better message.
const WASM_BYTES_MAX: u64 = 512 << 20;

/// The verb `compile-worker`: a component on stdin, limits as the second argument, the answer on stdout.
pub fn compile_worker() -> ExitCode {
    let Some(limits) = request::<Limits>() else { return ExitCode::from(2) };
    run(limits, || compile().unwrap_or_else(|failure| Done { header: Header::Refused(failure), code: Vec::new() }))
}

/// The verb `symbolize-worker`: a component on stdin, offsets as the second argument, the answer on stdout.
pub fn symbolize_worker() -> ExitCode {
    let Some(request) = request::<Symbolize>() else { return ExitCode::from(2) };
    run(request.limits, move || {
        let found = read_stdin().map(|bytes| symbolize::resolve(&bytes, request.at)).unwrap_or_default();
        Done { header: Header::Symbolized(found), code: Vec::new() }
    })
}

struct Done {
    header: Header,
    code: Vec<u8>,
}

fn request<T: serde::de::DeserializeOwned>() -> Option<T> {
    serde_json::from_str(&std::env::args().nth(2)?).ok()
}

/// Runs `work` on a thread with a large stack, under the limits, and sends what it made.
fn run(limits: Limits, work: impl FnOnce() -> Done + Send + 'static) -> ExitCode {
    let bounded = move || {
        let done = confine(limits).map_or_else(|error| unconfined(&*error), |()| work());
        Answer { header: done.header, code: &done.code }.send()
    };
    let thread = std::thread::Builder::new().name("compile".into()).stack_size(STACK_BYTES).spawn(bounded);
    match thread.map(std::thread::JoinHandle::join) {
        Ok(Ok(Ok(()))) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Takes the limits upon this process. The thread exists already, so that no further one is needed.
fn confine(limits: Limits) -> Result<(), Box<dyn std::error::Error>> {
    rlimit::setrlimit(Resource::AS, limits.memory_bytes, limits.memory_bytes)?;
    rlimit::setrlimit(Resource::CPU, limits.cpu_s_max, limits.cpu_s_max.saturating_add(1))?;
    rlimit::setrlimit(Resource::CORE, 0, 0)?;
    rlimit::setrlimit(Resource::FSIZE, 0, 0)?;
    rlimit::setrlimit(Resource::NOFILE, 16, 16)?;
    rlimit::setrlimit(Resource::NPROC, 0, 0)?;
    rustix::thread::set_no_new_privs(true)?;
    // Politeness only: where it is refused the child is merely less polite.
    let _as_it_was = rustix::process::nice(10);
    Ok(seccomp::confine()?)
}

/// Untrusted bytes are not even read where the walls are missing.
fn unconfined(error: &dyn std::error::Error) -> Done {
    let why = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    let failure = Failure::new(Code::StationInternal, format!("the compile child cannot confine itself: {error}{why}"));
    Done { header: Header::Refused(failure), code: Vec::new() }
}

fn read_stdin() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(WASM_BYTES_MAX).read_to_end(&mut bytes);
    read.map_err(|_| Failure::new(Code::UploadStorage, "the upload could not be read"))?;
    Ok(bytes)
}

fn compile() -> Result<Done, Failure> {
    let bytes = read_stdin()?;
    prescan::kind(&bytes)?;
    prescan::scan(&bytes)?;
    let engine = config::engine(config::Place::Nowhere).map_err(|error| internal(&error))?;
    validate(&engine, &bytes)?;
    let component = Component::from_binary(&engine, &bytes).map_err(|error| refused(&error))?;
    let world = inspect::world(&engine, &component)?;
    let code = component.serialize().map_err(|error| internal(&error))?;
    let metadata = Metadata { migrations: migrations::sections(&bytes)?, ..inspect::metadata(&bytes) };
    Ok(Done { header: Header::Compiled { world, metadata }, code })
}

/// Validates on its own first, so that a feature that is off is told apart from bytes that are wrong.
fn validate(engine: &wasmtime::Engine, bytes: &[u8]) -> Result<(), Failure> {
    let features = config::enabled(engine);
    let wasm = |features| wasmparser::Validator::new_with_features(features).validate_all(bytes);
    let Err(error) = wasm(features) else { return Ok(()) };
    let elsewhere = wasm(wasmparser::WasmFeatures::all()).is_ok();
    let (code, hint) = match elsewhere {
        true => (
            Code::UploadUnsupportedFeature,
            "; Station runs WASI 0.2 components without threads, GC, exceptions and async",
        ),
        false => (Code::UploadInvalid, ""),
    };
    Err(Failure::new(code, format!("{error}{hint}")))
}

fn refused(error: &wasmtime::Error) -> Failure {
    // The cause is the last in the chain; the ones before it say that compiling failed.
    let cause = error.root_cause().to_string();
    let code = match cause.as_str() {
        _ if cause.contains("exceeds the limit") || cause.contains("limit of") => Code::UploadLimit,
        // Bare modules, components and URLs: what only a linker of files could bring.
        _ if cause.starts_with("root-level") && cause.contains("import") => Code::LinkUnknownImport,
        _ => Code::UploadInvalid,
    };
    Failure::new(code, cause)
}

fn internal(error: &wasmtime::Error) -> Failure {
    Failure::new(Code::StationInternal, format!("the compiler could not be set up: {error}"))
}
