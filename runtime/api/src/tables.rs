//! Tables of modules.

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

/// Tables of modules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TableList {
    /// By module and name.
    pub tables: Vec<Table>,
}

impl Client {
    /// The tables of all modules, or of one.
    ///
    /// # Errors
    /// `call.no_such_module`, `sql.interrupted` when counting their rows takes too long.
    pub async fn tables(&self, module: Option<&str>) -> Result<TableList, Error> {
        let mut request = self.get(&["v1", "tables"])?;
        if let Some(module) = module {
            request.query("module", module);
        }
        self.answer(request).await
    }
}
