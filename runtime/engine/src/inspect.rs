//! What a component imports and exports, as the kernel's plain types.
//!
//! Read from the engine's own view of the component, which is what linking will use, so that nothing can be one
//! thing here and another there. Runs in the compile child.

use station_kernel::state::Metadata;
use station_model::{Code, Failure, Function, Interface, InterfaceName, Resource, Type, World};
use std::cell::Cell;
use std::sync::Arc;
use wasmparser::{CustomSectionReader, KnownCustom, Parser, Payload};
use wasmtime::Engine;
use wasmtime::component::{Component, ResourceType, types};

/// Deepest nesting of a type that is carried; values nested deeper are refused by JSON and by people.
/// 30 levels stay well below the 128 levels of JSON in which a world is remembered.
const DEPTH_MAX: usize = 30;
/// What a world may take when it is spelled out; that of the largest real guest takes 200 KB.
const WORLD_BYTES_MAX: usize = 4 << 20;
/// What a type takes without its names.
const TYPE_BYTES: usize = 16;
/// Tools that a component names as its makers.
const PRODUCERS_MAX: usize = 16;

/// The world of a compiled component.
///
/// # Errors
/// `upload.bad_name` for a name that is not WIT's, `link.unknown_import` for an import that is neither interface nor
/// function, `upload.limit` for a type nested too deeply.
pub(crate) fn world(engine: &Engine, component: &Component) -> Result<World, Failure> {
    let ty = component.component_type();
    let mut reader = Reader { engine, resources: Vec::new(), imported: true, spent: Cell::new(0) };
    let imports = ty.imports(engine).map(|(name, item)| reader.item(name, &item.ty));
    let imports = imports.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    reader.imported = false;
    let exports = ty.exports(engine).map(|(name, item)| reader.item(name, &item.ty));
    let exports = exports.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    Ok(World { imports, exports })
}

/// What a component says about itself, in custom sections of its own (not of what is nested in it). What cannot be
/// read is left out.
pub(crate) fn metadata(bytes: &[u8]) -> Metadata {
    let mut found = Metadata::default();
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        match payload {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) => note(&mut found, &section, depth),
            _ => {}
        }
    }
    found
}

fn note(found: &mut Metadata, section: &CustomSectionReader<'_>, depth: u32) {
    let text = || std::str::from_utf8(section.data()).ok().map(|text| text.chars().take(200).collect());
    match (section.as_known(), section.name()) {
        (KnownCustom::Producers(producers), _) => found.producers.extend(tools(producers)),
        _ if depth != 1 => {}
        (KnownCustom::ComponentName(names), _) => {
            let name = names.into_iter().filter_map(Result::ok).find_map(|name| match name {
                wasmparser::ComponentName::Component { name, .. } => Some(name.chars().take(200).collect()),
                _ => None,
            });
            found.name = found.name.take().or(name);
        }
        (_, "version") => found.version = text(),
        (_, "description") => found.description = text(),
        (_, "licenses") => found.licence = text(),
        (_, "source") => found.source = text(),
        _ => {}
    }
    found.producers.sort();
    found.producers.dedup();
    found.producers.truncate(PRODUCERS_MAX);
}

fn tools(producers: wasmparser::ProducersSectionReader<'_>) -> Vec<String> {
    let fields = producers.into_iter().filter_map(Result::ok);
    let values = fields.flat_map(|field| field.values.into_iter().filter_map(Result::ok));
    let named = values.map(|value| format!("{} {}", value.name, value.version).trim().chars().take(80).collect());
    named.take(PRODUCERS_MAX).collect()
}

struct Reader<'a> {
    engine: &'a Engine,
    /// Every resource met so far, and where it is defined. Imports come first, so that an export which hands an
    /// imported resource on is known as such.
    resources: Vec<(ResourceType, Resource)>,
    imported: bool,
    /// Bytes that the world takes so far. Types that WIT shares are spelled out here, and names with them, so a small
    /// component can have a huge world.
    spent: Cell<usize>,
}

impl Reader<'_> {
    fn item(&mut self, name: &str, item: &types::ComponentItem) -> Result<Option<Interface>, Failure> {
        match item {
            types::ComponentItem::ComponentInstance(instance) => self.instance(name, instance).map(Some),
            types::ComponentItem::ComponentFunc(function) => self.root_function(name, function).map(Some),
            types::ComponentItem::Resource(resource) => {
                self.define(*resource, None, name);
                Ok(None)
            }
            types::ComponentItem::Type(_) => Ok(None),
            _ if !self.imported => Ok(None),
            _ => Err(Failure::new(
                Code::LinkUnknownImport,
                format!("the component imports {name:?}, which is neither an interface nor a function"),
            )),
        }
    }

    fn instance(&mut self, name: &str, instance: &types::ComponentInstance) -> Result<Interface, Failure> {
        let name = self.parse_name(name)?;
        let engine = self.engine;
        let mut interface = Interface { name, root: false, functions: Vec::new(), resources: Vec::new() };
        for (item_name, item) in instance.exports(engine) {
            if let types::ComponentItem::Resource(resource) = item.ty
                && self.define(resource, Some(&interface.name), item_name)
            {
                interface.resources.push(item_name.to_owned());
            }
        }
        for (item_name, item) in instance.exports(engine) {
            if let types::ComponentItem::ComponentFunc(function) = &item.ty {
                interface.functions.push(self.function(item_name, function)?);
            }
        }
        Ok(interface)
    }

    fn root_function(&self, name: &str, function: &types::ComponentFunc) -> Result<Interface, Failure> {
        let functions = vec![self.function(name, function)?];
        Ok(Interface { name: self.parse_name(name)?, root: true, functions, resources: Vec::new() })
    }

    fn parse_name(&self, name: &str) -> Result<InterfaceName, Failure> {
        // An import by URL or by hash can be met by nobody; an export under such a name is merely a bad name.
        let code = if self.imported { Code::LinkUnknownImport } else { Code::UploadBadName };
        name.parse().map_err(|error: station_model::Invalid| Failure::new(code, error.to_string()))
    }

    /// Remembers where a resource is defined; false when it is defined elsewhere already.
    fn define(&mut self, ty: ResourceType, interface: Option<&InterfaceName>, name: &str) -> bool {
        if self.resources.iter().any(|(known, _)| *known == ty) {
            return false;
        }
        let resource = Resource { interface: interface.cloned(), imported: self.imported, name: name.to_owned() };
        self.resources.push((ty, resource));
        true
    }

    fn function(&self, name: &str, function: &types::ComponentFunc) -> Result<Function, Failure> {
        self.spend(name)?;
        let params = function.params().map(|(name, ty)| Ok((self.spend(name)?.to_owned(), self.ty(&ty, DEPTH_MAX)?)));
        let result = function.results().next().map(|ty| self.ty(&ty, DEPTH_MAX)).transpose()?;
        Ok(Function { name: name.to_owned(), params: params.collect::<Result<_, Failure>>()?, result })
    }

    fn ty(&self, ty: &types::Type, levels: usize) -> Result<Type, Failure> {
        let too_deep = || {
            let failure = Failure::new(Code::UploadLimit, "a type is nested too deeply");
            failure.with_limit("type_depth_max", DEPTH_MAX as u64, DEPTH_MAX as u64 + 1)
        };
        let below = levels.checked_sub(1).ok_or_else(too_deep)?;
        self.spend("")?;
        let inner = |ty: types::Type| self.ty(&ty, below);
        let maybe = |ty: Option<types::Type>| ty.map(inner).transpose();
        Ok(match ty {
            types::Type::List(list) => Type::List(Arc::new(inner(list.ty())?)),
            types::Type::Option(option) => Type::Option(Arc::new(inner(option.ty())?)),
            types::Type::Result(result) => Type::Result(Arc::new((maybe(result.ok())?, maybe(result.err())?))),
            types::Type::Tuple(tuple) => Type::Tuple(Arc::new(tuple.types().map(inner).collect::<Result<_, _>>()?)),
            types::Type::Record(record) => {
                let fields = record.fields().map(|field| Ok((self.spend(field.name)?.to_owned(), inner(field.ty)?)));
                Type::Record(Arc::new(fields.collect::<Result<_, Failure>>()?))
            }
            types::Type::Variant(variant) => {
                let cases = variant.cases().map(|case| Ok((self.spend(case.name)?.to_owned(), maybe(case.ty)?)));
                Type::Variant(Arc::new(cases.collect::<Result<_, Failure>>()?))
            }
            types::Type::Enum(cases) => Type::Enum(self.names(cases.names())?),
            types::Type::Flags(flags) => Type::Flags(self.names(flags.names())?),
            types::Type::Own(resource) => Type::Own(self.resource(*resource)),
            types::Type::Borrow(resource) => Type::Borrow(self.resource(*resource)),
            other => scalar(other),
        })
    }

    fn names<'n>(&self, names: impl Iterator<Item = &'n str>) -> Result<Arc<Vec<String>>, Failure> {
        names.map(|name| Ok(self.spend(name)?.to_owned())).collect::<Result<_, Failure>>().map(Arc::new)
    }

    /// Counts a part of the world with this name, which it hands back.
    fn spend<'n>(&self, name: &'n str) -> Result<&'n str, Failure> {
        let spent = self.spent.get().saturating_add(name.len() + TYPE_BYTES);
        self.spent.set(spent);
        if spent > WORLD_BYTES_MAX {
            let failure =
                Failure::new(Code::UploadLimit, "the component's types are too large when they are spelled out");
            return Err(failure.with_limit("world_bytes_max", WORLD_BYTES_MAX as u64, spent as u64));
        }
        Ok(name)
    }

    fn resource(&self, ty: ResourceType) -> Resource {
        let known = self.resources.iter().find(|(known, _)| *known == ty).map(|(_, resource)| resource.clone());
        // A resource that is not exported under any name can still be in a signature; it is nobody else's.
        known.unwrap_or_else(|| Resource { interface: None, imported: false, name: "unnamed".to_owned() })
    }
}

fn scalar(ty: &types::Type) -> Type {
    match ty {
        types::Type::Bool => Type::Bool,
        types::Type::S8 => Type::S8,
        types::Type::U8 => Type::U8,
        types::Type::S16 => Type::S16,
        types::Type::U16 => Type::U16,
        types::Type::S32 => Type::S32,
        types::Type::U32 => Type::U32,
        types::Type::S64 => Type::S64,
        types::Type::U64 => Type::U64,
        types::Type::Float32 => Type::F32,
        types::Type::Float64 => Type::F64,
        types::Type::Char => Type::Char,
        types::Type::String => Type::String,
        types::Type::Map(_) => Type::Unsupported("map".to_owned()),
        types::Type::Stream(_) => Type::Unsupported("stream".to_owned()),
        types::Type::Future(_) => Type::Unsupported("future".to_owned()),
        _ => Type::Unsupported("a type of a later version of WIT".to_owned()),
    }
}
