//! JSON and back: what goes out comes in again as the same value, and what does not fit is told where.

use super::json::{arguments, value};
use proptest::prelude::*;
use serde_json::{Value, json};
use station_model::{Code, Function, Resource, Type};
use std::sync::Arc;
use wasmtime::component::Val;

fn signature(ty: Type) -> Function {
    Function { name: "f".into(), params: vec![("x".into(), ty)], result: None }
}

fn parse(ty: &Type, written: Value) -> Result<Val, String> {
    let read = arguments(&[written], &signature(ty.clone()));
    read.map(|mut values| values.remove(0)).map_err(|failure| failure.message)
}

fn names(names: &[&str]) -> Arc<Vec<String>> {
    Arc::new(names.iter().map(|name| (*name).to_owned()).collect())
}

/// Any type that is not nested deeper than `levels`.
fn any_type() -> impl Strategy<Value = Type> {
    let scalar = prop::sample::select(vec![
        Type::Bool,
        Type::S8,
        Type::U8,
        Type::S16,
        Type::U16,
        Type::S32,
        Type::U32,
        Type::S64,
        Type::U64,
        Type::F32,
        Type::F64,
        Type::Char,
        Type::String,
        Type::Enum(names(&["red", "dark-green"])),
        Type::Flags(names(&["read", "write-all"])),
    ]);
    scalar.prop_recursive(4, 24, 4, |inner| {
        let maybe = prop::option::of(inner.clone());
        prop_oneof![
            inner.clone().prop_map(|ty| Type::List(Arc::new(ty))),
            inner.clone().prop_map(|ty| Type::Option(Arc::new(ty))),
            prop::collection::vec(inner.clone(), 1..4).prop_map(|types| Type::Tuple(Arc::new(types))),
            prop::collection::vec(inner, 1..4).prop_map(|types| Type::Record(Arc::new(
                types.into_iter().enumerate().map(|(n, ty)| (format!("field-{n}"), ty)).collect()
            ))),
            prop::collection::vec(maybe.clone(), 1..4).prop_map(|types| Type::Variant(Arc::new(
                types.into_iter().enumerate().map(|(n, ty)| (format!("case-{n}"), ty)).collect()
            ))),
            (maybe.clone(), maybe).prop_map(|(ok, err)| Type::Result(Arc::new((ok, err)))),
        ]
    })
}

/// Any value of a type. NaN is left out, because it is not equal to itself.
fn any_value(ty: &Type) -> BoxedStrategy<Val> {
    let maybe = |ty: &Option<Type>| match ty {
        Some(ty) => any_value(ty).prop_map(|value| Some(Box::new(value))).boxed(),
        None => Just(None).boxed(),
    };
    match ty {
        Type::Bool => any::<bool>().prop_map(Val::Bool).boxed(),
        Type::S8 => any::<i8>().prop_map(Val::S8).boxed(),
        Type::U8 => any::<u8>().prop_map(Val::U8).boxed(),
        Type::S16 => any::<i16>().prop_map(Val::S16).boxed(),
        Type::U16 => any::<u16>().prop_map(Val::U16).boxed(),
        Type::S32 => any::<i32>().prop_map(Val::S32).boxed(),
        Type::U32 => any::<u32>().prop_map(Val::U32).boxed(),
        Type::S64 => any::<i64>().prop_map(Val::S64).boxed(),
        Type::U64 => any::<u64>().prop_map(Val::U64).boxed(),
        Type::F32 => prop::num::f32::NORMAL.prop_map(Val::Float32).boxed(),
        Type::F64 => prop::num::f64::NORMAL.prop_map(Val::Float64).boxed(),
        Type::Char => any::<char>().prop_map(Val::Char).boxed(),
        Type::String => any::<String>().prop_map(Val::String).boxed(),
        Type::Enum(cases) => prop::sample::select(cases.to_vec()).prop_map(Val::Enum).boxed(),
        Type::Flags(flags) => prop::sample::subsequence(flags.to_vec(), 0..=flags.len()).prop_map(Val::Flags).boxed(),
        Type::List(inner) => prop::collection::vec(any_value(inner), 0..4).prop_map(Val::List).boxed(),
        Type::Option(inner) => {
            prop::option::of(any_value(inner)).prop_map(|value| Val::Option(value.map(Box::new))).boxed()
        }
        Type::Tuple(types) => types.iter().map(any_value).collect::<Vec<_>>().prop_map(Val::Tuple).boxed(),
        Type::Record(fields) => {
            let named = fields.iter().map(|(name, ty)| (Just(name.clone()), any_value(ty)));
            named.collect::<Vec<_>>().prop_map(Val::Record).boxed()
        }
        Type::Variant(cases) => {
            let each = cases.iter().map(|(name, ty)| {
                let name = name.clone();
                maybe(ty).prop_map(move |payload| Val::Variant(name.clone(), payload)).boxed()
            });
            prop::strategy::Union::new(each).boxed()
        }
        Type::Result(types) => prop_oneof![
            maybe(&types.0).prop_map(|v| Val::Result(Ok(v))),
            maybe(&types.1).prop_map(|v| Val::Result(Err(v)))
        ]
        .boxed(),
        Type::Own(_) | Type::Borrow(_) | Type::Unsupported(_) => unreachable!("these never come from outside"),
    }
}

proptest! {
    #[test]
    fn what_goes_out_comes_in_as_the_same_value(
        (ty, original) in any_type().prop_flat_map(|ty| { let value = any_value(&ty); (Just(ty), value) })
    ) {
        let written = value(&original, &ty).unwrap();
        let through_text: Value = serde_json::from_str(&written.to_string()).unwrap();
        prop_assert_eq!(parse(&ty, through_text), Ok(original));
    }

    #[test]
    fn whatever_is_written_is_an_answer_and_never_a_panic(ty in any_type(), text in "[\\[\\]{}\":,a-z0-9.-]{0,40}") {
        if let Ok(written) = serde_json::from_str::<Value>(&text) {
            let _either_way = parse(&ty, written);
        }
    }
}

#[test]
fn integers_beyond_what_javascript_keeps_go_out_as_text_and_come_in_either_way() {
    assert_eq!(value(&Val::U64((1 << 53) - 1), &Type::U64).unwrap(), json!(9_007_199_254_740_991_u64));
    assert_eq!(value(&Val::U64(u64::MAX), &Type::U64).unwrap(), json!("18446744073709551615"));
    assert_eq!(parse(&Type::U64, json!(u64::MAX)), Ok(Val::U64(u64::MAX)));
    assert_eq!(parse(&Type::S64, json!("-9223372036854775808")), Ok(Val::S64(i64::MIN)));
}

#[test]
fn numbers_that_json_has_no_word_for_are_words() {
    for (number, word) in [(f64::INFINITY, "Infinity"), (f64::NEG_INFINITY, "-Infinity")] {
        assert_eq!(value(&Val::Float64(number), &Type::F64).unwrap(), json!(word));
        assert_eq!(parse(&Type::F64, json!(word)), Ok(Val::Float64(number)));
    }
    assert!(matches!(parse(&Type::F32, json!("NaN")), Ok(Val::Float32(n)) if n.is_nan()));
}

#[test]
fn what_other_tools_write_is_read() {
    let record = Type::Record(Arc::new(vec![
        ("case-id".into(), Type::U8),
        ("note".into(), Type::Option(Arc::new(Type::String))),
    ]));
    let read = Ok(Val::Record(vec![("case-id".into(), Val::U8(1)), ("note".into(), Val::Option(None))]));
    for written in [json!({"case-id": 1}), json!({"caseId": 1, "note": null}), json!({"case_id": 1})] {
        assert_eq!(parse(&record, written), read);
    }
    let variant = Type::Variant(Arc::new(vec![("none".into(), None), ("some-text".into(), Some(Type::String))]));
    let some = Ok(Val::Variant("some-text".into(), Some(Box::new(Val::String("x".into())))));
    assert_eq!(parse(&variant, json!({"some-text": "x"})), some);
    assert_eq!(parse(&variant, json!({"tag": "some-text", "val": "x"})), some);
    assert_eq!(parse(&variant, json!("none")), Ok(Val::Variant("none".into(), None)));
    assert_eq!(parse(&variant, json!({"none": null})), Ok(Val::Variant("none".into(), None)));
    let flags = Type::Flags(names(&["a", "b"]));
    assert_eq!(parse(&flags, json!({"b": true, "a": false})), Ok(Val::Flags(vec!["b".into()])));
    let bytes = Type::List(Arc::new(Type::U8));
    assert_eq!(parse(&bytes, json!({"$bytes": "AQI="})), Ok(Val::List(vec![Val::U8(1), Val::U8(2)])));
    assert_eq!(parse(&Type::Char, json!(0x41)), Ok(Val::Char('A')));
}

#[test]
fn a_nested_option_tells_none_from_some_none() {
    let ty = Type::Option(Arc::new(Type::Option(Arc::new(Type::U8))));
    let some_none = Val::Option(Some(Box::new(Val::Option(None))));
    assert_eq!(value(&some_none, &ty).unwrap(), json!({"some": null}));
    assert_eq!(parse(&ty, json!({"some": null})), Ok(some_none));
    assert_eq!(parse(&ty, json!(null)), Ok(Val::Option(None)));
}

#[test]
fn what_does_not_fit_is_told_with_its_place() {
    let ty = Type::Record(Arc::new(vec![("items".into(), Type::List(Arc::new(Type::U8)))]));
    for (written, told) in [
        (json!({"items": [1, 256]}), "at /0/items/1: expected u8, found 256"),
        (json!({"items": "x"}), "at /0/items: expected list<u8>, found \"x\""),
        (json!({"item": []}), "at /0: there is no field \"item\""),
        (json!({}), "at /0: the field \"items\" is missing"),
        (json!(1.5), "at /0: expected record { items: list<u8> }, found 1.5"),
    ] {
        let message = parse(&ty, written).unwrap_err();
        assert!(message.starts_with(told), "{message}");
        assert!(message.ends_with("f takes (x: record { items: list<u8> })"), "{message}");
    }
}

#[test]
fn handles_never_cross_the_edge() {
    let resource = Resource { interface: None, imported: false, name: "r".into() };
    let failure = arguments(&[json!(1)], &signature(Type::Own(resource))).unwrap_err();
    assert_eq!(failure.code, Code::CallBadArgument);
}

#[test]
fn the_number_of_arguments_must_fit() {
    assert_eq!(arguments(&[], &signature(Type::U8)).unwrap_err().message, "0 arguments were given; f takes (x: u8)");
}
