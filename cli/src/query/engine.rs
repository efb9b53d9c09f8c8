//! Runs SQL with DataFusion over the partitions that the catalog registers, and passes the rows on as they come.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream, execute_stream_partitioned};
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use rollcall_adapters::file_catalog::CatalogTable;
use rollcall_adapters::folder::FolderStore;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::exit::BadInput;
use crate::lake;
use crate::lake::mark::LakeMark;
use crate::output;
use crate::query::as_of::AsOf;
use crate::query::default_database::{CATALOG, DEFAULT_DATABASE, DefaultDatabase};
use crate::query::engine_errors::{in_one_line, is_caused_by_sql, mismatched_file, unreadable_catalog};
use crate::query::engine_threads::EngineThreads;
use crate::query::explain::explain;
use crate::query::headings::{with_plain_headings, with_schema};
use crate::query::lake_table::{LakeTable, lake_url};
use crate::query::limits::Limits;
use crate::query::offers::Offers;
use crate::query::pinned_folder::PinnedFolder;
use crate::query::views::register_views;
use crate::rows::RowSink;

/// Maximum number of attempts. A query starts over if a run replaces a file while the query is reading it.
const MAX_TRIES: u32 = 5;

/// A query over the lake.
pub(crate) struct LakeQuery<'q> {
    pub(crate) store: &'q FolderStore,
    pub(crate) sql: &'q str,
    /// The moment in the past of the lake; `None` for now.
    pub(crate) as_of: Option<&'q AsOf>,
    pub(crate) limits: Limits,
    /// The lake's mark, which says where its data came from; `None` if it has none, or if only its catalog is read.
    pub(crate) mark: Option<&'q LakeMark>,
}

impl<'q> LakeQuery<'q> {
    /// Returns a query over the lake as it is, without limits.
    pub(crate) fn new(store: &'q FolderStore, sql: &'q str) -> Self {
        Self { store, sql, as_of: None, limits: Limits::default(), mark: None }
    }
}

impl LakeQuery<'_> {
    /// Returns what is offered if the lake lacks something, or is damaged.
    fn offers(&self) -> Offers {
        Offers::new(self.store.root(), self.mark, self.as_of.is_some())
    }

    /// Says what a shipped query needs, if it found nothing.
    pub(crate) fn note_if_nothing(&self, n_rows: u64) {
        if let Some(note) = self.offers().note_on_nothing(self.sql).filter(|_| n_rows == 0) {
            output::print_note(&note);
        }
    }

    /// Runs the query and passes its rows on as they come. Returns what received them.
    ///
    /// Starts over if a run replaces a file that the query needs, until rows were printed.
    ///
    /// - `open`: starts the output for the columns.
    ///
    /// # Errors
    /// [`BadInput`] if the SQL is invalid for the lake's tables. Also returns any error from running it, or that it exceeds a
    /// limit.
    pub(crate) async fn run<S: RowSink>(&self, open: impl Fn(&SchemaRef) -> anyhow::Result<S>) -> anyhow::Result<S> {
        self.limits.within_time(self.run_until_stable(open)).await
    }

    async fn run_until_stable<S: RowSink>(&self, open: impl Fn(&SchemaRef) -> anyhow::Result<S>) -> anyhow::Result<S> {
        let mut n_tries = 0;
        loop {
            n_tries += 1;
            let tables = self.tables().await?;
            let (context, lake) = session(&tables, self.store.root(), self.limits, &Arc::new(self.offers()))?;
            let attempt = Attempt { query: self, context: &context, tables: &tables };
            let mut has_printed = false;
            let planned = attempt.plan().await;
            // An object that was current when it was looked up may have been replaced before planning pinned it.
            let is_other = planned.is_ok() && self.as_of.is_some() && self.tables().await? != tables;
            let result = match planned {
                Ok(_) if is_other && n_tries < MAX_TRIES => None,
                Ok(planned) => Some(attempt.stream(planned, &open, &mut has_printed).await),
                Err(error) => Some(Err(error)),
            };
            let is_stale = lake.is_some_and(|lake| lake.is_stale());
            match result {
                Some(Err(_)) if is_stale && has_printed => anyhow::bail!(
                    "run query: expected the lake's files to stay until all rows were printed, found that a run replaced one; \
                     the rows that were printed are not all\nhint: run the query again, or write the rows to a file with \
                     --output"
                ),
                Some(Err(_)) if is_stale && n_tries < MAX_TRIES => {}
                Some(result) => return result,
                None => {}
            }
            tracing::info!("a file was replaced during the query; starting over");
        }
    }

    /// Returns the tables of the lake, as they are or were.
    async fn tables(&self) -> anyhow::Result<Vec<CatalogTable>> {
        let tables = lake::catalog(self.store).tables().await;
        let mut tables = tables.map_err(|error| unreadable_catalog(error, &self.offers().lake))?;
        if let Some(as_of) = self.as_of {
            as_of.apply(&mut tables, self.sql).await?;
        }
        Ok(tables)
    }
}

/// One attempt to plan and run a query.
struct Attempt<'a> {
    query: &'a LakeQuery<'a>,
    context: &'a SessionContext,
    tables: &'a [CatalogTable],
}

/// How a query will be run. Its files are pinned.
struct Planned {
    plan: Arc<dyn ExecutionPlan>,
    task: Arc<TaskContext>,
    /// Whether the parts of the plan have their rows in order, one part after the other.
    is_in_file_order: bool,
}

impl Planned {
    /// Starts the query, and returns its rows as they come.
    fn rows(self) -> Result<BoxStream<'static, Result<RecordBatch, DataFusionError>>, DataFusionError> {
        if self.is_in_file_order {
            let parts = execute_stream_partitioned(self.plan, self.task)?;
            return Ok(stream::iter(parts).flatten().boxed());
        }
        Ok(execute_stream(self.plan, self.task)?.boxed())
    }
}

impl Attempt<'_> {
    async fn plan(&self) -> anyhow::Result<Planned> {
        let (frame, is_in_file_order) = self.frame().await.map_err(|error| self.invalid(&error))?;
        let task = Arc::new(frame.task_ctx());
        let plan = frame.create_physical_plan().await.map_err(|error| self.failure(&error))?;
        Ok(Planned { plan, task, is_in_file_order })
    }

    async fn frame(&self) -> Result<(DataFrame, bool), DataFusionError> {
        // Rejects statements that would write files or change tables.
        let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        register_views(self.context, self.tables, self.query.sql).await?;
        in_file_order(self.context.sql_with_options(self.query.sql, read_only).await?)
    }

    async fn stream<S: RowSink>(
        &self,
        planned: Planned,
        open: impl Fn(&SchemaRef) -> anyhow::Result<S>,
        has_printed: &mut bool,
    ) -> anyhow::Result<S> {
        let failed = |error| self.failure(&error);
        let schema = with_plain_headings(&planned.plan.schema(), self.query.sql);
        let threads = EngineThreads::start()?;
        let mut rows = threads.enter(|| planned.rows()).map_err(failed)?;
        let (sender, mut receiver) = mpsc::channel(1);
        let computing = AbortOnDropHandle::new(threads.spawn(async move {
            while let Some(batch) = rows.next().await {
                if sender.send(batch).await.is_err() {
                    return;
                }
            }
        }));
        // The first rows come before the output is opened, so that a query that fails leaves none.
        let mut batch = receiver.recv().await.transpose().map_err(failed)?;
        let mut sink = open(&schema)?;
        *has_printed = sink.has_printed();
        while let Some(found) = batch {
            let written = sink.write(&with_schema(&found, &schema)?);
            *has_printed = sink.has_printed();
            written?;
            if sink.is_closed() {
                return Ok(sink);
            }
            batch = receiver.recv().await.transpose().map_err(failed)?;
        }
        computing.await.context("run query: the SQL engine ended early")?;
        Ok(sink)
    }

    /// Returns the error for SQL that the engine does not accept.
    fn invalid(&self, error: &DataFusionError) -> anyhow::Error {
        BadInput(format!(
            "run query: {}",
            explain(error, self.query.sql, self.tables, &self.query.offers(), self.context)
        ))
        .into()
    }

    /// Returns the error for a query that failed while it was running.
    fn failure(&self, error: &DataFusionError) -> anyhow::Error {
        if let Some(file) = mismatched_file(error) {
            return anyhow::anyhow!("run query: {file}");
        }
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => self.query.limits.memory_exceeded(),
            _ if is_caused_by_sql(error) => self.invalid(error),
            _ => {
                let hint = self.query.offers().on_damage(self.query.sql, self.tables);
                let hint = hint.map_or_else(String::new, |hint| format!("\nhint: {hint}"));
                anyhow::anyhow!("run query: the SQL engine reports: {}{hint}", in_one_line(error))
            }
        }
    }
}

/// Makes the row order reproducible for a query that only filters and projects: rows come in file order.
///
/// Such a query reads with one thread. Queries that join, group or sort use all threads; without `order by`, their row
/// order may vary. Also returns whether rows come in file order.
fn in_file_order(frame: DataFrame) -> Result<(DataFrame, bool), DataFusionError> {
    let (mut state, plan) = frame.into_parts();
    let (mut keeps_row_order, mut has_limit) = (true, false);
    plan.apply_with_subqueries(|node| {
        // A limit takes whatever rows of a union come first.
        keeps_row_order = !(has_limit && matches!(node, LogicalPlan::Union(_)));
        has_limit |= matches!(node, LogicalPlan::Limit(_));
        keeps_row_order &= matches!(
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
    Ok((DataFrame::new(state, plan), keeps_row_order))
}

/// Returns the SQL engine with the tables of the lake. Planning a query pins the files that it needs.
fn session(
    tables: &[CatalogTable],
    root: &Path,
    limits: Limits,
    offers: &Arc<Offers>,
) -> anyhow::Result<(SessionContext, Option<Arc<PinnedFolder>>)> {
    let config = SessionConfig::new().with_information_schema(true);
    let mut config = config.with_default_catalog_and_schema(CATALOG, DEFAULT_DATABASE);
    // Errors say where in the SQL they arise.
    config.options_mut().sql_parser.collect_spans = true;
    limits.configure(&mut config);
    let context = SessionContext::new_with_config_rt(config, limits.environment()?);
    if tables.is_empty() {
        return Ok((context, None));
    }
    let lake = Arc::new(PinnedFolder::new(root)?);
    context.register_object_store(lake_url()?.as_ref(), lake.clone());
    let mut databases: BTreeMap<&str, Arc<MemorySchemaProvider>> = BTreeMap::new();
    for table in tables {
        let database = databases.entry(&table.database).or_default();
        database.register_table(table.table.clone(), Arc::new(LakeTable::new(table, lake.clone(), offers.clone())))?;
    }
    let catalog = context
        .catalog(CATALOG)
        .ok_or_else(|| BadInput("open SQL engine: expected its default catalog, found none".to_owned()))?;
    let own = databases.remove(DEFAULT_DATABASE).unwrap_or_default();
    for (name, database) in &databases {
        catalog.register_schema(name, database.clone())?;
    }
    let default = DefaultDatabase { own, others: databases.into_values().collect() };
    catalog.register_schema(DEFAULT_DATABASE, Arc::new(default))?;
    Ok((context, Some(lake)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::RowFormat;
    use crate::rows::printed::Collected;
    use datafusion::physical_plan::collect as collect_plan;
    use rollcall_adapters::SystemClock;
    use rollcall_adapters::file_catalog::FileCatalog;
    use rollcall_core::ports::Clock;
    use rollcall_core::publish::publish_lookups;

    #[tokio::test]
    async fn only_a_query_that_filters_and_projects_reads_with_one_thread() {
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(4));
        context.sql("create view t as select * from (values (1, 'a'), (2, 'b')) t(n, v)").await.unwrap();
        for (sql, n_expected) in [
            ("select n + 1 as m, v from t where v = 'a' limit 3", 1),
            ("with w as (select * from t) select * from (select n from w where n > 1) union all select n from t", 1),
            ("select n from t union all select n + 1 from t limit 3", 4),
            ("select * from t order by n", 4),
            ("select v, sum(n) from t group by v", 4),
            ("select distinct v from t", 4),
            ("select * from t join t as u using (n)", 4),
            ("select * from t where n = (select max(n) from t)", 4),
            ("select n, sum(n) over (partition by v) from t", 4),
        ] {
            let (frame, is_in_file_order) = in_file_order(context.sql(sql).await.unwrap()).unwrap();
            assert_eq!(is_in_file_order, n_expected == 1, "{sql}");
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
        let offers = Arc::new(Offers::new(folder.path(), None, false));
        let tables = catalog.tables().await.unwrap();
        let (context, lake) = session(&tables, folder.path(), Limits::default(), &offers).unwrap();
        let frame = context.sql("select label from ccd_school.lookup_sexes order by label").await.unwrap();
        let plan = frame.create_physical_plan().await.unwrap();
        let path = folder.path().join("data/lookup_sexes/part-00000.parquet");
        let copy = folder.path().join("copy");
        std::fs::copy(&path, &copy).unwrap();
        std::fs::rename(&copy, &path).unwrap();
        collect_plan(plan, context.task_ctx()).await.unwrap_err();
        assert!(lake.unwrap().is_stale());
        let query = LakeQuery::new(&store, sql);
        let rows = query.run(|schema| Collected::new(RowFormat::Csv, schema)).await.unwrap();
        assert!(rows.finish().unwrap().starts_with("n\n"));
    }
    /// A reader that sees rows at once, and meanwhile a run replaces a file that is read later.
    struct SeenWhileReplaced<'r>(&'r Path, Option<RecordBatch>);

    impl RowSink for SeenWhileReplaced<'_> {
        fn write(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
            let path = self.0.join("data/lookup_codes/part-00000.parquet");
            std::fs::copy(&path, self.0.join("copy"))?;
            std::fs::rename(self.0.join("copy"), &path)?;
            self.1 = Some(batch.clone());
            Ok(())
        }

        fn has_printed(&self) -> bool {
            self.1.is_some()
        }
    }

    #[tokio::test]
    async fn rows_come_in_order_and_a_file_replaced_after_the_first_ones_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::new(folder.path());
        let catalog = FileCatalog::new(store.clone());
        publish_lookups(&store, &catalog, SystemClock.now(), "r1").await.unwrap();
        // The engine is a few files ahead of the reader.
        let sql = "select label from lookup_races union all select label from lookup_sexes
                   union all select label from lookup_grades union all select label from lookup_states
                   union all select label from lookup_codes";
        let query = LakeQuery::new(&store, sql);
        for _ in 0..20 {
            let rows = query.run(|schema| Collected::new(RowFormat::Csv, schema)).await.unwrap().finish().unwrap();
            assert!(
                rows.starts_with("label\nSuppressed data\nNot applicable\nMissing/not reported\nWhite\n"),
                "{rows}"
            );
            assert!(rows.find("White").unwrap() < rows.find("Female").unwrap(), "{rows}");
        }
        let found = query.run(|_| Ok(SeenWhileReplaced(folder.path(), None))).await;
        let error = found.err().unwrap().to_string();
        assert!(error.contains("found that a run replaced one; the rows that were printed are not all\n"), "{error}");
    }
}
