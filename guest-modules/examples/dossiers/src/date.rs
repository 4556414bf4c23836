//! Days as `YYYY-MM-DD`, without a date crate: two functions are all that is needed.

const SECONDS_PER_DAY: u64 = 86_400;

/// The day (UTC) of a moment, in seconds since 1970.
pub fn of_seconds(seconds: u64) -> String {
    let (mut days, mut year) = (seconds / SECONDS_PER_DAY, 1970);
    while days >= days_in_year(year) {
        days -= days_in_year(year);
        year += 1;
    }
    let mut month = 1;
    while days >= days_in_month(year, month) {
        days -= days_in_month(year, month);
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", days + 1)
}

/// Whether a text is a day that exists.
pub fn is_valid(text: &str) -> bool {
    parse(text)
        .is_some_and(|(year, month, day)| (1..=12).contains(&month) && day >= 1 && day <= days_in_month(year, month))
}

fn parse(text: &str) -> Option<(u64, u64, u64)> {
    let mut parts = text.split('-');
    let mut part = |length: usize| {
        let digits =
            parts.next().filter(|part| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit()))?;
        digits.parse::<u64>().ok()
    };
    let date = (part(4)?, part(2)?, part(2)?);
    parts.next().is_none().then_some(date)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
}

fn days_in_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_1970() {
        assert_eq!(of_seconds(0), "1970-01-01");
        assert_eq!(of_seconds(951_782_400), "2000-02-29");
        assert_eq!(of_seconds(1_735_689_599), "2024-12-31");
        assert_eq!(of_seconds(1_735_689_600), "2025-01-01");
    }

    #[test]
    fn only_days_that_exist_are_valid() {
        for day in ["2024-02-29", "2025-12-31", "0001-01-01"] {
            assert!(is_valid(day), "{day}");
        }
        for day in ["2025-02-29", "2025-13-01", "2025-00-10", "2025-01-00", "25-01-01", "2025-1-1", "2025-01-01-", ""] {
            assert!(!is_valid(day), "{day}");
        }
    }
}
