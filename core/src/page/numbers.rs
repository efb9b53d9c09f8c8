//! Numbers as JSON spells them.

use serde_json::value::RawValue;

/// Integers up to here are exact in a 64-bit float.
pub(super) const EXACT_IN_F64: u64 = 1 << 53;

/// 2^127: a double from here on, cast to a 128-bit integer, becomes another number.
const MOST_COMPARED: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;

/// The integer that a text spells as JSON spells numbers, if it is one and fits 64 bits.
///
/// `-2` and `-2.000` are; `007`, `+5`, `1,234`, `1e3` and `2.5` are not.
pub(crate) fn parse_integer(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    let is_plain = !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'))
        && !fraction.is_empty()
        && fraction.bytes().all(|b| b == b'0');
    is_plain.then(|| whole.parse().ok()).flatten()
}

/// The integer that a text spells as JSON spells numbers, with an exponent or without: `2021`, `2021.00`, `2.021e3`.
///
/// Exact: nothing passes through a float.
pub(crate) fn parse_integral(text: &str) -> Option<i64> {
    const MOST_ZEROS: usize = 18;
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else { return parse_integer(text) };
    let exponent: i64 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    // The rules for signs, leading zeros and the point are those of a number without an exponent.
    parse_integer(&format!("{whole}.0"))?;
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let significant = format!("{digits}{fraction}");
    let trimmed = significant.trim_end_matches('0');
    let n_zeros = (significant.len() - trimmed.len()) as i64 + exponent.checked_sub(fraction.len() as i64)?;
    if trimmed.is_empty() {
        return Some(0);
    }
    let n_zeros = usize::try_from(n_zeros).ok().filter(|n| *n <= MOST_ZEROS)?;
    let sign = if whole.starts_with('-') { "-" } else { "" };
    format!("{sign}{trimmed}{}", "0".repeat(n_zeros)).parse().ok()
}

/// The finite double that a text spells as JSON spells numbers. An integer, `5` or `5.0`, must survive the way there and
/// back; one of 2^127 or more counts as one that does not.
pub(super) fn parse_double(text: &str) -> Option<f64> {
    // The grammar is serde_json's; the value is the standard library's, the nearest double. serde_json's own is that too
    // with its feature `float_roundtrip`, which the direct way counts on.
    serde_json::from_str::<&RawValue>(text).ok()?;
    if !matches!(text.as_bytes().first(), Some(b'-' | b'0'..=b'9')) || text.ends_with(char::is_whitespace) {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_integer = whole.bytes().all(|b| matches!(b, b'-' | b'0'..=b'9')) && fraction.bytes().all(|b| b == b'0');
    #[expect(clippy::cast_possible_truncation, reason = "compared with the text's own integer right away")]
    let is_exact = !is_integer || (value.abs() < MOST_COMPARED && whole.parse() == Ok(value as i128));
    (value.is_finite() && is_exact).then_some(value)
}
