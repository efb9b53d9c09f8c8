//! Hashes rows in canonical form: for the digest of a partition and the fingerprint of a page.

use std::hash::Hasher;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow_buffer::NullBuffer;
use arrow_schema::DataType;

use crate::file::edition::Digest;

/// Adds every row to the digest, in canonical form. Each column, in file order, contributes a byte that is 0 for null
/// and 1 otherwise, then the value as little-endian bytes; text is preceded by its length.
pub(crate) fn digest_rows(batch: &RecordBatch, digest: &mut Digest, row: &mut Vec<u8>) {
    let columns: Vec<Values<'_>> = batch.columns().iter().map(Values::from_array).collect();
    for i in 0..batch.num_rows() {
        row.clear();
        for column in &columns {
            column.write_canonical(i, row);
        }
        digest.add_row(row);
    }
}

/// Returns a hash of the rows that depends on their order.
pub(crate) fn fingerprint(batch: &RecordBatch) -> u64 {
    let columns: Vec<Values<'_>> = batch.columns().iter().map(Values::from_array).collect();
    let mut hasher = twox_hash::XxHash3_64::new();
    let mut row = Vec::with_capacity(128);
    for i in 0..batch.num_rows() {
        row.clear();
        for column in &columns {
            column.write_canonical(i, &mut row);
        }
        hasher.write(&row);
    }
    hasher.finish()
}

/// A column's values as slices, because Arrow arrays check each index twice.
enum Values<'a> {
    Int(&'a [i32], Option<&'a NullBuffer>),
    Bigint(&'a [i64], Option<&'a NullBuffer>),
    Double(&'a [f64], Option<&'a NullBuffer>),
    String(&'a StringArray),
    Null,
}

impl<'a> Values<'a> {
    fn from_array(array: &'a ArrayRef) -> Self {
        if array.null_count() == array.len() {
            return Self::Null;
        }
        let nulls = array.nulls();
        match array.data_type() {
            DataType::Int32 => Self::Int(array.as_primitive::<Int32Type>().values(), nulls),
            DataType::Int64 => Self::Bigint(array.as_primitive::<Int64Type>().values(), nulls),
            DataType::Float64 => Self::Double(array.as_primitive::<Float64Type>().values(), nulls),
            _ => Self::String(array.as_string::<i32>()),
        }
    }

    #[inline]
    fn write_canonical(&self, i: usize, row: &mut Vec<u8>) {
        match self {
            Self::Int(values, nulls) => write_number(values.get(i).map(|value| value.to_le_bytes()), *nulls, i, row),
            Self::Bigint(values, nulls) => write_number(values.get(i).map(|value| value.to_le_bytes()), *nulls, i, row),
            Self::Double(values, nulls) => {
                write_number(values.get(i).map(|value| value.to_bits().to_le_bytes()), *nulls, i, row);
            }
            Self::String(values) if values.is_valid(i) => write_text(values, i, row),
            Self::String(_) | Self::Null => row.push(0),
        }
    }
}

#[inline]
fn write_text(values: &StringArray, i: usize, row: &mut Vec<u8>) {
    /// Maximum length in bytes of a text that is copied as a whole block; most are no longer.
    const SHORT: usize = 16;
    let text = values.value(i).as_bytes();
    let [a, b, c, d] = (text.len() as u32).to_le_bytes();
    row.extend_from_slice(&[1, a, b, c, d]);
    // Copying a constant number of bytes and removing some of them is faster than a call that copies a few.
    let start = values.value_offsets().get(i).map_or(0, |start| *start as usize);
    match values.value_data().get(start..).and_then(<[u8]>::first_chunk::<SHORT>) {
        Some(block) if text.len() <= SHORT => {
            let n_bytes = row.len() + text.len();
            row.extend_from_slice(block);
            row.truncate(n_bytes);
        }
        _ => row.extend_from_slice(text),
    }
}

#[inline]
fn write_number<const N: usize>(value: Option<[u8; N]>, nulls: Option<&NullBuffer>, i: usize, row: &mut Vec<u8>) {
    match value {
        Some(value) if nulls.is_none_or(|nulls| nulls.is_valid(i)) => {
            row.push(1);
            row.extend_from_slice(&value);
        }
        _ => row.push(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Float64Array, Int32Array, Int64Array};
    use arrow_schema::{Field, Schema};
    use std::sync::Arc;

    #[test]
    fn a_canonical_row_has_every_value_in_the_bytes_of_its_type() {
        let columns: [ArrayRef; 5] = [
            Arc::new(Int32Array::from(vec![1])),
            Arc::new(Int64Array::from(vec![-1])),
            Arc::new(Float64Array::from(vec![0.5])),
            Arc::new(StringArray::from(vec!["ab"])),
            Arc::new(Float64Array::from(vec![None])),
        ];
        let fields: Vec<Field> =
            columns.iter().map(|column| Field::new("c", column.data_type().clone(), true)).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.to_vec()).unwrap();
        let mut row = Vec::new();
        digest_rows(&batch, &mut Digest::default(), &mut row);
        let expected = [
            &[1, 1, 0, 0, 0][..],
            &[1, 255, 255, 255, 255, 255, 255, 255, 255],
            &[1, 0, 0, 0, 0, 0, 0, 0xe0, 0x3f],
            &[1, 2, 0, 0, 0, b'a', b'b'],
            &[0],
        ];
        assert_eq!(row, expected.concat());
    }

    #[test]
    fn nulls_and_texts_of_any_length_are_written_whole_wherever_they_are() {
        let long = "x".repeat(40);
        let texts: Vec<Option<&str>> =
            [0, 1, 15, 16, 17, 40, 3].iter().map(|length| Some(&long[..*length])).chain([None, Some("é")]).collect();
        let numbers: Vec<Option<i64>> = (0..9).map(|i| (i % 3 != 0).then_some(i)).collect();
        let columns: [ArrayRef; 2] =
            [Arc::new(StringArray::from(texts.clone())), Arc::new(Int64Array::from(numbers.clone()))];
        let fields: Vec<Field> =
            columns.iter().map(|column| Field::new("c", column.data_type().clone(), true)).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.to_vec()).unwrap();
        let canonical = |text: Option<&str>, number: Option<i64>| {
            let text = text.map(|text| [&[1], &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat());
            let number = number.map(|number| [&[1], &number.to_le_bytes()[..]].concat());
            [text.unwrap_or(vec![0]), number.unwrap_or(vec![0])].concat()
        };
        let expected: Vec<Vec<u8>> =
            texts.iter().zip(&numbers).map(|(text, number)| canonical(*text, *number)).collect();
        for first in 0..9 {
            // A slice has another offset, and its last row may end the buffer.
            for length in 1..=9 - first {
                let mut digest = Digest::default();
                digest_rows(&batch.slice(first, length), &mut digest, &mut Vec::new());
                let mut sum = Digest::default();
                expected[first..first + length].iter().for_each(|row| sum.add_row(row));
                assert_eq!(digest, sum, "{length} rows from {first}");
            }
        }
    }
}
