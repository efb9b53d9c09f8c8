//! Growing columns: their values, and the positions of nulls.
//!
//! Arrow's own builders record the validity of every value. Here, only nulls have a cost.

use arrow_array::types::ArrowPrimitiveType;
use arrow_array::{PrimitiveArray, StringArray};
use arrow_buffer::{Buffer, NullBuffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::ArrowError;

/// Positions of the nulls in a column; `None` until the first null.
#[derive(Default)]
struct Nulls(Option<NullBufferBuilder>);

impl Nulls {
    /// Marks the `n` values from `index` on as null.
    #[cold]
    fn add(&mut self, index: usize, n: usize) {
        let nulls = self.0.get_or_insert_with(|| NullBufferBuilder::new(index + n));
        nulls.append_n_non_nulls(index - nulls.len());
        nulls.append_n_nulls(n);
    }

    /// Returns whether the last of `n_values` values is null.
    fn ends_in_null(&self, n_values: usize) -> bool {
        let nulls = self.0.as_ref().filter(|nulls| nulls.len() == n_values);
        nulls.is_some_and(|nulls| n_values.checked_sub(1).is_some_and(|last| !nulls.is_valid(last)))
    }

    /// Removes the nulls from `index` on.
    fn truncate(&mut self, index: usize) {
        if let Some(nulls) = &mut self.0 {
            nulls.truncate(index.min(nulls.len()));
        }
    }

    fn finish(&mut self, n_values: usize) -> Option<NullBuffer> {
        let mut nulls = self.0.take()?;
        nulls.append_n_non_nulls(n_values - nulls.len());
        nulls.finish()
    }
}

/// A growing column of numbers.
pub(crate) struct Numbers<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    nulls: Nulls,
}

impl<T: ArrowPrimitiveType> Default for Numbers<T> {
    fn default() -> Self {
        Self { values: Vec::new(), nulls: Nulls::default() }
    }
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    /// Returns the last value; `None` if it is null or the column is empty.
    pub(crate) fn last(&self) -> Option<T::Native> {
        self.values.last().copied().filter(|_| !self.nulls.ends_in_null(self.values.len()))
    }

    /// Reserves capacity for `n_values` more values.
    pub(crate) fn reserve(&mut self, n_values: usize) {
        self.values.reserve_exact(n_values);
    }

    #[inline]
    pub(crate) fn append(&mut self, value: T::Native) {
        self.values.push(value);
    }

    pub(crate) fn append_null(&mut self) {
        self.nulls.add(self.values.len(), 1);
        self.values.push(T::Native::default());
    }

    /// Keeps the first `n_values`.
    pub(crate) fn truncate(&mut self, n_values: usize) {
        self.values.truncate(n_values);
        self.nulls.truncate(n_values);
    }

    /// Returns the column and leaves this builder empty.
    ///
    /// # Errors
    /// Fails if Arrow refuses the array, which is not expected.
    pub(crate) fn finish(&mut self) -> Result<PrimitiveArray<T>, ArrowError> {
        let nulls = self.nulls.finish(self.values.len());
        self.values.shrink_to_fit();
        PrimitiveArray::try_new(ScalarBuffer::from(std::mem::take(&mut self.values)), nulls)
    }
}

/// A growing column of text.
#[derive(Default)]
pub(crate) struct Texts {
    text: String,
    /// End offset of each value in the text.
    ends: Vec<i32>,
    nulls: Nulls,
}

impl Texts {
    /// Reserves capacity for `n_values` more values with `n_bytes` in total.
    pub(crate) fn reserve(&mut self, n_values: usize, n_bytes: usize) {
        self.ends.reserve_exact(n_values);
        self.text.reserve_exact(n_bytes);
    }

    #[inline]
    pub(crate) fn append(&mut self, value: &str) {
        self.text.push_str(value);
        self.push_end();
    }

    /// Appends one value, given in two parts.
    pub(crate) fn append_joined(&mut self, first: &str, second: &str) {
        self.text.push_str(first);
        self.append(second);
    }

    /// Returns the last value; `None` if it is null or the column is empty.
    pub(crate) fn last(&self) -> Option<&str> {
        let start = self.ends.iter().nth_back(1).map_or(Some(0), |end| usize::try_from(*end).ok())?;
        let is_null = self.nulls.ends_in_null(self.ends.len());
        self.text.get(start..).filter(|_| !self.ends.is_empty() && !is_null)
    }

    /// Removes the first `n` bytes of the last value.
    pub(crate) fn shorten_last(&mut self, n: usize) {
        if let Some(rest) = self.last().and_then(|last| last.get(n..)).map(str::to_owned) {
            self.truncate(self.ends.len() - 1);
            self.append(&rest);
        }
    }

    pub(crate) fn append_nulls(&mut self, n: usize) {
        self.nulls.add(self.ends.len(), n);
        self.ends.resize(self.ends.len() + n, self.offset());
    }

    /// Returns the number of values.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Keeps the first `n_values`.
    pub(crate) fn truncate(&mut self, n_values: usize) {
        self.ends.truncate(n_values);
        self.nulls.truncate(n_values);
        let end = self.ends.last().map_or(0, |end| usize::try_from(*end).unwrap_or_default());
        self.text.truncate(end);
    }

    #[inline]
    fn push_end(&mut self) {
        self.ends.push(self.offset());
    }

    /// Returns the end offset of the text. Text of 2 GiB or more does not fit into an offset; `finish` refuses it.
    #[inline]
    fn offset(&self) -> i32 {
        i32::try_from(self.text.len()).unwrap_or(i32::MAX)
    }

    /// Returns the column and leaves this builder empty.
    ///
    /// # Errors
    /// Fails if the column has 2 GiB of text or more.
    pub(crate) fn finish(&mut self) -> Result<StringArray, ArrowError> {
        let nulls = self.nulls.finish(self.ends.len());
        let mut text = std::mem::take(&mut self.text);
        text.shrink_to_fit();
        if i32::try_from(text.len()).is_err() {
            return Err(ArrowError::OffsetOverflowError(text.len()));
        }
        let mut offsets = Vec::with_capacity(self.ends.len() + 1);
        offsets.push(0);
        offsets.append(&mut std::mem::take(&mut self.ends));
        StringArray::try_new(OffsetBuffer::new(offsets.into()), Buffer::from(text.into_bytes()), nulls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::types::Int32Type;
    use arrow_array::{Array, Int32Array};

    #[test]
    fn the_last_value_can_be_read_and_shortened() {
        let mut texts = Texts::default();
        assert_eq!(texts.last(), None);
        texts.append("first");
        texts.append_joined("00", "12");
        assert_eq!(texts.last(), Some("0012"));
        texts.shorten_last(2);
        assert_eq!(texts.last(), Some("12"));
        texts.append_nulls(1);
        assert_eq!(texts.last(), None);
        texts.truncate(2);
        assert_eq!(texts.last(), Some("12"));
        assert_eq!(texts.finish().unwrap(), StringArray::from(vec!["first", "12"]));
        let mut numbers = Numbers::<Int32Type>::default();
        assert_eq!(numbers.last(), None);
        numbers.append(7);
        assert_eq!(numbers.last(), Some(7));
        numbers.append_null();
        assert_eq!(numbers.last(), None);
        numbers.append(8);
        assert_eq!(numbers.last(), Some(8));
    }

    #[test]
    fn a_finished_column_has_values_and_nulls_in_the_order_they_were_appended() {
        let mut numbers = Numbers::<Int32Type>::default();
        let mut texts = Texts::default();
        for value in [Some(5), None, Some(-7), None, None, Some(0)] {
            match value {
                Some(value) => {
                    numbers.append(value);
                    texts.append(&value.to_string());
                }
                None => {
                    numbers.append_null();
                    texts.append_nulls(1);
                }
            }
        }
        texts.append_nulls(2);
        texts.append_joined("00", "7");
        assert_eq!(numbers.finish().unwrap(), Int32Array::from(vec![Some(5), None, Some(-7), None, None, Some(0)]));
        let expected = [Some("5"), None, Some("-7"), None, None, Some("0"), None, None, Some("007")];
        assert_eq!(texts.finish().unwrap(), StringArray::from_iter(expected));
    }

    #[test]
    fn a_truncated_column_continues_after_its_last_remaining_value() {
        let mut numbers = Numbers::<Int32Type>::default();
        let mut texts = Texts::default();
        for n_kept in [0, 4, 6] {
            for value in [1, 2, 3] {
                numbers.append(value);
                texts.append("é");
            }
            numbers.append_null();
            texts.append_nulls(1);
            numbers.truncate(n_kept);
            texts.truncate(n_kept);
        }
        numbers.append(7);
        texts.append("g");
        assert_eq!(
            numbers.finish().unwrap(),
            Int32Array::from(vec![Some(1), Some(2), Some(3), None, Some(1), Some(2), Some(7)])
        );
        let expected = [Some("é"), Some("é"), Some("é"), None, Some("é"), Some("é"), Some("g")];
        assert_eq!(texts.finish().unwrap(), StringArray::from_iter(expected));
    }

    #[test]
    fn a_column_without_nulls_has_no_null_buffer() {
        let mut numbers = Numbers::<Int32Type>::default();
        numbers.reserve(2);
        numbers.append(1);
        numbers.append(2);
        assert!(numbers.finish().unwrap().nulls().is_none());
        assert_eq!(numbers.finish().unwrap().len(), 0);
    }
}
