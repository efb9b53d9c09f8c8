//! Checks that every key appears only once in a partition, or counts those that are repeated or empty.
//!
//! The portal usually serves keys in ascending order. In that case, one comparison per key proves that it is new, and
//! the keys are stored as differences, a few bytes each. Otherwise the keys are sorted once at the end.

use arrow_array::RecordBatch;

use crate::dataset::{Dataset, RepeatedKeys};
use crate::file::row_key::{MissingKey, Packer};

/// Bytes reserved for the difference between two keys. Schools of the same district have similar keys.
const BYTES_AHEAD: usize = 2;

/// All keys received so far for a partition.
#[derive(Debug)]
pub(crate) struct KeySet {
    packer: Packer,
    keys: Keys,
    /// What to do with a null or an empty text in a key column.
    policy: RepeatedKeys,
    /// Number of rows with such a key. They are not in the set.
    pub(crate) n_empty: u64,
}

/// Keys in the order in which they arrived.
#[derive(Debug)]
enum Keys {
    /// Every key is greater than the one before.
    Ascending(Ascending),
    /// Keys of at most 64 bits, in any order.
    Narrow(Vec<u64>),
    /// Keys in any order, of which at least one has more than 64 bits.
    Wide(Vec<u128>),
}

/// Ascending keys, stored as differences in LEB128: seven bits per byte, the lowest bits first, and the highest bit of
/// a byte is set if another byte follows.
#[derive(Debug)]
struct Ascending {
    bytes: Vec<u8>,
    n_keys: usize,
    last: u128,
}

impl Ascending {
    /// Adds a key if it is greater than the last one. Returns whether it was added.
    #[inline]
    fn push(&mut self, key: u128) -> bool {
        if key <= self.last && self.n_keys > 0 {
            return false;
        }
        let mut difference = key - self.last;
        while difference >= 0x80 {
            self.bytes.push(difference as u8 | 0x80);
            difference >>= 7;
        }
        self.bytes.push(difference as u8);
        self.n_keys += 1;
        self.last = key;
        true
    }

    /// Returns all keys, in ascending order.
    fn keys(&self) -> impl Iterator<Item = u128> {
        let (mut key, mut difference, mut n_bits) = (0_u128, 0_u128, 0);
        self.bytes.iter().filter_map(move |byte| {
            difference |= u128::from(byte & 0x7f) << n_bits;
            n_bits += 7;
            if byte & 0x80 != 0 {
                return None;
            }
            key += difference;
            (difference, n_bits) = (0, 0);
            Some(key)
        })
    }
}

/// Keys that appear more than once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Repeated {
    /// One such key, as `column value` pairs.
    pub(crate) key: String,
    /// Number of rows that repeat an earlier key.
    pub(crate) n_rows: u64,
}

impl KeySet {
    /// Creates an empty set with capacity for `n_rows` keys of `dataset`.
    pub(crate) fn new(dataset: &Dataset, n_rows: usize) -> Self {
        let ascending = Ascending { bytes: Vec::with_capacity(BYTES_AHEAD * n_rows), n_keys: 0, last: 0 };
        let keys = Keys::Ascending(ascending);
        Self { packer: Packer::new(dataset), keys, policy: dataset.repeated_keys, n_empty: 0 }
    }

    /// Returns whether every key so far is greater than the one before.
    pub(crate) fn is_ascending(&self) -> bool {
        matches!(self.keys, Keys::Ascending(_))
    }

    /// Returns the memory that the keys take, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        match &self.keys {
            Keys::Ascending(keys) => keys.bytes.len(),
            Keys::Narrow(keys) => size_of_val(keys.as_slice()),
            Keys::Wide(keys) => size_of_val(keys.as_slice()),
        }
    }

    /// Adds the key of every row. If the dataset keeps rows with empty keys, these are only counted.
    ///
    /// # Errors
    /// Otherwise returns the first null or empty text in a key column. The set must not be used afterwards.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<(), MissingKey> {
        let is_empty = match (self.packer.check(batch), self.policy) {
            (Ok(()), _) => Vec::new(),
            (Err(missing), RepeatedKeys::Refuse) => return Err(missing),
            (Err(_), RepeatedKeys::Keep) => self.packer.empty_keys(batch),
        };
        for (row, packed) in self.packer.pack(batch).enumerate() {
            if is_empty.get(row) == Some(&true) {
                self.n_empty += 1;
                continue;
            }
            let key = packed.unwrap_or_else(|| self.packer.hash(batch, row));
            self.push(key);
        }
        Ok(())
    }

    #[inline]
    fn push(&mut self, key: u128) {
        let is_added = match &mut self.keys {
            Keys::Ascending(keys) => keys.push(key),
            Keys::Narrow(keys) => u64::try_from(key).map(|key| keys.push(key)).is_ok(),
            Keys::Wide(keys) => {
                keys.push(key);
                true
            }
        };
        if !is_added {
            self.push_out_of_order(key);
        }
    }

    /// Adds a key that does not fit the current representation, by switching to a wider one.
    #[cold]
    fn push_out_of_order(&mut self, key: u128) {
        let mut wide: Vec<u128> = Vec::new();
        match &self.keys {
            Keys::Ascending(keys) if key.max(keys.last) <= u128::from(u64::MAX) => {
                let mut narrow = Vec::with_capacity(2 * keys.n_keys);
                narrow.extend(keys.keys().chain([key]).map(|key| key as u64));
                self.keys = Keys::Narrow(narrow);
                return;
            }
            Keys::Ascending(keys) => {
                wide.reserve(2 * keys.n_keys);
                wide.extend(keys.keys());
            }
            Keys::Narrow(keys) => {
                wide.reserve(keys.capacity());
                wide.extend(keys.iter().map(|key| u128::from(*key)));
            }
            Keys::Wide(_) => {}
        }
        wide.push(key);
        self.keys = Keys::Wide(wide);
    }

    /// Returns the keys that appear more than once, if any.
    pub(crate) fn find_repeated(&mut self) -> Option<Repeated> {
        let (key, n_rows) = match &mut self.keys {
            Keys::Ascending(_) => return None,
            Keys::Narrow(keys) => find_repeated_in(keys).map(|(key, n)| (u128::from(key), n))?,
            Keys::Wide(keys) => find_repeated_in(keys)?,
        };
        Some(Repeated { key: self.packer.describe(key), n_rows })
    }
}

/// Sorts the keys. Returns the lowest repeated key and the number of repeats of any key.
fn find_repeated_in<K: Ord + Copy>(keys: &mut [K]) -> Option<(K, u64)> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::ArrayRef;
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int32Type;
    use arrow_array::{Array, Int32Array, Int64Array, StringArray};
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::sync::Arc;

    fn dataset(key: &str) -> Dataset {
        let text = format!(
            "name='d'\ntitle='D'\nattribution='A'\npath='d/{{year}}/'\ndatabase='d'\ntable='d'\nkey=[{key}]\n\
             [[axis]]\nname='year'\ntype='int'\n\
             [[column]]\nname='id'\ntype='string'\nwidth=12\n[[column]]\nname='race'\ntype='int'\n[[column]]\nname='sex'\ntype='int'\n"
        );
        Dataset::parse("d.toml", &text).unwrap()
    }

    fn batch(dataset: &Dataset, rows: &[(&str, i32, i32)]) -> RecordBatch {
        RecordBatch::try_new(
            dataset.file_schema(),
            vec![
                Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
                Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.1))),
                Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.2))),
                Arc::new(StringArray::new_null(rows.len())),
            ],
        )
        .unwrap()
    }

    fn repeated(key: &str, rows: &[(&str, i32, i32)]) -> Option<Repeated> {
        let dataset = dataset(key);
        let mut keys = KeySet::new(&dataset, 0);
        keys.add(&batch(&dataset, rows)).unwrap();
        keys.find_repeated()
    }

    #[test]
    fn a17_a_repeated_key_is_named_in_any_order_of_the_rows() {
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

    /// Returns the repeated key of columns `a`, `b` and so on. Each column has its type in descriptor syntax.
    fn repeated_in(columns: Vec<(&str, ArrayRef)>) -> Option<String> {
        let names: Vec<String> = ('a'..).take(columns.len()).map(String::from).collect();
        let mut text = format!(
            "name='d'\ntitle='D'\nattribution='A'\npath='d/{{year}}/'\ndatabase='d'\ntable='d'\nkey={names:?}\n\
             [[axis]]\nname='year'\ntype='int'\n"
        );
        for (name, (kind, _)) in names.iter().zip(&columns) {
            text.push_str(&format!("[[column]]\nname='{name}'\ntype={kind}\n"));
        }
        let dataset = Dataset::parse("d.toml", &text).unwrap();
        let mut arrays: Vec<ArrayRef> = columns.into_iter().map(|(_, values)| values).collect();
        arrays.push(Arc::new(StringArray::new_null(arrays[0].len())));
        let mut keys = KeySet::new(&dataset, 0);
        keys.add(&RecordBatch::try_new(dataset.file_schema(), arrays).unwrap()).unwrap();
        keys.find_repeated().map(|found| found.key)
    }

    fn texts(values: &[&str]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    fn numbers(values: &[i64]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    #[test]
    fn a17_integer_keys_are_compared_in_all_64_bits_and_named() {
        assert_eq!(repeated_in(vec![("'bigint'", numbers(&[6, 5, i64::MIN + 5, -5, i64::MAX]))]), None);
        assert_eq!(repeated_in(vec![("'bigint'", numbers(&[-5, 7, -5]))]).as_deref(), Some("`a -5`"));
    }

    #[test]
    fn a17_text_of_up_to_18_digits_is_packed_and_other_text_is_hashed() {
        let repeated =
            |width: usize, values: &[&str]| repeated_in(vec![(&format!("'string'\nwidth={width}"), texts(values))]);
        let longest = "999999999999999999";
        assert_eq!(repeated(18, &[longest, "0", longest]).as_deref(), Some("`a 999999999999999999`"));
        let (one, other) = ("99999999999999999999", "99999999999999999998");
        assert_eq!(repeated(20, &[one, other]), None);
        assert_eq!(repeated(20, &[one, other, one]).as_deref(), Some("a value of a"));
        // The character after `9` in ASCII is not a digit with the value 10.
        assert_eq!(repeated(3, &["01:", "020"]), None);
        for n in 0..16 {
            let text = format!("{n:02}X");
            assert_eq!(repeated(3, &[&text, &text]).as_deref(), Some("a value of a"), "{text}");
        }
    }

    #[test]
    fn a17_keys_of_up_to_127_bits_are_packed_and_wider_ones_are_hashed() {
        let columns = |two: ArrayRef| {
            vec![
                ("'bigint'", numbers(&[7, 7])),
                ("'int'", Arc::new(Int32Array::from(vec![-1, -1])) as ArrayRef),
                ("'string'\nwidth=8", two),
                ("'string'\nwidth=1", texts(&["1", "1"])),
            ]
        };
        assert_eq!(repeated_in(columns(texts(&["00000002", "00000003"]))), None);
        let found = repeated_in(columns(texts(&["00000002", "00000002"])));
        assert_eq!(found.as_deref(), Some("`a 7, b -1, c 00000002, d 1`"));
        let columns = |two: &[i64]| vec![("'bigint'", numbers(&[7, 7])), ("'bigint'", numbers(two))];
        assert_eq!(repeated_in(columns(&[-1, 1])), None);
        assert_eq!(repeated_in(columns(&[-1, -1])).as_deref(), Some("a value of a, b"));
    }

    #[test]
    fn rows_are_sorted_by_key_unless_a_key_cannot_be_packed() {
        let dataset = dataset("'id','race'");
        let sorted = |rows: &[(&str, i32, i32)]| {
            let sorted = Packer::new(&dataset).sort(batch(&dataset, rows)).unwrap();
            assert_eq!(sorted.column(0).as_string::<i32>().len(), rows.len());
            let (ids, races) = (sorted.column(0).as_string::<i32>(), sorted.column(1).as_primitive::<Int32Type>());
            let sexes = sorted.column(2).as_primitive::<Int32Type>();
            (0..rows.len())
                .map(|row| (ids.value(row).to_owned(), races.value(row), sexes.value(row)))
                .collect::<Vec<_>>()
        };
        let (one, other) = ("010000200277", "020000000001");
        let found = sorted(&[(other, 1, 7), (one, 99, 1), (one, -1, 2), (one, 3, 3), (one, 3, 2)]);
        // Equal keys keep their order.
        let expected = [(one, -1, 2), (one, 3, 3), (one, 3, 2), (one, 99, 1), (other, 1, 7)];
        assert_eq!(found, expected.map(|(id, race, sex)| (id.to_owned(), race, sex)));
        let as_they_came = [(other, 1, 1), ("2500003163X", 1, 1), (one, 1, 1)];
        assert_eq!(sorted(&as_they_came), as_they_came.map(|(id, race, sex)| (id.to_owned(), race, sex)));
    }

    fn keys_after(key: &str, rows: &[(&str, i32, i32)]) -> Keys {
        let dataset = dataset(key);
        let mut keys = KeySet::new(&dataset, 0);
        keys.add(&batch(&dataset, rows)).unwrap();
        keys.keys
    }

    #[test]
    fn ascending_keys_take_few_bytes_and_other_keys_eight_or_sixteen() {
        let (one, two, other) = ("010000200277", "010000200300", "2500003163X");
        let ascending = keys_after("'id'", &[(one, 1, 1), (two, 1, 1)]);
        assert!(matches!(&ascending, Keys::Ascending(keys) if keys.bytes.len() == 5 + 1), "{ascending:?}");
        assert!(matches!(keys_after("'id'", &[(two, 1, 1), (one, 1, 1)]), Keys::Narrow(keys) if keys.len() == 2));
        let with_hash = [(two, 1, 1), (one, 1, 1), (other, 1, 1)];
        assert!(matches!(keys_after("'id'", &with_hash), Keys::Wide(keys) if keys.len() == 3));
        let three = [(two, 1, 1), (one, 1, 1), (one, 1, 2)];
        assert!(matches!(keys_after("'id','race','sex'", &three), Keys::Wide(keys) if keys.len() == 3));
    }

    proptest! {
        #[test]
        fn a17_repeated_keys_are_counted_exactly_in_any_order_of_the_rows(
            key in prop::sample::select(vec!["'id'", "'id','race'", "'id','race','sex'"]),
            // Text that ends with a letter is hashed.
            rows in prop::collection::vec((0..40_u32, any::<bool>(), -1..2_i32, 1..3_i32), 0..60),
            is_sorted in any::<bool>(),
        ) {
            let mut rows: Vec<(String, i32, i32)> = rows
                .into_iter()
                .map(|(id, is_digits, race, sex)| {
                    (format!("{:011}{}", u64::from(id) * 12_345_678, if is_digits { "7" } else { "X" }), race, sex)
                })
                .collect();
            if is_sorted {
                rows.sort();
            }
            let rows: Vec<(&str, i32, i32)> = rows.iter().map(|(id, race, sex)| (id.as_str(), *race, *sex)).collect();
            let n_parts = key.split(',').count();
            let part = |value: i32, place: usize| if place < n_parts { value } else { 0 };
            let different: BTreeSet<_> = rows.iter().map(|row| (row.0, part(row.1, 1), part(row.2, 2))).collect();
            let n_repeated = repeated(key, &rows).map_or(0, |found| found.n_rows);
            prop_assert_eq!(n_repeated, (rows.len() - different.len()) as u64);
        }
    }
}
