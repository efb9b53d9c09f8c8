//! A run's plan as the ledger keeps it.

use serde::{Deserialize, Serialize};

use crate::dataset::Dataset;
use crate::error::Error;
use crate::keys;
use crate::ledger::json::{read_json, write_json};
use crate::ledger::schemas::keep_schema;
use crate::partition::PartitionKey;
use crate::ports::store::Store;

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
    /// The request names it, and mode `all` fetches whatever is named.
    Requested,
    /// It has no committed object.
    Missing,
    /// Its last attempt failed, or its last run ended before it was tried.
    Failed,
    /// Its object is of another schema than the descriptor's.
    OtherSchema,
    /// Its object is of the descriptor's schema and of another encoding than this program's.
    OtherEncoding,
}

impl Reason {
    /// The words used on the terminal. Plans have `_` between them.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Missing => "missing",
            Self::Failed => "failed",
            Self::OtherSchema => "other schema",
            Self::OtherEncoding => "other encoding",
        }
    }
}

/// Writes a run's plan, which makes it a run of the lake. The schema of what it will write is kept first.
///
/// # Errors
/// [`Error::StoreFailed`] when the lake does not take it.
pub async fn write_plan(store: &impl Store, dataset: &Dataset, run: &str, items: &[PlanItem]) -> Result<(), Error> {
    keep_schema(store, dataset).await?;
    write_json(store, &keys::plan(dataset, run), &items).await
}

/// Reads a run's plan; `None` where there is no such run.
///
/// # Errors
/// [`Error::StoreFailed`] when the lake does not answer.
pub async fn read_plan(store: &impl Store, dataset: &Dataset, run: &str) -> Result<Option<Vec<PlanItem>>, Error> {
    read_json(store, &keys::plan(dataset, run)).await
}
