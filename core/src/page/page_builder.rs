//! Builds the columns of a page.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::ArrowError;

use crate::dataset::{Dataset, RepeatedKeys};
use crate::page::arrays::Texts;
use crate::page::column_builder::ColumnBuilder;
use crate::page::field_names::FieldNames;
use crate::page::misfits::{Misfits, NO_FIELD};
use crate::page::padding::{PaddingCheck, padding_checks};

/// Maximum number of values on a page, including nulls. Seven pages of the portal's widest table have fewer in total.
/// Without this limit, a small body could have very many rows, and an absent field takes as much memory as any other.
pub(super) const MAX_VALUES: u64 = 4_000_000;

/// The fields of the envelope, other than the rows.
#[derive(Default)]
pub(super) struct Envelope {
    pub(super) count: Option<u64>,
    pub(super) next: Option<String>,
    pub(super) has_next: bool,
    pub(super) has_results: bool,
}

/// Why decoding stopped at a row that is valid JSON.
pub(super) enum RowFailure {
    RepeatedField { row: u64, field: String },
    WrongAxis { row: u64, axis: usize, found: String },
    MissingKey { row: u64, column: usize },
    TooMany { limit: u64, what: String },
}

/// Where a field of a row is stored.
#[derive(Clone, Copy)]
pub(super) enum Slot {
    Column(usize),
    Axis(usize),
}

pub(super) struct Field {
    pub(super) name: String,
    pub(super) slot: Slot,
    /// Whether a row without this field is refused.
    is_key: bool,
    /// Row (1-based) that last had this field.
    pub(super) seen_in: u64,
}

/// Builds the columns of a page.
pub(super) struct PageBuilder {
    pub(super) fields: Vec<Field>,
    /// Index in `fields` of each field of the first row; `usize::MAX` for an unknown field.
    order: Vec<usize>,
    pub(super) columns: Vec<ColumnBuilder>,
    /// Whether the field of a column may be absent.
    is_optional: Vec<bool>,
    /// Padding checks to run at the end of a row, narrowest column first, because wider text may start with narrower
    /// text.
    checks: Vec<PaddingCheck>,
    /// Columns of this row whose padded text is not checked yet, each with its JSON text. Only the exact pass fills
    /// this.
    pub(super) padded: Vec<(usize, String)>,
    pub(super) codes: Vec<i64>,
    pub(super) misfits: Vec<Misfits>,
    pub(super) rescued: Texts,
    /// Fields of this row that are unknown or do not fit, with their JSON text.
    pub(super) leftover: BTreeMap<String, String>,
    pub(super) n_rows: u64,
    pub(super) max_rows: u64,
    pub(super) n_unknown: u64,
    pub(super) unknown_fields: FieldNames,
    /// Whether every value is read from its own JSON text.
    pub(super) is_exact_pass: bool,
    /// Whether a value did not fit and its text was not kept, so the page must be read again.
    pub(super) is_inexact: bool,
    pub(super) failure: Option<RowFailure>,
}

impl PageBuilder {
    pub(super) fn new(dataset: &Dataset, axis_codes: &[(String, i64)], is_exact_pass: bool) -> Self {
        let columns = dataset.columns.iter().enumerate().map(|(i, column)| {
            let is_key = dataset.repeated_keys == RepeatedKeys::Refuse && dataset.key.contains(&column.name);
            Field { name: column.field().to_owned(), slot: Slot::Column(i), is_key, seen_in: 0 }
        });
        let axes = axis_codes.iter().enumerate();
        let axes =
            axes.map(|(i, (name, _))| Field { name: name.clone(), slot: Slot::Axis(i), is_key: false, seen_in: 0 });
        let fields: Vec<Field> = columns.chain(axes).collect();
        Self {
            order: Vec::with_capacity(fields.len()),
            fields,
            columns: dataset.columns.iter().map(ColumnBuilder::new).collect(),
            is_optional: dataset.columns.iter().map(|column| column.optional).collect(),
            checks: padding_checks(dataset),
            padded: Vec::new(),
            codes: axis_codes.iter().map(|(_, code)| *code).collect(),
            misfits: vec![Misfits::default(); dataset.columns.len()],
            rescued: Texts::default(),
            leftover: BTreeMap::new(),
            n_rows: 0,
            // One more column for `_rescued`.
            max_rows: MAX_VALUES / (dataset.columns.len() as u64 + 1),
            n_unknown: 0,
            unknown_fields: FieldNames::default(),
            is_exact_pass,
            is_inexact: false,
            failure: None,
        }
    }

    pub(super) fn finish(mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        let mut arrays: Vec<ArrayRef> = self.columns.iter_mut().map(ColumnBuilder::finish).collect::<Result<_, _>>()?;
        arrays.push(Arc::new(self.rescued.finish()?));
        Ok(arrays)
    }

    /// Returns the index of the field named `key`, which is at `position` in its row. Remembers the order of the first
    /// row.
    pub(super) fn find(&mut self, position: usize, key: &str) -> Option<usize> {
        if let Some(&expected) = self.order.get(position)
            && self.fields.get(expected).is_some_and(|field| field.name == key)
        {
            return Some(expected);
        }
        let found = self.fields.iter().position(|field| field.name == key);
        if self.order.len() == position {
            self.order.push(found.unwrap_or(usize::MAX));
        }
        found
    }

    /// Counts a misfit of this row.
    fn count_misfit(&mut self, column: usize, raw: Option<String>, is_kept: bool) {
        if let Some(misfits) = self.misfits.get_mut(column) {
            let first = Some((self.n_rows, raw));
            let one = Misfits { n_values: 1, n_kept: u64::from(is_kept), first, ..Misfits::default() };
            misfits.add(&one, 0);
        }
    }

    /// Keeps the JSON text of a value that does not fit.
    pub(super) fn keep(&mut self, column: usize, raw: String, is_kept: bool) {
        // Columns come first among the fields.
        if let Some(field) = self.fields.get(column) {
            self.leftover.insert(field.name.clone(), raw.clone());
        }
        self.count_misfit(column, Some(raw), is_kept);
    }

    /// Checks all padded text of this row against the other columns, and removes padding that is not valid. Returns
    /// whether all of it was valid.
    pub(super) fn settle_padding(&mut self) -> bool {
        let mut are_all_valid = true;
        for check in &self.checks {
            let Some(text) =
                self.columns.get(check.column).filter(|it| it.is_padded()).and_then(ColumnBuilder::last_text)
            else {
                continue;
            };
            let mut is_known = false;
            let mut agrees = true;
            for (other, n_more) in &check.starts_with {
                if let Some(is_prefix) = self.columns.get(*other).and_then(|other| other.is_prefix_of(text, *n_more)) {
                    is_known = true;
                    agrees &= is_prefix;
                }
            }
            // Without a value to compare with, the padding is not valid.
            let is_valid = agrees && is_known;
            if let Some(builder) = self.columns.get_mut(check.column) {
                builder.settle_padding(is_valid);
            }
            are_all_valid &= is_valid;
            if is_valid {
                self.padded.retain(|(column, _)| *column != check.column);
            }
        }
        are_all_valid
    }

    /// Appends a null for a field that is absent from this row.
    pub(super) fn append_absent(&mut self, column: usize) {
        if let Some(builder) = self.columns.get_mut(column) {
            builder.append_null();
        }
        if self.may_be_absent(column) {
            if let Some(misfits) = self.misfits.get_mut(column) {
                misfits.count_absent(self.n_rows);
            }
        } else {
            self.count_misfit(column, None, false);
        }
    }

    /// Returns whether the field of a column may be absent.
    pub(super) fn may_be_absent(&self, column: usize) -> bool {
        self.is_optional.get(column) == Some(&true)
    }

    /// Finishes a row: appends nulls for absent fields, checks padding and writes `_rescued`.
    pub(super) fn end_row(&mut self) -> Result<(), ()> {
        let mut missing_key = None;
        for i in 0..self.fields.len() {
            let Some(field) = self.fields.get(i) else { continue };
            if field.seen_in == self.n_rows {
                continue;
            }
            match field.slot {
                Slot::Column(column) if field.is_key => {
                    missing_key.get_or_insert(column);
                }
                Slot::Column(column) => self.append_absent(column),
                Slot::Axis(axis) => {
                    self.failure = Some(RowFailure::WrongAxis { row: self.n_rows, axis, found: NO_FIELD.to_owned() });
                    return Err(());
                }
            }
        }
        if let Some(column) = missing_key {
            self.failure = Some(RowFailure::MissingKey { row: self.n_rows, column });
            return Err(());
        }
        if !self.settle_padding() {
            // Only the exact pass has the text of values whose padding was removed.
            self.is_inexact |= !self.is_exact_pass;
            for (column, raw) in std::mem::take(&mut self.padded) {
                self.keep(column, raw, true);
            }
        }
        if self.leftover.is_empty() {
            self.rescued.append_nulls(1);
        } else {
            self.rescued.append(&render_leftover(&self.leftover));
            self.leftover.clear();
        }
        Ok(())
    }
}

/// Formats the leftover fields of a row as a JSON object, in the order of their names.
fn render_leftover(leftover: &BTreeMap<String, String>) -> String {
    let mut text = String::from("{");
    for (i, (name, raw)) in leftover.iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        text.push_str(&serde_json::Value::from(name.as_str()).to_string());
        text.push(':');
        text.push_str(raw);
    }
    text.push('}');
    text
}
