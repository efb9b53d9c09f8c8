//! Fetches the partitions of a plan, several at a time, until all are done or the run has to stop.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, future, stream};
use rollcall_core::cost::Lengths;
use rollcall_core::error::chain;
use rollcall_core::ledger::read_records;
use rollcall_core::partition::PartitionKey;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::escape::visible;
use crate::output::print_message;
use crate::progress::RunProgress;
use crate::progress::state::RunState;
use crate::run::args::RunArgs;
use crate::run::attempts::{AttemptOutcome, Attempts, fetch_with_retries};
use crate::run::prepare::PreparedRun;
use crate::run::reachability::SharedReachability;
use crate::run::run_portal::RunPortal;
use crate::signals::{Signals, tell_interrupted};
use crate::words::counted;

/// Time allowed for committing what was already received, after the run is told to stop.
pub(super) const DRAIN: Duration = Duration::from_secs(3);

/// Why fetching ended.
#[derive(Clone, Copy)]
pub(crate) enum FetchEnd {
    AllTried,
    TooManyFailed,
    Unreachable,
    Interrupted,
    /// The lake's folder was moved, removed or replaced.
    LakeLost,
}

/// Starts to show the progress of a run.
async fn start_progress(PreparedRun { dataset, store, portal, plan, .. }: &PreparedRun) -> Arc<RunProgress> {
    // Without an earlier run, or if its records cannot be read, less is known of the time left.
    let records = read_records(store, dataset).await.unwrap_or_default();
    let lengths = Lengths::of_records(dataset, &records);
    let planned = plan.items.iter().map(|item| item.partition.clone());
    let opening = format!(
        "fetching {} of {} from {} into `{}`",
        counted(plan.items.len() as u64, "partition"),
        visible(&dataset.name),
        visible(portal.name()),
        visible(&store.root().display().to_string())
    );
    RunProgress::start(RunState::new(planned, lengths), Some(opening.as_str()).filter(|_| !plan.items.is_empty()))
}

/// Fetches every partition of the plan. Returns why it ended, and the partitions that were not tried.
///
/// Fetches as many partitions at once as there may be requests in flight. The first pages of the next partitions thus
/// use the slots that the last pages of a partition leave free.
pub(crate) async fn fetch_all(
    prepared: &PreparedRun,
    args: &RunArgs,
    signals: &mut Signals,
) -> (FetchEnd, BTreeSet<PartitionKey>) {
    let items = &prepared.plan.items;
    let progress = start_progress(prepared).await;
    let attempts = Arc::new(Attempts::default());
    let reachability = Arc::new(SharedReachability::new(items.len().min(prepared.facts.in_flight)));
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let fetches = stream::iter(items.iter().map(|item| item.partition.clone()))
        .take_while(|_| future::ready(attempts.n_failed() <= args.tolerated_failures && !stop.is_cancelled()))
        .map(|partition| {
            let (opened, store, progress) = (prepared.portal.clone(), prepared.store.clone(), progress.clone());
            let (dataset, facts, attempts) = (prepared.dataset.clone(), prepared.facts.clone(), attempts.clone());
            let (source, reachability, stop) = (prepared.source.clone(), reachability.clone(), stop.clone());
            AbortOnDropHandle::new(tasks.spawn(async move {
                let portal = RunPortal {
                    portal: opened.for_partition().reporting_retries(progress.on_retry(&partition)),
                    partition: &partition,
                    progress: &progress,
                    reachability: &reachability,
                    stop: &stop,
                };
                attempts.start(&partition);
                progress.state().start(&partition);
                let outcome = fetch_with_retries(&portal, &store, &dataset, &partition, &facts).await;
                if matches!(outcome, AttemptOutcome::Succeeded { .. })
                    && let Err(error) = source.record(&store, &dataset).await
                {
                    tracing::warn!(error = chain(&error), "portal not recorded in the lake's mark");
                }
                match outcome {
                    AttemptOutcome::Succeeded { n_rows } => progress.state().end(&partition, Some(n_rows)),
                    AttemptOutcome::Failed => progress.state().end(&partition, None),
                    AttemptOutcome::NotTried => {}
                }
                attempts.end(&partition, outcome);
            }))
        })
        .buffer_unordered(prepared.facts.in_flight)
        .inspect(|joined| {
            // The partition has no receipt, so publishing counts it as failed.
            if let Err(error) = joined {
                print_message(&format!("failed: the task of a partition ended early: {error}"));
                attempts.count_failure();
                reachability.set_reached();
            }
        })
        .count();
    let mut fetches = pin!(fetches);
    let end = tokio::select! {
        // An unreachable portal also ends all fetches; report the cause.
        biased;
        reason = reachability.unreachable() => {
            print_message(&format!(
                "stopped: cannot reach the portal; the remaining partitions are not tried: {reason}\nhint: check \
                 `--portal` and the network"
            ));
            FetchEnd::Unreachable
        }
        n_tried = &mut fetches => if n_tried == items.len() { FetchEnd::AllTried } else { FetchEnd::TooManyFailed },
        () = signals.stop_requested() => FetchEnd::Interrupted,
        () = prepared.store.lost() => FetchEnd::LakeLost,
    };
    if !matches!(end, FetchEnd::AllTried | FetchEnd::TooManyFailed) {
        // Nothing waits for the portal any longer. Pages already received are committed, with their receipts, unless
        // the lake hangs.
        stop.cancel();
        let drained = future::join(fetches, prepared.store.settle());
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            print_message("warning: the lake does not respond; stopped waiting for pending writes");
        }
    }
    progress.finish();
    let not_tried = attempts.not_tried(items);
    let n_not_tried = counted(not_tried.len() as u64, "partition");
    match end {
        FetchEnd::AllTried | FetchEnd::LakeLost | FetchEnd::Unreachable => {}
        FetchEnd::TooManyFailed => print_message(&format!(
            "stopped: more than {} failed; {n_not_tried} not tried",
            counted(args.tolerated_failures as u64, "partition")
        )),
        FetchEnd::Interrupted => {
            tell_interrupted(&format!("committed partitions are kept; {n_not_tried} not tried"));
        }
    }
    (end, not_tried)
}
