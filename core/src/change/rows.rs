//! The rows of a Parquet file in memory: all of them in order, or those at some positions.

use std::ops::Range;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use arrow_select::concat::concat_batches;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::errors::ParquetError;

use crate::file::writer::CHUNK;

/// A Parquet file in memory. Its rows are decoded as they are read.
pub(super) struct File {
    bytes: Bytes,
    metadata: ArrowReaderMetadata,
    /// Number of rows.
    pub(super) n_rows: usize,
}

impl File {
    pub(super) fn open(bytes: Bytes) -> Result<Self, ParquetError> {
        let metadata = ArrowReaderMetadata::load(&bytes, ArrowReaderOptions::new())?;
        let n_rows = usize::try_from(metadata.metadata().file_metadata().num_rows()).unwrap_or(0);
        Ok(Self { bytes, metadata, n_rows })
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    fn builder(&self) -> ParquetRecordBatchReaderBuilder<Bytes> {
        ParquetRecordBatchReaderBuilder::new_with_metadata(self.bytes.clone(), self.metadata.clone())
    }

    /// Returns all rows in chunks of this size.
    pub(super) fn chunks(&self, length: usize) -> Result<ParquetRecordBatchReader, ParquetError> {
        self.builder().with_batch_size(length).build()
    }

    /// Returns the rows at these positions, which are in ascending order.
    pub(super) fn take(&self, positions: &[u32]) -> Result<RecordBatch, ParquetError> {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for position in positions.iter().map(|position| *position as usize) {
            match ranges.last_mut() {
                Some(last) if last.end == position => last.end += 1,
                _ => ranges.push(position..position + 1),
            }
        }
        let selection = RowSelection::from_consecutive_ranges(ranges.into_iter(), self.n_rows);
        let reader = self.builder().with_row_selection(selection).with_batch_size(CHUNK).build()?;
        let batches = reader.collect::<Result<Vec<_>, _>>()?;
        Ok(concat_batches(self.schema(), &batches)?)
    }
}
