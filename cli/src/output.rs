//! The only file that prints: data to stdout, words to stderr.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};
use jiff::{SignedDuration, Timestamp};
use rollcall_core::error::excerpt;
use rollcall_core::partition::PartitionKey;
use serde::Serialize;

use crate::progress;

/// How facts are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For machines.
    Json,
}

/// Prints data. A reader that has gone away (`| head`) is not an error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let result = stdout
        .write_all(text.as_bytes())
        .and_then(|()| if text.ends_with('\n') || text.is_empty() { Ok(()) } else { stdout.write_all(b"\n") });
    match result.and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Prints facts as JSON.
pub(crate) fn print_json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    print(&serde_json::to_string_pretty(value)?)?;
    Ok(())
}

/// Tells people something, beside any progress bar.
pub(crate) fn complain(text: &str) {
    progress::beside_bars(|| {
        // There is nowhere left to report a stderr that is closed.
        let _ = writeln!(io::stderr().lock(), "{text}");
    });
}

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
            "warning: {} of another schema or encoding than today's: {}\nhint: write anew: {anew}",
            counted(partitions.len() as u64, "partition"),
            some_of(partitions)
        ));
    }
}

/// Tells people what lies among a table's partitions and is none.
pub(crate) fn warn_strays(keys: &[String]) {
    if !keys.is_empty() {
        complain(&format!(
            "warning: {} among the partitions that no partition is: {}\nhint: queries do not see it; move it elsewhere, or delete it",
            counted(keys.len() as u64, "file"),
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

/// A word as a shell reads it back.
pub(crate) fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Says of sample data that it is.
pub(crate) fn note_sample(is_sample: bool) {
    if is_sample {
        complain(
            "note: sample data. The schools are invented; the 2021 grade-pk totals of 22 states are published figures.",
        );
    }
}

/// An empty table. On a terminal its last column is wrapped to fit; the others, and piped text, stay whole, so that
/// names can be copied and a line stays a row.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = whole_table(header);
    if io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
        let n_whole = header.len().saturating_sub(1);
        for column in table.column_iter_mut().take(n_whole) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table
}

/// An empty table of which nothing is wrapped.
pub(crate) fn whole_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().copied());
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// Aligns columns (from 0) to the right.
pub(crate) fn align_right(table: &mut Table, columns: &[usize]) {
    for index in columns {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// A table as text without trailing blanks.
pub(crate) fn render(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// `1234567` → `1,234,567`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1` → `1 page`, `2` → `2 pages`.
pub(crate) fn counted(number: u64, word: &str) -> String {
    format!("{} {word}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// Bytes in few characters: `151 kB`.
pub(crate) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            return if unit == "B" || value >= 100.0 {
                format!("{value:.0} {unit}")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

/// Rows in few characters: `24k`.
pub(crate) fn rounded(number: u64) -> String {
    match number {
        0..1_000 => number.to_string(),
        1_000..10_000 => format!("{:.1}k", number as f64 / 1e3),
        10_000..1_000_000 => format!("{}k", number / 1_000),
        _ => format!("{:.1}M", number as f64 / 1e6),
    }
}

/// Time since `then` in few characters: `5m`, `3h`, `12d`.
pub(crate) fn age(then: Timestamp, now: Timestamp) -> String {
    let age = now.duration_since(then).max(SignedDuration::ZERO);
    match age.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3_600 => format!("{}m", seconds / 60),
        seconds @ 3_600..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_readable() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(245_135), "245,135");
        assert_eq!(thousands(1_000_000), "1,000,000");
        assert_eq!(counted(1, "page"), "1 page");
        assert_eq!(size(999), "999 B");
        assert_eq!(size(151_234), "151 kB");
        assert_eq!(size(1_512_340), "1.5 MB");
        assert_eq!([0, 999, 1_200, 24_000, 2_400_000].map(rounded), ["0", "999", "1.2k", "24k", "2.4M"]);
    }
}
