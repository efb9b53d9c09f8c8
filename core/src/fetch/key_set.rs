//! Checks that every key appears only once in a partition, or counts those that are repeated or empty.
//!
//! Keys are stored in ascending runs, as differences, a few bytes each. The portal usually serves keys in ascending
//! order: then there is one run, and one comparison per key proves that it is new. Otherwise each run is sorted on its own,
//! and the runs are merged at the end.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use arrow_array::RecordBatch;

use crate::dataset::{Dataset, RepeatedKeys};
use crate::file::row_key::{MissingKey, Packer};

/// Bytes reserved for the difference between two keys. Schools of the same district have similar keys.
const BYTES_AHEAD: usize = 2;

/// Number of keys in a run that had to be sorted. The portal's order is seldom far from ascending, so keys that follow one
/// another in a run are similar. A longer run would take more memory before it is sorted.
const RUN_LENGTH: usize = 16_384;

/// All keys received so far for a partition.
#[derive(Debug)]
pub(crate) struct KeySet {
    packer: Packer,
    runs: Runs,
    /// Keys in the order in which they arrived, fewer than [`RUN_LENGTH`], once a key was not greater than the last one.
    pending: Vec<u128>,
    /// What to do with a null or an empty text in a key column.
    policy: RepeatedKeys,
    /// Number of rows with such a key. They are not in the set.
    pub(crate) n_empty: u64,
}

/// Ascending runs of keys, each stored as differences in LEB128: seven bits per byte, the lowest bits first, and the
/// highest bit of a byte is set if another byte follows.
#[derive(Debug, Default)]
struct Runs {
    bytes: Vec<u8>,
    /// Where each run begins in `bytes`.
    starts: Vec<usize>,
    /// The last key of the last run.
    last: u128,
}

impl Runs {
    /// Begins a run.
    fn begin(&mut self) {
        self.starts.push(self.bytes.len());
        self.last = 0;
    }

    /// Adds a key to the last run. It must not be less than the run's last key.
    #[inline]
    fn push(&mut self, key: u128) {
        let mut difference = key - self.last;
        while difference >= 0x80 {
            self.bytes.push(difference as u8 | 0x80);
            difference >>= 7;
        }
        self.bytes.push(difference as u8);
        self.last = key;
    }

    /// Returns the keys of every run.
    fn iter(&self) -> impl Iterator<Item = RunKeys<'_>> {
        let ends = self.starts.iter().skip(1).copied().chain([self.bytes.len()]);
        let bytes = self.starts.iter().zip(ends).map(|(start, end)| self.bytes.get(*start..end).unwrap_or_default());
        bytes.map(|bytes| RunKeys { bytes, last: 0 })
    }
}

/// The keys of a run, in ascending order.
struct RunKeys<'r> {
    bytes: &'r [u8],
    last: u128,
}

impl Iterator for RunKeys<'_> {
    type Item = u128;

    #[inline]
    fn next(&mut self) -> Option<u128> {
        let (mut difference, mut n_bits) = (0_u128, 0);
        while let Some((byte, rest)) = self.bytes.split_first() {
            self.bytes = rest;
            difference |= u128::from(byte & 0x7f) << n_bits;
            if byte & 0x80 == 0 {
                self.last += difference;
                return Some(self.last);
            }
            n_bits += 7;
        }
        None
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
        let mut runs = Runs { bytes: Vec::with_capacity(BYTES_AHEAD * n_rows), ..Runs::default() };
        runs.begin();
        let packer = Packer::new(dataset);
        Self { packer, runs, pending: Vec::new(), policy: dataset.repeated_keys, n_empty: 0 }
    }

    /// Returns whether every key so far is greater than the one before.
    pub(crate) fn is_ascending(&self) -> bool {
        self.runs.starts.len() == 1 && self.pending.is_empty()
    }

    /// Returns the memory that the keys take, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.runs.bytes.len() + size_of_val(self.pending.as_slice())
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
        if self.is_ascending() && (key > self.runs.last || self.runs.bytes.is_empty()) {
            self.runs.push(key);
        } else {
            self.push_out_of_order(key);
        }
    }

    fn push_out_of_order(&mut self, key: u128) {
        if self.pending.is_empty() {
            self.pending.reserve_exact(RUN_LENGTH);
        }
        self.pending.push(key);
        if self.pending.len() == RUN_LENGTH {
            self.end_run();
        }
    }

    /// Sorts the pending keys into a run.
    fn end_run(&mut self) {
        self.pending.sort_unstable();
        self.runs.begin();
        self.pending.drain(..).for_each(|key| self.runs.push(key));
    }

    /// Returns the keys that appear more than once, if any.
    pub(crate) fn find_repeated(&mut self) -> Option<Repeated> {
        if self.is_ascending() {
            return None;
        }
        self.end_run();
        let mut runs: Vec<RunKeys<'_>> = self.runs.iter().collect();
        let first_keys = runs.iter_mut().enumerate().filter_map(|(i, run)| Some(Reverse((run.next()?, i))));
        let mut next: BinaryHeap<Reverse<(u128, usize)>> = first_keys.collect();
        let (mut last, mut lowest, mut n_rows) = (None, None, 0);
        while let Some(mut top) = next.peek_mut() {
            let Reverse((key, run)) = *top;
            if last == Some(key) {
                n_rows += 1;
                lowest.get_or_insert(key);
            }
            last = Some(key);
            match runs.get_mut(run).and_then(Iterator::next) {
                Some(following) => *top = Reverse((following, run)),
                None => drop(PeekMut::pop(top)),
            }
        }
        lowest.map(|key| Repeated { key: self.packer.describe(key), n_rows })
    }
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

    /// As in the portal's civil rights data, whose keys have up to six columns of codes.
    #[test]
    fn a17_columns_of_codes_make_a_wide_key_small_enough_to_be_packed() {
        let column = |codes: &[i32]| Arc::new(Int32Array::from(codes.to_vec())) as ArrayRef;
        let columns = |last: &[i32]| {
            let mut columns: Vec<(&str, ArrayRef)> = vec![("'string'\nwidth=12", texts(&["010000200277"; 2]))];
            columns.extend(std::iter::repeat_with(|| ("'int'\ncodes='race'", column(&[99, 99]))).take(5));
            columns.push(("'int'\ncodes='sex'", column(last)));
            columns
        };
        assert_eq!(repeated_in(columns(&[1, 2])), None);
        let found = repeated_in(columns(&[-3, -3]));
        assert_eq!(found.as_deref(), Some("`a 010000200277, b 99, c 99, d 99, e 99, f 99, g -3`"));
        // A code that no list has is hashed.
        assert_eq!(repeated_in(columns(&[256, 256])).as_deref(), Some("a value of a, b, c, d, e, f, g"));
        assert_eq!(repeated_in(columns(&[256, 0])), None);
        assert_eq!(repeated_in(columns(&[255, -256])), None);
    }

    #[test]
    fn keys_take_few_bytes_in_any_order() {
        let bytes_of = |key: &str, rows: &[(&str, i32, i32)]| {
            let dataset = dataset(key);
            let mut keys = KeySet::new(&dataset, 0);
            keys.add(&batch(&dataset, rows)).unwrap();
            let is_ascending = keys.is_ascending();
            assert_eq!(keys.find_repeated(), None);
            (is_ascending, keys.memory_bytes())
        };
        let (one, two) = ("010000200277", "010000200300");
        assert_eq!(bytes_of("'id'", &[(one, 1, 1), (two, 1, 1)]), (true, 5 + 1));
        // The first run has one key.
        assert_eq!(bytes_of("'id'", &[(two, 1, 1), (one, 1, 1)]), (false, 5 + 5));
        let ids: Vec<String> = (0..40_000).map(|i| format!("{:012}", 10_000_200_000_u64 + i)).collect();
        let rows: Vec<(&str, i32, i32)> =
            ids.iter().flat_map(|id| [(id.as_str(), 7, 1), (id.as_str(), 2, 1)]).collect();
        let (is_ascending, n_bytes) = bytes_of("'id','race'", &rows);
        assert!(!is_ascending && n_bytes < 4 * rows.len(), "{n_bytes} bytes for {} keys", rows.len());
    }

    #[test]
    fn a17_a_key_that_repeats_in_another_run_is_counted() {
        let dataset = dataset("'id'");
        let ids: Vec<String> = (0..RUN_LENGTH as u64 + 1).rev().map(|i| format!("{i:012}")).collect();
        let rows: Vec<(&str, i32, i32)> = ids.iter().map(|id| (id.as_str(), 1, 1)).collect();
        for (n_batches, expected) in [(1, None), (3, Some(2 * rows.len() as u64))] {
            let mut keys = KeySet::new(&dataset, 0);
            (0..n_batches).for_each(|_| keys.add(&batch(&dataset, &rows)).unwrap());
            let found = keys.find_repeated();
            assert_eq!(found.as_ref().map(|found| found.n_rows), expected);
            assert!(found.is_none_or(|found| found.key == "`id 000000000000`"));
        }
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
