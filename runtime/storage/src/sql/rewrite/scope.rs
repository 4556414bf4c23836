//! Which name a qualified column means.

use sqlparser::ast::{Ident, Query, SetExpr, TableFactor, TableWithJoins};

/// What one level of a statement exposes.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// Sources of rows, by the names that columns are qualified with; each has an alias that says so.
    sources: Vec<String>,
    /// The table that SQLite knows by its physical name only.
    physical: Option<String>,
}

impl Scope {
    pub(super) fn of(sources: Vec<String>) -> Self {
        Self { sources, physical: None }
    }

    pub(super) fn physical(table: &Ident) -> Self {
        Self { sources: Vec::new(), physical: Some(table.value.to_ascii_lowercase()) }
    }

    /// None if this level does not know the name at all.
    pub(super) fn physical_is_needed(&self, qualifier: &Ident) -> Option<bool> {
        let name = qualifier.value.to_ascii_lowercase();
        match self.sources.contains(&name) {
            true => Some(false),
            false => (self.physical.as_ref() == Some(&name)).then_some(true),
        }
    }
}

/// The names of the sources of rows of a query, without those of the queries inside it.
pub(super) fn sources(query: &Query) -> Vec<String> {
    let mut found = Vec::new();
    collect(&query.body, &mut found);
    found
}

fn collect(body: &SetExpr, found: &mut Vec<String>) {
    match body {
        SetExpr::Select(select) => select.from.iter().for_each(|from| joined(from, found)),
        SetExpr::SetOperation { left, right, .. } => {
            collect(left, found);
            collect(right, found);
        }
        _ => {}
    }
}

fn joined(from: &TableWithJoins, found: &mut Vec<String>) {
    factor(&from.relation, found);
    from.joins.iter().for_each(|join| factor(&join.relation, found));
}

fn factor(source: &TableFactor, found: &mut Vec<String>) {
    match source {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            found.push(alias.name.value.to_ascii_lowercase());
        }
        TableFactor::Table { name, alias: None, .. } => {
            found.extend(name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.to_ascii_lowercase()));
        }
        TableFactor::NestedJoin { table_with_joins, .. } => joined(table_with_joins, found),
        _ => {}
    }
}
