//! `rollcall query`: SQL over the lake's catalog, by an engine in this process.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use comfy_table::CellAlignment;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::json::WriterBuilder;
use datafusion::arrow::json::writer::JsonArray;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::catalog::MemorySchemaProvider;
use datafusion::execution::context::SQLOptions;
use datafusion::prelude::{SessionConfig, SessionContext};
use rollcall_adapters::file_catalog::FileCatalog;
use rollcall_adapters::folder::FolderStore;

use crate::exit::BadInput;
use crate::lake::LakeArgs;
use crate::lake_table::LakeTable;
use crate::output::{self, Format};

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
    print_result(&args.lake.catalog(), args.lake.store().root(), &sql, args.format).await?;
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

/// Runs SQL and prints its rows.
///
/// # Errors
/// [`BadInput`] when the SQL cannot be run over the tables there are.
pub(crate) async fn print_result(
    catalog: &FileCatalog<FolderStore>,
    root: &Path,
    sql: &str,
    format: QueryFormat,
) -> anyhow::Result<()> {
    let tables = catalog.tables().await?;
    let names: Vec<String> = tables.iter().map(|table| format!("{}.{}", table.database, table.table)).collect();
    let refused = |error: datafusion::error::DataFusionError| {
        let hint = if names.is_empty() {
            format!("hint: the lake `{}` holds no tables yet; fetch some with `rollcall run`", root.display())
        } else {
            format!("hint: tables of this lake: {}", names.join(", "))
        };
        // The engine joins causes by lines; here they stay in one.
        let words = error.strip_backtrace().replace("\ncaused by\n", ": ");
        BadInput(format!("run query: {words}\n{hint}"))
    };
    // Names are as they are written in the catalog: lower case.
    let context = SessionContext::new_with_config(SessionConfig::new().with_information_schema(true));
    for table in &tables {
        let databases = context.catalog("datafusion").ok_or_else(|| BadInput("no default catalog".to_owned()))?;
        let database = match databases.schema(&table.database) {
            Some(database) => database,
            None => {
                let database = Arc::new(MemorySchemaProvider::new());
                databases.register_schema(&table.database, database.clone())?;
                database
            }
        };
        database.register_table(table.table.clone(), Arc::new(LakeTable::new(table, root)?))?;
    }
    // A query reads. Statements that would write files or change tables are refused.
    let reads_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    let frame = context.sql_with_options(sql, reads_only).await.map_err(&refused)?;
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let mut batches = frame.collect().await.map_err(&refused)?;
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(schema));
    }
    output::print(&render(&batches, format)?)?;
    Ok(())
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
    let mut table = output::table(&names);
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
