//! Reads the partitions that a request names one by one.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::dataset::AxisKind;
use crate::dataset::years::parse_year;
use crate::partition::{AxisValue, PartitionKey};
use crate::request::check::Check;
use crate::request::fields::{is_encoded, non_null};
use crate::request::hints::{code_hint, unknown_value, years_hint};
use crate::request::size::MAX_PARTITIONS;
use crate::request::words::{describe, describe_encoded, expected_value, number_text};
use crate::text::{excerpt, thousands};

impl Check<'_> {
    /// Reads the field `partitions`. Returns each partition once.
    pub(super) fn partitions(&mut self, value: &Value) -> Vec<PartitionKey> {
        let expected = "an array of objects";
        let items = match value {
            Value::Array(items) => items,
            Value::String(text) if is_encoded(text, '[') || is_encoded(text, '{') => {
                self.mistakes.add(|| describe_encoded("partitions", expected, text));
                return Vec::new();
            }
            other => {
                self.mistakes.add(|| format!("`partitions`: expected {expected}, found {}", describe(other)));
                return Vec::new();
            }
        };
        if items.is_empty() {
            self.mistakes.add(|| "`partitions`: expected at least one, found none".to_owned());
        }
        if items.len() > MAX_PARTITIONS {
            self.mistakes.add(|| {
                format!(
                    "`partitions`: expected at most {} partitions in one plan, found {}",
                    thousands(MAX_PARTITIONS as u64),
                    thousands(items.len() as u64)
                )
            });
            return Vec::new();
        }
        let mut partitions = Vec::new();
        let mut seen = BTreeSet::new();
        for (i, item) in items.iter().enumerate() {
            if let Some(partition) = self.partition(i, item)
                && seen.insert(partition.clone())
            {
                partitions.push(partition);
            }
        }
        partitions
    }

    fn partition(&mut self, i: usize, item: &Value) -> Option<PartitionKey> {
        let n_before = self.mistakes.len();
        let Some(fields) = item.as_object() else {
            self.mistakes.add(|| format!("`partitions[{i}]`: expected an object, found {}", describe(item)));
            return None;
        };
        for (name, value) in fields {
            if !value.is_null() && !self.dataset.axes.iter().any(|axis| axis.name == *name) {
                self.mistakes.add(|| {
                    let axes: Vec<&str> = self.dataset.axes.iter().map(|axis| axis.name.as_str()).collect();
                    format!(
                        "`partitions[{i}].{}`: expected one of {}, found an unknown field",
                        excerpt(name),
                        axes.join(", ")
                    )
                });
            }
        }
        let mut values = Vec::new();
        for axis in &self.dataset.axes {
            let field = || format!("partitions[{i}].{}", axis.name);
            let text = match (axis.kind, non_null(fields, &axis.name)) {
                (AxisKind::Int, Some(Value::Number(number))) => number_text(number),
                (_, Some(Value::String(text))) => text.clone(),
                (_, Some(other)) => {
                    self.mistakes.add(|| {
                        let hint = code_hint(axis, &other.to_string());
                        format!("`{}`: expected {}, found {}{hint}", field(), expected_value(axis), describe(other))
                    });
                    continue;
                }
                (_, None) => {
                    self.mistakes.add(|| format!("`{}`: expected {}, found none", field(), expected_value(axis)));
                    continue;
                }
            };
            let parsed = if axis.is_year() { parse_year(&text).map(AxisValue::Int) } else { axis.parse_value(&text) };
            match parsed {
                Some(value) => values.push((axis.name.clone(), value)),
                None if axis.is_year() => self.mistakes.add(|| {
                    let hint = years_hint(&text, false);
                    format!("`{}`: expected {}, found `{}`{hint}", field(), expected_value(axis), excerpt(&text))
                }),
                None => self.mistakes.add(|| unknown_value(axis, &field(), &text)),
            }
        }
        (self.mistakes.len() == n_before).then(|| PartitionKey::new(values))
    }
}
