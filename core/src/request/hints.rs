//! Hints: the value that was probably meant.

use crate::dataset::Axis;
use crate::page::numbers::parse_integral;
use crate::plan::years::parse_year;
use crate::text::excerpt;

/// Values in a line: those that only count up are drawn together, `grade-1 to grade-15`; a long list is cut.
fn in_few_words(values: &[&str]) -> String {
    let number = |value: &str| -> Option<(String, u32)> {
        let digits = value.len() - value.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let (word, number) = value.split_at(value.len() - digits);
        Some((word.to_owned(), number.parse().ok()?))
    };
    let follows = |earlier: &str, later: &str| match (number(earlier), number(later)) {
        (Some((a, n)), Some((b, m))) => a == b && n.checked_add(1) == Some(m),
        _ => false,
    };
    let mut runs: Vec<(&str, &str)> = Vec::new();
    for value in values {
        match runs.last_mut() {
            Some((_, last)) if follows(last, value) => *last = value,
            _ => runs.push((value, value)),
        }
    }
    const MOST_WORDS: usize = 40;
    let n_more = runs.len().saturating_sub(MOST_WORDS);
    let mut words: Vec<String> = runs
        .iter()
        .take(MOST_WORDS)
        .map(|(first, last)| if first == last { (*first).to_owned() } else { format!("{first} to {last}") })
        .collect();
    if n_more > 0 {
        words.push(format!("… and {n_more} more"));
    }
    words.join(", ")
}

/// Names the values there are, and the one that was probably meant.
pub(super) fn unknown_value(axis: &Axis, field: &str, text: &str) -> String {
    let known: Vec<&str> = axis.values.iter().map(|coded| coded.value.as_str()).collect();
    let mut message = format!("`{field}`: expected one of {}, found `{}`", in_few_words(&known), excerpt(text));
    let meant =
        format!("{}-{}", axis.name, text.to_lowercase().trim_start_matches("grade").trim_matches([' ', '-', '_']));
    // `-1` is the code of pre-kindergarten, and no first grade.
    let hint = hint_of_code(axis, text);
    if !hint.is_empty() {
        message.push_str(&hint);
    } else if let Some(meant) = known.iter().find(|known| **known == meant) {
        message.push_str(&format!("\n    hint: write `{meant}`"));
    }
    message
}

/// A hint, on a line of its own, at the value whose code in the rows this is; empty when there is none.
pub(super) fn hint_of_code(axis: &Axis, text: &str) -> String {
    let code = parse_integral(text.trim());
    let meant = axis.values.iter().find(|coded| Some(coded.code) == code);
    meant.map_or_else(String::new, |meant| format!("\n    hint: write `{}`", meant.value))
}

/// A hint, on a line of its own, at the years that `2020-21`, `2020/21` or `2020–2021` may mean; empty when there are none.
pub(super) fn hint_of_years(text: &str, may_be_range: bool) -> String {
    let plain = text.trim().replace(['/', '\u{2010}', '\u{2011}', '\u{2012}', '\u{2013}', '\u{2014}'], "-");
    let Some((first, last)) = plain.split_once('-') else { return String::new() };
    let (first, last) = (parse_year(first), last.trim());
    let Some(first) = first else { return String::new() };
    let last = match (last.len(), last.parse::<i32>()) {
        // `1999-00` ends in another century than it begins.
        (2, Ok(last)) if last >= 0 => first - first % 100 + last + if last < first % 100 { 100 } else { 0 },
        _ => parse_year(last).unwrap_or(0),
    };
    match (last - first, may_be_range) {
        (1, true) => {
            format!("\n    hint: write `{first}` for the school year that begins in it, or `{first}-{last}` for two")
        }
        (1, false) => format!("\n    hint: write `{first}` for the school year that begins in it"),
        (2..=60, true) => format!("\n    hint: write `{first}-{last}`"),
        _ => String::new(),
    }
}
