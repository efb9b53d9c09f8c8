//! Metrics, written to the log in CloudWatch's embedded metric format, which needs neither calls nor permissions.

use std::io::{self, Write};

use rollcall_core::ledger::{Outcome, Summary};
use serde_json::{Map, Value, json};

/// Default namespace of the metrics. The template sets one for each stack.
pub const NAMESPACE: &str = "rollcall";

/// Dimension that names the schedule that started a run. The metrics of partitions have no dimensions.
pub const SCHEDULE: &str = "schedule";

/// Runs of a schedule that ended with every partition up to date.
pub const SCHEDULED_RUNS_SUCCEEDED: &str = "ScheduledRunsSucceeded";
/// Pages received in a run.
pub const PAGES: &str = "Pages";
/// Rows received in a run.
pub const ROWS: &str = "Rows";

/// Returns the name of the metric that counts a run's partitions with this outcome.
#[must_use]
pub fn partitions(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Written => "PartitionsWritten",
        Outcome::Rewritten => "PartitionsRewritten",
        Outcome::Unchanged => "PartitionsUnchanged",
        Outcome::Empty => "PartitionsEmpty",
        Outcome::Superseded => "PartitionsSuperseded",
        Outcome::Failed => "PartitionsFailed",
        Outcome::NotTried => "PartitionsNotTried",
    }
}

/// Returns a run's numbers as one log line. Only those that an alarm watches are metrics, since CloudWatch bills each
/// metric; the dashboard reads the others from the log.
///
/// - `schedule`: the schedule that started the run, if one did.
#[must_use]
pub fn from_summary(summary: &Summary, namespace: &str, schedule: Option<&str>) -> Value {
    let declare = |name: &&str| json!({"Name": name, "Unit": "Count"});
    let mut values = vec![(PAGES, summary.n_pages), (ROWS, summary.n_rows)];
    values.extend(Outcome::ALL.iter().map(|outcome| (partitions(*outcome), summary.count(*outcome) as u64)));
    let changed = summary.change.as_ref().map(|change| change.rows).unwrap_or_default();
    values.extend([
        ("PartitionsChanged", summary.n_changed as u64),
        ("RowsAdded", changed.added),
        ("RowsRemoved", changed.removed),
        ("RowsRevised", changed.revised),
        ("RowsRecoded", changed.recoded),
    ]);
    let declared = [declare(&partitions(Outcome::Failed))];
    let mut directives = vec![json!({"Namespace": namespace, "Dimensions": [[]], "Metrics": declared})];
    let mut line = Map::new();
    if let Some(schedule) = schedule.filter(|_| summary.n_open() == 0) {
        let declared = [declare(&SCHEDULED_RUNS_SUCCEEDED)];
        directives.push(json!({"Namespace": namespace, "Dimensions": [[SCHEDULE]], "Metrics": declared}));
        line.insert(SCHEDULE.to_owned(), json!(schedule));
        values.push((SCHEDULED_RUNS_SUCCEEDED, 1));
    }
    line.insert(
        "_aws".to_owned(),
        json!({"Timestamp": summary.finished_at.as_millisecond(), "CloudWatchMetrics": directives}),
    );
    // Not dimensions, but useful in a query of the logs.
    line.insert("dataset".to_owned(), json!(summary.dataset));
    line.insert("run".to_owned(), json!(summary.run));
    line.extend(values.into_iter().map(|(name, value)| (name.to_owned(), json!(value))));
    Value::Object(line)
}

/// Writes a metrics line to the log. If that fails, the line is lost, but the summary has the same numbers.
pub fn emit(line: &Value) {
    if let Err(error) = writeln!(io::stdout().lock(), "{line}") {
        tracing::warn!(%error, "metrics not written");
    }
}
