//! Handles that cross modules.
//!
//! A resource lives in the instance that made it. Every other module of the tree knows it by a key into this
//! table, wrapped in a handle of its own store, which it can neither forge nor keep: wasmtime checks the handle,
//! and the table ends with the tree. The owner gets back its own handle when a key comes home.

use crate::ctx::Ctx;
use crate::module::Module;
use crate::run::Run;
use station_kernel::graph::NodeIndex;
use station_model::{Code, Failure, Resource, Type};
use wasmtime::component::{ResourceAny, ResourceDynamic, Val};
use wasmtime::{AsContextMut, StoreContextMut};

/// Handles that one tree may have out at one time.
pub(crate) const HANDLES_MAX: usize = 10_000;

/// The handles of one call tree.
#[derive(Default)]
pub(crate) struct Handles {
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
}

/// A resource, and the instance that it lives in.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) node: NodeIndex,
    pub(crate) slot: usize,
    pub(crate) resource: ResourceAny,
}

impl Handles {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.len() == self.free.len()
    }

    fn insert(&mut self, entry: Entry) -> Result<u32, Failure> {
        if let Some(key) = self.free.pop() {
            if let Some(place) = self.entries.get_mut(key as usize) {
                *place = Some(entry);
            }
            return Ok(key);
        }
        if self.entries.len() >= HANDLES_MAX {
            let failure = Failure::new(Code::CallResourceLimit, "the call tree holds too many handles");
            return Err(failure.with_limit("handles_max", HANDLES_MAX as u64, HANDLES_MAX as u64 + 1));
        }
        self.entries.push(Some(entry));
        u32::try_from(self.entries.len() - 1).map_err(|_| forged())
    }

    pub(crate) fn get(&self, key: u32) -> Result<Entry, Failure> {
        self.entries.get(key as usize).copied().flatten().ok_or_else(forged)
    }

    pub(crate) fn take(&mut self, key: u32) -> Result<Entry, Failure> {
        let entry = self.entries.get_mut(key as usize).and_then(Option::take).ok_or_else(forged)?;
        self.free.push(key);
        Ok(entry)
    }
}

pub(crate) fn forged() -> Failure {
    Failure::new(Code::CallAbi, "the handle is not one of this call")
}

/// One party to a call: an instance, and how its module knows resources.
pub(crate) struct Party<'a> {
    pub(crate) node: NodeIndex,
    pub(crate) slot: usize,
    pub(crate) module: &'a Module,
}

/// A party and its store.
pub(crate) struct Side<'a> {
    pub(crate) party: Party<'a>,
    pub(crate) store: StoreContextMut<'a, Ctx>,
}

/// Takes every handle in `values` from the side that gives them. Returns their keys, in the order of the values;
/// [`give`] puts them into the same places on the other side.
///
/// # Errors
/// `call.abi`, `call.resource_limit`.
pub(crate) fn take<'t>(
    run: &Run,
    from: &mut Side<'_>,
    values: &mut [Val],
    types: impl Iterator<Item = &'t Type>,
) -> Result<Vec<u32>, Failure> {
    let mut keys = Vec::new();
    each(values, types, &mut |handle, ty| {
        keys.push(take_one(run, &from.party, from.store.as_context_mut(), *handle, ty)?);
        Ok(())
    })?;
    Ok(keys)
}

/// Takes one handle from the party that gives it. Returns its key.
///
/// # Errors
/// As [`take`].
pub(crate) fn take_one<T>(
    run: &Run,
    from: &Party<'_>,
    store: StoreContextMut<'_, T>,
    handle: ResourceAny,
    ty: &Type,
) -> Result<u32, Failure> {
    match ty {
        Type::Own(resource) if !resource.imported => take_own(run, from, handle),
        Type::Own(resource) | Type::Borrow(resource) if resource.imported => {
            Ok(handle.try_into_resource_dynamic(store).map_err(|e| abi(&e))?.rep())
        }
        _ => Err(lends_its_own()),
    }
}

/// Takes a handle of a resource that lives in the party itself.
///
/// # Errors
/// `call.resource_limit`.
pub(crate) fn take_own(run: &Run, from: &Party<'_>, handle: ResourceAny) -> Result<u32, Failure> {
    run.handles(|handles| handles.insert(Entry { node: from.node, slot: from.slot, resource: handle }))?
}

/// A module lends a resource of its own, which the canonical ABI has no handle for.
pub(crate) fn lends_its_own() -> Failure {
    Failure::new(Code::CallAbi, "a module can lend only what it was given")
}

/// The instance that must serve a call, because it owns one of the handles that are handed to its module.
pub(crate) fn owner(run: &Run, keys: &[u32], provider: NodeIndex) -> Result<Option<usize>, Failure> {
    for key in keys {
        let entry = run.handles(|handles| handles.get(*key))??;
        if entry.node == provider {
            return Ok(Some(entry.slot));
        }
    }
    Ok(None)
}

/// Puts handles for `keys` into `values`, as the receiving side knows them. Returns those that are only lent; they
/// are taken back with [`take_back`] when the call has ended.
///
/// # Errors
/// `call.abi`, `call.resource_gone`.
pub(crate) fn give<'t>(
    run: &Run,
    to: &mut Side<'_>,
    values: &mut [Val],
    types: impl Iterator<Item = &'t Type>,
    keys: Vec<u32>,
) -> Result<Vec<ResourceAny>, Failure> {
    let (mut keys, mut lent) = (keys.into_iter(), Vec::new());
    each(values, types, &mut |handle, ty| {
        let key = keys.next().ok_or_else(forged)?;
        *handle = give_one(run, &to.party, to.store.as_context_mut(), key, ty, &mut lent)?;
        Ok(())
    })?;
    Ok(lent)
}

/// A handle for `key`, as the receiving party knows it; one that is only lent is noted in `lent`.
///
/// # Errors
/// As [`give`].
pub(crate) fn give_one<T>(
    run: &Run,
    to: &Party<'_>,
    store: StoreContextMut<'_, T>,
    key: u32,
    ty: &Type,
    lent: &mut Vec<ResourceAny>,
) -> Result<ResourceAny, Failure> {
    match ty {
        Type::Own(resource) if resource.imported => wrap(to, store, key, resource),
        Type::Borrow(resource) if resource.imported => {
            // An owned handle that is taken back after the call: the engine then sees to it that nobody keeps it.
            let handle = wrap(to, store, key, resource)?;
            lent.push(handle);
            Ok(handle)
        }
        Type::Own(_) => {
            comes_home(run, to, key)?;
            Ok(run.handles(|handles| handles.take(key))??.resource)
        }
        _ => Ok(comes_home(run, to, key)?.resource),
    }
}

/// The entry of a key that is handed to its owner.
fn comes_home(run: &Run, to: &Party<'_>, key: u32) -> Result<Entry, Failure> {
    let entry = run.handles(|handles| handles.get(key))??;
    match (entry.node, entry.slot) == (to.node, to.slot) {
        true => Ok(entry),
        false => {
            Err(Failure::new(Code::CallResourceGone, "the resource belongs to another instance than the one called"))
        }
    }
}

fn wrap<T>(
    to: &Party<'_>,
    store: StoreContextMut<'_, T>,
    key: u32,
    resource: &Resource,
) -> Result<ResourceAny, Failure> {
    let number = to.module.number(resource).ok_or_else(forged)?;
    let handle = ResourceDynamic::new_own(key, number);
    handle.try_into_resource_any(store).map_err(|e| abi(&e))
}

/// Takes back what was lent for the time of a call.
pub(crate) fn take_back(lent: Vec<ResourceAny>, mut store: StoreContextMut<'_, Ctx>) {
    for handle in lent {
        // A call that failed may have left it in use; then its store is thrown away with it.
        let _in_use = handle.resource_drop(store.as_context_mut());
    }
}

fn abi(error: &wasmtime::Error) -> Failure {
    Failure::new(Code::CallAbi, error.root_cause().to_string())
}

type See<'a> = &'a mut dyn FnMut(&mut ResourceAny, &Type) -> Result<(), Failure>;

fn each<'t>(values: &mut [Val], types: impl Iterator<Item = &'t Type>, see: See<'_>) -> Result<(), Failure> {
    values.iter_mut().zip(types).try_for_each(|(value, ty)| walk(value, ty, see))
}

/// Shows every handle inside a value, in an order that depends on nothing but the value and its type.
fn walk(value: &mut Val, ty: &Type, see: See<'_>) -> Result<(), Failure> {
    match (value, ty) {
        (Val::Resource(handle), ty) => see(handle, ty),
        (_, ty) if !ty.has_handles() => Ok(()),
        (Val::List(values), Type::List(ty)) => values.iter_mut().try_for_each(|value| walk(value, ty, see)),
        (Val::Tuple(values), Type::Tuple(types)) => each(values, types.iter(), see),
        (Val::Record(fields), Type::Record(types)) => {
            fields.iter_mut().zip(types.iter()).try_for_each(|((_, value), (_, ty))| walk(value, ty, see))
        }
        (Val::Option(Some(value)), Type::Option(ty)) => walk(value, ty, see),
        (Val::Result(Ok(value)), Type::Result(types)) => maybe(value, types.0.as_ref(), see),
        (Val::Result(Err(value)), Type::Result(types)) => maybe(value, types.1.as_ref(), see),
        (Val::Variant(case, value), Type::Variant(cases)) => {
            let ty = cases.iter().find(|(name, _)| name == case).and_then(|(_, ty)| ty.as_ref());
            maybe(value, ty, see)
        }
        _ => Ok(()),
    }
}

fn maybe(value: &mut Option<Box<Val>>, ty: Option<&Type>, see: See<'_>) -> Result<(), Failure> {
    match (value, ty) {
        (Some(value), Some(ty)) => walk(value, ty, see),
        _ => Ok(()),
    }
}
