//! What the caps are held against that no section says by its head: locals, jump tables and names.
//!
//! What cannot be read here ends the look and is no failure: the validator comes next, reads the same bytes, and names
//! what is wrong with them better.

use wasmparser::{
    ComponentDefinedType, ComponentType, ComponentTypeDeclaration, FromReader, FunctionBody, ImportSectionReader,
    InstanceTypeDeclaration, Operator, SectionLimited,
};

/// Locals of one function, parameters left out. They are declared in runs, so a few bytes can claim millions.
pub(super) fn locals(body: &FunctionBody<'_>) -> u64 {
    let runs = body.get_locals_reader().into_iter().flatten().map_while(Result::ok);
    runs.fold(0, |sum, (count, _)| sum.saturating_add(count.into()))
}

/// Targets of the largest `br_table` of one function.
pub(super) fn targets(body: &FunctionBody<'_>) -> u64 {
    let operators = body.get_operators_reader().into_iter().flatten().map_while(Result::ok);
    let targets = operators.map(|operator| match operator {
        Operator::BrTable { targets } => targets.len(),
        _ => 0,
    });
    targets.max().unwrap_or(0).into()
}

/// The longest name among a core module's imports.
pub(super) fn imported(imports: &ImportSectionReader<'_>) -> u64 {
    let imports = imports.clone().into_imports().map_while(Result::ok);
    longest(imports.map(|import| import.module.len().max(import.name.len()))) as u64
}

/// The longest name in a section whose items have these.
pub(super) fn named<'a, T: FromReader<'a>>(section: &SectionLimited<'a, T>, of: impl Fn(&T) -> usize) -> u64 {
    longest(section.clone().into_iter().map_while(Result::ok).map(|item| of(&item))) as u64
}

/// The longest name in a type: of what an interface exports, of parameters, fields and cases.
pub(super) fn in_type(ty: &ComponentType<'_>) -> usize {
    match ty {
        ComponentType::Defined(ty) => in_value(ty),
        ComponentType::Func(ty) => longest(ty.params.iter().map(|(name, _)| name.len())),
        ComponentType::Component(items) => longest(items.iter().map(in_component)),
        ComponentType::Instance(items) => longest(items.iter().map(in_instance)),
        ComponentType::Resource { .. } => 0,
    }
}

fn in_value(ty: &ComponentDefinedType<'_>) -> usize {
    match ty {
        ComponentDefinedType::Record(fields) => longest(fields.iter().map(|(name, _)| name.len())),
        ComponentDefinedType::Variant(cases) => longest(cases.iter().map(|case| case.name.len())),
        ComponentDefinedType::Flags(names) | ComponentDefinedType::Enum(names) => {
            longest(names.iter().map(|name| name.len()))
        }
        _ => 0,
    }
}

fn in_component(item: &ComponentTypeDeclaration<'_>) -> usize {
    match item {
        ComponentTypeDeclaration::Type(ty) => in_type(ty),
        ComponentTypeDeclaration::Export { name, .. } => name.name.len(),
        ComponentTypeDeclaration::Import(import) => import.name.name.len(),
        ComponentTypeDeclaration::CoreType(_) | ComponentTypeDeclaration::Alias(_) => 0,
    }
}

fn in_instance(item: &InstanceTypeDeclaration<'_>) -> usize {
    match item {
        InstanceTypeDeclaration::Type(ty) => in_type(ty),
        InstanceTypeDeclaration::Export { name, .. } => name.name.len(),
        InstanceTypeDeclaration::CoreType(_) | InstanceTypeDeclaration::Alias(_) => 0,
    }
}

fn longest(lengths: impl Iterator<Item = usize>) -> usize {
    lengths.max().unwrap_or(0)
}
