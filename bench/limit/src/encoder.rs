//! One partition's Parquet file, with the encodings of `core/src/file/writer.rs`.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use rollcall_limit::{Column, Columns, FIELDS, Kind, Values};

/// Maximum number of rows of a row group and of a Parquet page, as in `rollcall`.
const ROW_GROUP: usize = 131_072;
const PAGE: usize = 20_000;
/// Columns that are encoded without a dictionary, because their values differ from row to row.
const IDS: [&str; 3] = ["ncessch", "ncessch_num", "leaid"];

/// Writes the pages of a partition, in order.
pub(crate) struct Encoder {
    writer: ArrowWriter<File>,
    schema: SchemaRef,
}

impl Encoder {
    /// Creates the file.
    ///
    /// - `n_rows`: the number of rows that will be written.
    /// - `is_delta`: whether ids are encoded as differences.
    pub(crate) fn create(path: &Path, n_rows: usize, is_delta: bool) -> anyhow::Result<Self> {
        let is_one_page = n_rows <= PAGE;
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_max_row_group_row_count(Some(ROW_GROUP))
            .set_data_page_row_count_limit(PAGE)
            .set_statistics_enabled(if is_one_page { EnabledStatistics::Chunk } else { EnabledStatistics::Page })
            .set_offset_index_disabled(is_one_page);
        for (name, kind) in FIELDS.iter().filter(|(name, _)| IDS.contains(name)) {
            let encoding = match (is_delta, kind) {
                (false, _) => Encoding::PLAIN,
                (true, Kind::Text) => Encoding::DELTA_BYTE_ARRAY,
                (true, _) => Encoding::DELTA_BINARY_PACKED,
            };
            let path = ColumnPath::from(*name);
            properties =
                properties.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path, encoding);
        }
        let fields = FIELDS.map(|(name, kind)| {
            let kind = match kind {
                Kind::Int32 => DataType::Int32,
                Kind::Int64 => DataType::Int64,
                Kind::Text => DataType::Utf8,
            };
            Field::new(name, kind, true)
        });
        let schema = Arc::new(Schema::new(fields.to_vec()));
        let options = ArrowWriterOptions::new().with_properties(properties.build()).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(File::create(path)?, schema.clone(), options)?;
        Ok(Self { writer, schema })
    }

    /// Writes the rows of a page, and returns its memory for another page.
    pub(crate) fn write(&mut self, page: Columns) -> anyhow::Result<Columns> {
        let n_rows = page.n_rows;
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(page.columns.len());
        let mut memory = Vec::with_capacity(page.columns.len());
        for Column { values, nulls } in page.columns {
            let validity = validity(&nulls, n_rows);
            let (array, buffers): (ArrayRef, _) = match values {
                Values::Int32(values) => {
                    let values = ScalarBuffer::from(values);
                    let buffers = Memory::Int32(values.inner().clone());
                    (Arc::new(Int32Array::try_new(values, validity)?), buffers)
                }
                Values::Int64(values) => {
                    let values = ScalarBuffer::from(values);
                    let buffers = Memory::Int64(values.inner().clone());
                    (Arc::new(Int64Array::try_new(values, validity)?), buffers)
                }
                Values::Text { bytes, offsets } => {
                    let (bytes, offsets) = (Buffer::from_vec(bytes), ScalarBuffer::from(offsets));
                    let buffers = Memory::Text { bytes: bytes.clone(), offsets: offsets.inner().clone() };
                    (Arc::new(StringArray::try_new(OffsetBuffer::new(offsets), bytes, validity)?), buffers)
                }
            };
            arrays.push(array);
            memory.push((buffers, nulls));
        }
        let batch = RecordBatch::try_new(self.schema.clone(), arrays)?;
        self.writer.write(&batch)?;
        // Now nothing else uses the buffers.
        drop(batch);
        let columns = memory.into_iter().map(|(buffers, nulls)| Some(Column { values: buffers.into_values()?, nulls }));
        let columns = columns.collect::<Option<_>>().context("expected no other user of the columns")?;
        Ok(Columns { columns, n_rows })
    }

    /// Finishes the file.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        self.writer.close()?;
        Ok(())
    }
}

/// Buffers that hold a column's values while an array uses them.
enum Memory {
    Int32(Buffer),
    Int64(Buffer),
    Text { bytes: Buffer, offsets: Buffer },
}

impl Memory {
    /// Returns the values, if no array uses them any more.
    fn into_values(self) -> Option<Values> {
        Some(match self {
            Self::Int32(values) => Values::Int32(values.into_vec().ok()?),
            Self::Int64(values) => Values::Int64(values.into_vec().ok()?),
            Self::Text { bytes, offsets } => {
                Values::Text { bytes: bytes.into_vec().ok()?, offsets: offsets.into_vec().ok()? }
            }
        })
    }
}

/// Returns which rows have a value; `None` if all have.
fn validity(nulls: &[usize], n_rows: usize) -> Option<NullBuffer> {
    if nulls.is_empty() {
        return None;
    }
    let mut is_valid = BooleanBufferBuilder::new(n_rows);
    is_valid.append_n(n_rows, true);
    nulls.iter().for_each(|row| is_valid.set_bit(*row, false));
    Some(NullBuffer::new(is_valid.finish()))
}
