//! Checks that no key comes twice, on keys packed into integers.
//!
//! Digits become a number and integers their 32 or 64 bits, so that a key of `ncessch` fits 64 bits and one of
//! `ncessch`, `race` and `sex` fits 128. Keys that ascend, as the portal serves them, are proved different by one
//! comparison each; otherwise they are sorted once at the end. A key that cannot be packed is taken by its hash.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, Int32Array, Int64Array, RecordBatch, StringArray};

use crate::dataset::{ColumnKind, Dataset};

/// Marks a key taken by its hash; packed keys stay below.
const HASHED: u128 = 1 << 127;
/// Digits of the widest text that is packed.
const MOST_DIGITS: usize = 18;

/// How one key column is packed.
#[derive(Debug, Clone)]
struct Part {
    name: String,
    column: usize,
    kind: ColumnKind,
    /// Characters of a text of digits.
    width: usize,
    n_bits: u32,
}

/// Every key of a partition so far.
#[derive(Debug)]
pub(crate) struct KeySet {
    parts: Vec<Part>,
    keys: Keys,
    is_ascending: bool,
}

#[derive(Debug)]
enum Keys {
    Narrow(Vec<u64>),
    Wide(Vec<u128>),
}

/// A key found more than once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Repeated {
    /// One such key, as `column value` pairs.
    pub(crate) key: String,
    /// Rows whose key was there before.
    pub(crate) n_rows: u64,
}

/// A null or an empty text in a key column: the column, the row (from 0) of the batch, and the value as JSON.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoKey {
    pub(crate) column: usize,
    pub(crate) row: usize,
    pub(crate) found: &'static str,
}

impl KeySet {
    /// An empty set with room for `n_rows` keys of `dataset`.
    pub(crate) fn new(dataset: &Dataset, n_rows: usize) -> Self {
        let parts: Vec<Part> = dataset
            .key
            .iter()
            .filter_map(|name| {
                let column = dataset.columns.iter().position(|column| column.name == *name)?;
                let declared = dataset.columns.get(column)?;
                let width = usize::from(declared.width.unwrap_or(0));
                let n_bits = match declared.kind {
                    ColumnKind::Int => 32,
                    ColumnKind::Bigint | ColumnKind::Double => 64,
                    // 10^width - 1 fits this many bits; wider text is hashed.
                    ColumnKind::String => {
                        64 - 10_u64.checked_pow(width.min(MOST_DIGITS) as u32).unwrap_or(1).leading_zeros()
                    }
                };
                Some(Part { name: name.clone(), column, kind: declared.kind, width, n_bits })
            })
            .collect();
        let n_bits: u32 = parts.iter().map(|part| part.n_bits).sum();
        let keys = if n_bits <= 64 {
            Keys::Narrow(Vec::with_capacity(n_rows))
        } else {
            Keys::Wide(Vec::with_capacity(n_rows))
        };
        Self { parts, keys, is_ascending: true }
    }

    /// Adds the key of every row.
    ///
    /// # Errors
    /// The first null or empty text in a key column; the set is of no use afterwards.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<(), NoKey> {
        for part in &self.parts {
            let array = batch.column(part.column);
            if array.null_count() > 0
                && let Some(row) = (0..array.len()).find(|row| array.is_null(*row))
            {
                return Err(NoKey { column: part.column, row, found: "null" });
            }
            if part.kind == ColumnKind::String {
                // Two equal offsets in a row are an empty text.
                let offsets = array.as_string::<i32>().value_offsets();
                if let Some(row) = offsets.iter().zip(offsets.iter().skip(1)).position(|(start, end)| start == end) {
                    return Err(NoKey { column: part.column, row, found: "\"\"" });
                }
            }
        }
        let views: Vec<(View<'_>, u32)> = self.parts.iter().map(|part| (part.view(batch), part.n_bits)).collect();
        for row in 0..batch.num_rows() {
            let packed = match &self.keys {
                Keys::Narrow(_) => pack_narrow(&views, row).map(u128::from),
                Keys::Wide(_) => pack_wide(&views, row),
            };
            match packed {
                Some(key) => self.push(key),
                None => {
                    let key = self.hash(batch, row);
                    self.widen();
                    self.push(key);
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, key: u128) {
        match &mut self.keys {
            Keys::Narrow(keys) => {
                let key = key as u64;
                self.is_ascending &= keys.last().is_none_or(|last| *last < key);
                keys.push(key);
            }
            Keys::Wide(keys) => {
                self.is_ascending &= keys.last().is_none_or(|last| *last < key);
                keys.push(key);
            }
        }
    }

    fn widen(&mut self) {
        if let Keys::Narrow(keys) = &self.keys {
            let mut wide = Vec::with_capacity(keys.capacity());
            wide.extend(keys.iter().map(|key| u128::from(*key)));
            self.keys = Keys::Wide(wide);
        }
    }

    fn hash(&self, batch: &RecordBatch, row: usize) -> u128 {
        let mut bytes = Vec::new();
        for part in &self.parts {
            let text = part.text(batch, row);
            bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        twox_hash::XxHash3_128::oneshot(&bytes) | HASHED
    }

    /// Looks for a key that came more than once.
    pub(crate) fn find_repeated(&mut self) -> Option<Repeated> {
        if self.is_ascending {
            return None;
        }
        let (key, n_rows) = match &mut self.keys {
            Keys::Narrow(keys) => repeated_of(keys).map(|(key, n)| (u128::from(key), n))?,
            Keys::Wide(keys) => repeated_of(keys)?,
        };
        Some(Repeated { key: self.describe(key), n_rows })
    }

    fn describe(&self, mut key: u128) -> String {
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
}

fn repeated_of<K: Ord + Copy>(keys: &mut [K]) -> Option<(K, u64)> {
    keys.sort_unstable();
    let mut first = None;
    let mut n_rows = 0;
    for (earlier, later) in keys.iter().zip(keys.iter().skip(1)) {
        if earlier == later {
            n_rows += 1;
            first.get_or_insert(*later);
        }
    }
    first.map(|key| (key, n_rows))
}

/// A key column of one batch, ready to be packed.
enum View<'b> {
    Int(&'b Int32Array),
    Bigint(&'b Int64Array),
    Digits(&'b StringArray, usize),
    Unpackable,
}

impl View<'_> {
    /// The value as a number that orders as the column does; `None` when it is not one of the declared width.
    fn pack(&self, row: usize) -> Option<u64> {
        match self {
            Self::Int(array) => Some(u64::from((array.value(row) as u32) ^ (1 << 31))),
            Self::Bigint(array) => Some((array.value(row) as u64) ^ (1 << 63)),
            Self::Digits(array, width) => {
                let text = array.value(row).as_bytes();
                if text.len() != *width || *width > MOST_DIGITS {
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

/// A key of at most 64 bits.
fn pack_narrow(views: &[(View<'_>, u32)], row: usize) -> Option<u64> {
    views.iter().try_fold(0_u64, |key, (view, n_bits)| Some(key.checked_shl(*n_bits).unwrap_or(0) | view.pack(row)?))
}

/// A key of at most 127 bits.
fn pack_wide(views: &[(View<'_>, u32)], row: usize) -> Option<u128> {
    if views.iter().map(|(_, n_bits)| n_bits).sum::<u32>() > 127 {
        return None;
    }
    views.iter().try_fold(0_u128, |key, (view, n_bits)| Some((key << n_bits) | u128::from(view.pack(row)?)))
}

impl Part {
    fn view<'b>(&self, batch: &'b RecordBatch) -> View<'b> {
        let array = batch.column(self.column);
        match self.kind {
            ColumnKind::Int => View::Int(array.as_primitive()),
            ColumnKind::Bigint => View::Bigint(array.as_primitive()),
            ColumnKind::String => View::Digits(array.as_string(), self.width),
            ColumnKind::Double => View::Unpackable,
        }
    }

    fn unpack(&self, value: u64) -> String {
        match self.kind {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn dataset(key: &str) -> Dataset {
        let text = format!(
            "name='d'\ntitle='D'\nattribution='A'\npath='d/{{year}}/'\ndatabase='d'\ntable='d'\nkey=[{key}]\n\
             [[axis]]\nname='year'\ntype='int'\n\
             [[column]]\nname='id'\ntype='string'\nwidth=12\n[[column]]\nname='race'\ntype='int'\n[[column]]\nname='sex'\ntype='int'\n"
        );
        Dataset::parse("d.toml", &text).unwrap()
    }

    fn repeated(key: &str, rows: &[(&str, i32, i32)]) -> Option<Repeated> {
        let dataset = dataset(key);
        let batch = RecordBatch::try_new(
            dataset.file_schema(),
            vec![
                Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
                Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.1))),
                Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.2))),
                Arc::new(StringArray::new_null(rows.len())),
            ],
        )
        .unwrap();
        let mut keys = KeySet::new(&dataset, 0);
        keys.add(&batch).unwrap();
        keys.find_repeated()
    }

    #[test]
    fn a17_a_repeated_key_is_named_however_the_rows_are_ordered() {
        let id = "010000200277";
        let other = "010000200300";
        for (key, rows, expected) in [
            ("'id'", vec![(id, 1, 1), (other, 1, 1)], None),
            ("'id'", vec![(other, 1, 1), (id, 1, 1)], None),
            ("'id'", vec![(id, 1, 1), (id, 1, 1)], Some("`id 010000200277`")),
            ("'id'", vec![(id, 1, 1), (other, 1, 1), (id, 1, 1)], Some("`id 010000200277`")),
            ("'id','race','sex'", vec![(id, 1, 1), (id, -1, 1), (id, 1, 2)], None),
            (
                "'id','race','sex'",
                vec![(id, 99, 1), (id, -1, 2), (id, -1, 2)],
                Some("`id 010000200277, race -1, sex 2`"),
            ),
            ("'id'", vec![("2500003163X", 1, 1), (id, 1, 1), ("2500003163X", 1, 1)], Some("a value of id")),
            ("'id'", vec![("25000031636", 1, 1), ("025000031636", 1, 1)], None),
        ] {
            assert_eq!(repeated(key, &rows).map(|found| found.key).as_deref(), expected, "{rows:?}");
        }
    }

    #[test]
    fn keys_of_twelve_digits_take_eight_bytes() {
        assert!(matches!(KeySet::new(&dataset("'id'"), 0).keys, Keys::Narrow(_)));
        assert!(matches!(KeySet::new(&dataset("'id','race','sex'"), 0).keys, Keys::Wide(_)));
    }
}
