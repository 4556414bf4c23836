//! What bounds the admin API. Every queue, body and wait of this crate has its number here.

use std::time::Duration;

/// The bounds of the admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The largest component. A real Python module has 18 MB, so 64 MiB leaves room and no more.
    pub upload_bytes_max: u64,
    /// Uploads at one time; each may cost a compilation.
    pub uploads_max: usize,
    /// How long an upload waits for its turn, before its body is read: a few compilations of large modules.
    pub upload_wait: Duration,
    /// How long an upload may be silent.
    pub upload_chunk: Duration,
    /// How long receiving an upload may take altogether.
    pub upload_total: Duration,
    /// The largest body of every other request.
    pub body_bytes_max: usize,
    /// How long receiving such a body may take.
    pub body_wait: Duration,
    /// Connections at one time; further ones wait in the listener's queue.
    pub connections_max: usize,
    /// How long a client may take over the head of a request, and be idle between two.
    pub header_wait: Duration,
    /// The largest head of a request, in bytes; hyper's least is 8 KiB.
    pub header_bytes_max: usize,
    /// How long a client may refuse to take bytes of an answer.
    pub stall_wait: Duration,
    /// Lists of tables at one time: each reads the whole database to count its rows.
    pub counts_max: usize,
    /// Backups at one time: each takes as much room on the disk as the database, until it was read.
    pub backups_max: usize,
    /// Clients that follow a log at one time.
    pub streams_max: usize,
    /// How often a followed log is looked at.
    pub stream_poll: Duration,
    /// How often a silent stream says that it lives.
    pub keepalive: Duration,
    /// Wrong tokens per second, from everybody together, that are told apart from too many.
    pub wrong_tokens_max: u32,
    /// How long open connections may go on after the drain began.
    pub drain_wait: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            upload_bytes_max: 64 * 1024 * 1024,
            uploads_max: 2,
            upload_wait: Duration::from_secs(300),
            upload_chunk: Duration::from_secs(30),
            upload_total: Duration::from_secs(600),
            body_bytes_max: 4 * 1024 * 1024,
            body_wait: Duration::from_secs(30),
            connections_max: 512,
            header_wait: Duration::from_secs(10),
            header_bytes_max: 32 * 1024,
            stall_wait: Duration::from_secs(30),
            counts_max: 2,
            backups_max: 1,
            streams_max: 64,
            stream_poll: Duration::from_millis(250),
            keepalive: Duration::from_secs(15),
            wrong_tokens_max: 20,
            drain_wait: Duration::from_secs(10),
        }
    }
}
