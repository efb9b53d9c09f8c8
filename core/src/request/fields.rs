//! The fields of a request, and what is passed instead of a request by mistake.

use serde_json::{Map, Value};

use crate::error::Error;
use crate::request::words::describe;

const EXAMPLE: &str = r#"{"years": [2020, 2021], "grades": ["grade-pk"]}"#;

/// The fields of a request; or what it is instead, where that can be told.
pub(super) fn fields_of(input: &Value) -> Result<&Map<String, Value>, Error> {
    let refuse = |mistake| Err(Error::InvalidRequest { mistakes: vec![mistake] });
    match input {
        Value::Object(fields) if is_event(fields) => refuse(format!(
            "expected a request such as {EXAMPLE}, found an event of EventBridge itself (`detail-type`: {})\n    hint: set \
             the input of the rule or the schedule to a constant, the request's JSON",
            fields.get("detail-type").map_or_else(|| "none".to_owned(), describe)
        )),
        Value::Object(fields) => Ok(fields),
        Value::String(text) if is_encoded(text, '{') => refuse(format!(
            "expected an object such as {EXAMPLE}, found {}: it was encoded as JSON twice\n    hint: pass the object itself, \
             without quotes around it",
            describe(input)
        )),
        other => refuse(format!("expected an object such as {EXAMPLE}, found {}", describe(other))),
    }
}

/// Whether an object is an event as EventBridge sends it to a target that has no input of its own.
///
/// Source: Amazon EventBridge User Guide, "Events": `version`, `id`, `detail-type`, `source`, `account`, `time`, `region`,
/// `resources`, `detail`.
fn is_event(fields: &Map<String, Value>) -> bool {
    fields.contains_key("detail-type") && ["source", "detail"].iter().any(|field| fields.contains_key(*field))
}

/// Whether a field was put there by Step Functions or a tracer and not by who made the request.
///
/// Source: AWS Step Functions Developer Guide, "Start workflow executions from a task": an input names the execution that
/// started it in `AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID`. Tracers add names such as `_datadog`.
pub(super) fn is_of_a_tool(field: &str) -> bool {
    field.starts_with("AWS_STEP_FUNCTIONS_") || field.starts_with('_')
}

/// Whether a text holds a JSON array or object, by the sign that it opens with.
pub(super) fn is_encoded(text: &str, opening: char) -> bool {
    text.trim_start().starts_with(opening)
}

/// A field's value. Null is absent, for every field: templates and state machines write it for what they do not know.
pub(super) fn given<'v>(fields: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    fields.get(name).filter(|value| !value.is_null())
}
