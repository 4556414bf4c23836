//! How outgoing HTTP behaves, whichever module asks.

use super::connect::{Resolve, System};
use std::sync::Arc;

/// Checked settings of outgoing HTTP.
#[derive(Clone)]
pub struct Egress {
    /// Milliseconds until a connection stands, TLS included. A host that is there answers in a fraction of this.
    pub connect_ms_max: u64,
    /// Milliseconds until the head of the answer, and between two pieces of its body.
    pub read_ms_max: u64,
    /// Milliseconds for the whole exchange, for a server that sends one byte a second. The call's own deadline is
    /// normally far below it.
    pub total_ms_max: u64,
    /// Bytes of a request body and of a response body.
    pub body_bytes_max: u64,
    /// Bytes of the head of a response.
    pub head_bytes_max: usize,
    /// Bytes of a URL, as most servers have it.
    pub url_bytes_max: usize,
    /// Connections of the whole station at one time.
    pub connections_max: usize,
    /// Connections of one module at one time.
    pub connections_per_module_max: usize,
    /// Finds the addresses of a name.
    pub resolver: Arc<dyn Resolve>,
}

impl Default for Egress {
    fn default() -> Self {
        Self {
            connect_ms_max: 5_000,
            read_ms_max: 30_000,
            total_ms_max: 120_000,
            body_bytes_max: 64 << 20,
            head_bytes_max: 64 * 1024,
            url_bytes_max: 8 * 1024,
            connections_max: 256,
            connections_per_module_max: 64,
            resolver: Arc::new(System),
        }
    }
}
