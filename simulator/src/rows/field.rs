//! One field of a row, as JSON.

use crate::rows::value::{Decimals, Row, Value, pick, push_signed};
use crate::sample::hash::mix;

/// Per mille of values that are null, and of those that are null or a code for a missing value.
const NULL: u64 = 20;
const NULL_OR_CODE: u64 = 50;

/// One field.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    /// The name in JSON with its colon.
    json_name: Vec<u8>,
    salt: u64,
    value: Value,
    /// For a column of text: the length to which digits are padded; 0 for none.
    text_width: Option<usize>,
    /// Codes for missing values; `None` if the field always has a value.
    missing: Option<Vec<i64>>,
    is_first_of_key: bool,
}

impl Field {
    /// Creates a field that has a value in every row.
    pub(super) fn new(name: &str, value: Value) -> Field {
        let json_name = format!("{}:", serde_json::Value::from(name)).into_bytes();
        let salt = salt(name);
        let text_width = value.is_text().then_some(0);
        Field { name: name.to_owned(), json_name, salt, value, text_width, missing: None, is_first_of_key: false }
    }

    /// Writes the value as text, padded to `width` digits.
    pub(super) fn in_text(self, width: usize) -> Field {
        Field { text_width: Some(width), ..self }
    }

    /// Replaces some values with null or one of `codes`.
    pub(super) fn sometimes_missing(self, codes: Vec<i64>) -> Field {
        Field { missing: Some(codes), ..self }
    }

    /// Makes this the field that is empty in a row that lacks its key.
    pub(super) fn first_of_key(self) -> Field {
        Field { is_first_of_key: true, ..self }
    }

    /// Appends name and value.
    pub(super) fn push(&self, row: Row, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.json_name);
        self.push_value(row, into);
    }

    /// Appends the value.
    pub(super) fn push_value(&self, row: Row, into: &mut Vec<u8>) {
        if row.lacks_key && self.is_first_of_key {
            into.extend_from_slice(if self.text_width.is_some() { b"\"\"" } else { b"null" });
            return;
        }
        let hash = mix(row.seed, self.salt);
        let code = match (&self.missing, hash % 1000) {
            (Some(_), 0..NULL) => {
                into.extend_from_slice(b"null");
                return;
            }
            (Some(codes), NULL..NULL_OR_CODE) => pick(codes, hash >> 32),
            _ => None,
        };
        let Some(width) = self.text_width else {
            self.push_digits(row, hash, code, into);
            return;
        };
        into.push(b'"');
        let start = into.len();
        self.push_digits(row, hash, code, into);
        if width > 0 && code.is_none() {
            fit(into, start, width);
        }
        into.push(b'"');
    }

    fn push_digits(&self, row: Row, hash: u64, code: Option<i64>, into: &mut Vec<u8>) {
        let Some(code) = code else {
            return self.value.push(row, hash, into);
        };
        push_signed(code, into);
        match &self.value {
            Value::Decimal { decimals: Decimals::ThreeInText, .. } => into.extend_from_slice(b".000"),
            Value::Decimal { .. } | Value::Degrees { .. } => into.extend_from_slice(b".0"),
            _ => {}
        }
    }
}

/// Pads the digits after `start` with leading zeros to `width`, or drops the first ones.
fn fit(text: &mut Vec<u8>, start: usize, width: usize) {
    let n_digits = text.len() - start;
    if n_digits > width {
        text.drain(start..start + n_digits - width);
        return;
    }
    text.resize(start + width, b'0');
    if let Some(digits) = text.get_mut(start..) {
        digits.rotate_right(width - n_digits);
    }
}

/// Hashes a name. Source: FNV-1a (Fowler, Noll, Vo).
pub(super) fn salt(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_padded_or_shortened_to_the_width() {
        for (digits, width, expected) in [("7", 3, "007"), ("1234", 3, "234"), ("123", 3, "123"), ("", 2, "00")] {
            let mut text = format!("x{digits}").into_bytes();
            fit(&mut text, 1, width);
            assert_eq!(String::from_utf8(text).unwrap(), format!("x{expected}"));
        }
    }
}
