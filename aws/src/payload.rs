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
    /// ARN of the execution, where the state machine gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<String>,
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
    /// ARN of its execution, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<String>,
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
    /// The crawler, when it was to find the partitions.
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

/// A crawler as Glue describes it, once it is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crawl {
    /// The crawler.
    #[serde(rename = "Crawler")]
    pub crawler: Crawler,
}

/// What is read of a crawler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crawler {
    /// How its last crawl ended; none where it never ran.
    #[serde(rename = "LastCrawl", default)]
    pub last_crawl: Option<LastCrawl>,
}

/// How a crawl ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LastCrawl {
    /// `SUCCEEDED`, `FAILED` or `CANCELLED`.
    pub status: String,
    /// Why it failed, where it says.
    #[serde(default)]
    pub error_message: String,
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
    /// Of them failed or not tried.
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
        Self {
            run: summary.run.clone(),
            dataset: summary.dataset.clone(),
            summary: reference,
            n_planned: summary.n_planned,
            n_failed: summary.n_open(),
            outcomes: summary.outcomes.clone(),
            n_published: summary.n_published,
            n_withdrawn: summary.n_withdrawn,
            message: message(summary, fetch_error),
        }
    }
}

fn message(summary: &Summary, fetch_error: Option<&StepError>) -> String {
    let (n_failed, n_not_tried) = (summary.count(Outcome::Failed), summary.count(Outcome::NotTried));
    if summary.n_planned == 0 {
        return "nothing to fetch".to_owned();
    }
    if n_failed + n_not_tried == 0 {
        return format!("{} planned: {}", summary.n_planned, summary.outcomes_in_words());
    }
    let named: Vec<String> = summary
        .failed
        .iter()
        .take(MOST_NAMED)
        .map(|failed| format!("{} ({})", failed.partition, failed.error.name))
        .collect();
    let mut message = match (n_failed, n_not_tried) {
        (0, _) => format!("{n_not_tried} of {} not tried", summary.n_planned),
        _ => format!("{n_failed} of {} failed: {}", summary.n_planned, named.join(", ")),
    };
    if n_failed > named.len() {
        message.push_str(&format!(" and {} more", n_failed - named.len()));
    }
    if n_failed > 0 && n_not_tried > 0 {
        message.push_str(&format!("; {n_not_tried} not tried"));
    }
    if let Some(StepError { error, .. }) = fetch_error {
        message.push_str(&format!("; fetching was stopped by {error}"));
    }
    message.push_str(&format!("; run them again with {{\"failed_of\": \"{}\"}}", summary.run));
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Reads a payload as its type, and finds the same JSON when that is written.
    fn assert_read_and_written_whole<T: Serialize + for<'de> Deserialize<'de>>(golden: &str) {
        let payload: T = serde_json::from_str(golden).unwrap();
        let golden: Value = serde_json::from_str(golden).unwrap();
        assert_eq!(serde_json::to_value(&payload).unwrap(), golden);
    }

    #[test]
    fn every_payload_is_read_and_written_as_its_example() {
        assert_read_and_written_whole::<PlanEvent>(include_str!("../../functions/planner/event.json"));
        assert_read_and_written_whole::<Planned>(include_str!("../../functions/planner/answer.json"));
        assert_read_and_written_whole::<FetchEvent>(include_str!("../../functions/page-fetch/event.json"));
        assert_read_and_written_whole::<Fetched>(include_str!("../../functions/page-fetch/answer.json"));
        assert_read_and_written_whole::<PublishEvent>(include_str!("../../functions/catalog/event.json"));
        assert_read_and_written_whole::<Published>(include_str!("../../functions/catalog/answer.json"));
    }

    #[test]
    fn the_state_after_fetching_is_read_with_and_without_an_error_and_a_crawler() {
        let mut state = json!({
            "run": "r1", "started_at": "2026-11-23T12:00:00Z", "dataset": "ccd_enrollment",
            "plan": {"bucket": "lake", "key": "ledger/ccd_enrollment/runs/r1/plan.json"}, "n_planned": 2,
            "portal_release": null, "force": false, "catalog": "crawler", "warnings": []
        });
        let event: PublishEvent = serde_json::from_value(state.clone()).unwrap();
        assert_eq!((event.fetch_error, event.crawl), (None, None));
        assert_eq!(serde_json::to_value(&event.planned).unwrap(), state);
        state["fetch_error"] = json!({"Error": "States.ExceedToleratedFailureThreshold", "Cause": "too many"});
        state["crawl"] = json!({"Crawler": {"Name": "c", "State": "READY", "LastCrawl": {"Status": "SUCCEEDED"}}});
        let event: PublishEvent = serde_json::from_value(state).unwrap();
        assert_eq!(event.fetch_error.unwrap().error, "States.ExceedToleratedFailureThreshold");
        assert_eq!(event.crawl.unwrap().crawler.last_crawl.unwrap().status, "SUCCEEDED");
    }
}
