//! Extism: plugins that take bytes and give bytes, through the host.

use crate::hops::Peer;
use crate::stats::{Moment, Took};
use anyhow::{Result, ensure};
use extism::{Manifest, PTR, Plugin, PluginBuilder, UserData, Wasm, host_fn};
use std::path::Path;

/// What one call of a plugin may send: its memory is only given back when the call ends.
const BYTES_PER_CALL: u64 = 64 << 20;

host_fn!(forward(other: Plugin; bytes: Vec<u8>) -> Vec<u8> {
    let other = other.get()?;
    let mut other = other.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    other.call::<_, Vec<u8>>("echo", bytes)
});

host_fn!(nobody(bytes: Vec<u8>) -> Vec<u8> { Ok(bytes) });

fn manifest(wasm: &Path) -> Result<Manifest> {
    Ok(Manifest::new([Wasm::data(std::fs::read(wasm)?)]))
}

/// A plugin that nobody else is called from.
fn echoing(wasm: &Path) -> Result<Plugin> {
    let builder = PluginBuilder::new(manifest(wasm)?).with_function("forward", [PTR], [PTR], UserData::new(()), nobody);
    builder.build()
}

/// The host calls a plugin.
pub struct FromHost(Plugin);

impl FromHost {
    pub fn load(wasm: &Path) -> Result<Self> {
        Ok(Self(echoing(wasm)?))
    }
}

impl Peer for FromHost {
    fn name(&self) -> &'static str {
        "Extism, host to plugin"
    }

    fn waits(&self) -> bool {
        false
    }

    fn echo(&mut self, bytes: &[u8]) -> Result<Vec<u8>> {
        self.0.call("echo", bytes)
    }

    fn time(&mut self, bytes: &[u8], times: u64) -> Result<Took> {
        let start = Moment::now();
        for _ in 0..times {
            let came: &[u8] = self.0.call("echo", bytes)?;
            ensure!(came.len() == bytes.len(), "something was lost");
        }
        Ok(start.elapsed())
    }
}

/// A plugin calls a function of the host, which calls another plugin.
pub struct FromPlugin {
    caller: Plugin,
    callee: UserData<Plugin>,
}

impl FromPlugin {
    pub fn load(wasm: &Path) -> Result<Self> {
        let callee = UserData::new(echoing(wasm)?);
        let builder =
            PluginBuilder::new(manifest(wasm)?).with_function("forward", [PTR], [PTR], callee.clone(), forward);
        Ok(Self { caller: builder.build()?, callee })
    }

    /// Lets the plugin send the bytes so often, in a loop of its own.
    fn relay(&mut self, bytes: &[u8], times: u32) -> Result<Took> {
        let mut input = times.to_le_bytes().to_vec();
        input.extend(bytes);
        let start = Moment::now();
        let came: &[u8] = self.caller.call("relay", &input)?;
        let took = start.elapsed();
        ensure!(came == (bytes.len() as u64 * u64::from(times)).to_le_bytes(), "something was lost");
        Ok(took)
    }
}

impl Peer for FromPlugin {
    fn name(&self) -> &'static str {
        "Extism, plugin to plugin"
    }

    fn waits(&self) -> bool {
        false
    }

    /// The plugin counts what comes back, so the bytes themselves are looked at where the host gets them.
    fn echo(&mut self, bytes: &[u8]) -> Result<Vec<u8>> {
        self.relay(bytes, 1)?;
        let callee = self.callee.get()?;
        let mut callee = callee.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        callee.call("echo", bytes)
    }

    /// Without what entering the plugin costs.
    fn time(&mut self, bytes: &[u8], times: u64) -> Result<Took> {
        let most = (BYTES_PER_CALL / bytes.len() as u64).min(u64::from(u32::MAX));
        let mut took = Took::default();
        for begun in (0..times).step_by(most as usize) {
            let now = most.min(times - begun) as u32;
            took += self.relay(bytes, now)?.without(self.relay(bytes, 0)?);
        }
        Ok(took)
    }
}
