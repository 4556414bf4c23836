//! The wall: what SQLite may do for whom. Deny is the last arm everywhere.

use super::{
    cell::Asker,
    functions,
    mode::Mode,
    names::{Names, owner},
};
use rusqlite::hooks::{AuthAction as Action, AuthContext};

/// Nothing, or the table that is changed.
type Verdict<'a> = Result<Option<&'a str>, String>;

/// SQLite's table of the schema. What it holds of others is not for modules.
const SCHEMA: &str = "sqlite_master";
const SCHEMA_TEMP: &str = "sqlite_temp_master";
const SEQUENCE: &str = "sqlite_sequence";

/// Judges one thing that SQLite is about to do.
pub(super) fn judge<'a>(asker: &Asker, context: &'a AuthContext<'_>) -> Verdict<'a> {
    match asker {
        Asker::Nobody => Err("nobody asks".to_owned()),
        Asker::Station => match context.accessor.and_then(owner) {
            Some(module) => plain(&Names::new(module), &context.action),
            None => Ok(None),
        },
        Asker::Module(names, mode) => module(names, *mode, &context.action),
    }
}

fn module<'a>(names: &Names, mode: Mode, action: &'a Action<'_>) -> Verdict<'a> {
    match mode {
        Mode::Plain => plain(names, action),
        Mode::Create => create(names, action),
        Mode::Drop => remove(names, action),
        Mode::Alter => alter(names, action),
        Mode::Transaction => Err(TRANSACTIONS.to_owned()),
        Mode::Foreign => Err(denied(names, action)),
    }
}

/// Reading and writing rows, also by triggers and the actions of foreign keys.
fn plain<'a>(names: &Names, action: &'a Action<'_>) -> Verdict<'a> {
    match action {
        Action::Select | Action::Recursive => Ok(None),
        Action::Function { function_name } if functions::allowed(function_name) => Ok(None),
        Action::Read { table_name, .. } if names.owns(table_name) => Ok(None),
        Action::Insert { table_name } | Action::Update { table_name, .. } | Action::Delete { table_name }
            if names.owns(table_name) =>
        {
            Ok(Some(table_name))
        }
        _ => Err(denied(names, action)),
    }
}

/// Making a table, an index, a view or a trigger. SQLite writes them down in its schema itself, and reads the
/// columns of indexes and checks; nothing here may select, or `CREATE TABLE … AS SELECT` could copy the schema.
fn create<'a>(names: &Names, action: &'a Action<'_>) -> Verdict<'a> {
    match action {
        Action::Insert { table_name } | Action::Update { table_name, .. } | Action::Read { table_name, .. }
            if *table_name == SCHEMA =>
        {
            Ok(None)
        }
        Action::CreateTable { table_name } if *table_name == SEQUENCE => Ok(None),
        Action::CreateTable { table_name } | Action::CreateView { view_name: table_name } if names.owns(table_name) => {
            Ok(Some(table_name))
        }
        Action::CreateTrigger { trigger_name: name, table_name }
        | Action::CreateIndex { index_name: name, table_name }
            if names.owns(table_name) && (names.owns(name) || is_automatic(name, table_name)) =>
        {
            Ok(Some(table_name))
        }
        Action::Read { table_name: name, .. } | Action::Reindex { index_name: name } if names.owns(name) => Ok(None),
        Action::Function { function_name } if functions::allowed(function_name) => Ok(None),
        Action::Select => Err(CREATE_AS_SELECT.to_owned()),
        _ => Err(denied(names, action)),
    }
}

/// The index that SQLite makes for a `UNIQUE` or `PRIMARY KEY` of the table.
fn is_automatic(index: &str, table: &str) -> bool {
    index.strip_prefix("sqlite_autoindex_").is_some_and(|rest| rest.starts_with(table))
}

/// Removing one of them. There is no expression in these statements, so what reads and selects is SQLite itself,
/// or a foreign key between the module's own tables.
fn remove<'a>(names: &Names, action: &'a Action<'_>) -> Verdict<'a> {
    match action {
        Action::Delete { table_name } | Action::Update { table_name, .. } | Action::Read { table_name, .. }
            if [SCHEMA, SEQUENCE, "sqlite_stat1", "sqlite_stat4"].contains(table_name) =>
        {
            Ok(None)
        }
        Action::DropTable { table_name: name } | Action::DropView { view_name: name } if names.owns(name) => {
            Ok(Some(name))
        }
        Action::DropIndex { index_name: name, table_name } | Action::DropTrigger { trigger_name: name, table_name }
            if names.owns(name) && names.owns(table_name) =>
        {
            Ok(Some(table_name))
        }
        _ => plain(names, action),
    }
}

/// Altering a table: SQLite edits the schema with functions of its own, over all of it. What stands in these
/// statements is a name, or the definition of a column, in which SQLite allows no subquery. The new name of a table
/// is not told here; the desk looks at it afterwards.
fn alter<'a>(names: &Names, action: &'a Action<'_>) -> Verdict<'a> {
    match action {
        Action::AlterTable { table_name, .. } if names.owns(table_name) => Ok(Some(table_name)),
        Action::Update { table_name, .. } | Action::Read { table_name, .. }
            if [SCHEMA, SCHEMA_TEMP, SEQUENCE].contains(table_name) =>
        {
            Ok(None)
        }
        Action::Select => Ok(None),
        Action::Read { table_name: name, .. } if names.owns(name) || *name == "pragma_quick_check" => Ok(None),
        Action::Pragma { pragma_name: "quick_check", pragma_value: Some(table) } if names.owns(table) => Ok(None),
        Action::Function { function_name } if functions::allowed_to_alter(function_name) => Ok(None),
        _ => Err(denied(names, action)),
    }
}

pub(super) const TRANSACTIONS: &str = "the station begins and ends transactions itself: all that a call writes is \
     committed when the call succeeds and undone when it fails, so leave this statement out";
pub(super) const CREATE_AS_SELECT: &str =
    "CREATE TABLE … AS SELECT is not offered; create the table with its columns, then INSERT INTO … SELECT";

/// Says what was denied and what to do instead.
fn denied(names: &Names, action: &Action<'_>) -> String {
    match action {
        Action::Function { function_name } => function(function_name),
        Action::Read { table_name, .. }
        | Action::Insert { table_name }
        | Action::Update { table_name, .. }
        | Action::Delete { table_name }
        | Action::CreateTable { table_name }
        | Action::DropTable { table_name }
        | Action::AlterTable { table_name, .. } => table(names.own(table_name)),
        Action::Pragma { pragma_name, .. } => statement(&format!("PRAGMA {pragma_name}")),
        Action::Attach { .. } => statement("ATTACH"),
        Action::Detach { .. } => statement("DETACH"),
        Action::Reindex { .. } => statement("REINDEX"),
        Action::Analyze { .. } => statement("ANALYZE"),
        Action::Transaction { .. } | Action::Savepoint { .. } => TRANSACTIONS.to_owned(),
        Action::CreateVtable { .. } | Action::DropVtable { .. } => VIRTUAL.to_owned(),
        Action::CreateTempTable { .. }
        | Action::CreateTempIndex { .. }
        | Action::CreateTempView { .. }
        | Action::CreateTempTrigger { .. } => TEMPORARY.to_owned(),
        _ => statement("this statement"),
    }
}

pub(super) const VIRTUAL: &str = "virtual tables are not offered; use an ordinary table with an index";
pub(super) const TEMPORARY: &str =
    "temporary tables, views and triggers are not offered; use WITH, or an ordinary table of the module";

pub(super) fn table(name: &str) -> String {
    format!("{name} is not a table of this module; a module reaches what it has created itself, by the plain name")
}

pub(super) fn function(name: &str) -> String {
    format!("the function {name} is not offered to modules; compute it in the module and pass it as a parameter")
}

pub(super) fn statement(what: &str) -> String {
    format!("{what} is not offered to modules; the station looks after its database itself, so leave it out")
}
