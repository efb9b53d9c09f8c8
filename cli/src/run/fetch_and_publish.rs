//! Fetches the partitions of a plan and publishes them.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rollcall_adapters::SystemClock;
use rollcall_core::error::chain;
use rollcall_core::ledger::Summary;
use rollcall_core::partition::PartitionKey;
use rollcall_core::publish::{CatalogChanges, PlannedRun, Registrar, publish_partitions, register_committed};
use tokio_util::sync::CancellationToken;

use crate::exit;
use crate::run::args::RunArgs;
use crate::run::fetch::{DRAIN, FetchEnd, fetch_all};
use crate::run::prepare::PreparedRun;
use crate::signals::{Signals, tell_interrupted};

/// How many times as long as the last registration the run waits at least before the next one.
const REST: u32 = 20;

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
    let registering = register_regularly(prepared, args.publish_every, &stop);
    let ((end, not_tried), registered) = tokio::join!(fetched, registering);
    tokio::select! {
        biased;
        summary = publish(prepared, not_tried, registered) => Ok(Some((end, summary?))),
        () = signals.stop_requested() => Ok(None),
    }
}

/// Registers the partitions committed so far, again and again, until the run has fetched everything. Returns what it changed
/// in the catalog.
async fn register_regularly(prepared: &PreparedRun, every: Duration, stop: &CancellationToken) -> CatalogChanges {
    let PreparedRun { dataset, store, catalog, facts, .. } = prepared;
    let mut registered = CatalogChanges::default();
    let mut wait = every;
    loop {
        tokio::select! {
            () = stop.cancelled() => return registered,
            () = tokio::time::sleep(wait) => {}
        }
        let started = Instant::now();
        let changed = tokio::select! {
            changed = register_committed(store, catalog, &SystemClock, dataset, &facts.run) => changed,
            () = async { stop.cancelled().await; tokio::time::sleep(DRAIN).await } => {
                // Its last write must not come after those of the run's end.
                let _ = tokio::time::timeout(DRAIN, store.settle()).await;
                return registered;
            }
        };
        match changed {
            Ok(CatalogChanges { n_put, n_removed }) => {
                registered.n_put += n_put;
                registered.n_removed += n_removed;
            }
            // The end of the run does it again, and reports what fails.
            Err(error) => {
                tracing::warn!(run = facts.run, error = chain(&error), "committed partitions not registered yet");
            }
        }
        // Each time looks at all objects of the run, so a long run does it less often.
        wait = every.max(started.elapsed() * REST);
    }
}

/// Registers the committed partitions, and returns the summary of the run.
async fn publish(
    prepared: &PreparedRun,
    not_tried: BTreeSet<PartitionKey>,
    registered: CatalogChanges,
) -> anyhow::Result<Summary> {
    let PreparedRun { dataset, store, catalog, plan, facts, .. } = prepared;
    store.check_lock().await?;
    let without_receipt = not_tried.into();
    let run = PlannedRun {
        name: &facts.run,
        started_at: prepared.started_at,
        items: &plan.items,
        without_receipt: &without_receipt,
        registered,
    };
    Ok(publish_partitions(store, catalog, &SystemClock, dataset, &run, Registrar::Publisher).await?)
}

/// Says that the run was interrupted, and returns its exit code.
pub(super) fn interrupted(consequence: &str) -> ExitCode {
    tell_interrupted(consequence);
    ExitCode::from(exit::INTERRUPTED)
}
