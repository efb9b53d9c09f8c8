//! Rows that are not encoded while they may be the same as those of a file already in the lake.
//!
//! Most runs find most partitions unchanged. Only all of their rows can show that, so they are held until then.

use arrow_array::RecordBatch;

use crate::file::edition::Edition;

/// Maximum size of the rows held for one partition: about 100,000 rows of enrollment. The rows of a larger partition are
/// encoded as they arrive, whether they have changed or not.
const MAX_BYTES: usize = 8 << 20;

/// The rows so far of a partition.
pub(super) struct HeldRows {
    /// Edition of the file that may have the same rows.
    pub(super) other: Edition,
    /// Each with whether all rows up to its last are in key order.
    batches: Vec<(RecordBatch, bool)>,
    n_bytes: usize,
}

impl HeldRows {
    pub(super) fn new(other: Edition) -> Self {
        Self { other, batches: Vec::new(), n_bytes: 0 }
    }

    /// Adds rows, and returns `true`. Returns `false` if there would be too many.
    pub(super) fn try_add(&mut self, batch: &RecordBatch, is_sorted: bool) -> bool {
        let n_bytes = self.n_bytes + batch.get_array_memory_size();
        if n_bytes > MAX_BYTES {
            return false;
        }
        self.batches.push((batch.clone(), is_sorted));
        self.n_bytes = n_bytes;
        true
    }

    /// Size of the rows in bytes.
    pub(super) fn n_bytes(&self) -> usize {
        self.n_bytes
    }

    /// Returns the rows in the order in which they were added.
    pub(super) fn into_batches(self) -> Vec<(RecordBatch, bool)> {
        self.batches
    }
}
