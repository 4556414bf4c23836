//! The sections of `station.yaml` that are about the station itself: options as written, settings as checked.
//!
//! Every number has a default here, a range outside of which it makes no sense, and a sentence why; the sentences
//! for the owner stand in the annotated `station.yaml`, which a test compares with these defaults.

use super::{
    mistakes::Mistakes,
    modules::boolean,
    tree::{Found, Section},
};
use crate::units::{self, Bytes, Count, Millis};
use station_host::{EngineSettings, LaneChoice};
use station_model::{Limits, LimitsPatch};
use std::{fmt, net::SocketAddr, path::PathBuf};

/// Traffic comes here, on loopback, because who serves the world decides so. What a user of wasmtime expects.
const GATEWAY_PORT: u16 = 8080;
/// The operator's door, on loopback for the same reason.
pub(crate) const ADMIN_PORT: u16 = 8081;
/// Beside the configuration file.
pub(crate) const DATA: &str = "data";
/// What the station calls itself in logs and metrics.
pub(crate) const NAME: &str = "station";

/// 0.1 to 0.3 s of computation: far more than a request needs, short enough that a runaway loop is a nuisance only.
const FUEL: Count = Count(200_000_000);
/// As long as a person waits before pressing the button again.
const DEADLINE: Millis = Millis(5_000);
/// Twice what a Python guest with its interpreter needs to start.
const MEMORY: Bytes = Bytes(64 << 20);
/// Call threads; each can wait for the outside while the others compute, and each costs 8 MiB of address space.
const THREADS: Count = Count(32);
/// A queue that a full station empties within a second or two when calls take milliseconds.
const QUEUE: Count = Count(256);
/// What the next writer may have to wait for: writers take turns.
const WRITE_MAX: Millis = Millis(500);
/// A hundred thousand case files of a law office; a module that fills the disk fills it for all.
const SQL_DATA: Bytes = Bytes(256 << 20);
/// Far more than an office has of anything; at 26 bytes each they fill the size above.
const SQL_ROWS: Count = Count(10_000_000);
/// The time that Kubernetes and systemd users expect between SIGTERM and the end.
const DRAIN: Millis = Millis(30_000);
/// Three times the largest guest that we know, a Python one of 18 MB.
const UPLOAD: Bytes = Bytes(64 << 20);

const HOUR: Millis = Millis(3_600_000);

/// `limits:`, of the station or of a module.
#[derive(Debug, Default)]
pub(crate) struct LimitsOptions {
    fuel: Option<Found<Count>>,
    deadline: Option<Found<Millis>>,
    memory: Option<Found<Bytes>>,
    instances: Option<Found<Count>>,
}

/// `engine:`
#[derive(Debug, Default)]
struct EngineOptions {
    instances: Option<Found<Count>>,
    memory: Option<Found<Bytes>>,
    lane: Option<Found<LaneChoice>>,
    compile_wall: Option<Found<Millis>>,
    compile_cpu: Option<Found<Millis>>,
    compile_memory: Option<Found<Bytes>>,
}

/// Everything but the modules.
#[derive(Debug, Default)]
pub(crate) struct StationOptions {
    name: Option<Found<String>>,
    data: Option<Found<PathBuf>>,
    cache: Option<Found<PathBuf>>,
    gateway: Option<Found<SocketAddr>>,
    admin: Option<Found<SocketAddr>>,
    limits: LimitsOptions,
    engine: EngineOptions,
    threads: Option<Found<Count>>,
    queue: Option<Found<Count>>,
    write_max: Option<Found<Millis>>,
    sql_data: Option<Found<Bytes>>,
    sql_rows: Option<Found<Count>>,
    checkpoints: Option<Found<bool>>,
    drain: Option<Found<Millis>>,
    upload: Option<Found<Bytes>>,
}

/// The same, checked and complete.
pub(crate) struct StationSettings {
    pub name: String,
    pub data: PathBuf,
    pub cache: Option<PathBuf>,
    pub gateway: SocketAddr,
    pub admin: SocketAddr,
    pub limits: Limits,
    pub engine: EngineSettings,
    pub call_threads_max: usize,
    pub queue_max: usize,
    pub write_ms_max: u64,
    pub sql_bytes_max: u64,
    pub sql_rows_max: u64,
    pub checkpoints: bool,
    pub drain_ms_max: u64,
    pub upload_bytes_max: u64,
}

impl LimitsOptions {
    /// Reads the section and closes it.
    pub(crate) fn read(mut section: Section, found: &mut Mistakes) -> Self {
        let options = Self {
            fuel: section.scalar("fuel", units::count, found),
            deadline: section.scalar("deadline", units::millis, found),
            memory: section.scalar("memory", units::bytes, found),
            instances: section.scalar("instances", units::count, found),
        };
        section.close(found);
        options
    }

    /// The values that were written, each in its range.
    pub(crate) fn validate(self, engine: &EngineSettings, found: &mut Mistakes) -> LimitsPatch {
        let memory_max = Bytes(engine.memory_total_bytes.min(4 << 30));
        let instances_max = Count(engine.instances_max.into());
        LimitsPatch {
            fuel: within(self.fuel, Count(1), Count(1_000_000_000_000_000), found).map(|v| v.0),
            deadline_ms: within(self.deadline, Millis(1), HOUR, found).map(|v| v.0),
            memory_bytes: within(self.memory, Bytes(64 << 10), memory_max, found).map(|v| v.0),
            instances_max: within(self.instances, Count(1), instances_max, found).map(narrow),
        }
    }
}

impl EngineOptions {
    fn read(mut section: Section, found: &mut Mistakes) -> Self {
        let mut compile = section.section("compile", found);
        let options = Self {
            instances: section.scalar("instances", units::count, found),
            memory: section.scalar("memory", units::bytes, found),
            lane: section.scalar("lane", lane, found),
            compile_wall: compile.scalar("wall", units::millis, found),
            compile_cpu: compile.scalar("cpu", units::millis, found),
            compile_memory: compile.scalar("memory", units::bytes, found),
        };
        compile.close(found);
        section.close(found);
        options
    }

    fn validate(self, found: &mut Mistakes) -> EngineSettings {
        let mut settings = EngineSettings::default();
        // 10,000 instances with their guard pages are half of what 47 bits can address.
        set(&mut settings.instances_max, within(self.instances, Count(1), Count(10_000), found).map(narrow));
        let memory = within(self.memory, Bytes(1 << 20), Bytes(1 << 44), found);
        set(&mut settings.memory_total_bytes, memory.map(|v| v.0));
        set(&mut settings.lane, self.lane.map(|lane| lane.value));
        let wall = within(self.compile_wall, Millis(1_000), HOUR, found);
        set(&mut settings.compile_wall_ms_max, wall.map(|v| v.0));
        let cpu = within(self.compile_cpu, Millis(1_000), HOUR, found);
        set(&mut settings.compile_cpu_s_max, cpu.map(|v| v.0.div_ceil(1_000)));
        // Below 256 MiB not even a small module compiles.
        let memory = within(self.compile_memory, Bytes(256 << 20), Bytes(1 << 40), found);
        set(&mut settings.compile_memory_bytes, memory.map(|v| v.0));
        settings
    }
}

fn lane(text: &str) -> Result<LaneChoice, String> {
    match text {
        "raw" => Ok(LaneChoice::Raw),
        "dynamic" => Ok(LaneChoice::Dynamic),
        _ => Err("write `raw` or `dynamic`".to_owned()),
    }
}

impl StationOptions {
    /// Reads all sections except `modules`; the caller closes `root`.
    pub(crate) fn read(root: &mut Section, found: &mut Mistakes) -> Self {
        let mut options = Self::default();
        with(root, "station", found, |section, found| {
            options.name = section.scalar("name", label, found);
            options.data = section.scalar("data", path, found);
        });
        with(root, "gateway", found, |s, found| options.gateway = s.scalar("listen", address, found));
        with(root, "admin", found, |s, found| options.admin = s.scalar("listen", address, found));
        options.limits = LimitsOptions::read(root.section("limits", found), found);
        options.engine = EngineOptions::read(root.section("engine", found), found);
        with(root, "calls", found, |section, found| {
            options.threads = section.scalar("threads", units::count, found);
            options.queue = section.scalar("queue", units::count, found);
        });
        with(root, "unit", found, |section, found| {
            options.write_max = section.scalar("write-max", units::millis, found);
            options.sql_data = section.scalar("data", units::bytes, found);
            options.sql_rows = section.scalar("rows", units::count, found);
            options.checkpoints = section.scalar("checkpoints", boolean, found);
        });
        with(root, "upload", found, |s, found| options.upload = s.scalar("size", units::bytes, found));
        with(root, "cache", found, |s, found| options.cache = s.scalar("dir", path, found));
        options.drain = root.scalar("drain", units::millis, found);
        options
    }

    /// Checks everything before answering, so that the owner sees all mistakes in one run.
    pub(crate) fn validate(self, found: &mut Mistakes) -> StationSettings {
        if let (Some(gateway), Some(admin)) = (&self.gateway, &self.admin)
            && gateway.value == admin.value
            && gateway.value.port() != 0
        {
            admin.wrong(found, "is the address of the gateway too; give each its own port");
        }
        let engine = self.engine.validate(found);
        let threads = within(self.threads, Count(1), Count(1_024), found).unwrap_or(THREADS);
        let queue = within(self.queue, Count(0), Count(100_000), found).unwrap_or(QUEUE);
        let upload = within(self.upload, Bytes(1 << 10), Bytes(1 << 30), found).unwrap_or(UPLOAD);
        StationSettings {
            name: self.name.map_or_else(|| NAME.to_owned(), |name| name.value),
            data: self.data.map_or_else(|| PathBuf::from(DATA), |data| data.value),
            cache: self.cache.map(|cache| cache.value),
            gateway: self.gateway.map_or_else(|| loopback(GATEWAY_PORT), |listen| listen.value),
            admin: self.admin.map_or_else(|| loopback(ADMIN_PORT), |listen| listen.value),
            limits: default_limits(threads, &engine).patched(&self.limits.validate(&engine, found)),
            engine,
            call_threads_max: wide(threads),
            queue_max: wide(queue),
            write_ms_max: within(self.write_max, Millis(10), Millis(60_000), found).unwrap_or(WRITE_MAX).0,
            sql_bytes_max: within(self.sql_data, Bytes(1 << 20), Bytes(1 << 40), found).unwrap_or(SQL_DATA).0,
            sql_rows_max: within(self.sql_rows, Count(1_000), Count(1_000_000_000_000), found).unwrap_or(SQL_ROWS).0,
            checkpoints: self.checkpoints.is_none_or(|on| on.value),
            drain_ms_max: within(self.drain, Millis(0), HOUR, found).unwrap_or(DRAIN).0,
            upload_bytes_max: upload.0,
        }
    }
}

/// What a call and a module may use when nobody says otherwise.
///
/// As many instances of a module as call threads, so that a call tree that was let in finds its instances.
fn default_limits(threads: Count, engine: &EngineSettings) -> Limits {
    Limits {
        fuel: FUEL.0,
        deadline_ms: DEADLINE.0,
        memory_bytes: MEMORY.0.min(engine.memory_total_bytes),
        instances_max: narrow(threads).min(engine.instances_max),
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Reads the section `key` with `read` and closes it.
fn with(root: &mut Section, key: &'static str, found: &mut Mistakes, read: impl FnOnce(&mut Section, &mut Mistakes)) {
    let mut section = root.section(key, found);
    read(&mut section, found);
    section.close(found);
}

/// The value, if it was written; a mistake, if it is out of range.
pub(crate) fn within<T>(value: Option<Found<T>>, min: T, max: T, found: &mut Mistakes) -> Option<T>
where
    T: Copy + Ord + fmt::Display,
{
    let value = value?;
    if value.value < min || value.value > max {
        value.wrong(found, format!("is {}, must be from {min} to {max}", value.value));
    }
    Some(value.value)
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

/// The ranges above keep all of these far below the ends of the types; saturating is for a value that is a mistake.
fn narrow(count: Count) -> u32 {
    u32::try_from(count.0).unwrap_or(u32::MAX)
}

fn wide(count: Count) -> usize {
    usize::try_from(count.0).unwrap_or(usize::MAX)
}

/// Reads an address to listen on. `localhost` is the loopback address of IPv4.
///
/// # Errors
/// A sentence that says what to write instead.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let text = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    text.parse().map_err(|_| "write an address and a port such as `127.0.0.1:8080`; port 0 takes a free one".to_owned())
}

/// Reads a path.
///
/// # Errors
/// A sentence that says what to write instead.
pub(crate) fn path(text: &str) -> Result<PathBuf, String> {
    match text.is_empty() || text.contains('\0') {
        true => Err("write a path".to_owned()),
        false => Ok(PathBuf::from(text)),
    }
}

fn label(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    match (1..=63).contains(&text.len()) && text.bytes().all(plain) {
        true => Ok(text.to_owned()),
        false => Err("write a short name of a-z, 0-9 and -, as it will stand in logs and metrics".to_owned()),
    }
}
