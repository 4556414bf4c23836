//! What a call costs elsewhere, on the payloads of `benches/call.rs`; started by `cargo xtask bench`.
//!
//! ```text
//! peers hops ROUNDS PLUGIN.wasm [ISOLATE-URL]   loopback HTTP, gRPC, Extism, and an isolate where one runs
//! peers serve ROUNDS URL...                     requests per second of HTTP servers, in turn
//! peers units ROUNDS FOLDER GATEWAY-URL         durable writes per second of a station and of plain SQLite, in turn
//! ```
//!
//! Each prints one JSON document. Everything stays on the loopback address, and every measurement has an end.

mod grpc;
mod hops;
mod http;
mod isolate;
mod load;
mod plugin;
mod serve;
mod stats;
mod units;

use anyhow::{Context as _, Result, bail};
use std::path::Path;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let document = match words.as_slice() {
        ["hops", rounds, plugin] => hops::measure(number(rounds)?, Path::new(plugin), None),
        ["hops", rounds, plugin, isolate] => hops::measure(number(rounds)?, Path::new(plugin), Some(isolate)),
        ["serve", rounds, urls @ ..] if !urls.is_empty() => serve::measure(number(rounds)?, urls),
        ["units", rounds, folder, url] => units::measure(number(rounds)?, Path::new(folder), url),
        _ => bail!("see the first lines of benches/peers/src/main.rs for what it takes"),
    };
    println!("{}", document?);
    Ok(())
}

fn number(text: &str) -> Result<usize> {
    text.parse().with_context(|| format!("{text:?} is no number"))
}
