//! `kill -9` at moments that nobody chose.

use super::client::Client;
use super::load::Load;
use super::workload::{History, Workload};
use super::{WORKLOADS, assert_no_panic, assert_sound, prepared, seed, setting};
use station_testkit::{Seed, Station, WAIT_S_MAX};
use std::thread;
use std::time::Duration;

/// A station boots in a fiftieth of a second; more than this means that it does something that grows with its past.
const BOOT_MAX: Duration = Duration::from_secs(5);
/// Writers at once, as many as there are connections that read.
const WRITERS: u32 = 4;
/// More than they write before they are killed.
const EACH_MAX: u32 = 1_000;

#[test]
fn kill_9_under_load() {
    for (name, workload) in WORKLOADS {
        let (mut seed, mut station) = (seed(), prepared(workload));
        let (mut slowest, mut acknowledged) = (Duration::ZERO, 0);
        let rounds = (setting("STATION_CRASH_ROUNDS", 20) as u32).div_ceil(workload.weight());
        let mut histories: Vec<History> = Vec::new();
        for round in 0..rounds {
            station.start();
            let history = killed_under_load(&mut station, workload, round, &mut seed);
            assert_sound(&station.data());
            slowest = slowest.max(station.try_start().expect("a start after a kill"));
            acknowledged += history.acknowledged.len();
            histories.push(history);
            // What older kills have left must be there, too.
            for round in [round, seed.below(u64::from(round) + 1) as u32] {
                let there = workload.there(&station, round);
                histories[round as usize].check(&there, &format!("{name}, round {round}"));
            }
            station.kill();
        }
        assert_no_panic(&station);
        eprintln!("{name}: {rounds} kills, {acknowledged} acknowledged writes, slowest boot {slowest:?}");
        assert!(slowest < BOOT_MAX, "a boot took {slowest:?}");
    }
}

/// Kills the station after some acknowledgements and some microseconds, while other writes are on their way.
fn killed_under_load(station: &mut Station, workload: &dyn Workload, round: u32, seed: &mut Seed) -> History {
    let load = Load { round, writers: WRITERS, each_max: EACH_MAX };
    let (answers, then) = (1 + seed.below(60) / u64::from(workload.weight()), Duration::from_micros(seed.below(3_000)));
    load.run(workload, &Client::of(station), |told| {
        for _ in 0..answers {
            told.recv_timeout(Duration::from_secs(WAIT_S_MAX)).expect("the station to acknowledge");
        }
        // Not to wait for anything: this chooses the moment within a write.
        thread::sleep(then);
        station.kill();
    })
}
