//! Fetches the partitions of a plan and publishes them.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use rollcall_adapters::SystemClock;
use rollcall_core::error::chain;
use rollcall_core::ledger::Summary;
use rollcall_core::partition::PartitionKey;
use rollcall_core::publish::{PlannedRun, Registrar, publish_partitions, register_committed};
use tokio_util::sync::CancellationToken;

use crate::exit;
use crate::output;
use crate::run::args::RunArgs;
use crate::run::fetch::{FetchEnd, fetch_all};
use crate::run::prepare::PreparedRun;
use crate::signals::Signals;

/// Fetches and publishes the partitions of a plan. Returns `None` if it was interrupted while it published them.
pub(super) async fn fetch_and_publish(
    prepared: &PreparedRun,
    args: &RunArgs,
    signals: &mut Signals,
) -> anyhow::Result<Option<(FetchEnd, Summary)>> {
    let stop = CancellationToken::new();
    let fetched = async {
        let fetched = fetch_all(prepared, args, signals).await;
        stop.cancel();
        fetched
    };
    let ((end, not_tried), ()) = tokio::join!(fetched, register_regularly(prepared, args.publish_every, &stop));
    tokio::select! {
        biased;
        summary = publish(prepared, not_tried) => Ok(Some((end, summary?))),
        () = signals.stop_requested() => Ok(None),
    }
}

/// Registers the partitions committed so far, again and again, until the run has fetched everything.
async fn register_regularly(prepared: &PreparedRun, every: Duration, stop: &CancellationToken) {
    let PreparedRun { dataset, store, catalog, facts, .. } = prepared;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        // The end of the run does it again, and reports what fails.
        if let Err(error) = register_committed(store, catalog, &SystemClock, dataset, &facts.run).await {
            tracing::warn!(run = facts.run, error = chain(&error), "committed partitions not registered yet");
        }
    }
}

/// Registers the committed partitions, and returns the summary of the run.
async fn publish(prepared: &PreparedRun, not_tried: BTreeSet<PartitionKey>) -> anyhow::Result<Summary> {
    let PreparedRun { dataset, store, catalog, plan, facts, .. } = prepared;
    store.check_lock().await?;
    let without_receipt = not_tried.into();
    let run = PlannedRun {
        name: &facts.run,
        started_at: prepared.started_at,
        items: &plan.items,
        without_receipt: &without_receipt,
    };
    Ok(publish_partitions(store, catalog, &SystemClock, dataset, &run, Registrar::Publisher).await?)
}

/// Says that the run was interrupted, and returns its exit code.
pub(super) fn interrupted(consequence: &str) -> ExitCode {
    output::print_message(&format!("interrupted: {consequence}"));
    ExitCode::from(exit::INTERRUPTED)
}
