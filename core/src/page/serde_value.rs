//! Appends one value of a row to its column, straight from the deserializer.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::page::column_builder::ColumnBuilder;

impl ColumnBuilder {
    /// Appends the next JSON value, straight from the deserializer. Returns `false` if it does not fit.
    ///
    /// An integer column accepts only numbers that serde passes on exactly, without a fraction or an exponent and with
    /// at most 64 bits. For any other number, [`Self::append_raw`] decides from its text.
    pub(crate) fn append_from<'de, D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(ValueVisitor(self))
    }
}

struct ValueVisitor<'b>(&'b mut ColumnBuilder);

impl<'de> Visitor<'de> for ValueVisitor<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a row")
    }

    fn visit_i64<E>(self, value: i64) -> Result<bool, E> {
        Ok(self.0.append_i64(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<bool, E> {
        Ok(match i64::try_from(value) {
            Ok(value) => self.0.append_i64(value),
            Err(_) => self.0.misfit(),
        })
    }

    fn visit_f64<E>(self, value: f64) -> Result<bool, E> {
        Ok(self.0.append_f64(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<bool, E> {
        Ok(self.0.append_text(value))
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        self.0.append_null();
        Ok(true)
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(self.0.misfit())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<bool, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(self.0.misfit())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(self.0.misfit())
    }
}
