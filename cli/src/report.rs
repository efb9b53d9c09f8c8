//! What a run came to, as it is printed, wherever it ran.

use rollcall_core::Error;
use rollcall_core::dataset::Dataset;
use rollcall_core::ledger::{self, Outcome, Receipt, Summary};
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
