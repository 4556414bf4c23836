//! What the host offers to modules: one folder per capability, one list.
//!
//! Everything here runs on a call thread inside a host call: it never waits except through the engine's `Waiter`,
//! charges fuel for what it costs, and answers a guest's mistake with a value that the guest can see. A call that
//! must end gets a typed [`Failure`](station_model::Failure).
//!
//! | folder | interfaces | needs a grant |
//! | --- | --- | --- |
//! | `wasi` | WASI 0.2 without files and sockets | no |
//! | `logging` | `wasi:logging` | no |
//! | `config` | `wasi:config`, every spelling in use | no |
//! | `keyvalue` | `wasi:keyvalue`, both drafts in use | yes |
//! | `sql` | `station:sql`, and Spin's `sqlite` in every version | yes |
//! | `events` | `station:events` | yes |
//! | `http_out` | `wasi:http` types and outgoing requests | no, but no host is granted by default |
//! | `http_in` | serves `wasi:http/incoming-handler`; an entry, not an import | |
//! | `kernel` | `station:kernel` | no |

mod config;
mod events;
mod host;
pub mod http_in;
pub mod http_out;
mod kernel;
mod keyvalue;
mod logging;
mod output;
mod sql;
mod wasi;

pub use events::Settings as EventSettings;
pub use http_out::Egress;
pub use keyvalue::Settings as KeyValueSettings;
pub use sql::Settings as SqlSettings;

use station_engine::Capability;
use station_kernel::{Clock, Logs};
use std::sync::Arc;

/// What the capabilities are plugged into.
pub struct Ports {
    /// How much key-value data a module may keep.
    pub keyvalue: KeyValueSettings,
    /// How much a statement may answer with.
    pub sql: SqlSettings,
    /// How much a module may publish.
    pub events: EventSettings,
    /// How outgoing HTTP behaves.
    pub egress: Egress,
    /// Where modules write; the same that the kernel has.
    pub logs: Arc<Logs>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
}

/// Every capability of a station.
pub fn all(ports: Ports) -> Vec<Arc<dyn Capability>> {
    vec![
        Arc::new(wasi::Wasi::new(ports.logs, ports.clock)),
        Arc::new(logging::Logging),
        Arc::new(config::Config),
        Arc::new(keyvalue::KeyValues(ports.keyvalue)),
        Arc::new(sql::Sql(ports.sql)),
        Arc::new(sql::Spin),
        Arc::new(events::Events(ports.events)),
        Arc::new(http_out::HttpOut::new(ports.egress)),
        Arc::new(kernel::Context),
    ]
}

#[cfg(test)]
mod tests;
