//! Requests per second of HTTP servers, in turn, by one load generator.

use crate::http::workers;
use crate::load::Load;
use crate::stats::{median, percentile};
use anyhow::Result;
use serde_json::{Value, json};
use std::time::Duration;

/// Enough to keep two cores busy, and few enough that nobody queues for long.
const CONNECTIONS: usize = 16;
const ROUND: Duration = Duration::from_millis(700);

/// Asks each server for a while, round by round.
pub fn measure(rounds: usize, urls: &[&str]) -> Result<Value> {
    let runtime = workers(2)?;
    let mut servers = urls.iter().map(|url| Load::connect(&runtime, url, CONNECTIONS)).collect::<Result<Vec<_>>>()?;
    for server in &mut servers {
        server.run(&runtime, ROUND)?;
    }
    let mut rates = vec![Vec::new(); servers.len()];
    let mut waited = vec![Vec::new(); servers.len()];
    for _ in 0..rounds {
        for (at, server) in servers.iter_mut().enumerate() {
            let answers = server.run(&runtime, ROUND)?;
            rates[at].push(answers.per_second());
            waited[at].extend(answers.waited_ms);
        }
    }
    let row = |((url, rates), waited): ((&&str, &Vec<f64>), &Vec<f64>)| {
        json!({
            "url": url,
            "per_second": median(rates.clone()),
            "rounds": rates,
            "p50_ms": percentile(waited.clone(), 0.5),
            "p99_ms": percentile(waited.clone(), 0.99),
        })
    };
    let servers: Vec<Value> = urls.iter().zip(&rates).zip(&waited).map(row).collect();
    Ok(json!({ "rounds": rounds, "connections": CONNECTIONS, "servers": servers }))
}
