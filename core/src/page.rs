//! Decodes the body of one portal page, given as bytes, into columns. This is the hot path.
//!
//! Values go straight from the JSON text into columns, without row structs or a JSON tree. Only what is kept is copied.
//!
//! - The scanner (`scan`) reads rows that look like the page's first row.
//! - Serde reads a row that looks different, and the whole page if many rows do. It remembers the order of the first
//!   row's fields, so that a row in the same order costs one comparison per field.
//! - If serde finds a value that does not fit its column, the page is decoded again in an exact pass, which reads every
//!   value from its own JSON text. The exact pass decides what fits, and keeps what does not.

mod arrays;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod column_builder;
pub mod field_names;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod laws;
pub mod misfits;
pub(crate) mod numbers;
mod padding;
mod page_builder;
mod scan;
mod serde_rows;
mod serde_value;
#[cfg(test)]
mod tests;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use crate::dataset::Dataset;
use crate::error::Error;
use crate::page::field_names::FieldNames;
use crate::page::misfits::{Misfits, no_field};
use crate::page::page_builder::{Envelope, PageBuilder, RowFailure};
use crate::partition::PartitionKey;
use crate::ports::portal::PortalError;
use crate::text::{body_in_words, excerpt};

/// A decoded page.
#[derive(Debug)]
pub struct Page {
    /// The envelope's `count`: the number of rows in the whole partition, according to the portal.
    pub count: u64,
    /// The envelope's `next`, unchecked.
    pub next: Option<String>,
    /// Rows in page order, with columns in the order of [`Dataset::file_schema`].
    pub batch: RecordBatch,
    /// For each column of the descriptor, the values on this page that do not fit.
    pub misfits: Vec<Misfits>,
    /// Number of rows with a field that is not in the descriptor.
    pub n_unknown: u64,
    /// Names of those fields.
    pub unknown_fields: FieldNames,
}

/// Decodes the pages of one partition.
#[derive(Debug, Clone)]
pub struct PageDecoder {
    dataset: Dataset,
    partition: PartitionKey,
    codes: Vec<(String, i64)>,
    schema: SchemaRef,
}

impl PageDecoder {
    /// Creates a decoder for the pages of `partition`.
    #[must_use]
    pub fn new(dataset: &Dataset, partition: &PartitionKey) -> Self {
        Self {
            dataset: dataset.clone(),
            partition: partition.clone(),
            codes: dataset.codes(partition),
            schema: dataset.file_schema(),
        }
    }

    fn builder(&self, is_exact_pass: bool) -> PageBuilder {
        PageBuilder::new(&self.dataset, &self.codes, is_exact_pass)
    }

    /// Decodes page `page` (1-based) from its complete body.
    ///
    /// - `body`: UTF-8 JSON `{"count": u64, "next": string or null, "results": [{..}]}`.
    /// - Every row's axis fields must match the partition. They are dropped, because the object's path has them.
    ///
    /// # Errors
    /// [`Error::BadBody`] if the body is not such an object; [`Error::WrongPartition`] if an axis field of a row
    /// differs; [`Error::SchemaDrift`] for the first row (1-based within this page) that lacks a key field;
    /// [`Error::BodyTooLarge`] for rows with more than 4,000,000 values in total, or more than 10,000 unknown fields in
    /// one row.
    ///
    /// Source of the envelope: recorded responses of the Education Data Portal.
    pub fn decode(&self, page: u32, body: &[u8]) -> Result<Page, Error> {
        let text = std::str::from_utf8(body)
            .map_err(|error| self.bad_body(page, format!("invalid UTF-8 at offset {}", error.valid_up_to()), None))?;
        if !text.trim_start().starts_with('{') {
            let found = if text.trim().is_empty() { "an empty body".to_owned() } else { body_in_words(text) };
            return Err(self.bad_body(page, found, None));
        }
        let mut builder = self.builder(false);
        match builder.scan(text) {
            Some(envelope) => self.assemble(page, text, envelope, builder),
            None => self.decode_by_serde(page, text),
        }
    }

    /// Decodes a page that the scanner does not support, or returns its error.
    fn decode_by_serde(&self, page: u32, text: &str) -> Result<Page, Error> {
        let mut builder = self.builder(false);
        let mut read = builder.read(text);
        if read.is_err() || builder.is_inexact {
            builder = self.builder(true);
            read = builder.read(text);
        }
        let envelope = match read {
            Ok(envelope) => envelope,
            Err(error) => {
                return Err(match builder.failure.take() {
                    Some(RowFailure::RepeatedField { row, field }) => {
                        self.bad_body(page, format!("a duplicate field `{}` in row {row}", excerpt(&field)), None)
                    }
                    Some(RowFailure::WrongAxis { row, axis, found }) => {
                        let (column, expected) = self.codes.get(axis).cloned().unwrap_or_default();
                        Error::WrongPartition { partition: self.partition.clone(), page, row, column, expected, found }
                    }
                    Some(RowFailure::MissingKey { row, column }) => self.missing_key(row, column),
                    Some(RowFailure::TooMany { limit, what }) => Error::BodyTooLarge {
                        partition: self.partition.clone(),
                        page,
                        source: PortalError::TooMany { limit, what },
                    },
                    None if text.trim_start().starts_with('<') => self.bad_body(page, body_in_words(text), None),
                    None => self.bad_body(page, format!("`{}`", excerpt(near(text, &error))), Some(error)),
                });
            }
        };
        self.assemble(page, text, envelope, builder)
    }

    /// Assembles a page from its envelope and its columns.
    fn assemble(&self, page: u32, text: &str, envelope: Envelope, mut builder: PageBuilder) -> Result<Page, Error> {
        let (Some(count), true) = (envelope.count, envelope.has_results) else {
            return Err(self.bad_body(page, format!("`{}`", excerpt(text)), None));
        };
        let n_unknown = builder.n_unknown;
        let unknown_fields = std::mem::take(&mut builder.unknown_fields);
        let misfits = std::mem::take(&mut builder.misfits);
        let batch = builder
            .finish()
            .and_then(|columns| RecordBatch::try_new(self.schema.clone(), columns))
            .map_err(|error| self.bad_body(page, format!("columns that cannot be assembled ({error})"), None))?;
        Ok(Page { count, next: envelope.next, batch, misfits, n_unknown, unknown_fields })
    }

    /// Returns the error for a row (1-based within its page) that lacks a key column's field.
    fn missing_key(&self, row: u64, column: usize) -> Error {
        let declared = self.dataset.columns.get(column);
        let (name, kind) = declared.map_or(("", ""), |column| (column.name.as_str(), column.kind.glue_type()));
        Error::SchemaDrift {
            partition: self.partition.clone(),
            column: name.into(),
            expected: format!("{kind}, never null or empty").into(),
            found: no_field(declared),
            row,
            n_misfits: 1,
            n_rows: row,
            key: Some(self.dataset.key.join(", ").into()),
        }
    }

    fn bad_body(&self, page: u32, found: String, source: Option<serde_json::Error>) -> Error {
        Error::BadBody { partition: self.partition.clone(), page, found, source }
    }
}

/// Returns the text around the position of an error.
fn near<'t>(text: &'t str, error: &serde_json::Error) -> &'t str {
    const BEFORE: usize = 80;
    const AFTER: usize = 40;
    let line_start: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let at = (line_start + error.column()).min(text.len());
    let start = text.floor_char_boundary(at.saturating_sub(BEFORE));
    let end = text.ceil_char_boundary((at + AFTER).min(text.len()));
    text.get(start..end).unwrap_or(text)
}
