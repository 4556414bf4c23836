//! What is refused with a sentence before SQLite hears of it.

use super::{
    super::{
        mode::{Mode, words},
        wall,
    },
    Edits,
    parse::{Parsed, Tokens},
    syntax,
};
use sqlparser::{keywords::Keyword, tokenizer::Token};
use station_kernel::work::SqlError;

/// Operators in one expression. SQLite allows 100; a parser that meets thousands builds a tree as deep.
const OPERATORS_MAX: usize = 200;

/// Selects in one statement, however they are combined.
const SELECTS_MAX: usize = 100;

/// What the first words already tell, also of statements that the parser does not know.
pub(super) fn by_first_words(sql: &str) -> Result<(), SqlError> {
    let denied = |message: &str| Err(SqlError::Denied(message.to_owned()));
    match Mode::of(sql) {
        Some(Mode::Transaction) => denied(wall::TRANSACTIONS),
        Some(Mode::Foreign) => foreign(&words(sql).take(2).collect::<Vec<_>>()),
        _ => Ok(()),
    }
}

fn foreign(words: &[String]) -> Result<(), SqlError> {
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["CREATE", "VIRTUAL"] => Err(SqlError::Denied(wall::VIRTUAL.to_owned())),
        ["CREATE", "TEMP" | "TEMPORARY"] => Err(SqlError::Denied(wall::TEMPORARY.to_owned())),
        [what @ ("PRAGMA" | "ATTACH" | "DETACH" | "VACUUM" | "ANALYZE" | "REINDEX" | "EXPLAIN"), ..] => {
            Err(SqlError::Denied(wall::statement(what)))
        }
        _ => Ok(()),
    }
}

/// What would end the transaction or leave half a statement, and what is too deep to be parsed.
pub(super) fn by_tokens(tokens: &Tokens<'_>) -> Result<(), SqlError> {
    if tokens.telling().all(|(_, token)| *token == Token::SemiColon) {
        return Err(syntax("there is no statement in this text", None));
    }
    resolutions(tokens)?;
    depth(tokens)
}

/// `ROLLBACK` and `FAIL` stand in three places: `OR ROLLBACK`, `ON CONFLICT ROLLBACK`, `RAISE (ROLLBACK`.
fn resolutions(tokens: &Tokens<'_>) -> Result<(), SqlError> {
    let (mut last, mut before) = (Keyword::NoKeyword, Keyword::NoKeyword);
    for (_, token) in tokens.telling() {
        let this = keyword(token);
        let place = matches!(last, Keyword::OR | Keyword::CONFLICT) || before == Keyword::RAISE;
        if place && matches!(this, Keyword::ROLLBACK | Keyword::FAIL) {
            return Err(SqlError::Denied(resolution(this)));
        }
        (before, last) = (last, this);
    }
    Ok(())
}

fn resolution(found: Keyword) -> String {
    match found {
        Keyword::FAIL => "FAIL would keep half of a statement; use ABORT, which undoes all of it".to_owned(),
        _ => "ROLLBACK would end the transaction of the whole call; use ABORT, which undoes this statement, and \
              fail the call if nothing of it should stay"
            .to_owned(),
    }
}

/// The keyword that an unquoted word is.
fn keyword(token: &Token) -> Keyword {
    match token {
        Token::Word(word) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    }
}

/// Counts operators between commas and brackets, because that is how deep the tree can become on one level; how
/// many levels there are, the parser bounds itself.
fn depth(tokens: &Tokens<'_>) -> Result<(), SqlError> {
    let (mut levels, mut selects) = (vec![0_usize], 0);
    for (_, token) in tokens.telling() {
        selects += usize::from(matches!(keyword(token), Keyword::SELECT | Keyword::VALUES));
        match token {
            Token::LParen => levels.push(0),
            Token::RParen if levels.len() > 1 => drop(levels.pop()),
            Token::Comma | Token::SemiColon => levels.last_mut().into_iter().for_each(|count| *count = 0),
            _ => levels.last_mut().into_iter().for_each(|count| *count += usize::from(is_operator(token))),
        }
        if levels.last().is_some_and(|count| *count > OPERATORS_MAX) {
            return Err(SqlError::Limit { name: "operators", max: OPERATORS_MAX as u64 });
        }
    }
    match selects > SELECTS_MAX {
        true => Err(SqlError::Limit { name: "selects", max: SELECTS_MAX as u64 }),
        false => Ok(()),
    }
}

fn is_operator(token: &Token) -> bool {
    match token {
        Token::Word(_) => WORDS.contains(&keyword(token)),
        Token::Period | Token::Number(..) | Token::Placeholder(_) => false,
        Token::SingleQuotedString(_) | Token::HexStringLiteral(_) => false,
        _ => true,
    }
}

#[rustfmt::skip]
const WORDS: &[Keyword] = &[
    Keyword::AND, Keyword::OR, Keyword::NOT, Keyword::IS, Keyword::NOTNULL, Keyword::IN,
    Keyword::BETWEEN, Keyword::LIKE, Keyword::GLOB, Keyword::REGEXP, Keyword::MATCH, Keyword::COLLATE,
    Keyword::ESCAPE, Keyword::CASE,
];

/// A reference that the parser did not see would tie the module's table to somebody else's, and SQLite's authorizer
/// is not asked about it until rows are written.
pub(super) fn references_without_edit(parsed: &Parsed<'_>, edits: &Edits) -> Result<(), SqlError> {
    if !Mode::of(parsed.text).is_some_and(Mode::is_schema) {
        return Ok(());
    }
    let mut last = Keyword::NoKeyword;
    for (at, token) in parsed.tokens.telling() {
        if last == Keyword::REFERENCES && !edits.touches(at) {
            return Err(syntax("this REFERENCES is not understood; name a table of the module after it", Some(at)));
        }
        last = keyword(token);
    }
    Ok(())
}
