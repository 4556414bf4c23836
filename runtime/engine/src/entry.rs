//! What a root call carries in: arguments as text, or a request to serve.

use crate::ctx::Ctx;
use crate::live::Live;
use crate::text;
use serde_json::Value;
use station_kernel::graph::Found;
use station_kernel::ports::Arguments;
use station_model::{Failure, Function};
use wasmtime::component::{Instance, Val};
use wasmtime::{Error, Store};

/// What the root call does with the root instance.
pub enum Entry {
    /// Call an exported function, and answer with its result as JSON.
    Text(Arguments),
    /// Whatever a capability has the instance do, such as serve an HTTP request.
    Custom(Box<dyn RootEntry>),
}

/// What an entry brings back.
pub(crate) struct Answer {
    /// The result as JSON, where the entry answers with JSON.
    pub(crate) json: Option<Value>,
    /// True when it is an `err`: the call has not failed, but what it wrote is undone.
    pub(crate) refused: bool,
}

/// A way into the root instance that is not a function call with text.
pub trait RootEntry: Send + 'static {
    /// Runs on the call's thread, from the first to the last instruction of the root call.
    ///
    /// # Errors
    /// Whatever ends the call: a trap, or a [`Failure`] in a [`wasmtime::Error`].
    fn serve(self: Box<Self>, store: &mut Store<Ctx>, instance: &Instance) -> wasmtime::Result<()>;

    /// A second entry that can stand in for this one if the call must be run again; none when it cannot be repeated.
    fn spare(&self) -> Option<Box<dyn RootEntry>> {
        None
    }
}

impl Entry {
    /// Does it with `live`.
    pub(crate) fn enter(self, live: &mut Live, target: Option<(Found, &Function)>) -> wasmtime::Result<Answer> {
        match (self, target) {
            (Self::Text(arguments), Some((found, function))) => call(live, found, function, &arguments),
            (Self::Text(_), None) => Err(Error::new(no_function())),
            (Self::Custom(entry), _) => {
                entry.serve(&mut live.store, &live.instance).map(|()| Answer { json: None, refused: false })
            }
        }
    }

    /// The same entry again, where it can be repeated.
    pub(crate) fn spare(&self) -> Option<Self> {
        match self {
            Self::Text(arguments) => Some(Self::Text(arguments.clone())),
            Self::Custom(entry) => entry.spare().map(Self::Custom),
        }
    }
}

fn call(live: &mut Live, found: Found, signature: &Function, arguments: &Arguments) -> wasmtime::Result<Answer> {
    let function = live.function(found).map_err(Error::new)?;
    let args = match arguments {
        Arguments::Json(values) => text::json::arguments(values, signature),
        Arguments::Wave(wave) => text::wave::arguments(wave, &function.ty(&live.store), signature),
    };
    let args = args.map_err(Error::new)?;
    let mut results = vec![Val::Bool(false); usize::from(signature.result.is_some())];
    function.call(&mut live.store, &args, &mut results)?;
    let json = match (results.first(), &signature.result) {
        (Some(value), Some(ty)) => text::json::value(value, ty).map_err(Error::new)?,
        _ => Value::Null,
    };
    Ok(Answer { json: Some(json), refused: is_refusal(&results) })
}

/// True when a function answered with the `err` of a result.
pub(crate) fn is_refusal(results: &[Val]) -> bool {
    matches!(results.first(), Some(Val::Result(Err(_))))
}

fn no_function() -> Failure {
    Failure::new(station_model::Code::StationInternal, "a root call without a function has no arguments")
}
