//! The rows of tables without partitions, such as lookup tables, which the catalog does not count.

use std::collections::BTreeMap;

use rollcall_adapters::file_catalog::CatalogTable;
use rollcall_adapters::folder::FolderStore;
use serde::Deserialize;

use crate::query::engine::LakeQuery;
use crate::rows::RowFormat;
use crate::rows::printed::Collected;

/// Counts the rows of those of the tables that have no partitions, by table and database. Empty if a file is missing.
pub(crate) async fn count_rows<'t>(
    store: &FolderStore,
    tables: impl IntoIterator<Item = &'t CatalogTable>,
) -> BTreeMap<(&'t str, &'t str), u64> {
    #[derive(Deserialize)]
    struct Counted {
        position: usize,
        n_rows: u64,
    }
    let tables: Vec<&CatalogTable> = tables.into_iter().filter(|table| table.partition_keys.is_empty()).collect();
    let count = |(position, table): (usize, &&CatalogTable)| {
        let (database, table) = (&table.database, &table.table);
        format!("select {position} as position, count(*) as n_rows from \"{database}\".\"{table}\"")
    };
    let sql = tables.iter().enumerate().map(count).collect::<Vec<_>>().join(" union all ");
    if sql.is_empty() {
        return BTreeMap::new();
    }
    let counted = async {
        let rows = LakeQuery::new(store, &sql).run(|schema| Collected::new(RowFormat::Json, schema)).await?;
        anyhow::Ok(serde_json::from_str::<Vec<Counted>>(&rows.finish()?)?)
    };
    let counted = counted.await.unwrap_or_default();
    let named = counted.iter().filter_map(|Counted { position, n_rows }| {
        let table = tables.get(*position)?;
        Some(((table.database.as_str(), table.table.as_str()), *n_rows))
    });
    named.collect()
}
