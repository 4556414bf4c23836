//! A span of time as people and scripts write it: `"2s"`, `"1500ms"`, `"1.5m"`, or a number of milliseconds.

use serde::{Deserialize, Serialize, Serializer};
use std::{fmt, str::FromStr};
use utoipa::ToSchema;

/// A span of time, at most a year. Written as `2s`, `500ms`, `5m`, `1h`, or as a number of milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "Written")]
pub struct Deadline {
    /// The span in milliseconds.
    pub ms: u64,
}

/// The longest span: whoever asks for more has made a mistake in the unit.
const MS_MAX: u64 = 365 * 24 * 3_600_000;

/// How a span may stand in JSON: a number of milliseconds, or a text such as `2s`.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Deadline)]
pub enum Written {
    /// Milliseconds.
    Ms(u64),
    /// A number and one of the units `ms`, `s`, `m`, `h`.
    Text(String),
}

impl TryFrom<Written> for Deadline {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Ms(ms) => Self::checked(ms),
            Written::Text(text) => text.parse(),
        }
    }
}

impl Deadline {
    fn checked(ms: u64) -> Result<Self, String> {
        match ms <= MS_MAX {
            true => Ok(Self { ms }),
            false => Err(format!("{ms} ms is longer than a year")),
        }
    }
}

impl FromStr for Deadline {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!("{:?} is not a span of time; write 500ms, 2s, 5m or 1h", text.chars().take(32).collect::<String>())
        };
        let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let factor = match unit {
            "" | "ms" => 1.0,
            "s" => 1_000.0,
            "m" | "min" => 60_000.0,
            "h" => 3_600_000.0,
            _ => return Err(bad()),
        };
        let number: f64 = number.trim().parse().map_err(|_| bad())?;
        let ms = (number * factor).round();
        // NaN, infinity and negative numbers fall out here; what is left is exact in an f64.
        if !(0.0..=MS_MAX as f64).contains(&ms) {
            return Err(bad());
        }
        Self::checked(ms as u64)
    }
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.ms)
    }
}

impl Serialize for Deadline {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(self.ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_a_unit_or_is_milliseconds() {
        for (text, ms) in [("2s", 2_000), ("500ms", 500), ("1.5s", 1_500), ("5m", 300_000), ("1h", 3_600_000), ("7", 7)]
        {
            assert_eq!(text.parse::<Deadline>(), Ok(Deadline { ms }), "{text}");
        }
        assert_eq!(serde_json::from_str::<Deadline>("\"2s\"").unwrap().ms, 2_000);
        assert_eq!(serde_json::from_str::<Deadline>("1500").unwrap().ms, 1_500);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "s", "-1s", "1 week", "1e99h", "NaNs", "infs", "9999999999h", "2s3"] {
            assert!(text.parse::<Deadline>().is_err(), "{text}");
        }
    }
}
