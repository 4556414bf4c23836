//! The ids that people see: `LX-` and six digits.

/// The id of a number.
pub fn of(number: i64) -> String {
    format!("LX-{number:06}")
}

/// The number in an id. Only the spelling that `of` gives is accepted, so that a file has one name.
pub fn number(text: &str) -> Option<i64> {
    text.strip_prefix("LX-")?.parse().ok().filter(|number| *number >= 0 && of(*number) == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_name() {
        assert_eq!(number("LX-000001"), Some(1));
        assert_eq!(number(&of(1_000_000)), Some(1_000_000));
        for text in ["LX-1", "LX-+00001", "LX--00001", "lx-000001", "1", ""] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
