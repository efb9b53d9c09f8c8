//! Tells what changed in a run: which partitions, and which rows and cells of them.

use rollcall_core::change::{CellChanges, Change};
use rollcall_core::dataset::Dataset;
use rollcall_core::ledger::{Outcome, Receipt, Summary};

use crate::escape::visible;
use crate::table;
use crate::words::{counted, thousands};

/// Maximum number of changed partitions that a run names.
const MAX_NAMED: usize = 20;

/// Returns which partitions of a run changed. Empty if none did.
pub(crate) fn describe(summary: &Summary, dataset: &Dataset) -> String {
    let is_first = |receipt: &&Receipt| receipt.outcome == Outcome::Written && receipt.change.is_none();
    let n_first = summary.receipts.iter().filter(is_first).count();
    let mut text = String::new();
    if n_first > 0 {
        text.push_str(&format!("first load of {}\n", counted(n_first as u64, "partition")));
    }
    let Some(change) = &summary.change else { return text };
    let changed = summary.receipts.iter().filter(|receipt| receipt.has_changed() && !is_first(receipt));
    for receipt in changed.take(MAX_NAMED) {
        let words = receipt.change_in_words(dataset).unwrap_or_default();
        text.push_str(&format!("{}: {words}\n", receipt.partition));
    }
    if summary.n_changed > 1 {
        let n_changed = counted(summary.n_changed as u64, "partition");
        text.push_str(&format!("changed in {n_changed}: {}\n", change.in_words(dataset)));
    }
    text
}

/// Returns which columns of a partition changed, and the keys of a few rows.
pub(crate) fn describe_cells(receipt: &Receipt) -> String {
    let Some(change) = receipt.change.as_deref().filter(|change| !change.is_empty()) else { return String::new() };
    let mut text = format!("\n{}\n", receipt.partition);
    text.push_str(&columns(change));
    text.push_str(&keys(change));
    text
}

/// Returns a table of the changed cells by column. Empty if there are none.
pub(crate) fn columns(change: &Change) -> String {
    if change.columns.is_empty() {
        return String::new();
    }
    let mut table = table::table(&["column", "revised", "recoded", "filled", "blanked"]);
    for (column, cells) in &change.columns {
        let CellChanges { recoded, revised, filled, blanked } = *cells;
        let counts = [revised, recoded, filled, blanked].map(thousands);
        table.add_row([vec![visible(column).into_owned()], counts.to_vec()].concat());
    }
    table::align_right(&mut table, &[1, 2, 3, 4]);
    table::render(&table)
}

/// Returns the keys of the first rows of each kind, one line for each kind.
fn keys(change: &Change) -> String {
    let (rows, keys) = (&change.rows, &change.keys);
    let kinds = [
        ("revised", rows.revised, &keys.revised),
        ("recoded", rows.recoded, &keys.recoded),
        ("added", rows.added, &keys.added),
        ("removed", rows.removed, &keys.removed),
    ];
    let lines = kinds.into_iter().filter(|(_, n_rows, _)| *n_rows > 0).map(|(kind, n_rows, keys)| {
        let named = keys.iter().map(|key| visible(key).into_owned()).collect::<Vec<_>>().join("; ");
        let more = if n_rows > keys.len() as u64 && !keys.is_empty() { "; ..." } else { "" };
        let separator = if named.is_empty() { "" } else { ": " };
        format!("{} {kind}{separator}{named}{more}\n", counted(n_rows, "row"))
    });
    lines.collect()
}
