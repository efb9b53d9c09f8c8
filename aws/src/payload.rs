//! What the state machine hands to the functions, and what they give back. References and counts only: rows, results and
//! plans stay in the lake.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rollcall_core::ledger::{Outcome, Summary};
use rollcall_core::partition::PartitionKey;
use rollcall_core::request::CatalogMode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Failed partitions named in a [`Published`].
const MOST_NAMED: usize = 20;

/// To the planner: an execution's input, with its name and start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanEvent {
    /// Name of the execution, which is the run's.
    pub run: String,
    /// When the execution began.
    pub started_at: Timestamp,
    /// The input, unchecked.
    pub request: Value,
}

/// Where an object is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectReference {
    /// Bucket.
    pub bucket: String,
    /// Key in it.
    pub key: String,
}

/// From the planner: everything that the run is about. It is the state that the later steps are given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// Run.
    pub run: String,
    /// When it began.
    pub started_at: Timestamp,
    /// Dataset.
    pub dataset: String,
    /// The plan: a bare array of plan items.
    pub plan: ObjectReference,
    /// Partitions in it.
    pub n_planned: usize,
    /// The portal's newest release; null where it does not say.
    pub portal_release: Option<String>,
    /// Whether a partition may replace a fuller one.
    pub force: bool,
    /// How partitions become visible to queries.
    pub catalog: CatalogMode,
    /// What could not be checked.
    pub warnings: Vec<String>,
}

/// To page-fetch: one partition of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchEvent {
    /// Run.
    pub run: String,
    /// Dataset.
    pub dataset: String,
    /// The partition.
    pub partition: PartitionKey,
    /// [`Planned::portal_release`].
    pub portal_release: Option<String>,
    /// [`Planned::force`].
    pub force: bool,
}

/// From page-fetch: nothing. What it came to is in the partition's receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {}

/// To the catalog function: the state after fetching.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishEvent {
    /// What the planner gave.
    #[serde(flatten)]
    pub planned: Planned,
    /// Why fetching as a whole failed, where it did.
    #[serde(default)]
    pub fetch_error: Option<StepError>,
    /// How the crawler ended, when this is the call after it.
    #[serde(default)]
    pub crawl: Option<Crawl>,
}

/// An error as Step Functions catches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepError {
    /// Name.
    #[serde(rename = "Error")]
    pub error: String,
    /// What it says, which may be JSON.
    #[serde(rename = "Cause", default)]
    pub cause: String,
}

/// A crawler's last crawl, as the state machine read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crawl {
    /// `SUCCEEDED`, `FAILED` or `CANCELLED`.
    pub status: String,
    /// Why it failed, where it says.
    #[serde(default)]
    pub message: String,
}

/// From the catalog function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Run.
    pub run: String,
    /// Dataset.
    pub dataset: String,
    /// The run's summary.
    pub summary: ObjectReference,
    /// Partitions planned.
    pub n_planned: usize,
    /// Of them failed.
    pub n_failed: usize,
    /// Partitions by outcome.
    pub outcomes: BTreeMap<Outcome, usize>,
    /// Partitions added to the catalog or changed there.
    pub n_published: usize,
    /// Partitions taken out of the catalog.
    pub n_withdrawn: usize,
    /// What the run came to, in a sentence; the cause of an execution that failed.
    pub message: String,
}

impl Published {
    /// What a summary comes to.
    ///
    /// - `fetch_error`: why fetching as a whole failed, where it did.
    #[must_use]
    pub fn of(summary: &Summary, reference: ObjectReference, fetch_error: Option<&StepError>) -> Self {
        let n_failed = summary.count(Outcome::Failed);
        Self {
            run: summary.run.clone(),
            dataset: summary.dataset.clone(),
            summary: reference,
            n_planned: summary.n_planned,
            n_failed,
            outcomes: summary.outcomes.clone(),
            n_published: summary.n_published,
            n_withdrawn: summary.n_withdrawn,
            message: message(summary, n_failed, fetch_error),
        }
    }
}

fn message(summary: &Summary, n_failed: usize, fetch_error: Option<&StepError>) -> String {
    if n_failed == 0 {
        return format!("{} planned: {}", summary.n_planned, summary.outcomes_in_words());
    }
    let named: Vec<String> = summary
        .failed
        .iter()
        .take(MOST_NAMED)
        .map(|failed| format!("{} ({})", failed.partition, failed.error.name))
        .collect();
    let mut message = format!("{n_failed} of {} failed: {}", summary.n_planned, named.join(", "));
    if n_failed > named.len() {
        message.push_str(&format!(" and {} more", n_failed - named.len()));
    }
    if let Some(StepError { error, .. }) = fetch_error {
        message.push_str(&format!("; fetching was stopped by {error}"));
    }
    message.push_str(&format!("; run them again with {{\"failed_of\": \"{}\"}}", summary.run));
    message
}
