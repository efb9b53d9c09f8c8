//! What a run came to, as it is printed, wherever it ran.

use std::collections::BTreeSet;

use rollcall_core::Error;
use rollcall_core::dataset::{Dataset, RESCUED};
use rollcall_core::error::excerpt;
use rollcall_core::ledger::{self, Outcome, Receipt, Summary};
use rollcall_core::page::FieldNames;
use rollcall_core::partition::PartitionKey;
use rollcall_core::plan::PlanItem;
use rollcall_core::ports::Store;
use serde::Serialize;

use crate::output::{self, Format, counted, size, thousands};

/// Partitions shown one by one; beyond, only those that failed.
const MOST_SHOWN: usize = 60;

/// What `--format json` prints.
#[derive(Serialize)]
pub(crate) struct Report<'r> {
    #[serde(flatten)]
    pub(crate) summary: &'r Summary,
    pub(crate) partitions: &'r [Receipt],
    pub(crate) warnings: &'r [String],
    /// Rows of the query, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) query: Option<serde_json::Value>,
}

impl Report<'_> {
    /// Prints it.
    ///
    /// - `again`: the command that fetches what failed.
    pub(crate) fn print(&self, dataset: &Dataset, format: Format, again: &str) -> anyhow::Result<()> {
        if format == Format::Json {
            return output::print_json(self);
        }
        let mut text = describe(self.summary, self.partitions, dataset);
        if self.summary.count(Outcome::Failed) > 0 {
            text.push_str(&format!("run the failed ones again: {again}\n"));
        }
        output::print(&text)?;
        Ok(())
    }
}

/// The receipts that a run left, in the plan's order.
pub(crate) async fn receipts(
    store: &impl Store,
    dataset: &Dataset,
    run: &str,
    plan: &[PlanItem],
) -> Result<Vec<Receipt>, Error> {
    let planned: Vec<PartitionKey> = plan.iter().map(|item| item.partition.clone()).collect();
    let mut found = ledger::read_receipts(store, dataset, run, &planned).await?;
    Ok(planned.iter().filter_map(|partition| found.remove(partition)).collect())
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
        let at_least = if names.len() >= FieldNames::MOST { "at least " } else { "" };
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
fn describe(summary: &Summary, receipts: &[Receipt], dataset: &Dataset) -> String {
    let mut text = format!("run {} of {}\n", summary.run, dataset.name);
    let is_long = receipts.len() > MOST_SHOWN;
    let shown: Vec<&Receipt> =
        receipts.iter().filter(|receipt| !is_long || receipt.outcome == Outcome::Failed).collect();
    if !shown.is_empty() {
        let mut table = output::table(&["partition", "outcome", "rows", "pages", "size"]);
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
        output::align_right(&mut table, &[2, 3, 4]);
        text.push_str(&output::render(&table));
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
