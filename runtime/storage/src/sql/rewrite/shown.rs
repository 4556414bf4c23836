//! What the parser is shown of a statement. It does not know all of SQLite's language; some of what it does not know
//! has no names in it, or one, and can be left out or stand for something else without changing what the rest means:
//!
//! - `STRICT` and `WITHOUT ROWID` behind a table, in any order;
//! - `IF NOT EXISTS` of a trigger;
//! - `MATERIALIZED` and `NOT MATERIALIZED` of a common table expression;
//! - `NOT INDEXED`, and `INDEXED BY name`, whose name is told apart;
//! - `x IN name`, which is shown as `x IN ()` and whose name is told apart.
//!
//! SQLite gets the text with all of it. A token that is hidden although it means something else is a name without its
//! prefix at worst, and that the authorizer judges.

use super::{super::mode::words, parse::Tokens};
use sqlparser::{
    ast::Ident,
    tokenizer::{Token, TokenWithSpan},
};
use std::collections::HashMap;

/// Tokens as the parser gets them, each with where it begins in the text.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) tokens: Vec<(usize, TokenWithSpan)>,
    /// Names that it is not shown.
    pub(super) names: Vec<Ident>,
    /// Where what is hidden ends, at least.
    pub(super) end: usize,
}

impl Shown {
    pub(super) fn of(tokens: &Tokens<'_>) -> Self {
        let found = Found::in_tokens(tokens);
        let mut shown = Self::default();
        for (at, token) in &tokens.all {
            match found.0.get(at) {
                None => shown.tokens.push((*at, token.clone())),
                Some(how) => shown.hide(*at, token, *how),
            }
        }
        shown
    }

    fn hide(&mut self, at: usize, token: &TokenWithSpan, how: Hidden) {
        self.end = at + 1;
        let Token::Word(word) = &token.token else { return };
        if how != Hidden::Word {
            self.names.push(word.clone().into_ident(token.span));
        }
        if how == Hidden::Set {
            let as_if = |bracket| TokenWithSpan { token: bracket, span: token.span };
            self.tokens.extend([Token::LParen, Token::RParen].map(|bracket| (at, as_if(bracket))));
        }
    }
}

/// How a token is hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hidden {
    /// It is left out.
    Word,
    /// It is left out, and its name told.
    Name,
    /// It is shown as an empty set, and its name told.
    Set,
}

/// What is hidden, by where it begins.
#[derive(Default)]
struct Found(HashMap<usize, Hidden>);

impl Found {
    fn in_tokens(tokens: &Tokens<'_>) -> Self {
        let telling: Vec<_> = tokens.telling().collect();
        let first: Vec<_> = words(tokens.text).take(2).collect();
        let mut found = Self::default();
        match first.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["CREATE", "TABLE"] => found.options(&telling),
            ["CREATE", "TRIGGER"] => found.if_not_exists(&telling),
            _ => {}
        }
        for at in 0..telling.len() {
            found.anywhere(telling.get(at..).unwrap_or_default());
        }
        found
    }

    fn hide(&mut self, tokens: &[(usize, &Token)]) {
        self.0.extend(tokens.iter().map(|(at, _)| (*at, Hidden::Word)));
    }

    /// What stands behind the last bracket of a table, if it is nothing but options.
    fn options(&mut self, telling: &[(usize, &Token)]) {
        let end = telling.iter().position(|(_, token)| **token == Token::SemiColon).unwrap_or(telling.len());
        let (table, _) = telling.split_at(end);
        let last = table.iter().rposition(|(_, token)| **token == Token::RParen).map_or(end, |at| at + 1);
        let (_, options) = table.split_at(last);
        let is_option = |token: &Token| *token == Token::Comma || is_one_of(token, &["STRICT", "WITHOUT", "ROWID"]);
        if options.iter().all(|(_, token)| is_option(token)) {
            self.hide(options);
        }
    }

    fn if_not_exists(&mut self, telling: &[(usize, &Token)]) {
        let mut behind = telling.iter().skip_while(|(_, token)| !is_one_of(token, &["TRIGGER"])).skip(1);
        let three: Vec<_> = behind.by_ref().take(3).copied().collect();
        if are(&three, &["IF", "NOT", "EXISTS"]) {
            self.hide(&three);
        }
    }

    /// What can stand anywhere, if these tokens begin with it.
    fn anywhere(&mut self, tokens: &[(usize, &Token)]) {
        match tokens {
            [first, hidden, (_, Token::LParen), ..] if are(&[*first, *hidden], &["AS", "MATERIALIZED"]) => {
                self.hide(&[*hidden]);
            }
            [first, not, hidden, (_, Token::LParen), ..]
                if are(&[*first, *not, *hidden], &["AS", "NOT", "MATERIALIZED"]) =>
            {
                self.hide(&[*not, *hidden]);
            }
            [indexed, by, (at, Token::Word(_)), ..] if are(&[*indexed, *by], &["INDEXED", "BY"]) => {
                self.hide(&[*indexed, *by]);
                self.0.insert(*at, Hidden::Name);
            }
            [(_, before), not, indexed, ..] if are(&[*not, *indexed], &["NOT", "INDEXED"]) && can_be_name(before) => {
                self.hide(&[*not, *indexed]);
            }
            [(_, first), (at, Token::Word(_)), rest @ ..] if is_one_of(first, &["IN"]) && ends_name(rest) => {
                self.0.insert(*at, Hidden::Set);
            }
            _ => {}
        }
    }
}

/// Neither `IN main.t` nor `IN f(x)`, which modules do not get.
fn ends_name(rest: &[(usize, &Token)]) -> bool {
    !matches!(rest.first(), Some((_, Token::Period | Token::LParen)))
}

/// `WHERE NOT indexed` asks for a column.
fn can_be_name(token: &Token) -> bool {
    const NO_NAMES: [&str; 16] = [
        "WHERE",
        "AND",
        "OR",
        "ON",
        "SELECT",
        "WHEN",
        "THEN",
        "ELSE",
        "HAVING",
        "BY",
        "NOT",
        "LIMIT",
        "OFFSET",
        "RETURNING",
        "DISTINCT",
        "IS",
    ];
    matches!(token, Token::Word(_)) && !is_one_of(token, &NO_NAMES)
}

fn are(tokens: &[(usize, &Token)], words: &[&str]) -> bool {
    tokens.len() == words.len() && tokens.iter().zip(words).all(|((_, token), word)| is_one_of(token, &[word]))
}

fn is_one_of(token: &Token, words: &[&str]) -> bool {
    match token {
        Token::Word(word) if word.quote_style.is_none() => words.iter().any(|is| word.value.eq_ignore_ascii_case(is)),
        _ => false,
    }
}
