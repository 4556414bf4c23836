//! The lanes between modules against one another: see `station_engine::agree`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _tally = station_engine::agree(bytes);
});
