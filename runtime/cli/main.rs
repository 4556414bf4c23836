//! scratch
mod config;
#[cfg(test)]
mod golden;
mod units;
fn main() {}
