//! How values move over one linked function. Chosen once, when the graph is built.
//!
//! The *raw* lane copies by a plan from one memory to the other ([`crate::raw`]) and carries every type that Station
//! carries. The *dynamic* lane lifts values into `Val`, has the engine check them, and lowers them into the callee: some
//! forty times the bytes. It is what an operator falls back to (`engine: { lane: dynamic }`), and the oracle by which the
//! raw one is tested.

use crate::raw::{Plan, Told};
use station_model::types::is_call_error;
use station_model::{CallId, Failure, Function, Type};
use wasmtime::component::Val;

/// Bytes of a `Val` on the heap: what the dynamic lane really moves per element.
const VAL_BYTES: u64 = size_of::<Val>() as u64;

/// What is known about a function before it is called.
#[derive(Debug, PartialEq, Eq)]
pub struct Lane {
    /// How values move, and what is to say about it.
    way: Way,
    /// True when a handle is somewhere in the signature.
    pub(crate) handles: bool,
    failure: Expressible,
}

#[derive(Debug, PartialEq, Eq)]
enum Way {
    Raw(Box<Plan>),
    /// With the reason.
    Dynamic(String),
}

/// Which lane the operator wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Choice {
    /// The raw lane where a function has a plan.
    #[default]
    Raw,
    /// The dynamic lane for all functions.
    Dynamic,
}

/// How a failure of the callee can be a value of the function's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expressible {
    /// It cannot.
    No,
    /// As the error itself.
    Whole,
    /// As this case of the error variant, by its number and its name.
    Case(usize, String),
}

impl Lane {
    /// The lane of a function with this signature.
    pub(crate) fn of(function: &Function, choice: Choice) -> Self {
        let way = match choice {
            Choice::Raw => Plan::of(function).map_or_else(Way::Dynamic, |plan| Way::Raw(Box::new(plan))),
            Choice::Dynamic => Way::Dynamic("the operator wants it".to_owned()),
        };
        let failure = expressible(function.result.as_ref());
        Self { way, handles: function.types().any(Type::has_handles), failure }
    }

    /// The plan, in the raw lane.
    pub(crate) fn plan(&self) -> Option<&Plan> {
        match &self.way {
            Way::Raw(plan) => Some(plan),
            Way::Dynamic(_) => None,
        }
    }

    /// Its name, and why it is this one where it is not the raw one.
    pub(crate) fn describe(&self) -> (&'static str, Option<&str>) {
        match &self.way {
            Way::Raw(_) => ("raw", None),
            Way::Dynamic(reason) => ("dynamic", Some(reason)),
        }
    }

    /// The bytes of a result that tells of a failure, in the raw lane.
    pub(crate) fn failure_bytes(&self, failure: &Failure, id: CallId) -> Option<Vec<u8>> {
        if self.failure == Expressible::No {
            return None;
        }
        let told = Told { code: failure.code.as_str(), retryable: failure.retryable(), id: &id.to_string() };
        self.plan()?.failure(&self.failure, &told)
    }

    /// A result that tells the caller of `failure`, in the dynamic lane. Its message and frames are the operator's, not
    /// the caller's.
    pub(crate) fn failure_value(&self, failure: &Failure, id: CallId) -> Option<Val> {
        let fields = vec![
            ("code".to_owned(), Val::String(failure.code.as_str().to_owned())),
            ("retryable".to_owned(), Val::Bool(failure.retryable())),
            ("call-id".to_owned(), Val::String(id.to_string())),
        ];
        let error = match &self.failure {
            Expressible::No => return None,
            Expressible::Whole => Val::Record(fields),
            Expressible::Case(_, case) => Val::Variant(case.clone(), Some(Box::new(Val::Record(fields)))),
        };
        Some(Val::Result(Err(Some(Box::new(error)))))
    }

    /// About how many bytes the values take in the dynamic lane, to hold against what a tree may move.
    pub(crate) fn size(&self, values: &[Val]) -> u64 {
        values.iter().map(size).sum()
    }
}

fn expressible(result: Option<&Type>) -> Expressible {
    let Some(Type::Result(types)) = result else { return Expressible::No };
    match &types.1 {
        Some(error) if is_call_error(error) => Expressible::Whole,
        Some(Type::Variant(cases)) => {
            let carries = |(_, ty): &&(String, Option<Type>)| ty.as_ref().is_some_and(is_call_error);
            let place = cases.iter().enumerate().find(|(_, case)| carries(case));
            place.map_or(Expressible::No, |(at, (case, _))| Expressible::Case(at, case.clone()))
        }
        _ => Expressible::No,
    }
}

fn size(value: &Val) -> u64 {
    let all = |values: &[Val]| values.iter().map(size).sum::<u64>();
    let inside = |value: &Option<Box<Val>>| value.as_deref().map_or(0, size);
    VAL_BYTES
        + match value {
            Val::String(text) => text.len() as u64,
            // Elements of one list are of one type, and scalars are all of one size: no need to look at each.
            Val::List(values) => match values.first() {
                Some(first) if is_scalar(first) => VAL_BYTES.saturating_mul(values.len() as u64),
                _ => all(values),
            },
            Val::Tuple(values) => all(values),
            Val::Record(fields) => fields.iter().map(|(_, value)| size(value)).sum(),
            Val::Option(value) => inside(value),
            Val::Result(Ok(value) | Err(value)) | Val::Variant(_, value) => inside(value),
            _ => 0,
        }
}

fn is_scalar(value: &Val) -> bool {
    use Val::{Bool, Char, Float32, Float64, S8, S16, S32, S64, U8, U16, U32, U64};
    matches!(
        value,
        Bool(_)
            | Char(_)
            | Float32(_)
            | Float64(_)
            | S8(_)
            | S16(_)
            | S32(_)
            | S64(_)
            | U8(_)
            | U16(_)
            | U32(_)
            | U64(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn call_error() -> Type {
        let fields = [("code", Type::String), ("retryable", Type::Bool), ("call-id", Type::String)];
        Type::Record(Arc::new(fields.into_iter().map(|(name, ty)| (name.to_owned(), ty)).collect()))
    }

    fn value_for(error: Option<Type>) -> Option<Val> {
        let result = Type::Result(Arc::new((Some(Type::U32), error)));
        let lane = Lane::of(&Function { name: "f".into(), params: vec![], result: Some(result) }, Choice::Dynamic);
        lane.failure_value(&Failure::new(station_model::Code::CallTrap, "secret"), CallId::from_u128(7))
    }

    #[test]
    fn a_failure_is_a_value_where_the_type_has_a_place_for_it() {
        assert!(matches!(value_for(Some(call_error())), Some(Val::Result(Err(Some(_))))));
        let variant = vec![("mine".to_owned(), None), ("call".to_owned(), Some(call_error()))];
        let Some(Val::Result(Err(Some(error)))) = value_for(Some(Type::Variant(Arc::new(variant)))) else { panic!() };
        assert!(matches!(*error, Val::Variant(case, Some(_)) if case == "call"));
    }

    #[test]
    fn elsewhere_it_is_not() {
        assert_eq!(value_for(None), None);
        assert_eq!(value_for(Some(Type::String)), None);
    }

    #[test]
    fn a_caller_never_sees_the_message() {
        assert!(!format!("{:?}", value_for(Some(call_error()))).contains("secret"));
    }
}
