//! Are two functions the same? Structure decides: names of types, parameters and interfaces do not matter, names
//! of fields, cases and flags do. A difference is told as the two types it lies between.

use station_model::{Function, Resource, Type};

/// Where two functions differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where in the signature, such as `parameter 1` or `result`.
    pub at: String,
    /// What the importer expects there.
    pub wanted: String,
    /// What the provider has there.
    pub offered: String,
}

/// Whether an importer's and a provider's handle are for the same resource.
pub type SameResource<'a> = &'a dyn Fn(&Resource, &Resource) -> bool;

/// The first difference between a function as imported and as exported.
pub fn difference(wanted: &Function, offered: &Function, same: SameResource<'_>) -> Option<Difference> {
    if wanted.params.len() != offered.params.len() {
        let count = |f: &Function| format!("{} parameters", f.params.len());
        return Some(Difference { at: "the parameters".into(), wanted: count(wanted), offered: count(offered) });
    }
    let params = wanted.params.iter().zip(&offered.params).enumerate();
    let mut differing = params.filter(|(_, ((_, a), (_, b)))| !equal(a, b, same));
    if let Some((at, ((_, a), (_, b)))) = differing.next() {
        return Some(Difference { at: format!("parameter {}", at + 1), wanted: a.to_string(), offered: b.to_string() });
    }
    match (&wanted.result, &offered.result) {
        (None, None) => None,
        (Some(a), Some(b)) if equal(a, b, same) => None,
        (a, b) => Some(Difference { at: "the result".into(), wanted: shown(a.as_ref()), offered: shown(b.as_ref()) }),
    }
}

fn shown(ty: Option<&Type>) -> String {
    ty.map_or_else(|| "nothing".to_owned(), ToString::to_string)
}

/// True when values of the two types are the same values.
pub fn equal(a: &Type, b: &Type, same: SameResource<'_>) -> bool {
    let both = |a: &Option<Type>, b: &Option<Type>| match (a, b) {
        (Some(a), Some(b)) => equal(a, b, same),
        (None, None) => true,
        _ => false,
    };
    match (a, b) {
        (Type::List(a), Type::List(b)) | (Type::Option(a), Type::Option(b)) => equal(a, b, same),
        (Type::Tuple(a), Type::Tuple(b)) => all(a, b, |a, b| equal(a, b, same)),
        (Type::Record(a), Type::Record(b)) => all(a, b, |(name, a), (other, b)| name == other && equal(a, b, same)),
        (Type::Variant(a), Type::Variant(b)) => all(a, b, |(name, a), (other, b)| name == other && both(a, b)),
        (Type::Enum(a), Type::Enum(b)) | (Type::Flags(a), Type::Flags(b)) => a == b,
        (Type::Result(a), Type::Result(b)) => both(&a.0, &b.0) && both(&a.1, &b.1),
        (Type::Own(a), Type::Own(b)) | (Type::Borrow(a), Type::Borrow(b)) => same(a, b),
        (Type::Unsupported(_), _) | (_, Type::Unsupported(_)) => false,
        (a, b) => a == b,
    }
}

fn all<T>(a: &[T], b: &[T], equal: impl Fn(&T, &T) -> bool) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn record(fields: &[(&str, Type)]) -> Type {
        Type::Record(Arc::new(fields.iter().map(|(name, ty)| ((*name).to_owned(), ty.clone())).collect()))
    }

    fn function(params: Vec<Type>, result: Option<Type>) -> Function {
        Function { name: "f".into(), params: params.into_iter().map(|ty| ("p".into(), ty)).collect(), result }
    }

    fn check(wanted: &Function, offered: &Function) -> Option<String> {
        difference(wanted, offered, &|a, b| a.name == b.name).map(|d| format!("{}: {} / {}", d.at, d.wanted, d.offered))
    }

    #[test]
    fn the_names_of_fields_matter() {
        let a = function(vec![record(&[("x", Type::U8)])], None);
        let b = function(vec![record(&[("x", Type::U8)])], None);
        let c = function(vec![record(&[("y", Type::U8)])], None);
        assert_eq!(check(&a, &b), None);
        assert_eq!(check(&a, &c).unwrap(), "parameter 1: record { x: u8 } / record { y: u8 }");
    }

    #[test]
    fn a_difference_says_where() {
        let none = function(vec![], None);
        assert_eq!(
            check(&none, &function(vec![Type::U8], None)).unwrap(),
            "the parameters: 0 parameters / 1 parameters"
        );
        assert_eq!(check(&none, &function(vec![], Some(Type::U8))).unwrap(), "the result: nothing / u8");
        let list = |ty| function(vec![], Some(Type::List(Arc::new(ty))));
        assert_eq!(check(&list(Type::U8), &list(Type::S8)).unwrap(), "the result: list<u8> / list<s8>");
    }

    #[test]
    fn types_that_are_not_carried_never_fit() {
        let stream = function(vec![Type::Unsupported("stream<u8>".into())], None);
        assert!(check(&stream, &stream).is_some());
    }
}
