//! Tables and keys of modules.

use crate::{Client, Error};
use serde::{Deserialize, Serialize};
use station_model::ModuleName;
use utoipa::ToSchema;

/// A table of a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Table {
    /// Whose it is.
    #[schema(value_type = String)]
    pub module: ModuleName,
    /// What the module calls it.
    pub name: String,
    /// What the database calls it, such as `m7__users`.
    pub physical: String,
    /// Its rows.
    pub rows: u64,
    /// Bytes of its pages and of those of its indices.
    pub bytes: u64,
}

/// The keys of a module in `wasi:keyvalue`, those of all its buckets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Keys {
    /// Whose they are.
    #[schema(value_type = String)]
    pub module: ModuleName,
    /// How many.
    pub keys: u64,
    /// Bytes of the keys and of their values.
    pub bytes: u64,
}

/// Tables and keys of modules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TableList {
    /// By module and name.
    pub tables: Vec<Table>,
    /// By module; modules without keys are left out.
    pub keys: Vec<Keys>,
}

impl Client {
    /// The tables and keys of all modules, or of one.
    ///
    /// # Errors
    /// `call.no_such_module`, `sql.interrupted` when counting them takes too long.
    pub async fn tables(&self, module: Option<&str>) -> Result<TableList, Error> {
        let mut request = self.get(&["v1", "tables"])?;
        if let Some(module) = module {
            request.query("module", module);
        }
        self.answer(request).await
    }
}
