//! The database of the tables that SQL names without one.

use std::sync::Arc;

use datafusion::catalog::{MemorySchemaProvider, SchemaProvider, TableProvider};
use datafusion::error::Result;

/// The engine's name for all databases together.
pub(super) const CATALOG: &str = "datafusion";
/// Database of the tables that SQL names without one.
pub(super) const DEFAULT_DATABASE: &str = "ccd_school";

/// A database that also finds the tables of the others, so that SQL need not name databases. Its own tables come first.
#[derive(Debug)]
pub(super) struct DefaultDatabase {
    pub(super) own: Arc<MemorySchemaProvider>,
    pub(super) others: Vec<Arc<MemorySchemaProvider>>,
}

#[async_trait::async_trait]
impl SchemaProvider for DefaultDatabase {
    fn table_names(&self) -> Vec<String> {
        self.own.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        for database in std::iter::once(&self.own).chain(&self.others) {
            if let Some(table) = database.table(name).await? {
                return Ok(Some(table));
            }
        }
        Ok(None)
    }

    fn table_exist(&self, name: &str) -> bool {
        self.own.table_exist(name)
    }

    fn register_table(&self, name: String, table: Arc<dyn TableProvider>) -> Result<Option<Arc<dyn TableProvider>>> {
        self.own.register_table(name, table)
    }
}
