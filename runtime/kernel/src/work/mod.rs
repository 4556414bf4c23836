//! One unit of work per root call.

mod port;

pub use port::{Caps, Constraint, KeyWrites, Mark, Plan, Rows, SqlError, Unit, Units, Value, Watch};
