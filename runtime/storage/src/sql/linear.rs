//! Four of SQLite's functions again, because SQLite's take time with the product of what they are given.
//!
//! `instr` with two texts of a few megabytes runs for a minute, inside one step of SQLite's machine, where no watch
//! is asked. These answer the same and read each text once. They are registered on every connection of a desk, so
//! what a module keeps in an index or a check is computed the same way everywhere.
//!
//! A text may hold bytes that are no UTF-8: a blob that is used as one, or a part of one. SQLite works on bytes and
//! so do these. Only the standard library searches in linear time, and only texts, so what is not UTF-8 is searched
//! with one character for each byte.

use rusqlite::{
    Connection, Error, ToSql,
    functions::{Context, FunctionFlags},
    types::{ToSqlOutput, ValueRef},
};
use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

type Answer = rusqlite::Result<Found>;

/// What they answer with. A text is text whatever its bytes are, also if it comes of a blob.
enum Found {
    Nothing,
    At(i64),
    Text(Vec<u8>),
}

impl ToSql for Found {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Nothing => ValueRef::Null,
            Self::At(position) => ValueRef::Integer(*position),
            Self::Text(bytes) => ValueRef::Text(bytes),
        }))
    }
}

/// Puts them in the place of SQLite's.
pub(super) fn install(conn: &Connection) -> rusqlite::Result<()> {
    type Function = fn(&Context<'_>, &Reals) -> Option<Answer>;
    const ALL: [(&str, i32, Function); 5] = [
        ("instr", 2, instr),
        ("replace", 3, replace),
        ("trim", 2, |context, reals| trim(context, reals, true, true)),
        ("ltrim", 2, |context, reals| trim(context, reals, true, false)),
        ("rtrim", 2, |context, reals| trim(context, reals, false, true)),
    ];
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    let reals = Arc::new(Reals::default());
    for (name, arguments, function) in ALL {
        let reals = reals.clone();
        conn.create_scalar_function(name, arguments, flags, move |context| {
            function(context, &reals).unwrap_or(Ok(Found::Nothing))
        })?;
    }
    conn.create_scalar_function("unhex", 2, flags, |_| -> Answer {
        Err(Error::UserFunctionError("unhex takes one argument here; remove other characters before".into()))
    })
}

/// How SQLite writes numbers with a fraction, of which it has rules of its own: by asking it. The connection is made
/// for the first such number and has nothing in it.
#[derive(Default)]
pub(super) struct Reals(OnceLock<Option<Mutex<Connection>>>);

impl Reals {
    fn text(&self, number: f64) -> Option<String> {
        let conn = self.0.get_or_init(|| Connection::open_in_memory().ok().map(Mutex::new)).as_ref()?;
        let conn = conn.lock().unwrap_or_else(PoisonError::into_inner);
        conn.prepare_cached("SELECT CAST(?1 AS TEXT)").ok()?.query_row([number], |row| row.get(0)).ok()
    }
}

/// A value as text; none for NULL, of which nothing comes.
pub(super) fn text<'a>(context: &'a Context<'_>, index: usize, reals: &Reals) -> Option<Cow<'a, [u8]>> {
    Some(match context.get_raw(index) {
        ValueRef::Null => return None,
        ValueRef::Integer(number) => number.to_string().into_bytes().into(),
        ValueRef::Real(number) => reals.text(number).unwrap_or_else(|| format!("{number:?}")).into_bytes().into(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.into(),
    })
}

/// Texts that can be searched: as they are if all of them are UTF-8, otherwise with a character for each byte.
struct Texts<'a, const N: usize> {
    of: [Cow<'a, str>; N],
    wide: bool,
}

impl<'a, const N: usize> Texts<'a, N> {
    fn new(of: [&'a [u8]; N]) -> Self {
        match of.iter().all(|bytes| std::str::from_utf8(bytes).is_ok()) {
            true => Self { of: of.map(String::from_utf8_lossy), wide: false },
            false => Self::wide(of),
        }
    }

    fn wide(of: [&'a [u8]; N]) -> Self {
        Self { of: of.map(|bytes| bytes.iter().map(|byte| char::from(*byte)).collect()), wide: true }
    }

    /// The bytes of a text that was made of these.
    fn bytes(&self, text: String) -> Vec<u8> {
        match self.wide {
            true => text.chars().filter_map(|character| u8::try_from(character).ok()).collect(),
            false => text.into_bytes(),
        }
    }

    /// How many bytes a piece of these has.
    fn length(&self, piece: &str) -> usize {
        if self.wide { piece.chars().count() } else { piece.len() }
    }
}

/// Where the second stands in the first, counted from 1: in bytes if both are blobs, otherwise in characters.
fn instr(context: &Context<'_>, reals: &Reals) -> Option<Answer> {
    let (all, part) = (text(context, 0, reals)?, text(context, 1, reals)?);
    let found = match (context.get_raw(0), context.get_raw(1)) {
        (ValueRef::Blob(_), ValueRef::Blob(_)) => find(&Texts::wide([&all, &part])).map(|before| before + 1),
        _ => find(&Texts::new([&all, &part])).and_then(|before| characters(&all, before)),
    };
    Some(Ok(Found::At(found.and_then(|at| i64::try_from(at).ok()).unwrap_or(0))))
}

/// How many bytes come before the second of these in the first.
fn find(texts: &Texts<'_, 2>) -> Option<usize> {
    let [all, part] = &texts.of;
    all.find(part.as_ref()).and_then(|at| all.get(..at)).map(|before| texts.length(before))
}

/// The number of the character that begins after `before` bytes, if one does. The first byte always begins one.
fn characters(all: &[u8], before: usize) -> Option<usize> {
    let begins = |byte: &u8| byte & 0xc0 != 0x80;
    if before > 0 && !all.get(before).is_none_or(begins) {
        return None;
    }
    Some(1 + all.iter().take(before + 1).skip(1).filter(|byte| begins(byte)).count())
}

/// Nothing to look for leaves the first as it is, whatever the third; SQLite takes a NUL for the end of what to look
/// for if it comes first.
fn replace(context: &Context<'_>, reals: &Reals) -> Option<Answer> {
    let (all, old) = (text(context, 0, reals)?, text(context, 1, reals)?);
    if old.first().is_none_or(|byte| *byte == 0) {
        return Some(Ok(Found::Text(all.into_owned())));
    }
    let new = text(context, 2, reals)?;
    let texts = Texts::new([&all, &old, &new]);
    let [in_all, in_old, in_new] = &texts.of;
    let count = in_all.matches(in_old.as_ref()).count();
    let length = all.len() - count * old.len() + count * new.len();
    Some(match length > super::desk::VALUE_BYTES_MAX as usize {
        true => Err(Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_TOOBIG), None)),
        false => Ok(Found::Text(texts.bytes(in_all.replace(in_old.as_ref(), in_new)))),
    })
}

fn trim(context: &Context<'_>, reals: &Reals, left: bool, right: bool) -> Option<Answer> {
    let (all, set) = (text(context, 0, reals)?, text(context, 1, reals)?);
    let set = Set::new(&set);
    let rest = if left { set.after(&all) } else { &all };
    let rest = if right { set.before(rest) } else { rest };
    Some(Ok(Found::Text(rest.to_owned())))
}

/// The longest character of UTF-8. What is longer is none, and is not cut off.
const CHARACTER_BYTES_MAX: usize = 4;

/// The characters to cut off, and which comes first: of characters that are broken, one can begin another.
struct Set<'a> {
    order: HashMap<&'a [u8], usize>,
    /// The lengths that they have.
    lengths: Vec<usize>,
}

impl<'a> Set<'a> {
    /// A byte of 192 or more takes along what continues it. A NUL ends the set.
    fn new(bytes: &'a [u8]) -> Self {
        let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        let runs = bytes.chunk_by(|one, next| *one >= 0x80 && next & 0xc0 == 0x80);
        let length = |run: &[u8]| if run.first() >= Some(&0xc0) { run.len() } else { 1 };
        let characters = runs.flat_map(|run| run.chunks(length(run)));
        let mut order = HashMap::new();
        for (at, character) in characters.enumerate() {
            order.entry(character).or_insert(at);
        }
        let has = |length: &usize| order.keys().any(|character| character.len() == *length);
        let lengths = (1..=CHARACTER_BYTES_MAX).filter(has).collect();
        Self { order, lengths }
    }

    fn after<'b>(&self, mut all: &'b [u8]) -> &'b [u8] {
        while let Some(rest) = self.first(|length| all.split_at_checked(length)).map(|(_, rest)| rest) {
            all = rest;
        }
        all
    }

    fn before<'b>(&self, mut all: &'b [u8]) -> &'b [u8] {
        let last = |all: &'b [u8], length| all.split_at_checked(all.len().checked_sub(length)?).map(|(a, b)| (b, a));
        while let Some(rest) = self.first(|length| last(all, length)).map(|(_, rest)| rest) {
            all = rest;
        }
        all
    }

    /// Of the pieces that `cut` makes, the one whose character comes first in the set.
    fn first<'b>(&self, cut: impl Fn(usize) -> Option<(&'b [u8], &'b [u8])>) -> Option<(&'b [u8], &'b [u8])> {
        // What is longer than a byte begins so, and looking for the others would be most of the time.
        let can_be = |piece: &[u8]| piece.len() == 1 || piece.first() >= Some(&0xc0);
        let pieces = self.lengths.iter().copied().filter_map(cut).filter(|piece| can_be(piece.0));
        let known = pieces.filter_map(|piece| self.order.get(piece.0).map(|order| (order, piece)));
        known.min_by_key(|(order, _)| *order).map(|(_, piece)| piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*, sample::select};
    use rusqlite::types::Value;
    use std::time::Instant;

    const CALLS: [&str; 7] = [
        "instr(A, B)",
        "replace(A, B, C)",
        "replace(A, B, 'é')",
        "replace('aéa1', A, B)",
        "trim(A, B)",
        "ltrim(A, B)",
        "rtrim(A, B)",
    ];

    /// A connection with SQLite's own, and one with ours.
    fn both() -> [Connection; 2] {
        let (plain, ours) = (Connection::open_in_memory().unwrap(), Connection::open_in_memory().unwrap());
        install(&ours).unwrap();
        [plain, ours]
    }

    /// The type of an answer and its bytes.
    fn answer(conn: &Connection, call: &str, values: [&Value; 3]) -> (String, String) {
        let sql = format!("SELECT typeof({call}), hex({call}), ?1, ?2, ?3");
        conn.prepare_cached(&sql).unwrap().query_row(values, |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    }

    fn check(conns: &[Connection; 2], call: &str, values: [&Value; 3]) {
        let [plain, ours] = conns.each_ref().map(|conn| answer(conn, call, values));
        assert_eq!(ours, plain, "{call} of {values:?}");
    }

    #[test]
    fn they_answer_what_sqlites_do() {
        let conns = both();
        let texts = ["", "a", "aba", "éaé", "é", "xyx", " a ", "\0", "a\0b", "1.5"];
        let blobs: [&[u8]; 9] =
            [b"", b"a", b"\xc3\xa9a", b"\xc3", b"\xa9", b"\xa9\xc3\xa9", b"\0", b"\xc3\xc3\xa9", b"\xff\xfe"];
        let reals = [0.0, -0.0, 1.5, 1e20, 1e-7, 0.1 + 0.2, 1e15, 1e300, f64::INFINITY, f64::MIN_POSITIVE];
        let values: Vec<_> = [Value::Null, Value::Integer(1), Value::Integer(-12), Value::Integer(i64::MIN)]
            .into_iter()
            .chain(texts.map(|text| Value::Text(text.to_owned())))
            .chain(blobs.map(|blob| Value::Blob(blob.to_owned())))
            .chain(reals.map(Value::Real))
            .collect();
        for call in CALLS.iter().flat_map(|call| variants(call)) {
            for a in &values {
                for b in &values {
                    check(&conns, &call, [a, b, b]);
                }
            }
        }
    }

    /// The call with parameters as they are, and with the first or both made texts, whatever their bytes are.
    fn variants(call: &str) -> [String; 3] {
        let text = |number| format!("cast(?{number} as text)");
        let plain = |number| format!("?{number}");
        [[plain(1), plain(2)], [text(1), plain(2)], [text(1), text(2)]]
            .map(|[a, b]| call.replace('A', &a).replace('B', &b).replace('C', "?3"))
    }

    #[test]
    fn nothing_replaced_in_a_blob_or_a_number_is_a_text() {
        let conns = both();
        for (call, bytes) in
            [("replace(x'', '', 'é')", ""), ("replace(x'61', '', 'é')", "61"), ("replace(1, '', 'é')", "31")]
        {
            let [plain, ours] = conns.each_ref().map(|conn| answer(conn, call, [&Value::Null; 3]));
            assert_eq!(ours, ("text".to_owned(), bytes.to_owned()), "{call}");
            assert_eq!(ours, plain, "{call}");
        }
    }

    /// Bytes of which some are no UTF-8, but none begins more than a character can be long.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = select(vec![b'a', b'b', b'1', b'.', b'-', 0xc3, 0xa9, 0x80, 0xff, 0]);
        let pieces = prop_oneof![Just("é".as_bytes().to_vec()), Just("\u{10ffff}".as_bytes().to_vec()), vec(byte, 1)];
        vec(pieces, 0..8).prop_map(|pieces| pieces.concat()).prop_filter("too long", |bytes| {
            bytes.chunk_by(|_, next| next & 0xc0 == 0x80).all(|run| run.len() <= CHARACTER_BYTES_MAX)
        })
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            1 => Just(Value::Null),
            2 => (-20i64..20).prop_map(Value::Integer),
            1 => any::<i64>().prop_map(Value::Integer),
            2 => select(vec![1.0, 1.5, -0.1, 11.25]).prop_map(Value::Real),
            1 => any::<f64>().prop_map(Value::Real),
            4 => "[ab1éß.\0-]{0,6}".prop_map(Value::Text),
            4 => bytes().prop_map(Value::Blob),
        ]
    }

    proptest! {
        #[test]
        fn they_answer_what_sqlites_do_to_any_values(a in value(), b in value(), c in value()) {
            thread_local!(static CONNS: [Connection; 2] = both());
            CONNS.with(|conns| {
                for call in CALLS.iter().flat_map(|call| variants(call)) {
                    check(conns, &call, [&a, &b, &c]);
                }
            });
        }
    }

    #[test]
    fn they_take_no_longer_than_reading() {
        let conn = Connection::open_in_memory().unwrap();
        install(&conn).unwrap();
        let started = Instant::now();
        for call in [
            "instr(hex(zeroblob(1000000)), hex(zeroblob(500000)) || '1')",
            "instr(zeroblob(2000000), CAST(zeroblob(1000000) || 'x' AS BLOB))",
            "replace(hex(zeroblob(1000000)), hex(zeroblob(500000)) || '1', 'x')",
            "replace(x'ff' || hex(zeroblob(1000000)), hex(zeroblob(500000)) || '1', 'x')",
            "trim(hex(zeroblob(200000)), hex(randomblob(200000)) || '0')",
            "trim(x'c3' || CAST(replace(hex(zeroblob(200000)), '0', x'a9') AS BLOB), x'a9')",
        ] {
            conn.query_row(&format!("SELECT typeof({call})"), [], |_| Ok(())).unwrap();
        }
        assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    }
}
