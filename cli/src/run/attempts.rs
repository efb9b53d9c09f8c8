//! Fetches one partition with retries, and records which partitions of a run were tried.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rollcall_adapters::SystemClock;
use rollcall_adapters::folder::FolderStore;
use rollcall_adapters::http_portal::HttpPortal;
use rollcall_core::Error;
use rollcall_core::dataset::Dataset;
use rollcall_core::fetch::{Fetched, Progress, RunFacts, Spent, fetch_partition, record_failure};
use rollcall_core::ledger::PlanItem;
use rollcall_core::partition::PartitionKey;
use rollcall_core::ports::Clock;

use crate::output::print_message;
use crate::run::run_portal::RunPortal;

/// Maximum number of attempts for one partition. The state machine makes the same number of attempts.
const MAX_TRIES: u32 = 3;

/// Outcome of trying a partition, retries included.
pub(crate) enum AttemptOutcome {
    /// A receipt was written, with any outcome but `failed`.
    Succeeded {
        n_rows: u64,
    },
    Failed,
    /// The run stopped before all rows were received.
    NotTried,
}

/// The partitions tried so far, and how many of them failed.
#[derive(Default)]
pub(crate) struct Attempts {
    tried: Mutex<BTreeSet<PartitionKey>>,
    n_failed: AtomicUsize,
}

impl Attempts {
    fn tried(&self) -> MutexGuard<'_, BTreeSet<PartitionKey>> {
        self.tried.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn n_failed(&self) -> usize {
        self.n_failed.load(Ordering::Relaxed)
    }

    pub(crate) fn count_failure(&self) {
        self.n_failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn start(&self, partition: &PartitionKey) {
        self.tried().insert(partition.clone());
    }

    pub(crate) fn end(&self, partition: &PartitionKey, outcome: AttemptOutcome) {
        match outcome {
            AttemptOutcome::Succeeded { .. } => {}
            AttemptOutcome::Failed => self.count_failure(),
            AttemptOutcome::NotTried => {
                self.tried().remove(partition);
            }
        }
    }

    /// Returns the planned partitions that were not started, or whose only attempt was cut short.
    pub(crate) fn not_tried(&self, items: &[PlanItem]) -> BTreeSet<PartitionKey> {
        let tried = self.tried();
        items.iter().map(|item| &item.partition).filter(|partition| !tried.contains(*partition)).cloned().collect()
    }
}

/// Fetches one partition, again from page 1 after a retryable failure, except for pages that were kept. The receipt of
/// the last attempt is kept.
pub(crate) async fn fetch_with_retries(
    portal: &RunPortal<'_, HttpPortal>,
    store: &FolderStore,
    dataset: &Dataset,
    partition: &PartitionKey,
    facts: &RunFacts,
) -> AttemptOutcome {
    let mut earlier_failure = None;
    for tries in 1..=MAX_TRIES {
        let started_at = SystemClock.now();
        let fetched = fetch_partition(portal, store, &SystemClock, dataset, partition, facts).await;
        let fetched = match fetched {
            // All attempts share one deadline.
            Ok(Fetched::Unfinished { progress: Progress { n_kept, n_pages }, error, cost }) => {
                let spent = Spent { started_at, cost };
                let error = record_failure(store, &SystemClock, dataset, partition, facts, spent, error).await;
                portal.reachability.set_reached();
                let outcome = report_failure(&error);
                print_message(&format!("hint: {n_kept} of {n_pages} pages are kept; the next run continues with them"));
                return outcome;
            }
            fetched => fetched,
        };
        match &fetched {
            Err(error) if error.is_unreachable() => {
                let should_retry = tokio::select! {
                    should_retry = portal.reachability.report_no_connection(error) => should_retry,
                    () = portal.stop.cancelled() => false,
                };
                if !should_retry {
                    // The run prints one message for all partitions.
                    return AttemptOutcome::Failed;
                }
            }
            Err(Error::Interrupted { .. }) => {}
            _ => portal.reachability.set_reached(),
        }
        match fetched {
            Ok(fetched) => {
                let n_rows = fetched.receipt().map_or(0, |receipt| receipt.n_rows);
                return AttemptOutcome::Succeeded { n_rows };
            }
            // A complete attempt counts, even if the next one was interrupted.
            Err(Error::Interrupted { .. }) => {
                return earlier_failure.map_or(AttemptOutcome::NotTried, |error| report_failure(&error));
            }
            // All attempts share one deadline.
            Err(error @ Error::DeadlineExceeded { .. }) => return report_failure(&error),
            Err(error) if error.is_retryable() && tries < MAX_TRIES && !portal.stop.is_cancelled() => {
                tracing::warn!(%partition, tries, error = error.chain(), "fetching the partition again");
                tokio::select! {
                    () = portal.portal.pause(tries, MAX_TRIES, error.name()) => {}
                    () = portal.stop.cancelled() => return report_failure(&error),
                }
                earlier_failure = Some(error);
            }
            Err(error) => return report_failure(&error),
        }
    }
    AttemptOutcome::Failed
}

fn report_failure(error: &Error) -> AttemptOutcome {
    print_message(&format!("failed: {}: {}", error.name(), error.chain()));
    AttemptOutcome::Failed
}
