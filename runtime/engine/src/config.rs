//! One engine per process, with every setting that matters said out loud.
//!
//! The features that untrusted code may use are a golden list, asserted when the engine is made and in a test, so
//! that an upgrade of wasmtime cannot switch one on unseen. The compile child and the station use the same
//! settings apart from the allocator; that they agree is checked by the compatibility hash.

use std::hash::{Hash, Hasher};
use std::num::NonZeroUsize;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OperatorCost, OptLevel, PoolingAllocationConfig, Strategy,
    WasmBacktraceDetails, WasmFeatures,
};

/// Stack of the guest within one instance. The broker nests up to twelve of them on one native stack of 8 MiB.
pub(crate) const WASM_STACK_BYTES: usize = 256 * 1024;
/// Fuel per page of `memory.grow`; zeroing and faulting in 64 KiB is not free. The most that fits the type.
const GROW_FUEL_PER_PAGE: u8 = 255;
/// Frames of a trap that are kept.
const BACKTRACE_FRAMES: NonZeroUsize = NonZeroUsize::new(20).unwrap();
/// Bytes of a memory or table that are cleaned by writing over them when an instance ends, and not given back to the
/// system. Real instances dirty some 17 pages; with the kernel's help only those are looked at.
const KEEP_RESIDENT_BYTES: usize = 128 * 1024;
/// Largest linear memory: what the pool reserves a place for.
pub(crate) const MEMORY_BYTES_MAX: u64 = 256 << 20;

/// Instructions that compiled code does without.
const TOO_NEW: [&str; 7] = [
    "has_avx512f",
    "has_avx512dq",
    "has_avx512vl",
    "has_avx512vbmi",
    "has_avx512bitalg",
    "has_avx512vnni",
    "has_avx_vnni",
];

/// Sizes of the pool of instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PoolSize {
    /// Instances of modules at one time, over all modules.
    pub(crate) instances: u32,
}

/// Where instances live.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// In the station: from a pool with hard ceilings.
    Pool(PoolSize),
    /// In the compile child, which makes none; a pool would reserve terabytes of address space there.
    Nowhere,
}

/// What untrusted components may use. Everything else is refused by the validator.
fn features() -> WasmFeatures {
    WasmFeatures::FLOATS
        | WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::REFERENCE_TYPES
        | WasmFeatures::CALL_INDIRECT_OVERLONG
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::BULK_MEMORY_OPT
        | WasmFeatures::SIMD
        | WasmFeatures::MULTI_MEMORY
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::COMPONENT_MODEL
}

/// What the engine really enables. wasmtime adds what belongs to a feature of the list.
pub(crate) fn enabled(engine: &Engine) -> WasmFeatures {
    engine.get_wasm_features()
}

fn config(place: Place) -> Config {
    let mut config = Config::new();
    config.wasm_features(WasmFeatures::all(), false);
    config.wasm_features(features(), true);
    config
        .concurrency_support(false)
        .shared_memory(false)
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .parallel_compilation(false)
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_zeroing(true)
        .wasm_backtrace_max_frames(Some(BACKTRACE_FRAMES))
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .generate_address_map(true)
        .operator_cost(operator_cost());
    without_avx512(&mut config);
    if let Place::Pool(size) = place {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(size)));
    }
    config
}

/// Has code compiled without AVX-512, which WebAssembly's 128 bits hardly gain from. Code from the cache then runs on
/// processors with and without it, and under tools that do not know it.
#[expect(unsafe_code, reason = "flags of the code generator; see the proof inside")]
fn without_avx512(config: &mut Config) {
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    for flag in TOO_NEW {
        // SAFETY: a flag can be unsound by promising what the processor lacks. These take instructions away: whatever
        // runs with them runs without them.
        unsafe { config.cranelift_flag_set(flag, "false") };
    }
}

fn operator_cost() -> OperatorCost {
    let mut cost = OperatorCost::new();
    cost.variable.memory_grow_per_page = GROW_FUEL_PER_PAGE;
    cost
}

fn pool(size: PoolSize) -> PoolingAllocationConfig {
    // Real components have 3 to 6 core instances and 2 to 4 tables.
    let instances = size.instances;
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(8))
        .total_memories(instances.saturating_mul(2))
        .total_tables(instances.saturating_mul(4))
        .total_stacks(0)
        .max_core_instances_per_component(128)
        .max_memories_per_component(8)
        .max_tables_per_component(32)
        .max_memories_per_module(1)
        .max_tables_per_module(4)
        .max_memory_size(usize::try_from(MEMORY_BYTES_MAX).unwrap_or(usize::MAX))
        .table_elements(20_000)
        .max_unused_warm_slots(32)
        .pagemap_scan(Enabled::Auto)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(KEEP_RESIDENT_BYTES)
        .decommit_batch_size(1);
    pool
}

/// An engine, or why the machine cannot have one.
pub(crate) fn engine(place: Place) -> wasmtime::Result<Engine> {
    Engine::new(&config(place))
}

/// What compiled code must agree with to be loaded: wasmtime's version and every setting that reaches code.
pub(crate) fn compatibility(engine: &Engine) -> u64 {
    // The hasher's own algorithm may change with the toolchain; then the cache is simply compiled anew.
    let mut hasher = std::hash::DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untrusted_code_gets_exactly_these_features() {
        let engine = engine(Place::Nowhere).unwrap();
        let names: Vec<_> = enabled(&engine).iter_names().map(|(name, _)| name).collect();
        expect_test::expect!["MUTABLE_GLOBAL SATURATING_FLOAT_TO_INT SIGN_EXTENSION REFERENCE_TYPES MULTI_VALUE BULK_MEMORY SIMD TAIL_CALL FLOATS MULTI_MEMORY EXTENDED_CONST COMPONENT_MODEL"].assert_eq(&names.join(" "));
    }

    #[test]
    fn settings_that_protect_are_set() {
        let said = format!("{:?}", config(Place::Nowhere));
        for setting in [
            "consume_fuel: true",
            "epoch_interruption: true",
            "concurrency_support: false",
            "parallel_compilation: false",
            "memory_grow_per_page: 255",
            "wasm_threads: false",
            "wasm_gc: false",
        ] {
            assert!(said.contains(setting), "{setting} is not set");
        }
    }

    #[test]
    fn the_compile_child_makes_code_that_the_station_loads() {
        let pool = engine(Place::Pool(PoolSize { instances: 4 })).unwrap();
        assert_eq!(compatibility(&pool), compatibility(&engine(Place::Nowhere).unwrap()));
    }
}
