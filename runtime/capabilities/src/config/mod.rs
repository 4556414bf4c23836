//! `wasi:config`: the values that the operator wrote for the module, read only.
//!
//! Four spellings are in use and all have one shape: wasmCloud's `store` and its older `runtime`, Spin's dated
//! draft, and the release candidate. Draft versions never match by semver, so each is linked.

use crate::host::offers;
use station_engine::{Capability, Ctx, Offer};
use station_kernel::ports::ModuleSettings;
use wasmtime::component::{ComponentType, Linker, Lower};

const SPELLINGS: [&str; 4] = [
    "wasi:config/store@0.2.0-rc.1",
    "wasi:config/store@0.2.0-draft",
    "wasi:config/runtime@0.2.0-draft",
    "wasi:config/store@0.2.0-draft-2024-09-27",
];
/// Fuel of a look-up, apart from its bytes.
const LOOK_FUEL: u64 = 300;

/// The capability.
pub(crate) struct Config;

/// Reading a value cannot fail here; the interfaces want a way to say so.
#[derive(ComponentType, Lower)]
#[component(variant)]
#[expect(dead_code, reason = "the cases are part of the interface's type")]
enum Error {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    Io(String),
}

impl Capability for Config {
    fn name(&self) -> &'static str {
        "config"
    }

    fn offers(&self) -> Vec<Offer> {
        offers(SPELLINGS, true)
    }

    fn link(&self, linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
        for name in SPELLINGS {
            let mut store = linker.instance(name)?;
            store
                .func_wrap("get", |mut store, (key,): (String,)| Ok((Ok::<_, Error>(get(store.data_mut(), &key)),)))?;
            store.func_wrap("get-all", |mut store, (): ()| Ok((Ok::<_, Error>(get_all(store.data_mut())),)))?;
        }
        Ok(())
    }

    fn prepare(&self, _ctx: &mut Ctx, _settings: &ModuleSettings) {}
}

fn get(ctx: &mut Ctx, key: &str) -> Option<String> {
    let value = ctx.settings().config.get(key).cloned();
    ctx.charge(LOOK_FUEL + value.as_ref().map_or(0, |value| value.len() as u64));
    value
}

fn get_all(ctx: &mut Ctx) -> Vec<(String, String)> {
    let config = &ctx.settings().config;
    let all: Vec<_> = config.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    let bytes: usize = all.iter().map(|(key, value)| key.len() + value.len()).sum();
    ctx.charge(LOOK_FUEL + bytes as u64);
    all
}
