//! One hop there and back with some bytes, by every peer, in turn.

use crate::grpc::Grpc;
use crate::http::Http;
use crate::isolate::Isolate;
use crate::plugin::{FromHost, FromPlugin};
use crate::stats::{Took, each_ns, median};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// As `benches/call.rs` sends them.
const SIZES: [usize; 4] = [64, 1024, 65_536, 1_048_576];
/// What one sample takes, about.
const SAMPLE: Duration = Duration::from_millis(40);

/// Somebody who takes bytes and gives them back.
pub trait Peer {
    /// As the table and the plot call it.
    fn name(&self) -> &'static str;
    /// Sends `bytes` once; answers what came back.
    fn echo(&mut self, bytes: &[u8]) -> Result<Vec<u8>>;
    /// Sends them so often; answers how long that took.
    fn time(&mut self, bytes: &[u8], times: u64) -> Result<Took>;
    /// True when a hop is waiting for another thread or process: then its cost is what passes on the wall, being woken
    /// included. Others only compute, and processor time says it better.
    fn waits(&self) -> bool;
}

struct Case {
    peer: usize,
    bytes: Vec<u8>,
    times: u64,
    processor_ns: Vec<f64>,
    wall_ns: Vec<f64>,
}

/// Measures all peers with all sizes, round by round.
pub fn measure(rounds: usize, plugin: &Path, isolate: Option<&str>) -> Result<Value> {
    let mut peers: Vec<Box<dyn Peer>> = vec![
        Box::new(Http::start()?),
        Box::new(Grpc::start()?),
        Box::new(FromHost::load(plugin)?),
        Box::new(FromPlugin::load(plugin)?),
    ];
    if let Some(url) = isolate {
        peers.push(Box::new(Isolate::at(url)?));
    }
    let mut cases = Vec::new();
    for (at, peer) in peers.iter_mut().enumerate() {
        for size in SIZES {
            cases.push(prepare(at, peer.as_mut(), size)?);
        }
    }
    for _ in 0..rounds {
        for case in &mut cases {
            let took = peers[case.peer].time(&case.bytes, case.times)?;
            case.processor_ns.push(each_ns(took.processor, case.times));
            case.wall_ns.push(each_ns(took.wall, case.times));
        }
    }
    let cases: Vec<Value> = cases.iter().map(|case| case.to_json(peers[case.peer].as_ref())).collect();
    Ok(json!({ "rounds": rounds, "cases": cases }))
}

impl Case {
    fn to_json(&self, peer: &dyn Peer) -> Value {
        json!({
            "by": peer.name(),
            "bytes": self.bytes.len(),
            "ns": median(self.processor_ns.clone()),
            "wall_ns": median(self.wall_ns.clone()),
            "clock": if peer.waits() { "wall_ns" } else { "ns" },
        })
    }
}

/// Makes sure that the bytes come back, and finds out how many fit into a sample.
fn prepare(at: usize, peer: &mut dyn Peer, size: usize) -> Result<Case> {
    let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
    ensure!(peer.echo(&bytes)? == bytes, "{} changed {size} bytes", peer.name());
    let mut times = 1;
    let wanted = loop {
        let took = peer.time(&bytes, times)?.wall;
        if took >= SAMPLE / 4 {
            break (SAMPLE.as_nanos() as f64 / each_ns(took, times)) as u64;
        }
        times *= 4;
    };
    Ok(Case { peer: at, bytes, times: wanted.max(1), processor_ns: Vec::new(), wall_ns: Vec::new() })
}
