//! Metrics, written to the log in CloudWatch's embedded metric format, which needs neither calls nor permissions.

use std::io::{self, Write};

use rollcall_core::ledger::{Outcome, Summary};
use serde_json::{Map, Value, json};

/// Namespace of all metrics.
pub const NAMESPACE: &str = "rollcall";

/// Dimension that names the dataset. Every metric is also emitted without it, as the total of all datasets.
pub const DATASET: &str = "dataset";

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

/// Returns a run's metrics as one log line, by dataset and in total.
#[must_use]
pub fn from_summary(summary: &Summary) -> Value {
    let mut values = vec![(PAGES, summary.n_pages), (ROWS, summary.n_rows)];
    values.extend(Outcome::ALL.iter().map(|outcome| (partitions(*outcome), summary.count(*outcome) as u64)));
    let declared: Vec<Value> = values.iter().map(|(name, _)| json!({"Name": name, "Unit": "Count"})).collect();
    // An alarm cannot sum a metric over all values of a dimension, hence the empty dimension set.
    let directive = json!({"Namespace": NAMESPACE, "Dimensions": [[DATASET], []], "Metrics": declared});
    let mut line = Map::new();
    line.insert(
        "_aws".to_owned(),
        json!({"Timestamp": summary.finished_at.as_millisecond(), "CloudWatchMetrics": [directive]}),
    );
    line.insert(DATASET.to_owned(), json!(summary.dataset));
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
