//! `LIKE` and `GLOB` again, for patterns that are too long for SQLite's.
//!
//! SQLite compares in time with the product of pattern and value, inside one step of its machine, where no watch is
//! asked; so its own get short patterns only. These answer the same, tell the watch what they do, and end when it says
//! so. They are not there by default, because SQLite finds `GLOB 'a*'` by an index only while the function is its own:
//! a connection gets them with the first pattern that is too long, and keeps them, because SQLite's do not come back.
//! Whoever lends the connection closes it after the unit.
//!
//! A text is read as SQLite reads it: up to a NUL, and what is no UTF-8 as some character.

use super::{
    cell::Cell,
    linear::{Reals, text},
};
use rusqlite::{
    Connection, Error, ffi,
    functions::{Context, FunctionFlags},
};
use std::sync::Arc;

/// The longest pattern that SQLite's own get: with this and the largest value they take 0.8 s on a busy machine, with
/// 256 bytes 3.9 s.
pub(super) const SHORT_BYTES_MAX: u32 = 64;

/// The longest pattern of these: SQLite's own default.
pub(super) const LONG_BYTES_MAX: u32 = 50_000;

/// The limit, as modules are told of it.
pub(super) const LIMIT: &str = "pattern_bytes";

/// Characters compared between two questions to the watch: some ten microseconds.
const COMPARED: u32 = 4_096;

/// Characters compared in the time of a step of SQLite's machine.
const COMPARED_PER_STEP: u32 = 8;

/// What the connection costs that is made for the one that is closed: a millisecond.
const STEPS_OF_A_CONNECTION: u64 = 40_000;

/// How patterns of one kind are written.
#[derive(Clone, Copy)]
struct Kind {
    any: Option<u32>,
    one: Option<u32>,
    /// What makes the next character stand for itself.
    escape: Option<u32>,
    /// Whether `[` begins a set.
    sets: bool,
    /// Whether small and capital letters of ASCII are the same.
    folds: bool,
}

const LIKE: Kind = Kind { any: Some(0x25), one: Some(0x5f), escape: None, sets: false, folds: true };
const GLOB: Kind = Kind { any: Some(0x2a), one: Some(0x3f), escape: None, sets: true, folds: false };

/// A piece of a pattern.
#[derive(Debug)]
enum Piece {
    /// Any characters, or none.
    Any,
    One,
    Is(u32),
    Of(Set),
}

/// A set of characters in brackets.
#[derive(Debug)]
struct Set {
    inverted: bool,
    ranges: Vec<(u32, u32)>,
}

/// Puts them in the place of SQLite's, for good.
pub(super) fn install(conn: &Connection, cell: &Cell) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    let reals = Arc::new(Reals::default());
    for (name, arguments, kind) in [("like", 2, LIKE), ("like", 3, LIKE), ("glob", 2, GLOB)] {
        let (reals, cell) = (reals.clone(), cell.clone());
        conn.create_scalar_function(name, arguments, flags, move |context| compare(context, kind, &reals, &cell))?;
    }
    cell.spend(STEPS_OF_A_CONNECTION);
    Ok(())
}

/// Whether the second argument is as the first one says; none if either is NULL.
fn compare(context: &Context<'_>, kind: Kind, reals: &Reals, cell: &Cell) -> rusqlite::Result<Option<bool>> {
    let pattern = text(context, 0, reals);
    if pattern.as_ref().is_some_and(|pattern| pattern.len() > LONG_BYTES_MAX as usize) {
        return Err(failed(ffi::SQLITE_ERROR, "LIKE or GLOB pattern too complex"));
    }
    let kind = match context.len() {
        3 => match text(context, 2, reals) {
            Some(escape) => kind.escaping(only(&escape)?),
            None => return Ok(None),
        },
        _ => kind,
    };
    let (Some(pattern), Some(all)) = (pattern, text(context, 1, reals)) else { return Ok(None) };
    let Some(pieces) = kind.pieces(&pattern) else { return Ok(Some(false)) };
    matches(&pieces, kind.folds, all_of(&all), cell).map(Some)
}

fn failed(code: i32, message: &str) -> Error {
    Error::SqliteFailure(ffi::Error::new(code), Some(message.to_owned()))
}

/// The one character of a text.
fn only(text: &[u8]) -> rusqlite::Result<u32> {
    match first(all_of(text)) {
        Some((character, [])) => Ok(character),
        _ => Err(failed(ffi::SQLITE_ERROR, "ESCAPE expression must be a single character")),
    }
}

/// What comes before a NUL.
fn all_of(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// The first character and what follows it. A byte of 192 or more takes along what continues it, however much.
fn first(text: &[u8]) -> Option<(u32, &[u8])> {
    let (byte, rest) = text.split_first()?;
    let begun = match byte {
        0xc0..=0xdf => byte & 0x1f,
        0xe0..=0xef => byte & 0x0f,
        0xf0..=0xf7 => byte & 0x07,
        0xf8..=0xfb => byte & 0x03,
        0xfc..=0xfd => byte & 0x01,
        0xfe..=0xff => 0,
        _ => return Some((u32::from(*byte), rest)),
    };
    let length = rest.iter().take_while(|byte| *byte & 0xc0 == 0x80).count();
    let (continued, rest) = rest.split_at_checked(length)?;
    let character = continued.iter().fold(u32::from(begun), |all, byte| (all << 6) + u32::from(byte & 0x3f));
    let is_none = character < 0x80 || character & 0xffff_f800 == 0xd800 || character & 0xffff_fffe == 0xfffe;
    Some((if is_none { 0xfffd } else { character }, rest))
}

fn folded(character: u32) -> u32 {
    u8::try_from(character).map_or(character, |byte| byte.to_ascii_lowercase().into())
}

impl Kind {
    /// The escape character is no wildcard any more.
    fn escaping(self, escape: u32) -> Self {
        let other = |wildcard: Option<u32>| wildcard.filter(|wildcard| *wildcard != escape);
        Self { any: other(self.any), one: other(self.one), escape: Some(escape), ..self }
    }

    /// The pattern in pieces; none if nothing can be like it.
    fn pieces(self, pattern: &[u8]) -> Option<Vec<Piece>> {
        let (mut pieces, mut rest) = (Vec::new(), all_of(pattern));
        while let Some((character, after)) = first(rest) {
            rest = after;
            pieces.push(match Some(character) {
                any if any == self.any => Piece::Any,
                escape if escape == self.escape => Piece::Is(self.read(&mut rest)?),
                one if one == self.one => Piece::One,
                Some(0x5b) if self.sets => Piece::Of(Set::read(&mut rest)?),
                _ => Piece::Is(self.folding(character)),
            });
        }
        Some(pieces)
    }

    fn read(self, rest: &mut &[u8]) -> Option<u32> {
        next(rest).map(|character| self.folding(character))
    }

    fn folding(self, character: u32) -> u32 {
        if self.folds { folded(character) } else { character }
    }
}

fn next(rest: &mut &[u8]) -> Option<u32> {
    let (character, after) = first(rest)?;
    *rest = after;
    Some(character)
}

impl Set {
    /// What follows `[`, up to its `]`; a `]` that comes first is one of the set.
    fn read(rest: &mut &[u8]) -> Option<Self> {
        let mut character = next(rest)?;
        let inverted = character == u32::from('^');
        if inverted {
            character = next(rest)?;
        }
        let mut ranges = Vec::new();
        if character == u32::from(']') {
            ranges.push((character, character));
            character = next(rest)?;
        }
        let mut before = None;
        while character != u32::from(']') {
            let goes_on = character == u32::from('-') && !matches!(rest.first(), Some(b']') | None);
            before = match before.filter(|_| goes_on) {
                Some(from) => {
                    ranges.push((from, next(rest)?));
                    None
                }
                None => {
                    ranges.push((character, character));
                    Some(character)
                }
            };
            character = next(rest)?;
        }
        Some(Self { inverted, ranges })
    }

    fn has(&self, character: u32) -> bool {
        self.ranges.iter().any(|(from, to)| (*from..=*to).contains(&character)) != self.inverted
    }
}

impl Piece {
    fn takes(&self, character: u32) -> bool {
        match self {
            Self::Any => false,
            Self::One => true,
            Self::Is(this) => *this == character,
            Self::Of(set) => set.has(character),
        }
    }

    /// How many characters are compared to see whether it takes one.
    fn width(&self) -> u32 {
        match self {
            Self::Of(set) => u32::try_from(set.ranges.len()).unwrap_or(u32::MAX),
            _ => 1,
        }
    }
}

/// Where a piece fails, only the last `Any` before it need take one character more: what an earlier one took was the
/// least that it could, so more of that would not help.
fn matches(pieces: &[Piece], folds: bool, all: &[u8], cell: &Cell) -> rusqlite::Result<bool> {
    let (mut at, mut rest, mut last_any, mut compared) = (0, all, None, 0_u32);
    loop {
        let piece = pieces.get(at);
        compared = compared.saturating_add(piece.map_or(1, Piece::width));
        if compared >= COMPARED {
            if cell.spend(u64::from(compared / COMPARED_PER_STEP)) {
                return Err(Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_INTERRUPT), None));
            }
            compared = 0;
        }
        match (piece, first(rest)) {
            (Some(Piece::Any), _) => {
                at += 1;
                last_any = Some((at, rest));
                continue;
            }
            (Some(piece), Some((character, after)))
                if piece.takes(if folds { folded(character) } else { character }) =>
            {
                (at, rest) = (at + 1, after);
                continue;
            }
            (None, None) => return Ok(true),
            // Too little is left, and beginning later leaves less.
            (Some(_), None) => return Ok(false),
            _ if last_any.is_some_and(|(after_any, _)| after_any == pieces.len()) => return Ok(true),
            _ => {}
        }
        let Some((after_any, from)) = last_any else { return Ok(false) };
        let Some((_, later)) = first(from) else { return Ok(false) };
        last_any = Some((after_any, later));
        (at, rest) = (after_any, later);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*, sample::select};
    use rusqlite::types::Value;

    const CALLS: [&str; 5] = ["like(A, B)", "glob(A, B)", "like(A, B, '!')", "like(A, B, C)", "like(A, B, '%')"];

    /// A connection with SQLite's own, and one with these.
    fn both() -> [Connection; 2] {
        let (plain, mut ours) = (Connection::open_in_memory().unwrap(), Connection::open_in_memory().unwrap());
        let cell = Cell::install(&mut ours).unwrap();
        ours.authorizer(None::<fn(rusqlite::hooks::AuthContext<'_>) -> rusqlite::hooks::Authorization>).unwrap();
        install(&ours, &cell).unwrap();
        [plain, ours]
    }

    /// The answer, or what SQLite says against it.
    fn answer(conn: &Connection, call: &str, values: [&Value; 3]) -> Result<Option<i64>, String> {
        let sql = format!("SELECT {call}, ?1, ?2, ?3");
        let answer = conn.prepare_cached(&sql).unwrap().query_row(values, |row| row.get(0));
        answer.map_err(|error| error.to_string())
    }

    /// Parameters as they are, and as texts whatever their bytes are.
    fn check(conns: &[Connection; 2], values: [&Value; 3]) {
        for call in CALLS {
            for value in ["?N", "cast(?N as text)"] {
                let of = |number| value.replace('N', number);
                let call = call.replace('A', &of("1")).replace('B', &of("2")).replace('C', &of("3"));
                let [plain, ours] = conns.each_ref().map(|conn| answer(conn, &call, values));
                assert_eq!(ours, plain, "{call} of {values:?}");
            }
        }
    }

    fn conns(check: impl FnOnce(&[Connection; 2])) {
        thread_local!(static CONNS: [Connection; 2] = both());
        CONNS.with(check);
    }

    /// Words that meet again and again in patterns and values, some of them no UTF-8.
    fn words(of: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
        vec(select(of), 0..9).prop_map(|words| words.concat())
    }

    fn pattern() -> impl Strategy<Value = Vec<u8>> {
        const WORDS: &[&[u8]] = &[
            b"a",
            b"A",
            b"b",
            b"%",
            b"%",
            b"_",
            b"*",
            b"*",
            b"?",
            b"[",
            b"]",
            b"^",
            b"-",
            b"[a-c]",
            b"[^a]",
            b"[]a]",
            b"!",
            b"!%",
            b"!_",
            b"!!",
            "\u{e9}".as_bytes(),
            "\u{c9}".as_bytes(),
            b"\xc3",
            b"\xa9",
            b"\xff",
            b"\0",
            "\u{10ffff}".as_bytes(),
        ];
        words(WORDS)
    }

    fn subject() -> impl Strategy<Value = Vec<u8>> {
        const WORDS: &[&[u8]] = &[
            b"a",
            b"A",
            b"b",
            b"B",
            b"c",
            b"aab",
            b"%",
            b"_",
            b"]",
            b"-",
            b"!",
            "\u{e9}".as_bytes(),
            "\u{c9}".as_bytes(),
            b"\xc3",
            b"\xa9",
            b"\xff",
            b"\xed\xa0\x80",
            b"\0",
            "\u{10ffff}".as_bytes(),
        ];
        words(WORDS)
    }

    fn value(bytes: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Value> {
        prop_oneof![
            1 => Just(Value::Null),
            1 => (-20_i64..20).prop_map(Value::Integer),
            1 => Just(Value::Real(1.5)),
            20 => bytes.prop_map(|bytes| String::from_utf8(bytes)
                .map_or_else(|error| Value::Blob(error.into_bytes()), Value::Text)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn they_answer_what_sqlites_do(
            a in value(pattern()), b in value(subject()), c in value(words(&[b"!", b"%", b"_", b"a", b"\0", b"\xc3"])),
        ) {
            conns(|conns| check(conns, [&a, &b, &c]));
        }

        /// Of few letters, so that most of a pattern is like most of a text, and goes back often.
        #[test]
        fn they_go_back_as_sqlites_do(a in "[ab%_*?]{0,12}", b in "[ab]{0,16}") {
            conns(|conns| check(conns, [&Value::Text(a), &Value::Text(b), &Value::Null]));
        }
    }

    #[test]
    fn a_pattern_may_be_as_long_as_sqlite_allows_by_default() {
        conns(|conns| {
            for length in [LONG_BYTES_MAX, LONG_BYTES_MAX + 1] {
                let long = Value::Text("a".repeat(length as usize));
                check(conns, [&long, &long, &Value::Text("!".to_owned())]);
            }
        });
    }
}
