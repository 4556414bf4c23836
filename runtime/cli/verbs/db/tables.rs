//! `station db tables`: which module has which tables and how many keys, and how big they are.

use crate::{
    out, problem,
    session::{self, Ask, Connection, Session},
    units,
};
use station_api::{Keys, Table, TableList};
use station_host::inspect::{self, DataView, KeysView, TableView};
use station_model::{Code, ModuleName};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

const AFTER: &str = "\
TABLE is what the module calls it, IN THE DATABASE what `station db shell` calls it. BYTES are those of \
its pages, indices included. Keys of wasi:keyvalue are in no table of their module: they are counted \
below, with the bytes of keys and values.

Examples:
  station db tables
  station db tables --module dossiers --json | jq '.tables[].rows'
  station db tables --data /var/lib/station      # of a folder, whether a station runs there or not";

/// List the tables and keys of modules, with rows and bytes
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(super) struct Args {
    /// Only those of this module
    #[arg(long, value_name = "MODULE")]
    module: Option<String>,
    /// Look into this data folder instead of asking a station
    #[arg(long, value_name = "DIR", conflicts_with_all = ["url", "token", "token_file"])]
    data: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

impl Args {
    pub(super) fn run(self) -> ExitCode {
        match &self.data {
            None => session::ask(self),
            Some(data) => session::ended(self.look(data), self.connection.json),
        }
    }

    fn look(&self, data: &Path) -> anyhow::Result<()> {
        let module = self.module.as_deref().map(name).transpose()?;
        let DataView { tables, keys } = inspect::tables(data, module.as_ref()).map_err(problem::failed)?;
        let keys = keys.into_iter().map(|KeysView { module, keys, bytes }| Keys { module, keys, bytes }).collect();
        let list = TableList { tables: tables.into_iter().map(table).collect(), keys };
        match self.connection.json {
            true => out::json(&list)?,
            false => out::line(&page(&list))?,
        }
        Ok(())
    }
}

impl Ask for Args {
    fn connection(&self) -> &Connection {
        &self.connection
    }

    async fn run(self, session: &Session) -> anyhow::Result<()> {
        let list = session.client.tables(self.module.as_deref()).await?;
        session.answer(&list, page)?;
        Ok(())
    }
}

fn name(text: &str) -> anyhow::Result<ModuleName> {
    text.parse().map_err(|invalid: station_model::Invalid| problem::refused(Code::AdminBadRequest, invalid.to_string()))
}

/// As the admin API says it.
fn table(table: TableView) -> Table {
    let TableView { module, name, physical, rows, bytes } = table;
    Table { module, name, physical, rows, bytes }
}

fn page(list: &TableList) -> String {
    let tables = out::table(["MODULE", "TABLE", "ROWS", "BYTES", "IN THE DATABASE"], list.tables.iter().map(row));
    if list.keys.is_empty() {
        return tables;
    }
    let row = |keys: &Keys| [keys.module.to_string(), units::Count(keys.keys).to_string(), units::about(keys.bytes)];
    format!("{}\n\n{}", tables.trim_end(), out::table(["MODULE", "KEYS", "BYTES"], list.keys.iter().map(row)))
}

fn row(table: &Table) -> [String; 5] {
    let (rows, bytes) = (units::Count(table.rows).to_string(), units::about(table.bytes));
    [table.module.to_string(), table.name.clone(), rows, bytes, table.physical.clone()]
}
