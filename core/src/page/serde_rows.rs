//! Reads a page with serde: its envelope, its rows and their fields.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::page::column_builder::{ColumnBuilder, Fit};
use crate::page::numbers::parse_integral;
use crate::page::page_builder::{Envelope, PageBuilder, RowFailure, Slot};
use crate::text::excerpt;

/// Maximum number of unknown fields in a row. Each takes more memory than its text.
pub(super) const MAX_UNKNOWN_FIELDS: usize = 10_000;

impl PageBuilder {
    /// Reads a whole page and returns its envelope.
    pub(super) fn read(&mut self, text: &str) -> Result<Envelope, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let envelope = deserializer.deserialize_map(EnvelopeVisitor(self))?;
        deserializer.end()?;
        Ok(envelope)
    }
}

struct EnvelopeVisitor<'s>(&'s mut PageBuilder);

impl<'de> Visitor<'de> for EnvelopeVisitor<'_> {
    type Value = Envelope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `count`, `next` and `results`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope, A::Error> {
        let mut envelope = Envelope::default();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match key.as_ref() {
                "count" if envelope.count.is_some() => return Err(A::Error::custom("duplicate `count`")),
                "count" => envelope.count = Some(map.next_value()?),
                "next" if envelope.has_next => return Err(A::Error::custom("duplicate `next`")),
                "next" => {
                    envelope.next = map.next_value::<Option<Cow<'de, str>>>()?.map(Cow::into_owned);
                    envelope.has_next = true;
                }
                "results" if envelope.has_results => return Err(A::Error::custom("duplicate `results`")),
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

struct RowsSeed<'s>(&'s mut PageBuilder);

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

pub(super) struct RowSeed<'s>(pub(super) &'s mut PageBuilder);

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
        let page = self.0;
        if page.n_rows == page.max_rows {
            let what = format!("rows of {} columns", page.columns.len());
            page.failure = Some(RowFailure::TooMany { limit: page.max_rows, what });
            return Err(A::Error::custom("too many rows"));
        }
        page.n_rows += 1;
        let row = page.n_rows;
        let mut position = 0;
        let mut has_unknown = false;
        while let Some(key) = map.next_key_seed(KeySeed { page, position })? {
            position += 1;
            let found = match key {
                Key::Known(found) => found,
                Key::Unknown(name) => {
                    has_unknown = true;
                    if page.leftover.len() >= MAX_UNKNOWN_FIELDS {
                        let what = format!("unknown fields in row {row}");
                        page.failure = Some(RowFailure::TooMany { limit: MAX_UNKNOWN_FIELDS as u64, what });
                        return Err(A::Error::custom("too many fields"));
                    }
                    page.unknown_fields.add(&name);
                    let raw = map.next_value::<&RawValue>()?;
                    if page.leftover.insert(name.clone(), raw.get().to_owned()).is_some() {
                        page.failure = Some(RowFailure::RepeatedField { row, field: name });
                        return Err(A::Error::custom("field twice"));
                    }
                    continue;
                }
            };
            let Some(field) = page.fields.get_mut(found) else {
                return Err(A::Error::custom("unknown field"));
            };
            if field.seen_in == row {
                page.failure = Some(RowFailure::RepeatedField { row, field: field.name.clone() });
                return Err(A::Error::custom("field twice"));
            }
            field.seen_in = row;
            match field.slot {
                Slot::Column(column) => {
                    if page.is_exact_pass {
                        let raw = map.next_value::<&RawValue>()?;
                        let builder = page.columns.get_mut(column);
                        match builder.map(|builder| (builder.append_raw(raw), builder.is_padded())) {
                            Some((Fit::Exact, false)) => {}
                            Some((Fit::Exact, true)) => page.padded.push((column, raw.get().to_owned())),
                            Some((Fit::Kept, _)) => page.keep(column, raw.get().to_owned(), true),
                            Some((Fit::Lost, _)) | None => page.keep(column, raw.get().to_owned(), false),
                        }
                    } else if let Some(builder) = page.columns.get_mut(column)
                        && !map.next_value_seed(ValueSeed(builder))?
                    {
                        page.is_inexact = true;
                    }
                }
                Slot::Axis(axis) => {
                    let raw = map.next_value::<&RawValue>()?;
                    if axis_code(raw).as_ref() != page.codes.get(axis) {
                        page.failure = Some(RowFailure::WrongAxis { row, axis, found: describe_axis(raw) });
                        return Err(A::Error::custom("wrong partition"));
                    }
                }
            }
        }
        page.n_unknown += u64::from(has_unknown);
        page.end_row().map_err(|()| A::Error::custom("wrong partition"))
    }
}

/// The name of a field in a row.
enum Key {
    /// Index of a descriptor field.
    Known(usize),
    Unknown(String),
}

struct KeySeed<'s> {
    page: &'s mut PageBuilder,
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
        Ok(match self.page.find(self.position, key) {
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

/// Parses the code in an axis field, in any spelling: `2021`, `2021.0` or `2.021e3`, with or without quotes.
fn axis_code(raw: &RawValue) -> Option<i64> {
    match raw.get().as_bytes().first() {
        Some(b'"') => parse_integral(&serde_json::from_str::<Cow<'_, str>>(raw.get()).ok()?),
        _ => parse_integral(raw.get()),
    }
}

/// Describes the value of an axis field that does not match the partition, for a message.
fn describe_axis(raw: &RawValue) -> String {
    match raw.get().as_bytes().first() {
        Some(b'[') => "an array".to_owned(),
        Some(b'{') => "an object".to_owned(),
        Some(b'"') => format!("`{}`", excerpt(raw.get().trim_matches('"'))),
        _ => excerpt(raw.get()),
    }
}
