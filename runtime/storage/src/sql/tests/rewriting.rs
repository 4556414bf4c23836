use super::super::{names::Names, rewrite::rewrite};
use station_kernel::work::SqlError;

/// What SQLite gets, without the comment that tells modules apart.
#[track_caller]
fn check(input: &str, expected: &str) {
    let found = rewrite(&Names::new(7), input).unwrap_or_else(|error| panic!("{input}: {error:?}"));
    assert_eq!(found.sql.strip_prefix("/*m7*/ ").unwrap().replace("m7__", "§"), expected, "{input}");
}

#[test]
fn sources_of_rows_keep_their_name_as_an_alias() {
    check("SELECT * FROM cases", r#"SELECT * FROM "§cases" AS "cases""#);
    check("SELECT cases.id, Cases.id FROM Cases", r#"SELECT cases.id, Cases.id FROM "§Cases" AS "Cases""#);
    check("SELECT c.id FROM cases AS c", r#"SELECT c.id FROM "§cases" AS c"#);
    check("SELECT c.id FROM cases c", r#"SELECT c.id FROM "§cases" c"#);
    check(
        "SELECT * FROM cases, notes JOIN cases AS b ON b.id = notes.id LEFT JOIN x USING (id)",
        r#"SELECT * FROM "§cases" AS "cases", "§notes" AS "notes" JOIN "§cases" AS b ON b.id = notes.id LEFT JOIN "§x" AS "x" USING (id)"#,
    );
    check(
        "SELECT (SELECT max(id) FROM notes WHERE notes.id = cases.id) FROM cases WHERE EXISTS (SELECT 1 FROM notes)",
        r#"SELECT (SELECT max(id) FROM "§notes" AS "notes" WHERE notes.id = cases.id) FROM "§cases" AS "cases" WHERE EXISTS (SELECT 1 FROM "§notes" AS "notes")"#,
    );
    check(
        "SELECT * FROM (SELECT id FROM cases) AS s WHERE id IN (SELECT id FROM notes) UNION SELECT 1 FROM notes ORDER BY 1",
        r#"SELECT * FROM (SELECT id FROM "§cases" AS "cases") AS s WHERE id IN (SELECT id FROM "§notes" AS "notes") UNION SELECT 1 FROM "§notes" AS "notes" ORDER BY 1"#,
    );
    check(
        "SELECT * FROM (cases JOIN notes ON true)",
        r#"SELECT * FROM ("§cases" AS "cases" JOIN "§notes" AS "notes" ON true)"#,
    );
}

#[test]
fn what_the_parser_does_not_know_is_hidden_from_it_and_stays() {
    for options in ["STRICT", "WITHOUT ROWID", "STRICT, WITHOUT ROWID", "without rowid , strict"] {
        let table = |name: &str| format!("CREATE TABLE {name} (x TEXT PRIMARY KEY) {options}");
        check(&table("t"), &table(r#""§t""#));
    }
    check("CREATE TABLE t (x PRIMARY KEY) STRICT;", r#"CREATE TABLE "§t" (x PRIMARY KEY) STRICT"#);
    check(
        "CREATE TRIGGER IF NOT EXISTS g AFTER INSERT ON t BEGIN DELETE FROM u WHERE x IN t; END",
        r#"CREATE TRIGGER IF NOT EXISTS "§g" AFTER INSERT ON "§t" BEGIN DELETE FROM "§u" WHERE x IN "§t"; END"#,
    );
    check(
        "WITH a AS MATERIALIZED (SELECT 1), b AS NOT MATERIALIZED (SELECT 2) SELECT * FROM a, b",
        r#"WITH "§a" AS MATERIALIZED (SELECT 1), "§b" AS NOT MATERIALIZED (SELECT 2) SELECT * FROM "§a" AS "a", "§b" AS "b""#,
    );
    check("SELECT 1 FROM t WHERE x IN u AND 1", r#"SELECT 1 FROM "§t" AS "t" WHERE x IN "§u" AND 1"#);
    check(r#"SELECT 1 NOT IN "u v""#, r#"SELECT 1 NOT IN "§u v""#);
    check("SELECT 1 FROM t INDEXED BY i WHERE 1", r#"SELECT 1 FROM "§t" AS "t" INDEXED BY "§i" WHERE 1"#);
    check("SELECT 1 FROM t AS a NOT INDEXED, u", r#"SELECT 1 FROM "§t" AS a NOT INDEXED, "§u" AS "u""#);
    check("DELETE FROM t INDEXED BY i WHERE x = 1", r#"DELETE FROM "§t" AS "t" INDEXED BY "§i" WHERE x = 1"#);
    check(
        "SELECT materialized, strict FROM t WHERE NOT indexed",
        r#"SELECT materialized, strict FROM "§t" AS "t" WHERE NOT indexed"#,
    );
}

#[test]
fn what_is_hidden_is_judged_all_the_same() {
    let refused = |sql: &str| rewrite(&Names::new(7), sql).unwrap_err();
    for sql in ["SELECT 1 IN sqlite_master", "SELECT 1 FROM t INDEXED BY sqlite_autoindex_m8__t_1"] {
        assert!(matches!(refused(sql), SqlError::Denied(_)), "{sql}");
    }
    for sql in [
        "SELECT 1 IN main.t",
        "SELECT 1 IN f(1)",
        "CREATE TABLE t (x) STRICT; DROP TABLE u",
        "CREATE TABLE t (x); STRICT",
        "CREATE TABLE t (x) STRICT SELECT",
        "CREATE TRIGGER IF EXISTS g AFTER INSERT ON t BEGIN SELECT 1; END",
    ] {
        assert!(matches!(refused(sql), SqlError::Syntax { .. } | SqlError::Denied(_)), "{sql}");
    }
}

#[test]
fn texts_without_names_stay_as_they_are() {
    for sql in [
        "SELECT 1",
        "select 'cases', \"x\", [y z], `w` -- cases\n , x'00' /* cases */",
        "VALUES (1, ?1), (:a, @b)",
        "SELECT coalesce(?, $x) WHERE 1 IS NOT DISTINCT FROM 2 AND 'a' GLOB 'b' AND 2 NOTNULL AND 1 isnull",
        "SELECT '{}' -> '$.a' ->> 'b', CAST(1 AS TEXT), 1 COLLATE NOCASE, 0x1F, 1e5, 5 % 3, 1 << 2, ~1, 1 & 2 | 3",
        "SELECT sum(x) FILTER (WHERE x > 1) OVER (PARTITION BY x ORDER BY x) FROM (SELECT 1 AS x)",
        "SELECT CASE x WHEN 1 THEN 2 ELSE 3 END FROM (VALUES (1)) LIMIT 1 OFFSET 2",
        "SELECT 1 LIMIT 1, 2",
        "SELECT current_timestamp, date('now', '-1 day')",
    ] {
        check(sql, sql);
    }
}

#[test]
fn the_text_ends_with_the_statement() {
    check(" ; SELECT 1 ; ; -- end", " ; SELECT 1 ");
    check("SELECT 1 -- end", "SELECT 1 -- end");
}

#[test]
fn names_of_any_kind_are_quoted() {
    check(r#"SELECT * FROM "odd ""name"", é""#, r#"SELECT * FROM "§odd ""name"", é" AS "odd ""name"", é""#);
    check("SELECT * FROM [a b]", r#"SELECT * FROM "§a b" AS "a b""#);
    check("SELECT * FROM `a``b`", r#"SELECT * FROM "§a`b" AS "a`b""#);
    check("SELECT * FROM été, 🦀$", r#"SELECT * FROM "§été" AS "été", "§🦀$" AS "🦀$""#);
    check("SELECT '日本', é.ü\nFROM\té\r\n, x", "SELECT '日本', é.ü\nFROM\t\"§é\" AS \"é\"\r\n, \"§x\" AS \"x\"");
    check("SELECT * FROM modules, sqlite", r#"SELECT * FROM "§modules" AS "modules", "§sqlite" AS "sqlite""#);
    // Who writes a physical name gets a table of that name in its own drawer.
    check("SELECT * FROM m8__cases", r#"SELECT * FROM "§m8__cases" AS "m8__cases""#);
    let own = rewrite(&Names::new(7), "SELECT * FROM m7__x").unwrap().sql;
    assert_eq!(own, r#"/*m7*/ SELECT * FROM "m7__m7__x" AS "m7__x""#);
}

#[test]
fn common_tables_are_names_like_others() {
    check(
        "WITH a AS (SELECT 1), b (x) AS (SELECT * FROM a) SELECT a.x FROM a, b, cases",
        r#"WITH "§a" AS (SELECT 1), "§b" (x) AS (SELECT * FROM "§a" AS "a") SELECT a.x FROM "§a" AS "a", "§b" AS "b", "§cases" AS "cases""#,
    );
    check(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT n.i FROM n",
        r#"WITH RECURSIVE "§n"(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM "§n" AS "n" WHERE i < 3) SELECT n.i FROM "§n" AS "n""#,
    );
    check(
        "WITH cases AS (SELECT 1) INSERT INTO cases SELECT * FROM cases",
        r#"WITH "§cases" AS (SELECT 1) INSERT INTO "§cases" AS "cases" SELECT * FROM "§cases" AS "cases""#,
    );
}

#[test]
fn statements_that_write() {
    check("INSERT INTO cases (title) VALUES ('a')", r#"INSERT INTO "§cases" AS "cases" (title) VALUES ('a')"#);
    check("INSERT INTO cases AS c VALUES (1)", r#"INSERT INTO "§cases" AS c VALUES (1)"#);
    check("INSERT INTO cases DEFAULT VALUES", r#"INSERT INTO "§cases" AS "cases" DEFAULT VALUES"#);
    check("REPLACE INTO cases VALUES (1)", r#"REPLACE INTO "§cases" AS "cases" VALUES (1)"#);
    check("INSERT OR IGNORE INTO cases VALUES (1)", r#"INSERT OR IGNORE INTO "§cases" AS "cases" VALUES (1)"#);
    check(
        "INSERT INTO cases (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET n = cases.n + excluded.n WHERE cases.n > 1",
        r#"INSERT INTO "§cases" AS "cases" (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET n = cases.n + excluded.n WHERE cases.n > 1"#,
    );
    check(
        "UPDATE cases SET n = cases.n + 1 WHERE cases.id = 1",
        r#"UPDATE "§cases" AS "cases" SET n = cases.n + 1 WHERE cases.id = 1"#,
    );
    check(
        "UPDATE cases SET n = s.n FROM (SELECT n FROM notes) AS s",
        r#"UPDATE "§cases" AS "cases" SET n = s.n FROM (SELECT n FROM "§notes" AS "notes") AS s"#,
    );
    check("DELETE FROM cases WHERE cases.id = 1", r#"DELETE FROM "§cases" AS "cases" WHERE cases.id = 1"#);
    check(
        "UPDATE cases SET n = cases.n RETURNING cases.id, (SELECT cases.x FROM y AS cases), id",
        r#"UPDATE "§cases" AS "cases" SET n = cases.n RETURNING "§cases".id, (SELECT cases.x FROM "§y" AS cases), id"#,
    );
}

#[test]
fn statements_that_change_the_schema() {
    check(
        "CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY AUTOINCREMENT, b TEXT NOT NULL UNIQUE REFERENCES u (x) ON DELETE SET NULL, c AS (a + 1) STORED, CHECK (t.a > 0), FOREIGN KEY (b) REFERENCES t(a)) STRICT",
        r#"CREATE TABLE IF NOT EXISTS "§t" (a INTEGER PRIMARY KEY AUTOINCREMENT, b TEXT NOT NULL UNIQUE REFERENCES "§u" (x) ON DELETE SET NULL, c AS (a + 1) STORED, CHECK (a > 0), FOREIGN KEY (b) REFERENCES "§t"(a)) STRICT"#,
    );
    check(
        "CREATE TABLE t (a, PRIMARY KEY (a)) WITHOUT ROWID",
        r#"CREATE TABLE "§t" (a, PRIMARY KEY (a)) WITHOUT ROWID"#,
    );
    check("DROP TABLE IF EXISTS t", r#"DROP TABLE IF EXISTS "§t""#);
    check("ALTER TABLE t RENAME TO u", r#"ALTER TABLE "§t" RENAME TO "§u""#);
    check("ALTER TABLE t RENAME COLUMN a TO b", r#"ALTER TABLE "§t" RENAME COLUMN a TO b"#);
    check("ALTER TABLE t ADD COLUMN a REFERENCES u(x)", r#"ALTER TABLE "§t" ADD COLUMN a REFERENCES "§u"(x)"#);
    check("ALTER TABLE t DROP COLUMN a", r#"ALTER TABLE "§t" DROP COLUMN a"#);
    check(
        "CREATE UNIQUE INDEX IF NOT EXISTS i ON t (lower(a), b DESC) WHERE a > 1",
        r#"CREATE UNIQUE INDEX IF NOT EXISTS "§i" ON "§t" (lower(a), b DESC) WHERE a > 1"#,
    );
    check("DROP INDEX i", r#"DROP INDEX "§i""#);
    check("CREATE VIEW v (x) AS SELECT t.a FROM t", r#"CREATE VIEW "§v" (x) AS SELECT t.a FROM "§t" AS "t""#);
    check("DROP VIEW v", r#"DROP VIEW "§v""#);
    check("DROP TRIGGER IF EXISTS g", r#"DROP TRIGGER IF EXISTS "§g""#);
}

/// In a trigger SQLite allows no alias for the table that is written to.
#[test]
fn triggers() {
    check(
        "CREATE TRIGGER g AFTER UPDATE OF a ON t FOR EACH ROW WHEN new.a > old.a BEGIN UPDATE u SET n = u.n + new.a WHERE u.id IN (SELECT u.id FROM u WHERE t.x = u.x); DELETE FROM u WHERE u.id = 1; INSERT INTO u SELECT u.a FROM u ON CONFLICT DO UPDATE SET a = u.a; SELECT u.a FROM u; END",
        r#"CREATE TRIGGER "§g" AFTER UPDATE OF a ON "§t" FOR EACH ROW WHEN new.a > old.a BEGIN UPDATE "§u" SET n = "§u".n + new.a WHERE "§u".id IN (SELECT u.id FROM "§u" AS "u" WHERE t.x = u.x); DELETE FROM "§u" WHERE "§u".id = 1; INSERT INTO "§u" SELECT u.a FROM "§u" AS "u" ON CONFLICT DO UPDATE SET a = "§u".a; SELECT u.a FROM "§u" AS "u"; END"#,
    );
}

#[test]
fn what_is_no_statement_is_a_mistake_in_the_text() {
    for (sql, at) in [
        ("", None),
        (" ;; -- nothing", None),
        ("SELEC 1", Some(0)),
        ("SELECT 1; SELECT 2", Some(10)),
        ("SELECT 'é',\n 'open", Some(14)),
        ("SELECT 1 FROM t WHERE\nx = )", Some(26)),
        ("SELECT \0", Some(7)),
        ("TRUNCATE TABLE t", None),
        ("DELETE t", None),
        ("MERGE INTO t USING u ON 1 WHEN MATCHED THEN DELETE", None),
    ] {
        match rewrite(&Names::new(7), sql) {
            Err(SqlError::Syntax { offset, .. }) => assert_eq!(offset, at, "{sql}"),
            other => panic!("{sql}: {other:?}"),
        }
    }
}
