//! Hints that suggest the value that was probably meant.

use crate::dataset::years::parse_year;
use crate::dataset::{Axis, AxisKind};
use crate::page::numbers::parse_integral;
use crate::text::{excerpt, nearest_hint};

/// Lists values on one line. Consecutive numbers become a range, such as `grade-1 to grade-15`; a long list is truncated.
fn list_values(values: &[&str]) -> String {
    let number = |value: &str| -> Option<(String, u32)> {
        let digits = value.len() - value.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let (prefix, number) = value.split_at(value.len() - digits);
        Some((prefix.to_owned(), number.parse().ok()?))
    };
    let follows = |earlier: &str, later: &str| match (number(earlier), number(later)) {
        (Some((a, n)), Some((b, m))) => a == b && n.checked_add(1) == Some(m),
        _ => false,
    };
    let mut ranges: Vec<(&str, &str)> = Vec::new();
    for value in values {
        match ranges.last_mut() {
            Some((_, last)) if follows(last, value) => *last = value,
            _ => ranges.push((value, value)),
        }
    }
    const MAX_RANGES: usize = 40;
    let n_more = ranges.len().saturating_sub(MAX_RANGES);
    let mut items: Vec<String> = ranges
        .iter()
        .take(MAX_RANGES)
        .map(|(first, last)| if first == last { (*first).to_owned() } else { format!("{first} to {last}") })
        .collect();
    if n_more > 0 {
        items.push(format!("… and {n_more} more"));
    }
    items.join(", ")
}

/// Describes an unknown value: lists the known ones, and suggests the one that was probably meant.
pub(super) fn unknown_value(axis: &Axis, field: &str, text: &str) -> String {
    let known: Vec<&str> = axis.values.iter().map(|coded| coded.value.as_str()).collect();
    let mut message = format!("`{field}`: expected one of {}, found `{}`", list_values(&known), excerpt(text));
    let meant =
        format!("{}-{}", axis.name, text.to_lowercase().trim_start_matches("grade").trim_matches([' ', '-', '_']));
    // `-1` is the code of pre-kindergarten, not first grade.
    let hint = code_hint(axis, text);
    if !hint.is_empty() {
        message.push_str(&hint);
    } else if let Some(meant) = known.iter().find(|known| **known == meant) {
        message.push_str(&format!("\n    hint: write `{meant}`"));
    } else if !text.bytes().any(|byte| byte.is_ascii_digit()) {
        // A number that is not listed is no misspelling.
        message.push_str(&nearest_hint(text, known));
    }
    message
}

/// If `text` is one of the axis's codes, as found in rows, returns a hint line with the matching value. Otherwise
/// returns an empty string.
pub(super) fn code_hint(axis: &Axis, text: &str) -> String {
    let code = parse_integral(text.trim()).filter(|_| axis.kind == AxisKind::String);
    let meant = axis.values.iter().find(|coded| Some(coded.code) == code);
    meant.map_or_else(String::new, |meant| format!("\n    hint: write `{}`", meant.value))
}

/// Returns a hint line that suggests the years meant by `2020-21`, `2020/21` or `2020–2021`, or an empty string.
pub(super) fn years_hint(text: &str, may_be_range: bool) -> String {
    let plain = text.trim().replace(['/', '\u{2010}', '\u{2011}', '\u{2012}', '\u{2013}', '\u{2014}'], "-");
    let Some((first, last)) = plain.split_once('-') else { return String::new() };
    let (first, last) = (parse_year(first), last.trim());
    let Some(first) = first else { return String::new() };
    let last = match (last.len(), last.parse::<i32>()) {
        // `1999-00` ends in the next century.
        (2, Ok(last)) if last >= 0 => first - first % 100 + last + if last < first % 100 { 100 } else { 0 },
        _ => parse_year(last).unwrap_or(0),
    };
    match (last - first, may_be_range) {
        (1, true) => {
            format!(
                "\n    hint: write `{first}` for the school year that starts in {first}, or `{first}-{last}` for two \
                 school years"
            )
        }
        (1, false) => format!("\n    hint: write `{first}` for the school year that starts in {first}"),
        (2..=60, true) => format!("\n    hint: write `{first}-{last}`"),
        _ => String::new(),
    }
}
