//! The values of one axis: a list, a range, or `all`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::dataset::partitions::plural;
use crate::dataset::{Axis, AxisKind};
use crate::partition::AxisValue;
use crate::plan::years::parse_year;
use crate::request::AxisSelection;
use crate::request::check::Check;
use crate::request::fields::is_encoded;
use crate::request::hints::{hint_of_code, hint_of_years, unknown_value};
use crate::request::words::{describe, encoded, expected, spell};
use crate::text::excerpt;

/// Values in the order of the request, each once as soon as it is read: a range repeated a thousand times takes no more room
/// and no more time than one.
struct Distinct {
    in_order: Vec<AxisValue>,
    seen: BTreeSet<String>,
    /// Years that no item has named yet.
    unseen_years: BTreeSet<i32>,
}

impl Distinct {
    fn new(axis: &Axis) -> Self {
        let unseen_years = if axis.kind == AxisKind::Int { (1_000..=9_999).collect() } else { BTreeSet::new() };
        Self { in_order: Vec::new(), seen: BTreeSet::new(), unseen_years }
    }

    fn add_word(&mut self, word: &str) {
        if !self.seen.contains(word) {
            self.seen.insert(word.to_owned());
            self.in_order.push(AxisValue::Text(word.to_owned()));
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
    pub(super) fn axis(&mut self, axis: &Axis, value: Option<&Value>) -> AxisSelection {
        let field = plural(axis);
        let n_before = self.mistakes.len();
        let mut values = Distinct::new(axis);
        match value {
            None => self.mistakes.add(|| format!("`{field}`: expected {}, found none", expected(axis))),
            Some(Value::String(text)) if text == "all" => return AxisSelection::All,
            Some(Value::String(text)) if is_encoded(text, '[') || is_encoded(text, '"') => {
                self.mistakes.add(|| encoded(&field, &expected(axis), text));
            }
            Some(Value::String(text)) => {
                for item in text.split(',') {
                    self.item(axis, &field, item.trim(), &mut values);
                }
            }
            Some(Value::Array(items)) => {
                for item in items {
                    match (axis.kind, item) {
                        (AxisKind::Int, Value::Number(number)) => {
                            self.item(axis, &field, &spell(number), &mut values);
                        }
                        (_, Value::String(text)) => self.item(axis, &field, text, &mut values),
                        (_, other) => self.mistakes.add(|| {
                            let hint = hint_of_code(axis, &other.to_string());
                            format!("`{field}`: expected {}, found {}{hint}", expected(axis), describe(other))
                        }),
                    }
                }
            }
            Some(Value::Number(number)) if axis.kind == AxisKind::Int => {
                self.item(axis, &field, &spell(number), &mut values);
            }
            Some(other) => self.mistakes.add(|| {
                let hint = hint_of_code(axis, &other.to_string());
                format!("`{field}`: expected {}, found {}{hint}", expected(axis), describe(other))
            }),
        }
        if values.in_order.is_empty() && self.mistakes.len() == n_before {
            self.mistakes.add(|| format!("`{field}`: expected at least one value, found none"));
        }
        AxisSelection::Values(values.in_order)
    }

    /// One year, one range of years, or one word of the axis.
    fn item(&mut self, axis: &Axis, field: &str, text: &str, values: &mut Distinct) {
        match axis.kind {
            AxisKind::Int => {
                let (first, last) = text.split_once('-').unwrap_or((text, text));
                match (parse_year(first), parse_year(last)) {
                    (Some(first), Some(last)) if first <= last => values.add_years(first, last),
                    (Some(first), Some(last)) => self.mistakes.add(|| {
                        format!(
                            "`{field}`: expected a range from the earlier to the later year, found `{first}-{last}`\n    \
                             hint: write `{last}-{first}`"
                        )
                    }),
                    _ => self.mistakes.add(|| {
                        let hint = hint_of_years(text, true);
                        format!("`{field}`: expected {}, found `{}`{hint}", expected(axis), excerpt(text))
                    }),
                }
            }
            AxisKind::String => {
                if axis.values.iter().any(|coded| coded.value == text) {
                    values.add_word(text);
                } else {
                    self.mistakes.add(|| unknown_value(axis, field, text));
                }
            }
        }
    }
}
