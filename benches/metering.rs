//! What metering costs the code that is metered: fuel, epochs, both, none, over several kinds of work.
//!
//! ```text
//! cargo bench --bench metering --profile release-dev
//! ```
//!
//! The code is compiled by the same compiler with the station's settings apart from metering, so LTO changes nothing
//! here. All settings are measured in turn, round by round; a cell is the median of its rounds' ratios to no metering.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench that fails stops, and it talks to a person"
)]

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;
use wasmtime::{Config, Engine, Instance, Module, OptLevel, Store, TypedFunc};

/// Odd, so that there is one in the middle.
const ROUNDS: usize = 21;
/// Of unmetered code in one round.
const SAMPLE: Duration = Duration::from_millis(20);

/// Kinds of work, each an exported function that takes how often to do it.
const WORK: [&str; 5] = ["integers", "floats", "memory", "calls", "branches"];

const GUEST: &str = r#"(module
  (memory 16)
  (func (export "integers") (param $n i32) (result i32) (local $x i32)
    (local.set $x (i32.const 88172645))
    (loop $again
      (local.set $x (i32.xor (local.get $x) (i32.shl (local.get $x) (i32.const 13))))
      (local.set $x (i32.xor (local.get $x) (i32.shr_u (local.get $x) (i32.const 17))))
      (local.set $x (i32.xor (local.get $x) (i32.shl (local.get $x) (i32.const 5))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $x))
  (func (export "floats") (param $n i32) (result i32) (local $a f64) (local $b f64) (local $c f64)
    (local.set $c (f64.const 0.3))
    (loop $again
      (local.set $a (f64.add (f64.mul (local.get $a) (f64.const 0.999)) (local.get $c)))
      (local.set $b (f64.add (f64.mul (local.get $b) (f64.const 0.998)) (f64.const 0.5)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.trunc_sat_f64_s (f64.add (local.get $a) (local.get $b))))
  (func (export "memory") (param $n i32) (result i32) (local $at i32) (local $sum i32)
    (loop $again
      (local.set $at (i32.and (i32.add (local.get $at) (i32.const 68)) (i32.const 0xfffff)))
      (i32.store (local.get $at) (i32.add (i32.load (local.get $at)) (local.get $n)))
      (local.set $sum (i32.add (local.get $sum) (i32.load (local.get $at))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))
  (func $small (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 1))
      (else (i32.mul (local.get 0) (i32.const 3)))))
  (func (export "calls") (param $n i32) (result i32) (local $sum i32)
    (loop $again
      (local.set $sum (i32.add (local.get $sum) (call $small (local.get $n))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))
  (func (export "branches") (param $n i32) (result i32) (local $x i32) (local $odd i32)
    (local.set $x (i32.const 27))
    (loop $again
      (if (i32.and (local.get $x) (i32.const 1))
        (then
          (local.set $odd (i32.add (local.get $odd) (i32.const 1)))
          (local.set $x (i32.add (i32.mul (local.get $x) (i32.const 3)) (i32.const 1))))
        (else (local.set $x (i32.shr_u (local.get $x) (i32.const 1)))))
      (if (i32.le_u (local.get $x) (i32.const 1)) (then (local.set $x (i32.add (local.get $n) (i32.const 27)))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $odd))
)"#;

/// One way to meter.
struct Metering {
    name: &'static str,
    store: Store<()>,
    work: Vec<TypedFunc<i32, i32>>,
}

impl Metering {
    fn new(name: &'static str, fuel: bool, epoch: bool) -> Self {
        let mut config = Config::new();
        config.cranelift_opt_level(OptLevel::Speed).consume_fuel(fuel).epoch_interruption(epoch);
        let engine = Engine::new(&config).expect("an engine");
        let module = Module::new(&engine, station_testkit::component(GUEST)).expect("the guest compiles");
        let mut store = Store::new(&engine, ());
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
        let work = WORK.map(|name| instance.get_typed_func(&mut store, name).expect("the work")).into();
        Self { name, store, work }
    }

    /// Processor time of so many turns of this work.
    fn time(&mut self, work: usize, turns: i32) -> Duration {
        // It fails where there is no fuel, which is then not needed.
        let _metered = self.store.set_fuel(u64::MAX);
        let start = processor_time();
        self.work[work].call(&mut self.store, turns).expect("it computes");
        processor_time() - start
    }
}

fn main() {
    // Without `--bench` it is `cargo test --benches` that runs this, and a measurement is no test.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let mut all = [
        Metering::new("none", false, false),
        Metering::new("epoch", false, true),
        Metering::new("fuel", true, false),
        Metering::new("fuel and epoch", true, true),
    ];
    println!("Processor time against no metering, medians of {ROUNDS} rounds");
    print!("{:<10}", "");
    all.iter().skip(1).for_each(|metering| print!("{:>16}", metering.name));
    println!();
    for (index, name) in WORK.iter().enumerate() {
        print!("{name:<10}");
        ratios(&mut all, index).iter().for_each(|ratio| print!("{ratio:>15.2}x"));
        println!();
    }
}

/// The ratios of everything to the first.
fn ratios(all: &mut [Metering], work: usize) -> Vec<f64> {
    let turns = calibrate(&mut all[0], work);
    let mut rounds: Vec<Vec<f64>> = vec![Vec::new(); all.len() - 1];
    for _ in 0..ROUNDS {
        let times: Vec<f64> = all.iter_mut().map(|metering| metering.time(work, turns).as_secs_f64()).collect();
        rounds.iter_mut().zip(&times[1..]).for_each(|(ratios, time)| ratios.push(time / times[0]));
    }
    rounds.into_iter().map(median).collect()
}

fn calibrate(metering: &mut Metering, work: usize) -> i32 {
    let mut turns = 1 << 16;
    while metering.time(work, turns) < SAMPLE {
        turns *= 2;
    }
    turns
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::from_secs(now.tv_sec.unsigned_abs()) + Duration::from_nanos(now.tv_nsec.unsigned_abs())
}
