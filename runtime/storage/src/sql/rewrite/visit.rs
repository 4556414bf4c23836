//! Finds the names in a parsed statement.

use super::{
    super::{
        names::{Names, quote},
        wall,
    },
    Edits,
    parse::Parsed,
    scope::{Qualifier, Scope, sources},
    syntax,
};
use sqlparser::ast::{
    AlterTable, AlterTableOperation as Alter, ColumnDef, ColumnOption, CreateIndex, CreateTable, CreateTrigger, Delete,
    Expr, FromTable, Ident, Insert, ObjectName, ObjectNamePart, ObjectType, Query, RenameTableNameKind, SelectItem,
    Statement, TableConstraint, TableFactor, TableObject, TableWithJoins, Update, Visit, Visitor,
};
use station_kernel::work::SqlError;
use std::ops::ControlFlow::{self, Break, Continue};

type Flow = ControlFlow<SqlError>;

/// The edits that put physical names into the statement.
pub(super) fn edits(names: &Names, parsed: &Parsed<'_>) -> Result<Edits, SqlError> {
    let mut finder =
        Finder { names, parsed, edits: Edits::default(), scopes: Vec::new(), trigger: false, target: None };
    match finder.all() {
        Continue(()) => Ok(finder.edits),
        Break(error) => Err(error),
    }
}

struct Finder<'a> {
    names: &'a Names,
    parsed: &'a Parsed<'a>,
    edits: Edits,
    scopes: Vec<Scope>,
    /// In the body of a trigger, where SQLite allows no alias for what is written to.
    trigger: bool,
    /// The name of what the trigger's statement writes to.
    target: Option<Ident>,
}

impl Visitor for Finder<'_> {
    type Break = SqlError;

    fn pre_visit_statement(&mut self, statement: &Statement) -> Flow {
        self.scopes.push(Scope::default());
        match statement {
            Statement::Query(_) => Continue(()),
            Statement::Insert(insert) => self.insert(insert),
            Statement::Update(update) => self.update(update),
            Statement::Delete(delete) => self.delete(delete),
            Statement::CreateTable(table) => self.create_table(table),
            Statement::CreateIndex(index) => self.create_index(index),
            Statement::CreateView(view) => self.name(&view.name),
            Statement::CreateTrigger(trigger) => self.create_trigger(trigger),
            Statement::AlterTable(table) => self.alter_table(table),
            Statement::DropTrigger(trigger) => self.name(&trigger.trigger_name),
            Statement::Drop {
                object_type: ObjectType::Table | ObjectType::Index | ObjectType::View, names, ..
            } => names.iter().try_for_each(|name| self.name(name)),
            _ => Break(syntax("this is not a statement that a module can send", None)),
        }
    }

    fn post_visit_statement(&mut self, _: &Statement) -> Flow {
        self.scopes.pop();
        Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> Flow {
        self.scopes.push(Scope::of(sources(query)));
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        tables.into_iter().try_for_each(|table| self.ident(&table.alias.name, false))
    }

    fn post_visit_query(&mut self, _: &Query) -> Flow {
        self.scopes.pop();
        Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> Flow {
        match factor {
            TableFactor::Table { name, args: Some(_), .. } => Break(SqlError::Denied(table_function(name))),
            TableFactor::Table { name, alias, .. } => self.source(name, alias.is_none()),
            TableFactor::Derived { .. } | TableFactor::NestedJoin { .. } => Continue(()),
            TableFactor::Function { name, .. } => Break(SqlError::Denied(table_function(name))),
            _ => Break(syntax("this source of rows is not known to SQLite", None)),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> Flow {
        match expr {
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [qualifier, column] => self.qualifier(qualifier, column),
                [schema, ..] => Break(qualified(&schema.value)),
                [] => Continue(()),
            },
            _ => Continue(()),
        }
    }
}

/// Statements that write rows.
impl Finder<'_> {
    fn insert(&mut self, insert: &Insert) -> Flow {
        let TableObject::TableName(name) = &insert.table else {
            return Break(syntax("INSERT needs the name of a table", None));
        };
        self.write_to(name)?;
        self.source(name, insert.table_alias.is_none())?;
        self.returning(insert.returning.as_deref(), name)
    }

    fn update(&mut self, update: &Update) -> Flow {
        self.changed(&update.table, update.returning.as_deref())
    }

    fn delete(&mut self, delete: &Delete) -> Flow {
        let (FromTable::WithFromKeyword(tables) | FromTable::WithoutKeyword(tables)) = &delete.from;
        match tables.as_slice() {
            [table] => self.changed(table, delete.returning.as_deref()),
            _ => Break(syntax("DELETE takes the rows of one table", None)),
        }
    }

    /// The name itself is found with the other sources of rows.
    fn changed(&mut self, table: &TableWithJoins, returning: Option<&[SelectItem]>) -> Flow {
        let TableFactor::Table { name, .. } = &table.relation else {
            return Break(syntax("the name of a table was expected", None));
        };
        self.write_to(name)?;
        self.returning(returning, name)
    }

    /// In a trigger the target keeps no alias, so the columns qualified by its name are edited instead.
    fn write_to(&mut self, name: &ObjectName) -> Flow {
        let target = single(name)?;
        if self.trigger {
            self.target = Some(target.clone());
            self.expose(target, Qualifier::Physical);
        }
        Continue(())
    }

    /// `RETURNING` knows the table by its physical name only, whatever alias there is.
    fn returning(&mut self, items: Option<&[SelectItem]>, name: &ObjectName) -> Flow {
        self.scopes.push(Scope::table(single(name)?, Qualifier::Physical));
        items.into_iter().flatten().try_for_each(|item| item.visit(self))?;
        self.scopes.pop();
        Continue(())
    }
}

/// Statements that change the schema.
impl Finder<'_> {
    fn create_table(&mut self, table: &CreateTable) -> Flow {
        if table.query.is_some() {
            return Break(SqlError::Denied(wall::CREATE_AS_SELECT.to_owned()));
        }
        self.name(&table.name)?;
        self.expose(single(&table.name)?, Qualifier::Goes);
        table.columns.iter().try_for_each(|column| self.column(column))?;
        table.constraints.iter().try_for_each(|constraint| match constraint {
            TableConstraint::ForeignKey(key) => self.name(&key.foreign_table),
            _ => Continue(()),
        })
    }

    fn column(&mut self, column: &ColumnDef) -> Flow {
        column.options.iter().try_for_each(|option| match &option.option {
            ColumnOption::ForeignKey(key) => self.name(&key.foreign_table),
            _ => Continue(()),
        })
    }

    fn create_index(&mut self, index: &CreateIndex) -> Flow {
        index.name.iter().try_for_each(|name| self.name(name))?;
        self.expose(single(&index.table_name)?, Qualifier::Goes);
        self.name(&index.table_name)
    }

    fn create_trigger(&mut self, trigger: &CreateTrigger) -> Flow {
        self.trigger = true;
        self.name(&trigger.name)?;
        self.name(&trigger.table_name)
    }

    fn alter_table(&mut self, table: &AlterTable) -> Flow {
        self.name(&table.name)?;
        self.expose(single(&table.name)?, Qualifier::Goes);
        table.operations.iter().try_for_each(|operation| match operation {
            Alter::RenameTable { table_name: RenameTableNameKind::To(name) } => self.name(name),
            Alter::AddColumn { column_def, .. } => self.column(column_def),
            Alter::RenameColumn { .. } | Alter::DropColumn { .. } => Continue(()),
            _ => Break(SqlError::Denied(ALTER.to_owned())),
        })
    }
}

const ALTER: &str = "of ALTER TABLE there are RENAME TO, RENAME COLUMN, ADD COLUMN and DROP COLUMN; for anything \
     else create a new table, copy the rows and drop the old one";

/// Names.
impl Finder<'_> {
    /// Those in the statement, and those that the parser was not shown; behind none of these an alias can stand.
    fn all(&mut self) -> Flow {
        let parsed = self.parsed;
        parsed.statement.visit(self)?;
        parsed.names.iter().try_for_each(|name| self.ident(name, false))
    }

    /// The name of an object of the schema.
    fn name(&mut self, name: &ObjectName) -> Flow {
        self.ident(single(name)?, false)
    }

    /// The name of a table as a source of rows, or as what is written to.
    fn source(&mut self, name: &ObjectName, unnamed: bool) -> Flow {
        let ident = single(name)?;
        let is_target = self.target.as_ref().is_some_and(|target| target.span == ident.span);
        self.ident(ident, unnamed && !is_target)
    }

    fn ident(&mut self, ident: &Ident, with_alias: bool) -> Flow {
        if is_reserved(&ident.value) {
            return Break(SqlError::Denied(wall::table(&ident.value)));
        }
        let physical = self.names.quoted(&ident.value);
        match with_alias {
            true => self.replace(ident, format!("{physical} AS {}", quote(&ident.value))),
            false => self.replace(ident, physical),
        }
    }

    /// `cases` in `cases.id`.
    fn qualifier(&mut self, ident: &Ident, column: &Ident) -> Flow {
        match self.scopes.iter().rev().find_map(|scope| scope.find(ident)) {
            Some(Qualifier::Physical) => self.replace(ident, self.names.quoted(&ident.value)),
            Some(Qualifier::Goes) => {
                self.replace(ident, String::new())?;
                self.parsed.between(ident, column).into_iter().for_each(|(at, dot)| {
                    self.edits.replace(at, dot, String::new());
                });
                Continue(())
            }
            Some(Qualifier::Stays) | None => Continue(()),
        }
    }

    fn replace(&mut self, ident: &Ident, new: String) -> Flow {
        match self.parsed.written(ident) {
            Some((start, old)) => {
                self.edits.replace(start, old, new);
                Continue(())
            }
            None => Break(syntax(format!("the name {} cannot be found in the text", ident.value), None)),
        }
    }

    /// From here on this is the table that columns are qualified by.
    fn expose(&mut self, ident: &Ident, qualifier: Qualifier) {
        if let Some(scope) = self.scopes.last_mut() {
            *scope = Scope::table(ident, qualifier);
        }
    }
}

/// What SQLite itself names; a module's own table of that name would only confuse.
fn is_reserved(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let functions = ["dbstat", "json_each", "json_tree", "jsonb_each", "jsonb_tree", "generate_series"];
    name.starts_with("sqlite_") || name.starts_with("pragma_") || functions.contains(&name.as_str())
}

/// A name of one part.
fn single(name: &ObjectName) -> ControlFlow<SqlError, &Ident> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(ident)] => Continue(ident),
        _ => Break(qualified(&name.to_string())),
    }
}

fn qualified(name: &str) -> SqlError {
    SqlError::Denied(format!("{name}: a module has one schema; name its tables without main. or temp. before them"))
}

fn table_function(name: &ObjectName) -> String {
    format!("the table-valued function {name} is not offered to modules; pass the values as parameters")
}
