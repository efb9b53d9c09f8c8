//! One page of the portal, from body bytes to columns. The hot path.
//!
//! Values go from the JSON text straight into columns: no row structs, no JSON tree, nothing copied but what is kept.
//! Rows that look like the page's first one are scanned (`scan`); an odd row is read by serde, and so is a page of which
//! many are odd. There the key order of the first row is remembered, so that a row in the same order costs one
//! comparison a key. A page that serde reads and on which something does not fit is decoded a second time with every
//! value's own text at hand; that pass decides and keeps what it cannot fit.

#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod laws;
mod scan;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, SchemaRef};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::column::Texts;
use crate::dataset::Dataset;
use crate::error::{Error, excerpt};
use crate::fit::{ColumnBuilder, Fit, parse_integral};
use crate::partition::PartitionKey;
use crate::ports::PortalError;

/// Most values of a page, nulls included: more than seven pages of the portal's widest table have. A body of few bytes may
/// have many rows, and an absent field takes as much memory as any other.
const MOST_VALUES: u64 = 4_000_000;

/// Most fields of a row that the descriptor does not know: each takes more memory than its text.
const MOST_UNKNOWN: usize = 10_000;

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

/// Names of fields that the descriptor does not know: as many as people read, each as long as they read it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldNames(BTreeSet<String>);

impl FieldNames {
    /// Most names that are kept; of more, those that are first in the alphabet.
    pub const MOST: usize = 20;
    const MOST_CHARACTERS: usize = 64;

    fn add(&mut self, name: &str) {
        match name.char_indices().nth(Self::MOST_CHARACTERS).and_then(|(end, _)| name.get(..end)) {
            Some(beginning) => self.insert(&format!("{beginning}…")),
            None => self.insert(name),
        }
    }

    /// A row may hold thousands of names: one that has no place costs a comparison.
    fn insert(&mut self, name: &str) {
        if self.0.len() >= Self::MOST && self.0.last().is_some_and(|last| last.as_str() <= name) {
            return;
        }
        self.0.insert(name.to_owned());
        if self.0.len() > Self::MOST {
            self.0.pop_last();
        }
    }

    /// Adds the names of another page.
    pub(crate) fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|name| self.insert(name));
    }

    /// The names, in the order of the alphabet.
    #[must_use]
    pub fn into_names(self) -> Vec<String> {
        self.0.into_iter().collect()
    }
}

/// Values of one column that do not fit it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Misfits {
    /// How many, absent fields included.
    pub n_values: u64,
    /// Of those, how many stand in the column as they came: text that is too long, or that its row does not let pad.
    pub n_kept: u64,
    /// The first that a null stands for, or the first of all where there is no such: row (from 1, on its page) and JSON text,
    /// `None` when the field was absent.
    pub first: Option<(u64, Option<String>)>,
}

impl Misfits {
    /// Adds values found later, whose rows are counted from `n_rows` on.
    pub(crate) fn add(&mut self, later: &Self, n_rows: u64) {
        let has_lost_before = self.n_values > self.n_kept;
        let has_lost = later.n_values > later.n_kept;
        if let Some((row, raw)) = &later.first
            && (self.first.is_none() || (has_lost && !has_lost_before))
        {
            self.first = Some((n_rows + row, raw.clone()));
        }
        self.n_values += later.n_values;
        self.n_kept += later.n_kept;
    }
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
        let mut sink = Sink::new(self, false);
        match sink.scan(text) {
            Some(envelope) => self.assemble(page, text, envelope, sink),
            None => self.decode_by_serde(page, text),
        }
    }

    /// Decodes any page: what the scanner does not take, and what is wrong.
    fn decode_by_serde(&self, page: u32, text: &str) -> Result<Page, Error> {
        let mut sink = Sink::new(self, false);
        let mut read = sink.read(text);
        if read.is_err() || sink.is_inexact {
            sink = Sink::new(self, true);
            read = sink.read(text);
        }
        let envelope = match read {
            Ok(envelope) => envelope,
            Err(error) => {
                return Err(match sink.failure.take() {
                    Some(Failure::RepeatedField { row, field }) => {
                        self.bad_body(page, format!("field `{}` twice in row {row}", excerpt(&field)), None)
                    }
                    Some(Failure::WrongAxis { row, axis, found }) => {
                        let (column, expected) = self.codes.get(axis).cloned().unwrap_or_default();
                        Error::WrongPartition { partition: self.partition.clone(), page, row, column, expected, found }
                    }
                    Some(Failure::NoKey { row, column }) => self.no_key(row, column),
                    Some(Failure::TooMany { limit, what }) => Error::BodyTooLarge {
                        partition: self.partition.clone(),
                        page,
                        source: PortalError::TooMany { limit, what },
                    },
                    None => self.bad_body(page, format!("`{}`", excerpt(near(text, &error))), Some(error)),
                });
            }
        };
        self.assemble(page, text, envelope, sink)
    }

    /// A page from what was read of it.
    fn assemble(&self, page: u32, text: &str, envelope: Envelope, mut sink: Sink) -> Result<Page, Error> {
        let (Some(count), true) = (envelope.count, envelope.has_results) else {
            return Err(self.bad_body(page, format!("`{}`", excerpt(text)), None));
        };
        let n_unknown = sink.n_unknown;
        let unknown_fields = std::mem::take(&mut sink.unknown_fields);
        let misfits = std::mem::take(&mut sink.misfits);
        let batch = sink
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

/// What is kept of the envelope.
#[derive(Default)]
struct Envelope {
    count: Option<u64>,
    next: Option<String>,
    has_next: bool,
    has_results: bool,
}

/// Why decoding stopped, where the reason is ours and not the JSON's.
enum Failure {
    RepeatedField { row: u64, field: String },
    WrongAxis { row: u64, axis: usize, found: String },
    NoKey { row: u64, column: usize },
    TooMany { limit: u64, what: String },
}

/// What stands in a message for the value of a field that is absent.
pub(crate) const NO_FIELD: &str = "no such field";

/// Where a field of a row goes.
#[derive(Clone, Copy)]
enum Slot {
    Column(usize),
    Axis(usize),
}

/// What a padded text must begin with.
struct Check {
    column: usize,
    /// Columns, and how many digits come after each.
    begins_with: Vec<(usize, usize)>,
}

struct Field {
    name: String,
    slot: Slot,
    is_key: bool,
    /// Row (from 1) that last had this field.
    seen_in: u64,
}

/// The columns of a page while it is read.
struct Sink {
    fields: Vec<Field>,
    /// Position in `fields` of the first row's k-th field; past the end for a field that is none of them.
    order: Vec<usize>,
    columns: Vec<ColumnBuilder>,
    /// Columns whose padding is checked at the end of a row, the narrowest first: a wider one may begin with it.
    checks: Vec<Check>,
    /// The JSON text of what this row's columns padded and is not checked yet; of the exact pass alone.
    padded: Vec<(usize, String)>,
    codes: Vec<i64>,
    misfits: Vec<Misfits>,
    rescued: Texts,
    /// What this row could not place: field and JSON text.
    leftover: BTreeMap<String, String>,
    n_rows: u64,
    most_rows: u64,
    n_unknown: u64,
    unknown_fields: FieldNames,
    /// Every value is read from its own text.
    is_exact_pass: bool,
    /// Something did not fit and its text is gone: the page must be read again.
    is_inexact: bool,
    failure: Option<Failure>,
}

impl Sink {
    fn new(decoder: &PageDecoder<'_>, is_exact_pass: bool) -> Self {
        let dataset = decoder.dataset;
        let columns = dataset.columns.iter().enumerate();
        let axes = decoder.codes.iter().enumerate();
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
            codes: decoder.codes.iter().map(|(_, code)| *code).collect(),
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

    fn read(&mut self, text: &str) -> Result<Envelope, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let envelope = deserializer.deserialize_map(EnvelopeVisitor(self))?;
        deserializer.end()?;
        Ok(envelope)
    }

    fn finish(mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        let mut arrays: Vec<ArrayRef> = self.columns.iter_mut().map(ColumnBuilder::finish).collect::<Result<_, _>>()?;
        arrays.push(Arc::new(self.rescued.finish()?));
        Ok(arrays)
    }

    /// The field that a row's `position`-th key names, remembering the order of the first row.
    fn find(&mut self, position: usize, key: &str) -> Option<usize> {
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
    fn keep(&mut self, column: usize, raw: String, is_kept: bool) {
        // Columns come first among the fields.
        if let Some(field) = self.fields.get(column) {
            self.leftover.insert(field.name.clone(), raw.clone());
        }
        self.note_misfit(column, Some(raw), is_kept);
    }

    /// Whether all that this row padded begins with what it should; what does not is as it came then.
    fn settle_padding(&mut self) -> bool {
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
    fn end_row(&mut self) -> Result<(), ()> {
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
                    self.failure = Some(Failure::WrongAxis { row: self.n_rows, axis, found: NO_FIELD.to_owned() });
                    return Err(());
                }
            }
        }
        if let Some(column) = no_key {
            self.failure = Some(Failure::NoKey { row: self.n_rows, column });
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

/// What is checked of a dataset's columns. A text begins with narrower ones only, so that these are settled before it.
fn checks(dataset: &Dataset) -> Vec<Check> {
    let position = |name: &str| dataset.columns.iter().position(|column| column.name == name);
    let mut checks: Vec<(Option<u8>, Check)> = dataset
        .columns
        .iter()
        .enumerate()
        .filter(|(_, column)| !column.starts_with.is_empty())
        .map(|(i, column)| {
            let others = column.starts_with.iter();
            let begins_with =
                others.filter_map(|(name, n_more)| Some((position(name)?, usize::from(*n_more)))).collect();
            (column.width, Check { column: i, begins_with })
        })
        .collect();
    checks.sort_by_key(|(width, _)| *width);
    checks.into_iter().map(|(_, check)| check).collect()
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

struct EnvelopeVisitor<'s>(&'s mut Sink);

impl<'de> Visitor<'de> for EnvelopeVisitor<'_> {
    type Value = Envelope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `count`, `next` and `results`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope, A::Error> {
        let mut envelope = Envelope::default();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match key.as_ref() {
                "count" if envelope.count.is_some() => return Err(A::Error::custom("`count` twice")),
                "count" => envelope.count = Some(map.next_value()?),
                "next" if envelope.has_next => return Err(A::Error::custom("`next` twice")),
                "next" => {
                    envelope.next = map.next_value::<Option<Cow<'de, str>>>()?.map(Cow::into_owned);
                    envelope.has_next = true;
                }
                "results" if envelope.has_results => return Err(A::Error::custom("`results` twice")),
                "results" => {
                    map.next_value_seed(RowsSeed(self.0))?;
                    envelope.has_results = true;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(envelope)
    }
}

struct RowsSeed<'s>(&'s mut Sink);

impl<'de> DeserializeSeed<'de> for RowsSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for RowsSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(RowSeed(self.0))?.is_some() {}
        Ok(())
    }
}

struct RowSeed<'s>(&'s mut Sink);

impl<'de> DeserializeSeed<'de> for RowSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let sink = self.0;
        if sink.n_rows == sink.most_rows {
            let what = format!("rows of {} columns", sink.columns.len());
            sink.failure = Some(Failure::TooMany { limit: sink.most_rows, what });
            return Err(A::Error::custom("too many rows"));
        }
        sink.n_rows += 1;
        let row = sink.n_rows;
        let mut position = 0;
        let mut has_unknown = false;
        while let Some(key) = map.next_key_seed(KeySeed { sink, position })? {
            position += 1;
            let found = match key {
                Key::Known(found) => found,
                Key::Unknown(name) => {
                    has_unknown = true;
                    if sink.leftover.len() >= MOST_UNKNOWN {
                        let what = format!("unknown fields in row {row}");
                        sink.failure = Some(Failure::TooMany { limit: MOST_UNKNOWN as u64, what });
                        return Err(A::Error::custom("too many fields"));
                    }
                    sink.unknown_fields.add(&name);
                    let raw = map.next_value::<&RawValue>()?;
                    if sink.leftover.insert(name.clone(), raw.get().to_owned()).is_some() {
                        sink.failure = Some(Failure::RepeatedField { row, field: name });
                        return Err(A::Error::custom("field twice"));
                    }
                    continue;
                }
            };
            let Some(field) = sink.fields.get_mut(found) else {
                return Err(A::Error::custom("no such field"));
            };
            if field.seen_in == row {
                sink.failure = Some(Failure::RepeatedField { row, field: field.name.clone() });
                return Err(A::Error::custom("field twice"));
            }
            field.seen_in = row;
            match field.slot {
                Slot::Column(column) => {
                    if sink.is_exact_pass {
                        let raw = map.next_value::<&RawValue>()?;
                        let builder = sink.columns.get_mut(column);
                        match builder.map(|builder| (builder.append_raw(raw), builder.is_padded())) {
                            Some((Fit::Whole, false)) => {}
                            Some((Fit::Whole, true)) => sink.padded.push((column, raw.get().to_owned())),
                            Some((Fit::Kept, _)) => sink.keep(column, raw.get().to_owned(), true),
                            Some((Fit::Lost, _)) | None => sink.keep(column, raw.get().to_owned(), false),
                        }
                    } else if let Some(builder) = sink.columns.get_mut(column)
                        && !map.next_value_seed(ValueSeed(builder))?
                    {
                        sink.is_inexact = true;
                    }
                }
                Slot::Axis(axis) => {
                    let raw = map.next_value::<&RawValue>()?;
                    if axis_code(raw).as_ref() != sink.codes.get(axis) {
                        sink.failure = Some(Failure::WrongAxis { row, axis, found: describe_axis(raw) });
                        return Err(A::Error::custom("wrong partition"));
                    }
                }
            }
        }
        sink.n_unknown += u64::from(has_unknown);
        sink.end_row().map_err(|()| A::Error::custom("wrong partition"))
    }
}

/// A row's key: one of ours, or its text.
enum Key {
    Known(usize),
    Unknown(String),
}

struct KeySeed<'s> {
    sink: &'s mut Sink,
    position: usize,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E>(self, key: &str) -> Result<Key, E> {
        Ok(match self.sink.find(self.position, key) {
            Some(found) => Key::Known(found),
            None => Key::Unknown(key.to_owned()),
        })
    }
}

struct ValueSeed<'b>(&'b mut ColumnBuilder);

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        self.0.append_from(deserializer)
    }
}

/// The code that an axis field holds, whatever JSON spells it: `2021`, `2021.0`, `2.021e3` or either in quotes.
fn axis_code(raw: &RawValue) -> Option<i64> {
    match raw.get().as_bytes().first() {
        Some(b'"') => parse_integral(&serde_json::from_str::<Cow<'_, str>>(raw.get()).ok()?),
        _ => parse_integral(raw.get()),
    }
}

/// What an axis field holds instead of its code, in few words.
fn describe_axis(raw: &RawValue) -> String {
    match raw.get().as_bytes().first() {
        Some(b'[') => "an array".to_owned(),
        Some(b'{') => "an object".to_owned(),
        Some(b'"') => format!("`{}`", excerpt(raw.get().trim_matches('"'))),
        _ => excerpt(raw.get()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{enrollment, page, partition, row};
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Int32Type, Int64Type};

    fn decode(body: &[u8]) -> Result<Page, Error> {
        let (dataset, partition) = (enrollment(), partition());
        PageDecoder::new(&dataset, &partition).decode(1, body)
    }

    /// `_rescued` of every row.
    fn rescued(page: &Page) -> Vec<Option<String>> {
        let column = page.batch.column(page.batch.num_columns() - 1).as_string::<i32>();
        column.iter().map(|text| text.map(str::to_owned)).collect()
    }

    #[test]
    fn a_page_becomes_columns_in_the_descriptors_order() {
        let page = decode(page(2, None, &[row(10_000_200_277, "29"), row(20_000_000_001, "null")]).as_bytes()).unwrap();
        let names: Vec<_> = page.batch.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["ncessch", "ncessch_num", "race", "sex", "enrollment", "fips", "leaid", "_rescued"]);
        assert_eq!(page.batch.column(0).as_string::<i32>().value(0), "010000200277");
        assert_eq!(page.batch.column(1).as_primitive::<Int64Type>().value(0), 10_000_200_277);
        let enrollment = page.batch.column(4).as_primitive::<Int32Type>();
        assert_eq!((enrollment.value(0), enrollment.is_null(1)), (29, true));
        assert_eq!(page.batch.column(6).as_string::<i32>().value(0), "0100002");
        assert_eq!(rescued(&page), [None, None]);
        assert_eq!((page.count, page.next.as_deref(), page.n_unknown), (2, None, 0));
    }

    #[test]
    fn key_order_and_white_space_do_not_matter() {
        let one = row(1, "5");
        let reordered = "{ \"leaid\" : \"100002\", \"fips\":1,\n\"enrollment\":5,\"sex\":99,\"race\":99,\"grade\":-1, \
                         \"ncessch_num\":1,\"ncessch\":\"000000000001\" ,\"year\":2021 }";
        let compact = decode(page(1, None, std::slice::from_ref(&one)).as_bytes()).unwrap();
        let spaced = decode(page(1, None, &[reordered.to_owned()]).as_bytes()).unwrap();
        assert_eq!(compact.batch, spaced.batch);
        let mixed =
            decode(page(2, None, &[one, reordered.replace("000000000001", "000000000002")]).as_bytes()).unwrap();
        assert_eq!(mixed.batch.num_rows(), 2);
        assert_eq!(mixed.batch.column(6).as_string::<i32>().value(1), "0100002");
    }

    #[test]
    fn what_does_not_fit_is_kept_with_its_own_text() {
        let rows = [
            row(1, "18446744073709551616"),
            row(2, "\"many\\n\"").replace("\"fips\"", "\"new\": {\"a\": [1, 2.50]},\"fips\""),
            row(3, "1e400").replace("\"fips\":1", "\"fips\":\"\\ud800\""),
            row(4, "7"),
        ];
        let page = decode(page(4, None, &rows).as_bytes()).unwrap();
        assert_eq!(
            rescued(&page),
            [
                Some("{\"enrollment\":18446744073709551616}".to_owned()),
                Some("{\"enrollment\":\"many\\n\",\"new\":{\"a\": [1, 2.50]}}".to_owned()),
                // Without its state, nothing says that the district lacks a zero.
                Some("{\"enrollment\":1e400,\"fips\":\"\\ud800\",\"leaid\":\"100002\"}".to_owned()),
                None,
            ]
        );
        assert_eq!(page.n_unknown, 1);
        assert_eq!(
            page.misfits[4],
            Misfits { n_values: 3, n_kept: 0, first: Some((1, Some("18446744073709551616".to_owned()))) }
        );
        let enrollment = page.batch.column(4).as_primitive::<Int32Type>();
        assert_eq!((enrollment.null_count(), enrollment.value(3)), (3, 7));
    }

    /// Found by use: H12.
    #[test]
    fn a41_an_id_is_padded_only_where_the_result_is_of_the_rows_own_district_and_state() {
        let of = |ncessch: &str, fips: &str, leaid: &str| {
            row(1, "5")
                .replace("\"000000000001\"", ncessch)
                .replace("\"fips\":1", &format!("\"fips\":{fips}"))
                .replace("\"100002\"", leaid)
        };
        let plain = of("\"010000200277\"", "1", "\"100002\"");
        for (ncessch, fips, leaid, expected, n_kept) in [
            ("\"10000200277\"", "1", "\"100002\"", ("010000200277", "0100002"), 0),
            ("10000200277", "1", "\"0100002\"", ("010000200277", "0100002"), 0),
            ("10000200277", "\"1\"", "100002", ("010000200277", "0100002"), 0),
            // Known of 1986: it lost a zero inside, and padded would be a school of Alaska.
            ("\"25000031636\"", "25", "\"2500003\"", ("25000031636", "2500003"), 1),
            ("\"25000031636\"", "25", "\"250003\"", ("25000031636", "250003"), 2),
            ("\"25000031636\"", "25", "\"250000\"", ("25000031636", "250000"), 2),
            // Another district of the same state.
            ("\"20000031636\"", "2", "\"200003\"", ("20000031636", "0200003"), 1),
            ("\"20000031636\"", "2", "null", ("020000031636", ""), 0),
            ("\"25000031636\"", "25", "null", ("25000031636", ""), 1),
            ("\"10000200277\"", "null", "\"0100002\"", ("010000200277", "0100002"), 0),
            ("\"10000200277\"", "null", "\"\"", ("10000200277", ""), 1),
            ("\"10000200277\"", "-1", "\"-1\"", ("10000200277", "-1"), 1),
            ("\"10000200277\"", "1", "\"-2\"", ("010000200277", "-2"), 0),
            // Territories and the Bureau of Indian Education miss no zero.
            ("\"600003000001\"", "60", "\"6000030\"", ("600003000001", "6000030"), 0),
            ("\"590000100001\"", "4", "\"5900001\"", ("590000100001", "5900001"), 0),
        ] {
            let odd = of(ncessch, fips, leaid);
            for rows in [vec![odd.clone()], vec![plain.clone(), odd.clone(), plain.clone()]] {
                let read = decode(page(rows.len() as u64, None, &rows).as_bytes()).unwrap();
                let i = rows.len() / 2;
                let found = (
                    read.batch.column(0).as_string::<i32>().value(i),
                    read.batch.column(6).as_string::<i32>().value(i),
                );
                assert_eq!(found, expected, "{odd}");
                assert_eq!(read.misfits.iter().map(|misfits| misfits.n_kept).sum::<u64>(), n_kept, "{odd}");
                assert_eq!(read.misfits.iter().map(|misfits| misfits.n_values).sum::<u64>(), n_kept, "{odd}");
                assert_eq!(rescued(&read)[i].is_some(), n_kept > 0, "{odd}");
                if rows.len() > 1 {
                    assert_eq!(read.batch.column(6).as_string::<i32>().value(0), "0100002", "{odd}");
                    assert_eq!(rescued(&read)[0], None);
                }
            }
        }
        let kept = decode(page(1, None, &[of("25000031636", "25", "\"2500003\"")]).as_bytes()).unwrap();
        assert_eq!(rescued(&kept), [Some("{\"ncessch\":25000031636}".to_owned())]);
        assert_eq!(
            kept.misfits[0],
            Misfits { n_values: 1, n_kept: 1, first: Some((1, Some("25000031636".to_owned()))) }
        );
    }

    /// Found by use: W2.
    #[test]
    fn names_of_unknown_fields_are_kept_once_twenty_at_most_and_cut() {
        let with = |fields: &str| row(1, "5").replace("\"fips\"", &format!("{fields}\"fips\""));
        let names = |rows: &[String]| {
            decode(page(rows.len() as u64, None, rows).as_bytes()).unwrap().unknown_fields.into_names()
        };
        assert!(names(&[row(1, "5")]).is_empty());
        let plain = row(2, "5");
        assert_eq!(
            names(&[plain.clone(), with("\"magnet\":1,\"charter\":0,"), with("\"magnet\":1,")]),
            ["charter", "magnet"]
        );
        let many: String = (0..1_000).rev().map(|i| format!("\"f{i:03}\":null,")).collect();
        let found = names(&[plain.clone(), with(&many)]);
        assert_eq!((found.len(), found[0].as_str(), found[19].as_str()), (20, "f000", "f019"));
        let long = names(&[with(&format!("\"{}\":1,", "\u{e9}".repeat(70)))]);
        assert_eq!(long, [format!("{}…", "\u{e9}".repeat(64))]);
    }

    #[test]
    fn an_absent_field_is_null_and_counted() {
        let page = decode(page(1, None, &[row(1, "5").replace("\"fips\":1,", "")]).as_bytes()).unwrap();
        assert!(page.batch.column(5).is_null(0));
        assert_eq!(page.misfits[5], Misfits { n_values: 1, n_kept: 0, first: Some((1, None)) });
    }

    /// Found by use: W4.
    #[test]
    fn a40_an_integral_double_is_its_integer_for_axes_and_what_is_none_is_shown_as_it_came() {
        let of = |year: &str| decode(page(1, None, &[row(1, "5").replace(":2021,", &format!(":{year},"))]).as_bytes());
        for year in ["2021.0", "2021.00", "2.021e3", "20210E-1", "\"2021\"", "\"2021.0\""] {
            assert_eq!(of(year).unwrap().batch.num_rows(), 1, "{year}");
        }
        let expected = "check row 1 on page 1 of `year=2021/grade=grade-pk`: expected `year` 2021, found ";
        for (year, found) in [
            ("2021.5", "2021.5"),
            ("2021.0000000000000001", "2021.0000000000000001"),
            ("2020", "2020"),
            ("2020.0", "2020.0"),
            ("2.0215e3", "2.0215e3"),
            ("\"2021-22\"", "`2021-22`"),
            ("\"2021.5\"", "`2021.5`"),
            ("1e400", "1e400"),
            ("null", "null"),
            ("true", "true"),
            ("[2021]", "an array"),
            ("{\"year\":2021}", "an object"),
        ] {
            assert_eq!(of(year).unwrap_err().chain(), format!("{expected}{found}"), "{year}");
        }
    }

    #[test]
    fn a10_a12_a13_a31_a32_what_is_no_page_is_refused_and_quoted() {
        let good = page(1, None, &[row(1, "5")]);
        let expected = "decode page 1 of `year=2021/grade=grade-pk`: expected a JSON object with `count`, `next` and \
                        `results`, found ";
        for (body, found) in [
            (b"".to_vec(), "an empty body"),
            (b"<html>Enable JavaScript\nand cookies</html>".to_vec(), "`<html>Enable JavaScript\\nand cookies</html>`"),
            (b"[1]".to_vec(), "`[1]`"),
            (b"{\"detail\":\"Invalid page.\"}".to_vec(), "`{\"detail\":\"Invalid page.\"}`"),
            (b"{\"count\":1,\"next\":null}".to_vec(), "`{\"count\":1,\"next\":null}`"),
            (b"{\"count\":1,\"results\":\xff".to_vec(), "a byte that is not UTF-8 at offset 21"),
            (b"\xef\xbb\xbf{}".to_vec(), "`\u{feff}{}`"),
            (good.replace("\"fips\":1", "\"fips\":1,\"fips\":2").into_bytes(), "field `fips` twice in row 1"),
            (good.replace("\"fips\":1", "\"fips\":1,\"new\":2,\"new\":2").into_bytes(), "field `new` twice in row 1"),
        ] {
            let error = decode(&body).unwrap_err();
            let expected = format!("{expected}{}", found.replace('\u{feff}', "\\u{feff}"));
            assert_eq!(error.chain(), expected);
        }
    }

    #[test]
    fn json_that_breaks_off_says_where() {
        let good = page(1, None, &[row(1, "5")]);
        for (body, cause) in [
            (&good[..good.len() - 5], "EOF while parsing a string at line 1 column 172"),
            (&good.replace("\"count\":1", "\"count\":-1"), "invalid value: integer `-1`, expected u64"),
            (&good.replace("\"fips\":1", "\"fips\":NaN"), "expected value at line 1 column"),
            (&good.replace("[{", "[5,{"), "invalid type: integer `5`, expected an object of fields"),
            (&format!("{good} true"), "trailing characters"),
            (&good.replace("\"count\":1", "\"count\":1,\"count\":2"), "`count` twice"),
            (&good.replace("\"next\":null", "\"next\":null,\"next\":null"), "`next` twice"),
        ] {
            let error = decode(body.as_bytes()).unwrap_err();
            assert_eq!(error.name(), "BadBody");
            assert!(error.chain().contains(cause), "{} has no {cause}", error.chain());
        }
    }

    #[test]
    fn a25_deep_nesting_is_kept_or_refused_and_not_followed() {
        let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
        let of = |value: &str| page(1, None, &[row(1, "5").replace("\"fips\":1", &format!("\"fips\":{value}"))]);
        assert_eq!(decode(of(&open).as_bytes()).unwrap_err().name(), "BadBody");
        let kept = decode(of(&format!("{open}{close}")).as_bytes()).unwrap();
        let rescued = kept.batch.column(kept.batch.num_columns() - 1).as_string::<i32>().value(0);
        assert_eq!(rescued, format!("{{\"fips\":{open}{close},\"leaid\":\"100002\"}}"));
    }

    /// Found by use: B6.
    #[test]
    fn a42_a_page_has_a_most_of_values_and_a_row_of_unknown_fields() {
        let dataset =
            Dataset { columns: [enrollment().columns, (0..300).map(more_column).collect()].concat(), ..enrollment() };
        let partition = partition();
        let decoder = PageDecoder::new(&dataset, &partition);
        let most = usize::try_from(MOST_VALUES).unwrap() / (dataset.columns.len() + 1);
        let whole: String = (0..300).map(|i| format!("\"more{i}\":1,")).collect();
        let of = |n_rows: usize, fields: &str| {
            let row = row(1, "5").replace("\"fips\"", &format!("{fields}\"fips\""));
            decoder.decode(3, page(n_rows as u64, None, &vec![row; n_rows]).as_bytes())
        };
        // Rows that are scanned, and rows that serde reads.
        for fields in [whole.as_str(), "\"more7\":1.5,"] {
            assert_eq!(of(most, fields).unwrap().batch.num_rows(), most);
            let error = of(most + 1, fields).unwrap_err();
            assert_eq!(
                (error.name(), error.chain()),
                (
                    "BodyTooLarge",
                    format!(
                        "fetch page 3 of `year=2021/grade=grade-pk`: body too large: expected at most {most} rows of 307 \
                         columns, found more"
                    )
                )
            );
        }
        let unknown = |n: usize| (0..n).map(|i| format!("\"new{i}\":1,")).collect::<String>();
        assert_eq!(of(1, &unknown(MOST_UNKNOWN)).unwrap().n_unknown, 1);
        let error = of(2, &unknown(MOST_UNKNOWN + 1)).unwrap_err();
        assert!(error.chain().ends_with("expected at most 10000 unknown fields in row 1, found more"), "{error:?}");
    }

    fn more_column(i: usize) -> crate::dataset::Column {
        crate::dataset::Column { name: format!("more{i}"), ..enrollment().columns[4].clone() }
    }

    /// Found by use: B6.
    #[test]
    fn a42_the_first_row_without_a_key_is_the_last_that_is_read() {
        let keyless = "{\"year\":2021,\"grade\":-1}".to_owned();
        let rows = [&[row(1, "5")][..], &vec![keyless; 50_000]].concat();
        let body = page(50_001, None, &rows);
        // What comes after it is not looked at.
        for end in ["]}", "", " and no JSON"] {
            let error = decode(body.replace("]}", end).as_bytes()).unwrap_err();
            assert_eq!(error.name(), "SchemaDrift");
            assert!(
                error.chain().contains("found no such field in row 2 (1 of 2 rows do not fit)"),
                "{}",
                error.chain()
            );
        }
    }
}
