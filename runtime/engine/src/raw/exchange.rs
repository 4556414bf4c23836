//! Handles on their way between the two modules of a call.
//!
//! Each side's handles are turned into keys of the tree's table and back, in the order in which they stand in the
//! values; the copy asks for one at each place where there is one.

use super::abi;
use super::job::{Arrived, At};
use crate::ctx::Ctx;
use crate::handles::{self, Party};
use crate::module::Module;
use crate::run::Run;
use station_kernel::graph::NodeIndex;
use station_model::{Failure, Function, Type};
use std::sync::Arc;
use std::vec::IntoIter;
use wasmtime::component::__internal::{InterfaceType, LiftContext};
use wasmtime::component::{Lift, ResourceAny, ResourceDynamic};
use wasmtime::{AsContextMut, Error, Result, StoreContextMut, ValRaw};

/// The handles of one call.
pub(crate) struct Exchange<'x> {
    run: &'x Arc<Run>,
    caller: Party<'x>,
    callee: Option<(NodeIndex, usize, Arc<Module>)>,
    offered: &'x Function,
    /// The handle types of the provider's parameters and of the importer's result.
    to_callee: Vec<&'x Type>,
    to_caller: Vec<&'x Type>,
    keys: IntoIter<u32>,
    lent: Vec<ResourceAny>,
}

/// A function as the importer and as the provider know it; they differ in how they know resources.
#[derive(Clone, Copy)]
pub(crate) struct Forms<'f> {
    pub(crate) wanted: &'f Function,
    pub(crate) offered: &'f Function,
}

impl<'x> Exchange<'x> {
    /// Takes the handles among the arguments from the caller.
    ///
    /// # Errors
    /// `call.abi`, `call.resource_limit`.
    pub(crate) fn begin(
        run: &'x Arc<Run>,
        caller: Party<'x>,
        forms: Forms<'x>,
        store: &mut StoreContextMut<'_, Ctx>,
        arrived: &Arrived,
    ) -> Result<Self, Failure> {
        let types = leaves(forms.wanted.params.iter().map(|(_, ty)| ty));
        let take = |(leaf, handle): &(usize, ResourceAny)| {
            let ty = types.get(*leaf).ok_or_else(handles::forged)?;
            handles::take_one(run, &caller, store.as_context_mut(), *handle, ty)
        };
        let keys: Vec<u32> = arrived.handles.iter().map(take).collect::<Result<_, _>>()?;
        let offered = forms.offered;
        let to_callee = leaves(offered.params.iter().map(|(_, ty)| ty));
        let to_caller = leaves(forms.wanted.result.iter());
        let keys = keys.into_iter();
        Ok(Self { run, caller, callee: None, offered, to_callee, to_caller, keys, lent: Vec::new() })
    }

    /// The keys that are handed over and have not arrived yet.
    pub(crate) fn keys(&self) -> &[u32] {
        self.keys.as_slice()
    }

    /// Says which instance is called.
    pub(crate) fn meets(&mut self, node: NodeIndex, slot: usize, module: &Arc<Module>) {
        self.callee = Some((node, slot, Arc::clone(module)));
    }

    /// The next handle for the callee.
    pub(super) fn give_argument<T>(&mut self, store: &mut StoreContextMut<'_, T>, leaf: usize) -> Result<ResourceAny> {
        let (key, ty) = (self.keys.next(), self.to_callee.get(leaf));
        let (Some(key), Some(ty), Some((node, slot, module))) = (key, ty, &self.callee) else {
            return Err(Error::new(handles::forged()));
        };
        let to = Party { node: *node, slot: *slot, module };
        handles::give_one(self.run, &to, store.as_context_mut(), key, ty, &mut self.lent).map_err(Error::new)
    }

    /// Takes back what the callee was lent.
    pub(crate) fn take_back(&mut self, store: StoreContextMut<'_, Ctx>) {
        handles::take_back(std::mem::take(&mut self.lent), store);
    }

    /// Takes the handles of a result from the callee.
    pub(super) fn take_result(&mut self, cx: &mut LiftContext<'_>, ty: InterfaceType, at: &At) -> Result<()> {
        // The result is the only member of the tuple that wasmtime takes it for.
        let found = match at {
            At::Flat(words) => abi::find(cx, ty, words, None)?,
            At::Memory(at) => abi::find(cx, ty, &[], Some(*at))?,
        };
        let types = leaves(self.offered.result.iter());
        let mut keys = Vec::with_capacity(found.len());
        for found in &found {
            let ty = types.get(found.leaf).ok_or_else(|| Error::new(handles::forged()))?;
            keys.push(self.take_one(cx, found, ty)?);
        }
        self.keys = keys.into_iter();
        Ok(())
    }

    fn take_one(&self, cx: &mut LiftContext<'_>, found: &super::handles::Found, ty: &Type) -> Result<u32> {
        let Some((node, slot, module)) = &self.callee else { return Err(Error::new(handles::forged())) };
        match ty {
            Type::Own(resource) if !resource.imported => {
                let from = Party { node: *node, slot: *slot, module };
                handles::take_own(self.run, &from, abi::lift_handle(cx, found)?).map_err(Error::new)
            }
            Type::Own(_) => {
                let handle = ResourceDynamic::linear_lift_from_flat(cx, found.ty, &ValRaw::u32(found.index))?;
                Ok(handle.rep())
            }
            _ => Err(Error::new(handles::lends_its_own())),
        }
    }

    /// The next handle for the caller.
    pub(super) fn give_result<T>(&mut self, store: &mut StoreContextMut<'_, T>, leaf: usize) -> Result<ResourceAny> {
        let (Some(key), Some(ty)) = (self.keys.next(), self.to_caller.get(leaf)) else {
            return Err(Error::new(handles::forged()));
        };
        handles::give_one(self.run, &self.caller, store.as_context_mut(), key, ty, &mut Vec::new()).map_err(Error::new)
    }
}

/// The handle types inside types, in their order.
fn leaves<'t>(types: impl Iterator<Item = &'t Type>) -> Vec<&'t Type> {
    let mut found = Vec::new();
    types.for_each(|ty| gather(ty, &mut found));
    found
}

fn gather<'t>(ty: &'t Type, to: &mut Vec<&'t Type>) {
    match ty {
        Type::Own(_) | Type::Borrow(_) => to.push(ty),
        Type::List(inner) | Type::Option(inner) => gather(inner, to),
        Type::Record(fields) => fields.iter().for_each(|(_, ty)| gather(ty, to)),
        Type::Tuple(types) => types.iter().for_each(|ty| gather(ty, to)),
        Type::Variant(cases) => cases.iter().filter_map(|(_, ty)| ty.as_ref()).for_each(|ty| gather(ty, to)),
        Type::Result(types) => [&types.0, &types.1].into_iter().flatten().for_each(|ty| gather(ty, to)),
        _ => (),
    }
}
