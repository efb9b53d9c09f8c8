//! The only file that prints: data to stdout, words to stderr.
//!
//! Text from outside may hold what a terminal obeys: codes that recolour it, retitle it or type into it, ends of lines that
//! forge a line of ours, marks that turn the order of what follows. Messages, tables and JSON never hold these as they are,
//! and data does only in a file or a pipe. What else is printed is made of lines of ours, and its parts that come from
//! outside are made [`visible`] first.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, presets};
use jiff::{SignedDuration, Timestamp};
use rollcall_core::partition::PartitionKey;
use rollcall_core::text::excerpt;
pub(crate) use rollcall_core::text::thousands;
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

/// Prints words, tables and JSON, of which every line is ours. A reader that has gone away (`| head`) is not an error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    write_out(&escaped(text, is_obeyed_in_lines))
}

/// Prints data as it is into a file or a pipe; on a terminal as [`print()`] does.
pub(crate) fn print_data(text: &str) -> io::Result<()> {
    if io::stdout().is_terminal() { print(text) } else { write_out(text) }
}

fn write_out(text: &str) -> io::Result<()> {
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
    print(&json_text(serde_json::to_string_pretty(value)?))?;
    Ok(())
}

/// JSON that means the same and can be shown on a terminal.
pub(crate) fn json_text(text: String) -> String {
    let is_escaped = |c: char| !c.is_ascii_control() && is_obeyed(c) || c == '\u{7f}';
    if !text.contains(is_escaped) {
        return text;
    }
    // These stand in strings alone, which hold no control character of ASCII as it is.
    let mut json = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_escaped(c) { json.push_str(&format!("\\u{:04x}", u32::from(c))) } else { json.push(c) }
    }
    json
}

/// Whether a terminal obeys a character rather than showing it: control characters of ASCII and beyond, ends of lines of
/// Unicode, marks of direction.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_obeyed_in_lines(c: char) -> bool {
    is_obeyed(c) && c != '\n' && c != '\t'
}

/// Text in one line, of which a terminal obeys nothing: `a\nb`, `\u{1b}[31m`.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, is_obeyed)
}

/// The text of a value of data as stdout may show it: as it is in a file or a pipe, [`visible`] on a terminal.
pub(crate) fn visible_on_terminal(text: &str) -> Cow<'_, str> {
    if io::stdout().is_terminal() { visible(text) } else { Cow::Borrowed(text) }
}

/// A message of which a terminal obeys nothing. Lines of its own are hints, and indented in a list; any other end of a line
/// came with text from outside.
fn message(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for (i, line) in text.split('\n').enumerate() {
        if i > 0 {
            let is_ours = line.starts_with("hint: ") || line.starts_with("  ");
            shown.push_str(if is_ours { "\n" } else { "\\n" });
        }
        shown.push_str(&visible(line));
    }
    shown
}

fn escaped(text: &str, is_obeyed: fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_obeyed(c) { shown.extend(c.escape_debug()) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

/// Tells people something, beside any progress bar.
pub(crate) fn complain(text: &str) {
    progress::beside_bars(|| {
        // There is nowhere left to report a stderr that is closed.
        let _ = writeln!(io::stderr().lock(), "{}", message(text));
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

/// Rows below a header. What a terminal obeys is [`visible`] in its cells, so that a row stays a line.
pub(crate) struct Table(comfy_table::Table);

impl Table {
    /// Appends a row.
    pub(crate) fn add_row(&mut self, cells: impl IntoIterator<Item = impl ToString>) {
        self.0.add_row(cells.into_iter().map(|cell| visible(&cell.to_string()).into_owned()));
    }
}

/// An empty table. On a terminal its last column is wrapped to fit; the others, and piped text, stay whole, so that
/// names can be copied and a line stays a row.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = whole_table(header);
    if io::stdout().is_terminal() {
        table.0.set_content_arrangement(ContentArrangement::Dynamic);
        let n_whole = header.len().saturating_sub(1);
        for column in table.0.column_iter_mut().take(n_whole) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table
}

/// An empty table of which nothing is wrapped.
pub(crate) fn whole_table(header: &[&str]) -> Table {
    let mut table = comfy_table::Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().map(|name| visible(name).into_owned()));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    Table(table)
}

/// Aligns columns (from 0) to the right.
pub(crate) fn align_right(table: &mut Table, columns: &[usize]) {
    for index in columns {
        if let Some(column) = table.0.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// A table as text without trailing blanks.
pub(crate) fn render(table: &Table) -> String {
    table.0.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
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

    /// What a terminal would obey: colour, title, start of line, 8-bit codes, DEL, ends of lines and marks of direction.
    const HOSTILE: &str = "\u{1b}[31m\u{1b}]0;t\u{7}\r\u{9b}2J\u{90}\u{7f}\u{2028}\u{2029}\u{202e}\u{2066}\u{61c}\0";

    /// Found by use: W3.
    #[test]
    fn d14_nothing_that_a_terminal_obeys_is_left_in_words_tables_and_json() {
        let shown =
            "\\u{1b}[31m\\u{1b}]0;t\\u{7}\\r\\u{9b}2J\\u{90}\\u{7f}\\u{2028}\\u{2029}\\u{202e}\\u{2066}\\u{61c}\\0";
        assert_eq!(visible(HOSTILE), shown);
        assert_eq!(visible("one\ntwo\tthree"), "one\\ntwo\\tthree");
        assert_eq!(escaped(&format!("one\n\ttwo {HOSTILE}"), is_obeyed_in_lines), format!("one\n\ttwo {shown}"));
        let hint = "  - one\n    hint: what to do\nhint: what else to do";
        assert_eq!(
            message(&format!("error: a\nforged: {HOSTILE}\tb\n{hint}")),
            format!("error: a\\nforged: {shown}\\tb\n{hint}")
        );
        // Letters, accents, emoji of several characters and no-break spaces are shown.
        let plain = "Peña e\u{301} 学校 👩\u{200d}🏫 a\u{a0}b \\n";
        assert_eq!(visible(plain), plain);

        let mut table = whole_table(&["a\nb", "c"]);
        table.add_row([HOSTILE, "one\ntwo"]);
        assert_eq!(render(&table).lines().count(), 2);
        assert!(!render(&table).replace('\n', "").contains(is_obeyed));

        let json = json_text(serde_json::to_string_pretty(&[HOSTILE, plain]).unwrap());
        assert!(!json.replace('\n', "").contains(is_obeyed), "{json}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [HOSTILE, plain]);
    }

    #[test]
    fn wide_and_combining_characters_keep_the_columns_of_a_table_in_line() {
        let mut table = whole_table(&["name", "n"]);
        for name in ["abcd", "学校", "e\u{301}e\u{301}", "\u{1b}"] {
            table.add_row([name, "1"]);
        }
        align_right(&mut table, &[1]);
        // Two cells of a terminal are taken by each of 学校, none by an accent.
        assert_eq!(render(&table), "name    n\nabcd    1\n学校    1\ne\u{301}e\u{301}      1\n\\u{1b}  1\n");
    }

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
