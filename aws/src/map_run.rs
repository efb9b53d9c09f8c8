//! The map run of an execution: which planned partitions it never came to.
//!
//! Each item of the plan has a child execution once it is begun. A run that ends early, since too many items failed or
//! somebody stopped it, leaves the rest without one.

use std::collections::BTreeSet;

use aws_config::SdkConfig;
use aws_sdk_sfn::Client;
use aws_sdk_sfn::types::{ExecutionStatus, MapRunItemCounts};
use futures::{StreamExt, TryStreamExt, stream};
use rollcall_core::dataset::Dataset;
use rollcall_core::partition::PartitionKey;
use rollcall_core::ports::BoxError;

use crate::payload::FetchEvent;
use crate::sdk_error::cause;

/// Child executions described at once.
const READS_AT_ONCE: usize = 8;
/// Child executions of one page of a listing, at most.
const CHILDREN_A_PAGE: i32 = 1000;

/// Reads map runs and their child executions. Clones share the client.
#[derive(Debug, Clone)]
pub struct MapRuns {
    client: Client,
}

/// Why an execution could not be looked at.
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
    /// Those of the account and Region of `config`.
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        Self { client: Client::new(config) }
    }

    /// Those of `missing` that were never begun.
    ///
    /// - `execution`: ARN of the run's execution.
    /// - `missing`: planned partitions that left no receipt; not empty.
    ///
    /// # Errors
    /// [`MapRunError`] when Step Functions does not answer or allow it.
    pub async fn not_tried(
        &self,
        execution: &str,
        dataset: &Dataset,
        missing: &BTreeSet<PartitionKey>,
    ) -> Result<BTreeSet<PartitionKey>, MapRunError> {
        let listed = self.client.list_map_runs().execution_arn(execution).send().await;
        let listed = listed.map_err(|error| failed(format!("list map runs of `{execution}`"))(cause(error)))?;
        // The state machine has one map, so none or one.
        let Some(map_run) = listed.map_runs.first().map(|map_run| map_run.map_run_arn()) else {
            return Ok(missing.clone());
        };
        let found = self.client.describe_map_run().map_run_arn(map_run).send().await;
        let found = found.map_err(|error| failed(format!("read map run `{map_run}`"))(cause(error)))?;
        let items = found.item_counts.as_ref().map(Items::of).unwrap_or_default();
        if items.were_all_begun() {
            return Ok(BTreeSet::new());
        }
        let children = self.client.list_executions().map_run_arn(map_run).max_results(CHILDREN_A_PAGE);
        let children: Vec<_> = children
            .into_paginator()
            .items()
            .send()
            .try_collect()
            .await
            .map_err(|error| failed(format!("list executions of `{map_run}`"))(cause(error)))?;
        if items.n_without(children.len()) == missing.len() as u64 {
            return Ok(missing.clone());
        }
        // One that succeeded left a receipt. Of the others, only their input tells which partition each was for.
        let unsuccessful = children.iter().filter(|child| child.status != ExecutionStatus::Succeeded);
        let begun: BTreeSet<PartitionKey> = stream::iter(unsuccessful.map(|child| child.execution_arn().to_owned()))
            .map(|child| async move {
                let found = self.client.describe_execution().execution_arn(&child).send().await;
                let found = found.map_err(|error| failed(format!("read execution `{child}`"))(cause(error)))?;
                Ok::<_, MapRunError>(found.input.and_then(|input| partition_of(dataset, &input)))
            })
            .buffer_unordered(READS_AT_ONCE)
            .try_filter_map(|partition| async move { Ok(partition) })
            .try_collect()
            .await?;
        Ok(missing.difference(&begun).cloned().collect())
    }
}

/// Items of a map run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Items {
    n_all: u64,
    /// Ended, or under way, by themselves. One that Step Functions or a person stopped may have been begun or not.
    n_surely_begun: u64,
}

impl Items {
    fn of(counts: &MapRunItemCounts) -> Self {
        let count = |n: i64| u64::try_from(n).unwrap_or_default();
        let begun = [counts.succeeded, counts.failed, counts.timed_out, counts.running];
        Self { n_all: count(counts.total), n_surely_begun: begun.into_iter().map(count).sum() }
    }

    /// Whether no item can have been left out. A map run that could not read the plan has no items.
    fn were_all_begun(self) -> bool {
        self.n_all > 0 && self.n_surely_begun >= self.n_all
    }

    /// Items without a child execution. As many partitions without a receipt are those, since every item without a child
    /// has none.
    fn n_without(self, n_children: usize) -> u64 {
        self.n_all.saturating_sub(n_children as u64)
    }
}

/// The partition that a child execution was for; `None` where its input is none of ours.
fn partition_of(dataset: &Dataset, input: &str) -> Option<PartitionKey> {
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
    fn only_a_map_run_with_items_that_were_stopped_or_wait_may_have_left_some_out() {
        for (counts, were_all_begun) in [
            (counts(4, 4, 0, 0, 0), true),
            (counts(4, 1, 3, 0, 0), true),
            // A child that was under way is stopped, too.
            (counts(4, 1, 2, 1, 0), false),
            (counts(4, 1, 2, 0, 1), false),
            // The plan could not be read.
            (counts(0, 0, 0, 0, 0), false),
        ] {
            assert_eq!(Items::of(&counts).were_all_begun(), were_all_begun, "{counts:?}");
        }
        assert_eq!(Items::of(&counts(9, 4, 1, 4, 0)).n_without(6), 3);
        assert_eq!(Items::of(&counts(0, 0, 0, 0, 0)).n_without(6), 0);
    }

    #[test]
    fn a_child_is_of_the_partition_in_its_input() {
        let dataset = Dataset::built_in("ccd_enrollment").unwrap();
        let input = include_str!("../../functions/page-fetch/event.json");
        assert_eq!(partition_of(&dataset, input).unwrap().to_string(), "year=2021/grade=grade-pk");
        for none in ["", "{}", "{\"partition\": {\"year\": 2021}}"] {
            assert_eq!(partition_of(&dataset, none), None);
        }
    }
}
