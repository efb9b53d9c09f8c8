//! Checks every row of a partition before anything is written: columns must match the descriptor and keys must be
//! unique. Encodes the rows into a file at the same time.

use jiff::Timestamp;

use crate::dataset::{Dataset, MEMORY_MIB, RepeatedKeys};
use crate::error::Error;
use crate::fetch::key_set::KeySet;
use crate::file::edition::Edition;
use crate::file::writer::{Encoded, TableWriter};
use crate::page::Page;
use crate::page::field_names::FieldNames;
use crate::page::misfits::{Misfits, no_field};
use crate::partition::PartitionKey;
use crate::text::excerpt;

/// Maximum number of rows for which memory is reserved up front. For a larger `count`, memory grows as rows arrive.
const MAX_RESERVED_ROWS: u64 = 4_000_000;

/// Counts of what was received for a partition.
#[derive(Debug, Default)]
pub(crate) struct FetchFacts {
    pub(crate) n_rows: u64,
    pub(crate) n_pages: u32,
    /// When page 1 arrived, if the portal has no rows.
    pub(crate) emptied_at: Option<Timestamp>,
    pub(crate) n_unknown: u64,
    pub(crate) unknown_fields: FieldNames,
    pub(crate) n_misfits: u64,
    /// Rows that repeat an earlier key, and rows with an empty key, of a dataset that keeps them.
    pub(crate) n_repeated_keys: u64,
    pub(crate) n_empty_keys: u64,
}

/// Checks the rows of a partition page by page and encodes them.
pub(crate) struct Validator<'v> {
    dataset: &'v Dataset,
    partition: &'v PartitionKey,
    keys: KeySet,
    table: TableWriter,
    misfits: Vec<Misfits>,
    max_bytes: usize,
    /// Number of rows admitted so far.
    pub(crate) n_rows: u64,
    n_unknown: u64,
    unknown_fields: FieldNames,
}

impl<'v> Validator<'v> {
    pub(crate) fn new(dataset: &'v Dataset, partition: &'v PartitionKey, expected: u64) -> Result<Self, Error> {
        let n_ahead = usize::try_from(expected.min(MAX_RESERVED_ROWS)).unwrap_or(0);
        Ok(Self {
            dataset,
            partition,
            keys: KeySet::new(dataset, n_ahead),
            table: TableWriter::new(dataset, partition, expected).map_err(|source| encode_failed(partition, source))?,
            misfits: vec![Misfits::default(); dataset.columns.len()],
            max_bytes: usize::from(dataset.memory_mib.unwrap_or(MEMORY_MIB)) << 20,
            n_rows: 0,
            n_unknown: 0,
            unknown_fields: FieldNames::default(),
        })
    }

    /// Allows the rows no more than this memory, even if the descriptor or an earlier call does.
    pub(crate) fn restrict(&mut self, max_bytes: usize) {
        self.max_bytes = self.max_bytes.min(max_bytes);
    }

    /// Makes no file if the rows turn out to be those of the file with this edition, if there is one.
    pub(crate) fn unless_same_as(self, other: Option<Edition>) -> Self {
        Self { table: self.table.unless_same_as(other), ..self }
    }

    /// Checks and adds the rows on a page.
    ///
    /// # Errors
    /// [`Error::SchemaDrift`] for a key column without a value; [`Error::PartitionTooLarge`]; [`Error::EncodeFailed`].
    pub(crate) fn admit(&mut self, page: u32, decoded: Page) -> Result<(), Error> {
        for (i, (column, found)) in self.dataset.columns.iter().zip(&decoded.misfits).enumerate() {
            let Some(sum) = self.misfits.get_mut(i) else { continue };
            sum.add(found, self.n_rows);
            // A key that was kept unchanged is still a key, so a few of these are tolerated, as in any other column.
            if found.n_values > found.n_kept
                && self.dataset.repeated_keys == RepeatedKeys::Refuse
                && self.dataset.key.contains(&column.name)
            {
                return Err(self.drift(i, self.n_rows + decoded.batch.num_rows() as u64));
            }
        }
        if let Err(missing) = self.keys.add(&decoded.batch) {
            if let Some(sum) = self.misfits.get_mut(missing.column) {
                let row = self.n_rows + missing.row as u64 + 1;
                let first = Some((row, Some(missing.found.to_owned())));
                *sum = Misfits { n_values: 1, first, ..Misfits::default() };
            }
            return Err(self.drift(missing.column, self.n_rows + decoded.batch.num_rows() as u64));
        }
        self.n_rows += decoded.batch.num_rows() as u64;
        self.n_unknown += decoded.n_unknown;
        self.unknown_fields.merge(&decoded.unknown_fields);
        let is_sorted = self.keys.is_ascending();
        self.table.append(decoded.batch, is_sorted).map_err(|source| encode_failed(self.partition, source))?;
        if self.memory_bytes() > self.max_bytes {
            self.encode_held()?;
        }
        let found_bytes = self.memory_bytes();
        tracing::debug!(partition = %self.partition, page, n_rows = self.n_rows, memory_bytes = found_bytes, "page admitted");
        if found_bytes > self.max_bytes {
            return Err(Error::PartitionTooLarge {
                partition: self.partition.clone(),
                page,
                limit_bytes: self.max_bytes,
                found_bytes,
                n_rows: self.n_rows,
            });
        }
        Ok(())
    }

    /// Encodes the rows that were not encoded yet, so that they take less memory. Returns whether there were any.
    ///
    /// # Errors
    /// [`Error::EncodeFailed`].
    pub(crate) fn encode_held(&mut self) -> Result<bool, Error> {
        self.table.encode_held().map_err(|source| encode_failed(self.partition, source))
    }

    /// Returns the memory that the rows so far take, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.table.memory_bytes() + self.keys.memory_bytes()
    }

    /// Runs the checks that need all rows, and finishes the file. Returns none if it would be the one passed to
    /// [`Self::unless_same_as`].
    ///
    /// # Errors
    /// [`Error::SchemaDrift`] if too many values of a column do not fit; [`Error::DuplicateKey`];
    /// [`Error::EncodeFailed`].
    pub(crate) fn finish(mut self, n_pages: u32) -> Result<(FetchFacts, Option<Encoded>), Error> {
        for found in &mut self.misfits {
            found.settle_absent(self.n_rows);
        }
        for (i, found) in self.misfits.iter().enumerate() {
            // More than one misfit per thousand rows is no accident.
            if found.n_values * 1000 > self.n_rows {
                return Err(self.drift(i, self.n_rows));
            }
        }
        let repeated = self.keys.find_repeated();
        let n_repeated_keys = repeated.as_ref().map_or(0, |repeated| repeated.n_rows);
        if let Some(repeated) = repeated.filter(|_| self.dataset.repeated_keys == RepeatedKeys::Refuse) {
            return Err(Error::DuplicateKey {
                partition: self.partition.clone(),
                key: repeated.key,
                n_repeated: repeated.n_rows,
                n_rows: self.n_rows,
            });
        }
        let facts = FetchFacts {
            emptied_at: None,
            n_rows: self.n_rows,
            n_pages,
            n_unknown: self.n_unknown,
            unknown_fields: self.unknown_fields,
            n_misfits: self.misfits.iter().map(|found| found.n_values).sum(),
            n_repeated_keys,
            n_empty_keys: self.keys.n_empty,
        };
        let partition = self.partition;
        let is_unchanged = self.table.is_unchanged();
        tracing::debug!(%partition, n_rows = facts.n_rows, is_unchanged, "rows complete");
        if is_unchanged {
            return Ok((facts, None));
        }
        let encoded = self.table.finish().map_err(|source| encode_failed(partition, source))?;
        tracing::debug!(%partition, size_bytes = encoded.bytes.len(), "partition encoded");
        Ok((facts, Some(encoded)))
    }

    /// Returns the error for a column with misfits, after `n_rows` rows.
    fn drift(&self, column: usize, n_rows: u64) -> Error {
        let declared = self.dataset.columns.get(column);
        let (name, kind) = declared.map_or(("", ""), |column| (column.name.as_str(), column.kind.glue_type()));
        let found = self.misfits.get(column).cloned().unwrap_or_default();
        let (row, raw) = found.first.unwrap_or_default();
        // Lost values were replaced with null; kept values are only too long or cannot be padded.
        let is_lost = found.n_values > found.n_kept;
        let is_key = is_lost && self.dataset.key.iter().any(|key| key == name);
        let expected = match declared.and_then(|column| Some((column.width?, &column.starts_with))) {
            Some((width, others)) if !is_lost => {
                let others: Vec<String> = others.keys().map(|name| format!("`{name}`")).collect();
                let prefix = match others.as_slice() {
                    [] => String::new(),
                    others => format!(" that starts with the row's {} after padding", others.join(" and ")),
                };
                format!("{kind} of at most {width} characters{prefix}")
            }
            _ if is_key => format!("{kind}, never null or empty"),
            _ => kind.to_owned(),
        };
        Error::SchemaDrift {
            partition: self.partition.clone(),
            column: name.into(),
            expected: expected.into(),
            found: raw.map_or_else(|| no_field(declared), |raw| format!("`{}`", excerpt(&raw))),
            row,
            n_misfits: found.n_values,
            n_rows,
            key: is_key.then(|| self.dataset.key.join(", ").into()),
        }
    }
}

fn encode_failed(partition: &PartitionKey, source: parquet::errors::ParquetError) -> Error {
    Error::EncodeFailed { object: partition.to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{enrollment, page, partition, row};

    #[test]
    fn an_implausible_count_reserves_no_memory_before_its_rows_arrive() {
        let (dataset, partition) = (enrollment(), partition());
        for count in [u64::MAX, 1 << 60, MAX_RESERVED_ROWS, 1, 0] {
            assert_eq!(Validator::new(&dataset, &partition, count).unwrap().n_rows, 0);
        }
    }

    #[test]
    fn the_memory_of_rows_is_that_of_their_columns_and_keys() {
        let (dataset, partition) = (enrollment(), partition());
        let mut validator = Validator::new(&dataset, &partition, 2).unwrap();
        let decoder = crate::page::PageDecoder::new(&dataset, &partition);
        let decoded = decoder.decode(1, page(2, None, &[row(1, "5"), row(2, "5")]).as_bytes()).unwrap();
        validator.admit(1, decoded).unwrap();
        let (columns, keys) = (validator.table.memory_bytes(), validator.keys.memory_bytes());
        assert!(columns > 100 && keys == 2 && validator.memory_bytes() == columns + keys, "{columns} and {keys}");
    }

    #[test]
    fn a42_a_descriptor_can_allow_a_partition_more_memory() {
        let (mut dataset, partition) = (enrollment(), partition());
        assert_eq!(Validator::new(&dataset, &partition, 0).unwrap().max_bytes, 48 << 20);
        dataset.memory_mib = Some(192);
        let mut validator = Validator::new(&dataset, &partition, 0).unwrap();
        assert_eq!(validator.max_bytes, 192 << 20);
        // But not more than the process has beside the largest page so far.
        for (max_mib, expected) in [(200, 192), (150, 150), (170, 150)] {
            validator.restrict(max_mib << 20);
            assert_eq!(validator.max_bytes, expected << 20);
        }
    }

    #[test]
    fn a_partition_is_not_too_large_because_rows_are_held_that_need_not_be_encoded() {
        let (dataset, partition) = (enrollment(), partition());
        let decoder = crate::page::PageDecoder::new(&dataset, &partition);
        let admit_all = |mut validator: Validator<'_>| {
            let mut max_bytes = 0;
            for number in 1..=6 {
                let rows: Vec<String> = (0..20_000).map(|i| row(u64::from(number) * 20_000 + i, "5")).collect();
                validator.admit(number, decoder.decode(number, page(120_000, None, &rows).as_bytes()).unwrap())?;
                max_bytes = max_bytes.max(validator.memory_bytes());
            }
            Ok::<_, Error>((max_bytes, validator.finish(6)?.1))
        };
        let new = || Validator::new(&dataset, &partition, 120_000).unwrap();
        let (max_bytes, encoded) = admit_all(new()).unwrap();
        let other = encoded.unwrap().edition;
        let (max_held_bytes, encoded) = admit_all(new().unless_same_as(Some(other))).unwrap();
        assert!(max_held_bytes > max_bytes && encoded.is_none(), "{max_held_bytes} and {max_bytes}");
        let limited = Validator { max_bytes, ..new().unless_same_as(Some(other)) };
        assert!(admit_all(limited).unwrap().1.is_some());
    }

    /// Found by use: B6.
    #[test]
    fn a42_a_partition_above_the_memory_limit_is_refused_with_both_numbers() {
        let (dataset, partition) = (enrollment(), partition());
        let mut validator = Validator::new(&dataset, &partition, 30).unwrap();
        validator.max_bytes = 20_000;
        let decoder = crate::page::PageDecoder::new(&dataset, &partition);
        // Most bytes are in a field that has no column.
        let row =
            |school: u64| row(school, "5").replace("\"fips\"", &format!("\"new\":\"{}\",\"fips\"", "x".repeat(500)));
        let mut admit = |number: u32| {
            let rows: Vec<String> = (0..10).map(|i| row(u64::from(number) * 10 + i)).collect();
            validator.admit(number, decoder.decode(number, page(30, None, &rows).as_bytes()).unwrap())
        };
        admit(1).unwrap();
        let error = admit(2).unwrap_err();
        let Error::PartitionTooLarge { page, limit_bytes, found_bytes, n_rows, .. } = error else { panic!("{error}") };
        assert_eq!((page, limit_bytes, n_rows), (2, 20_000, 20));
        assert!((20_001..60_000).contains(&found_bytes), "{found_bytes}");
        assert_eq!(
            error.chain(),
            format!(
                "fetch page 2 of `year=2021/grade=grade-pk`: partition too large: expected at most 20000 bytes for its file \
                 and keys, found {found_bytes} after 20 rows"
            )
        );
    }
}
