//! WIT worlds as plain data: what a component imports and exports, with every type spelled out.
//!
//! The engine makes these when it inspects a component; the kernel compares and matches them. A type is a tree,
//! shared where WIT shares it; its size is bounded by the validator before it gets here.

use crate::InterfaceName;
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// What a component needs and offers, in the order of its binary.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct World {
    /// What it imports.
    pub imports: Vec<Interface>,
    /// What it exports.
    pub exports: Vec<Interface>,
}

/// The functions and resources behind one import or export name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// The name it is imported or exported under.
    pub name: InterfaceName,
    /// True when this is a single function at the world's root rather than an instance.
    #[serde(default)]
    pub root: bool,
    /// Its functions, methods and constructors included.
    pub functions: Vec<Function>,
    /// Names of the resources that are defined here (not those it `use`s from elsewhere).
    #[serde(default)]
    pub resources: Vec<String>,
}

/// One function. Methods have the names of the component model, such as `[method]counter.add`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// The name in the component.
    pub name: String,
    /// Parameters in order.
    pub params: Vec<(String, Type)>,
    /// The result, if there is one.
    pub result: Option<Type>,
}

/// A WIT type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Type {
    /// `bool`
    Bool,
    /// `s8`
    S8,
    /// `u8`
    U8,
    /// `s16`
    S16,
    /// `u16`
    U16,
    /// `s32`
    S32,
    /// `u32`
    U32,
    /// `s64`
    S64,
    /// `u64`
    U64,
    /// `f32`
    F32,
    /// `f64`
    F64,
    /// `char`
    Char,
    /// `string`
    String,
    /// `list<T>`
    List(Arc<Type>),
    /// `record`
    Record(Arc<Vec<(String, Type)>>),
    /// `tuple<...>`
    Tuple(Arc<Vec<Type>>),
    /// `variant`
    Variant(Arc<Vec<(String, Option<Type>)>>),
    /// `enum`
    Enum(Arc<Vec<String>>),
    /// `flags`
    Flags(Arc<Vec<String>>),
    /// `option<T>`
    Option(Arc<Type>),
    /// `result<T, E>`
    Result(Arc<(Option<Type>, Option<Type>)>),
    /// `own<R>`
    Own(Resource),
    /// `borrow<R>`
    Borrow(Resource),
    /// A type that Station does not carry, such as `stream<T>`.
    Unsupported(String),
}

/// Which resource a handle is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Resource {
    /// The import or export that defines it, as named in the component; none at the world's root.
    pub interface: Option<InterfaceName>,
    /// True when the component imports it, false when it defines it.
    pub imported: bool,
    /// Its name in the interface.
    pub name: String,
}

impl Interface {
    /// The function called `name`.
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|f| f.name == name)
    }

    /// True when nothing has to be provided for it: it only names types.
    pub fn only_types(&self) -> bool {
        self.functions.is_empty() && self.resources.is_empty()
    }
}

impl Function {
    /// Every type of the signature, parameters first.
    pub fn types(&self) -> impl Iterator<Item = &Type> {
        self.params.iter().map(|(_, ty)| ty).chain(&self.result)
    }
}

impl Type {
    /// True when `found` holds for this type or one inside it.
    pub fn any(&self, found: &mut dyn FnMut(&Type) -> bool) -> bool {
        if found(self) {
            return true;
        }
        match self {
            Self::List(inner) | Self::Option(inner) => inner.any(found),
            Self::Record(record) => record.iter().any(|(_, ty)| ty.any(found)),
            Self::Tuple(types) => types.iter().any(|ty| ty.any(found)),
            Self::Variant(variant) => variant.iter().filter_map(|(_, ty)| ty.as_ref()).any(|ty| ty.any(found)),
            Self::Result(result) => [&result.0, &result.1].into_iter().flatten().any(|ty| ty.any(found)),
            _ => false,
        }
    }

    /// True when a handle is somewhere inside.
    pub fn has_handles(&self) -> bool {
        self.any(&mut |ty| matches!(ty, Self::Own(_) | Self::Borrow(_)))
    }
}

/// True for the record that carries a failure to a module: `call-error` of `station:kernel/types`.
///
/// Structure decides here as everywhere: a component keeps no names of types that could be relied on.
pub fn is_call_error(ty: &Type) -> bool {
    let Type::Record(fields) = ty else { return false };
    matches!(fields.as_slice(), [(code, Type::String), (retryable, Type::Bool), (id, Type::String)]
        if code == "code" && retryable == "retryable" && id == "call-id")
}

impl fmt::Display for Type {
    /// The type as WIT would write it, three levels deep; deeper parts are `...` so that an error stays readable.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_type(self, 3, f)
    }
}

fn write_type(ty: &Type, levels: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Some(below) = levels.checked_sub(1) else { return f.write_str("...") };
    match ty {
        Type::List(inner) => wrap("list", [Some(&**inner)], below, f),
        Type::Option(inner) => wrap("option", [Some(&**inner)], below, f),
        Type::Tuple(types) => wrap("tuple", types.iter().map(Some), below, f),
        Type::Result(result) => wrap("result", [result.0.as_ref(), result.1.as_ref()], below, f),
        Type::Record(record) => braced("record", record.iter().map(|(name, ty)| (name.as_str(), Some(ty))), below, f),
        Type::Variant(variant) => {
            braced("variant", variant.iter().map(|(name, ty)| (name.as_str(), ty.as_ref())), below, f)
        }
        Type::Enum(cases) => braced("enum", cases.iter().map(|name| (name.as_str(), None)), below, f),
        Type::Flags(flags) => braced("flags", flags.iter().map(|name| (name.as_str(), None)), below, f),
        Type::Own(resource) => write!(f, "own<{}>", resource.name),
        Type::Borrow(resource) => write!(f, "borrow<{}>", resource.name),
        Type::Unsupported(what) => f.write_str(what),
        scalar => f.write_str(&format!("{scalar:?}").to_ascii_lowercase()),
    }
}

fn wrap<'a>(
    word: &str,
    types: impl IntoIterator<Item = Option<&'a Type>>,
    below: usize,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    write!(f, "{word}<")?;
    for (index, ty) in types.into_iter().enumerate() {
        f.write_str(if index > 0 { ", " } else { "" })?;
        match ty {
            Some(ty) => write_type(ty, below, f)?,
            None => f.write_str("_")?,
        }
    }
    f.write_str(">")
}

fn braced<'a>(
    word: &str,
    parts: impl Iterator<Item = (&'a str, Option<&'a Type>)>,
    below: usize,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    write!(f, "{word} {{ ")?;
    for (index, (name, ty)) in parts.enumerate() {
        f.write_str(if index > 0 { ", " } else { "" })?;
        f.write_str(name)?;
        if let Some(ty) = ty {
            f.write_str(": ")?;
            write_type(ty, below, f)?;
        }
    }
    f.write_str(" }")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_prints_as_wit() {
        let ty = Type::Result(Arc::new((Some(Type::List(Arc::new(Type::U8))), None)));
        assert_eq!(ty.to_string(), "result<list<u8>, _>");
    }

    #[test]
    fn a_world_survives_json() {
        let function = Function {
            name: "f".into(),
            params: vec![("x".into(), Type::Option(Arc::new(Type::String)))],
            result: Some(Type::Enum(Arc::new(vec!["a".into(), "b".into()]))),
        };
        let name = "a:b/c@1.0.0".parse().unwrap();
        let world = World {
            imports: vec![],
            exports: vec![Interface { name, root: false, functions: vec![function], resources: vec![] }],
        };
        let text = serde_json::to_string(&world).unwrap();
        assert_eq!(serde_json::from_str::<World>(&text).unwrap(), world);
    }
}
