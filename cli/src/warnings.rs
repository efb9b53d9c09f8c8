//! Warnings and notes that several commands print.

use std::collections::BTreeSet;
use std::fmt::Display;

use jiff::Timestamp;
use rollcall_core::file::RESCUED;
use rollcall_core::history::Moment;
use rollcall_core::ledger::Receipt;
use rollcall_core::page::field_names::FieldNames;
use rollcall_core::partition::PartitionKey;
use rollcall_core::text::excerpt;

use crate::output::{print_message, print_note};
use crate::words::counted;

/// Maximum number of partitions, files or fields named in one message.
const MAX_NAMED: usize = 5;

/// Warns about partitions whose object cannot be read.
///
/// - `refresh_command`: fetches them again.
pub(crate) fn warn_unreadable(partitions: &[PartitionKey], refresh_command: &str) {
    if !partitions.is_empty() {
        print_message(&format!(
            "warning: {} cannot be read: {}\nhint: fetch again: {refresh_command}",
            counted(partitions.len() as u64, "object"),
            first_of(partitions)
        ));
    }
}

/// Warns about stale partitions.
///
/// - `refresh_command`: rewrites them.
pub(crate) fn warn_stale(partitions: &[PartitionKey], refresh_command: &str) {
    if !partitions.is_empty() {
        print_message(&format!(
            "warning: {}, whose schema or encoding differs from what a run would write today: {}\n\
             hint: rewrite them: {refresh_command}",
            counted(partitions.len() as u64, "stale partition"),
            first_of(partitions)
        ));
    }
}

/// Warns about partitions that were not refreshed under a release, whose state is asked for.
pub(crate) fn warn_not_refreshed(partitions: &[PartitionKey], table: &str, moment: &Moment) {
    if !partitions.is_empty() {
        print_message(&format!(
            "warning: {} of `{table}` {} not refreshed under release {}, and may have differed from the portal's at that \
             release: {}",
            counted(partitions.len() as u64, "partition"),
            if partitions.len() == 1 { "was" } else { "were" },
            excerpt(&moment.to_string()),
            first_of(partitions)
        ));
    }
}

/// Notes that a table was empty at a moment, and since when it has rows.
pub(crate) fn note_empty(table: &str, at: Timestamp, first_at: Timestamp) {
    print_note(&format!("`{table}` was empty at {at}; its first rows are from {first_at}"));
}

/// Warns about files in a table's folder that belong to no partition.
pub(crate) fn warn_strays(keys: &[String]) {
    if !keys.is_empty() {
        print_message(&format!(
            "warning: {} in the table's folder: {}\nhint: queries ignore them; move or delete them",
            counted(keys.len() as u64, "stray file"),
            first_of(keys)
        ));
    }
}

/// Warns about fields that the descriptor does not declare, in one line for all partitions.
pub(crate) fn warn_unknown_fields<'r>(receipts: impl Iterator<Item = &'r Receipt>) {
    let (mut n_rows, mut names) = (0, BTreeSet::new());
    for receipt in receipts {
        n_rows += receipt.n_unknown;
        names.extend(receipt.unknown_fields.iter().map(String::as_str));
    }
    if n_rows == 0 {
        return;
    }
    let mut named: Vec<String> = names.iter().take(MAX_NAMED).map(|name| excerpt(name)).collect();
    if let Some(n_more @ 1..) = names.len().checked_sub(MAX_NAMED) {
        // A receipt lists only a limited number of fields.
        let at_least = if names.len() >= FieldNames::MAX { "at least " } else { "" };
        named.push(format!("and {at_least}{n_more} more"));
    }
    let which = if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) };
    print_message(&format!(
        "warning: {} {} fields that the descriptor does not declare{which}; kept in {RESCUED}",
        counted(n_rows, "row"),
        if n_rows == 1 { "has" } else { "have" },
    ));
}

/// Notes how many rows have a repeated or an empty key, of a dataset that keeps them.
///
/// - `reason`: why they are kept, from the descriptor.
pub(crate) fn note_kept_keys<'r>(receipts: impl Iterator<Item = &'r Receipt>, reason: Option<&str>) {
    let (mut n_repeated, mut n_empty) = (0, 0);
    for receipt in receipts {
        n_repeated += receipt.n_repeated_keys;
        n_empty += receipt.n_empty_keys;
    }
    let counts: Vec<String> = [(n_repeated, "a repeated key"), (n_empty, "an empty key")]
        .into_iter()
        .filter(|(n_rows, _)| *n_rows > 0)
        .map(|(n_rows, what)| format!("{} with {what}", counted(n_rows, "row")))
        .collect();
    if !counts.is_empty() {
        let reason = reason.map_or_else(String::new, |reason| format!(": {}", excerpt(reason)));
        print_note(&format!("kept {}{reason}", counts.join(" and ")));
    }
}

/// Notes that the printed data is sample data, if it is.
pub(crate) fn note_sample(is_sample: bool) {
    if is_sample {
        print_note(
            "sample data. The schools are invented; the 2021 grade-pk totals of 22 states are published figures.",
        );
    }
}

/// Returns the first few items in backticks.
fn first_of<T: Display>(items: &[T]) -> String {
    let named: Vec<String> =
        items.iter().take(MAX_NAMED).map(|one| format!("`{}`", excerpt(&one.to_string()))).collect();
    let more = if items.len() > MAX_NAMED { ", ..." } else { "" };
    format!("{}{more}", named.join(", "))
}
