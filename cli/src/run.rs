//! `rollcall run`: plans, fetches and publishes on this machine, or starts the same run on AWS.

pub(crate) mod args;
mod attempts;
mod fetch;
mod fetch_and_publish;
#[cfg(feature = "aws")]
mod on_aws;
mod prepare;
mod reachability;
mod report;
mod run_portal;
mod several;

use std::process::ExitCode;

use rollcall_adapters::folder::FolderStore;
use rollcall_core::ledger::Summary;

use crate::exit;
use crate::lake::mark::LakeMark;
use crate::output::{self, Format};
use crate::query::engine::LakeQuery;
use crate::request::ResolvedRequest;
use crate::request::dataset::refuse_several;
use crate::rows::printed::Collected;
use crate::run::args::{Elsewhere, RunArgs};
use crate::run::fetch::FetchEnd;
use crate::run::fetch_and_publish::{fetch_and_publish, interrupted};
use crate::run::prepare::{PreparedRun, prepare};
use crate::run::report::RunReport;
use crate::signals::Signals;
use crate::warnings;
use crate::words::shell_word;

pub(crate) async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let request = args.request.clone();
    let ended = match args.on {
        None => run_here(args).await,
        #[cfg(feature = "aws")]
        Some(Elsewhere::Aws) => crate::run::on_aws::run(&args).await,
        #[cfg(not(feature = "aws"))]
        Some(Elsewhere::Aws) => Err(crate::aws::missing("run on aws").into()),
    };
    ended.map_err(|error| request.in_flags(error))
}

async fn run_here(args: RunArgs) -> anyhow::Result<ExitCode> {
    // The input may come from a terminal. Until it is read, Ctrl-C ends the process as usual.
    if let Some(datasets) = args.request.several()? {
        if args.query.is_some() {
            refuse_several("--query", Some(&datasets))?;
        }
        return several::run(&args, datasets).await;
    }
    let ResolvedRequest { dataset, request, .. } = args.request.resolve()?;
    let mut signals = Signals::listen()?;
    let prepared = tokio::select! {
        prepared = async { prepare(&args, &args.portal.source().await?, dataset, request).await } => prepared?,
        () = signals.stop_requested() => return Ok(interrupted("nothing was fetched")),
    };
    let Some((end, summary)) = fetch_and_publish(&prepared, &args, &mut signals).await? else {
        return Ok(interrupted("committed partitions are kept; the next run registers them for queries"));
    };
    let query = match &prepared.query {
        None => QueryOutcome::NotRequested,
        Some(_) if matches!(end, FetchEnd::Interrupted) => QueryOutcome::Interrupted,
        Some(sql) => tokio::select! {
            result = rows_of(&prepared.store, sql, &args) => {
                result.map_or_else(QueryOutcome::Failed, QueryOutcome::Finished)
            }
            () = signals.stop_requested() => QueryOutcome::Interrupted,
        },
    };
    print_outcome(&prepared, &args, end, &summary, query)
}

/// Returns the rows of the query after a run, formatted.
async fn rows_of(store: &FolderStore, sql: &str, args: &RunArgs) -> anyhow::Result<String> {
    let mark = LakeMark::find(store).await?;
    let query = LakeQuery { mark: mark.as_ref(), ..LakeQuery::new(store, sql) };
    let rows = query.run(|schema| Collected::new(args.format.into(), schema)).await?;
    query.note_if_nothing(rows.n_rows());
    rows.finish()
}

/// Outcome of the query after a run.
enum QueryOutcome {
    NotRequested,
    /// The rows, formatted.
    Finished(String),
    Failed(anyhow::Error),
    Interrupted,
}

/// Prints the outcome of the run and of its query, and returns the exit code.
fn print_outcome(
    prepared: &PreparedRun,
    args: &RunArgs,
    end: FetchEnd,
    summary: &Summary,
    query: QueryOutcome,
) -> anyhow::Result<ExitCode> {
    let PreparedRun { dataset, plan, .. } = prepared;
    let code = match end {
        FetchEnd::Interrupted => exit::INTERRUPTED,
        FetchEnd::Unreachable => exit::PORTAL,
        _ if summary.n_open() > 0 => exit::PARTIAL,
        _ => exit::OK,
    };
    let rows = match (args.format, &query) {
        (Format::Json, QueryOutcome::Finished(rows)) => Some(serde_json::from_str(rows)?),
        _ => None,
    };
    let report = RunReport::new(summary, &plan.warnings, rows);
    report.print(args.format, &args.offer(dataset))?;
    warnings::note_sample(args.portal.is_sample());
    let query_code = match query {
        QueryOutcome::NotRequested => ExitCode::from(exit::OK),
        QueryOutcome::Finished(rows) => {
            if args.format == Format::Table {
                output::print(&format!("\n{rows}"))?;
            }
            ExitCode::from(exit::OK)
        }
        QueryOutcome::Failed(failure) => exit::report(&failure),
        QueryOutcome::Interrupted => {
            let query = shell_word(args.query.as_deref().unwrap_or_default());
            let again = args.lake.command(&format!("rollcall query {query}"));
            interrupted(&format!("the query did not finish; run it again with `{again}`"))
        }
    };
    // The exit code of the run takes precedence over that of its query.
    Ok(if code == exit::OK { query_code } else { ExitCode::from(code) })
}
