//! Runs SQL with DataFusion over the partitions that the catalog registers.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::MemorySchemaProvider;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use rollcall_adapters::file_catalog::{CatalogTable, FileCatalog};
use rollcall_adapters::folder::FolderStore;
use rollcall_core::text::nearest;

use crate::exit::BadInput;
use crate::query::as_of::AsOf;
use crate::query::engine_errors::{in_one_line, is_caused_by_sql, mismatched_file, unreadable_catalog};
use crate::query::lake_table::{LakeTable, lake_url};
use crate::query::pinned_folder::PinnedFolder;
use crate::query::render::{QueryFormat, render};
use crate::query::views::register_views;

/// Maximum number of attempts. A query starts over if a run replaces a file while the query is reading it.
const MAX_TRIES: u32 = 5;

/// Runs SQL and returns its rows, formatted.
///
/// - `as_of`: the moment in the past of the lake; `None` for now.
///
/// # Errors
/// [`BadInput`] if the SQL is invalid for the lake's tables. Also returns any error from running it.
pub(crate) async fn run_sql(
    catalog: &FileCatalog<FolderStore>,
    root: &Path,
    sql: &str,
    format: QueryFormat,
    as_of: Option<&AsOf>,
) -> anyhow::Result<String> {
    let mut n_tries = 0;
    loop {
        n_tries += 1;
        let mut tables = catalog.tables().await.map_err(unreadable_catalog)?;
        if let Some(as_of) = as_of {
            as_of.apply(&mut tables, sql).await?;
        }
        let (context, lake) = session(&tables, root)?;
        match collect(&context, &tables, root, sql).await {
            Err(_) if lake.is_some_and(|lake| lake.is_stale()) && n_tries < MAX_TRIES => {
                tracing::info!("a file was replaced during the query; starting over");
            }
            // An object that was current when it was looked up may have been replaced before it was opened.
            Ok(_) if n_tries < MAX_TRIES && is_other(catalog, as_of, &tables, sql).await? => {
                tracing::info!("a partition was replaced during the query; starting over");
            }
            batches => return render(&batches?, format),
        }
    }
}

/// Returns whether a moment in the past now means other objects.
async fn is_other(
    catalog: &FileCatalog<FolderStore>,
    as_of: Option<&AsOf>,
    tables: &[CatalogTable],
    sql: &str,
) -> anyhow::Result<bool> {
    let Some(as_of) = as_of else { return Ok(false) };
    let mut again = catalog.tables().await.map_err(unreadable_catalog)?;
    as_of.apply(&mut again, sql).await?;
    Ok(again != tables)
}

/// Makes one attempt to plan and run SQL over the tables of the lake.
async fn collect(
    context: &SessionContext,
    tables: &[CatalogTable],
    root: &Path,
    sql: &str,
) -> anyhow::Result<Vec<RecordBatch>> {
    let names = tables.iter().flat_map(|table| {
        let view = table.view.as_ref().map(|view| view.name.as_str());
        [Some(table.table.as_str()), view].into_iter().flatten().map(|name| format!("{}.{name}", table.database))
    });
    let names: Vec<String> = names.collect();
    let rejected = |error: DataFusionError| {
        let hint = if names.is_empty() {
            format!(
                "\nhint: the lake `{}` holds no tables yet; fetch some with `rollcall run`, or register the files in its folder \
                 `data` with `rollcall repair`",
                root.display()
            )
        } else {
            hint_of_tables(&names, &error)
        };
        BadInput(format!("run query: the SQL engine reports: {}{hint}", in_one_line(&error)))
    };
    // Rejects statements that would write files or change tables.
    let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    register_views(context, tables, sql).await.map_err(&rejected)?;
    let frame = context.sql_with_options(sql, read_only).await.map_err(&rejected)?;
    let frame = in_file_order(frame)?;
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let mut batches = frame.collect().await.map_err(|error| match mismatched_file(&error) {
        Some(file) => anyhow::anyhow!("run query: {file}"),
        None if is_caused_by_sql(&error) => anyhow::Error::from(rejected(error)),
        None => anyhow::anyhow!(
            "run query: the SQL engine reports: {}\nhint: if a file is damaged, `rollcall run --mode missing` replaces it",
            in_one_line(&error)
        ),
    })?;
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(schema));
    }
    Ok(batches)
}

/// Maximum number of tables that a hint lists.
const MAX_LISTED: usize = 10;

/// Returns a hint line with the tables there are. If there are many, returns the one whose name is most like the one that
/// was not found, or an empty string for another error.
fn hint_of_tables(names: &[String], error: &DataFusionError) -> String {
    if names.len() <= MAX_LISTED {
        return format!("\nhint: tables of this lake: {}", names.join(", "));
    }
    // The engine names a table that it does not find: `table 'datafusion.education.crdc_offense' not found`.
    let message = error.to_string();
    let missing = message.split('\'').nth(1).filter(|_| message.contains("' not found"));
    let Some(missing) = missing.and_then(|path| path.rsplit('.').next()) else { return String::new() };
    let bare = names.iter().filter_map(|name| name.split_once('.')).map(|(_, table)| table);
    let meant = nearest(missing, bare).and_then(|meant| names.iter().find(|name| name.ends_with(&format!(".{meant}"))));
    let meant = meant.map_or_else(String::new, |name| format!("write `{name}`, or "));
    format!("\nhint: {meant}list the {} tables and views: rollcall query \"show tables\"", names.len())
}

/// Makes the row order reproducible for a query that only filters and projects: rows come in file order.
///
/// Such a query reads with one thread. Queries that join, group or sort use all threads; without `order by`, their row
/// order may vary.
fn in_file_order(frame: DataFrame) -> Result<DataFrame, DataFusionError> {
    let (mut state, plan) = frame.into_parts();
    let mut keeps_row_order = true;
    plan.apply_with_subqueries(|node| {
        keeps_row_order = matches!(
            node,
            LogicalPlan::TableScan(_)
                | LogicalPlan::SubqueryAlias(_)
                | LogicalPlan::Filter(_)
                | LogicalPlan::Projection(_)
                | LogicalPlan::Limit(_)
                | LogicalPlan::Union(_)
                | LogicalPlan::Values(_)
                | LogicalPlan::EmptyRelation(_)
        );
        Ok(if keeps_row_order { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    if keeps_row_order {
        state.config_mut().options_mut().execution.target_partitions = 1;
    }
    Ok(DataFrame::new(state, plan))
}

/// Returns the SQL engine with the tables of the lake. Planning a query pins the files that it needs.
fn session(tables: &[CatalogTable], root: &Path) -> anyhow::Result<(SessionContext, Option<Arc<PinnedFolder>>)> {
    let context = SessionContext::new_with_config(SessionConfig::new().with_information_schema(true));
    if tables.is_empty() {
        return Ok((context, None));
    }
    let lake = Arc::new(PinnedFolder::new(root)?);
    context.register_object_store(lake_url()?.as_ref(), lake.clone());
    for table in tables {
        let databases = context
            .catalog("datafusion")
            .ok_or_else(|| BadInput("open SQL engine: expected its default catalog, found none".to_owned()))?;
        let database = match databases.schema(&table.database) {
            Some(database) => database,
            None => {
                let database = Arc::new(MemorySchemaProvider::new());
                databases.register_schema(&table.database, database.clone())?;
                database
            }
        };
        database.register_table(table.table.clone(), Arc::new(LakeTable::new(table, lake.clone())))?;
    }
    Ok((context, Some(lake)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::physical_plan::collect as collect_plan;
    use rollcall_adapters::SystemClock;
    use rollcall_core::ports::Clock;
    use rollcall_core::publish::publish_lookups;

    #[tokio::test]
    async fn only_a_query_that_filters_and_projects_reads_with_one_thread() {
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(4));
        context.sql("create view t as select * from (values (1, 'a'), (2, 'b')) t(n, v)").await.unwrap();
        for (sql, n_expected) in [
            ("select n + 1 as m, v from t where v = 'a' limit 3", 1),
            ("with w as (select * from t) select * from (select n from w where n > 1) union all select n from t", 1),
            ("select * from t order by n", 4),
            ("select v, sum(n) from t group by v", 4),
            ("select distinct v from t", 4),
            ("select * from t join t as u using (n)", 4),
            ("select * from t where n = (select max(n) from t)", 4),
            ("select n, sum(n) over (partition by v) from t", 4),
        ] {
            let frame = in_file_order(context.sql(sql).await.unwrap()).unwrap();
            assert_eq!(frame.into_parts().0.config().target_partitions(), n_expected, "{sql}");
        }
    }

    #[tokio::test]
    async fn a_query_starts_over_if_a_file_is_replaced_while_it_reads() {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::new(folder.path());
        let catalog = FileCatalog::new(store.clone());
        publish_lookups(&store, &catalog, SystemClock.now(), "r1").await.unwrap();
        let sql = "select count(*) as n from ccd_school.lookup_sexes";
        let (context, lake) = session(&catalog.tables().await.unwrap(), folder.path()).unwrap();
        let frame = context.sql("select label from ccd_school.lookup_sexes order by label").await.unwrap();
        let plan = frame.create_physical_plan().await.unwrap();
        let path = folder.path().join("data/lookup_sexes/part-00000.parquet");
        let copy = folder.path().join("copy");
        std::fs::copy(&path, &copy).unwrap();
        std::fs::rename(&copy, &path).unwrap();
        collect_plan(plan, context.task_ctx()).await.unwrap_err();
        assert!(lake.unwrap().is_stale());
        assert!(run_sql(&catalog, folder.path(), sql, QueryFormat::Csv, None).await.unwrap().starts_with("n\n"));
    }
}
