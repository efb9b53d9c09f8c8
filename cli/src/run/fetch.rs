//! Fetches the partitions of a plan, several at once, each with its retries.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{StreamExt, future, stream};
use rollcall_adapters::SystemClock;
use rollcall_adapters::folder::FolderStore;
use rollcall_adapters::http_portal::HttpPortal;
use rollcall_core::Error;
use rollcall_core::dataset::Dataset;
use rollcall_core::fetch::{RunFacts, fetch_partition};
use rollcall_core::ledger::PlanItem;
use rollcall_core::partition::PartitionKey;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::output::{self};
use crate::progress::RunBar;
use crate::run::args::RunArgs;
use crate::run::prepare::Prepared;
use crate::run::reach::{Reach, WatchedPortal};
use crate::run::run_portal::RunPortal;
use crate::signals::Signals;
use crate::words::counted;

/// Times a partition is fetched before it counts as failed; the state machine retries as often.
pub(crate) const PARTITION_TRIES: u32 = 3;

/// Time that what was received is given to be committed once the run is asked to end.
pub(crate) const DRAIN: Duration = Duration::from_secs(3);

/// How fetching ended.
#[derive(Clone, Copy)]
pub(crate) enum Ended {
    AllTried,
    TooManyFailed,
    Unreachable,
    Interrupted,
    /// The lake is not in its place any more.
    LakeLost,
}

/// Fetches every partition, as many open at once as there are requests in flight: the next partitions' first pages then
/// fill the places that a partition's last pages leave. Gives how it ended, and which partitions were not tried.
pub(crate) async fn fetch_all(
    prepared: &Prepared,
    args: &RunArgs,
    signals: &mut Signals,
) -> (Ended, BTreeSet<PartitionKey>) {
    let items = &prepared.plan.items;
    let bar = Arc::new(RunBar::new(items.len()));
    let tried = Arc::new(Tried::default());
    let reach = Arc::new(Reach::new(items.len().min(args.portal.in_flight())));
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let fetches = stream::iter(items.iter().map(|item| item.partition.clone()))
        .take_while(|_| future::ready(tried.n_failed() <= args.tolerated_failures && !stop.is_cancelled()))
        .map(|partition| {
            let (open, store, bar, stop) = (prepared.open.clone(), prepared.store.clone(), bar.clone(), stop.clone());
            let (dataset, facts, tried) = (prepared.dataset.clone(), prepared.facts.clone(), tried.clone());
            let reach = reach.clone();
            AbortOnDropHandle::new(tasks.spawn(async move {
                let portal = WatchedPortal { portal: open.for_partition(), reach: &reach };
                let portal = RunPortal { portal, bar: &bar, stop: &stop };
                tried.begin(&partition);
                let attempt = fetch_with_retries(&portal, &store, &dataset, &partition, &facts).await;
                tried.end(&partition, attempt);
                bar.partition_done();
            }))
        })
        .buffer_unordered(args.portal.in_flight())
        .inspect(|joined| {
            // Its partition has no receipt, and so counts as failed.
            if let Err(error) = joined {
                output::complain(&format!("failed: a partition's task ended early: {error}"));
                tried.note_failure();
                reach.reached();
            }
        })
        .count();
    let mut fetches = pin!(fetches);
    let ended = tokio::select! {
        // Before its fetches are seen to end.
        biased;
        why = reach.unreachable() => {
            output::complain(&format!(
                "stopped: the portal cannot be reached, so no further partition is tried: {why}\nhint: check \
                 `--portal` and the network"
            ));
            Ended::Unreachable
        }
        n_tried = &mut fetches => if n_tried == items.len() { Ended::AllTried } else { Ended::TooManyFailed },
        () = signals.asked() => Ended::Interrupted,
        () = prepared.store.lost() => Ended::LakeLost,
    };
    if !matches!(ended, Ended::AllTried | Ended::TooManyFailed) {
        // What waits for the portal ends now, and what was received is committed, with its receipt. A lake that does not
        // answer is left behind.
        stop.cancel();
        let drained = future::join(fetches, prepared.store.settle());
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            output::complain("warning: the lake does not answer; stopped waiting for writes under way");
        }
    }
    bar.finish();
    let not_tried = tried.rest_of(items);
    let rest = counted(not_tried.len() as u64, "partition");
    match ended {
        Ended::AllTried | Ended::LakeLost | Ended::Unreachable => {}
        Ended::TooManyFailed => output::complain(&format!(
            "stopped: more than {} failed; {rest} not tried",
            counted(args.tolerated_failures as u64, "partition")
        )),
        Ended::Interrupted => output::complain(&format!("interrupted: what is committed stays; {rest} not tried")),
    }
    (ended, not_tried)
}

/// What was begun, and what it came to.
#[derive(Default)]
pub(crate) struct Tried {
    partitions: Mutex<BTreeSet<PartitionKey>>,
    n_failed: AtomicUsize,
}

impl Tried {
    fn partitions(&self) -> MutexGuard<'_, BTreeSet<PartitionKey>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn n_failed(&self) -> usize {
        self.n_failed.load(Ordering::Relaxed)
    }

    fn note_failure(&self) {
        self.n_failed.fetch_add(1, Ordering::Relaxed);
    }

    fn begin(&self, partition: &PartitionKey) {
        self.partitions().insert(partition.clone());
    }

    fn end(&self, partition: &PartitionKey, attempt: Attempt) {
        match attempt {
            Attempt::Succeeded => {}
            Attempt::Failed => self.note_failure(),
            Attempt::NotTried => {
                self.partitions().remove(partition);
            }
        }
    }

    /// The planned partitions that were not begun, or ended before they came to anything.
    fn rest_of(&self, items: &[PlanItem]) -> BTreeSet<PartitionKey> {
        let tried = self.partitions();
        items.iter().map(|item| &item.partition).filter(|partition| !tried.contains(*partition)).cloned().collect()
    }
}

/// What trying a partition came to.
enum Attempt {
    /// It left a receipt of anything but a failure.
    Succeeded,
    Failed,
    /// The run ended before its rows were received.
    NotTried,
}

/// One partition, tried again from page 1 where that may help. The last try's receipt stays.
async fn fetch_with_retries(
    portal: &RunPortal<'_, WatchedPortal<'_, HttpPortal>>,
    store: &FolderStore,
    dataset: &Dataset,
    partition: &PartitionKey,
    facts: &RunFacts,
) -> Attempt {
    let WatchedPortal { portal: http, reach } = &portal.portal;
    let mut before = None;
    for tries in 1..=PARTITION_TRIES {
        let fetched = fetch_partition(portal, store, &SystemClock, dataset, partition, facts).await;
        match &fetched {
            // The run says so, once.
            Err(error) if error.is_unreachable() => {
                let makes_sense = tokio::select! {
                    makes_sense = reach.not_connected(error) => makes_sense,
                    () = portal.stop.cancelled() => false,
                };
                if !makes_sense {
                    return Attempt::Failed;
                }
            }
            Err(Error::Interrupted { .. }) => {}
            _ => reach.reached(),
        }
        match fetched {
            Ok(_) => return Attempt::Succeeded,
            // A try that ended counts, whatever the next one would have come to.
            Err(Error::Interrupted { .. }) => {
                return before.map_or(Attempt::NotTried, |error| report_failure(partition, &error));
            }
            // There is one deadline for all tries.
            Err(error @ Error::DeadlineExceeded { .. }) => return report_failure(partition, &error),
            Err(error) if error.is_retryable() && tries < PARTITION_TRIES && !portal.stop.is_cancelled() => {
                tracing::warn!(%partition, tries, error = error.chain(), "partition fetched again");
                tokio::select! {
                    () = http.pause(tries) => {}
                    () = portal.stop.cancelled() => return report_failure(partition, &error),
                }
                before = Some(error);
            }
            Err(error) => return report_failure(partition, &error),
        }
    }
    Attempt::Failed
}

fn report_failure(partition: &PartitionKey, error: &Error) -> Attempt {
    tracing::debug!(%partition, "partition given up");
    output::complain(&format!("failed: {}: {}", error.name(), error.chain()));
    Attempt::Failed
}
