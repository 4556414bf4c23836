//! A row of the table: what was measured, what it is held against, and whether that is good enough.

use serde_json::{Value, json};

/// The one in the middle.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What must hold, for the profile `fat`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Goal {
    /// Ours is at most so many times the reference.
    Times(f64),
    /// The reference is at least so many times ours.
    Faster(f64),
    /// Ours is at least so many times the reference: more is better.
    Share(f64),
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) unit: String,
    pub(super) ours: f64,
    pub(super) reference_name: Option<String>,
    pub(super) reference: Option<f64>,
    pub(super) ratio: Option<f64>,
    pub(super) goal: Option<String>,
    pub(super) pass: Option<bool>,
}

impl Row {
    /// Ours against a reference.
    pub(super) fn against(
        (name, ours): (String, f64),
        (reference_name, reference): (&str, f64),
        unit: &str,
        goal: Option<Goal>,
    ) -> Self {
        let faster = matches!(goal, Some(Goal::Faster(_)));
        let ratio = if faster { reference / ours } else { ours / reference };
        Self {
            name,
            unit: unit.to_owned(),
            ours,
            reference_name: Some(reference_name.to_owned()),
            reference: Some(reference),
            ratio: Some(ratio),
            goal: goal.map(Goal::text),
            pass: goal.map(|goal| goal.holds(ratio)),
        }
    }

    /// A row as a bench wrote it.
    pub(super) fn read(row: &Value) -> Option<Self> {
        let text = |key: &str| row.get(key).and_then(Value::as_str).map(str::to_owned);
        let number = |key: &str| row.get(key).and_then(Value::as_f64);
        Some(Self {
            name: text("name")?,
            unit: text("unit")?,
            ours: number("ours")?,
            reference_name: text("reference_name"),
            reference: number("reference"),
            ratio: number("ratio"),
            goal: text("goal"),
            pass: row.get("pass").and_then(Value::as_bool),
        })
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "unit": self.unit,
            "ours": self.ours,
            "reference_name": self.reference_name,
            "reference": self.reference,
            "ratio": self.ratio,
            "goal": self.goal,
            "pass": self.pass,
        })
    }

    /// A line of the table.
    pub(super) fn line(&self) -> String {
        let value = |value: f64| shown(value, &self.unit);
        let verdict = self.pass.map_or("", |pass| if pass { "pass" } else { "FAIL" });
        format!(
            "{:<42} {:>12}   {:<26} {:>12} {:>9} {:>16} {verdict}",
            self.name,
            value(self.ours),
            self.reference_name.as_deref().unwrap_or("-"),
            self.reference.map(value).unwrap_or_default(),
            self.ratio.map(|ratio| format!("{}x", digits(ratio))).unwrap_or_default(),
            self.goal.as_deref().unwrap_or("-"),
        )
    }
}

impl Goal {
    fn text(self) -> String {
        match self {
            Self::Times(most) => format!("<= {most}x"),
            Self::Faster(least) => format!(">= {least}x faster"),
            Self::Share(least) => format!(">= {least}x"),
        }
    }

    fn holds(self, ratio: f64) -> bool {
        match self {
            Self::Times(most) => ratio <= most,
            Self::Faster(least) | Self::Share(least) => ratio >= least,
        }
    }
}

/// A value with its unit; nanoseconds in what a person reads easily.
fn shown(value: f64, unit: &str) -> String {
    match unit {
        "ns" if value >= 1e6 => format!("{} ms", digits(value / 1e6)),
        "ns" if value >= 1e3 => format!("{} us", digits(value / 1e3)),
        "per second" | "per core and second" => format!("{} /s", digits(value)),
        _ => format!("{} {unit}", digits(value)),
    }
}

/// Three digits that count.
fn digits(value: f64) -> String {
    let decimals = match value {
        value if value < 0.01 => 5,
        value if value < 1.0 => 3,
        value if value < 10.0 => 2,
        value if value < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ours: f64, reference: f64, goal: Goal) -> Row {
        Row::against(("a call".to_owned(), ours), ("theirs", reference), "ns", Some(goal))
    }

    #[test]
    fn less_is_better_for_times_and_more_for_the_others() {
        assert_eq!(row(3.0, 2.0, Goal::Times(1.5)).pass, Some(true));
        assert_eq!(row(3.1, 2.0, Goal::Times(1.5)).pass, Some(false));
        assert_eq!(row(2.0, 100.0, Goal::Faster(50.0)).ratio, Some(50.0));
        assert_eq!(row(2.0, 99.0, Goal::Faster(50.0)).pass, Some(false));
        assert_eq!(row(90.0, 100.0, Goal::Share(0.9)).pass, Some(true));
        assert_eq!(row(89.0, 100.0, Goal::Share(0.9)).pass, Some(false));
    }

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let row = row(3.0, 2.0, Goal::Times(1.5));
        assert_eq!(Row::read(&row.to_json()), Some(row));
    }

    #[test]
    fn a_row_without_goal_neither_passes_nor_fails() {
        let row = Row::against(("a call".to_owned(), 1.0), ("theirs", 2.0), "ns", None);
        assert_eq!((row.pass, row.goal.clone()), (None, None));
        assert!(row.line().ends_with("- "), "{}", row.line());
    }
}
