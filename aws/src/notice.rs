//! What the state machine tells the world when a run ends: the detail of an EventBridge event.

use std::collections::BTreeMap;

use rollcall_core::dataset::Dataset;
use rollcall_core::error::next_step::next_step;
use rollcall_core::ledger::{Outcome, Summary};
use serde::{Deserialize, Serialize};

/// Maximum number of partitions named in each list. The execution and the summary have them all.
const MAX_NAMED: usize = 10;
/// Maximum characters of an error's message.
const MAX_MESSAGE: usize = 300;

/// The detail of the event `rollcall run ended`.
///
/// The fields whose names end in `_line`, and the title, are for people: single lines without double quotes or
/// backslashes, because EventBridge inserts them into the text of a message without escaping them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Run name.
    pub run: String,
    /// Dataset name.
    pub dataset: String,
    /// The schedule that started the run, if one did.
    pub schedule: Option<String>,
    /// `succeeded`, or `failed` if a partition failed or was not tried.
    pub status: String,
    /// Whether the run failed, changed data or removed a partition from the catalog. Publishing what an earlier run committed
    /// is no news of this run.
    pub is_news: bool,
    /// Number of partitions by outcome.
    pub outcomes: BTreeMap<Outcome, usize>,
    /// Partitions whose data changed, at most ten.
    pub changed: Vec<String>,
    /// Failed partitions, at most ten.
    pub failures: Vec<Failure>,
    /// Number of failed partitions.
    pub n_failures: usize,
    /// The execution in the console; empty if it is not known.
    pub link: String,
    /// What happened, in a few words.
    pub title: String,
    /// The outcomes with their counts.
    pub outcome_line: String,
    /// Which partitions changed, and which rows of them.
    pub change_line: String,
    /// Which partitions failed, and why.
    pub failure_line: String,
    /// What to do.
    pub next_line: String,
}

/// A failed partition in a [`Notice`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The partition, such as `year=2021/grade=grade-pk`.
    pub partition: String,
    /// Error name.
    pub error: String,
    /// Error message, shortened.
    pub message: String,
    /// What to do if retrying was not enough.
    pub next_step: String,
}

impl Notice {
    /// Returns the notice for a summary.
    ///
    /// - `schedule`: the schedule that started the run, if one did.
    /// - `execution`: ARN of its execution, if known.
    #[must_use]
    pub fn from_summary(summary: &Summary, dataset: &Dataset, schedule: Option<&str>, execution: Option<&str>) -> Self {
        let Summary { run, n_planned, .. } = summary;
        let n_open = summary.n_open();
        let changed: Vec<(String, String)> = summary
            .receipts
            .iter()
            .filter_map(|receipt| Some((receipt.partition.to_string(), receipt.change_in_words(dataset)?)))
            .collect();
        let failures: Vec<Failure> = summary
            .failed
            .iter()
            .take(MAX_NAMED)
            .map(|failed| Failure {
                partition: failed.partition.to_string(),
                error: failed.error.name.clone(),
                message: single_line(&failed.error.message),
                next_step: next_step(&failed.error.name).replace("RUN", run),
            })
            .collect();
        let n_failures = summary.failed.len();
        let withdrawn = match summary.n_withdrawn {
            0 => String::new(),
            n => format!(", {n} removed from the catalog"),
        };
        let (status, what) = match (n_open, changed.len()) {
            (0, 0) if withdrawn.is_empty() => ("succeeded", "nothing changed".to_owned()),
            (0, n_changed) => ("succeeded", format!("{n_changed} of {n_planned} partitions changed{withdrawn}")),
            (n_open, _) => {
                ("failed", format!("{n_open} of {n_planned} partitions failed or were not tried{withdrawn}"))
            }
        };
        let failed =
            failures.iter().map(|Failure { partition, error, message, .. }| format!("{partition}: {error}: {message}"));
        let failure_line = match n_failures {
            0 => "No partition failed.".to_owned(),
            n => format!("Failed: {}", listed(failed.collect(), n)),
        };
        let in_words = changed.iter().map(|(partition, words)| format!("{partition} ({words})"));
        let change_line = match changed.len() {
            0 if withdrawn.is_empty() => "No data changed.".to_owned(),
            0 => format!("Changed: none{withdrawn}"),
            n => format!("Changed: {}{withdrawn}", listed(in_words.take(MAX_NAMED).collect(), n)),
        };
        let next_line = match (n_open, failures.first()) {
            (0, _) => "Nothing to do.".to_owned(),
            (_, None) => format!("To fetch the rest: rollcall run --on aws --failed-of {run}"),
            (_, Some(first)) => {
                let step = &first.next_step;
                format!("About {}: {step}. To fetch the rest: rollcall run --on aws --failed-of {run}", first.error)
            }
        };
        Self {
            run: run.clone(),
            dataset: dataset.name.clone(),
            schedule: schedule.map(str::to_owned),
            status: status.to_owned(),
            is_news: n_open > 0 || !changed.is_empty() || summary.n_withdrawn > 0,
            outcomes: summary.outcomes.clone(),
            changed: changed.into_iter().map(|(partition, _)| partition).take(MAX_NAMED).collect(),
            failures,
            n_failures,
            link: execution.and_then(console_link).unwrap_or_default(),
            title: single_line(&format!("Run {run} of {} {status}: {what}", dataset.name)),
            outcome_line: single_line(&format!("{n_planned} planned: {}", summary.outcomes_in_words())),
            change_line: single_line_of(&change_line, usize::MAX),
            failure_line: single_line_of(&failure_line, usize::MAX),
            next_line: single_line_of(&next_line, usize::MAX),
        }
    }
}

/// Joins names, and says how many more there are.
fn listed(names: Vec<String>, n_all: usize) -> String {
    let n_more = n_all - names.len();
    let more = if n_more > 0 { format!("; and {n_more} more") } else { String::new() };
    names.join("; ") + &more
}

/// Returns text as a single line of limited length that needs no escaping in JSON.
fn single_line(text: &str) -> String {
    single_line_of(text, MAX_MESSAGE)
}

fn single_line_of(text: &str, max_chars: usize) -> String {
    let plain = |c: char| match c {
        '"' | '`' => '\'',
        '\\' => '/',
        c if c.is_control() => ' ',
        c => c,
    };
    let line: String = text.chars().map(plain).take(max_chars).collect();
    if line.chars().count() < text.chars().count() { line + "…" } else { line }
}

/// Returns the address of an execution in the console, or `None` if the ARN is not one of an execution.
fn console_link(execution: &str) -> Option<String> {
    let mut parts = execution.split(':').skip(1);
    let (partition, service, region) = (parts.next()?, parts.next()?, parts.next()?);
    let domain = match partition {
        "aws" => "console.aws.amazon.com",
        "aws-us-gov" => "console.amazonaws-us-gov.com",
        "aws-cn" => "console.amazonaws.cn",
        _ => return None,
    };
    let start = format!("https://{region}.{domain}/states/home?region={region}");
    (service == "states").then(|| format!("{start}#/v2/executions/details/{execution}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn enrollment() -> Dataset {
        Dataset::built_in("ccd_enrollment").unwrap()
    }

    fn summary(outcomes: &Value, failed: &[Value], written: &[&str]) -> Summary {
        let receipt = |partition: &&str| {
            let (year, grade) = partition.split_once('/').unwrap();
            json!({
                "partition": {"year": year.parse::<i32>().unwrap(), "grade": grade}, "outcome": "written",
                "started_at": "2026-01-01T00:00:00Z", "finished_at": "2026-01-01T00:00:00Z",
                "n_rows": 1, "n_pages": 1,
            })
        };
        let receipts: Vec<Value> = written.iter().map(receipt).collect();
        let n_planned: u64 = outcomes.as_object().unwrap().values().filter_map(Value::as_u64).sum();
        let mut summary: Summary = serde_json::from_value(json!({
            "run": "r1", "dataset": "ccd_enrollment", "outcomes": outcomes, "n_planned": n_planned,
            "started_at": "2026-01-01T00:00:00Z", "finished_at": "2026-01-01T00:01:00Z",
            "n_rows": 0, "n_pages": 0, "n_published": 0, "n_withdrawn": 0, "failed": failed, "partitions": receipts,
        }))
        .unwrap();
        // Objects made by the macro are in alphabetical order.
        let dataset = enrollment();
        for receipt in &mut summary.receipts {
            receipt.partition = dataset.arrange(&receipt.partition).unwrap();
        }
        for failed in &mut summary.failed {
            failed.partition = dataset.arrange(&failed.partition).unwrap();
        }
        summary
    }

    #[test]
    fn a_notice_names_at_most_ten_failures_and_says_what_to_do() {
        let failed = |n: i32| {
            let message = format!("fetch page 1: \"<html>\\\n{}\"", "x".repeat(400));
            json!({"partition": {"year": n, "grade": "grade-pk"}, "error": {"name": "PortalUnavailable", "message": message}})
        };
        let failed: Vec<Value> = (2000..2012).map(failed).collect();
        let summary = summary(&json!({"failed": 12, "not_tried": 3, "written": 1}), &failed, &["2021/grade-pk"]);
        let arn = "arn:aws:states:eu-west-1:000000000000:execution:rollcall-dev-ingest:r1";
        let notice = Notice::from_summary(&summary, &enrollment(), Some("default"), Some(arn));
        assert_eq!((notice.failures.len(), notice.n_failures, notice.is_news), (10, 12, true));
        assert_eq!(notice.title, "Run r1 of ccd_enrollment failed: 15 of 16 partitions failed or were not tried");
        assert_eq!(notice.outcome_line, "16 planned: 1 written, 12 failed, 3 not tried");
        assert_eq!(notice.change_line, "Changed: year=2021/grade=grade-pk (first load)");
        assert!(
            notice
                .failure_line
                .starts_with("Failed: year=2000/grade=grade-pk: PortalUnavailable: fetch page 1: '<html>/")
        );
        assert!(notice.failure_line.ends_with("; and 2 more"), "{}", notice.failure_line);
        assert_eq!(
            notice.next_line,
            "About PortalUnavailable: try again later with '--failed-of r1'. To fetch the rest: rollcall run --on aws \
             --failed-of r1"
        );
        assert_eq!(
            notice.link,
            format!(
                "https://eu-west-1.console.aws.amazon.com/states/home?region=eu-west-1#/v2/executions/details/{arn}"
            )
        );
        for line in [&notice.title, &notice.outcome_line, &notice.change_line, &notice.failure_line, &notice.next_line]
        {
            assert!(!line.contains(['"', '\\', '\n']), "{line}");
        }
        // The state, which contains the notice, is limited to 256 KiB.
        assert!(serde_json::to_string(&notice).unwrap().len() < 16_384);
    }

    #[test]
    fn a_run_that_changed_nothing_is_no_news() {
        let notice = Notice::from_summary(&summary(&json!({"unchanged": 2}), &[], &[]), &enrollment(), None, None);
        assert_eq!((notice.is_news, notice.status.as_str(), notice.link.as_str()), (false, "succeeded", ""));
        assert_eq!(notice.title, "Run r1 of ccd_enrollment succeeded: nothing changed");
        assert_eq!(
            (notice.failure_line.as_str(), notice.next_line.as_str()),
            ("No partition failed.", "Nothing to do.")
        );
        let mut removed = summary(&json!({"empty": 1}), &[], &[]);
        removed.n_withdrawn = 2;
        let removed = Notice::from_summary(&removed, &enrollment(), None, None);
        assert_eq!(
            (removed.is_news, removed.change_line.as_str()),
            (true, "Changed: none, 2 removed from the catalog")
        );
        assert!(removed.title.ends_with("0 of 1 partitions changed, 2 removed from the catalog"), "{}", removed.title);
        let written =
            Notice::from_summary(&summary(&json!({"written": 1}), &[], &["2021/grade-pk"]), &enrollment(), None, None);
        assert_eq!((written.is_news, written.changed), (true, vec!["year=2021/grade=grade-pk".to_owned()]));
        // A rewrite for another schema or encoding changes no data; a revision does, and is told.
        let with_change = |outcome: &str, change: Value| {
            let mut summary = summary(&json!({outcome: 1}), &[], &["2021/grade-pk"]);
            summary.receipts[0].outcome = serde_json::from_value(json!(outcome)).unwrap();
            summary.receipts[0].change = serde_json::from_value(change).unwrap();
            Notice::from_summary(&summary, &enrollment(), None, None)
        };
        let rewritten = with_change("rewritten", json!({}));
        assert_eq!((rewritten.is_news, rewritten.change_line.as_str()), (false, "No data changed."));
        let revised = with_change("written", json!({"rows": {"revised": 3, "recoded": 2, "added": 1}}));
        assert_eq!(revised.change_line, "Changed: year=2021/grade=grade-pk (3 schools revised, 2 recoded, 1 added)");
    }

    #[test]
    fn a_link_leads_to_the_console_of_the_executions_partition() {
        for (arn, expected) in [
            ("arn:aws-cn:states:cn-north-1:0:execution:a:b", Some("https://cn-north-1.console.amazonaws.cn/states/")),
            ("arn:aws-us-gov:states:r:0:execution:a:b", Some("https://r.console.amazonaws-us-gov.com/states/")),
            ("arn:aws:lambda:r:0:function:a", None),
            ("r1", None),
        ] {
            let link = console_link(arn);
            assert_eq!(link.is_some(), expected.is_some(), "{arn}");
            assert!(link.is_none_or(|link| link.starts_with(expected.unwrap())), "{arn}");
        }
    }
}
