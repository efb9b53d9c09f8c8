//! Packs row keys into integers that sort in the same order as the keys.
//!
//! Text made of digits is packed as a number, and an integer as its 32 or 64 bits. A key of `ncessch` fits into 64
//! bits, and a key of `ncessch`, `race` and `sex` into 128. In a wider key, columns of codes take 9 bits each. A key that
//! cannot be packed is represented by its hash.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, Int32Array, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow_schema::ArrowError;
use arrow_select::take::take_record_batch;

use crate::dataset::lists::is_of_measure;
use crate::dataset::{ColumnKind, Dataset};

/// Set in the hash of a key that cannot be packed. Packed keys are below this value.
const HASHED: u128 = 1 << MAX_BITS;
/// Maximum number of bits of a packed key.
const MAX_BITS: u32 = 127;
/// Maximum number of digits in a string that can be packed.
const MAX_DIGITS: usize = 18;

/// Number of bits of a code in a key that would otherwise be wider than 127 bits.
const CODE_BITS: u32 = 9;
/// The codes that fit into them.
const CODES: std::ops::RangeInclusive<i64> = -256..=255;

/// How one key column is packed.
#[derive(Debug, Clone)]
struct Part {
    name: String,
    column: usize,
    kind: ColumnKind,
    /// Declared width of text made of digits.
    width: usize,
    n_bits: u32,
    /// Whether all codes of the column's list are in [`CODES`].
    has_small_codes: bool,
}

/// Packs the keys of a dataset's rows into integers that sort like the keys, column by column.
#[derive(Debug, Clone)]
pub(crate) struct Packer {
    parts: Vec<Part>,
    /// Whether a packed key fits into 64 bits.
    is_narrow: bool,
}

/// A null or an empty text in a key column.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MissingKey {
    pub(crate) column: usize,
    /// Row in the batch, 0-based.
    pub(crate) row: usize,
    /// The value as JSON.
    pub(crate) found: &'static str,
}

impl Packer {
    pub(crate) fn new(dataset: &Dataset) -> Self {
        let mut parts: Vec<Part> = dataset
            .key
            .iter()
            .filter_map(|name| {
                let column = dataset.columns.iter().position(|column| column.name == *name)?;
                let declared = dataset.columns.get(column)?;
                let width = usize::from(declared.width.unwrap_or(0));
                let n_bits = match declared.kind {
                    ColumnKind::Int => 32,
                    ColumnKind::Bigint | ColumnKind::Double => 64,
                    // 10^width - 1 fits into this many bits; wider text is hashed.
                    ColumnKind::String => {
                        64 - 10_u64.checked_pow(width.min(MAX_DIGITS) as u32).unwrap_or(1).leading_zeros()
                    }
                };
                let codes = declared.codes.as_ref().and_then(|list| dataset.list(list));
                let has_small_codes = declared.kind == ColumnKind::Int
                    && codes
                        .is_some_and(|codes| !is_of_measure(&codes) && codes.keys().all(|code| CODES.contains(code)));
                Some(Part { name: name.clone(), column, kind: declared.kind, width, n_bits, has_small_codes })
            })
            .collect();
        let n_bits = |parts: &[Part]| parts.iter().map(|part| part.n_bits).sum::<u32>();
        if n_bits(&parts) > MAX_BITS {
            parts.iter_mut().filter(|part| part.has_small_codes).for_each(|part| part.n_bits = CODE_BITS);
        }
        let n_bits = n_bits(&parts);
        Self { parts, is_narrow: n_bits <= 64 }
    }

    /// Checks that every row has a key.
    ///
    /// # Errors
    /// Returns the first null or empty text in a key column.
    pub(crate) fn check(&self, batch: &RecordBatch) -> Result<(), MissingKey> {
        for part in &self.parts {
            let array = batch.column(part.column);
            if array.null_count() > 0
                && let Some(row) = (0..array.len()).find(|row| array.is_null(*row))
            {
                return Err(MissingKey { column: part.column, row, found: "null" });
            }
            if part.kind == ColumnKind::String {
                // Two consecutive equal offsets mean an empty text.
                let offsets = array.as_string::<i32>().value_offsets();
                if let Some(row) = offsets.iter().zip(offsets.iter().skip(1)).position(|(start, end)| start == end) {
                    return Err(MissingKey { column: part.column, row, found: "\"\"" });
                }
            }
        }
        Ok(())
    }

    /// Returns, for each row, whether a key column is null or an empty text.
    pub(crate) fn empty_keys(&self, batch: &RecordBatch) -> Vec<bool> {
        let is_empty = |row: usize| {
            self.parts.iter().any(|part| {
                let array = batch.column(part.column);
                array.is_null(row)
                    || (part.kind == ColumnKind::String && array.as_string::<i32>().value(row).is_empty())
            })
        };
        (0..batch.num_rows()).map(is_empty).collect()
    }

    /// Returns the key of every row, in row order; `None` for a key that cannot be packed.
    pub(crate) fn pack<'b>(&self, batch: &'b RecordBatch) -> impl Iterator<Item = Option<u128>> + use<'b> {
        let views: Vec<(View<'b>, u32)> = self.parts.iter().map(|part| (part.view(batch), part.n_bits)).collect();
        let is_narrow = self.is_narrow;
        (0..batch.num_rows())
            .map(move |row| if is_narrow { pack_narrow(&views, row).map(u128::from) } else { pack_wide(&views, row) })
    }

    /// Sorts the rows by key. If any key cannot be packed, returns the rows in their original order, because sorting by
    /// hashes would separate related rows.
    ///
    /// # Errors
    /// Returns the errors of Arrow's `take` kernel.
    pub(crate) fn sort(&self, batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
        let packed: Option<Vec<u128>> = self.pack(&batch).collect();
        let Some(keys) = packed.filter(|keys| !keys.is_sorted()) else { return Ok(batch) };
        let mut order: Vec<(u128, u32)> = keys.into_iter().zip(0..).collect();
        // Rows with equal keys keep their order, because the row number is compared second.
        order.sort_unstable();
        let order = UInt32Array::from_iter_values(order.into_iter().map(|(_, row)| row));
        take_record_batch(&batch, &order)
    }

    /// Formats a packed key for a message.
    pub(crate) fn describe(&self, mut key: u128) -> String {
        if key & HASHED != 0 {
            let names: Vec<&str> = self.parts.iter().map(|part| part.name.as_str()).collect();
            return format!("a value of {}", names.join(", "));
        }
        let mut words = Vec::new();
        for part in self.parts.iter().rev() {
            let value = (key & ((1_u128 << part.n_bits) - 1)) as u64;
            key >>= part.n_bits;
            words.push(format!("{} {}", part.name, part.unpack(value)));
        }
        words.reverse();
        format!("`{}`", words.join(", "))
    }

    /// Returns the hash that represents a key that cannot be packed.
    pub(crate) fn hash(&self, batch: &RecordBatch, row: usize) -> u128 {
        let mut bytes = Vec::new();
        for part in &self.parts {
            let text = part.text(batch, row);
            bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        twox_hash::XxHash3_128::oneshot(&bytes) | HASHED
    }
}

/// A key column of one batch, ready for packing.
enum View<'b> {
    Int(&'b Int32Array),
    Code(&'b Int32Array),
    Bigint(&'b Int64Array),
    Digits(&'b StringArray, usize),
    Unpackable,
}

impl View<'_> {
    /// Returns the value as a number that sorts like the column; `None` if the value cannot be packed. A null is packed as
    /// what its slot holds, 0 or an empty text: only rows of a dataset that keeps empty keys have one, and they are not
    /// compared.
    fn pack(&self, row: usize) -> Option<u64> {
        match self {
            Self::Int(array) => Some(u64::from((array.value(row) as u32) ^ (1 << 31))),
            Self::Code(array) => {
                let code = i64::from(array.value(row));
                CODES.contains(&code).then(|| (code - CODES.start()) as u64)
            }
            Self::Bigint(array) => Some((array.value(row) as u64) ^ (1 << 63)),
            Self::Digits(array, width) => {
                let text = array.value(row).as_bytes();
                if text.len() != *width {
                    return None;
                }
                text.iter().try_fold(0_u64, |number, byte| {
                    let digit = byte.wrapping_sub(b'0');
                    (digit < 10).then(|| number * 10 + u64::from(digit))
                })
            }
            Self::Unpackable => None,
        }
    }
}

/// Packs a key of at most 64 bits.
fn pack_narrow(views: &[(View<'_>, u32)], row: usize) -> Option<u64> {
    views.iter().try_fold(0_u64, |key, (view, n_bits)| Some(key.unbounded_shl(*n_bits) | view.pack(row)?))
}

/// Packs a key of at most 127 bits; `None` for a wider one.
fn pack_wide(views: &[(View<'_>, u32)], row: usize) -> Option<u128> {
    if views.iter().map(|(_, n_bits)| n_bits).sum::<u32>() > MAX_BITS {
        return None;
    }
    views.iter().try_fold(0_u128, |key, (view, n_bits)| Some((key << n_bits) | u128::from(view.pack(row)?)))
}

impl Part {
    fn view<'b>(&self, batch: &'b RecordBatch) -> View<'b> {
        let array = batch.column(self.column);
        match self.kind {
            ColumnKind::Int if self.n_bits == CODE_BITS => View::Code(array.as_primitive()),
            ColumnKind::Int => View::Int(array.as_primitive()),
            ColumnKind::Bigint => View::Bigint(array.as_primitive()),
            ColumnKind::String if self.width <= MAX_DIGITS => View::Digits(array.as_string(), self.width),
            ColumnKind::String | ColumnKind::Double => View::Unpackable,
        }
    }

    fn unpack(&self, value: u64) -> String {
        match self.kind {
            ColumnKind::Int if self.n_bits == CODE_BITS => (value as i64 + CODES.start()).to_string(),
            ColumnKind::Int => (((value as u32) ^ (1 << 31)) as i32).to_string(),
            ColumnKind::Bigint => ((value ^ (1 << 63)) as i64).to_string(),
            ColumnKind::String | ColumnKind::Double => format!("{value:0width$}", width = self.width),
        }
    }

    fn text(&self, batch: &RecordBatch, row: usize) -> String {
        let array = batch.column(self.column);
        match self.kind {
            ColumnKind::Int => array.as_primitive::<Int32Type>().value(row).to_string(),
            ColumnKind::Bigint => array.as_primitive::<Int64Type>().value(row).to_string(),
            ColumnKind::String => array.as_string::<i32>().value(row).to_owned(),
            ColumnKind::Double => String::new(),
        }
    }
}
