//! Columns of a partition to Parquet bytes, with the digest of its rows.
//!
//! The bytes are a function of the rows in page order, their partition, the descriptor and the encoding version: no time,
//! run or page size shows in them. Rows are sorted by key within each chunk of 16,384, which brings alike values together
//! where the portal serves a school's rows in any order. Row groups are encoded as they fill, so that memory holds the
//! encoded file and not the rows.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use arrow_select::coalesce::BatchCoalescer;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::dataset::Dataset;
use crate::file::edition::{Digest, ENCODING_VERSION, Edition};
use crate::file::footer::{EDITION_KEY, PARTITION_KEY, VALUES_KEY};
use crate::file::row_hash::digest_rows;
use crate::file::row_key::Packer;
use crate::file::value_counts::ValueCounts;
use crate::partition::PartitionKey;

/// Rows of a row group.
const ROW_GROUP: usize = 131_072;
/// Rows sorted and handed to the encoder at once, whatever the page size was; divides [`ROW_GROUP`].
const CHUNK: usize = 16_384;
/// Rows of a Parquet page. A file with no more than these has no page index: it would be a third of a small file and
/// tell nothing that the row group's statistics do not.
const PAGE: usize = 20_000;

/// A partition's Parquet file, finished.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// The file.
    pub bytes: Bytes,
    /// Rows in it.
    pub n_rows: u64,
    /// Its edition, which its footer holds too.
    pub edition: Edition,
    /// Its values by column, which its footer holds too.
    pub values: ValueCounts,
}

/// Writes the rows of one partition as they come.
pub struct TableWriter {
    writer: ArrowWriter<Vec<u8>>,
    coalescer: BatchCoalescer,
    /// Bytes of the rows that the coalescer holds, as they were appended.
    held_bytes: usize,
    /// Packs the keys by which rows are sorted.
    packer: Packer,
    /// Whether all rows so far are in the order of their keys.
    is_sorted: bool,
    digest: Digest,
    values: ValueCounts,
    n_rows: u64,
    partition: Option<String>,
    schema_id: u64,
    row: Vec<u8>,
}

impl TableWriter {
    /// A writer of the file of a partition.
    ///
    /// - `n_rows`: rows that it will hold.
    ///
    /// # Errors
    /// A schema that Parquet cannot hold.
    pub fn new(dataset: &Dataset, partition: &PartitionKey, n_rows: u64) -> Result<Self, ParquetError> {
        Self::with_schema(dataset, dataset.file_schema(), Some(partition), n_rows)
    }

    /// A writer of a file of another schema than [`Dataset::file_schema`], such as a look-up table's, of no partition.
    pub(crate) fn with_schema(
        dataset: &Dataset,
        schema: SchemaRef,
        partition: Option<&PartitionKey>,
        n_rows: u64,
    ) -> Result<Self, ParquetError> {
        let is_one_page = n_rows <= PAGE as u64;
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_max_row_group_row_count(Some(ROW_GROUP))
            .set_data_page_row_count_limit(PAGE)
            .set_statistics_enabled(if is_one_page { EnabledStatistics::Chunk } else { EnabledStatistics::Page })
            .set_offset_index_disabled(is_one_page)
            // Of the form that parquet-java reads; a text it cannot read makes it distrust statistics.
            .set_created_by(format!("rollcall version {ENCODING_VERSION}.0.0 (build encoding-{ENCODING_VERSION})"));
        for column in dataset.columns.iter().filter(|column| !column.dictionary) {
            let path = ColumnPath::from(column.name.as_str());
            properties = properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::PLAIN);
        }
        let options = ArrowWriterOptions::new().with_properties(properties.build()).with_skip_arrow_metadata(true);
        Ok(Self {
            writer: ArrowWriter::try_new_with_options(Vec::new(), schema.clone(), options)?,
            coalescer: BatchCoalescer::new(schema, CHUNK),
            held_bytes: 0,
            packer: Packer::new(dataset),
            is_sorted: true,
            digest: Digest::default(),
            values: ValueCounts::default(),
            n_rows: 0,
            partition: partition.map(ToString::to_string),
            schema_id: dataset.schema_id(),
            row: Vec::with_capacity(128),
        })
    }

    /// Appends rows in [`Dataset::file_schema`]'s columns.
    ///
    /// - `is_sorted`: whether these rows and all before are known to be in the order of their keys.
    ///
    /// # Errors
    /// What the encoder refuses.
    pub fn append(&mut self, batch: RecordBatch, is_sorted: bool) -> Result<(), ParquetError> {
        self.n_rows += batch.num_rows() as u64;
        self.is_sorted &= is_sorted;
        digest_rows(&batch, &mut self.digest, &mut self.row);
        self.values.add(&batch);
        let (n_bytes, n_rows) = (batch.get_array_memory_size(), batch.num_rows());
        self.coalescer.push_batch(batch)?;
        self.held_bytes += n_bytes;
        if self.coalescer.has_completed_batch() {
            self.write_chunks()?;
            // What is left is of this batch.
            self.held_bytes = n_bytes / n_rows.max(1) * self.coalescer.get_buffered_rows();
        }
        Ok(())
    }

    /// Bytes of memory that this takes, as far as they depend on the rows. The coalescer's columns have room to grow.
    pub(crate) fn memory_bytes(&self) -> usize {
        2 * self.held_bytes + self.writer.memory_size() + self.writer.inner().capacity()
    }

    fn write_chunks(&mut self) -> Result<(), ParquetError> {
        while let Some(chunk) = self.coalescer.next_completed_batch() {
            let chunk = if self.is_sorted { chunk } else { self.packer.sort(chunk)? };
            self.writer.write(&chunk)?;
        }
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// What the encoder refuses.
    pub fn finish(mut self) -> Result<Encoded, ParquetError> {
        self.coalescer.finish_buffered_batch()?;
        self.write_chunks()?;
        let edition = Edition { digest: self.digest, schema_id: self.schema_id, encoding_version: ENCODING_VERSION };
        let values = serde_json::to_string(&self.values).map_err(|error| ParquetError::External(error.into()))?;
        let entries =
            [(EDITION_KEY, Some(edition.to_string())), (PARTITION_KEY, self.partition), (VALUES_KEY, Some(values))];
        for (key, value) in entries {
            if value.is_some() {
                self.writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
            }
        }
        let bytes = self.writer.into_inner()?;
        Ok(Encoded { bytes: bytes.into(), n_rows: self.n_rows, edition, values: self.values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::footer::Footer;
    use crate::page::PageDecoder;
    use crate::testing::{enrollment, page, partition, row};
    use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use proptest::prelude::*;

    /// Encodes schools 1 to `n_rows`, decoded from pages of `length` rows.
    fn encode(n_rows: u64, length: usize) -> Encoded {
        let (dataset, partition) = (enrollment(), partition());
        let decoder = PageDecoder::new(&dataset, &partition);
        let mut writer = TableWriter::new(&dataset, &partition, n_rows).unwrap();
        let rows: Vec<String> = (1..=n_rows).map(|school| row(school, &(school % 300).to_string())).collect();
        for rows in rows.chunks(length) {
            let body = page(n_rows, None, rows);
            writer.append(decoder.decode(1, body.as_bytes()).unwrap().batch, true).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn bytes_are_a_function_of_rows_whatever_the_page_size() {
        let expected = encode(40_000, 10_000);
        for length in [1_000, 9_999, 40_000] {
            let encoded = encode(40_000, length);
            assert_eq!(encoded.bytes, expected.bytes, "{length} rows a page");
            assert_eq!(encoded.edition, expected.edition);
        }
    }

    /// Rows in one order and in another.
    fn in_two_orders() -> impl Strategy<Value = (Vec<String>, Vec<String>)> {
        let values = prop::sample::select(vec!["5", "null", "-2", "\"many\"", "2147483648", "[1, 2]"]);
        prop::collection::vec((1..20_u64, values), 1..40)
            .prop_map(|rows| rows.into_iter().map(|(school, value)| row(school, value)).collect())
            .prop_flat_map(|rows: Vec<String>| (Just(rows.clone()), Just(rows).prop_shuffle()))
    }

    proptest! {
        #[test]
        fn the_digest_is_of_the_rows_whatever_their_order_and_pages(
            (rows, shuffled) in in_two_orders(),
            (length, other_length) in (1..12_usize, 1..12_usize),
        ) {
            let (dataset, partition) = (enrollment(), partition());
            let decoder = PageDecoder::new(&dataset, &partition);
            let digest = |rows: &[String], length: usize| {
                let mut digest = Digest::default();
                for rows in rows.chunks(length) {
                    let body = page(rows.len() as u64, None, rows);
                    digest_rows(&decoder.decode(1, body.as_bytes()).unwrap().batch, &mut digest, &mut Vec::new());
                }
                digest
            };
            let expected = digest(&rows, length);
            prop_assert_eq!(digest(&shuffled, other_length), expected);
            // One row twice, one row less, one value changed: other rows, another digest.
            prop_assert_ne!(digest(&[&rows[..], &rows[..1]].concat(), length), expected);
            prop_assert_ne!(digest(&rows[1..], length), expected);
            let changed = rows[0].replace("\"fips\":1", "\"fips\":2");
            prop_assert_ne!(digest(&[&[changed][..], &rows[1..]].concat(), length), expected);
        }
    }

    #[test]
    fn the_golden_file_has_not_changed_without_a_new_encoding_version() {
        // When this fails, the same rows became other bytes: raise ENCODING_VERSION, and only then write the new hash.
        let encoded = encode(2_000, 1_000);
        let hash = format!("{:016x}", twox_hash::XxHash3_64::oneshot(&encoded.bytes));
        assert_eq!((ENCODING_VERSION, hash.as_str()), (2, "f5d2cc637161af6a"));
    }

    #[test]
    fn rows_are_sorted_within_a_chunk_whatever_the_page_size() {
        let (dataset, partition) = (enrollment(), partition());
        let decoder = PageDecoder::new(&dataset, &partition);
        // Two schools change places in each pair, across the end of a chunk too.
        let rows: Vec<String> = (0..20_000_u64).map(|i| row(1 + (i ^ 1), "5")).collect();
        let encode = |length: usize| {
            let mut writer = TableWriter::new(&dataset, &partition, 20_000).unwrap();
            for rows in rows.chunks(length) {
                let body = page(20_000, None, rows);
                writer.append(decoder.decode(1, body.as_bytes()).unwrap().batch, false).unwrap();
            }
            writer.finish().unwrap()
        };
        let sorted = encode(10_000);
        assert_eq!(encode(999).bytes, sorted.bytes);
        // The same file as that of rows which came in order: no chunk ends amid a pair.
        let in_order: Vec<String> = (1..=20_000_u64).map(|school| row(school, "5")).collect();
        let mut writer = TableWriter::new(&dataset, &partition, 20_000).unwrap();
        let body = page(20_000, None, &in_order);
        writer.append(decoder.decode(1, body.as_bytes()).unwrap().batch, true).unwrap();
        assert_eq!(writer.finish().unwrap().bytes, sorted.bytes);
    }

    #[test]
    fn a_file_of_one_page_has_no_page_index_and_every_file_a_writer_that_others_can_parse() {
        for (n_rows, has_index) in [(20_000, false), (20_001, true)] {
            let encoded = encode(n_rows, 10_000);
            let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
            reader.try_parse(&encoded.bytes).unwrap();
            let metadata = reader.finish().unwrap();
            assert_eq!(metadata.offset_index().is_some(), has_index, "{n_rows}");
            assert!(metadata.row_group(0).column(0).statistics().is_some());
            let created_by = metadata.file_metadata().created_by().unwrap();
            assert_eq!(created_by, "rollcall version 2.0.0 (build encoding-2)");
        }
    }

    #[test]
    fn row_groups_end_at_131072_rows_and_ids_have_no_dictionary() {
        let encoded = encode(140_000, 10_000);
        let reader = SerializedFileReader::new(encoded.bytes.clone()).unwrap();
        let groups: Vec<i64> = reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
        assert_eq!(groups, [131_072, 8_928]);
        let group = &reader.metadata().row_groups()[0];
        let has_dictionary = |name: &str| {
            let column = group.columns().iter().find(|column| column.column_path().string() == name).unwrap();
            column.dictionary_page_offset().is_some()
        };
        assert!(!has_dictionary("ncessch") && !has_dictionary("ncessch_num") && has_dictionary("fips"));
        let footer = Footer::of(reader.metadata()).unwrap();
        assert_eq!((footer.edition, footer.n_rows), (encoded.edition, 140_000));
        assert_eq!(footer.partition.as_deref(), Some("year=2021/grade=grade-pk"));
        assert_eq!(footer.values, Some(encoded.values));
        assert_eq!(footer.columns, enrollment().typed_columns());
    }
}
