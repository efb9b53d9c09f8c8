//! The values of one column: how they follow from a row.

use std::io::Write as _;

use crate::json::push_number;
use crate::rows::entity::{Entity, Id};
use crate::rows::words::Words;
use crate::sample::hash::mix;

/// What all values of a row follow from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) seed: u64,
    pub(super) entity: Entity,
    /// Combination of the codes of the key's dimensions.
    pub(super) combination: u64,
    pub(super) year: i64,
    /// Whether the first column of the key is empty.
    pub(super) lacks_key: bool,
}

/// The values of one column.
#[derive(Debug)]
pub(super) enum Value {
    /// JSON that is the same in every row.
    Constant(String),
    Id(Id),
    /// A code of the key: each of them once in `divisor * codes.len()` combinations.
    KeyCode {
        codes: Vec<i64>,
        divisor: u64,
    },
    Code(Vec<i64>),
    Count {
        limit: u64,
    },
    /// The students of a given district, or null.
    Students,
    Decimal {
        decimals: Decimals,
        limit: u64,
    },
    /// Degrees north, or west with a minus sign.
    Degrees {
        is_west: bool,
    },
    /// A year up to that of the partition.
    Year,
    Digits {
        n: usize,
    },
    /// The digits of another column, padded, then `n_more` others.
    Extended {
        base: Box<Value>,
        n_base: usize,
        n_more: usize,
    },
    Words(Words),
}

/// How the portal writes a number with decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decimals {
    /// `28.0`.
    One,
    /// `28.98`.
    Two,
    /// `28.000`, as text.
    ThreeInText,
}

impl Value {
    /// Appends digits or words, without quotes.
    ///
    /// - `hash`: hash of the row and the column.
    pub(super) fn push(&self, row: Row, hash: u64, into: &mut Vec<u8>) {
        match self {
            Value::Constant(json) => into.extend_from_slice(json.as_bytes()),
            Value::Id(id) => push_number(id.number(row.entity), into),
            Value::KeyCode { codes, divisor } => {
                let place = row.combination / divisor % codes.len().max(1) as u64;
                push_signed(codes.get(place as usize).copied().unwrap_or_default(), into);
            }
            Value::Code(codes) => push_signed(pick(codes, hash >> 16).unwrap_or_default(), into),
            Value::Count { limit } => push_number((hash >> 16) % limit, into),
            Value::Students => match row.entity.students {
                Some(students) => push_number(students, into),
                None => into.extend_from_slice(b"null"),
            },
            Value::Decimal { decimals, limit } => push_decimal((hash >> 16) % limit, hash, *decimals, into),
            Value::Degrees { is_west: false } => push_decimal(25 + (hash >> 16) % 23, hash, Decimals::Two, into),
            Value::Degrees { is_west: true } => {
                into.push(b'-');
                push_decimal(70 + (hash >> 16) % 50, hash, Decimals::Two, into);
            }
            Value::Year => push_signed(row.year - ((hash >> 16) % 8) as i64, into),
            Value::Digits { n } => push_padded(hash >> 10, *n, into),
            Value::Extended { base, n_base, n_more } => {
                let mut digits = Vec::with_capacity(20);
                base.push(row, hash, &mut digits);
                into.extend(std::iter::repeat_n(b'0', n_base.saturating_sub(digits.len())));
                into.append(&mut digits);
                push_padded(mix(hash, 1), *n_more, into);
            }
            Value::Words(words) => words.push(row.entity, row.year, hash >> 16, into),
        }
    }

    /// Checks whether the value is written with quotes, whatever the type of its column.
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Value::Words(_) | Value::Decimal { decimals: Decimals::ThreeInText, .. })
    }
}

/// Returns a code chosen by a hash; `None` if there is none.
pub(super) fn pick(codes: &[i64], hash: u64) -> Option<i64> {
    codes.get((hash % codes.len().max(1) as u64) as usize).copied()
}

/// Appends `number` in decimal.
pub(super) fn push_signed(number: i64, into: &mut Vec<u8>) {
    if number < 0 {
        into.push(b'-');
    }
    push_number(number.unsigned_abs(), into);
}

/// Appends the last `n` digits of `number`, with leading zeros.
fn push_padded(number: u64, n: usize, into: &mut Vec<u8>) {
    let start = into.len();
    into.resize(start + n, b'0');
    let mut rest = number;
    for place in into.iter_mut().skip(start).rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

fn push_decimal(whole: u64, hash: u64, decimals: Decimals, into: &mut Vec<u8>) {
    let fraction = hash >> 48;
    // Writing to a `Vec` does not fail.
    let _ = match decimals {
        Decimals::One => write!(into, "{whole}.{}", fraction % 10),
        // Half of the numbers are whole, and none ends in a zero that a JSON writer would omit.
        Decimals::Two if fraction.is_multiple_of(2) => write!(into, "{whole}.0"),
        Decimals::Two => write!(into, "{whole}.{}{}", fraction / 2 % 10, 1 + fraction / 20 % 9),
        Decimals::ThreeInText => write!(into, "{whole}.{}00", fraction % 2 * 5),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Section;
    use crate::rows::entity::Entities;
    use crate::sample::Sample;

    fn text(value: &Value, hash: u64) -> String {
        let entity = Entities::new(&Sample::new(60), Section::Districts, 1).get(0);
        let row = Row { seed: 0, entity, combination: 7, year: 2015, lacks_key: false };
        let mut text = Vec::new();
        value.push(row, hash, &mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn codes_of_the_key_follow_from_the_combination() {
        assert_eq!(text(&Value::KeyCode { codes: vec![99, -1, 2], divisor: 1 }, 0), "-1");
        assert_eq!(text(&Value::KeyCode { codes: vec![99, 1], divisor: 3 }, 0), "99");
    }

    #[test]
    fn decimals_are_written_in_the_ways_of_the_portal() {
        let write = |decimals| text(&Value::Decimal { decimals, limit: 50 }, 3 << 48 | 28 << 16);
        assert_eq!(write(Decimals::One), "16.3");
        assert_eq!(write(Decimals::Two), "16.11");
        assert_eq!(write(Decimals::ThreeInText), "16.500");
    }

    #[test]
    fn an_extended_value_starts_with_its_padded_base() {
        let base = Box::new(Value::Id(Id::State));
        let value = text(&Value::Extended { base, n_base: 2, n_more: 3 }, 5);
        assert_eq!((&value[..2], value.len()), ("01", 5));
    }
}
