//! The runs of a dataset, and the partitions that failed last.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rollcall_core::error::next_step::next_step;
use rollcall_core::ledger::{LastAttempt, Outcome, Receipt, Summary};
use serde::Serialize;

use crate::escape::visible;
use crate::report::read::DatasetFound;
use crate::words::{age, duration, in_one_line, size, thousands, time_between};

/// Runs that are shown.
const MAX_RUNS: usize = 20;
/// Slowest partitions of the last run that are shown.
const MAX_SLOWEST: usize = 5;
/// Failed partitions that are named for each error.
const MAX_NAMED: usize = 5;

/// The runs of a dataset.
#[derive(Serialize)]
pub(super) struct Runs {
    runs: Vec<Run>,
    n_more: usize,
    /// Runs without a summary.
    unfinished: Vec<String>,
    slowest: Vec<(String, String)>,
    errors: Vec<ErrorGroup>,
}

#[derive(Serialize)]
struct Run {
    name: String,
    ago: String,
    duration: String,
    outcomes: String,
    rows: String,
    requests: String,
    /// Requests that brought no page, and were sent again.
    retries: String,
    received: String,
    has_failures: bool,
}

/// The partitions that failed with the same error.
#[derive(Serialize)]
struct ErrorGroup {
    name: String,
    n_partitions: usize,
    /// The first few.
    partitions: Vec<String>,
    /// The message of the first one.
    message: String,
    next_step: String,
}

/// Returns the runs, the latest first, and the errors, the most frequent first.
pub(super) fn runs(found: &DatasetFound<'_>, now: Timestamp) -> Runs {
    Runs {
        runs: found.runs.iter().take(MAX_RUNS).map(|summary| run(summary, now)).collect(),
        n_more: found.runs.len().saturating_sub(MAX_RUNS),
        unfinished: found.unfinished.iter().map(|name| visible(name).into_owned()).collect(),
        slowest: found.runs.first().map(slowest).unwrap_or_default(),
        errors: errors(found),
    }
}

fn run(summary: &Summary, now: Timestamp) -> Run {
    let cost = summary.cost;
    let known = |text: String| if cost.is_none() { String::new() } else { text };
    Run {
        name: visible(&summary.run).into_owned(),
        ago: age(summary.finished_at, now),
        duration: duration(time_between(summary.started_at, summary.finished_at)),
        outcomes: summary.outcomes_in_words(),
        rows: thousands(summary.n_rows),
        requests: known(thousands(cost.n_requests)),
        retries: known(thousands(cost.n_requests.saturating_sub(cost.n_received))),
        received: known(size(cost.received_bytes)),
        has_failures: summary.n_open() > 0,
    }
}

/// Returns the partitions of a run that took longest, with their time.
fn slowest(summary: &Summary) -> Vec<(String, String)> {
    let time = |receipt: &Receipt| time_between(receipt.started_at, receipt.finished_at);
    let tried = summary.receipts.iter().filter(|receipt| receipt.outcome != Outcome::NotTried);
    let mut receipts: Vec<&Receipt> = tried.collect();
    receipts.sort_by_key(|receipt| std::cmp::Reverse(time(receipt)));
    let shown = |receipt: &&Receipt| (receipt.partition.to_string(), format!("{:.1} s", time(receipt).as_secs_f64()));
    receipts.iter().take(MAX_SLOWEST).map(shown).collect()
}

fn errors(found: &DatasetFound<'_>) -> Vec<ErrorGroup> {
    let failed = found.records.iter().filter_map(|(partition, record)| {
        let attempt = record.last_attempt.as_ref().filter(|attempt| attempt.outcome == Outcome::Failed)?;
        Some((attempt.error.as_ref().map_or("NoReceipt", |error| error.name.as_str()), partition, attempt))
    });
    let mut by_name: BTreeMap<&str, Vec<(String, &LastAttempt)>> = BTreeMap::new();
    for (name, partition, attempt) in failed {
        by_name.entry(name).or_default().push((partition.to_string(), attempt));
    }
    let group = |(name, failed): (&str, Vec<(String, &LastAttempt)>)| {
        let first = failed.first().map(|(_, attempt)| *attempt);
        let message = first.and_then(|attempt| Some(in_one_line(&attempt.error.as_ref()?.message)));
        ErrorGroup {
            name: visible(name).into_owned(),
            n_partitions: failed.len(),
            message: visible(&message.unwrap_or_else(|| "the run was killed".to_owned())).into_owned(),
            next_step: next_step(name)
                .replace("RUN", first.map_or("RUN", |attempt| attempt.run.as_str()))
                .replace('`', ""),
            partitions: failed.into_iter().take(MAX_NAMED).map(|(partition, _)| partition).collect(),
        }
    };
    let mut groups: Vec<ErrorGroup> = by_name.into_iter().map(group).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.n_partitions));
    groups
}
