//! Echoes bytes, and lets the host hand them to another plugin: what `payload-sink` and `payload-source` do, for Extism.

use extism_pdk::{FnResult, host_fn, plugin_fn};

#[host_fn]
extern "ExtismHost" {
    fn forward(bytes: Vec<u8>) -> Vec<u8>;
}

#[plugin_fn]
pub fn echo(bytes: Vec<u8>) -> FnResult<Vec<u8>> {
    Ok(bytes)
}

/// Takes a number of times (four bytes, the lowest first) and the bytes to send so often; answers how many came back.
#[plugin_fn]
pub fn relay(input: Vec<u8>) -> FnResult<Vec<u8>> {
    let (times, bytes) = input.split_first_chunk::<4>().ok_or_else(|| extism_pdk::Error::msg("no number"))?;
    let mut came = 0_u64;
    for _ in 0..u32::from_le_bytes(*times) {
        came += unsafe { forward(bytes.to_vec()) }?.len() as u64;
    }
    Ok(came.to_le_bytes().to_vec())
}
