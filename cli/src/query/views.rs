//! The views of the lake's tables with labels.

use std::sync::Arc;

use datafusion::catalog::view::ViewTable;
use datafusion::common::TableReference;
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use rollcall_adapters::file_catalog::CatalogTable;

use crate::query::default_database::CATALOG;

/// Registers the views that `sql` names, or all of them if it asks for the tables there are. Planning the views of a
/// hundred tables would take longer than most queries.
pub(super) async fn register_views(
    context: &SessionContext,
    tables: &[CatalogTable],
    sql: &str,
) -> Result<(), DataFusionError> {
    let state = context.state();
    let dialect = state.config().options().sql_parser.dialect;
    // Planning reports a statement that cannot be parsed.
    let Ok(statement) = state.sql_to_statement(sql, &dialect) else { return Ok(()) };
    let named = state.resolve_table_references(&statement)?;
    let are_all_named = named.iter().any(|name| name.schema() == Some("information_schema"));
    for table in tables {
        let Some(view) = &table.view else { continue };
        // Two datasets of descriptor files may take each other's names. The table holds data, so it wins.
        if tables.iter().any(|other| other.database == table.database && other.table == view.name) {
            continue;
        }
        let is_named = |name: &TableReference| {
            name.schema().is_none_or(|database| database == table.database) && name.table() == view.name
        };
        if !are_all_named && !named.iter().any(is_named) {
            continue;
        }
        let (_, plan) = context.sql(&view.sql).await?.into_parts();
        let database = context.catalog(CATALOG).and_then(|databases| databases.schema(&table.database));
        if let Some(database) = database {
            database.register_table(view.name.clone(), Arc::new(ViewTable::new(plan, Some(view.sql.clone()))))?;
        }
    }
    Ok(())
}
