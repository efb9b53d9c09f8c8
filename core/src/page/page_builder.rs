//! The columns of a page while it is read.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::ArrowError;

use crate::dataset::Dataset;
use crate::page::arrays::Texts;
use crate::page::column_builder::ColumnBuilder;
use crate::page::field_names::FieldNames;
use crate::page::misfits::{Misfits, NO_FIELD};
use crate::page::padding::{Check, checks};

/// Most values of a page, nulls included: more than seven pages of the portal's widest table have. A body of few bytes may
/// have many rows, and an absent field takes as much memory as any other.
pub(super) const MOST_VALUES: u64 = 4_000_000;

/// What is kept of the envelope.
#[derive(Default)]
pub(super) struct Envelope {
    pub(super) count: Option<u64>,
    pub(super) next: Option<String>,
    pub(super) has_next: bool,
    pub(super) has_results: bool,
}

/// Why decoding stopped, where the reason is ours and not the JSON's.
pub(super) enum RowFailure {
    RepeatedField { row: u64, field: String },
    WrongAxis { row: u64, axis: usize, found: String },
    MissingKey { row: u64, column: usize },
    TooMany { limit: u64, what: String },
}

/// Where a field of a row goes.
#[derive(Clone, Copy)]
pub(super) enum Slot {
    Column(usize),
    Axis(usize),
}

pub(super) struct Field {
    pub(super) name: String,
    pub(super) slot: Slot,
    is_key: bool,
    /// Row (from 1) that last had this field.
    pub(super) seen_in: u64,
}

/// The columns of a page while it is read.
pub(super) struct PageBuilder {
    pub(super) fields: Vec<Field>,
    /// Position in `fields` of the first row's k-th field; past the end for a field that is none of them.
    order: Vec<usize>,
    pub(super) columns: Vec<ColumnBuilder>,
    /// Columns whose padding is checked at the end of a row, the narrowest first: a wider one may begin with it.
    checks: Vec<Check>,
    /// The JSON text of what this row's columns padded and is not checked yet; of the exact pass alone.
    pub(super) padded: Vec<(usize, String)>,
    pub(super) codes: Vec<i64>,
    pub(super) misfits: Vec<Misfits>,
    pub(super) rescued: Texts,
    /// What this row could not place: field and JSON text.
    pub(super) leftover: BTreeMap<String, String>,
    pub(super) n_rows: u64,
    pub(super) most_rows: u64,
    pub(super) n_unknown: u64,
    pub(super) unknown_fields: FieldNames,
    /// Every value is read from its own text.
    pub(super) is_exact_pass: bool,
    /// Something did not fit and its text is gone: the page must be read again.
    pub(super) is_inexact: bool,
    pub(super) failure: Option<RowFailure>,
}

impl PageBuilder {
    pub(super) fn new(dataset: &Dataset, axis_codes: &[(String, i64)], is_exact_pass: bool) -> Self {
        let columns = dataset.columns.iter().enumerate();
        let axes = axis_codes.iter().enumerate();
        let fields: Vec<Field> = columns
            .map(|(i, column)| (&column.name, Slot::Column(i)))
            .chain(axes.map(|(i, (name, _))| (name, Slot::Axis(i))))
            .map(|(name, slot)| Field { name: name.clone(), slot, is_key: dataset.key.contains(name), seen_in: 0 })
            .collect();
        Self {
            order: Vec::with_capacity(fields.len()),
            fields,
            columns: dataset.columns.iter().map(ColumnBuilder::new).collect(),
            checks: checks(dataset),
            padded: Vec::new(),
            codes: axis_codes.iter().map(|(_, code)| *code).collect(),
            misfits: vec![Misfits::default(); dataset.columns.len()],
            rescued: Texts::default(),
            leftover: BTreeMap::new(),
            n_rows: 0,
            // `_rescued` is a column too.
            most_rows: MOST_VALUES / (dataset.columns.len() as u64 + 1),
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

    /// The field that a row's `position`-th key names, remembering the order of the first row.
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

    fn note_misfit(&mut self, column: usize, raw: Option<String>, is_kept: bool) {
        if let Some(misfits) = self.misfits.get_mut(column) {
            let one = Misfits { n_values: 1, n_kept: u64::from(is_kept), first: Some((self.n_rows, raw)) };
            misfits.add(&one, 0);
        }
    }

    /// Keeps a value that does not fit, with the text it has in JSON.
    pub(super) fn keep(&mut self, column: usize, raw: String, is_kept: bool) {
        // Columns come first among the fields.
        if let Some(field) = self.fields.get(column) {
            self.leftover.insert(field.name.clone(), raw.clone());
        }
        self.note_misfit(column, Some(raw), is_kept);
    }

    /// Whether all that this row padded begins with what it should; what does not is as it came then.
    pub(super) fn settle_padding(&mut self) -> bool {
        let mut agree = true;
        for check in &self.checks {
            let Some(text) =
                self.columns.get(check.column).filter(|it| it.is_padded()).and_then(ColumnBuilder::last_text)
            else {
                continue;
            };
            let mut is_known = false;
            let mut agrees = true;
            for (other, n_more) in &check.begins_with {
                if let Some(begins) = self.columns.get(*other).and_then(|other| other.begins(text, *n_more)) {
                    is_known = true;
                    agrees &= begins;
                }
            }
            // Where nothing is known of the row, nothing agrees.
            let agrees = agrees && is_known;
            if let Some(builder) = self.columns.get_mut(check.column) {
                builder.settle(agrees);
            }
            agree &= agrees;
            if agrees {
                self.padded.retain(|(column, _)| *column != check.column);
            }
        }
        agree
    }

    /// Gives absent fields their nulls and writes what was left over of the row.
    pub(super) fn end_row(&mut self) -> Result<(), ()> {
        let mut no_key = None;
        for i in 0..self.fields.len() {
            let Some(field) = self.fields.get(i) else { continue };
            if field.seen_in == self.n_rows {
                continue;
            }
            match field.slot {
                Slot::Column(column) if field.is_key => {
                    no_key.get_or_insert(column);
                }
                Slot::Column(column) => {
                    if let Some(builder) = self.columns.get_mut(column) {
                        builder.append_null();
                    }
                    self.note_misfit(column, None, false);
                }
                Slot::Axis(axis) => {
                    self.failure = Some(RowFailure::WrongAxis { row: self.n_rows, axis, found: NO_FIELD.to_owned() });
                    return Err(());
                }
            }
        }
        if let Some(column) = no_key {
            self.failure = Some(RowFailure::MissingKey { row: self.n_rows, column });
            return Err(());
        }
        if !self.settle_padding() {
            // The exact pass has the text of what was not padded after all.
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

/// The JSON object of what a row could not place, in order of field names.
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
