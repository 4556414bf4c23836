//! What kind of statement a text is, told by its first words exactly as SQLite would read them.
//!
//! The authorizer hears of SQLite's own reads and writes of the schema as if the statement had asked for them, so it
//! has to know whether the statement is one that needs them. SQLite has no two statements that begin alike and
//! belong to different modes; the text given here is the very text that SQLite gets.

/// Which of SQLite's statements may do what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Reads and writes rows.
    Plain,
    /// Makes a table, an index, a view or a trigger.
    Create,
    /// Removes one.
    Drop,
    /// Changes a table.
    Alter,
    /// Begins or ends what only the station begins and ends.
    Transaction,
    /// Everything else, such as `PRAGMA`.
    Foreign,
}

impl Mode {
    /// The mode of a text; none when it has no words at all.
    pub(super) fn of(sql: &str) -> Option<Self> {
        let mut words = words(sql);
        let first = words.next()?;
        Some(match first.as_str() {
            "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "WITH" | "VALUES" => Self::Plain,
            "CREATE" => created(words.next().as_deref()),
            "DROP" => Self::Drop,
            "ALTER" => Self::Alter,
            "BEGIN" | "COMMIT" | "END" | "ROLLBACK" | "SAVEPOINT" | "RELEASE" => Self::Transaction,
            _ => Self::Foreign,
        })
    }

    pub(super) fn is_schema(self) -> bool {
        matches!(self, Self::Create | Self::Drop | Self::Alter)
    }
}

fn created(what: Option<&str>) -> Mode {
    match what {
        Some("TABLE" | "INDEX" | "UNIQUE" | "VIEW" | "TRIGGER") => Mode::Create,
        _ => Mode::Foreign,
    }
}

/// The words at the beginning of a text in capitals; what is no word comes as it is, and ends them.
pub(super) fn words(sql: &str) -> impl Iterator<Item = String> {
    let mut rest = sql;
    std::iter::from_fn(move || {
        rest = skip(rest);
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (word, after) = rest.split_at_checked(end)?;
        rest = if word.is_empty() { "" } else { after };
        (!word.is_empty()).then(|| word.to_ascii_uppercase())
    })
}

/// Without white space, comments and the semicolons of empty statements.
fn skip(mut sql: &str) -> &str {
    loop {
        let before = sql.len();
        sql = sql.trim_start_matches([' ', '\t', '\n', '\x0c', '\r', ';', '\u{feff}']);
        if let Some(comment) = sql.strip_prefix("--") {
            sql = comment.split_once('\n').map_or("", |(_, rest)| rest);
        } else if let Some(comment) = sql.strip_prefix("/*") {
            sql = comment.split_once("*/").map_or("", |(_, rest)| rest);
        }
        if sql.len() == before {
            return sql;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_is_told_by_the_first_words() {
        for (sql, expected) in [
            ("select 1", Some(Mode::Plain)),
            ("  /* CREATE */ -- DROP\n\tWith x AS (SELECT 1) SELECT 1", Some(Mode::Plain)),
            ("--\rCREATE TABLE x (y)\nUPDATE x SET y = 1", Some(Mode::Plain)),
            ("/*/ CREATE TABLE */ VALUES (1)", Some(Mode::Plain)),
            ("CREATE/**/TABLE x (y)", Some(Mode::Create)),
            ("CREATE UNIQUE INDEX i ON x (y)", Some(Mode::Create)),
            ("CREATE TEMP TABLE x (y)", Some(Mode::Foreign)),
            ("CREATE VIRTUAL TABLE x USING fts5 (y)", Some(Mode::Foreign)),
            (";; drop table x", Some(Mode::Drop)),
            ("ALTER TABLE x RENAME TO y", Some(Mode::Alter)),
            ("Rollback", Some(Mode::Transaction)),
            ("EXPLAIN SELECT 1", Some(Mode::Foreign)),
            ("PRAGMA user_version", Some(Mode::Foreign)),
            ("(SELECT 1)", None),
            ("-- nothing", None),
            ("", None),
        ] {
            assert_eq!(Mode::of(sql), expected, "{sql}");
        }
    }
}
