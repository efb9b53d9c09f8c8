//! `rollcall query`: runs SQL over the lake's catalog with DataFusion, in this process.

mod as_of;
mod axis_filters;
mod catalog_entry;
pub(crate) mod csv;
pub(crate) mod engine;
mod engine_errors;
mod file_check;
mod file_reader;
mod lake_table;
mod pinned_folder;
pub(crate) mod render;
pub(crate) mod shipped;
mod views;
pub(crate) mod words;

use std::process::ExitCode;

use clap::Args;
use rollcall_core::history::Moment;

use crate::lake;
use crate::lake::args::LakeArgs;
use crate::lake::mark::LakeMark;
use crate::output;
use crate::query::as_of::AsOf;
use crate::query::engine::run_sql;
use crate::query::render::QueryFormat;
use crate::query::shipped::{SHIPPED, find_sql, question};
use crate::table;
use crate::warnings;

#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// Name of a shipped query, or SQL [default: list the shipped queries]
    #[arg(allow_hyphen_values = true)]
    query: Option<String>,
    #[command(flatten)]
    lake: LakeArgs,
    /// Query the lake as it was: at the end of a date (UTC), at a time, or after the last run under a release
    #[arg(long, value_name = "DATE|TIME|RELEASE")]
    as_of: Option<String>,
    /// Output format
    #[arg(long, value_enum, default_value_t = QueryFormat::Table)]
    format: QueryFormat,
}

pub(crate) async fn run(args: QueryArgs) -> anyhow::Result<ExitCode> {
    let Some(query) = &args.query else {
        let mut table = table::table(&["query", "question"]);
        for (name, sql) in SHIPPED {
            table.add_row([*name, question(sql)]);
        }
        output::print(&table::render(&table))?;
        return Ok(ExitCode::SUCCESS);
    };
    let sql = find_sql(query)?;
    let store = args.lake.existing_folder("query a lake in a bucket with Athena, in the stack's work group").await?;
    let as_of = args.as_of.as_deref().map(|text| AsOf::new(store.clone(), Moment::parse(text)));
    let text = run_sql(&lake::catalog(&store), store.root(), &sql, args.format, as_of.as_ref()).await?;
    match args.format {
        QueryFormat::Csv => output::print_data(&text)?,
        QueryFormat::Table | QueryFormat::Json => output::print(&text)?,
    }
    warnings::note_sample(LakeMark::find(&store).await?.is_some_and(|mark| mark.is_sample));
    Ok(ExitCode::SUCCESS)
}
