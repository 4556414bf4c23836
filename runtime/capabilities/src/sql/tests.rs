//! What can be said without a database: pages, what an instance may keep, and the words that guests see.

use super::host::{station::sql::types::Error, told};
use super::options::Settings;
use super::rows::{Session, Size};
use super::statement::Kind;
use station_kernel::StorageError;
use station_kernel::work::{Rows, SqlError, Value};
use station_model::CallId;

fn small() -> Settings {
    Settings {
        rows_max: 10,
        bytes_max: 10_000,
        live_rows_max: 12,
        live_bytes_max: 100_000,
        column_bytes_max: 20,
        page_rows_max: 3,
        page_bytes_max: 500,
    }
}

fn rows(count: usize, text: &str) -> Rows {
    let row = |n| vec![Value::Integer(n), Value::Text(text.to_owned())];
    Rows { columns: vec!["n".to_owned()], rows: (0..count as i64).map(row).collect(), ..Rows::default() }
}

#[test]
fn a_page_ends_at_its_rows_and_at_its_bytes_and_has_one_row_at_least() {
    let lengths = |text: &str, max: u32| {
        let mut held = Session::new(small()).keep(rows(7, text)).unwrap();
        let pages = std::iter::from_fn(|| Some(held.page(max, &small()).0.len()).filter(|rows| *rows > 0));
        pages.collect::<Vec<_>>()
    };
    assert_eq!(lengths("", 2), [2, 2, 2, 1]);
    assert_eq!(lengths("", u32::MAX), [3, 3, 1]);
    assert_eq!(lengths(&"x".repeat(130), 10), [2, 2, 2, 1]);
    assert_eq!(lengths(&"x".repeat(600), 10), [1; 7]);
    assert_eq!(lengths("", 0), [0; 0]);
}

#[test]
fn what_is_not_read_leaves_less_for_the_next_result() {
    let mut session = Session::new(small());
    assert_eq!(session.caps(), small().caps());
    let mut first = session.keep(rows(10, "")).unwrap();
    assert_eq!(session.caps().rows_max, 2);
    let (page, size) = first.page(3, &small());
    assert_eq!(size, Size::of(&page));
    session.release(size);
    assert_eq!(session.caps().rows_max, 5);
    session.release(first.left);
    assert_eq!(session.caps(), small().caps());
}

#[test]
fn a_limit_is_named_by_what_would_help() {
    let mut session = Session::new(small());
    let name = |session: &Session| {
        let error = SqlError::Limit { name: "rows", max: session.caps().rows_max as u64 };
        match told(&"m".parse().unwrap(), session.name_limit(session.caps(), error)) {
            Error::Limit(limit) => (limit.name, limit.max),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(name(&session), ("rows".to_owned(), 10));
    session.keep(rows(10, "")).unwrap();
    assert_eq!(name(&session), ("live-rows".to_owned(), 12));
}

#[test]
fn names_of_columns_are_bounded() {
    let long = Rows { columns: vec!["c".repeat(11); 2], ..Rows::default() };
    assert!(matches!(Session::new(small()).keep(long), Err(SqlError::Limit { name: "column_bytes", max: 20 })));
}

#[test]
fn the_last_row_id_is_that_of_the_running_call() {
    let mut session = Session::new(small());
    let [one, other] = ["call-0190f3d2a6c87c3fb1c2d3e4f5061728", "call-0190f3d2a6c87c3fb1c2d3e4f5061729"];
    let [one, other] = [one, other].map(|id| Some(id.parse::<CallId>().unwrap()));
    assert_eq!(session.last_row_id(one), 0);
    session.inserted(one, 7);
    assert_eq!(session.last_row_id(one), 7);
    assert_eq!(session.last_row_id(other), 0, "a reused instance");
}

#[test]
fn the_verb_of_a_statement_is_found_behind_everything_that_may_stand_before_it() {
    let check = |sql: &str, kind: Kind| assert_eq!(Kind::of(sql), kind, "{sql}");
    check("insert into t values (1)", Kind::Insert);
    check(" \n-- update\n/* delete */ REPLACE INTO t VALUES (1)", Kind::Insert);
    check("UPDATE t SET a = 1", Kind::Change);
    check("DELETE FROM t", Kind::Change);
    check("with a(x) as (select 1), \"insert\" as (select ')') insert into t select * from a", Kind::Insert);
    check("WITH a AS (INSERT) SELECT * FROM a", Kind::Other);
    check("with [delete] as (select 1) update t set a = 'it''s insert'", Kind::Change);
    check("select 'insert'", Kind::Other);
    check("create table t (a)", Kind::Other);
    check("explain insert into t values (1)", Kind::Other);
    for odd in ["", ";", "'", "(", "((", "/*", "--", "[", "\u{2603} insert", "é"] {
        assert_eq!(Kind::of(odd) == Kind::Insert, odd.ends_with("insert"), "{odd}");
    }
}

#[test]
fn a_broken_storage_says_nothing_about_the_host() {
    let broken = StorageError { doing: "reading".to_owned(), source: "the disk /secret is gone".into() };
    match told(&"m".parse().unwrap(), SqlError::Storage(broken)) {
        Error::Other(why) => assert_eq!(why, "the storage failed"),
        other => panic!("{other:?}"),
    }
}
