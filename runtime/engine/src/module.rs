//! A loaded revision: machine code, linked against the host and against the broker.
//!
//! A function that another module serves is linked to the broker by its position among the module's imports. Who
//! serves it is not known here: the call tree's graph says so at each call, by the same position. So one linked
//! revision works in every graph, and a swap of its provider costs it nothing.

use crate::broker;
use crate::ctx::Ctx;
use crate::host::Host;
use crate::lane::{Choice, Lane};
use crate::raw;
use station_kernel::graph::Found;
use station_model::{Code, Failure, Interface, Resource, World};
use std::borrow::Cow;
use std::sync::atomic::AtomicBool;
use wasmtime::component::{
    Component, ComponentExportIndex, InstancePre, Linker, LinkerInstance, ResourceType, types::ComponentItem,
};

/// A revision that instances can be made of.
pub struct Module {
    pub(crate) pre: InstancePre<Ctx>,
    exports: Vec<Vec<ComponentExportIndex>>,
    resources: Vec<Imported>,
    /// True when what an instance becomes at its start may depend on the call that it is made for.
    pub(crate) starts_in_calls: AtomicBool,
}

/// A resource that the module imports from another module, and the number by which its store knows the type.
struct Imported {
    resource: Resource,
    ty: ResourceType,
    number: u32,
}

impl Module {
    /// Links a component whose world is `world`.
    ///
    /// # Errors
    /// `link.type_mismatch` when it disagrees with the host about a type, `upload.invalid` when it is not what its
    /// world says.
    pub(crate) fn link(component: &Component, world: &World, host: &Host, lane: Choice) -> Result<Self, Failure> {
        let resources = imported_resources(component, world, host);
        // Copied at the first import that a module serves: a copy is a fifth of loading a small component.
        let mut linker = Cow::Borrowed(&host.linker);
        for (at, import) in world.imports.iter().enumerate().filter(|(_, import)| served_by_module(import, host)) {
            define(linker.to_mut(), component, (at, import), &resources, lane).map_err(|error| not_as_told(&error))?;
        }
        let pre = linker.instantiate_pre(component).map_err(|error| disagrees(&error))?;
        let exports = world.exports.iter().map(|export| function_indexes(component, export)).collect::<Option<_>>();
        let missing = || Failure::new(Code::UploadInvalid, "the component lacks an export of its own world");
        Ok(Self { pre, exports: exports.ok_or_else(missing)?, resources, starts_in_calls: AtomicBool::new(false) })
    }

    /// The exported function at this position.
    pub(crate) fn export(&self, found: Found) -> Option<&ComponentExportIndex> {
        self.exports.get(found.export)?.get(found.function)
    }

    /// The number by which stores of this module know an imported resource.
    pub(crate) fn number(&self, resource: &Resource) -> Option<u32> {
        self.resources.iter().find(|known| known.resource == *resource).map(|known| known.number)
    }
}

pub(crate) fn served_by_module(import: &Interface, host: &Host) -> bool {
    !import.only_types() && !import.name.is_reserved() && host.offer(&import.name).is_none()
}

/// Every resource of an import that a module serves, under a number of its own. A resource that one import `use`s
/// from another is one resource with one number.
fn imported_resources(component: &Component, world: &World, host: &Host) -> Vec<Imported> {
    let mut found: Vec<Imported> = Vec::new();
    for import in world.imports.iter().filter(|import| served_by_module(import, host)) {
        for (name, ty) in resources_of(component, import) {
            if import.resources.contains(&name) && !found.iter().any(|known| known.ty == ty) {
                let resource = Resource { interface: Some(import.name.clone()), imported: true, name };
                let number = u32::try_from(found.len()).unwrap_or(u32::MAX);
                found.push(Imported { resource, ty, number });
            }
        }
    }
    found
}

/// The resources that an imported instance names, its own and those it hands on.
fn resources_of(component: &Component, import: &Interface) -> Vec<(String, ResourceType)> {
    let ty = component.component_type();
    let engine = component.engine();
    let name = import.name.to_string();
    let Some(ComponentItem::ComponentInstance(instance)) = ty.get_import(engine, &name).map(|found| found.ty) else {
        return Vec::new();
    };
    let resources = instance.exports(engine).filter_map(|(name, item)| match item.ty {
        ComponentItem::Resource(ty) => Some((name.to_owned(), ty)),
        _ => None,
    });
    resources.collect()
}

fn define(
    linker: &mut Linker<Ctx>,
    component: &Component,
    (at, import): (usize, &Interface),
    resources: &[Imported],
    lane: Choice,
) -> wasmtime::Result<()> {
    if import.root {
        return define_functions(&mut linker.root(), at, import, lane);
    }
    let mut instance = linker.instance(&import.name.to_string())?;
    for (name, ty) in resources_of(component, import) {
        if let Some(known) = resources.iter().find(|known| known.ty == ty) {
            let ty = ResourceType::host_dynamic(known.number);
            instance.resource(&name, ty, broker::drop_handle)?;
        }
    }
    define_functions(&mut instance, at, import, lane)
}

/// Links each function to the broker by its position, in the lane that the graph will choose for it: both choose by the
/// function's type alone.
fn define_functions(
    to: &mut LinkerInstance<'_, Ctx>,
    import: usize,
    interface: &Interface,
    choice: Choice,
) -> wasmtime::Result<()> {
    for (function, signature) in interface.functions.iter().enumerate() {
        let position = broker::Position { import, function };
        match Lane::of(signature, choice).plan() {
            Some(plan) => {
                raw::link(to, &signature.name, plan, move |caller, arrive| broker::raw::call(caller, position, arrive))?
            }
            None => to.func_new(&signature.name, move |caller, _, args, results| {
                broker::dynamic::call(caller, position, args, results)
            })?,
        }
    }
    Ok(())
}

fn function_indexes(component: &Component, export: &Interface) -> Option<Vec<ComponentExportIndex>> {
    let parent = match export.root {
        true => None,
        false => Some(component.get_export_index(None, export.name.to_string())?),
    };
    export.functions.iter().map(|function| component.get_export_index(parent.as_ref(), &function.name)).collect()
}

fn not_as_told(error: &wasmtime::Error) -> Failure {
    Failure::new(Code::UploadInvalid, format!("the component cannot be linked: {error:#}"))
}

fn disagrees(error: &wasmtime::Error) -> Failure {
    let chain = format!("{error:#}").chars().take(500).collect::<String>();
    Failure::new(Code::LinkTypeMismatch, format!("the component and the host disagree: {chain}"))
}
