//! Formats numbers, sizes, ages and shell words as human-readable text.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use rollcall_core::dataset::Dataset;
use rollcall_core::partition::{AxisValue, PartitionKey};
use rollcall_core::text::in_ranges;
pub(crate) use rollcall_core::text::thousands;
use unicode_width::UnicodeWidthStr;

use crate::escape::visible;

/// Quotes a word for a shell, if it needs quotes.
pub(crate) fn shell_word(text: &str) -> String {
    // Quoting fails only for text with a NUL byte, and no argument contains one.
    shlex::try_quote(text).map_or_else(|_| text.to_owned(), Cow::into_owned)
}

/// Returns a number with its noun: `1 page`, `2 pages`.
pub(crate) fn counted(number: u64, word: &str) -> String {
    format!("{} {word}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// Returns a size in compact form: `151 kB`, `1.5 MB`. (indicatif always prints two decimals: `1.51 MB`.)
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

/// Breaks text into lines of at most `width` cells, each indented.
pub(crate) fn wrapped(text: &str, indent: usize, width: usize) -> String {
    let mut lines = String::new();
    let mut n_cells = usize::MAX;
    for word in text.split_whitespace() {
        let word_cells = word.width();
        let is_new = n_cells.saturating_add(1 + word_cells) > width;
        if is_new {
            let end = if lines.is_empty() { "" } else { "\n" };
            lines.push_str(&format!("{end}{:indent$}{word}", ""));
        } else {
            lines.push_str(&format!(" {word}"));
        }
        n_cells = if is_new { indent } else { n_cells + 1 } + word_cells;
    }
    lines + "\n"
}

/// Joins the lines of a message, including its hint or list, into a single line for a table.
pub(crate) fn in_one_line(message: &str) -> String {
    message.lines().map(str::trim).collect::<Vec<_>>().join("; ")
}

/// Returns a number in compact form: `24k`.
pub(crate) fn rounded(number: u64) -> String {
    match number {
        0..1_000 => number.to_string(),
        1_000..10_000 => format!("{:.1}k", number as f64 / 1e3),
        10_000..1_000_000 => format!("{}k", number / 1_000),
        _ => format!("{:.1}M", number as f64 / 1e6),
    }
}

/// Formats a duration: `8 s`, `12 min`, `1 h 40 min`.
pub(crate) fn duration(time: Duration) -> String {
    match time.as_secs() + u64::from(time.subsec_nanos() > 0) {
        seconds @ 0..100 => format!("{seconds} s"),
        seconds @ 100..6_000 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// Formats a price: `about 0.31 USD`.
pub(crate) fn dollars(usd: f64) -> String {
    if usd < 0.01 { "less than 0.01 USD".to_owned() } else { format!("about {usd:.2} USD") }
}

/// Returns the name of a partition in short, without its axes, as in a request: `2011/grade-4`. For what must be short;
/// elsewhere, a partition is named by its path.
pub(crate) fn short_name(partition: &PartitionKey) -> String {
    let values: Vec<String> = partition.axes().iter().map(|(_, value)| value.to_string()).collect();
    visible(&values.join("/")).into_owned()
}

/// Returns the values that an axis has in partitions: numbers as ranges, others in the order of the descriptor.
///
/// - `dataset`: that of the partitions; `None` if it is not built in.
pub(crate) fn axis_values<'p>(
    partitions: impl Iterator<Item = &'p PartitionKey>,
    dataset: Option<&Dataset>,
    axis: &str,
) -> String {
    let (mut numbers, mut texts) = (BTreeSet::new(), BTreeSet::new());
    for partition in partitions {
        match partition.value(axis) {
            Some(AxisValue::Int(number)) => drop(numbers.insert(*number)),
            Some(AxisValue::Text(text)) => drop(texts.insert(text.as_str())),
            None => {}
        }
    }
    if !numbers.is_empty() {
        return in_ranges(&numbers);
    }
    let axis = dataset.and_then(|dataset| dataset.axes.iter().find(|it| it.name == axis));
    let position = |text: &str| axis.and_then(|axis| axis.values.iter().position(|coded| coded.value == text));
    let mut texts: Vec<&str> = texts.into_iter().collect();
    texts.sort_by_key(|text| position(text));
    texts.join(", ")
}

/// Returns the time from one moment to a later one; zero if it is earlier.
pub(crate) fn time_between(start: Timestamp, end: Timestamp) -> Duration {
    end.duration_since(start).try_into().unwrap_or_default()
}

/// Returns the time since `then` in compact form: `5m`, `3h`, `12d`.
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
    fn numbers_and_sizes_are_short() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(245_135), "245,135");
        assert_eq!(thousands(1_000_000), "1,000,000");
        assert_eq!(counted(1, "page"), "1 page");
        assert_eq!(size(999), "999 B");
        assert_eq!(size(151_234), "151 kB");
        assert_eq!(size(1_512_340), "1.5 MB");
        assert_eq!([0, 999, 1_200, 24_000, 2_400_000].map(rounded), ["0", "999", "1.2k", "24k", "2.4M"]);
    }

    #[test]
    fn text_is_broken_between_words() {
        assert_eq!(wrapped("one two\nthree four", 2, 9), "  one two\n  three\n  four\n");
        assert_eq!(wrapped("longer than that", 0, 4), "longer\nthan\nthat\n");
    }

    #[test]
    fn a_duration_is_short() {
        for (seconds, expected) in [(0, "0 s"), (52, "52 s"), (100, "2 min"), (5_000, "84 min"), (6_000, "1 h 40 min")]
        {
            assert_eq!(duration(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn a_word_is_quoted_only_if_the_shell_requires_it() {
        for (text, expected) in [
            ("s3://bucket/lake_1", "s3://bucket/lake_1"),
            ("a b", "'a b'"),
            ("$HOME", "'$HOME'"),
            ("it's", "\"it's\""),
            ("", "''"),
        ] {
            assert_eq!(shell_word(text), expected);
        }
    }
}
