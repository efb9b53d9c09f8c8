//! Reads Parquet files for the SQL engine, after checking their footers.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::Result;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::DefaultParquetFileReaderFactory;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::query::file_check::ExpectedFile;
use crate::query::pinned_folder::PinnedFolder;

/// Opens files and checks their footers.
#[derive(Debug)]
pub(crate) struct CheckedFiles {
    files: DefaultParquetFileReaderFactory,
    expected: Arc<ExpectedFile>,
}

impl CheckedFiles {
    /// Creates a reader of the files in `lake`.
    pub(crate) fn new(lake: Arc<PinnedFolder>, expected: ExpectedFile) -> Self {
        Self { files: DefaultParquetFileReaderFactory::new(lake), expected: Arc::new(expected) }
    }
}

impl ParquetFileReaderFactory for CheckedFiles {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let axes = self.expected.axes.iter().zip(&file.partition_values);
        let axes: Vec<String> = axes.map(|(axis, value)| format!("{}={value}", axis.name())).collect();
        Ok(Box::new(CheckedFile {
            object: file.object_meta.location.to_string(),
            partition: axes.join("/"),
            expected: self.expected.clone(),
            file: self.files.create_reader(partition_index, file, metadata_size_hint, metrics)?,
        }))
    }
}

struct CheckedFile {
    object: String,
    partition: String,
    expected: Arc<ExpectedFile>,
    file: Box<dyn AsyncFileReader + Send>,
}

impl AsyncFileReader for CheckedFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.file.get_bytes(range)
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        self.file.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            let metadata = self.file.get_metadata(options).await?;
            self.expected
                .check(&metadata, &self.object, &self.partition)
                .map_err(|mismatch| ParquetError::External(mismatch.into()))?;
            Ok(metadata)
        }
        .boxed()
    }
}
