//! Reads a request as JSON from a file or stdin, and rejects duplicate fields.

use std::fmt;
use std::io::Read;

use rollcall_core::text::excerpt;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

use crate::exit::BadInput;

/// Maximum size of an input: enough to list each of the 100,000 partitions that a plan may have. Parsed JSON takes up
/// to a hundred times as much memory.
const MAX_INPUT_BYTES: u64 = 8 << 20;

/// Reads a request's JSON from a file, or from stdin if `input` is `-`.
pub(crate) fn read_input(input: &str) -> anyhow::Result<Value> {
    let mut bytes = Vec::new();
    let read = if input == "-" {
        std::io::stdin().take(MAX_INPUT_BYTES + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(input).and_then(|file| file.take(MAX_INPUT_BYTES + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| BadInput(format!("read input `{input}`: {error}")))?;
    if bytes.len() as u64 > MAX_INPUT_BYTES {
        return Err(BadInput(format!(
            "read input `{input}`: expected at most {} MiB, found more\nhint: name years and grades instead of each \
             partition, or split it into several runs",
            MAX_INPUT_BYTES >> 20
        ))
        .into());
    }
    let value: UniqueKeys = serde_json::from_slice(&bytes)
        .map_err(|error| BadInput(format!("read input `{input}`: expected JSON without duplicate fields: {error}")))?;
    Ok(value.0)
}

/// A JSON value without duplicate fields. With two `years` fields, it would be unclear which one is meant.
struct UniqueKeys(Value);

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyValue;
        impl<'de> Visitor<'de> for AnyValue {
            type Value = Value;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(json!(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(json!(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(json!(value))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
                Ok(json!(value))
            }
            fn visit_str<E>(self, value: &str) -> Result<Value, E> {
                Ok(json!(value))
            }
            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
                let mut values = Vec::new();
                while let Some(UniqueKeys(value)) = seq.next_element()? {
                    values.push(value);
                }
                Ok(Value::Array(values))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let mut fields = Map::new();
                while let Some((name, UniqueKeys(value))) = map.next_entry::<String, _>()? {
                    if fields.contains_key(&name) {
                        return Err(A::Error::custom(format!("duplicate field `{}`", excerpt(&name))));
                    }
                    fields.insert(name, value);
                }
                Ok(Value::Object(fields))
            }
        }
        deserializer.deserialize_any(AnyValue).map(UniqueKeys)
    }
}
