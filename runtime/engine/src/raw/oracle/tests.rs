//! What random calls would rarely show.

use super::guests::{Allocator, Door, Guest};
use super::lanes::{Call, End, Lanes, Seen};
use super::{Choices, memory};
use crate::raw::text::Encoding;
use station_model::{Function, Type};
use wasmtime::component::Val;

const WORKS: Allocator = Allocator::Works { grows: false };
const LEAVES: [Allocator; 2] = [Allocator::Leaves { by: Door::Host }, Allocator::Leaves { by: Door::Module }];

/// Passes a text to a callee that answers with one. Whether the callee saw it before a `realloc` that called an import
/// ended the call, in every lane.
fn seen_before_leaving(caller: Allocator, callee: Allocator) -> Option<Vec<Val>> {
    let function =
        Function { name: "f".to_owned(), params: vec![("p0".to_owned(), Type::String)], result: Some(Type::String) };
    let [caller, callee] = [caller, callee].map(|allocator| Guest { encoding: Encoding::Utf8, allocator });
    let call = Call {
        arguments: memory::arguments(&function, Encoding::Utf8, &mut Choices(&[2])),
        answer: memory::answer(&function, Encoding::Utf8, &mut Choices(&[2])),
    };
    let [(raw, raw_exact), (dynamic, dynamic_exact), (composed, _)] =
        Lanes::of(&function, caller, callee).unwrap().run(&call);
    assert_eq!(raw, dynamic);
    assert_eq!(raw, composed);
    assert_eq!(raw_exact.difference(&dynamic_exact), None);
    assert!(!raw_exact.caller.is_empty() && !raw_exact.callee.is_empty(), "nobody looked at the memories");
    let Seen::Bad { arguments, by: End::Leaving } = raw else { panic!("{caller:?} {callee:?}: {raw:?}") };
    arguments
}

#[test]
fn a_callee_whose_realloc_calls_an_import_sees_no_arguments() {
    for callee in LEAVES {
        assert_eq!(seen_before_leaving(WORKS, callee), None);
    }
}

#[test]
fn a_caller_whose_realloc_calls_an_import_ends_when_its_callee_has_answered() {
    for caller in LEAVES {
        assert_eq!(seen_before_leaving(caller, WORKS), Some(vec![Val::String("dossier".to_owned())]));
    }
}

#[test]
fn a_function_that_is_not_what_its_plan_says_is_not_called() {
    let numbers = |count: usize| (0..count).map(|at| (format!("p{at}"), Type::U32)).collect::<Vec<_>>();
    let function = |params, result| Function { name: "f".to_owned(), params: numbers(params), result };
    let good = Guest { encoding: Encoding::Utf8, allocator: WORKS };
    for params in [0, 1, 2, 16, 17] {
        for result in [None, Some(Type::U32), Some(Type::String)] {
            let lanes = Lanes::of(&function(params, result.clone()), good, good).unwrap();
            // Spilled parameters and one are one word each, and so are both results: those only have other values.
            for (others, same) in
                [(0, params == 0), (1, [1, 17].contains(&params)), (2, params == 2), (16, params == 16)]
            {
                assert_eq!(lanes.can_be_called_as(&function(others, result.clone())), same, "{params} as {others}");
            }
            assert_eq!(lanes.can_be_called_as(&function(params, None)), result.is_none());
            assert_eq!(lanes.can_be_called_as(&function(params, Some(Type::U64))), result.is_some());
        }
    }
}
