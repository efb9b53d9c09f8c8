//! Reads and writes a run's plan.

use serde::{Deserialize, Serialize};

use crate::dataset::Dataset;
use crate::error::Error;
use crate::keys;
use crate::ledger::json::{read_json, write_json};
use crate::ledger::schemas::keep_schema;
use crate::partition::PartitionKey;
use crate::ports::store::{Store, StoreError};

/// One partition to fetch, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanItem {
    /// The partition.
    pub partition: PartitionKey,
    /// Why it is fetched.
    pub reason: Reason,
}

/// Why a partition is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The request names it, and mode `all` fetches everything that is named.
    Requested,
    /// It has no readable object.
    Missing,
    /// Its last attempt failed, or its last run ended before trying it.
    Failed,
    /// Its object's schema differs from the descriptor's.
    OtherSchema,
    /// Its object has the descriptor's schema, but a different encoding from the one that this version of rollcall
    /// writes.
    OtherEncoding,
    /// The portal's latest release cannot be read, so its rows may have changed.
    UnknownRelease,
    /// It was not refreshed under the portal's latest release.
    OlderRelease,
    /// It was refreshed under the portal's latest release, but longer ago than the request allows.
    RefreshDue,
}

impl Reason {
    /// Returns the reason as shown on the terminal. In a plan, its words are joined by `_`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Missing => "missing",
            Self::Failed => "failed",
            Self::OtherSchema => "other schema",
            Self::OtherEncoding => "other encoding",
            Self::UnknownRelease => "unknown release",
            Self::OlderRelease => "older release",
            Self::RefreshDue => "refresh due",
        }
    }
}

/// Writes a run's plan, which registers the run in the lake. Stores the schema of the run's files first, and the
/// descriptor, so that all functions of a run use the same one.
///
/// # Errors
/// [`Error::StoreFailed`] if the lake cannot be written.
pub async fn write_plan(store: &impl Store, dataset: &Dataset, run: &str, items: &[PlanItem]) -> Result<(), Error> {
    keep_schema(store, dataset).await?;
    write_json(store, &keys::run_descriptor(&dataset.name, run), dataset).await?;
    write_json(store, &keys::plan(dataset, run), &items).await
}

/// Reads the descriptor that a run uses.
///
/// - `name`: name of the dataset.
///
/// # Errors
/// [`Error::StoreFailed`] if the lake cannot be read or has no such run.
pub async fn read_run_descriptor(store: &impl Store, name: &str, run: &str) -> Result<Dataset, Error> {
    let key = keys::run_descriptor(name, run);
    read_json(store, &key).await?.ok_or_else(|| {
        let message = "read the descriptor of the run".to_owned();
        let source = StoreError { message, source: "expected one that the planner wrote, found none".into() };
        Error::store_failed("read", &key, source)
    })
}

/// Reads a run's plan. Returns `None` if there is no such run.
///
/// # Errors
/// [`Error::StoreFailed`] if the lake cannot be read.
pub async fn read_plan(store: &impl Store, dataset: &Dataset, run: &str) -> Result<Option<Vec<PlanItem>>, Error> {
    read_json(store, &keys::plan(dataset, run)).await
}
