//! Reads an axis value from a descriptor: a table with its code, or a number that is its own code.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use crate::dataset::CodedValue;

/// The fields of a value that is written as a table.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    value: String,
    code: i64,
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = CodedValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or a table such as { value = \"grade-1\", code = 1 }")
    }

    fn visit_i64<E>(self, code: i64) -> Result<CodedValue, E> {
        Ok(CodedValue { value: code.to_string(), code })
    }

    fn visit_u64<E: serde::de::Error>(self, code: u64) -> Result<CodedValue, E> {
        let code = i64::try_from(code).map_err(|_| E::custom("the number is too large"))?;
        self.visit_i64(code)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<CodedValue, A::Error> {
        let Fields { value, code } = Fields::deserialize(MapAccessDeserializer::new(map))?;
        Ok(CodedValue { value, code })
    }
}

impl<'de> Deserialize<'de> for CodedValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

/// Reads text, or a number as its text.
pub(super) fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    struct TextVisitor;

    impl Visitor<'_> for TextVisitor {
        type Value = Option<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a value of the axis")
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Some(text.to_owned()))
        }

        fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
            Ok(Some(number.to_string()))
        }

        fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
            Ok(Some(number.to_string()))
        }
    }

    deserializer.deserialize_any(TextVisitor)
}
