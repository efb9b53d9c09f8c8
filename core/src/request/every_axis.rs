//! Completes a request that does not name every axis of its dataset.

use serde_json::Value;

use crate::dataset::Dataset;
use crate::dataset::partitions::plural;
use crate::request::fields::non_null;

/// Adds all values of the axes that a request does not mention. A schedule, or a request for several datasets, knows the
/// years that it wants, but not which other axes a dataset has.
#[must_use]
pub fn with_every_axis(mut request: Value, dataset: &Dataset) -> Value {
    let Some(fields) = request.as_object_mut() else { return request };
    for axis in &dataset.axes {
        let is_named =
            fields.get("axes").and_then(Value::as_object).is_some_and(|axes| non_null(axes, &axis.name).is_some());
        let field = plural(axis);
        // Null counts as absent.
        if !is_named && non_null(fields, &field).is_none() {
            fields.insert(field, Value::from("all"));
        }
    }
    request
}
