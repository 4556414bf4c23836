//! A row of the table: ours, what it is held against, the goal.

use serde_json::{Value, json};
use std::fmt;

/// What must hold.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// The reference is at least so many times ours.
    FasterMin(f64),
    /// Ours is at least so many times the reference.
    RatioMin(f64),
    /// Ours is at most so much more than the reference.
    MoreMax(f64),
    /// Ours is at most this.
    Max(f64),
    /// Ours is at least this.
    Min(f64),
}

/// One figure.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) ours: f64,
    /// What it is and how much; none where the goal is a number.
    pub(crate) reference: Option<(&'static str, f64)>,
    pub(crate) goal: Goal,
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        let faster = matches!(self.goal, Goal::FasterMin(_));
        self.reference.map(|(_, reference)| if faster { reference / self.ours } else { self.ours / reference })
    }

    fn pass(&self) -> bool {
        let reference = self.reference.map_or(f64::NAN, |(_, reference)| reference);
        match self.goal {
            Goal::FasterMin(least) => reference >= least * self.ours,
            Goal::RatioMin(least) => self.ours >= least * reference,
            Goal::MoreMax(more) => self.ours <= reference + more,
            Goal::Max(most) => self.ours <= most,
            Goal::Min(least) => self.ours >= least,
        }
    }

    fn goal(&self) -> String {
        match self.goal {
            Goal::FasterMin(least) => format!(">= {least}x faster"),
            Goal::RatioMin(least) => format!(">= {least}x"),
            Goal::MoreMax(more) => format!("<= +{more} {}", self.unit),
            Goal::Max(most) => format!("<= {most} {}", self.unit),
            Goal::Min(least) => format!(">= {least} {}", self.unit),
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "unit": self.unit,
            "ours": self.ours,
            "reference_name": self.reference.map(|(name, _)| name),
            "reference": self.reference.map(|(_, value)| value),
            "ratio": self.ratio(),
            "goal": self.goal(),
            "pass": self.pass(),
        })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, unit, ours, .. } = self;
        write!(f, "{name}: {ours:.2} {unit}")?;
        if let Some((reference, value)) = self.reference {
            write!(f, ", {reference}: {value:.2} {unit}")?;
        }
        write!(f, ", goal {}: {}", self.goal(), if self.pass() { "pass" } else { "FAIL" })
    }
}

/// All rows, for `cargo xtask bench`.
pub(crate) fn document(rows: &[Row]) -> String {
    let rows: Vec<Value> = rows.iter().map(Row::to_json).collect();
    json!({ "rows": rows }).to_string()
}

/// The middle one of an odd number of values.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
