//! The functions that a module's SQL may call.
//!
//! A list of what is allowed, because a new SQLite may bring a function that reads a file. Left out are those that
//! reach outside the statement (`load_extension`, `fts3_tokenizer`), tell of the station or of other modules
//! (`sqlite_*`, `changes`, `last_insert_rowid`), and `json_patch`, which takes time with the square of its input
//! inside one step of SQLite's machine, where nothing can interrupt it.

/// Sorted.
#[rustfmt::skip]
const ALLOWED: &[&str] = &[
    "->", "->>", "abs", "avg", "char", "coalesce", "concat", "concat_ws", "count", "cume_dist", "current_date",
    "current_time", "current_timestamp", "date", "datetime", "dense_rank", "first_value", "format", "glob",
    "group_concat", "hex", "if", "ifnull", "iif", "instr", "json", "json_array", "json_array_insert",
    "json_array_length", "json_error_position", "json_extract", "json_group_array", "json_group_object",
    "json_insert", "json_object", "json_pretty", "json_quote", "json_remove", "json_replace", "json_set",
    "json_type", "json_valid", "jsonb", "jsonb_array", "jsonb_array_insert", "jsonb_extract", "jsonb_group_array",
    "jsonb_group_object", "jsonb_insert", "jsonb_object", "jsonb_remove", "jsonb_replace", "jsonb_set", "julianday",
    "lag", "last_value", "lead", "length", "like", "likelihood", "likely", "lower", "ltrim", "max", "min",
    "nth_value", "ntile", "nullif", "octet_length", "percent_rank", "printf", "quote", "random", "randomblob",
    "rank", "replace", "round", "row_number", "rtrim", "sign", "soundex", "strftime", "string_agg", "substr",
    "substring", "subtype", "sum", "time", "timediff", "total", "trim", "typeof", "unhex", "unicode", "unistr",
    "unistr_quote", "unixepoch", "unlikely", "upper", "zeroblob",
];

/// What SQLite itself calls while it carries out `ALTER TABLE`. `sqlite_fail` is not among them: it belongs to the
/// forms of `ALTER TABLE` that put the module's expression into a statement of SQLite's own.
#[rustfmt::skip]
const OF_ALTER: &[&str] = &[
    "sqlite_drop_column", "sqlite_rename_column", "sqlite_rename_quotefix", "sqlite_rename_table",
    "sqlite_rename_test",
];

/// True if modules may call it.
pub(super) fn allowed(name: &str) -> bool {
    ALLOWED.binary_search(&name).is_ok()
}

/// True if SQLite may call it while it alters a module's table.
pub(super) fn allowed_to_alter(name: &str) -> bool {
    allowed(name) || OF_ALTER.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    /// What this SQLite has and modules do not get. A new SQLite turns this red: judge what it brings.
    #[rustfmt::skip]
    const DENIED: &[&str] = &[
        "bm25", "changes", "fts3_tokenizer", "fts5", "fts5_get_locale", "fts5_insttoken", "fts5_locale",
        "fts5_source_id", "highlight", "json_patch", "jsonb_patch", "last_insert_rowid", "load_extension", "match",
        "matchinfo", "offsets", "optimize", "rtreecheck", "rtreedepth", "rtreenode", "snippet",
        "sqlite_compileoption_get", "sqlite_compileoption_used", "sqlite_log", "sqlite_source_id", "sqlite_version",
        "total_changes",
    ];

    #[test]
    fn every_function_of_this_sqlite_was_judged() {
        let connection = Connection::open_in_memory().unwrap();
        let mut list = connection.prepare("SELECT DISTINCT name FROM pragma_function_list ORDER BY name").unwrap();
        let found: Vec<String> = list.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let (given, kept): (Vec<_>, Vec<_>) = found.iter().map(String::as_str).partition(|name| allowed(name));
        assert_eq!(given, ALLOWED);
        assert_eq!(kept, DENIED);
    }
}
