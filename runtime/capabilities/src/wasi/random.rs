//! `wasi:random`: numbers from the operating system, at most 64 KiB at a time.
//!
//! The insecure ones come from the same source: a second generator would be more code to trust for a few
//! nanoseconds.

use crate::host::{Host, fail};
use station_model::{Code, Failure};
use wasmtime::Result;
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

/// Bytes of one request. Keys and nonces need tens; a guest that wants more asks again.
const BYTES_MAX: u64 = 64 * 1024;
/// Fuel of one request, apart from its bytes; the system call takes 200 to 500 ns.
const CALL_FUEL: u64 = 400;
/// Fuel of a random byte.
const BYTE_FUEL: u64 = 3;

impl Host<'_> {
    fn random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        if len > BYTES_MAX {
            let message = format!("{BYTES_MAX} random bytes may be asked for at once");
            let failure = Failure::new(Code::CallResourceLimit, message);
            return Err(failure.with_limit("random_bytes", BYTES_MAX, len).into());
        }
        self.0.charge(CALL_FUEL + len * BYTE_FUEL);
        let mut bytes = vec![0; usize::try_from(len)?];
        getrandom::fill(&mut bytes).map_err(no_randomness)?;
        Ok(bytes)
    }

    fn random_u64(&mut self) -> Result<u64> {
        self.0.charge(CALL_FUEL);
        getrandom::u64().map_err(no_randomness)
    }
}

fn no_randomness(_: getrandom::Error) -> wasmtime::Error {
    fail(Code::StationInternal, "the operating system has no random numbers")
}

impl random::Host for Host<'_> {
    fn get_random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        self.random_bytes(len)
    }

    fn get_random_u64(&mut self) -> Result<u64> {
        self.random_u64()
    }
}

impl insecure::Host for Host<'_> {
    fn get_insecure_random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        self.random_bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> Result<u64> {
        self.random_u64()
    }
}

impl insecure_seed::Host for Host<'_> {
    fn insecure_seed(&mut self) -> Result<(u64, u64)> {
        Ok((self.random_u64()?, self.random_u64()?))
    }
}
