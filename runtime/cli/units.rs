//! Numbers as people write them: `5s`, `1m30s`, `64MiB`, `200_000_000`.
//!
//! One small grammar for `station.yaml` and for flags. A unit is never guessed: a duration without one is
//! refused, a size without one is bytes. Fractions are accepted where they come out whole (`1.5s`), so that a
//! value always reads back as it was written.

use std::fmt;

/// A duration in whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Millis(pub u64);

/// A size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bytes(pub u64);

/// A plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Count(pub u64);

/// Biggest first, because printing takes the first that divides.
const TIMES: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const BINARY: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
const DECIMAL: [(&str, u64); 5] =
    [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000), ("KB", 1_000)];

const TIME_HINT: &str = "write a duration such as `5s`, `500ms` or `1m30s`";
const SIZE_HINT: &str = "write a size such as `64MiB`, `512KiB` or `1GiB`";
const COUNT_HINT: &str = "write a whole number such as `200_000_000`";

/// Reads a duration.
///
/// # Errors
/// A sentence that says what to write instead.
pub(crate) fn millis(text: &str) -> Result<Millis, String> {
    let mut rest = text.trim();
    let mut total = 0u64;
    if rest.is_empty() {
        return Err(TIME_HINT.to_owned());
    }
    while !rest.is_empty() {
        let (number, unit, after) = split(rest);
        let Some(scale) = scale(unit, &TIMES) else { return Err(TIME_HINT.to_owned()) };
        total = scaled(number, scale, TIME_HINT)?.checked_add(total).ok_or_else(too_large)?;
        rest = after.trim_start();
    }
    Ok(Millis(total))
}

/// Reads a size.
///
/// # Errors
/// A sentence that says what to write instead.
pub(crate) fn bytes(text: &str) -> Result<Bytes, String> {
    let (number, unit, after) = split(text.trim());
    let scale = match unit {
        "" => Some(1),
        unit => scale(unit, &BINARY).or_else(|| scale(unit, &DECIMAL)),
    };
    match (scale, after) {
        (Some(scale), "") => scaled(number, scale, SIZE_HINT).map(Bytes),
        _ => Err(SIZE_HINT.to_owned()),
    }
}

/// Reads a whole number, with `_` between digits where that helps the eye.
///
/// # Errors
/// A sentence that says what to write instead.
pub(crate) fn count(text: &str) -> Result<Count, String> {
    let (number, unit, after) = split(text.trim());
    match (unit, after, number.contains('.')) {
        ("", "", false) => scaled(number, 1, COUNT_HINT).map(Count),
        _ => Err(COUNT_HINT.to_owned()),
    }
}

/// The number, the unit and what follows.
fn split(text: &str) -> (&str, &str, &str) {
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '_' && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(number_end);
    let rest = rest.trim_start();
    let unit_end = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
    let (unit, after) = rest.split_at(unit_end);
    (number, unit, after)
}

fn scale(unit: &str, units: &[(&str, u64)]) -> Option<u64> {
    units.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale)
}

/// `number * scale`, refused when it is not a number, not whole, or more than 64 bits.
fn scaled(number: &str, scale: u64, hint: &str) -> Result<u64, String> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole = digits(whole, hint)?.checked_mul(scale).ok_or_else(too_large)?;
    let parts = digits(fraction, hint)?.checked_mul(scale).ok_or_else(|| hint.to_owned())?;
    let places = u32::try_from(fraction.replace('_', "").len()).ok().and_then(|n| 10u64.checked_pow(n));
    match places {
        Some(places) if parts.is_multiple_of(places) => whole.checked_add(parts / places).ok_or_else(too_large),
        _ => Err(format!("is not a whole number of the smallest unit; {hint}")),
    }
}

/// Digits with single `_` between them.
fn digits(text: &str, hint: &str) -> Result<u64, String> {
    let tidy = !text.starts_with('_') && !text.ends_with('_') && !text.contains("__");
    let plain = text.replace('_', "");
    if !tidy || plain.is_empty() || !plain.bytes().all(|b| b.is_ascii_digit()) {
        return Err(hint.to_owned());
    }
    plain.parse().map_err(|_| too_large())
}

fn too_large() -> String {
    "is too large".to_owned()
}

/// The value in the largest unit that holds it whole.
fn in_units(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)], zero: &str) -> fmt::Result {
    let exact = units.iter().find(|(_, scale)| value != 0 && value.is_multiple_of(*scale));
    match exact {
        Some((unit, scale)) => write!(f, "{}{unit}", value / scale),
        None => f.write_str(zero),
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        in_units(f, self.0, &TIMES, "0s")
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        in_units(f, self.0, &BINARY, "0B")
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self.0.to_string();
        for (index, digit) in plain.chars().enumerate() {
            if index > 0 && (plain.len() - index).is_multiple_of(3) {
                f.write_str("_")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// A size for people, rounded: `18.2 MiB`.
pub(crate) fn about(bytes: u64) -> String {
    let unit = BINARY.iter().find(|(name, scale)| bytes >= *scale && *name != "B");
    match unit {
        // Rounding to tenths is what is wanted here.
        Some((name, scale)) => format!("{}.{} {name}", bytes / scale, (bytes % scale).saturating_mul(10) / scale),
        None => format!("{bytes} B"),
    }
}

/// A duration for people, rounded: `1.2 ms`.
pub(crate) fn about_us(us: u64) -> String {
    let tenths = |scale: u64, unit: &str| format!("{}.{} {unit}", us / scale, (us % scale) * 10 / scale);
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => tenths(1_000, "ms"),
        _ => tenths(1_000_000, "s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_people_write_is_read() {
        assert_eq!(millis("5s"), Ok(Millis(5_000)));
        assert_eq!(millis("1m30s"), Ok(Millis(90_000)));
        assert_eq!(millis("1h 2m"), Ok(Millis(3_720_000)));
        assert_eq!(millis("1.5s"), Ok(Millis(1_500)));
        assert_eq!(millis("500 ms"), Ok(Millis(500)));
        assert_eq!(bytes("64MiB"), Ok(Bytes(64 << 20)));
        assert_eq!(bytes("64 MiB"), Ok(Bytes(64 << 20)));
        assert_eq!(bytes("1.5KiB"), Ok(Bytes(1_536)));
        assert_eq!(bytes("2MB"), Ok(Bytes(2_000_000)));
        assert_eq!(bytes("4096"), Ok(Bytes(4_096)));
        assert_eq!(count("200_000_000"), Ok(Count(200_000_000)));
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        for text in ["", "5", "s", "5 apples", "-5s", "5s5", "0.0001s", "99999999999999999999s", "1__0s", "5S", "1e3s"]
        {
            assert!(millis(text).is_err(), "{text}");
        }
        for text in ["", "MiB", "5mb", "5s", "1MiB1KiB", "0.3B", "99999999TiB", "64m"] {
            assert!(bytes(text).is_err(), "{text}");
        }
        for text in ["", "_", "1_", "_1", "1.5", "1k", "-1", "0x10", "99999999999999999999999"] {
            assert!(count(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_rounded_value_has_one_decimal() {
        assert_eq!(about(18 * 1024 * 1024 + 300 * 1024), "18.2 MiB");
        assert_eq!(about(17), "17 B");
        assert_eq!(about_us(1_234), "1.2 ms");
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(value in any::<u64>()) {
            prop_assert_eq!(millis(&Millis(value).to_string()), Ok(Millis(value)));
            prop_assert_eq!(bytes(&Bytes(value).to_string()), Ok(Bytes(value)));
            prop_assert_eq!(count(&Count(value).to_string()), Ok(Count(value)));
        }

        #[test]
        fn round_values_print_short(value in 1u64..1_000) {
            prop_assert_eq!(Bytes(value << 20).to_string().len() <= 6, true);
            prop_assert!(Count(value * 1_000_000).to_string().ends_with("_000_000"));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,24}") {
            let _ = (millis(&text), bytes(&text), count(&text), about(text.len() as u64));
        }

        #[test]
        fn no_text_of_the_alphabet_makes_it_panic(text in "[0-9_.smhdMKGTiBk ]{0,24}") {
            let _ = (millis(&text), bytes(&text), count(&text));
        }
    }
}
