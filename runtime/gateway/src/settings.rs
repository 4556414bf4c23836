//! What the gateway allows a client.

use std::time::Duration;

/// Checked settings of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Connections at one time. Each costs a few KiB and a file descriptor; the usual limit of those is far above.
    pub connections_max: usize,
    /// How long the head of a request may take, the wait for it on an open connection included.
    pub head_max: Duration,
    /// Bytes of the head of a request, as most servers have it.
    pub head_bytes_max: usize,
    /// Headers of a request.
    pub headers_max: usize,
    /// Bytes of the body of a request. It streams, so this does not take memory; it bounds what a client may send.
    pub body_bytes_max: u64,
    /// Requests at one time on one connection of HTTP/2.
    pub streams_max: u32,
    /// How long open requests may go on after the drain was signalled.
    pub drain_max: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections_max: 4_096,
            head_max: Duration::from_secs(10),
            head_bytes_max: 64 * 1024,
            headers_max: 100,
            body_bytes_max: 64 << 20,
            streams_max: 64,
            drain_max: Duration::from_secs(30),
        }
    }
}
