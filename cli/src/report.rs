//! What a run came to, as it is printed, wherever it ran.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_core::dataset::Dataset;
use rollcall_core::file::RESCUED;
use rollcall_core::ledger::{Outcome, Receipt, Summary};
use rollcall_core::page::field_names::FieldNames;
use rollcall_core::partition::AxisValue;
use rollcall_core::text::excerpt;
use serde::Serialize;

use crate::output::{self, Format};
use crate::table;
use crate::warnings;
use crate::words::{counted, size, thousands};

/// Partitions shown one by one; where there are more, only those that failed.
const MOST_SHOWN: usize = 60;

/// What `--format json` prints.
#[derive(Serialize)]
pub(crate) struct Report<'r> {
    #[serde(flatten)]
    pub(crate) summary: &'r Summary,
    /// Those of the plan, and of what came of it.
    warnings: Vec<String>,
    /// Rows of the query, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) query: Option<serde_json::Value>,
}

impl<'r> Report<'r> {
    /// - `of_plan`: warnings that were shown when the run was planned.
    /// - `query`: rows of the query, where one was asked for.
    pub(crate) fn new(summary: &'r Summary, of_plan: &[String], query: Option<serde_json::Value>) -> Self {
        let mut warnings = of_plan.to_vec();
        if let Some(warning) = of_empty_years(summary) {
            output::complain(&format!(
                "warning: {warning}\nhint: --mode missing asks for it again once the portal has a newer release"
            ));
            warnings.push(warning);
        }
        Self { summary, warnings, query }
    }

    /// Prints it.
    ///
    /// - `again`: the command that fetches what failed.
    /// - `anew`: the command that writes anew what is stale.
    pub(crate) fn print(&self, dataset: &Dataset, format: Format, again: &str, anew: &str) -> anyhow::Result<()> {
        warnings::warn_unreadable(&self.summary.unreadable);
        warnings::warn_stale(&self.summary.stale, anew);
        warn_unknown(self.summary.receipts.iter());
        if format == Format::Json {
            return output::print_json(self);
        }
        let mut text = describe(self.summary, dataset);
        let what = match (self.summary.count(Outcome::Failed), self.summary.count(Outcome::NotTried)) {
            (0, 0) => None,
            (_, 0) => Some("run the failed ones again"),
            (0, _) => Some("run those that were not tried"),
            (_, _) => Some("run the failed ones again, and those not tried"),
        };
        text.extend(what.map(|what| format!("{what}: {again}\n")));
        output::print(&text)?;
        Ok(())
    }
}

/// Names the years of which the portal had no rows for anything that was asked of them.
fn of_empty_years(summary: &Summary) -> Option<String> {
    let mut by_year: BTreeMap<&AxisValue, bool> = BTreeMap::new();
    for receipt in &summary.receipts {
        let year =
            receipt.partition.axes().iter().map(|(_, value)| value).find(|value| matches!(value, AxisValue::Int(_)));
        if let Some(year) = year {
            *by_year.entry(year).or_insert(true) &= receipt.outcome == Outcome::Empty;
        }
    }
    let empty: Vec<String> =
        by_year.into_iter().filter(|(_, is_empty)| *is_empty).map(|(year, _)| year.to_string()).collect();
    (!empty.is_empty()).then(|| format!("the portal has no rows for any partition asked of {}", empty.join(", ")))
}

/// Tells people which fields the descriptor does not declare, in one line for all partitions.
pub(crate) fn warn_unknown<'r>(receipts: impl Iterator<Item = &'r Receipt>) {
    const MOST_NAMED: usize = 5;
    let (mut n_rows, mut names) = (0, BTreeSet::new());
    for receipt in receipts {
        n_rows += receipt.n_unknown;
        names.extend(receipt.unknown_fields.iter().map(String::as_str));
    }
    if n_rows == 0 {
        return;
    }
    let mut named: Vec<String> = names.iter().take(MOST_NAMED).map(|name| excerpt(name)).collect();
    if let Some(n_more @ 1..) = names.len().checked_sub(MOST_NAMED) {
        // A receipt names twenty at most.
        let at_least = if names.len() >= FieldNames::MAX { "at least " } else { "" };
        named.push(format!("and {at_least}{n_more} more"));
    }
    let which = if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) };
    output::complain(&format!(
        "warning: {} {} fields that the descriptor does not declare{which}; kept in {RESCUED}",
        counted(n_rows, "row"),
        if n_rows == 1 { "has" } else { "have" },
    ));
}

/// The summary for people.
fn describe(summary: &Summary, dataset: &Dataset) -> String {
    let mut text = format!("run {} of {}\n", summary.run, dataset.name);
    let is_long = summary.receipts.len() > MOST_SHOWN;
    let shown: Vec<&Receipt> =
        summary.receipts.iter().filter(|receipt| !is_long || receipt.outcome == Outcome::Failed).collect();
    if !shown.is_empty() {
        let mut table = table::table(&["partition", "outcome", "rows", "pages", "size"]);
        for receipt in shown {
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
        "{}: {}; {}, {}, {}.{} s\n",
        counted(summary.n_planned as u64, "partition"),
        if outcomes.is_empty() { "nothing to fetch".to_owned() } else { outcomes },
        counted(summary.n_rows, "row"),
        counted(summary.n_pages, "page"),
        took_ms / 1000,
        took_ms % 1000 / 100,
    ));
    text
}
