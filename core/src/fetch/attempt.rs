//! One attempt at a partition: fetches its rows and commits them. Keeps or deletes its kept pages, depending on how it
//! ended.

use futures::FutureExt;
use jiff::Timestamp;

use crate::change::{Change, comparison_bytes};
use crate::commit::{Committed, Target, commit, commit_empty, head};
use crate::cost::Metered;
use crate::dataset::Dataset;
use crate::error::Error;
use crate::fetch::kept_pages::keeping::{Keeping, keep};
use crate::fetch::kept_pages::{KeptPages, Progress};
use crate::fetch::rows::{FetchedRows, fetch_rows};
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
    pub(super) change: Option<Box<Change>>,
}

/// How an attempt ended without an error.
pub(super) enum AttemptEnd {
    Done(Done),
    Unfinished(Progress, Error),
}

/// Fetches and commits a partition. Its kept pages are deleted unless a later fetch can use them. Also returns what the
/// requests of all fetches of the partition in this run have cost, as far as they were counted.
pub(super) async fn attempt(
    portal: &impl Portal,
    store: &impl Store,
    dataset: &Dataset,
    partition: &PartitionKey,
    run: &RunFacts,
    started_at: Timestamp,
) -> (Result<AttemptEnd, Error>, Metered) {
    let key = keys::partition_object(dataset, partition);
    let before = match head(store, partition, &key).await {
        Ok(before) => before,
        Err(error) => {
            let kept = KeptPages::new(store, dataset, partition, run, started_at, None);
            return (Err(error), kept.total_before().await + portal.metered());
        }
    };
    let etag = before.as_ref().map(|facts| facts.etag.clone());
    let kept = KeptPages::new(store, dataset, partition, run, started_at, etag);
    let target = Target { store, dataset, partition, force: run.force, compares: true };
    let done = fetch_and_commit(portal, &target, run, &kept, before, started_at).await;
    let cost = portal.metered();
    let mut total = kept.total(cost);
    let end = match (done, kept.progress()) {
        (Ok(done), _) => {
            kept.finish(done.outcome).await;
            Ok(AttemptEnd::Done(done))
        }
        (Err(error @ Error::DeadlineExceeded { .. }), Some(progress)) => {
            kept.pause(cost).await;
            Ok(AttemptEnd::Unfinished(progress, error))
        }
        (Err(error @ Error::Interrupted { .. }), _) => Err(error),
        (Err(error), _) => {
            total = kept.count_failure(&error, cost).await;
            if !are_pages_good(&error) {
                kept.discard().await;
            }
            Err(error)
        }
    };
    (end, total)
}

/// Returns whether the pages kept before an error can be used by the next fetch. Each was complete and followed the
/// rules of page 1 when it was kept, but its rows are checked later.
fn are_pages_good(error: &Error) -> bool {
    match error {
        // About the portal, the lake or this process, not about pages.
        Error::PortalUnavailable { .. }
        | Error::PortalRefused { .. }
        | Error::DeadlineExceeded { .. }
        | Error::Interrupted { .. }
        | Error::SecretMissing { .. }
        | Error::SecretUnavailable { .. }
        | Error::StoreFailed { .. }
        | Error::CatalogFailed { .. }
        | Error::LakeLocked(_)
        | Error::InvalidRequest { .. }
        | Error::InvalidDescriptor { .. }
        | Error::YearsUnknown { .. } => true,
        // About a single page, which was not kept.
        Error::BadBody { .. } | Error::BodyTooLarge { .. } | Error::UntrustedNext { .. } => true,
        // All pages are there and agree. With `force`, more memory or a corrected program, they can be committed.
        Error::ShrankTooMuch { .. } | Error::PartitionTooLarge { .. } | Error::EncodeFailed { .. } => true,
        // A kept page may have been served wrong, or be of another version of the source.
        Error::CountMismatch { .. }
        | Error::DuplicateKey { .. }
        | Error::WrongPartition { .. }
        | Error::SchemaDrift { .. } => false,
        // Usually of the partition's object: it is another one now, so the pages are not found again. A conflict about
        // the count of fetches comes before any page is kept.
        Error::WriteConflict { .. } => false,
    }
}

async fn fetch_and_commit<S: Store>(
    portal: &impl Portal,
    target: &Target<'_, S>,
    run: &RunFacts,
    kept: &KeptPages<'_, S>,
    before: Option<ObjectFacts>,
    started_at: Timestamp,
) -> Result<Done, Error> {
    let Target { dataset, partition, .. } = *target;
    let seen = before.as_ref().and_then(|before| Some((before.size_bytes, before.stamp.as_ref()?)));
    // A file of this run is that of an attempt that left no receipt. What it changed is found by comparing files.
    let unless_same_as = seen.filter(|(_, stamp)| stamp.run.as_ref() != Some(&run.run));
    let other = unless_same_as.map(|(_, stamp)| stamp);
    // The room is held until the file is committed.
    let mut room = portal.partition_memory().room();
    let fetched = async {
        let mut keeping = Keeping::new(kept, keep);
        let fetched = fetch_rows(portal, &mut keeping, dataset, partition, run, other, &mut room).await;
        keeping.finish().await;
        fetched
    };
    // Boxed, because the compiler cannot prove that it is `Send` when it is part of a larger future.
    let (facts, fetched) = fetched.boxed().await?;
    let (encoded, fetched_at) = match fetched {
        FetchedRows::Encoded(encoded, fetched_at) => (encoded, fetched_at),
        FetchedRows::Unchanged => {
            let size_bytes = unless_same_as.map(|(size_bytes, _)| size_bytes);
            let edition = other.map(|other| other.edition);
            return Ok(Done { outcome: Outcome::Unchanged, facts, edition, size_bytes, change: None });
        }
        FetchedRows::Empty => {
            if run.force {
                kept.forget().await?;
            }
            let change = commit_empty(target, before, facts.emptied_at.unwrap_or(started_at)).await?;
            return Ok(Done { outcome: Outcome::Empty, facts, edition: None, size_bytes: None, change });
        }
    };
    let stamp = Stamp {
        edition: encoded.edition,
        partition: Some(partition.to_string()),
        n_rows: encoded.n_rows,
        fetched_at,
        run: Some(run.run.clone()),
    };
    let has_changed = |old: &Stamp| old.edition.digest != encoded.edition.digest || old.run == stamp.run;
    let compares = match seen.filter(|(_, old)| has_changed(old)) {
        None => true,
        Some((size_bytes, old)) => {
            let n_bytes = encoded.bytes.len() + comparison_bytes(dataset, size_bytes, old.n_rows, encoded.n_rows);
            // The rows are complete, so they are committed even if there is no memory or no time left to compare them.
            run.max_partition_bytes.is_none_or(|max| n_bytes <= max) && portal.hold(&mut room, n_bytes).await.is_ok()
        }
    };
    let target = &Target { compares, ..*target };
    let Committed { outcome, size_bytes, change } = commit(target, before, &encoded, &stamp).await?;
    Ok(Done { outcome, facts, edition: Some(encoded.edition), size_bytes: Some(size_bytes), change })
}
