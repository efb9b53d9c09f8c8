//! Metrics, written to the log in CloudWatch's embedded metric format, which needs neither calls nor permissions.

use std::io::{self, Write};

use rollcall_core::ledger::{Outcome, Summary};
use serde_json::{Map, Value, json};

/// Namespace of all metrics.
pub const NAMESPACE: &str = "rollcall";

/// Pages received in a run.
pub const PAGES: &str = "Pages";
/// Rows received in a run.
pub const ROWS: &str = "Rows";

/// Returns the name of the metric that counts a run's partitions with this outcome.
#[must_use]
pub fn partitions(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Written => "PartitionsWritten",
        Outcome::Unchanged => "PartitionsUnchanged",
        Outcome::Empty => "PartitionsEmpty",
        Outcome::Superseded => "PartitionsSuperseded",
        Outcome::Failed => "PartitionsFailed",
        Outcome::NotTried => "PartitionsNotTried",
    }
}

/// Returns the metrics of a run as one line of JSON, with the dataset as dimension.
#[must_use]
pub fn from_summary(summary: &Summary) -> Value {
    let mut values = vec![(PAGES, summary.n_pages), (ROWS, summary.n_rows)];
    values.extend(Outcome::ALL.iter().map(|outcome| (partitions(*outcome), summary.count(*outcome) as u64)));
    let declared: Vec<Value> = values.iter().map(|(name, _)| json!({"Name": name, "Unit": "Count"})).collect();
    let mut line = Map::new();
    line.insert(
        "_aws".to_owned(),
        json!({
            "Timestamp": summary.finished_at.as_millisecond(),
            "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": [["dataset"]], "Metrics": declared}],
        }),
    );
    line.insert("dataset".to_owned(), json!(summary.dataset));
    line.insert("run".to_owned(), json!(summary.run));
    line.extend(values.into_iter().map(|(name, value)| (name.to_owned(), json!(value))));
    Value::Object(line)
}

/// Writes a line of metrics to the log. If that fails, the line is lost, but the summary has the same numbers.
pub fn emit(line: &Value) {
    if let Err(error) = writeln!(io::stdout().lock(), "{line}") {
        tracing::warn!(%error, "metrics not written");
    }
}
