//! The map run of an execution: finds out what happened to planned partitions that left no receipt.
//!
//! Each item of the plan gets a child execution when it starts. If the run ends early, because too many items failed or
//! somebody stopped it, the remaining items do not have one.

use std::collections::{BTreeMap, BTreeSet};

use aws_config::SdkConfig;
use aws_sdk_sfn::Client;
use aws_sdk_sfn::types::{ExecutionStatus, MapRunItemCounts};
use futures::{StreamExt, TryStreamExt, stream};
use rollcall_core::dataset::Dataset;
use rollcall_core::partition::PartitionKey;
use rollcall_core::ports::BoxError;
use rollcall_core::publish::WithoutReceipt;
use rollcall_core::text::excerpt;

use crate::latest_map_run::latest_map_run;
use crate::payload::FetchEvent;
use crate::sdk_error::cause;

/// Maximum number of child executions read concurrently.
const MAX_CONCURRENT_READS: usize = 8;
/// Maximum number of child executions on one page of a listing.
const MAX_CHILDREN_PER_PAGE: i32 = 1000;

/// Reads map runs and their child executions. Clones share the client.
#[derive(Debug, Clone)]
pub struct MapRuns {
    client: Client,
}

/// Why an execution could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{action}")]
pub struct MapRunError {
    action: String,
    #[source]
    source: BoxError,
}

fn failed(action: String) -> impl FnOnce(BoxError) -> MapRunError {
    |source| MapRunError { action, source }
}

impl MapRuns {
    /// Returns a reader for the account and Region of `config`.
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        Self { client: Client::new(config) }
    }

    /// Finds out which partitions of `missing` were never started, and how the others ended.
    ///
    /// - `execution`: ARN of the run's execution.
    /// - `missing`: planned partitions without a receipt; not empty.
    ///
    /// # Errors
    /// [`MapRunError`] if Step Functions does not respond, or denies access.
    pub async fn without_receipt(
        &self,
        execution: &str,
        dataset: &Dataset,
        missing: &BTreeSet<PartitionKey>,
    ) -> Result<Found, MapRunError> {
        let not_tried = |map_run| Found {
            map_run,
            without_receipt: WithoutReceipt { not_tried: missing.clone(), causes: BTreeMap::new() },
        };
        let listed = self.client.list_map_runs().execution_arn(execution).send().await;
        let listed = listed.map_err(|error| failed(format!("list map runs of `{execution}`"))(cause(error)))?;
        let Some(map_run) = latest_map_run(&listed.map_runs) else {
            return Ok(not_tried(None));
        };
        let found = self.client.describe_map_run().map_run_arn(&map_run).send().await;
        let found = found.map_err(|error| failed(format!("read map run `{map_run}`"))(cause(error)))?;
        let items = found.item_counts.as_ref().map(Items::from_counts).unwrap_or_default();
        let children = self.client.list_executions().map_run_arn(&map_run).max_results(MAX_CHILDREN_PER_PAGE);
        let children: Vec<_> = children
            .into_paginator()
            .items()
            .send()
            .try_collect()
            .await
            .map_err(|error| failed(format!("list executions of `{map_run}`"))(cause(error)))?;
        if !items.all_started() && items.n_without(children.len()) == missing.len() as u64 {
            return Ok(not_tried(Some(map_run)));
        }
        // Children that succeeded have left a receipt. The partition of any other child is only in its input.
        let unsuccessful = children.iter().filter(|child| child.status != ExecutionStatus::Succeeded);
        let ends: BTreeMap<PartitionKey, Option<String>> =
            stream::iter(unsuccessful.map(|child| child.execution_arn().to_owned()))
                .map(|child| async move {
                    let found = self.client.describe_execution().execution_arn(&child).send().await;
                    let found = found.map_err(|error| failed(format!("read execution `{child}`"))(cause(error)))?;
                    let partition = found.input.and_then(|input| partition_from_input(dataset, &input));
                    Ok::<_, MapRunError>(partition.map(|partition| (partition, end_in_words(found.error, found.cause))))
                })
                .buffer_unordered(MAX_CONCURRENT_READS)
                .try_filter_map(|end| async move { Ok(end) })
                .try_collect()
                .await?;
        let is_not_tried = |partition: &&PartitionKey| !items.all_started() && !ends.contains_key(*partition);
        let not_tried = missing.iter().filter(is_not_tried).cloned().collect();
        let causes = ends.into_iter().filter(|(partition, _)| missing.contains(partition));
        let causes = causes.filter_map(|(partition, end)| Some((partition, end?))).collect();
        Ok(Found { map_run: Some(map_run), without_receipt: WithoutReceipt { not_tried, causes } })
    }
}

/// What Step Functions knows about the partitions of a run that left no receipt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// ARN of the map run, if the execution has started one.
    pub map_run: Option<String>,
    /// The partitions that were never started, and how the others ended.
    pub without_receipt: WithoutReceipt,
}

/// Describes how a child execution ended, or returns `None` if it ended without an error.
fn end_in_words(error: Option<String>, cause: Option<String>) -> Option<String> {
    let error = error.filter(|error| !error.is_empty())?;
    // Lambda's own errors are JSON.
    let cause = cause.unwrap_or_default();
    let json: Option<serde_json::Value> = serde_json::from_str(&cause).ok();
    let message = json.as_ref().and_then(|json| json["errorMessage"].as_str()).unwrap_or(&cause);
    let message = if message.is_empty() { String::new() } else { format!(": {}", excerpt(message)) };
    Some(format!("its execution ended with `{error}`{message}"))
}

/// Item counts of a map run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Items {
    n_all: u64,
    /// Items that certainly started, because they are running or ended without being stopped. An item that was stopped may
    /// or may not have started.
    n_started: u64,
}

impl Items {
    fn from_counts(counts: &MapRunItemCounts) -> Self {
        let count = |n: i64| u64::try_from(n).unwrap_or_default();
        let started = [counts.succeeded, counts.failed, counts.timed_out, counts.running];
        Self { n_all: count(counts.total), n_started: started.into_iter().map(count).sum() }
    }

    /// Checks whether all items certainly started. Returns `false` if there are no items, which means that the map run
    /// could not read the plan.
    fn all_started(self) -> bool {
        self.n_all > 0 && self.n_started >= self.n_all
    }

    /// Returns the number of items without a child execution. Such items never have a receipt, so if exactly this many
    /// partitions lack one, none of them was started.
    fn n_without(self, n_children: usize) -> u64 {
        self.n_all.saturating_sub(n_children as u64)
    }
}

/// Returns the partition of a child execution, or `None` if its input is not a [`FetchEvent`].
fn partition_from_input(dataset: &Dataset, input: &str) -> Option<PartitionKey> {
    let event: FetchEvent = serde_json::from_str(input).ok()?;
    dataset.arrange(&event.partition)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(total: i64, succeeded: i64, failed: i64, aborted: i64, pending: i64) -> MapRunItemCounts {
        MapRunItemCounts::builder()
            .total(total)
            .succeeded(succeeded)
            .failed(failed)
            .aborted(aborted)
            .pending(pending)
            .running(0)
            .timed_out(0)
            .results_written(0)
            .build()
    }

    #[test]
    fn only_a_map_run_with_stopped_or_pending_items_may_have_items_that_never_started() {
        for (counts, all_started) in [
            (counts(4, 4, 0, 0, 0), true),
            (counts(4, 1, 3, 0, 0), true),
            // A running child is stopped as well.
            (counts(4, 1, 2, 1, 0), false),
            (counts(4, 1, 2, 0, 1), false),
            // The plan could not be read.
            (counts(0, 0, 0, 0, 0), false),
        ] {
            assert_eq!(Items::from_counts(&counts).all_started(), all_started, "{counts:?}");
        }
        assert_eq!(Items::from_counts(&counts(9, 4, 1, 4, 0)).n_without(6), 3);
        assert_eq!(Items::from_counts(&counts(0, 0, 0, 0, 0)).n_without(6), 0);
    }

    #[test]
    fn the_end_of_a_child_is_its_error_with_lambdas_message() {
        let timed_out = r#"{"errorType":"Sandbox.Timedout","errorMessage":"Task timed out after 840.00 seconds"}"#;
        for (error, cause, expected) in [
            (None, None, None),
            (Some(""), Some("x"), None),
            (Some("States.Timeout"), None, Some("its execution ended with `States.Timeout`")),
            (
                Some("Sandbox.Timedout"),
                Some(timed_out),
                Some("its execution ended with `Sandbox.Timedout`: Task timed out after 840.00 seconds"),
            ),
            (Some("Lambda.Unknown"), Some("not JSON"), Some("its execution ended with `Lambda.Unknown`: not JSON")),
            (Some("Lambda.Unknown"), Some("[1]"), Some("its execution ended with `Lambda.Unknown`: [1]")),
        ] {
            let found = end_in_words(error.map(str::to_owned), cause.map(str::to_owned));
            assert_eq!(found.as_deref(), expected, "{error:?}");
        }
    }

    #[test]
    fn the_partition_of_a_child_is_read_from_its_input() {
        let dataset = Dataset::built_in("ccd_enrollment").unwrap();
        let input = include_str!("../../functions/page-fetch/event.json");
        assert_eq!(partition_from_input(&dataset, input).unwrap().to_string(), "year=2021/grade=grade-pk");
        for invalid in ["", "{}", "{\"partition\": {\"year\": 2021}}"] {
            assert_eq!(partition_from_input(&dataset, invalid), None);
        }
    }
}
