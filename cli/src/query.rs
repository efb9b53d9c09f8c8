//! `rollcall query`: runs SQL over the lake's catalog with DataFusion, in this process.

mod as_of;
mod axis_filters;
mod catalog_entry;
mod default_database;
pub(crate) mod engine;
mod engine_errors;
mod engine_threads;
pub(crate) mod explain;
mod file_check;
mod file_reader;
mod headings;
mod lake_table;
pub(crate) mod limits;
mod offers;
mod pinned_folder;
mod plain_sql;
mod session;
mod shell;
pub(crate) mod shipped;
mod source;
mod views;
pub(crate) mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use rollcall_core::history::Moment;

use crate::completions;
use crate::exit::{self, BadInput};
use crate::lake::args::LakeArgs;
use crate::lake::busy;
use crate::lake::mark::LakeMark;
use crate::output;
use crate::query::as_of::AsOf;
use crate::query::limits::Limits;
use crate::query::session::{Session, View};
use crate::query::source::Source;
use crate::rows::file::{RowsFile, RowsPath};
use crate::signals::Signals;
use crate::warnings;
use crate::words::{counted, size};

/// Query the lake: run a shipped query by name, or any SQL. Without a query on a terminal, open a shell.
///
/// Tables of the database ccd_school, and tables whose name only one database has, need no database name.
#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// Name of a shipped query, SQL, or `-` for SQL from stdin
    #[arg(allow_hyphen_values = true, add = completions::queries())]
    query: Option<String>,
    /// Read the SQL from a file
    #[arg(short, long, value_name = "FILE", conflicts_with = "query")]
    file: Option<PathBuf>,
    /// List the shipped queries and the questions they answer
    #[arg(long, conflicts_with_all = ["query", "file"])]
    list: bool,
    #[command(flatten)]
    lake: LakeArgs,
    /// Query the lake as it was: at the end of a date (UTC), at a time, or after the last run under a release
    #[arg(long, value_name = "DATE|TIME|RELEASE")]
    as_of: Option<String>,
    #[command(flatten)]
    view: View,
    /// Write all rows to a file that ends in .csv, .json or .parquet
    #[arg(short, long, value_name = "FILE", value_parser = RowsPath::parse, conflicts_with = "format")]
    output: Option<RowsPath>,
    #[command(flatten)]
    limits: Limits,
}

pub(crate) async fn run(args: QueryArgs) -> anyhow::Result<ExitCode> {
    let source =
        if args.list { Source::List } else { Source::of(args.query.as_deref(), args.file.as_deref(), &args.lake)? };
    let sql = match source {
        Source::List => {
            output::print(&shipped::list())?;
            return Ok(ExitCode::SUCCESS);
        }
        Source::Shell if args.output.is_some() => {
            return Err(BadInput("read `--output`: expected a query for it, found none".to_owned()).into());
        }
        Source::Shell => None,
        Source::Sql(sql) => Some(sql),
    };
    let store = args.lake.existing_folder("query a lake in a bucket with Athena, in the stack's work group").await?;
    busy::note_first_run(&store).await;
    let as_of = args.as_of.as_deref().map(|text| AsOf::new(store.clone(), Moment::parse(text)));
    let mark = LakeMark::find(&store).await?;
    let is_sample = mark.as_ref().is_some_and(|mark| mark.is_sample);
    let session = Session {
        store: &store,
        as_of: as_of.as_ref(),
        view: args.view,
        is_shell: sql.is_none(),
        mark: mark.as_ref(),
        limits: args.limits,
    };
    let Some(sql) = sql else {
        warnings::note_sample(is_sample);
        return shell::run(session).await;
    };
    match &args.output {
        None => session.print(&sql).await?,
        Some(path) => {
            let query = session.query(&sql);
            let mut signals = Signals::listen()?;
            // The unfinished file is removed when it is dropped.
            let rows = tokio::select! {
                rows = query.run(|schema| RowsFile::create(path, schema)) => rows?,
                () = signals.stop_requested() => return Ok(ExitCode::from(exit::INTERRUPTED)),
            };
            let (n_rows, size_bytes) = rows.finish()?;
            let (rows, path) = (counted(n_rows, "row"), path.path().display());
            query.note_if_nothing(n_rows);
            output::print_note(&format!("wrote {rows} ({}) to `{path}`", size(size_bytes)));
        }
    }
    warnings::note_sample(is_sample);
    Ok(ExitCode::SUCCESS)
}
