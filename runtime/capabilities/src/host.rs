//! What the generated host traits are implemented on, and what every host function needs.
//!
//! A getter that wasmtime calls cannot fail, so it only wraps the context; the function behind it looks its state
//! up and can answer with an error.

use station_engine::{Ctx, Offer, Waiter};
use station_kernel::ports::Habit;
use station_model::{Code, Failure, InterfaceName};
use std::pin::pin;
use wasmtime::component::HasData;
use wasmtime_wasi::runtime::poll_noop;

/// The version of every WASI 0.2 interface that is linked. A test compares it with wasmtime's own.
pub(crate) const WASI: &str = "0.2.12";

/// A context as the generated traits see it.
pub(crate) struct Host<'a>(pub(crate) &'a mut Ctx);

/// Names [`Host`] to wasmtime.
pub(crate) struct HasHost;

impl HasData for HasHost {
    type Data<'a> = Host<'a>;
}

/// The getter for every `add_to_linker`.
pub(crate) fn host(ctx: &mut Ctx) -> Host<'_> {
    Host(ctx)
}

/// An error that ends the call with this code.
pub(crate) fn fail(code: Code, message: impl Into<String>) -> wasmtime::Error {
    wasmtime::Error::new(Failure::new(code, message))
}

/// Waits for `future`, within the call's time. One that is ready costs no wait, so that it also works in a trial
/// instance, which may not wait.
pub(crate) fn wait<T>(waiter: &Waiter, future: impl Future<Output = T>) -> Result<T, Failure> {
    let mut future = pin!(future);
    match poll_noop(future.as_mut()) {
        Some(done) => Ok(done),
        None => waiter.wait(future),
    }
}

/// Offers of these interfaces. Names are written in this crate and covered by a test, so none is left out.
pub(crate) fn offers<S: AsRef<str>>(names: impl IntoIterator<Item = S>, harmless: bool) -> Vec<Offer> {
    let parsed = names.into_iter().filter_map(|name| name.as_ref().parse::<InterfaceName>().ok());
    parsed.map(|name| Offer { name, harmless, habits: &[] }).collect()
}

/// The same offers, of which these functions write or wait.
pub(crate) fn with_habits(offers: Vec<Offer>, habits: &'static [(&'static str, Habit)]) -> Vec<Offer> {
    offers.into_iter().map(|offer| Offer { habits, ..offer }).collect()
}
