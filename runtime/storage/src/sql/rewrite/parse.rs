//! One parsed statement, and where its tokens stand.

use super::{dialect::Sqlite, refuse, shown::Shown, syntax};
use sqlparser::{
    ast::{Ident, Statement},
    parser::{Parser, ParserError},
    tokenizer::{Location, Token, TokenWithSpan, Tokenizer},
};
use station_kernel::work::SqlError;
use std::{collections::HashMap, str::Chars};

/// A text and its tokens.
pub(super) struct Tokens<'a> {
    pub(super) text: &'a str,
    /// Each with where it begins.
    pub(super) all: Vec<(usize, TokenWithSpan)>,
}

impl<'a> Tokens<'a> {
    pub(super) fn of(text: &'a str) -> Result<Self, SqlError> {
        if let Some(at) = text.find('\0') {
            return Err(syntax("a statement cannot contain a NUL character", Some(at)));
        }
        let found = Tokenizer::new(&Sqlite, text).tokenize_with_location();
        let found = found.map_err(|error| syntax(error.message, byte(text, error.location)))?;
        let mut walk = Walk::through(text);
        let end = Location::new(u64::MAX, 0);
        let start = |token: &TokenWithSpan| if token.token == Token::EOF { end } else { token.span.start };
        let all = found.into_iter().map(|token| (text.len() - walk.left(start(&token)), token));
        Ok(Self { text, all: all.collect() })
    }

    /// Those that mean something, in order.
    pub(super) fn telling(&self) -> impl Iterator<Item = (usize, &Token)> {
        let telling = |token: &Token| !matches!(token, Token::Whitespace(_) | Token::EOF);
        self.all.iter().map(|(at, found)| (*at, &found.token)).filter(move |(_, token)| telling(token))
    }
}

/// From lines and columns, which count characters, to bytes: a walk that only goes forward, because to begin anew for
/// each of many tokens would cost the square of the text.
struct Walk<'a> {
    rest: Chars<'a>,
    line: u64,
    column: u64,
}

impl<'a> Walk<'a> {
    fn through(text: &'a str) -> Self {
        Self { rest: text.chars(), line: 1, column: 1 }
    }

    /// How much of the text is left from `place` on.
    fn left(&mut self, place: Location) -> usize {
        while (self.line, self.column) < (place.line, place.column) {
            match self.rest.next() {
                Some('\n') => (self.line, self.column) = (self.line + 1, 1),
                Some(_) => self.column += 1,
                None => break,
            }
        }
        self.rest.as_str().len()
    }
}

/// The byte at one place.
fn byte(text: &str, place: Location) -> Option<usize> {
    (place.line > 0).then(|| text.len() - Walk::through(text).left(place))
}

/// One statement.
pub(super) struct Parsed<'a> {
    /// From the beginning of the module's text to the end of the statement, without what follows it.
    pub(super) text: &'a str,
    pub(super) statement: Statement,
    pub(super) tokens: Tokens<'a>,
    /// Names that the parser was not shown.
    pub(super) names: Vec<Ident>,
    /// Where a token that begins at a place stands in the text.
    spans: HashMap<Location, (usize, usize)>,
}

impl<'a> Parsed<'a> {
    pub(super) fn of(sql: &'a str) -> Result<Self, SqlError> {
        let tokens = Tokens::of(sql)?;
        refuse::by_tokens(&tokens)?;
        let shown = Shown::of(&tokens);
        let (statement, end) = one_statement(&tokens, &shown)?;
        let text = sql.get(..end).unwrap_or(sql);
        let ends = tokens.all.iter().map(|(at, _)| *at).skip(1).chain([sql.len()]);
        let spans = tokens.all.iter().zip(ends).map(|((at, token), end)| (token.span.start, (*at, end))).collect();
        Ok(Self { text, statement, tokens, names: shown.names, spans })
    }

    /// Where a name stands, and what stands there.
    pub(super) fn written(&self, ident: &Ident) -> Option<(usize, &'a str)> {
        let (start, end) = *self.spans.get(&ident.span.start)?;
        Some((start, self.text.get(start..end)?))
    }

    /// What stands between two names.
    pub(super) fn between(&self, first: &Ident, second: &Ident) -> Option<(usize, &'a str)> {
        let (_, start) = *self.spans.get(&first.span.start)?;
        let (end, _) = *self.spans.get(&second.span.start)?;
        Some((start, self.text.get(start..end)?))
    }
}

/// The one statement in the tokens, and where it ends.
fn one_statement(tokens: &Tokens<'_>, shown: &Shown) -> Result<(Statement, usize), SqlError> {
    let all = shown.tokens.iter().map(|(_, token)| token.clone()).collect();
    let mut parser = Parser::new(&Sqlite).with_tokens_with_locations(all);
    while parser.consume_token(&Token::SemiColon) {}
    let statement = parser.parse_statement().map_err(|error| failed(&error, tokens.text))?;
    let rest = shown.tokens.get(parser.index()..).unwrap_or_default();
    let mut ends = rest.iter().map(|(at, _)| *at).chain([tokens.text.len()]);
    let end = ends.find(|at| *at >= shown.end).unwrap_or(tokens.text.len());
    while parser.consume_token(&Token::SemiColon) {}
    let next = parser.peek_token();
    match next.token {
        Token::EOF => Ok((statement, end)),
        found => {
            let at = byte(tokens.text, next.span.start);
            Err(syntax(format!("near \"{found}\": one statement was expected, and it ended before this"), at))
        }
    }
}

/// The parser tells where only in words.
fn failed(error: &ParserError, text: &str) -> SqlError {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        ParserError::RecursionLimitExceeded => return SqlError::Limit { name: "nesting", max: 50 },
    };
    let (message, place) = message.split_once(" at Line: ").unwrap_or((message, ""));
    let numbers = place.split_once(", Column: ");
    let place = numbers.and_then(|(line, column)| Some(Location::new(line.parse().ok()?, column.parse().ok()?)));
    syntax(message, place.and_then(|place| byte(text, place)))
}
