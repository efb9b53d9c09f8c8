//! Parses numbers in JSON syntax.

use serde_json::value::RawValue;

/// All integers up to this value are exact in a 64-bit float.
pub(super) const EXACT_IN_F64: u64 = 1 << 53;

/// 2^127. A double of this size or more changes when it is cast to a 128-bit integer.
const I128_LIMIT: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;

/// Parses an integer of at most 64 bits in JSON syntax, without an exponent.
///
/// Accepts `-2` and `-2.000`; rejects `007`, `+5`, `1,234`, `1e3` and `2.5`.
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

/// Parses an integer of at most 64 bits in JSON syntax, with or without an exponent: `2021`, `2021.00`, `2.021e3`.
///
/// The result is exact, because no float is involved.
pub(crate) fn parse_integral(text: &str) -> Option<i64> {
    const MAX_ZEROS: usize = 18;
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else { return parse_integer(text) };
    let exponent: i64 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    // The rules for signs, leading zeros and the decimal point are the same as without an exponent.
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
    let n_zeros = usize::try_from(n_zeros).ok().filter(|n| *n <= MAX_ZEROS)?;
    let sign = if whole.starts_with('-') { "-" } else { "" };
    format!("{sign}{trimmed}{}", "0".repeat(n_zeros)).parse().ok()
}

/// Parses a finite double in JSON syntax. An integer such as `5` or `5.0` must be exact as a double; an integer of
/// 2^127 or more is always rejected.
pub(super) fn parse_double(text: &str) -> Option<f64> {
    // serde_json checks the syntax; the standard library parses the value, rounded to the nearest double. With its
    // feature `float_roundtrip`, serde_json rounds the same way. Decoding straight from serde relies on that.
    serde_json::from_str::<&RawValue>(text).ok()?;
    if !matches!(text.as_bytes().first(), Some(b'-' | b'0'..=b'9')) || text.ends_with(char::is_whitespace) {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_integer = whole.bytes().all(|b| matches!(b, b'-' | b'0'..=b'9')) && fraction.bytes().all(|b| b == b'0');
    #[expect(clippy::cast_possible_truncation, reason = "compared with the text's own integer right away")]
    let is_exact = !is_integer || (value.abs() < I128_LIMIT && whole.parse() == Ok(value as i128));
    (value.is_finite() && is_exact).then_some(value)
}
