//! The words of Station as plain data: names, digests, types, limits, failures. No I/O, no engine, no clock.
//!
//! Every other crate speaks in these types. What is parsed once (a [`Digest`], an [`InterfaceName`]) cannot be
//! wrong afterwards; what may be wrong arrives as text and leaves as a typed error.
#![warn(missing_docs)]

mod code;
mod digest;
mod failure;
mod grant;
mod id;
mod interface;
mod limits;
mod name;
mod trace;
pub mod types;

pub use code::{Code, Family};
pub use digest::Digest;
pub use failure::{Failure, LimitHit};
pub use grant::{Grant, HostPattern, Selector};
pub use id::CallId;
pub use interface::{FunctionPath, InterfaceName, PackageName};
pub use limits::{Instances, Limits, LimitsPatch, Mode};
pub use name::ModuleName;
pub use trace::{CallReport, Frame, Location, Outcome, UnitOutcome, UnitReport, Wrote};
pub use types::{Function, Interface, Resource, Type, World};

/// A piece of text that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?}: {why}")]
pub struct Invalid {
    /// The kind of thing that was read, such as `module name`.
    pub what: &'static str,
    /// What was read, cut to 128 characters.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

impl Invalid {
    /// An error about `text`, which is cut so that hostile input cannot grow an error message.
    pub fn new(what: &'static str, text: &str, why: impl Into<String>) -> Self {
        Self { what, text: text.chars().take(128).collect(), why: why.into() }
    }
}
