//! `rollcall query`: SQL over the lake's catalog, by an engine in this process.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use comfy_table::CellAlignment;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::WriterBuilder;
use datafusion::arrow::json::writer::JsonArray;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::catalog::MemorySchemaProvider;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::prelude::{SessionConfig, SessionContext};
use rollcall_adapters::file_catalog::{CatalogTable, FileCatalog};
use rollcall_adapters::folder::FolderStore;
use rollcall_core::Error;
use rollcall_core::ports::CatalogError;

use crate::exit::BadInput;
use crate::lake::{self, LakeArgs};
use crate::lake_mark::LakeMark;
use crate::lake_table::{LakeTable, lake_url};
use crate::output::{self, Format};
use crate::pinned::PinnedFolder;

/// Queries shipped, by name.
const SHIPPED: &[(&str, &str)] = &[
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
    output::print(&result(&lake::catalog(&store), store.root(), &sql, args.format).await?)?;
    output::note_sample(LakeMark::find(&store).await?.is_some_and(|mark| mark.is_sample));
    Ok(ExitCode::SUCCESS)
}

/// The first comment line of a query: the question it answers.
fn question(sql: &str) -> &str {
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
        let (context, lake) = session(&tables, root).await?;
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
            format!("hint: the lake `{}` holds no tables yet; fetch some with `rollcall run`", root.display())
        } else {
            format!("hint: tables of this lake: {}", names.join(", "))
        };
        BadInput(format!("run query: {}\n{hint}", in_one_line(&error)))
    };
    // A query reads. Statements that would write files or change tables are refused.
    let reads_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    let frame = context.sql_with_options(sql, reads_only).await.map_err(&refused)?;
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let mut batches = frame.collect().await.map_err(|error| match is_of_the_query(&error) {
        true => anyhow::Error::from(refused(error)),
        false => anyhow::anyhow!(
            "run query: {}\nhint: a file that is damaged is fetched again with `rollcall run --mode missing`",
            in_one_line(&error)
        ),
    })?;
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(schema));
    }
    Ok(batches)
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

/// The SQL engine with the lake's tables, each file pinned as it is now.
async fn session(tables: &[CatalogTable], root: &Path) -> anyhow::Result<(SessionContext, Option<Arc<PinnedFolder>>)> {
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
        database.register_table(table.table.clone(), Arc::new(LakeTable::new(table, &lake).await))?;
    }
    Ok((context, Some(lake)))
}

fn render(batches: &[RecordBatch], format: QueryFormat) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    match format {
        QueryFormat::Csv => {
            let mut writer = datafusion::arrow::csv::Writer::new(&mut bytes);
            for batch in batches {
                writer.write(batch)?;
            }
            drop(writer);
        }
        QueryFormat::Json => {
            // A null is written as one, so that every row has the same keys.
            let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(&mut bytes);
            writer.write_batches(&batches.iter().collect::<Vec<_>>())?;
            writer.finish()?;
        }
        QueryFormat::Table => return render_table(batches),
    }
    Ok(String::from_utf8(bytes)?)
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
    for (column, field) in table.column_iter_mut().zip(schema.fields()) {
        if field.data_type().is_numeric() {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    Ok(output::render(&table))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_adapters::SystemClock;
    use rollcall_core::ports::Clock;
    use rollcall_core::publish::publish_lookups;

    #[tokio::test]
    async fn a_file_replaced_while_a_query_reads_is_noticed_and_the_query_begun_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::new(folder.path());
        let catalog = FileCatalog::new(store.clone());
        publish_lookups(&store, &catalog, SystemClock.now(), "r1").await.unwrap();
        let sql = "select count(*) as n from ccd_school.lookup_sexes";
        let (context, lake) = session(&catalog.tables().await.unwrap(), folder.path()).await.unwrap();
        let frame = context.sql("select label from ccd_school.lookup_sexes order by label").await.unwrap();
        let path = folder.path().join("data/lookup_sexes/part-00000.parquet");
        let beside = folder.path().join("beside");
        std::fs::copy(&path, &beside).unwrap();
        std::fs::rename(&beside, &path).unwrap();
        frame.collect().await.unwrap_err();
        assert!(lake.unwrap().is_stale());
        assert!(result(&catalog, folder.path(), sql, QueryFormat::Csv).await.unwrap().starts_with("n\n"));
    }
}
