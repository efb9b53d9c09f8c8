//! What was found and what was expected, in words.

use serde_json::{Number, Value};

use crate::dataset::{Axis, AxisKind};
use crate::page::numbers::parse_integral;
use crate::text::{excerpt, thousands};

/// An integral double is its integer, as it is in rows: some programs write no other numbers.
pub(super) fn spell(number: &Number) -> String {
    let text = number.to_string();
    parse_integral(&text).map_or(text, |integer| integer.to_string())
}

/// Says of a text that it holds the JSON that should be there.
pub(super) fn encoded(field: &str, expected: &str, text: &str) -> String {
    format!(
        "`{field}`: expected {expected}, found {}\n    hint: write it without the quotes around it",
        describe(&Value::from(text))
    )
}

pub(super) fn expected(axis: &Axis) -> String {
    match axis.kind {
        AxisKind::Int => "years such as [2020, 2021], \"2015-2021\" or \"all\"".to_owned(),
        AxisKind::String => {
            let first = axis.values.first().map_or("", |coded| coded.value.as_str());
            format!("values such as [\"{first}\"] or \"all\"")
        }
    }
}

pub(super) fn expected_one(axis: &Axis) -> String {
    match axis.kind {
        AxisKind::Int => "a year such as 2021".to_owned(),
        AxisKind::String => {
            let first = axis.values.first().map_or("", |coded| coded.value.as_str());
            format!("a value such as \"{first}\"")
        }
    }
}

/// A JSON value in few words, where something else than a text was expected: `"false"` is a text and false is not.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::String(text) => format!("the text \"{}\"", excerpt(text)),
        // Cut before it is written out: an array may be as long as the input.
        Value::Array(items) if items.len() > MOST_ITEMS => format!("an array of {}", thousands(items.len() as u64)),
        Value::Object(fields) if fields.len() > MOST_ITEMS => {
            format!("an object of {} fields", thousands(fields.len() as u64))
        }
        Value::Array(_) | Value::Object(_) | Value::Bool(_) | Value::Number(_) => {
            format!("`{}`", excerpt(&value.to_string()))
        }
    }
}

/// Items of an array, or fields of an object, that are shown.
const MOST_ITEMS: usize = 100;

/// The same where a text was expected, and another one may have been found.
pub(super) fn describe_text(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{}`", excerpt(text)),
        other => describe(other),
    }
}
