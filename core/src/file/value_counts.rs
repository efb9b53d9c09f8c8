//! Counts the values of each column of a partition, to detect a column that loses most of its values.
//!
//! An empty text and the portal's codes -1 (missing or not reported), -2 (not applicable) and -3 (suppressed) do not
//! count as values. The file's footer stores the counts; the next commit compares its own counts with them.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, PrimitiveArray, RecordBatch};
use arrow_schema::DataType;
use serde::{Deserialize, Serialize};

/// Minimum number of values that a column must have had for it to be checked.
const MIN_VALUES: u64 = 100;

/// Value counts of one column. Its JSON form is a pair such as `[812, 790]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "(u64, u64)", into = "(u64, u64)")]
struct Count {
    /// Values that are not null, empty or a code.
    n_values: u64,
    /// Values other than 0.
    n_nonzero: u64,
}

impl From<(u64, u64)> for Count {
    fn from((n_values, n_nonzero): (u64, u64)) -> Self {
        Self { n_values, n_nonzero }
    }
}

impl From<Count> for (u64, u64) {
    fn from(count: Count) -> Self {
        (count.n_values, count.n_nonzero)
    }
}

/// Value counts of all columns, by name. Their JSON form is an object such as `{"enrollment":[812,790]}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ValueCounts(BTreeMap<String, Count>);

/// A column that lost more than half of its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostValues {
    /// Name of the column.
    pub column: String,
    /// Number of values in the committed partition.
    pub before: u64,
    /// Number of values in the new partition.
    pub after: u64,
}

impl ValueCounts {
    /// Adds the rows of `batch`. A column that no earlier batch had starts at zero.
    pub(crate) fn add(&mut self, batch: &RecordBatch) {
        for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            if field.name() == crate::file::columns::RESCUED {
                continue;
            }
            let found = match array.data_type() {
                DataType::Int32 => count_numbers(array.as_primitive::<Int32Type>(), &[-1, -2, -3], 0),
                DataType::Int64 => count_numbers(array.as_primitive::<Int64Type>(), &[-1, -2, -3], 0),
                DataType::Float64 => count_numbers(array.as_primitive::<Float64Type>(), &[-1.0, -2.0, -3.0], 0.0),
                _ => {
                    let texts = array.as_string::<i32>().iter().flatten();
                    let n_values = texts.filter(|text| !matches!(*text, "" | "-1" | "-2" | "-3")).count() as u64;
                    Count { n_values, n_nonzero: n_values }
                }
            };
            match self.0.get_mut(field.name()) {
                Some(sum) => {
                    sum.n_values += found.n_values;
                    sum.n_nonzero += found.n_nonzero;
                }
                None => {
                    self.0.insert(field.name().clone(), found);
                }
            }
        }
    }

    /// Returns the first column that had at least 100 values before and now has fewer than half of them. Zeros count
    /// only if all values of the column were zeros before. A column that is missing on either side is not compared.
    #[must_use]
    pub fn lost_since(&self, before: &Self) -> Option<LostValues> {
        before.0.iter().find_map(|(column, before)| {
            let after = self.0.get(column)?;
            let (before, after) = match before.n_nonzero {
                0 => (before.n_values, after.n_values),
                _ => (before.n_nonzero, after.n_nonzero),
            };
            let is_lost = before >= MIN_VALUES && after < before.div_ceil(2);
            is_lost.then(|| LostValues { column: column.clone(), before, after })
        })
    }
}

fn count_numbers<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, codes: &[T::Native; 3], zero: T::Native) -> Count
where
    T::Native: PartialEq,
{
    let mut count = Count::default();
    let mut add = |value: T::Native| {
        let is_value = u64::from(!codes.contains(&value));
        count.n_values += is_value;
        count.n_nonzero += is_value & u64::from(value != zero);
    };
    if array.null_count() == 0 {
        array.values().iter().for_each(|value| add(*value));
    } else {
        array.iter().flatten().for_each(add);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, Float64Array, Int32Array, Int64Array, StringArray};
    use arrow_schema::{Field, Schema};
    use std::sync::Arc;

    fn counts(array: ArrayRef) -> ValueCounts {
        let schema = Schema::new(vec![Field::new("a", array.data_type().clone(), true)]);
        let mut counts = ValueCounts::default();
        counts.add(&RecordBatch::try_new(Arc::new(schema), vec![array]).unwrap());
        counts
    }

    #[test]
    fn nulls_codes_and_empty_texts_do_not_count_and_zeros_count_separately() {
        let numbers = [Some(5), None, Some(-1), Some(-2), Some(-3), Some(0), Some(-4)];
        for (array, expected) in [
            (Arc::new(Int32Array::from(numbers.to_vec())) as ArrayRef, r#"{"a":[3,2]}"#),
            (Arc::new(Int32Array::from(vec![5, -1, 0])), r#"{"a":[2,1]}"#),
            (Arc::new(Int64Array::from(vec![5, -1, -2, -3, 0])), r#"{"a":[2,1]}"#),
            (Arc::new(Float64Array::from(vec![0.5, -1.0, -2.0, -3.0, 0.0])), r#"{"a":[2,1]}"#),
            (Arc::new(StringArray::from(vec![Some("x"), None, Some(""), Some("-2"), Some("0")])), r#"{"a":[2,2]}"#),
        ] {
            let found = counts(array);
            assert_eq!(serde_json::to_string(&found).unwrap(), expected);
            assert_eq!(serde_json::from_str::<ValueCounts>(expected).unwrap(), found);
        }
    }

    #[test]
    fn a_column_with_at_least_100_values_must_not_lose_more_than_half_of_them() {
        let column = |n_values: i32, n_zeros: i32, n_codes: i32| {
            let values = (1..=n_values).chain((0..n_zeros).map(|_| 0)).chain((0..n_codes).map(|_| -1));
            counts(Arc::new(Int32Array::from_iter_values(values)))
        };
        for (before, after, is_lost) in [
            ((100, 0, 0), (50, 0, 50), false),
            ((100, 0, 0), (49, 0, 51), true),
            ((101, 0, 0), (50, 0, 51), true),
            ((99, 0, 0), (0, 0, 99), false),
            // Zeros count only if there were no other values.
            ((100, 0, 0), (0, 100, 0), true),
            ((0, 100, 0), (0, 49, 51), true),
            ((0, 100, 0), (100, 0, 0), false),
            ((1, 500, 0), (0, 500, 0), false),
        ] {
            let [(a, b, c), (d, e, f)] = [before, after];
            let found = column(d, e, f).lost_since(&column(a, b, c));
            assert_eq!(found.is_some(), is_lost, "{before:?} to {after:?}: {found:?}");
        }
        let another_column = ValueCounts(BTreeMap::from([("b".to_owned(), Count { n_values: 500, n_nonzero: 500 })]));
        assert_eq!(column(0, 0, 0).lost_since(&another_column), None);
    }
}
