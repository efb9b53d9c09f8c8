//! Counts how often a run has fetched a partition, in an object of its own: on AWS, each call of an unfinished
//! partition has retries of its own, and the kept pages themselves may be deleted in between.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cost::Metered;
use crate::error::Error;
use crate::ledger::json::replace_json;
use crate::ports::portal::PortalError;
use crate::ports::store::{Condition, Put, Store, StoreError};

/// Maximum number of fetches of one run that may fail or be killed, and maximum number that may request the same page,
/// apart from page 1.
const MAX_FETCHES: u32 = 3;

/// Maximum number of requests for a page in one run, apart from page 1: four in each fetch.
pub(super) const MAX_REQUESTS: u32 = 4 * MAX_FETCHES;

/// Maximum number of conditional writes to begin a fetch, or to count one that never began.
const WRITE_TRIES: u32 = 4;

/// What is stored: the fetches of one partition in one run that have ended, and the one that has not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Fetches {
    /// Number of fetches that failed or were killed.
    n_failed: u32,
    /// How the last failed fetch ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_failure: Option<String>,
    /// Number of fetches that requested a page and did not finish, by page.
    requested: BTreeMap<u32, u32>,
    /// What the requests of the fetches that have ended cost. Those of killed ones are not known.
    #[serde(default, skip_serializing_if = "Metered::is_none")]
    cost: Metered,
    /// The fetch that has not ended. If another one begins, it was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    begun: Option<Begun>,
}

/// A fetch that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Begun {
    /// When it was started.
    pub(super) at: Timestamp,
    /// Number of pages of the partition, as page 1 says.
    pub(super) n_pages: u32,
}

/// The count of one partition's fetches in one run, while one of them is in progress.
#[derive(Debug)]
pub(super) struct FetchCount {
    key: String,
    fetches: Fetches,
    /// Holds unless another fetch was counted in the meantime. It or the next one then counts this one as killed.
    condition: Condition,
}

impl FetchCount {
    /// Counts a fetch that begins, so that it counts as failed if it is killed. Writes nothing if as many fetches as
    /// allowed have failed.
    ///
    /// - `last_requested`: the last page that a killed fetch may have requested, if that is known.
    ///
    /// # Errors
    /// [`Error::StoreFailed`], also if the count cannot be parsed; [`Error::WriteConflict`] if other fetches of the same
    /// run begin at the same moment.
    pub(super) async fn begin(
        store: &impl Store,
        key: &str,
        begun: Begun,
        last_requested: Option<u32>,
    ) -> Result<Self, Error> {
        for _ in 0..WRITE_TRIES {
            let mut count = Self::read(store, key).await?;
            // Otherwise it is this fetch, whose write succeeded although its response was lost.
            if count.fetches.begun != Some(begun) {
                if let Some(killed) = count.fetches.begun.replace(begun) {
                    count.fetches.request(2..=last_requested.unwrap_or(killed.n_pages));
                    count.fetches.fail("killed".to_owned());
                }
                if count.is_used_up() {
                    return Ok(count);
                }
                match replace_json(store, key, &count.fetches, &count.condition).await? {
                    Put::Done(etag) => count.condition = Condition::Matches(etag),
                    Put::Lost => continue,
                }
            }
            return Ok(count);
        }
        Err(Error::WriteConflict { key: key.to_owned(), tries: WRITE_TRIES })
    }

    /// Reads the count. One that cannot be parsed is an error, so that the run does not start to count anew.
    pub(super) async fn read(store: &impl Store, key: &str) -> Result<Self, Error> {
        let found = store.read(key).await.map_err(|source| Error::store_failed("read", key, source))?;
        let (fetches, condition) = match found {
            None => (Fetches::default(), Condition::Absent),
            Some(content) => {
                let unreadable = |error: serde_json::Error| {
                    let source = StoreError { message: "parse count of fetches".to_owned(), source: error.into() };
                    Error::store_failed("read", key, source)
                };
                (serde_json::from_slice(&content.bytes).map_err(unreadable)?, Condition::Matches(content.etag))
            }
        };
        Ok(Self { key: key.to_owned(), fetches, condition })
    }

    /// Returns whether as many fetches as allowed have failed or were killed.
    pub(super) fn is_used_up(&self) -> bool {
        self.fetches.n_failed >= MAX_FETCHES
    }

    /// Returns whether as many fetches as allowed have requested a page.
    pub(super) fn is_page_used_up(&self, page: u32) -> bool {
        self.fetches.requested.get(&page).is_some_and(|n_fetches| *n_fetches >= MAX_FETCHES)
    }

    /// Returns what the requests of this fetch and of those before it cost.
    ///
    /// - `cost`: what the requests of this one cost.
    pub(super) fn total(&self, cost: Metered) -> Metered {
        self.fetches.cost + cost
    }

    /// Returns how the last failed fetch ended.
    pub(super) fn last_failure(&self) -> Option<&str> {
        self.fetches.last_failure.as_deref()
    }

    /// Counts the pages that this fetch requested, and the fetch as failed if it was. Otherwise its time was up.
    ///
    /// - `cost`: what its requests cost.
    ///
    /// # Errors
    /// [`Error::StoreFailed`]. The next fetch then counts this one as killed.
    pub(super) async fn end(
        &self,
        store: &impl Store,
        requested: &BTreeSet<u32>,
        cost: Metered,
        failure: Option<String>,
    ) -> Result<(), Error> {
        let mut fetches = Fetches { begun: None, ..self.fetches.clone() };
        fetches.request(requested.iter().copied());
        fetches.cost = fetches.cost + cost;
        if let Some(failure) = failure {
            fetches.fail(failure);
        }
        // If the condition no longer holds, another fetch was counted, and it or the next one counts this one as killed.
        replace_json(store, &self.key, &fetches, &self.condition).await.map(|_| ())
    }
}

/// Counts a fetch that failed before it began to keep pages. Returns what the requests of all fetches of the run cost.
///
/// - `started_at`: when it was started.
/// - `is_large`: whether the partition is known to be large. If its page 1 did not arrive, the failure counts only if
///   an earlier fetch was counted.
/// - `requested`, `cost`: its pages, and what its requests cost.
///
/// # Errors
/// [`Error::StoreFailed`], or [`Error::WriteConflict`] if other fetches of the same run are counted at the same moment;
/// the fetch is then not counted.
pub(super) async fn count_failure(
    store: &impl Store,
    key: &str,
    started_at: Timestamp,
    is_large: bool,
    (requested, cost): (&BTreeSet<u32>, Metered),
    failure: String,
) -> Result<Metered, Error> {
    let mut written = None;
    for _ in 0..WRITE_TRIES {
        let FetchCount { mut fetches, condition, .. } = FetchCount::read(store, key).await?;
        // The write succeeded although its response was lost.
        if written.as_ref() == Some(&fetches) {
            return Ok(fetches.cost);
        }
        if !is_large && condition == Condition::Absent {
            return Ok(cost);
        }
        // Another fetch may have been killed. The next one finds out which pages it requested.
        fetches.begun.take_if(|begun| begun.at == started_at);
        fetches.request(requested.iter().copied());
        fetches.cost = fetches.cost + cost;
        fetches.fail(failure.clone());
        match replace_json(store, key, &fetches, &condition).await? {
            Put::Done(_) => return Ok(fetches.cost),
            Put::Lost => written = Some(fetches),
        }
    }
    Err(Error::WriteConflict { key: key.to_owned(), tries: WRITE_TRIES })
}

/// Returns whether an error says that a run has used all its fetches of a partition or a page. A single fetch that used
/// its requests for page 1 made fewer.
pub(super) fn is_used_up(error: &Error) -> bool {
    matches!(error, Error::PortalUnavailable { source: PortalError::UsedUp { n_requests: MAX_REQUESTS, .. }, .. })
}

impl Fetches {
    fn request(&mut self, pages: impl Iterator<Item = u32>) {
        pages.for_each(|page| *self.requested.entry(page).or_default() += 1);
    }

    fn fail(&mut self, failure: String) {
        self.n_failed += 1;
        self.last_failure = Some(failure);
    }
}
