//! Encodes the columns of a partition as Parquet and computes the digest of its rows.
//!
//! The bytes depend only on the rows in page order, their partition, the descriptor and the encoding version. The time,
//! the run and the page size do not affect them. Rows are sorted by key within each chunk of 16,384 rows, which places
//! similar values next to each other even if the portal serves a school's rows in arbitrary order. Row groups are
//! encoded as they fill, so that memory holds the encoded file rather than the rows. Only rows that may be the same as
//! those of a file already in the lake are held for a while, because such rows need not be encoded at all.

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
use crate::file::held_rows::HeldRows;
use crate::file::row_hash::digest_rows;
use crate::file::row_key::Packer;
use crate::file::value_counts::ValueCounts;
use crate::partition::PartitionKey;

/// Maximum number of rows in a row group.
const ROW_GROUP: usize = 131_072;
/// Number of rows sorted and passed to the encoder at once, regardless of the page size; divides [`ROW_GROUP`].
pub(crate) const CHUNK: usize = 16_384;
/// Maximum number of rows in a Parquet page. A file with a single page per column has no page index: the index would
/// make up a third of a small file and would add nothing to the row group's statistics.
const PAGE: usize = 20_000;

/// A finished Parquet file.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// Contents of the file.
    pub bytes: Bytes,
    /// Number of rows.
    pub n_rows: u64,
    /// Edition of the file, as in its footer.
    pub edition: Edition,
    /// Value counts by column, as in the footer.
    pub values: ValueCounts,
}

/// Writes the rows of one partition as they arrive.
pub struct TableWriter {
    /// Rows not encoded yet, because they may be the same as those of another file.
    held: Option<HeldRows>,
    writer: ArrowWriter<Vec<u8>>,
    coalescer: BatchCoalescer,
    /// Size of the rows in the coalescer, measured when they were passed to it.
    coalescer_bytes: usize,
    /// Packs the keys that rows are sorted by.
    packer: Packer,
    /// Whether all rows so far were appended in key order.
    is_sorted: bool,
    digest: Digest,
    values: ValueCounts,
    n_rows: u64,
    partition: Option<String>,
    schema_id: u64,
    row: Vec<u8>,
}

impl TableWriter {
    /// Creates a writer for the file of a partition.
    ///
    /// - `n_rows`: the number of rows that will be appended.
    ///
    /// # Errors
    /// Fails if Parquet cannot represent the schema.
    pub fn new(dataset: &Dataset, partition: &PartitionKey, n_rows: u64) -> Result<Self, ParquetError> {
        Self::with_schema(dataset, dataset.file_schema(), Some(partition), n_rows)
    }

    /// Creates a writer for a file with its own schema, such as a lookup table, which has no partition.
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
            // parquet-java ignores a file's statistics unless it can parse this text.
            .set_created_by(format!("rollcall version {ENCODING_VERSION}.0.0 (build encoding-{ENCODING_VERSION})"));
        for column in dataset.columns.iter().filter(|column| !column.dictionary) {
            let path = ColumnPath::from(column.name.as_str());
            properties = properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::PLAIN);
        }
        let options = ArrowWriterOptions::new().with_properties(properties.build()).with_skip_arrow_metadata(true);
        Ok(Self {
            held: None,
            writer: ArrowWriter::try_new_with_options(Vec::new(), schema.clone(), options)?,
            coalescer: BatchCoalescer::new(schema, CHUNK),
            coalescer_bytes: 0,
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

    /// Does not encode rows while they may be the same as those of another file of this edition, and are not too many to
    /// be held; see [`Self::is_unchanged`].
    pub(crate) fn unless_same_as(mut self, other: Option<Edition>) -> Self {
        let is_comparable = |other: &Edition| *other == Edition { digest: other.digest, ..self.edition() };
        self.held = other.filter(is_comparable).map(HeldRows::new);
        self
    }

    fn edition(&self) -> Edition {
        Edition { digest: self.digest, schema_id: self.schema_id, encoding_version: ENCODING_VERSION }
    }

    /// Returns whether the rows so far are exactly those of the file passed to [`Self::unless_same_as`], and were not
    /// encoded.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.other == self.edition())
    }

    /// Appends rows with the columns of [`Dataset::file_schema`].
    ///
    /// - `is_sorted`: whether these rows and all earlier ones are known to be in key order.
    ///
    /// # Errors
    /// Fails if the encoder refuses the rows.
    pub fn append(&mut self, batch: RecordBatch, is_sorted: bool) -> Result<(), ParquetError> {
        self.n_rows += batch.num_rows() as u64;
        self.is_sorted &= is_sorted;
        digest_rows(&batch, &mut self.digest, &mut self.row);
        self.values.add(&batch);
        if let Some(held) = &mut self.held
            && held.try_add(&batch, self.is_sorted)
        {
            return Ok(());
        }
        self.encode_held()?;
        self.encode(batch)
    }

    /// Encodes the rows that are held, and every later one as it arrives. Returns whether rows were being held.
    ///
    /// # Errors
    /// Fails if the encoder refuses the rows.
    pub(crate) fn encode_held(&mut self) -> Result<bool, ParquetError> {
        let Some(held) = self.held.take() else { return Ok(false) };
        // As if each had been encoded when it arrived.
        let is_sorted = self.is_sorted;
        for (batch, was_sorted) in held.into_batches() {
            self.is_sorted = was_sorted;
            self.encode(batch)?;
        }
        self.is_sorted = is_sorted;
        Ok(true)
    }

    fn encode(&mut self, batch: RecordBatch) -> Result<(), ParquetError> {
        let (n_bytes, n_rows) = (batch.get_array_memory_size(), batch.num_rows());
        self.coalescer.push_batch(batch)?;
        self.coalescer_bytes += n_bytes;
        if self.coalescer.has_completed_batch() {
            self.write_chunks()?;
            // The remaining rows belong to this batch.
            self.coalescer_bytes = n_bytes / n_rows.max(1) * self.coalescer.get_buffered_rows();
        }
        Ok(())
    }

    /// Returns the memory in use, in bytes, as far as it depends on the rows. The rows in the coalescer count twice,
    /// because its columns have spare capacity.
    pub(crate) fn memory_bytes(&self) -> usize {
        let held_bytes = self.held.as_ref().map_or(0, HeldRows::n_bytes);
        held_bytes + 2 * self.coalescer_bytes + self.writer.memory_size() + self.writer.inner().capacity()
    }

    fn write_chunks(&mut self) -> Result<(), ParquetError> {
        while let Some(chunk) = self.coalescer.next_completed_batch() {
            let chunk = if self.is_sorted { chunk } else { self.packer.sort(chunk)? };
            self.writer.write(&chunk)?;
        }
        Ok(())
    }

    /// Finishes the file.
    ///
    /// # Errors
    /// Fails if the encoder refuses the remaining rows.
    pub fn finish(mut self) -> Result<Encoded, ParquetError> {
        self.encode_held()?;
        self.coalescer.finish_buffered_batch()?;
        self.write_chunks()?;
        let edition = self.edition();
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
    fn the_bytes_of_a_file_do_not_depend_on_the_page_size() {
        let expected = encode(40_000, 10_000);
        for length in [1_000, 9_999, 40_000] {
            let encoded = encode(40_000, length);
            assert_eq!(encoded.bytes, expected.bytes, "{length} rows a page");
            assert_eq!(encoded.edition, expected.edition);
        }
    }

    /// Appends schools 1 to `n_rows` to a writer, and returns it with the most memory it used.
    fn append_all(mut writer: TableWriter, n_rows: u64) -> (TableWriter, usize) {
        let decoder = PageDecoder::new(&enrollment(), &partition());
        let rows: Vec<String> = (1..=n_rows).map(|school| row(school, &(school % 300).to_string())).collect();
        let mut max_bytes = 0;
        for rows in rows.chunks(10_000) {
            let body = page(n_rows, None, rows);
            writer.append(decoder.decode(1, body.as_bytes()).unwrap().batch, true).unwrap();
            max_bytes = max_bytes.max(writer.memory_bytes());
        }
        (writer, max_bytes)
    }

    #[test]
    fn the_rows_of_another_file_are_not_encoded_again_and_any_others_are_encoded_as_usual() {
        let new = |n_rows| TableWriter::new(&enrollment(), &partition(), n_rows).unwrap();
        let encoded = encode(40_000, 10_000);
        let same = encoded.edition;
        let (writer, _) = append_all(new(40_000).unless_same_as(Some(same)), 40_000);
        assert!(writer.is_unchanged());
        assert_eq!(writer.finish().unwrap().bytes, encoded.bytes, "the rows are still there");
        let (writer, _) = append_all(new(40_000).unless_same_as(Some(same)), 39_999);
        assert!(!writer.is_unchanged());
        let others = [
            Edition { digest: Digest(same.digest.0 + 1), ..same },
            Edition { schema_id: same.schema_id + 1, ..same },
            Edition { encoding_version: same.encoding_version - 1, ..same },
        ];
        for other in others {
            let (mut writer, _) = append_all(new(40_000).unless_same_as(Some(other)), 40_000);
            assert!(!writer.is_unchanged());
            // Only rows that may still turn out to be the same are held.
            assert_eq!(writer.encode_held().unwrap(), other.digest != same.digest);
            let held = writer.finish().unwrap();
            assert_eq!((held.bytes, held.edition), (encoded.bytes.clone(), same));
        }
    }

    #[test]
    fn held_rows_are_sorted_or_not_as_if_they_had_been_encoded_when_they_arrived() {
        let (dataset, partition) = (enrollment(), partition());
        let decoder = PageDecoder::new(&dataset, &partition);
        // The schools of each pair are swapped, so that sorting shows. Only the second page is said to be out of order.
        let batches: Vec<(RecordBatch, bool)> = [(0, true), (20_000, false)]
            .map(|(first, is_sorted)| {
                let rows: Vec<String> = (first..first + 20_000).map(|i| row(1 + (i ^ 1), "5")).collect();
                (decoder.decode(1, page(40_000, None, &rows).as_bytes()).unwrap().batch, is_sorted)
            })
            .into();
        let encode = |mut writer: TableWriter| {
            for (batch, is_sorted) in batches.clone() {
                writer.append(batch, is_sorted).unwrap();
            }
            writer.finish().unwrap()
        };
        let new = || TableWriter::new(&dataset, &partition, 40_000).unwrap();
        let encoded = encode(new());
        let other = Edition { digest: Digest(encoded.edition.digest.0 + 1), ..encoded.edition };
        assert_eq!(encode(new().unless_same_as(Some(other))).bytes, encoded.bytes);
    }

    #[test]
    fn rows_that_take_too_much_memory_to_be_held_are_encoded_even_if_they_are_unchanged() {
        let new = |n_rows| TableWriter::new(&enrollment(), &partition(), n_rows).unwrap();
        let n_rows = 200_000;
        let encoded = append_all(new(n_rows), n_rows).0.finish().unwrap();
        let (writer, max_bytes) = append_all(new(n_rows).unless_same_as(Some(encoded.edition)), n_rows);
        assert!(!writer.is_unchanged());
        assert!(max_bytes < 12 << 20, "{max_bytes}");
        assert_eq!(writer.finish().unwrap().bytes, encoded.bytes);
    }

    /// The same rows in two orders.
    fn in_two_orders() -> impl Strategy<Value = (Vec<String>, Vec<String>)> {
        let values = prop::sample::select(vec!["5", "null", "-2", "\"many\"", "2147483648", "[1, 2]"]);
        prop::collection::vec((1..20_u64, values), 1..40)
            .prop_map(|rows| rows.into_iter().map(|(school, value)| row(school, value)).collect())
            .prop_flat_map(|rows: Vec<String>| (Just(rows.clone()), Just(rows).prop_shuffle()))
    }

    proptest! {
        #[test]
        fn the_digest_depends_on_the_rows_but_not_on_their_order_or_the_page_size(
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
            // A repeated row, a missing row or a changed value gives a different digest.
            prop_assert_ne!(digest(&[&rows[..], &rows[..1]].concat(), length), expected);
            prop_assert_ne!(digest(&rows[1..], length), expected);
            let changed = rows[0].replace("\"fips\":1", "\"fips\":2");
            prop_assert_ne!(digest(&[&[changed][..], &rows[1..]].concat(), length), expected);
        }
    }

    #[test]
    fn the_golden_file_changes_only_with_the_encoding_version() {
        // When this fails, the same rows are encoded to different bytes. Increase ENCODING_VERSION first, then update
        // the hash.
        let encoded = encode(2_000, 1_000);
        let hash = format!("{:016x}", twox_hash::XxHash3_64::oneshot(&encoded.bytes));
        assert_eq!((ENCODING_VERSION, hash.as_str()), (2, "f5d2cc637161af6a"));
    }

    #[test]
    fn rows_are_sorted_within_a_chunk_regardless_of_the_page_size() {
        let (dataset, partition) = (enrollment(), partition());
        let decoder = PageDecoder::new(&dataset, &partition);
        // The two schools of each pair are swapped.
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
        // The file equals that of rows in key order, because no chunk ends within a pair.
        let in_order: Vec<String> = (1..=20_000_u64).map(|school| row(school, "5")).collect();
        let mut writer = TableWriter::new(&dataset, &partition, 20_000).unwrap();
        let body = page(20_000, None, &in_order);
        writer.append(decoder.decode(1, body.as_bytes()).unwrap().batch, true).unwrap();
        assert_eq!(writer.finish().unwrap().bytes, sorted.bytes);
    }

    #[test]
    fn a_file_with_one_page_has_no_page_index_and_every_file_names_a_writer_that_readers_can_parse() {
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
    fn a_row_group_has_at_most_131072_rows_and_ids_have_no_dictionary() {
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
        let footer = Footer::from_metadata(reader.metadata()).unwrap();
        assert_eq!((footer.edition, footer.n_rows), (encoded.edition, 140_000));
        assert_eq!(footer.partition.as_deref(), Some("year=2021/grade=grade-pk"));
        assert_eq!(footer.values, Some(encoded.values));
        assert_eq!(footer.columns, enrollment().typed_columns());
    }
}
