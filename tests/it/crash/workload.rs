//! What is written while a station is harmed, and what its clients know of it: the two halves of every test of
//! durability.
//!
//! A [`Workload`] says how one write is made and how to see whether it is there. Each write has a [`Mark`], a text that
//! must lie in the bytes that the database gets, by which it is found again in the database, the log and the trace. A
//! [`History`] says what must be there, what may be, and what must not: after a restart that is *acknowledged* ⊆ *there*
//! ⊆ *acknowledged* ∪ *unknown*.

use super::client::Client;
use station_testkit::Station;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A way to use a station that has something to lose.
pub(crate) trait Workload: Sync {
    /// How many of the smallest writes one takes as long as, so that all workloads take about as long.
    fn weight(&self) -> u32 {
        1
    }

    /// Deploys what is needed, also where some of it is there already. False when the station refused.
    fn prepare(&self, client: &Client) -> bool;

    /// Makes one write, of several parts that belong together.
    fn write(&self, client: &Client, mark: Mark) -> Outcome;

    /// Asks for one write: whether it is there, and the id of the call that said so. None when there was no answer.
    ///
    /// # Panics
    /// When only some of its parts are there.
    fn read(&self, client: &Client, mark: Mark) -> Option<(bool, String)>;

    /// All writes of a round that are there, on a healthy station.
    ///
    /// # Panics
    /// When a write is there in part.
    fn there(&self, station: &Station, round: u32) -> BTreeSet<Mark>;
}

/// What the client of a write knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was answered well, and no other answer has this text in it: the id of the call, for instance. These texts have
    /// all one length.
    Acknowledged(String),
    /// It was answered that nothing was done.
    Refused,
    /// It was answered that something failed, when it may have been done already.
    Failed,
    /// There was no answer.
    Lost,
}

/// One write: the number that `writer` gave it in `round`. Its text has always the same length, and could be the name of
/// a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Mark {
    pub(crate) round: u32,
    pub(crate) writer: u32,
    pub(crate) number: u32,
}

impl fmt::Display for Mark {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "r{:05}w{:02}n{:06}", self.round, self.writer, self.number)
    }
}

impl Mark {
    /// The mark that begins this text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let number = |from: usize, to: usize| text.get(from..to).and_then(|digits| digits.parse().ok());
        let mark = Self { round: number(1, 6)?, writer: number(7, 9)?, number: number(10, 16)? };
        text.starts_with(&mark.to_string()).then_some(mark)
    }
}

/// What clients know of their writes.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    /// What must be there, and the text that only the answer has that said so.
    pub(crate) acknowledged: BTreeMap<Mark, String>,
    /// What may be there.
    unknown: BTreeSet<Mark>,
}

impl History {
    pub(crate) fn record(&mut self, mark: Mark, outcome: &Outcome) {
        match outcome {
            Outcome::Acknowledged(text) => drop(self.acknowledged.insert(mark, text.clone())),
            Outcome::Failed | Outcome::Lost => drop(self.unknown.insert(mark)),
            Outcome::Refused => {}
        }
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.unknown.extend(other.unknown);
    }

    /// What was known when only these answers had been given; the other writes may have been made all the same.
    pub(crate) fn with_answers(&self, answered: impl Fn(&str) -> bool) -> Self {
        let (acknowledged, late): (BTreeMap<_, _>, _) =
            self.acknowledged.clone().into_iter().partition(|(_, text)| answered(text));
        Self { acknowledged, unknown: self.unknown.iter().copied().chain(late.into_keys()).collect() }
    }

    /// Holds what is there now against what is known.
    ///
    /// # Panics
    /// When something is missing, or there although nobody wrote it or it was refused.
    #[track_caller]
    pub(crate) fn check(&self, there: &BTreeSet<Mark>, when: &str) {
        let missing: Vec<_> = self.acknowledged.keys().filter(|mark| !there.contains(mark)).collect();
        let all = self.acknowledged.len();
        assert!(missing.is_empty(), "{when}: {} of {all} acknowledged writes are gone: {missing:?}", missing.len());
        let known = |mark: &&Mark| self.acknowledged.contains_key(mark) || self.unknown.contains(mark);
        let surplus: Vec<_> = there.iter().filter(|mark| !known(mark)).collect();
        assert!(surplus.is_empty(), "{when}: nobody wrote {surplus:?}, or it was refused");
    }
}
