//! Embed a station in a Rust program.
