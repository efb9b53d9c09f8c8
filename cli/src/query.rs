//! `rollcall query`: SQL over the lake's catalog, by an engine in this process.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::WriterBuilder;
use datafusion::arrow::json::writer::JsonArray;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::catalog::MemorySchemaProvider;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use rollcall_adapters::file_catalog::{CatalogTable, FileCatalog};
use rollcall_adapters::folder::FolderStore;
use rollcall_core::Error;
use rollcall_core::ports::CatalogError;

use crate::exit::BadInput;
use crate::footer::Refused;
use crate::lake::{self, LakeArgs};
use crate::lake_mark::LakeMark;
use crate::lake_table::{LakeTable, lake_url};
use crate::output::{self, Format};
use crate::pinned::PinnedFolder;

/// Queries shipped, by name.
pub(crate) const SHIPPED: &[(&str, &str)] = &[
    ("charter_share_by_state", include_str!("../../queries/charter_share_by_state.sql")),
    ("codes_by_state", include_str!("../../queries/codes_by_state.sql")),
    ("cohort_progression", include_str!("../../queries/cohort_progression.sql")),
    ("enrollment_by_year_and_grade", include_str!("../../queries/enrollment_by_year_and_grade.sql")),
    ("grades_against_total", include_str!("../../queries/grades_against_total.sql")),
    ("largest_districts", include_str!("../../queries/largest_districts.sql")),
    ("race_composition_by_state", include_str!("../../queries/race_composition_by_state.sql")),
    ("rescued_values", include_str!("../../queries/rescued_values.sql")),
    ("school_openings_and_closings", include_str!("../../queries/school_openings_and_closings.sql")),
    ("state_change_by_year", include_str!("../../queries/state_change_by_year.sql")),
    ("top_ten_pk_states", include_str!("../../queries/top_ten_pk_states.sql")),
];

#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// A shipped query's name, or SQL; the shipped queries are listed when it is left out
    #[arg(allow_hyphen_values = true)]
    query: Option<String>,
    #[command(flatten)]
    lake: LakeArgs,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = QueryFormat::Table)]
    format: QueryFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum QueryFormat {
    /// For people
    Table,
    /// With a header line
    Csv,
    /// An array of objects
    Json,
}

impl From<Format> for QueryFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Table => Self::Table,
            Format::Json => Self::Json,
        }
    }
}

pub(crate) async fn run(args: QueryArgs) -> anyhow::Result<ExitCode> {
    let Some(query) = &args.query else {
        let mut table = output::table(&["query", "question"]);
        for (name, sql) in SHIPPED {
            table.add_row([*name, question(sql)]);
        }
        output::print(&output::render(&table))?;
        return Ok(ExitCode::SUCCESS);
    };
    let sql = find(query)?;
    let store =
        args.lake.existing_folder("Athena answers queries over a bucket; the stack has a work group for them").await?;
    let text = result(&lake::catalog(&store), store.root(), &sql, args.format).await?;
    match args.format {
        QueryFormat::Csv => output::print_data(&text)?,
        QueryFormat::Table | QueryFormat::Json => output::print(&text)?,
    }
    output::note_sample(LakeMark::find(&store).await?.is_some_and(|mark| mark.is_sample));
    Ok(ExitCode::SUCCESS)
}

/// The first comment line of a query: the question it answers.
pub(crate) fn question(sql: &str) -> &str {
    sql.lines().find_map(|line| line.strip_prefix("-- Question: ")).unwrap_or_default()
}

/// The SQL of a shipped query's name, or the text itself when it is SQL.
///
/// # Errors
/// [`BadInput`] naming the shipped queries when it is one word that is none of them.
pub(crate) fn find(query: &str) -> Result<String, BadInput> {
    if let Some((_, sql)) = SHIPPED.iter().find(|(name, _)| *name == query) {
        return Ok((*sql).to_owned());
    }
    if query.split_whitespace().count() > 1 {
        return Ok(query.to_owned());
    }
    let names: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
    Err(BadInput(format!("find query: expected SQL or one of {}, found `{query}`", names.join(", "))))
}

/// Times that a query is begun: again when a run replaces a file that it was reading.
const QUERY_TRIES: u32 = 5;

/// Runs SQL and gives its rows, printed.
///
/// # Errors
/// [`BadInput`] when the SQL cannot be planned over the tables there are; whatever fails while it runs.
pub(crate) async fn result(
    catalog: &FileCatalog<FolderStore>,
    root: &Path,
    sql: &str,
    format: QueryFormat,
) -> anyhow::Result<String> {
    let mut n_tries = 0;
    loop {
        n_tries += 1;
        let tables = catalog.tables().await.map_err(unreadable)?;
        let (context, lake) = session(&tables, root)?;
        match collect(&context, &tables, root, sql).await {
            Err(_) if lake.is_some_and(|lake| lake.is_stale()) && n_tries < QUERY_TRIES => {
                tracing::info!("a file was replaced while it was read; the query begins again");
            }
            batches => return render(&batches?, format),
        }
    }
}

/// The rows of SQL over the tables there are.
async fn collect(
    context: &SessionContext,
    tables: &[CatalogTable],
    root: &Path,
    sql: &str,
) -> anyhow::Result<Vec<RecordBatch>> {
    let names: Vec<String> = tables.iter().map(|table| format!("{}.{}", table.database, table.table)).collect();
    let refused = |error: DataFusionError| {
        let hint = if names.is_empty() {
            format!(
                "hint: the lake `{}` holds no tables yet; fetch some with `rollcall run`, or register what is in its folder \
                 `data` with `rollcall repair`",
                root.display()
            )
        } else {
            format!("hint: tables of this lake: {}", names.join(", "))
        };
        BadInput(format!("run query: {}\n{hint}", in_one_line(&error)))
    };
    // A query reads. Statements that would write files or change tables are refused.
    let reads_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    let frame = context.sql_with_options(sql, reads_only).await.map_err(&refused)?;
    let frame = in_file_order(frame)?;
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let mut batches = frame.collect().await.map_err(|error| match refused_file(&error) {
        Some(file) => anyhow::anyhow!("run query: {file}"),
        None if is_of_the_query(&error) => anyhow::Error::from(refused(error)),
        None => anyhow::anyhow!(
            "run query: {}\nhint: a file that is damaged is fetched again with `rollcall run --mode missing`",
            in_one_line(&error)
        ),
    })?;
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(schema));
    }
    Ok(batches)
}

/// The same rows, in the order of the files where the query gives them none: twice the same query, twice the same answer.
///
/// Only a query that passes rows on is read by one thread for that. What joins, groups or sorts keeps all of them, and
/// its rows come in any order but the one it asks for.
fn in_file_order(frame: DataFrame) -> Result<DataFrame, DataFusionError> {
    let (mut state, plan) = frame.into_parts();
    let mut passes_rows_on = true;
    plan.apply_with_subqueries(|node| {
        passes_rows_on = matches!(
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
        Ok(if passes_rows_on { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    if passes_rows_on {
        state.config_mut().options_mut().execution.target_partitions = 1;
    }
    Ok(DataFrame::new(state, plan))
}

/// A table's file that is none fails every query, since nobody knows which table it was.
fn unreadable(error: CatalogError) -> Error {
    let source = CatalogError {
        message: format!(
            "{}; `rollcall repair --dataset NAME|FILE.toml` writes it anew from the objects",
            error.message
        ),
        source: error.source,
    };
    Error::CatalogFailed { table: "of this lake".to_owned(), source }
}

/// The refusal of a file that ended a query.
fn refused_file(error: &DataFusionError) -> Option<&Refused> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<Refused>() {
            return Some(refused);
        }
        cause = error.source();
    }
    None
}

/// Whether an error met while a query runs is the query's: a text that is no number, a division by zero.
fn is_of_the_query(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::Plan(_) | DataFusionError::SchemaError(..) | DataFusionError::SQL(..) => true,
        DataFusionError::ArrowError(error, _) => matches!(
            **error,
            ArrowError::CastError(_)
                | ArrowError::ParseError(_)
                | ArrowError::DivideByZero
                | ArrowError::ArithmeticOverflow(_)
                | ArrowError::InvalidArgumentError(_)
                | ArrowError::ComputeError(_)
        ),
        _ => false,
    }
}

/// The engine's words, which it joins by lines and says again at every step, once each and in one line.
fn in_one_line(error: &DataFusionError) -> String {
    let mut said: Vec<String> = Vec::new();
    for words in error.strip_backtrace().split("\ncaused by\n") {
        if !said.iter().any(|earlier| earlier.ends_with(words)) {
            said.retain(|earlier| !words.ends_with(earlier.as_str()));
            said.push(words.replace('\n', " "));
        }
    }
    said.join(": ")
}

/// The SQL engine with the lake's tables. A file is pinned as it is when a query that needs it is planned.
fn session(tables: &[CatalogTable], root: &Path) -> anyhow::Result<(SessionContext, Option<Arc<PinnedFolder>>)> {
    // Names are as they are written in the catalog: lower case.
    let context = SessionContext::new_with_config(SessionConfig::new().with_information_schema(true));
    if tables.is_empty() {
        return Ok((context, None));
    }
    let lake = Arc::new(PinnedFolder::new(root)?);
    context.register_object_store(lake_url()?.as_ref(), lake.clone());
    for table in tables {
        let databases = context.catalog("datafusion").ok_or_else(|| BadInput("no default catalog".to_owned()))?;
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

fn render(batches: &[RecordBatch], format: QueryFormat) -> anyhow::Result<String> {
    match format {
        QueryFormat::Table => render_table(batches),
        QueryFormat::Csv => render_csv(batches),
        QueryFormat::Json => {
            let mut bytes = Vec::new();
            // A null is written as one, so that every row has the same keys.
            let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(&mut bytes);
            writer.write_batches(&batches.iter().collect::<Vec<_>>())?;
            writer.finish()?;
            Ok(output::json_text(String::from_utf8(bytes)?))
        }
    }
}

/// Rows after a header line, quoted as RFC 4180 asks for. A null is nothing and an empty text is `""`, which the engine's
/// own writer would write alike.
fn render_csv(batches: &[RecordBatch]) -> anyhow::Result<String> {
    let Some(first) = batches.first() else { return Ok(String::new()) };
    let mut csv = String::new();
    for (i, field) in first.schema().fields().iter().enumerate() {
        push_csv(&mut csv, i, Some(&output::visible_on_terminal(field.name())));
    }
    csv.push('\n');
    let options = FormatOptions::default().with_display_error(false);
    let mut value = String::new();
    for batch in batches {
        let columns = batch
            .columns()
            .iter()
            .map(|column| Ok((column.logical_nulls(), ArrayFormatter::try_new(column, &options)?)))
            .collect::<Result<Vec<_>, ArrowError>>()?;
        for row in 0..batch.num_rows() {
            for (i, (nulls, column)) in columns.iter().enumerate() {
                let is_null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
                value.clear();
                column.value(row).write(&mut value)?;
                push_csv(&mut csv, i, (!is_null).then_some(&output::visible_on_terminal(&value)));
            }
            csv.push('\n');
        }
    }
    Ok(csv)
}

/// Appends the `i`th value of a line, from 0.
fn push_csv(csv: &mut String, i: usize, value: Option<&str>) {
    if i > 0 {
        csv.push(',');
    }
    match value {
        None => {}
        Some(plain) if !plain.is_empty() && !plain.contains(['"', ',', '\n', '\r']) => csv.push_str(plain),
        Some(value) => {
            csv.push('"');
            csv.push_str(&value.replace('"', "\"\""));
            csv.push('"');
        }
    }
}

/// Columns aligned by type; an empty cell is null.
fn render_table(batches: &[RecordBatch]) -> anyhow::Result<String> {
    let Some(first) = batches.first() else { return Ok(String::new()) };
    let schema = first.schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let mut table = output::whole_table(&names);
    let options = FormatOptions::default();
    for batch in batches {
        let columns = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options))
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            table.add_row(columns.iter().map(|column| column.value(row).to_string()));
        }
    }
    let is_numeric = |i: &usize| schema.fields().get(*i).is_some_and(|field| field.data_type().is_numeric());
    output::align_right(&mut table, &(0..names.len()).filter(is_numeric).collect::<Vec<_>>());
    Ok(output::render(&table))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::physical_plan::collect as collect_plan;
    use rollcall_adapters::SystemClock;
    use rollcall_core::ports::Clock;
    use rollcall_core::publish::publish_lookups;

    /// Rows of SQL over no tables.
    async fn values(sql: &str, format: QueryFormat) -> String {
        let batches = SessionContext::new().sql(sql).await.unwrap().collect().await.unwrap();
        render(&batches, format).unwrap()
    }

    /// Found by use: W8.
    #[tokio::test]
    async fn as_csv_a_null_is_nothing_and_an_empty_text_is_quoted() {
        let sql = "select * from (values (1, 'a', 1.5), (2, '', 2e300), (3, null, null), (null, 'null', -0.0)) t(n, \"a,b\", x)";
        assert_eq!(values(sql, QueryFormat::Csv).await, "n,\"a,b\",x\n1,a,1.5\n2,\"\",2e300\n3,,\n,null,-0.0\n");
        let one_column = "select * from (values ('a'), (''), (null), ('b')) t(v)";
        assert_eq!(values(one_column, QueryFormat::Csv).await, "v\na\n\"\"\n\nb\n");
        assert_eq!(values("select null as v, 'x' as w", QueryFormat::Csv).await, "v,w\n,x\n");
    }

    #[tokio::test]
    async fn as_csv_text_is_quoted_where_it_must_be_and_else_as_it_is() {
        let sql = "select 'a,b' as a, 'say \"x\"' as b, E'one\\ntwo' as c, E'\\r' as d, ' 1 ' as e, true as f, \
                   date '2021-02-03' as g";
        assert_eq!(
            values(sql, QueryFormat::Csv).await,
            "a,b,c,d,e,f,g\n\"a,b\",\"say \"\"x\"\"\",\"one\ntwo\",\"\r\", 1 ,true,2021-02-03\n"
        );
    }

    #[tokio::test]
    async fn one_thread_reads_for_a_query_that_passes_rows_on_and_no_other() {
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
    async fn a_file_replaced_while_a_query_reads_is_noticed_and_the_query_begun_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::new(folder.path());
        let catalog = FileCatalog::new(store.clone());
        publish_lookups(&store, &catalog, SystemClock.now(), "r1").await.unwrap();
        let sql = "select count(*) as n from ccd_school.lookup_sexes";
        let (context, lake) = session(&catalog.tables().await.unwrap(), folder.path()).unwrap();
        let frame = context.sql("select label from ccd_school.lookup_sexes order by label").await.unwrap();
        let plan = frame.create_physical_plan().await.unwrap();
        let path = folder.path().join("data/lookup_sexes/part-00000.parquet");
        let beside = folder.path().join("beside");
        std::fs::copy(&path, &beside).unwrap();
        std::fs::rename(&beside, &path).unwrap();
        collect_plan(plan, context.task_ctx()).await.unwrap_err();
        assert!(lake.unwrap().is_stale());
        assert!(result(&catalog, folder.path(), sql, QueryFormat::Csv).await.unwrap().starts_with("n\n"));
    }
}
