//! Outgoing HTTP: `wasi:http` types and `outgoing-handler`, to the origins that the operator granted and no other.
//!
//! The interface is harmless by itself, because no host is granted by default. A request is decided on scheme, host
//! and port of the very URI that is sent (`gate`); the name is resolved here and every address is looked at before
//! it is connected to (`address`), so that a granted name cannot lead inside. Nothing is followed: a module sees a
//! redirect as the answer it is. There is no proxy and no shared connection: each request has its own, and it dies
//! with the call, because the guest's handle owns the task.
//!
//! The types are wasmtime-wasi-http's and serve incoming requests as well (`http_in`).

mod address;
mod connect;
mod gate;
mod host;
mod options;
mod send;
#[cfg(test)]
mod tests;

pub use connect::{Resolve, System};
pub use options::Egress;

pub(crate) use host::view;

use crate::host::{WASI, offers, with_habits};
use connect::Connector;
use station_engine::{Capability, Ctx, Offer};
use station_kernel::ports::{Habit, ModuleSettings};
use station_model::{Code, Failure};
use std::sync::Arc;
use wasmtime::component::Linker;
use wasmtime_wasi_http::p2::bindings::{self, http};
use wasmtime_wasi_http::{FieldMapError, WasiHttp};

const INTERFACES: [&str; 2] = ["wasi:http/types", "wasi:http/outgoing-handler"];

/// A body is consumed to be read.
const HABITS: &[(&str, Habit)] = &[
    ("handle", Habit::Waits),
    ("[method]incoming-request.consume", Habit::Waits),
    ("[method]incoming-response.consume", Habit::Waits),
];

/// The capability.
pub(crate) struct HttpOut {
    connector: Arc<Connector>,
}

impl HttpOut {
    pub(crate) fn new(egress: Egress) -> Self {
        Self { connector: Arc::new(Connector::new(egress)) }
    }
}

impl Capability for HttpOut {
    fn name(&self) -> &'static str {
        "http"
    }

    fn offers(&self) -> Vec<Offer> {
        with_habits(offers(INTERFACES.map(|name| format!("{name}@{WASI}")), true), HABITS)
    }

    fn link(&self, linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
        let options = bindings::LinkOptions::default();
        http::types::add_to_linker::<Ctx, WasiHttp>(linker, &(&options).into(), host::view)?;
        http::outgoing_handler::add_to_linker::<Ctx, WasiHttp>(linker, host::sending_view)
    }

    fn prepare(&self, ctx: &mut Ctx, _settings: &ModuleSettings) {
        let http = host::Http::new(Arc::clone(&self.connector), Arc::clone(ctx.settings()));
        ctx.insert(http);
    }

    fn explain(&self, error: &wasmtime::Error) -> Option<Failure> {
        match error.downcast_ref::<FieldMapError>()? {
            FieldMapError::TooManyFields | FieldMapError::TotalSizeTooBig => {
                let max = host::FIELD_BYTES_MAX;
                Some(Failure::new(
                    Code::CallResourceLimit,
                    format!("the headers of a message have at most {max} bytes"),
                ))
            }
            _ => None,
        }
    }
}
