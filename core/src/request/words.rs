//! Describes expected and found values in messages.

use serde_json::{Number, Value};

use crate::dataset::{Axis, AxisKind};
use crate::page::numbers::parse_integral;
use crate::text::{excerpt, thousands};

/// Formats a number. A double with an integral value is formatted as an integer, as in rows: some programs write only
/// doubles.
pub(super) fn number_text(number: &Number) -> String {
    let text = number.to_string();
    parse_integral(&text).map_or(text, |integer| integer.to_string())
}

/// Describes a string that contains the expected value as JSON.
pub(super) fn describe_encoded(field: &str, expected: &str, text: &str) -> String {
    format!(
        "`{field}`: expected {expected}, found {}\n    hint: remove the quotes around the value",
        describe(&Value::from(text))
    )
}

/// Describes what the field for an axis should contain.
pub(super) fn expected_values(axis: &Axis) -> String {
    if axis.is_year() {
        return "years such as [2020, 2021], \"2015-2021\", \"latest\" or \"all\"".to_owned();
    }
    format!("values such as [{}] or \"all\"", example(axis))
}

/// Describes what the field for an axis should contain in one of `partitions`.
pub(super) fn expected_value(axis: &Axis) -> String {
    if axis.is_year() { "a year such as 2021".to_owned() } else { format!("a value such as {}", example(axis)) }
}

/// Returns the first value of an axis as JSON.
fn example(axis: &Axis) -> String {
    let first = axis.values.first().map_or("", |coded| coded.value.as_str());
    match axis.kind {
        AxisKind::Int => first.to_owned(),
        AxisKind::String => format!("\"{first}\""),
    }
}

/// Describes a JSON value where no string was expected. Strings are labeled, to distinguish `"false"` from `false`.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::String(text) => format!("the string \"{}\"", excerpt(text)),
        // Not shown even in part: an array may be as long as the input.
        Value::Array(items) if items.len() > MAX_ITEMS => {
            format!("an array of {} items", thousands(items.len() as u64))
        }
        Value::Object(fields) if fields.len() > MAX_ITEMS => {
            format!("an object with {} fields", thousands(fields.len() as u64))
        }
        Value::Array(_) | Value::Object(_) | Value::Bool(_) | Value::Number(_) => {
            format!("`{}`", excerpt(&value.to_string()))
        }
    }
}

/// Maximum number of array items or object fields in a message.
const MAX_ITEMS: usize = 100;

/// Describes a JSON value where a string was expected.
pub(super) fn describe_text(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{}`", excerpt(text)),
        other => describe(other),
    }
}
