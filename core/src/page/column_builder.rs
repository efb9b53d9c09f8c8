//! Converts JSON values to the types that the descriptor declares and appends them to a column.
//!
//! A value fits if it can be converted without loss. A numeric string becomes a number, an integer is never read as a
//! float, and text made of digits is padded to the declared width. The caller keeps values that do not fit.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use arrow_schema::ArrowError;
use serde_json::value::RawValue;

use crate::dataset::{Column, ColumnKind};
use crate::page::arrays::{Numbers, Texts};
use crate::page::numbers::{EXACT_IN_F64, parse_double, parse_integer};

/// Bytes reserved for a string without a declared width.
const TEXT_BYTES: usize = 16;

/// One column of a page that is being decoded.
pub(crate) struct ColumnBuilder {
    values: Values,
    /// Number of zeros added to the row's text, which must be checked against other columns; 0 if there is nothing to
    /// check.
    n_padded: usize,
    /// Whether the last text was longer than the declared width and was kept anyway.
    is_kept: bool,
    /// Whether padding must be checked against other columns.
    is_checked: bool,
}

/// Outcome of appending a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// The value fits and is in the column.
    Exact,
    /// The value does not fit, but is in the column unchanged.
    Kept,
    /// The value does not fit; the column has a null instead.
    Lost,
}

enum Values {
    String(Texts, Option<usize>),
    Int(Numbers<Int32Type>),
    Bigint(Numbers<Int64Type>),
    Double(Numbers<Float64Type>),
}

impl ColumnBuilder {
    /// Creates an empty column.
    pub(crate) fn new(column: &Column) -> Self {
        let values = match column.kind {
            ColumnKind::String => Values::String(Texts::default(), column.width.map(usize::from)),
            ColumnKind::Int => Values::Int(Numbers::default()),
            ColumnKind::Bigint => Values::Bigint(Numbers::default()),
            ColumnKind::Double => Values::Double(Numbers::default()),
        };
        Self { values, n_padded: 0, is_kept: false, is_checked: !column.starts_with.is_empty() }
    }

    /// Returns whether the row's text was padded and still has to be checked.
    pub(crate) fn is_padded(&self) -> bool {
        self.n_padded > 0
    }

    /// Confirms the padding of the row's text, or removes it if it is not valid.
    pub(crate) fn settle_padding(&mut self, is_valid: bool) {
        if let Values::String(texts, _) = &mut self.values
            && !is_valid
        {
            texts.shorten_last(self.n_padded);
        }
        self.n_padded = 0;
    }

    /// Returns whether `padded` consists of this column's value in the same row and `n_more` digits, ignoring leading
    /// zeros. Returns `None` if this column has no value: null, empty, or a code such as -1 for missing.
    pub(crate) fn is_prefix_of(&self, padded: &str, n_more: usize) -> Option<bool> {
        let prefix = padded.get(..padded.len().checked_sub(n_more)?)?;
        let number = match &self.values {
            Values::Int(numbers) => i64::from(numbers.last()?),
            Values::Bigint(numbers) => numbers.last()?,
            Values::String(texts, _) => {
                let text = texts.last().filter(|text| !text.is_empty() && !text.starts_with('-'))?;
                return Some(prefix.trim_start_matches('0') == text.trim_start_matches('0'));
            }
            Values::Double(_) => return None,
        };
        (number >= 0).then(|| prefix.parse() == Ok(number))
    }

    /// Returns the text of the last row.
    pub(crate) fn last_text(&self) -> Option<&str> {
        match &self.values {
            Values::String(texts, _) => texts.last(),
            _ => None,
        }
    }

    /// Reserves capacity for `n_rows` more rows, and for at most `max_bytes` of text.
    pub(crate) fn reserve(&mut self, n_rows: usize, max_bytes: usize) {
        match &mut self.values {
            Values::String(texts, width) => {
                texts.reserve(n_rows, max_bytes.min(n_rows * width.unwrap_or(TEXT_BYTES)));
            }
            Values::Int(numbers) => numbers.reserve(n_rows),
            Values::Bigint(numbers) => numbers.reserve(n_rows),
            Values::Double(numbers) => numbers.reserve(n_rows),
        }
    }

    pub(crate) fn append_null(&mut self) {
        match &mut self.values {
            Values::String(texts, _) => texts.append_nulls(1),
            Values::Int(numbers) => numbers.append_null(),
            Values::Bigint(numbers) => numbers.append_null(),
            Values::Double(numbers) => numbers.append_null(),
        }
    }

    /// Keeps the first `n_rows`.
    pub(crate) fn truncate(&mut self, n_rows: usize) {
        self.n_padded = 0;
        match &mut self.values {
            Values::String(texts, _) => texts.truncate(n_rows),
            Values::Int(numbers) => numbers.truncate(n_rows),
            Values::Bigint(numbers) => numbers.truncate(n_rows),
            Values::Double(numbers) => numbers.truncate(n_rows),
        }
    }

    /// Returns the column and leaves this builder empty.
    ///
    /// # Errors
    /// Fails if the column has more text than Arrow's offsets can address.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match &mut self.values {
            Values::String(texts, _) => Arc::new(texts.finish()?),
            Values::Int(numbers) => Arc::new(numbers.finish()?),
            Values::Bigint(numbers) => Arc::new(numbers.finish()?),
            Values::Double(numbers) => Arc::new(numbers.finish()?),
        })
    }

    /// Appends a JSON value from its own text, without loss.
    pub(crate) fn append_raw(&mut self, raw: &RawValue) -> Fit {
        self.is_kept = false;
        match (self.append_json(raw.get()), self.is_kept) {
            (true, _) => Fit::Exact,
            (false, true) => Fit::Kept,
            (false, false) => Fit::Lost,
        }
    }

    fn append_json(&mut self, text: &str) -> bool {
        match text.as_bytes().first() {
            Some(b'"') => match serde_json::from_str::<Cow<'_, str>>(text) {
                Ok(value) => self.append_text(&value),
                Err(_) => self.misfit(),
            },
            Some(b'n') => {
                self.append_null();
                true
            }
            Some(b'-' | b'0'..=b'9') => self.append_number(text),
            _ => self.misfit(),
        }
    }

    /// Appends a null for a value that does not fit, and returns `false`.
    #[cold]
    pub(super) fn misfit(&mut self) -> bool {
        self.append_null();
        false
    }

    /// Appends text. Returns `false` if it does not fit; in that case it is appended unchanged, or a null is appended
    /// instead.
    #[inline]
    pub(crate) fn append_text(&mut self, text: &str) -> bool {
        match &mut self.values {
            Values::String(texts, width) if width.is_none_or(|width| width == text.len()) => {
                texts.append(text);
                true
            }
            Values::String(_, Some(width)) => {
                let width = *width;
                self.append_with_width(width, text)
            }
            _ => self.append_number(text),
        }
    }

    /// Appends text whose length differs from the declared width. Shorter text made of digits is padded with leading
    /// zeros, other shorter text stays unchanged, and longer text does not fit.
    fn append_with_width(&mut self, width: usize, text: &str) -> bool {
        const ZEROS: &str = "00000000000000000000000000000000";
        let Values::String(texts, _) = &mut self.values else { return false };
        let n_missing = width.saturating_sub(text.len());
        if n_missing > 0
            && !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_digit())
            && let Some(zeros) = ZEROS.get(..n_missing)
        {
            texts.append_joined(zeros, text);
            if self.is_checked {
                self.n_padded = n_missing;
            }
            return true;
        }
        texts.append(text);
        // The width is in characters. Text that has no more bytes than that has no more characters either.
        self.is_kept = text.len() > width && text.chars().count() > width;
        !self.is_kept
    }

    /// Appends a number in JSON syntax, which may have been in quotes.
    fn append_number(&mut self, text: &str) -> bool {
        match &mut self.values {
            Values::Int(numbers) => {
                if let Some(value) = parse_integer(text).and_then(|value| i32::try_from(value).ok()) {
                    numbers.append(value);
                    return true;
                }
            }
            Values::Bigint(numbers) => {
                if let Some(value) = parse_integer(text) {
                    numbers.append(value);
                    return true;
                }
            }
            Values::Double(numbers) => {
                if let Some(value) = parse_double(text) {
                    numbers.append(value);
                    return true;
                }
            }
            Values::String(..) => {
                if text.bytes().all(|b| b.is_ascii_digit())
                    || parse_integer(text).is_some_and(|n| n.to_string() == text)
                {
                    return self.append_text(text);
                }
            }
        }
        self.misfit()
    }

    /// Appends an integer. Returns `false` if it does not fit; in that case a null is appended.
    #[inline]
    pub(crate) fn append_i64(&mut self, value: i64) -> bool {
        match &mut self.values {
            Values::Int(numbers) => match i32::try_from(value) {
                Ok(value) => {
                    numbers.append(value);
                    true
                }
                Err(_) => self.misfit(),
            },
            Values::Bigint(numbers) => {
                numbers.append(value);
                true
            }
            _ => self.append_integer_elsewhere(value),
        }
    }

    /// Appends a number with a fraction and at most 15 digits before the decimal point. In a column that does not hold
    /// doubles, appends a null and returns `false`; the exact pass then decides whether the number fits.
    pub(crate) fn append_decimal(&mut self, text: &str) -> bool {
        match (&mut self.values, text.parse()) {
            (Values::Double(numbers), Ok(value)) => {
                numbers.append(value);
                true
            }
            _ => self.misfit(),
        }
    }

    /// Appends a double that serde has parsed. Returns `false` if it does not fit; in that case a null is appended.
    pub(super) fn append_f64(&mut self, value: f64) -> bool {
        match &mut self.values {
            // From 2^53 on, the double may only approximate an integer in the JSON text.
            #[expect(clippy::cast_precision_loss, reason = "the bound itself is exact")]
            Values::Double(numbers) if value.abs() < EXACT_IN_F64 as f64 => {
                numbers.append(value);
                true
            }
            _ => self.misfit(),
        }
    }

    /// Appends an integer to a column of doubles or text, or a null if it does not fit. This is a separate function to
    /// keep the common case short.
    #[cold]
    fn append_integer_elsewhere(&mut self, value: i64) -> bool {
        match &mut self.values {
            #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, and refused above")]
            Values::Double(numbers) if value.unsigned_abs() <= EXACT_IN_F64 => {
                numbers.append(value as f64);
                true
            }
            Values::String(..) => self.append_text(&value.to_string()),
            _ => self.misfit(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::numbers::parse_integral;
    use arrow_array::Array;
    use arrow_array::cast::AsArray;

    fn column(kind: ColumnKind, width: Option<u8>) -> Column {
        Column { width, ..Column::new("c", kind) }
    }

    /// Appends `json` in both ways and returns the result of the exact one. Both must agree if the direct one accepts.
    fn fit(kind: ColumnKind, width: Option<u8>, json: &str) -> (bool, ArrayRef) {
        let mut direct = ColumnBuilder::new(&column(kind, width));
        let mut exact = ColumnBuilder::new(&column(kind, width));
        let fits = exact.append_raw(serde_json::from_str::<&RawValue>(json).unwrap()) == Fit::Exact;
        let array = exact.finish().unwrap();
        if let Ok(true) = direct.append_from(&mut serde_json::Deserializer::from_str(json)) {
            assert!(fits, "{json}");
            assert_eq!(&direct.finish().unwrap(), &array, "{json}");
        }
        (fits, array)
    }

    #[test]
    fn a30_an_integer_is_exact_or_does_not_fit() {
        for (json, expected) in [
            ("29", Some(29)),
            ("-2", Some(-2)),
            ("\"29\"", Some(29)),
            ("\"-2.000\"", Some(-2)),
            ("29.0", Some(29)),
            ("2147483647", Some(2_147_483_647)),
            ("2147483648", None),
            ("-2147483649", None),
            ("\"007\"", None),
            ("\"1,234\"", None),
            ("\"+5\"", None),
            ("\"\"", None),
            ("\" 5\"", None),
            ("2.5", None),
            ("1e3", None),
            ("29.00000000000000000001", None),
            ("true", None),
            ("[1]", None),
            ("{\"a\":1}", None),
            ("18446744073709551616", None),
        ] {
            let (fits, array) = fit(ColumnKind::Int, None, json);
            assert_eq!(fits, expected.is_some(), "{json}");
            let values = array.as_primitive::<Int32Type>();
            assert_eq!(values.is_valid(0).then(|| values.value(0)), expected, "{json}");
        }
    }

    #[test]
    fn a30_large_integers_are_never_converted_through_a_float() {
        for (json, expected) in [
            ("9007199254740993", Some(9_007_199_254_740_993)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("-9223372036854775808", Some(i64::MIN)),
            ("\"9007199254740993\"", Some(9_007_199_254_740_993)),
            ("9007199254740993.0", Some(9_007_199_254_740_993)),
        ] {
            let (fits, array) = fit(ColumnKind::Bigint, None, json);
            assert_eq!(fits, expected.is_some(), "{json}");
            let values = array.as_primitive::<Int64Type>();
            assert_eq!(values.is_valid(0).then(|| values.value(0)), expected, "{json}");
        }
    }

    #[test]
    fn a_double_is_finite_and_represents_integers_exactly() {
        for (json, expected) in [
            ("38.892", Some(38.892)),
            ("\"0.000\"", Some(0.0)),
            ("46", Some(46.0)),
            ("1e3", Some(1000.0)),
            ("\"1e400\"", None),
            ("1e400", None),
            ("9007199254740993", None),
            ("9007199254740993.0", None),
            ("\"-9007199254740993.00\"", None),
            ("9007199254740992", Some(9_007_199_254_740_992.0)),
            ("9007199254740992.0", Some(9_007_199_254_740_992.0)),
            ("170141183460469231731687303715884105727", None),
            ("1234567890123456789012345678901234567890", None),
            ("-0.0", Some(0.0)),
            ("\"NaN\"", None),
            ("\"inf\"", None),
            ("\" 1\"", None),
        ] {
            let (fits, array) = fit(ColumnKind::Double, None, json);
            assert_eq!(fits, expected.is_some(), "{json}");
            let values = array.as_primitive::<Float64Type>();
            assert_eq!(values.is_valid(0).then(|| values.value(0)), expected, "{json}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_way_of_reading_a_decimal_gives_the_nearest_double(value in proptest::num::f64::NORMAL, digits in 1..20_usize) {
            // The expected value comes from the standard library's parser, which rounds to the nearest double.
            let texts = [format!("{value:e}"), format!("{:.digits$}", value % 1000.0)];
            for json in texts {
                let (fits, array) = fit(ColumnKind::Double, None, &json);
                let nearest: f64 = json.parse().unwrap();
                proptest::prop_assert!(fits);
                proptest::prop_assert_eq!(array.as_primitive::<Float64Type>().value(0).to_bits(), nearest.to_bits());
            }
        }
    }

    #[test]
    fn an_integer_is_parsed_from_all_its_spellings_and_from_no_other_number() {
        for (text, expected) in [
            ("2021", Some(2021)),
            ("2021.00", Some(2021)),
            ("2.021e3", Some(2021)),
            ("2.021E+3", Some(2021)),
            ("20210e-1", Some(2021)),
            ("202100.00e-2", Some(2021)),
            ("-1.0e0", Some(-1)),
            ("0e999999999999", Some(0)),
            ("-0.0e5", Some(0)),
            ("9223372036854775807e0", Some(i64::MAX)),
            ("2021.0000000000000000000001", None),
            ("2.0215e3", None),
            ("1e19", None),
            ("1e999999999999999999999", None),
            ("02.021e3", None),
            ("2.e3", None),
            ("e3", None),
            ("2e", None),
            ("2e3e1", None),
            (" 2021", None),
            ("+2021", None),
            ("", None),
        ] {
            assert_eq!(parse_integral(text), expected, "{text}");
        }
    }

    /// Found by use: H12.
    #[test]
    fn a41_text_longer_than_its_width_does_not_fit_and_is_kept_unchanged() {
        for (json, expected, fits) in [
            ("\"12345678\"", "12345678", Fit::Kept),
            ("12345678", "12345678", Fit::Kept),
            ("-1234567", "-1234567", Fit::Kept),
            ("\"0803990-1\"", "0803990-1", Fit::Kept),
            ("\"caf\u{e9}bar\"", "caf\u{e9}bar", Fit::Exact),
            ("\"caf\u{e9}bars\"", "caf\u{e9}bars", Fit::Kept),
            ("\"1234567\"", "1234567", Fit::Exact),
        ] {
            let mut exact = ColumnBuilder::new(&column(ColumnKind::String, Some(7)));
            let mut direct = ColumnBuilder::new(&column(ColumnKind::String, Some(7)));
            assert_eq!(exact.append_raw(serde_json::from_str::<&RawValue>(json).unwrap()), fits, "{json}");
            let is_accepted = direct.append_from(&mut serde_json::Deserializer::from_str(json)).unwrap();
            assert_eq!(is_accepted, fits == Fit::Exact, "{json}");
            assert_eq!(exact.finish().unwrap().as_string::<i32>().value(0), expected);
        }
    }

    #[test]
    fn text_of_digits_is_padded_and_other_text_is_unchanged() {
        for (json, expected) in [
            ("\"100002\"", Some("0100002")),
            ("\"0803990\"", Some("0803990")),
            ("\"A12\"", Some("A12")),
            ("\"\"", Some("")),
            ("803990", Some("0803990")),
            ("-1", Some("-1")),
            ("\"caf\\u00e9\"", Some("café")),
            ("2.5", None),
            ("true", None),
            ("null", None),
        ] {
            let (fits, array) = fit(ColumnKind::String, Some(7), json);
            assert_eq!(fits, expected.is_some() || json == "null", "{json}");
            let values = array.as_string::<i32>();
            assert_eq!(values.is_valid(0).then(|| values.value(0)), expected, "{json}");
        }
    }
}
