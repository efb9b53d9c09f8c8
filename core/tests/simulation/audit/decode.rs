//! Decodes the rows of an object with a Parquet reader.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::source::{Content, Row};

/// Decoded rows, keyed by the object's bytes. Contents recur, and decoding is the most expensive part of the audit.
#[derive(Default)]
pub(crate) struct Decoder(BTreeMap<Bytes, Option<Content>>);

impl Decoder {
    /// Returns the rows in file order, or `None` if the bytes are not a Parquet file with the expected columns.
    pub(super) fn rows(&mut self, bytes: &Bytes) -> Option<Content> {
        self.0.entry(bytes.clone()).or_insert_with(|| decode(bytes.clone()).map(Arc::new)).clone()
    }
}

fn decode(bytes: Bytes) -> Option<Vec<Row>> {
    let mut rows = Vec::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(bytes).ok()?.build().ok()? {
        let batch = batch.ok()?;
        let schools = batch.column_by_name("school")?.as_primitive_opt::<Int64Type>()?;
        let enrollments = batch.column_by_name("enrollment")?;
        // One descriptor declares it as `int`, the other as `bigint`.
        let enrollments: Vec<i32> = match enrollments.as_primitive_opt::<Int32Type>() {
            _ if enrollments.null_count() > 0 => return None,
            Some(enrollments) => enrollments.values().to_vec(),
            None => {
                let enrollments = enrollments.as_primitive_opt::<Int64Type>()?.values().iter();
                enrollments.map(|value| i32::try_from(*value).ok()).collect::<Option<_>>()?
            }
        };
        let rescued = batch.column_by_name("_rescued")?;
        if schools.null_count() > 0 || rescued.null_count() != rescued.len() {
            return None;
        }
        rows.extend(schools.values().iter().copied().zip(enrollments));
    }
    Some(rows)
}
