//! Prints the outcome of a run, on this machine or on AWS.

use std::collections::BTreeMap;

use rollcall_core::cost::{Metered, aws};
use rollcall_core::dataset::Dataset;
use rollcall_core::ledger::{Outcome, Receipt, Summary};
use rollcall_core::partition::AxisValue;
use serde::Serialize;

use crate::changes;
use crate::lake::offer::Offer;
use crate::output::{self, Format};
use crate::table;
use crate::warnings;
use crate::words::{counted, dollars, size, thousands};

/// Maximum number of partitions printed one by one. If there are more, only failed ones are printed.
const MAX_PRINTED: usize = 60;

/// What `--format json` prints.
#[derive(Serialize)]
pub(crate) struct RunReport<'r> {
    #[serde(flatten)]
    summary: &'r Summary,
    /// Warnings of the plan and about its outcome.
    warnings: Vec<String>,
    /// Rows of the query, if one was requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<serde_json::Value>,
    /// What the run cost on AWS in USD, by list prices.
    #[serde(skip_serializing_if = "Option::is_none")]
    usd: Option<f64>,
}

impl<'r> RunReport<'r> {
    /// Creates the report, and prints a warning about years without rows.
    ///
    /// - `plan_warnings`: the warnings of the plan, which were printed already.
    /// - `query`: rows of the query, if one was requested.
    pub(crate) fn new(summary: &'r Summary, plan_warnings: &[String], query: Option<serde_json::Value>) -> Self {
        let mut warnings = plan_warnings.to_vec();
        if let Some(warning) = empty_years_warning(summary) {
            output::print_message(&format!(
                "warning: {warning}\nhint: --mode missing requests them again after the portal's next release"
            ));
            warnings.push(warning);
        }
        Self { summary, warnings, query, usd: None }
    }

    /// Adds what the run cost on AWS.
    #[cfg(feature = "aws")]
    pub(crate) fn with_usd(self) -> Self {
        Self { usd: Some(aws::Usage::of_receipts(&self.summary.receipts).usd()), ..self }
    }

    /// Prints the report to stdout, and its warnings to stderr.
    ///
    /// - `offer`: offers further runs.
    pub(crate) fn print(&self, format: Format, offer: &Offer<'_>) -> anyhow::Result<()> {
        let dataset = offer.dataset;
        warnings::warn_unreadable(&self.summary.unreadable, &offer.refresh());
        warnings::warn_stale(&self.summary.stale, &offer.refresh());
        warnings::warn_unknown_fields(self.summary.receipts.iter());
        warnings::note_kept_keys(self.summary.receipts.iter(), dataset.reason.as_deref());
        if format == Format::Json {
            return output::print_json(self);
        }
        let mut text = describe(self.summary, dataset);
        if let Some(usd) = self.usd {
            text.push_str(&format!("cost: {}, at prices of {}\n", dollars(usd), aws::PRICES.date));
        }
        text.push_str(&changes::describe(self.summary, dataset));
        let advice = match (self.summary.count(Outcome::Failed), self.summary.count(Outcome::NotTried)) {
            (0, 0) => None,
            (_, 0) => Some("run the failed ones again"),
            (0, _) => Some("run those that were not tried"),
            (_, _) => Some("run those that failed or were not tried"),
        };
        text.extend(advice.map(|advice| format!("{advice}: {}\n", offer.retry(&self.summary.run))));
        output::print(&text)?;
        Ok(())
    }
}

/// Returns a warning that names the years for which the portal returned no rows at all.
fn empty_years_warning(summary: &Summary) -> Option<String> {
    let mut is_empty_by_year: BTreeMap<&AxisValue, bool> = BTreeMap::new();
    for receipt in &summary.receipts {
        let year =
            receipt.partition.axes().iter().map(|(_, value)| value).find(|value| matches!(value, AxisValue::Int(_)));
        if let Some(year) = year {
            *is_empty_by_year.entry(year).or_insert(true) &= receipt.outcome == Outcome::Empty;
        }
    }
    let empty: Vec<String> =
        is_empty_by_year.into_iter().filter(|(_, is_empty)| *is_empty).map(|(year, _)| year.to_string()).collect();
    (!empty.is_empty()).then(|| format!("the portal has no rows for any requested partition of {}", empty.join(", ")))
}

/// Returns the summary as human-readable text.
fn describe(summary: &Summary, dataset: &Dataset) -> String {
    let mut text = format!("run {} of {}\n", summary.run, dataset.name);
    let is_long = summary.receipts.len() > MAX_PRINTED;
    let printed: Vec<&Receipt> =
        summary.receipts.iter().filter(|receipt| !is_long || receipt.outcome == Outcome::Failed).collect();
    if !printed.is_empty() {
        let mut table = table::table(&["partition", "outcome", "rows", "pages", "size"]);
        for receipt in printed {
            table.add_row([
                receipt.partition.to_string(),
                match &receipt.error {
                    Some(error) => format!("failed: {}", error.name),
                    None => receipt.outcome.as_str().to_owned(),
                },
                thousands(receipt.n_rows),
                thousands(receipt.n_pages.into()),
                receipt.size_bytes.map_or_else(|| "-".to_owned(), size),
            ]);
        }
        table::align_right(&mut table, &[2, 3, 4]);
        text.push_str(&table::render(&table));
    }
    let outcomes = summary.outcomes_in_words();
    let took_ms = summary.finished_at.duration_since(summary.started_at).as_millis();
    text.push_str(&format!(
        "{}: {}; {}, {}{}, {}.{} s\n",
        counted(summary.n_planned as u64, "partition"),
        if outcomes.is_empty() { "nothing to fetch".to_owned() } else { outcomes },
        counted(summary.n_rows, "row"),
        counted(summary.n_pages, "page"),
        in_requests(summary.cost),
        took_ms / 1000,
        took_ms % 1000 / 100,
    ));
    text
}

/// Returns what the requests cost: ` in 6 requests, 3.9 MB`; nothing if there were none.
fn in_requests(cost: Metered) -> String {
    match cost.is_none() {
        true => String::new(),
        false => format!(" in {}, {}", counted(cost.n_requests, "request"), size(cost.received_bytes)),
    }
}
