//! What the host provides to every module: the capabilities, linked once per process.

use crate::capability::{Capability, Offer};
use crate::ctx::Ctx;
use station_model::{Code, Failure, InterfaceName, World};
use std::sync::Arc;
use wasmtime::Engine;
use wasmtime::component::Linker;

/// The host's side of every link.
pub(crate) struct Host {
    pub(crate) linker: Linker<Ctx>,
    pub(crate) capabilities: Vec<Arc<dyn Capability>>,
    offers: Vec<Offer>,
}

impl Host {
    /// Links every capability.
    ///
    /// # Errors
    /// When two define the same name.
    pub(crate) fn new(engine: &Engine, capabilities: Vec<Arc<dyn Capability>>) -> wasmtime::Result<Self> {
        let mut linker = Linker::new(engine);
        for capability in &capabilities {
            capability.link(&mut linker)?;
        }
        let offers = capabilities.iter().flat_map(|capability| capability.offers()).collect();
        Ok(Self { linker, capabilities, offers })
    }

    /// The offer that meets an import.
    pub(crate) fn offer(&self, wanted: &InterfaceName) -> Option<&Offer> {
        self.offers.iter().find(|offer| wanted.met_by(&offer.name))
    }

    /// Refuses a world that imports from the host what the host does not have.
    ///
    /// # Errors
    /// `link.version` naming what there is, `link.unknown_import`.
    pub(crate) fn check(&self, world: &World) -> Result<(), Failure> {
        let from_host = world.imports.iter().filter(|import| import.name.is_reserved() && !import.only_types());
        let missing: Vec<_> = from_host.map(|import| &import.name).filter(|name| self.offer(name).is_none()).collect();
        match missing.as_slice() {
            [] => Ok(()),
            [first, rest @ ..] => Err(self.not_offered(first, rest.len())),
        }
    }

    fn not_offered(&self, name: &InterfaceName, more: usize) -> Failure {
        let others = if more > 0 { format!(" (and {more} more imports are not there)") } else { String::new() };
        let known: Vec<_> =
            self.offers.iter().filter(|o| o.name.same_interface(name)).map(|o| o.name.to_string()).collect();
        let package = name.package().map(|package| (package.namespace.as_str(), name.version()));
        let asynchronous = matches!(package, Some(("wasi", Some(version))) if version.minor >= 3 || version.major > 0);
        let hint = if asynchronous { "; Station runs WASI 0.2, not WASI 0.3 and its async" } else { "" };
        match known.as_slice() {
            [] => Failure::new(
                Code::LinkUnknownImport,
                format!("the component imports {name}, which the station does not have{hint}{others}"),
            ),
            known => Failure::new(
                Code::LinkVersion,
                format!("the component imports {name}; the station offers {}{hint}{others}", known.join(", ")),
            ),
        }
    }
}
