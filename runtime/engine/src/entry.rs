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

/// A way into the root instance that is not a function call with text.
pub trait RootEntry: Send + 'static {
    /// Runs on the call's thread, from the first to the last instruction of the root call.
    ///
    /// # Errors
    /// Whatever ends the call: a trap, or a [`Failure`] in a [`wasmtime::Error`].
    fn serve(self: Box<Self>, store: &mut Store<Ctx>, instance: &Instance) -> wasmtime::Result<()>;
}

impl Entry {
    /// Does it with `live`. `None` where there is no JSON to answer with.
    pub(crate) fn enter(self, live: &mut Live, target: Option<(Found, &Function)>) -> wasmtime::Result<Option<Value>> {
        match (self, target) {
            (Self::Text(arguments), Some((found, function))) => call(live, found, function, &arguments).map(Some),
            (Self::Text(_), None) => Err(Error::new(no_function())),
            (Self::Custom(entry), _) => entry.serve(&mut live.store, &live.instance).map(|()| None),
        }
    }
}

fn call(live: &mut Live, found: Found, signature: &Function, arguments: &Arguments) -> wasmtime::Result<Value> {
    let function = live.function(found).map_err(Error::new)?;
    let args = match arguments {
        Arguments::Json(values) => text::json::arguments(values, signature),
        Arguments::Wave(wave) => text::wave::arguments(wave, &function.ty(&live.store), signature),
    };
    let args = args.map_err(Error::new)?;
    let mut results = vec![Val::Bool(false); usize::from(signature.result.is_some())];
    function.call(&mut live.store, &args, &mut results)?;
    match (results.first(), &signature.result) {
        (Some(value), Some(ty)) => text::json::value(value, ty).map_err(Error::new),
        _ => Ok(Value::Null),
    }
}

fn no_function() -> Failure {
    Failure::new(station_model::Code::StationInternal, "a root call without a function has no arguments")
}
