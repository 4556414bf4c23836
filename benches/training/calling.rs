//! Calls between modules, fresh instances and loading, on stations in this process.

use crate::modules::Modules;
use crate::payload::Payload;
use crate::{instances, loading};
use station_host::LaneChoice;

/// Of small payloads; a large one counts for more of them.
const CALLS: u64 = 200_000;
/// Calls of a payload that is as large as this many bytes cost about as much as one of a small one.
const BYTES_PER_CALL: u64 = 1024;
const ROUNDS: usize = 3;

pub(crate) fn train() {
    between_modules();
    let host = instances::host();
    instances::first_call(&host, ROUNDS);
    instances::per_second(&host, ROUNDS);
    loading::load(ROUNDS);
}

fn between_modules() {
    let modules = Modules::start_in(LaneChoice::Raw);
    modules.check_faithfulness();
    for payload in Payload::ALL {
        let weight = 1 + u64::from(payload.bytes().unwrap_or(0)) / BYTES_PER_CALL;
        modules.brokered(payload)(CALLS / weight / payload.calls());
    }
}
