//! Which name a qualified column means.

use sqlparser::ast::{Ident, Query, SetExpr, TableFactor, TableWithJoins};

/// What has to happen to a qualifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Qualifier {
    /// It names an alias.
    Stays,
    /// SQLite knows the table by its physical name only.
    Physical,
    /// There is one table anyway. In the schema a qualifier would keep the table from being renamed.
    Goes,
}

/// What one level of a statement exposes, by the names that columns are qualified with.
#[derive(Debug, Default)]
pub(super) struct Scope(Vec<(String, Qualifier)>);

impl Scope {
    /// Each source has an alias.
    pub(super) fn of(sources: Vec<String>) -> Self {
        Self(sources.into_iter().map(|name| (name, Qualifier::Stays)).collect())
    }

    pub(super) fn table(table: &Ident, qualifier: Qualifier) -> Self {
        Self(vec![(table.value.to_ascii_lowercase(), qualifier)])
    }

    /// None if this level does not know the name at all.
    pub(super) fn find(&self, qualifier: &Ident) -> Option<Qualifier> {
        self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(&qualifier.value)).map(|(_, found)| *found)
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
