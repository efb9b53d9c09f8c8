//! Warnings and notes that several commands print.

use rollcall_core::partition::PartitionKey;
use rollcall_core::text::excerpt;

use crate::output::complain;
use crate::words::counted;

/// Partitions named in one message.
const MOST_NAMED: usize = 5;

/// Tells people which partitions have an object that cannot be read, and what to do about it.
pub(crate) fn warn_unreadable(partitions: &[PartitionKey]) {
    if !partitions.is_empty() {
        complain(&format!(
            "warning: {} cannot be read: {}\nhint: fetch again with --mode missing",
            counted(partitions.len() as u64, "object"),
            some_of(partitions)
        ));
    }
}

/// Tells people which partitions a run would write otherwise today.
///
/// - `anew`: the command that does so.
pub(crate) fn warn_stale(partitions: &[PartitionKey], anew: &str) {
    if !partitions.is_empty() {
        complain(&format!(
            "warning: {} with another schema or encoding than a run would write today: {}\nhint: rewrite them: {anew}",
            counted(partitions.len() as u64, "partition"),
            some_of(partitions)
        ));
    }
}

/// Tells people what lies among a table's partitions and is none.
pub(crate) fn warn_strays(keys: &[String]) {
    if !keys.is_empty() {
        complain(&format!(
            "warning: {} in the table's folder: {}\nhint: queries ignore them; move or delete them",
            counted(keys.len() as u64, "stray file"),
            some_of(keys)
        ));
    }
}

/// The first few, in backticks.
fn some_of<T: std::fmt::Display>(partitions: &[T]) -> String {
    let named: Vec<String> =
        partitions.iter().take(MOST_NAMED).map(|one| format!("`{}`", excerpt(&one.to_string()))).collect();
    let more = if partitions.len() > MOST_NAMED { ", ..." } else { "" };
    format!("{}{more}", named.join(", "))
}

/// Says of sample data that it is.
pub(crate) fn note_sample(is_sample: bool) {
    if is_sample {
        complain(
            "note: sample data. The schools are invented; the 2021 grade-pk totals of 22 states are published figures.",
        );
    }
}
