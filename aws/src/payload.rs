//! The events and responses of the functions. They contain only references and counts; rows, results and plans stay in the
//! lake.

use std::collections::BTreeMap;

use crate::notice::Notice;
use jiff::Timestamp;
use rollcall_core::Error;
use rollcall_core::dataset::Dataset;
use rollcall_core::ledger::{Outcome, Summary};
use rollcall_core::partition::PartitionKey;
use rollcall_core::request::{CatalogMode, is_added_by_tool, is_run_name};
use rollcall_core::text::excerpt;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Maximum number of failed partitions named in a [`Published`].
const MAX_NAMED: usize = 20;

/// Event for the planner: the input of an execution, with its name and start time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanEvent {
    /// Execution name, which is also the run name.
    pub run: String,
    /// ARN of the execution, if the state machine passes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<String>,
    /// When the execution started.
    pub started_at: Timestamp,
    /// The input, not yet validated: a request, or `{"schedule": NAME, "request": REQUEST}` from a schedule.
    #[serde(rename = "request")]
    pub input: Value,
}

/// Splits the input of an execution into the schedule that started it, if one did, and the request.
///
/// # Errors
/// [`Error::InvalidRequest`] if the name of the schedule is invalid, or there are other fields. Fields that AWS or a tracer
/// adds are ignored.
pub fn split_schedule(mut input: Value) -> Result<(Option<String>, Value), Error> {
    let is_from_schedule =
        |fields: &&mut Map<String, Value>| fields.contains_key("schedule") && fields.contains_key("request");
    let Some(fields) = input.as_object_mut().filter(is_from_schedule) else { return Ok((None, input)) };
    let (name, request) = (fields.remove("schedule"), fields.remove("request").unwrap_or_default());
    let mut mistakes: Vec<String> = fields
        .keys()
        .filter(|field| !is_added_by_tool(field))
        .map(|field| format!("`{}`: expected only `schedule` and `request`, found an unknown field", excerpt(field)))
        .collect();
    match name {
        Some(Value::String(name)) if is_run_name(&name) && mistakes.is_empty() => return Ok((Some(name), request)),
        Some(Value::String(name)) if is_run_name(&name) => {}
        found => mistakes.push(format!(
            "`schedule`: expected at most 80 letters, digits, `-` and `_`, found `{}`",
            excerpt(&found.unwrap_or_default().to_string())
        )),
    }
    Err(Error::InvalidRequest { mistakes })
}

/// Location of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectReference {
    /// Bucket.
    pub bucket: String,
    /// Key in the bucket.
    pub key: String,
}

/// Response from the planner: everything about the run. It becomes the state that is passed to the later steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// Run name.
    pub run: String,
    /// ARN of its execution, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<String>,
    /// When it started.
    pub started_at: Timestamp,
    /// Name of the schedule that started it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// Dataset name.
    pub dataset: String,
    /// The plan: a JSON array of plan items.
    pub plan: ObjectReference,
    /// Number of partitions in the plan.
    pub n_planned: usize,
    /// The portal's latest release; null if the portal does not publish it.
    pub portal_release: Option<String>,
    /// Whether a partition may be replaced even if it has far more rows or values than its replacement.
    pub force: bool,
    /// How partitions become visible to queries.
    pub catalog: CatalogMode,
    /// Warnings about what could not be checked.
    pub warnings: Vec<String>,
}

/// Event for page-fetch: one partition of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchEvent {
    /// Run name.
    pub run: String,
    /// Dataset name.
    pub dataset: String,
    /// The partition.
    pub partition: PartitionKey,
    /// [`Planned::portal_release`].
    pub portal_release: Option<String>,
    /// [`Planned::force`].
    pub force: bool,
    /// How many times this partition may be called again if it is unfinished.
    #[serde(default)]
    pub calls_left: u32,
}

/// Response from page-fetch. The outcome is in the partition's receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// Whether the partition has its outcome. If not, the same event continues it.
    pub is_finished: bool,
    /// Number of pages kept so far, if the partition is not finished.
    pub n_kept: u32,
    /// Number of pages of the partition, if it is not finished.
    pub n_pages: u32,
}

/// Event for the catalog function: the state after fetching.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishEvent {
    /// The planner's response.
    #[serde(flatten)]
    pub planned: Planned,
    /// Why fetching failed as a whole, if it did.
    #[serde(default)]
    pub fetch_error: Option<StepError>,
    /// The crawler, if the request uses it.
    #[serde(default)]
    pub crawl: Option<Crawl>,
}

/// An error as caught by Step Functions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepError {
    /// Name.
    #[serde(rename = "Error")]
    pub error: String,
    /// Message, which may be JSON.
    #[serde(rename = "Cause", default)]
    pub cause: String,
}

/// Glue's description of a crawler that is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crawl {
    /// The crawler.
    #[serde(rename = "Crawler")]
    pub crawler: Crawler,
}

/// A crawler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crawler {
    /// Its last crawl; `None` if it never ran.
    #[serde(rename = "LastCrawl", default)]
    pub last_crawl: Option<LastCrawl>,
}

/// How a crawl ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LastCrawl {
    /// `SUCCEEDED`, `FAILED` or `CANCELLED`.
    pub status: String,
    /// Why it failed, if known.
    #[serde(default)]
    pub error_message: String,
}

/// Response from the catalog function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Run name.
    pub run: String,
    /// Dataset name.
    pub dataset: String,
    /// The run's summary.
    pub summary: ObjectReference,
    /// Number of planned partitions.
    pub n_planned: usize,
    /// Number of planned partitions that failed or were not tried.
    pub n_failed: usize,
    /// Number of partitions by outcome.
    pub outcomes: BTreeMap<Outcome, usize>,
    /// Number of partitions added or changed in the catalog.
    pub n_published: usize,
    /// Number of partitions removed from the catalog.
    pub n_withdrawn: usize,
    /// Outcome of the run in one sentence. If the execution fails, this is its cause.
    pub message: String,
    /// The event that the state machine sends about the run.
    pub notice: Notice,
}

impl Published {
    /// Returns the response for a summary.
    ///
    /// - `fetch_error`: why fetching failed as a whole, if it did.
    /// - `map_run`: ARN of the map run, if some partition left no receipt.
    #[must_use]
    pub fn from_summary(
        planned: &Planned,
        summary: &Summary,
        dataset: &Dataset,
        reference: ObjectReference,
        fetch_error: Option<&StepError>,
        map_run: Option<&str>,
    ) -> Self {
        Self {
            run: summary.run.clone(),
            dataset: summary.dataset.clone(),
            summary: reference,
            n_planned: summary.n_planned,
            n_failed: summary.n_open(),
            outcomes: summary.outcomes.clone(),
            n_published: summary.n_published,
            n_withdrawn: summary.n_withdrawn,
            message: message(summary, fetch_error, map_run),
            notice: Notice::from_summary(summary, dataset, planned.schedule.as_deref(), planned.execution.as_deref()),
        }
    }
}

fn message(summary: &Summary, fetch_error: Option<&StepError>, map_run: Option<&str>) -> String {
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
        .take(MAX_NAMED)
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
    if let Some(map_run) = map_run {
        message.push_str(&format!("; the executions are in {map_run}"));
    }
    message.push_str(&format!("; run them again with {{\"failed_of\": \"{}\"}}", summary.run));
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Asserts that an example parses as its type and that serializing it yields the same JSON.
    fn assert_round_trip<T: Serialize + for<'de> Deserialize<'de>>(golden: &str) {
        let payload: T = serde_json::from_str(golden).unwrap();
        let golden: Value = serde_json::from_str(golden).unwrap();
        assert_eq!(serde_json::to_value(&payload).unwrap(), golden);
    }

    #[test]
    fn every_payload_matches_its_example() {
        assert_round_trip::<PlanEvent>(include_str!("../../functions/planner/event.json"));
        assert_round_trip::<Planned>(include_str!("../../functions/planner/response.json"));
        assert_round_trip::<FetchEvent>(include_str!("../../functions/page-fetch/event.json"));
        assert_round_trip::<Fetched>(include_str!("../../functions/page-fetch/response.json"));
        assert_round_trip::<PublishEvent>(include_str!("../../functions/catalog/event.json"));
        assert_round_trip::<Published>(include_str!("../../functions/catalog/response.json"));
    }

    #[test]
    fn an_input_from_a_schedule_names_it_and_any_other_is_the_request() {
        let request = json!({"years": "latest-3", "grades": "all"});
        let (schedule, found) = split_schedule(json!({"schedule": "default", "request": request})).unwrap();
        assert_eq!((schedule.as_deref(), found), (Some("default"), request.clone()));
        for input in [request.clone(), json!([1]), json!(null), json!({"schedule": "x"}), json!({"request": request})] {
            assert_eq!(split_schedule(input.clone()).unwrap(), (None, input));
        }
        let traced = json!({"schedule": "default", "request": request, "_X": 1, "AWS_STEP_FUNCTIONS_STARTED_BY": "e"});
        assert_eq!(split_schedule(traced).unwrap(), (Some("default".to_owned()), request.clone()));
        let error = split_schedule(json!({"schedule": "default", "request": request, "years": [2020]})).unwrap_err();
        assert_eq!(
            error.chain(),
            "check request: `years`: expected only `schedule` and `request`, found an unknown field"
        );
        for name in [json!(""), json!("a b"), json!(7), json!("x".repeat(81))] {
            let error = split_schedule(json!({"schedule": name, "request": request})).unwrap_err();
            assert_eq!(error.name(), "InvalidRequest");
            assert!(error.chain().contains("`schedule`: expected at most 80"), "{}", error.chain());
        }
    }

    #[test]
    fn the_state_after_fetching_may_have_an_error_and_a_crawler_or_neither() {
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
