//! Public HTTP in front of modules.
//!
//! A request is routed by host and path prefix to a module, which serves it as a root call; the answer streams
//! back and carries the call's id in `station-call`. The gateway owns the connection: it bounds heads, bodies,
//! connections and time, takes away what belongs to one hop or claims to come from a proxy, and turns a failure
//! into a problem document with a code and the call's id, never with what a module said.
//!
//! What runs the modules is a [`Backend`], plugged in by `station-host`. [`serve`] ends by itself when `drain` is
//! signalled and the open requests are answered, or when its patience is over.
#![warn(missing_docs)]

mod backend;
mod body;
mod headers;
mod problem;
mod request;
mod routes;
mod server;
mod settings;
#[cfg(test)]
mod tests;

pub use backend::{Answer, Backend, Refused};
pub use body::{BodyError, Held, RequestBody, ResponseBody};
pub use routes::Table;
pub use server::serve;
pub use settings::Settings;
