//! `rollcall run`: the three steps, on a folder.

pub(crate) mod args;
mod fetch;
#[cfg(feature = "aws")]
mod on_aws;
mod prepare;
pub(crate) mod reach;
pub(crate) mod run_portal;

use std::collections::BTreeSet;
use std::process::ExitCode;

use rollcall_adapters::SystemClock;
use rollcall_core::ledger::Summary;
use rollcall_core::partition::PartitionKey;
use rollcall_core::publish::{PlannedRun, Registrar, publish_partitions};

use crate::exit;
use crate::output::{self, Format};
use crate::query;
use crate::report::Report;
use crate::request::Resolved;
use crate::run::args::{Elsewhere, RunArgs};
use crate::run::fetch::{Ended, fetch_all};
use crate::run::prepare::{Prepared, prepare};
use crate::signals::Signals;
use crate::warnings;

pub(crate) async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    match args.on {
        None => run_here(args).await,
        #[cfg(feature = "aws")]
        Some(Elsewhere::Aws) => crate::run::on_aws::run(&args).await,
        #[cfg(not(feature = "aws"))]
        Some(Elsewhere::Aws) => Err(crate::aws::missing("run on aws").into()),
    }
}

async fn run_here(args: RunArgs) -> anyhow::Result<ExitCode> {
    // The input may come from a terminal, where Ctrl-C ends the process as it does anywhere.
    let Resolved { dataset, request, .. } = args.request.resolve()?;
    let mut signals = Signals::listen()?;
    let prepared = tokio::select! {
        prepared = prepare(&args, dataset, request) => prepared?,
        () = signals.asked() => return Ok(interrupted("nothing was fetched")),
    };
    let (ended, not_tried) = fetch_all(&prepared, &args, &mut signals).await;
    let summary = tokio::select! {
        biased;
        summary = publish(&prepared, &not_tried) => summary?,
        () = signals.asked() => {
            return Ok(interrupted("what is committed stays; the next run registers it for queries"));
        }
    };
    let answer = match &prepared.query {
        None => Answer::NotAsked,
        Some(_) if matches!(ended, Ended::Interrupted) => Answer::Interrupted,
        Some(sql) => tokio::select! {
            result = query::engine::result(&prepared.catalog, prepared.store.root(), sql, args.format.into()) => {
                result.map_or_else(Answer::Failed, Answer::Given)
            }
            () = signals.asked() => Answer::Interrupted,
        },
    };
    report(&prepared, &args, ended, &summary, answer)
}

/// What became of the query after a run.
enum Answer {
    NotAsked,
    /// As it is printed.
    Given(String),
    Failed(anyhow::Error),
    Interrupted,
}

fn interrupted(what: &str) -> ExitCode {
    output::complain(&format!("interrupted: {what}"));
    ExitCode::from(exit::INTERRUPTED)
}

/// Registers what was committed, and sums up the run.
async fn publish(prepared: &Prepared, not_tried: &BTreeSet<PartitionKey>) -> anyhow::Result<Summary> {
    let Prepared { dataset, store, catalog, plan, facts, .. } = prepared;
    store.check_lock().await?;
    let run = PlannedRun { name: &facts.run, started_at: prepared.started_at, items: &plan.items, not_tried };
    Ok(publish_partitions(store, catalog, &SystemClock, dataset, &run, Registrar::Publisher).await?)
}

/// Tells what the run came to, and what the query after it.
fn report(
    prepared: &Prepared,
    args: &RunArgs,
    ended: Ended,
    summary: &Summary,
    answer: Answer,
) -> anyhow::Result<ExitCode> {
    let Prepared { dataset, plan, .. } = prepared;
    let code = match ended {
        Ended::Interrupted => exit::INTERRUPTED,
        Ended::Unreachable => exit::PORTAL,
        _ if summary.n_open() > 0 => exit::PARTIAL,
        _ => exit::OK,
    };
    let query = match (args.format, &answer) {
        (Format::Json, Answer::Given(result)) => Some(serde_json::from_str(result)?),
        _ => None,
    };
    let report = Report::new(summary, &plan.warnings, query);
    report.print(dataset, args.format, &args.again(&summary.run, dataset), &args.anew(dataset))?;
    warnings::note_sample(args.portal.is_sample());
    let query_code = match answer {
        Answer::NotAsked => ExitCode::from(exit::OK),
        Answer::Given(result) => {
            if args.format == Format::Table {
                output::print(&format!("\n{result}"))?;
            }
            ExitCode::from(exit::OK)
        }
        Answer::Failed(failure) => exit::report(&failure),
        Answer::Interrupted => interrupted("the query was not finished; ask it again with `rollcall query`"),
    };
    // What the fetching came to weighs more than the query after it.
    Ok(if code == exit::OK { query_code } else { ExitCode::from(code) })
}
