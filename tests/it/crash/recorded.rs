//! A run under load of which everything is known: what the station did to its files, when it answered what, and so what
//! a power cut at any moment could leave.

use super::client::Client;
use super::load::Load;
use super::workload::{History, Mark, Workload};
use super::{DATABASE, WAL, WORKLOADS, assert_no_panic, assert_sound, disk, prepared, seed, setting, syncs_of_a_start};
use station_testkit::{
    Disk, Files, Harm, How, Loss, Of, Seed, Station, Trace, What, after_power_cut, read_files, write_files,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

/// Writes of each client, of the smallest kind: enough for the log to be copied into the database and begun anew.
const EACH: u32 = 90;

fn load(workload: &dyn Workload) -> Load {
    Load { round: 0, writers: 4, each_max: EACH / workload.weight() }
}

/// How long a sync takes: as long as on a machine's own disk, or an answer that does not wait for it is hardly ever too
/// early.
const SYNC: Duration = Duration::from_millis(3);

/// Everything about one run.
struct Run {
    /// The files from before.
    before: Files,
    trace: Trace,
    history: History,
    /// Which calls have shown a write to a reader.
    shown: Vec<(Mark, String)>,
}

/// Runs the load on this disk.
fn run(station: &mut Station, workload: &dyn Workload, on: Disk) -> Run {
    let (before, file) = (read_files(&station.data()), station.folder().join("trace"));
    station.set_disk(Some(on.traced(&file).with_slow_syncs(SYNC)));
    station.start();
    let client = Client::of(station);
    let mut shown = Vec::new();
    let history = load(workload).run(workload, &client, |told| {
        shown = read_along(workload, &client, told);
    });
    station.kill();
    station.set_disk(Some(disk()));
    Run { before, trace: Trace::read(&file), history, shown }
}

fn run_on_a_good_disk(station: &mut Station, workload: &dyn Workload) -> Run {
    let run = run(station, workload, disk());
    let (acknowledged, all) = (run.history.acknowledged.len(), load(workload).writers * load(workload).each_max);
    assert_eq!(acknowledged, all as usize, "a station on a good disk refused something");
    assert!(!run.shown.is_empty(), "nobody read anything");
    run
}

/// Asks for the next write of the first client until it is there, and so sees each as early as anybody can. Ends with
/// the clients.
fn read_along(workload: &dyn Workload, client: &Client, told: &Receiver<Mark>) -> Vec<(Mark, String)> {
    let mut shown = Vec::new();
    loop {
        match told.try_recv() {
            Ok(_) => continue,
            Err(TryRecvError::Disconnected) => return shown,
            Err(TryRecvError::Empty) => {}
        }
        let mark = Mark { round: 0, writer: 0, number: shown.len() as u32 };
        if let Some((true, call)) = workload.read(client, mark) {
            shown.push((mark, call));
        }
    }
}

impl Run {
    /// For each acknowledged write, the event that completed its commit.
    fn commits(&self) -> BTreeMap<Mark, usize> {
        let texts: BTreeMap<Mark, String> =
            self.history.acknowledged.keys().map(|mark| (*mark, mark.to_string())).collect();
        let logged = |what: &What| matches!(what, What::Write { path, .. } if path == WAL);
        let pages = self.trace.first_mentions(texts.values().map(String::as_str), logged);
        let commits = self.trace.commits(WAL);
        let commit_of = |(mark, text): (&Mark, &String)| {
            let page = pages.get(text.as_str()).unwrap_or_else(|| panic!("{mark} was acknowledged and never written"));
            (*mark, *commits.iter().find(|commit| *commit >= page).expect("a commit"))
        };
        texts.iter().map(commit_of).collect()
    }

    /// For each text that only one answer has, the event that sent it.
    fn answers(&self) -> HashMap<&str, usize> {
        let is_answer = |what: &What| *what == What::Answer;
        let to_writers = self.history.acknowledged.values().map(String::as_str);
        let mut answers = self.trace.first_mentions(to_writers, is_answer);
        assert!(
            answers.len() >= self.history.acknowledged.len(),
            "answers leave by a way that the library does not see"
        );
        answers.extend(self.trace.first_mentions(self.shown.iter().map(|(_, call)| call.as_str()), is_answer));
        answers
    }

    /// What could be on the disk before the event `cut`, put where the station will start on it.
    fn cut_power(&self, station: &Station, cut: usize, loss: Loss, seed: &mut Seed) {
        write_files(&after_power_cut(&self.before, &self.trace, cut, loss, seed), &station.data());
        assert_sound(&station.data());
    }
}

#[test]
fn an_acknowledgement_follows_a_sync_that_covers_it() {
    for (name, workload) in WORKLOADS {
        let run = run_on_a_good_disk(&mut prepared(workload), workload);
        let (commits, answers) = (run.commits(), run.answers());
        let too_early = |mark: &Mark, call: &str| !run.trace.synced_between(WAL, commits[mark], answers[call]);
        let early = |all: &mut dyn Iterator<Item = (&Mark, &String)>| {
            all.filter(|(mark, call)| too_early(mark, call)).map(|(mark, _)| *mark).collect::<Vec<_>>()
        };
        let written = early(&mut run.history.acknowledged.iter());
        assert!(written.is_empty(), "{name}: {} were acknowledged before a sync: {written:?}", written.len());
        let read = early(&mut run.shown.iter().map(|(mark, call)| (mark, call)));
        assert!(read.is_empty(), "{name}: {} were shown to a reader before a sync: {read:?}", read.len());
        let heavy = workload.weight() > 1;
        assert!(heavy || run.trace.events.iter().any(is_checkpoint), "{name}: too small a load for a checkpoint");
    }
}

fn is_checkpoint(event: &station_testkit::Event) -> bool {
    matches!(&event.what, What::Write { path, .. } if path == DATABASE)
}

#[test]
fn a_power_cut_takes_nothing_that_was_acknowledged() {
    for (name, workload) in WORKLOADS {
        let (mut seed, mut station) = (seed(), prepared(workload));
        let run = run_on_a_good_disk(&mut station, workload);
        let answers = run.answers();
        for number in 0..setting("STATION_CRASH_CUTS", 30) / u64::from(workload.weight()) {
            let (cut, loss) = choose_cut(&run, &answers, number, &mut seed);
            run.cut_power(&station, cut, loss, &mut seed);
            check_after_cut(&mut station, workload, &run, cut, &format!("{name}, cut {number} with {loss:?}"));
        }
        assert_no_panic(&station);
    }
}

/// Starts on what a cut has left.
fn check_after_cut(station: &mut Station, workload: &dyn Workload, run: &Run, cut: usize, when: &str) {
    station.start();
    let (there, answers) = (workload.there(station, 0), run.answers());
    // The answer that was about to leave may have left.
    let known = run.history.with_answers(|text| answers[text] <= cut);
    known.check(&there, &format!("{when}, before event {cut}"));
    station.kill();
}

/// Half of the cuts are at the moment of an answer with the loss of everything, where a missing sync shows at once.
fn choose_cut(run: &Run, answers: &HashMap<&str, usize>, number: u64, seed: &mut Seed) -> (usize, Loss) {
    if number.is_multiple_of(2) {
        let calls = &run.history.acknowledged;
        let call = calls.values().nth(seed.below(calls.len() as u64) as usize).expect("there are as many");
        return (answers[call.as_str()], Loss::ALL);
    }
    (seed.below(run.trace.events.len() as u64) as usize, Loss::any(seed))
}

/// The second sync of the same bytes succeeds without writing them, so nothing after a failed one may rest on them. A
/// checkpoint writes everything anew, so the power goes at several moments.
#[test]
fn a_sync_that_failed_is_not_made_good_by_the_next() {
    for (name, workload) in WORKLOADS {
        let (mut seed, mut station) = (seed(), prepared(workload));
        let before = read_files(&station.data());
        // A station that fails at its start has acknowledged nothing.
        let first = syncs_of_a_start(&mut station) + 1;
        for _ in 0..setting("STATION_CRASH_SYNCS", 8).div_ceil(u64::from(workload.weight())) {
            write_files(&before, &station.data());
            let harm = Harm { at: first + seed.below(30), of: Of::Syncs, how: How::Io, on: false };
            let run = run(&mut station, workload, disk().harming(harm));
            let harmed = run.trace.events.iter().position(|event| matches!(event.what, What::Harmed { .. }));
            let harmed = harmed.unwrap_or_else(|| panic!("{name}: there were fewer syncs than {harm:?}"));
            for _ in 0..3 {
                let cut = harmed + seed.below((run.trace.events.len() - harmed) as u64) as usize;
                run.cut_power(&station, cut, Loss::ALL, &mut seed);
                check_after_cut(&mut station, workload, &run, cut, &format!("{name}, {harm:?}"));
            }
        }
        assert_no_panic(&station);
    }
}
