//! JSON and WIT values, by the convention that the tools of the field share.
//!
//! Records are objects with kebab-case names; variants `{"case": payload}` or `"case"`; flags arrays of names;
//! options the value or null, nested ones `{"some": ...}`; results `{"ok": ...}` and `{"err": ...}`. Integers
//! beyond 2^53 go out as decimal strings, because JavaScript would lose bits, and come in either way. What other
//! tools write (camelCase, `{"tag", "val"}`, objects of flags) is read as well. An error names the place in the
//! arguments as a JSON pointer.

use super::wave::expected;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use station_model::{Code, Failure, Function, Type};
use wasmtime::component::Val;

/// The largest integer that every JSON reader keeps exactly.
const EXACT_MAX: u64 = (1 << 53) - 1;

/// The arguments of a function, one JSON value each.
///
/// # Errors
/// `call.bad_argument`.
pub(crate) fn arguments(values: &[Value], signature: &Function) -> Result<Vec<Val>, Failure> {
    if values.len() != signature.params.len() {
        let message = format!("{} arguments were given; {}", values.len(), expected(signature));
        return Err(Failure::new(Code::CallBadArgument, message));
    }
    let pairs = values.iter().zip(&signature.params).enumerate();
    let read = pairs.map(|(at, (value, (_, ty)))| parse(value, ty, &At::Index(&At::Root, at)));
    read.collect::<Result<_, _>>().map_err(|failure| failure_in(&failure, signature))
}

fn failure_in(failure: &Failure, signature: &Function) -> Failure {
    Failure::new(Code::CallBadArgument, format!("{}; {}", failure.message, expected(signature)))
}

/// A place inside the arguments, kept on the stack so that nothing is allocated unless there is an error.
enum At<'a> {
    Root,
    Index(&'a At<'a>, usize),
    Name(&'a At<'a>, &'a str),
}

impl std::fmt::Display for At<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            At::Root => Ok(()),
            At::Index(parent, index) => write!(f, "{parent}/{index}"),
            At::Name(parent, name) => write!(f, "{parent}/{name}"),
        }
    }
}

fn wrong(at: &At<'_>, ty: &Type, value: &Value) -> Failure {
    let mut shown = value.to_string();
    if shown.chars().count() > 60 {
        shown = shown.chars().take(60).collect::<String>() + "...";
    }
    Failure::new(Code::CallBadArgument, format!("at {at}: expected {ty}, found {shown}"))
}

/// Reads one value.
fn parse(value: &Value, ty: &Type, at: &At<'_>) -> Result<Val, Failure> {
    let bad = || wrong(at, ty, value);
    Ok(match ty {
        Type::Bool => Val::Bool(value.as_bool().ok_or_else(bad)?),
        Type::S8 => Val::S8(integer(value).ok_or_else(bad)?),
        Type::U8 => Val::U8(integer(value).ok_or_else(bad)?),
        Type::S16 => Val::S16(integer(value).ok_or_else(bad)?),
        Type::U16 => Val::U16(integer(value).ok_or_else(bad)?),
        Type::S32 => Val::S32(integer(value).ok_or_else(bad)?),
        Type::U32 => Val::U32(integer(value).ok_or_else(bad)?),
        Type::S64 => Val::S64(integer(value).ok_or_else(bad)?),
        Type::U64 => Val::U64(integer(value).ok_or_else(bad)?),
        Type::F32 => Val::Float32(float32(value).ok_or_else(bad)?),
        Type::F64 => Val::Float64(float(value).ok_or_else(bad)?),
        Type::Char => Val::Char(character(value).ok_or_else(bad)?),
        Type::String => Val::String(value.as_str().ok_or_else(bad)?.to_owned()),
        Type::List(inner) => Val::List(list(value, inner, at, &bad)?),
        Type::Tuple(types) => Val::Tuple(tuple(value, types, at, &bad)?),
        Type::Record(fields) => Val::Record(record(value, fields, at, &bad)?),
        Type::Variant(cases) => variant(value, cases, at, &bad)?,
        Type::Enum(cases) => Val::Enum(one_of(value.as_str().ok_or_else(bad)?, cases).ok_or_else(bad)?),
        Type::Flags(names) => Val::Flags(flags(value, names).ok_or_else(bad)?),
        Type::Option(inner) => option(value, inner, at)?,
        Type::Result(types) => result(value, types, at, &bad)?,
        Type::Own(_) | Type::Borrow(_) | Type::Unsupported(_) => {
            let message = format!("at {at}: {ty} cannot come from outside; only modules can hand it to each other");
            return Err(Failure::new(Code::CallBadArgument, message));
        }
    })
}

type Bad<'a> = &'a dyn Fn() -> Failure;

/// An integer as a number or as a decimal string.
fn integer<T: TryFrom<i128>>(value: &Value) -> Option<T> {
    let number = match value {
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(n), _) => i128::from(n),
            (None, Some(n)) => i128::from(n),
            // 1e3 and 2.0 are integers too, as far as a double is exact.
            (None, None) => whole(number.as_f64()?)?,
        },
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    T::try_from(number).ok()
}

#[expect(clippy::cast_possible_truncation, reason = "checked to be whole and within the exact range")]
fn whole(number: f64) -> Option<i128> {
    (number.fract() == 0.0 && number.abs() <= EXACT_MAX as f64).then_some(number as i128)
}

fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "an f32 is the nearest one to what was written")]
fn float32(value: &Value) -> Option<f32> {
    let wide = float(value)?;
    let narrow = wide as f32;
    (narrow.is_finite() || !wide.is_finite()).then_some(narrow)
}

fn character(value: &Value) -> Option<char> {
    match value {
        Value::String(text) => {
            let mut chars = text.chars();
            chars.next().filter(|_| chars.next().is_none())
        }
        Value::Number(_) => char::from_u32(integer(value)?),
        _ => None,
    }
}

fn list(value: &Value, inner: &Type, at: &At<'_>, bad: Bad<'_>) -> Result<Vec<Val>, Failure> {
    match (value, inner) {
        (Value::Array(values), _) => {
            values.iter().enumerate().map(|(index, value)| parse(value, inner, &At::Index(at, index))).collect()
        }
        (Value::Object(object), Type::U8) => {
            let encoded = object.get("$bytes").filter(|_| object.len() == 1).and_then(Value::as_str).ok_or_else(bad)?;
            let bytes = STANDARD.decode(encoded).map_err(|_| bad())?;
            Ok(bytes.into_iter().map(Val::U8).collect())
        }
        _ => Err(bad()),
    }
}

fn tuple(value: &Value, types: &[Type], at: &At<'_>, bad: Bad<'_>) -> Result<Vec<Val>, Failure> {
    let values = value.as_array().filter(|values| values.len() == types.len()).ok_or_else(bad)?;
    let pairs = values.iter().zip(types).enumerate();
    pairs.map(|(index, (value, ty))| parse(value, ty, &At::Index(at, index))).collect()
}

fn record(value: &Value, fields: &[(String, Type)], at: &At<'_>, bad: Bad<'_>) -> Result<Vec<(String, Val)>, Failure> {
    let object = value.as_object().ok_or_else(bad)?;
    let known = |key: &String| fields.iter().any(|(name, _)| same_name(name, key));
    if let Some(stranger) = object.keys().find(|key| !known(key)) {
        return Err(Failure::new(Code::CallBadArgument, format!("at {at}: there is no field {stranger:?}")));
    }
    let read = fields.iter().map(|(name, ty)| {
        let found = object.iter().find(|(key, _)| same_name(name, key)).map(|(_, value)| value);
        let value = match (found, ty) {
            (Some(value), _) => parse(value, ty, &At::Name(at, name))?,
            (None, Type::Option(_)) => Val::Option(None),
            (None, _) => {
                return Err(Failure::new(Code::CallBadArgument, format!("at {at}: the field {name:?} is missing")));
            }
        };
        Ok((name.clone(), value))
    });
    read.collect()
}

/// True when `written` is the WIT name `name` in kebab, snake or camel case.
fn same_name(name: &str, written: &str) -> bool {
    let plain = |text: &str| text.chars().filter(|c| !matches!(c, '-' | '_')).collect::<String>().to_ascii_lowercase();
    name == written || plain(name) == plain(written)
}

fn one_of(written: &str, names: &[String]) -> Option<String> {
    let exact = names.iter().find(|name| *name == written);
    exact.or_else(|| names.iter().find(|name| same_name(name, written))).cloned()
}

fn variant(value: &Value, cases: &[(String, Option<Type>)], at: &At<'_>, bad: Bad<'_>) -> Result<Val, Failure> {
    let (written, payload) = match value {
        Value::String(case) => (case.as_str(), &Value::Null),
        Value::Object(object) => tagged(object).ok_or_else(bad)?,
        _ => return Err(bad()),
    };
    let exact = cases.iter().find(|(name, _)| name == written);
    let found = exact.or_else(|| cases.iter().find(|(name, _)| same_name(name, written)));
    let (name, ty) = found.ok_or_else(bad)?;
    let payload = match (ty, payload) {
        (None, Value::Null) => None,
        (None, _) => return Err(bad()),
        (Some(ty), payload) => Some(Box::new(parse(payload, ty, &At::Name(at, name))?)),
    };
    Ok(Val::Variant(name.clone(), payload))
}

/// The case and payload of `{"case": payload}` or `{"tag": "case", "val": payload}`.
fn tagged(object: &Map<String, Value>) -> Option<(&str, &Value)> {
    if let Some(Value::String(tag)) = object.get("tag") {
        let known = |key: &String| matches!(key.as_str(), "tag" | "val");
        return object.keys().all(known).then(|| (tag.as_str(), object.get("val").unwrap_or(&Value::Null)));
    }
    let mut entries = object.iter();
    let (case, payload) = entries.next()?;
    entries.next().is_none().then_some((case.as_str(), payload))
}

fn flags(value: &Value, names: &[String]) -> Option<Vec<String>> {
    let set: Vec<String> = match value {
        Value::Array(values) => values.iter().map(|v| one_of(v.as_str()?, names)).collect::<Option<_>>()?,
        Value::Object(object) => {
            let named = object.iter().map(|(key, on)| Some((one_of(key, names)?, on.as_bool()?)));
            let named = named.collect::<Option<Vec<_>>>()?;
            named.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect()
        }
        _ => return None,
    };
    // In the order of the type and each once, which is what the engine expects.
    Some(names.iter().filter(|name| set.contains(name)).cloned().collect())
}

fn option(value: &Value, inner: &Type, at: &At<'_>) -> Result<Val, Failure> {
    let some = |value: &Value| Ok(Val::Option(Some(Box::new(parse(value, inner, at)?))));
    match (value, inner) {
        (Value::Null, _) => Ok(Val::Option(None)),
        (Value::Object(object), Type::Option(_)) if object.len() == 1 && object.contains_key("some") => {
            some(object.get("some").unwrap_or(&Value::Null))
        }
        (value, _) => some(value),
    }
}

fn result(value: &Value, types: &(Option<Type>, Option<Type>), at: &At<'_>, bad: Bad<'_>) -> Result<Val, Failure> {
    let (case, payload) = match value {
        Value::String(case) => (case.as_str(), &Value::Null),
        value => value.as_object().and_then(tagged).ok_or_else(bad)?,
    };
    let ty = match case {
        "ok" => &types.0,
        "err" => &types.1,
        _ => return Err(bad()),
    };
    let payload = match (ty, payload) {
        (None, Value::Null) => None,
        (None, _) => return Err(bad()),
        (Some(ty), payload) => Some(Box::new(parse(payload, ty, &At::Name(at, case))?)),
    };
    Ok(Val::Result(if case == "ok" { Ok(payload) } else { Err(payload) }))
}

/// Writes one value.
///
/// # Errors
/// `call.bad_argument` for a handle, which means nothing outside its call.
pub(crate) fn value(value: &Val, ty: &Type) -> Result<Value, Failure> {
    Ok(match (value, ty) {
        (Val::Bool(v), _) => json!(v),
        (Val::S8(v), _) => json!(v),
        (Val::U8(v), _) => json!(v),
        (Val::S16(v), _) => json!(v),
        (Val::U16(v), _) => json!(v),
        (Val::S32(v), _) => json!(v),
        (Val::U32(v), _) => json!(v),
        (Val::S64(v), _) if v.unsigned_abs() > EXACT_MAX => json!(v.to_string()),
        (Val::S64(v), _) => json!(v),
        (Val::U64(v), _) if *v > EXACT_MAX => json!(v.to_string()),
        (Val::U64(v), _) => json!(v),
        (Val::Float32(v), _) => float32_out(*v),
        (Val::Float64(v), _) => number(*v),
        (Val::Char(v), _) => json!(v.to_string()),
        (Val::String(v), _) => json!(v),
        (Val::Enum(v), _) => json!(v),
        (Val::Flags(v), _) => json!(v),
        (Val::List(values), Type::List(ty)) => {
            Value::Array(values.iter().map(|v| self::value(v, ty)).collect::<Result<_, _>>()?)
        }
        (Val::Tuple(values), Type::Tuple(types)) => {
            Value::Array(values.iter().zip(types.iter()).map(|(v, ty)| self::value(v, ty)).collect::<Result<_, _>>()?)
        }
        (Val::Record(fields), Type::Record(types)) => {
            let pairs = fields.iter().zip(types.iter());
            Value::Object(
                pairs
                    .map(|((name, v), (_, ty))| Ok((name.clone(), self::value(v, ty)?)))
                    .collect::<Result<_, Failure>>()?,
            )
        }
        (Val::Variant(case, payload), Type::Variant(cases)) => {
            let ty = cases.iter().find(|(name, _)| name == case).and_then(|(_, ty)| ty.as_ref());
            payload_of(case, payload, ty)?
        }
        (Val::Option(None), _) => Value::Null,
        (Val::Option(Some(inner)), Type::Option(ty)) => some(inner, ty)?,
        (Val::Result(Ok(payload)), Type::Result(types)) => always(("ok", payload), types.0.as_ref())?,
        (Val::Result(Err(payload)), Type::Result(types)) => always(("err", payload), types.1.as_ref())?,
        _ => {
            return Err(Failure::new(
                Code::CallBadArgument,
                format!("the result has {ty}, which means nothing outside its call"),
            ));
        }
    })
}

/// An `f32` in its own shortest digits (0.1), not in those of the `f64` that it widens to (0.10000000149011612).
fn float32_out(narrow: f32) -> Value {
    let shortest = narrow.to_string().parse().unwrap_or_else(|_| f64::from(narrow));
    number(if narrow.is_finite() { shortest } else { f64::from(narrow) })
}

fn number(wide: f64) -> Value {
    match wide {
        v if v.is_nan() => json!("NaN"),
        f64::INFINITY => json!("Infinity"),
        f64::NEG_INFINITY => json!("-Infinity"),
        v => json!(v),
    }
}

fn payload_of(case: &str, payload: &Option<Box<Val>>, ty: Option<&Type>) -> Result<Value, Failure> {
    match (payload, ty) {
        (Some(payload), Some(ty)) => Ok(json!({ case: value(payload, ty)? })),
        _ => Ok(json!(case)),
    }
}

/// Results are always objects, so that a reader finds `ok` without looking at the type.
fn always((case, payload): (&str, &Option<Box<Val>>), ty: Option<&Type>) -> Result<Value, Failure> {
    match (payload, ty) {
        (Some(payload), Some(ty)) => Ok(json!({ case: value(payload, ty)? })),
        _ => Ok(json!({ case: null })),
    }
}

fn some(inner: &Val, ty: &Type) -> Result<Value, Failure> {
    let inner = value(inner, ty)?;
    match ty {
        Type::Option(_) => Ok(json!({ "some": inner })),
        _ => Ok(inner),
    }
}
