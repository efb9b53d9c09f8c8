//! Reads the values of one axis: a list, a range, or `all`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::dataset::years::parse_year;
use crate::dataset::{Axis, AxisKind};
use crate::partition::AxisValue;
use crate::request::AxisSelection;
use crate::request::check::Check;
use crate::request::fields::is_encoded;
use crate::request::hints::{code_hint, unknown_value, years_hint};
use crate::request::words::{describe, describe_encoded, expected_values, number_text};
use crate::text::excerpt;

/// Selects the newest years.
const LATEST: &str = "latest";
/// Maximum number of latest years. No list of years is as long.
const MAX_LATEST: usize = 999;

/// Values in the order of the request, without duplicates. Duplicates are dropped as they are read, so that a range
/// repeated a thousand times takes no more memory or time than a single one.
struct Distinct {
    in_order: Vec<AxisValue>,
    seen: BTreeSet<AxisValue>,
    /// Years that no item has selected yet.
    unseen_years: BTreeSet<i32>,
}

impl Distinct {
    fn new(axis: &Axis) -> Self {
        let unseen_years = if axis.is_year() { (1_000..=9_999).collect() } else { BTreeSet::new() };
        Self { in_order: Vec::new(), seen: BTreeSet::new(), unseen_years }
    }

    fn add(&mut self, value: AxisValue) {
        if !self.seen.contains(&value) {
            self.seen.insert(value.clone());
            self.in_order.push(value);
        }
    }

    fn add_years(&mut self, first: i32, last: i32) {
        let new: Vec<i32> = self.unseen_years.range(first..=last).copied().collect();
        for year in new {
            self.unseen_years.remove(&year);
            self.in_order.push(AxisValue::Int(year));
        }
    }
}

impl Check<'_> {
    /// Reads the field for one axis.
    pub(super) fn axis(&mut self, axis: &Axis, field: &str, value: Option<&Value>) -> AxisSelection {
        let n_before = self.mistakes.len();
        let mut values = Distinct::new(axis);
        match value {
            None => self.mistakes.add(|| format!("`{field}`: expected {}, found none", expected_values(axis))),
            Some(Value::String(text)) if text == "all" => return AxisSelection::All,
            Some(Value::String(text)) if axis.is_year() && text.starts_with(LATEST) => {
                return self.latest(axis, field, text);
            }
            Some(Value::String(text)) if is_encoded(text, '[') || is_encoded(text, '"') => {
                self.mistakes.add(|| describe_encoded(field, &expected_values(axis), text));
            }
            Some(Value::String(text)) => {
                for item in text.split(',') {
                    self.item(axis, field, item.trim(), &mut values);
                }
            }
            Some(Value::Array(items)) => {
                for item in items {
                    match (axis.kind, item) {
                        (AxisKind::Int, Value::Number(number)) => {
                            self.item(axis, field, &number_text(number), &mut values);
                        }
                        (_, Value::String(text)) => self.item(axis, field, text, &mut values),
                        (_, other) => self.mistakes.add(|| {
                            let hint = code_hint(axis, &other.to_string());
                            format!("`{field}`: expected {}, found {}{hint}", expected_values(axis), describe(other))
                        }),
                    }
                }
            }
            Some(Value::Number(number)) if axis.kind == AxisKind::Int => {
                self.item(axis, field, &number_text(number), &mut values);
            }
            Some(other) => self.mistakes.add(|| {
                let hint = code_hint(axis, &other.to_string());
                format!("`{field}`: expected {}, found {}{hint}", expected_values(axis), describe(other))
            }),
        }
        if values.in_order.is_empty() && self.mistakes.len() == n_before {
            self.mistakes.add(|| format!("`{field}`: expected at least one value, found none"));
        }
        AxisSelection::Values(values.in_order)
    }

    /// Reads `latest`, the newest year, or a number of years such as `latest-3`.
    fn latest(&mut self, axis: &Axis, field: &str, text: &str) -> AxisSelection {
        let rest = text.strip_prefix(LATEST).unwrap_or_default();
        let n_years = match rest.strip_prefix('-') {
            Some(n) if n.bytes().all(|byte| byte.is_ascii_digit()) => n.parse().ok(),
            None if rest.is_empty() => Some(1),
            _ => None,
        };
        match n_years.filter(|n_years| (1..=MAX_LATEST).contains(n_years)) {
            Some(n_years) if !self.names_a_run => return AxisSelection::Latest(n_years),
            Some(_) => self.mistakes.add(|| {
                format!(
                    "`{field}`: expected years by number together with `failed_of`, found `{text}`\n    hint: leave out \
                     `{field}` to run everything again that failed"
                )
            }),
            None => self.mistakes.add(|| {
                format!(
                    "`{field}`: expected {}, found `{}`\n    hint: write `latest-3` for the three newest years",
                    expected_values(axis),
                    excerpt(text)
                )
            }),
        }
        AxisSelection::Any
    }

    /// Reads one year, one range of years, or one other value.
    fn item(&mut self, axis: &Axis, field: &str, text: &str, values: &mut Distinct) {
        if !axis.is_year() {
            match axis.parse_value(text) {
                Some(value) => values.add(value),
                None => self.mistakes.add(|| unknown_value(axis, field, text)),
            }
            return;
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (parse_year(first), parse_year(last)) {
            (Some(first), Some(last)) if first <= last => values.add_years(first, last),
            (Some(first), Some(last)) => self.mistakes.add(|| {
                format!(
                    "`{field}`: expected the earlier year of a range first, found `{first}-{last}`\n    hint: write \
                     `{last}-{first}`"
                )
            }),
            _ => self.mistakes.add(|| {
                let hint = years_hint(text, true);
                format!("`{field}`: expected {}, found `{}`{hint}", expected_values(axis), excerpt(text))
            }),
        }
    }
}
