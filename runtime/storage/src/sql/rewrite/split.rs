//! A script into its statements.

use super::parse::Tokens;
use sqlparser::{keywords::Keyword, tokenizer::Token};
use station_kernel::work::SqlError;

/// Where each statement begins, and its text.
///
/// A statement ends at a semicolon; one that makes a trigger has semicolons inside and ends at `; END ;`, which is
/// also how SQLite's own shell tells.
pub(in super::super) fn split(script: &str) -> Result<Vec<(usize, &str)>, SqlError> {
    let tokens = Tokens::of(script)?;
    let mut found = Vec::new();
    let mut now = Statement::default();
    for (at, token) in tokens.telling() {
        now.take(at, token);
        if let Some(start) = now.start.filter(|_| now.ended) {
            found.extend(script.get(start..at).map(|text| (start, text)));
        }
        if now.ended {
            now = Statement::default();
        }
    }
    found.extend(now.start.and_then(|start| Some((start, script.get(start..)?))));
    Ok(found)
}

/// What is known of a statement so far.
#[derive(Default)]
struct Statement {
    start: Option<usize>,
    words: usize,
    creates: bool,
    trigger: bool,
    /// What the last tokens were, of which the trigger's end is told.
    last: [Last; 2],
    ended: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Last {
    #[default]
    Other,
    Semicolon,
    End,
}

impl Statement {
    fn take(&mut self, at: usize, token: &Token) {
        if *token == Token::SemiColon {
            self.ended = !self.trigger || self.last == [Last::Semicolon, Last::End];
        } else {
            self.start.get_or_insert(at);
        }
        let keyword = match token {
            Token::Word(word) if word.quote_style.is_none() => word.keyword,
            _ => Keyword::NoKeyword,
        };
        self.creates |= self.words == 0 && keyword == Keyword::CREATE;
        self.trigger |= self.creates && self.words < 3 && keyword == Keyword::TRIGGER;
        self.words += 1;
        let [_, before] = self.last;
        self.last = [before, last(token, keyword)];
    }
}

fn last(token: &Token, keyword: Keyword) -> Last {
    match (token, keyword) {
        (Token::SemiColon, _) => Last::Semicolon,
        (_, Keyword::END) => Last::End,
        _ => Last::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_falls_into_its_statements() {
        for (script, expected) in [
            ("", vec![]),
            (" ;; -- nothing\n", vec![]),
            ("SELECT 1", vec!["SELECT 1"]),
            ("SELECT ';' ; /* ; */ SELECT 2;", vec!["SELECT ';' ", "SELECT 2"]),
            (
                "CREATE TRIGGER a AFTER INSERT ON t BEGIN UPDATE t SET x = CASE WHEN 1 THEN 2 END; END; DROP TABLE é;",
                vec![
                    "CREATE TRIGGER a AFTER INSERT ON t BEGIN UPDATE t SET x = CASE WHEN 1 THEN 2 END; END",
                    "DROP TABLE é",
                ],
            ),
            ("DROP TRIGGER a; SELECT 1", vec!["DROP TRIGGER a", "SELECT 1"]),
        ] {
            let found = split(script).unwrap();
            for (start, text) in &found {
                assert!(script[*start..].starts_with(text));
            }
            assert_eq!(found.into_iter().map(|(_, text)| text).collect::<Vec<_>>(), expected, "{script}");
        }
    }
}
