//! The fields of a request, and JSON that is often passed in place of a request by mistake.

use serde_json::{Map, Value};

use crate::error::Error;
use crate::request::words::describe;

const EXAMPLE: &str = r#"{"years": [2020, 2021], "grades": ["grade-pk"]}"#;

/// Returns the fields of a request. For common mistakes, the error says what the JSON is instead.
pub(super) fn request_fields(input: &Value) -> Result<&Map<String, Value>, Error> {
    let refuse = |mistake| Err(Error::InvalidRequest { mistakes: vec![mistake] });
    match input {
        Value::Object(fields) if is_event(fields) => refuse(format!(
            "expected a request such as {EXAMPLE}, found an EventBridge event (`detail-type`: {})\n    hint: set the input of \
             the rule or schedule to constant JSON: the request",
            fields.get("detail-type").map_or_else(|| "none".to_owned(), describe)
        )),
        Value::Object(fields) => Ok(fields),
        Value::String(text) if is_encoded(text, '{') => refuse(format!(
            "expected an object such as {EXAMPLE}, found {}, which is JSON inside a string\n    hint: pass the object itself, \
             without quotes around it",
            describe(input)
        )),
        other => refuse(format!("expected an object such as {EXAMPLE}, found {}", describe(other))),
    }
}

/// Returns whether an object is an EventBridge event, which a target receives if its rule sets no input.
///
/// Source: Amazon EventBridge User Guide, "Events": `version`, `id`, `detail-type`, `source`, `account`, `time`, `region`,
/// `resources`, `detail`.
fn is_event(fields: &Map<String, Value>) -> bool {
    fields.contains_key("detail-type") && ["source", "detail"].iter().any(|field| fields.contains_key(*field))
}

/// Returns whether a field was added by Step Functions or a tracer rather than by the author of the request.
///
/// Source: AWS Step Functions Developer Guide, "Start workflow executions from a task": an input names the execution that
/// started it in `AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID`. Tracers add names such as `_datadog`.
#[must_use]
pub fn is_added_by_tool(field: &str) -> bool {
    field.starts_with("AWS_STEP_FUNCTIONS_") || field.starts_with('_')
}

/// Returns whether a string seems to contain a JSON array, object or string, judging by its first character.
pub(super) fn is_encoded(text: &str, opening: char) -> bool {
    text.trim_start().starts_with(opening)
}

/// Returns a field's value, or `None` if it is absent or null. Templates and state machines write null for unknown values.
pub(super) fn non_null<'v>(fields: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    fields.get(name).filter(|value| !value.is_null())
}
