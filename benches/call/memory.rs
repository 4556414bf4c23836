//! The least that moving bytes can cost.

use crate::payload::{Payload, Timed, time};
use std::hint::black_box;

/// One copy per direction, each into a buffer of its own, as two modules have.
pub(crate) fn memcpy(payload: Payload) -> Timed {
    let bytes = payload.bytes().unwrap_or(0) as usize;
    let from = vec![b'x'; bytes];
    let (mut there, mut back) = (vec![0; bytes], vec![0; bytes]);
    match payload {
        Payload::BothWays(_) => Box::new(move |times| {
            time(times, || {
                copy(&from, &mut there);
                copy(&there, &mut back);
            })
        }),
        _ => Box::new(move |times| time(times, || copy(&from, &mut there))),
    }
}

fn copy(from: &[u8], to: &mut [u8]) {
    black_box(to).copy_from_slice(black_box(from));
}
