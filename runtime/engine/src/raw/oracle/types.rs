//! Signatures by choice.

use super::Choices;
use station_model::{Function, Type};
use std::sync::Arc;

/// Types inside types.
const DEPTH_MAX: usize = 4;
/// Parts of one signature: what takes long to compile finds no more.
const PARTS_MAX: usize = 40;

/// A function with up to six parameters.
pub(super) fn function(choices: &mut Choices<'_>) -> Function {
    let mut parts = PARTS_MAX;
    let count = match choices.byte() {
        0..=9 => 0,
        10..=179 => 1 + choices.below(2),
        _ => 3 + choices.below(4),
    };
    let params = (0..count).map(|at| (format!("p{at}"), ty(choices, DEPTH_MAX, &mut parts))).collect();
    let result = (choices.byte() >= 32).then(|| ty(choices, DEPTH_MAX, &mut parts));
    Function { name: "f".to_owned(), params, result }
}

fn ty(choices: &mut Choices<'_>, levels: usize, parts: &mut usize) -> Type {
    *parts = parts.saturating_sub(1);
    let Some(below) = levels.checked_sub(1).filter(|_| *parts > 0) else { return scalar(choices) };
    let mut inner = |choices: &mut Choices<'_>| ty(choices, below, parts);
    match choices.below(24) {
        0..=7 => scalar(choices),
        8 | 9 => Type::String,
        10..=13 => Type::List(Arc::new(inner(choices))),
        14 | 15 => {
            let fields = 1 + choices.below(5);
            Type::Record(Arc::new((0..fields).map(|at| (format!("f{at}"), inner(choices))).collect()))
        }
        16 => {
            let count = 1 + choices.below(4);
            Type::Tuple(Arc::new((0..count).map(|_| inner(choices)).collect()))
        }
        17 | 18 => {
            let count = 1 + choices.below(4);
            Type::Variant(Arc::new((0..count).map(|at| (format!("c{at}"), maybe(choices, &mut inner))).collect()))
        }
        19 => Type::Enum(Arc::new(names(1 + if choices.rarely(16) { 256 } else { choices.below(5) }))),
        20 => Type::Flags(Arc::new(names(1 + choices.below(32)))),
        21 => Type::Option(Arc::new(inner(choices))),
        // Numbers beside one another, with and without gaps, are what may be copied as a whole.
        22 => {
            let fields = 2 + choices.below(3);
            let numbers = (0..fields).map(|at| (format!("f{at}"), number(choices))).collect();
            Type::List(Arc::new(Type::Record(Arc::new(numbers))))
        }
        _ => {
            let ok = maybe(choices, &mut inner);
            Type::Result(Arc::new((ok, maybe(choices, &mut inner))))
        }
    }
}

fn maybe(choices: &mut Choices<'_>, inner: &mut impl FnMut(&mut Choices<'_>) -> Type) -> Option<Type> {
    (!choices.byte().is_multiple_of(3)).then(|| inner(choices))
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|at| format!("n{at}")).collect()
}

fn number(choices: &mut Choices<'_>) -> Type {
    const NUMBERS: [Type; 5] = [Type::U8, Type::S16, Type::U32, Type::U64, Type::F32];
    NUMBERS.get(choices.below(NUMBERS.len())).cloned().unwrap_or(Type::U8)
}

fn scalar(choices: &mut Choices<'_>) -> Type {
    const SCALARS: [Type; 14] = [
        Type::U8,
        Type::Bool,
        Type::S8,
        Type::U16,
        Type::S16,
        Type::U32,
        Type::S32,
        Type::U64,
        Type::S64,
        Type::F32,
        Type::F64,
        Type::Char,
        Type::String,
        Type::U8,
    ];
    SCALARS.get(choices.below(SCALARS.len())).cloned().unwrap_or(Type::U8)
}
