//! What a case file may say.

use crate::date;

/// Longest text of a field, in bytes.
const TEXT_BYTES_MAX: usize = 500;
/// Most labels of one case file.
const LABELS_MAX: usize = 20;

/// What is needed to open a case file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    pub title: String,
    pub client: String,
    pub kind: String,
    pub labels: Vec<String>,
    pub deadline: Option<String>,
}

impl Draft {
    /// Trims, then checks everything before it answers, so that the caller sees all mistakes at once.
    pub fn checked(mut self) -> Result<Self, Vec<String>> {
        for text in [&mut self.title, &mut self.client, &mut self.kind] {
            *text = text.trim().to_owned();
        }
        self.labels.sort();
        self.labels.dedup();

        let mut mistakes = Vec::new();
        check_text(&mut mistakes, "title", &self.title);
        check_text(&mut mistakes, "client", &self.client);
        check_text(&mut mistakes, "kind", &self.kind);
        for label in &self.labels {
            check_text(&mut mistakes, "label", label);
        }
        if self.labels.len() > LABELS_MAX {
            mistakes.push(format!("there are more than {LABELS_MAX} labels"));
        }
        if self.deadline.as_deref().is_some_and(|day| !date::is_valid(day)) {
            mistakes.push("the deadline is not a day written YYYY-MM-DD".to_owned());
        }
        if mistakes.is_empty() { Ok(self) } else { Err(mistakes) }
    }
}

/// Adds what is wrong with a text, if anything is.
pub fn check_text(mistakes: &mut Vec<String>, field: &str, text: &str) {
    if text.trim().is_empty() {
        mistakes.push(format!("{field} is empty"));
    } else if text.len() > TEXT_BYTES_MAX {
        mistakes.push(format!("{field} is longer than {TEXT_BYTES_MAX} bytes"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(title: &str) -> Draft {
        Draft { title: title.into(), client: "ACME".into(), kind: "appeal".into(), labels: vec![], deadline: None }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let bad = Draft { client: "x".repeat(501), deadline: Some("tomorrow".into()), ..draft("  ") };
        let mistakes = bad.checked().unwrap_err();
        assert_eq!(mistakes.len(), 3, "{mistakes:?}");
    }

    #[test]
    fn too_many_labels_are_a_mistake() {
        let labels = (0..=LABELS_MAX).map(|number| number.to_string()).collect();
        let bad = Draft { labels, ..draft("x") };
        assert_eq!(bad.checked().unwrap_err(), ["there are more than 20 labels"]);
    }

    #[test]
    fn texts_are_trimmed_and_labels_are_sorted_and_kept_once() {
        let labels = vec!["b".to_owned(), "a".to_owned(), "b".to_owned()];
        let checked = Draft { labels, ..draft(" x ") }.checked().unwrap();
        assert_eq!(checked.title, "x");
        assert_eq!(checked.labels, ["a", "b"]);
    }
}
