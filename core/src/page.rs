//! One page of the portal, from body bytes to columns. The hot path.
//!
//! Values go from the JSON text straight into columns: no row structs, no JSON tree, nothing copied but what is kept.
//! Rows that look like the page's first one are scanned (`scan`); an odd row is read by serde, and so is a page of which
//! many are odd. There the key order of the first row is remembered, so that a row in the same order costs one
//! comparison a key. A page that serde reads and on which something does not fit is decoded a second time with every
//! value's own text at hand; that pass decides and keeps what it cannot fit.

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
use crate::page::misfits::{Misfits, NO_FIELD};
use crate::page::page_builder::{Envelope, PageBuilder, RowFailure};
use crate::partition::PartitionKey;
use crate::ports::portal::PortalError;
use crate::text::excerpt;

/// One page, decoded.
#[derive(Debug)]
pub struct Page {
    /// The envelope's `count`: rows of the whole partition, as the portal says.
    pub count: u64,
    /// The envelope's `next`, as it came.
    pub next: Option<String>,
    /// Rows in page order, columns in [`Dataset::file_schema`]'s order.
    pub batch: RecordBatch,
    /// For each column of the descriptor, what did not fit it on this page.
    pub misfits: Vec<Misfits>,
    /// Rows with a field that the descriptor does not know.
    pub n_unknown: u64,
    /// Names of such fields.
    pub unknown_fields: FieldNames,
}

/// Decodes pages of one partition.
#[derive(Debug, Clone)]
pub struct PageDecoder<'d> {
    dataset: &'d Dataset,
    partition: &'d PartitionKey,
    codes: Vec<(String, i64)>,
    schema: SchemaRef,
}

impl<'d> PageDecoder<'d> {
    /// A decoder of pages of `partition`.
    #[must_use]
    pub fn new(dataset: &'d Dataset, partition: &'d PartitionKey) -> Self {
        Self { dataset, partition, codes: dataset.codes(partition), schema: dataset.file_schema() }
    }

    fn builder(&self, is_exact_pass: bool) -> PageBuilder {
        PageBuilder::new(self.dataset, &self.codes, is_exact_pass)
    }

    /// Decodes page `page` (from 1) from its whole body.
    ///
    /// - `body`: UTF-8 JSON `{"count": u64, "next": string or null, "results": [{..}]}`.
    /// - Each row's axis fields must be the partition's; they are dropped, since the path holds them.
    ///
    /// # Errors
    /// [`Error::BadBody`] when the body is not such an object; [`Error::WrongPartition`] when a row's axis differs;
    /// [`Error::SchemaDrift`] at the first row that lacks a field of the key, its rows counted from 1 on this page;
    /// [`Error::BodyTooLarge`] for more rows than 4,000,000 values make, or more than 10,000 unknown fields in a row.
    ///
    /// Source of the envelope: recorded answers of the Education Data Portal.
    pub fn decode(&self, page: u32, body: &[u8]) -> Result<Page, Error> {
        let text = std::str::from_utf8(body).map_err(|error| {
            self.bad_body(page, format!("a byte that is not UTF-8 at offset {}", error.valid_up_to()), None)
        })?;
        if !text.trim_start().starts_with('{') {
            let found =
                if text.trim().is_empty() { "an empty body".to_owned() } else { format!("`{}`", excerpt(text)) };
            return Err(self.bad_body(page, found, None));
        }
        let mut builder = self.builder(false);
        match builder.scan(text) {
            Some(envelope) => self.assemble(page, text, envelope, builder),
            None => self.decode_by_serde(page, text),
        }
    }

    /// Decodes any page: what the scanner does not take, and what is wrong.
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
                        self.bad_body(page, format!("field `{}` twice in row {row}", excerpt(&field)), None)
                    }
                    Some(RowFailure::WrongAxis { row, axis, found }) => {
                        let (column, expected) = self.codes.get(axis).cloned().unwrap_or_default();
                        Error::WrongPartition { partition: self.partition.clone(), page, row, column, expected, found }
                    }
                    Some(RowFailure::MissingKey { row, column }) => self.no_key(row, column),
                    Some(RowFailure::TooMany { limit, what }) => Error::BodyTooLarge {
                        partition: self.partition.clone(),
                        page,
                        source: PortalError::TooMany { limit, what },
                    },
                    None => self.bad_body(page, format!("`{}`", excerpt(near(text, &error))), Some(error)),
                });
            }
        };
        self.assemble(page, text, envelope, builder)
    }

    /// A page from what was read of it.
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
            .map_err(|error| self.bad_body(page, format!("columns that do not line up ({error})"), None))?;
        Ok(Page { count, next: envelope.next, batch, misfits, n_unknown, unknown_fields })
    }

    /// A row, counted on its page, has no field of this column.
    fn no_key(&self, row: u64, column: usize) -> Error {
        let declared = self.dataset.columns.get(column);
        let (name, kind) = declared.map_or(("", ""), |column| (column.name.as_str(), column.kind.glue_type()));
        Error::SchemaDrift {
            partition: self.partition.clone(),
            column: name.into(),
            expected: format!("{kind}, never null or empty").into(),
            found: NO_FIELD.to_owned(),
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

/// The text around the place that an error names.
fn near<'t>(text: &'t str, error: &serde_json::Error) -> &'t str {
    const BEFORE: usize = 80;
    const AFTER: usize = 40;
    let line_start: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let at = (line_start + error.column()).min(text.len());
    let start = text.floor_char_boundary(at.saturating_sub(BEFORE));
    let end = text.ceil_char_boundary((at + AFTER).min(text.len()));
    text.get(start..end).unwrap_or(text)
}
