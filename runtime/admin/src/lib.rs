//! The admin API: one file per resource.
//!
//! [`serve`] answers on one listener until it is told to drain. It drives the station through
//! [`station_kernel::Control`] alone, so that nothing here knows what runs the modules.
//!
//! Every request passes the same layers, from the outside: a panic becomes `station.internal`; a refusal becomes a
//! problem document, whoever refused; what a refused client still sends is read a little, so that it sees the
//! answer; a browser page of another origin is turned away. Then the route's own extractors, of which the first is
//! who may ask ([`access`]). Without a token one gets `/livez`, `/readyz`, `/metrics`, `/openapi.json` and
//! `/errors/{code}`; these name modules and nothing else of theirs.
#![warn(missing_docs)]

mod access;
mod audit;
mod backup;
mod body;
mod calls;
mod events;
mod grants;
mod graph;
mod health;
mod linger;
mod logs;
mod metrics;
mod modules;
mod name;
mod openapi;
mod pages;
mod query;
mod receive;
mod refusal;
mod router;
mod server;
mod settings;
mod stall;
mod tables;
#[cfg(test)]
mod tests;
pub mod tokens;
mod upload;
mod wire;

pub use openapi::document;
pub use pages::page;
pub use router::router;
pub use server::serve;
pub use settings::Settings;
