//! wasmtime: inspect, compile, link, pool, meter, lift and lower, name traps.
