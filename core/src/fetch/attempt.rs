//! One attempt at a partition: fetches its rows and commits them. Keeps or deletes its kept pages, depending on how it
//! ended.

use jiff::Timestamp;

use crate::commit::{commit, commit_empty, head};
use crate::dataset::Dataset;
use crate::error::Error;
use crate::fetch::kept_pages::{KeptPages, Progress};
use crate::fetch::rows::fetch_rows;
use crate::fetch::run_facts::RunFacts;
use crate::fetch::validator::FetchFacts;
use crate::file::edition::Edition;
use crate::file::stamp::Stamp;
use crate::keys;
use crate::ledger::receipt::Outcome;
use crate::partition::PartitionKey;
use crate::ports::portal::Portal;
use crate::ports::store::{ObjectFacts, Store};

/// A committed partition.
pub(super) struct Done {
    pub(super) outcome: Outcome,
    pub(super) facts: FetchFacts,
    pub(super) edition: Option<Edition>,
    pub(super) size_bytes: Option<u64>,
}

/// How an attempt ended without an error.
pub(super) enum AttemptEnd {
    Done(Done),
    Unfinished(Progress, Error),
}

/// Fetches and commits a partition. Its kept pages are deleted unless a later fetch can use them.
pub(super) async fn attempt(
    portal: &impl Portal,
    store: &impl Store,
    dataset: &Dataset,
    partition: &PartitionKey,
    run: &RunFacts,
    started_at: Timestamp,
) -> Result<AttemptEnd, Error> {
    let key = keys::partition_object(dataset, partition);
    let before = head(store, partition, &key).await?;
    let etag = before.as_ref().map(|facts| facts.etag.clone());
    let kept = KeptPages::new(store, dataset, partition, run, started_at, etag);
    let done = fetch_and_commit(portal, store, dataset, partition, run, &kept, before).await;
    let done = match (done, kept.progress()) {
        (Err(error @ Error::DeadlineExceeded { .. }), Some(progress)) => {
            return Ok(AttemptEnd::Unfinished(progress, error));
        }
        (done, _) => done,
    };
    // Any other error may be due to what a page contains, so all pages are requested again.
    let is_usable = done.as_ref().is_err_and(|error| {
        matches!(
            error,
            Error::DeadlineExceeded { .. }
                | Error::Interrupted { .. }
                | Error::PortalUnavailable { .. }
                | Error::PortalRefused { .. }
                | Error::StoreFailed { .. }
        )
    });
    if !is_usable && let Err(error) = kept.close(done.is_ok()).await {
        tracing::warn!(%partition, error = error.chain(), "kept pages not deleted");
    }
    done.map(AttemptEnd::Done)
}

async fn fetch_and_commit<S: Store>(
    portal: &impl Portal,
    store: &S,
    dataset: &Dataset,
    partition: &PartitionKey,
    run: &RunFacts,
    kept: &KeptPages<'_, S>,
    before: Option<ObjectFacts>,
) -> Result<Done, Error> {
    let key = keys::partition_object(dataset, partition);
    // The room is held until the file is committed.
    let mut room = portal.partition_memory().room();
    let (facts, fetched) = fetch_rows(portal, kept, dataset, partition, run.pages_at_once(), &mut room).await?;
    let Some((encoded, fetched_at)) = fetched else {
        commit_empty(store, partition, &key, before, run.force).await?;
        return Ok(Done { outcome: Outcome::Empty, facts, edition: None, size_bytes: None });
    };
    let stamp = Stamp {
        edition: encoded.edition,
        partition: Some(partition.to_string()),
        n_rows: encoded.n_rows,
        fetched_at,
        run: Some(run.run.clone()),
    };
    let (outcome, size_bytes) = commit(store, partition, &key, before, &encoded, &stamp, run.force).await?;
    Ok(Done { outcome, facts, edition: Some(encoded.edition), size_bytes: Some(size_bytes) })
}
