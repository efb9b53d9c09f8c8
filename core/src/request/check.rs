//! Validates the fields of a request and collects every mistake.

use serde_json::{Map, Value};

use crate::dataset::partitions::{OTHER_FIELDS, plural};
use crate::dataset::{Axis, Dataset};
use crate::error::Error;
use crate::error::mistakes::Mistakes;
use crate::request::fields::{is_added_by_tool, non_null, request_fields};
use crate::request::words::{describe, describe_text};
use crate::request::{
    AxisSelection, CatalogMode, MAX_REFRESH_AFTER_DAYS, Mode, REFRESH_AFTER_DAYS, Request, Selection, dataset_name,
    is_run_name,
};
use crate::text::{excerpt, nearest_hint};

impl Request {
    /// Parses a request's JSON and validates it against a dataset.
    ///
    /// A field that is null counts as absent. Fields that AWS or a tracer adds (`AWS_STEP_FUNCTIONS_…`, `_…`) are ignored.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`], which lists the first twenty mistakes and counts the rest.
    pub fn parse(input: &Value, dataset: &Dataset) -> Result<Self, Error> {
        dataset_name(input)?;
        let fields = request_fields(input)?;
        let names_a_run = non_null(fields, "failed_of").is_some();
        let mut check = Check { dataset, mistakes: Mistakes::default(), names_a_run };
        let request = check.request(fields);
        if check.mistakes.len() == 0 {
            Ok(request)
        } else {
            Err(Error::InvalidRequest { mistakes: check.mistakes.into_messages() })
        }
    }
}

/// Collects mistakes while reading a request.
pub(super) struct Check<'d> {
    pub(super) dataset: &'d Dataset,
    pub(super) mistakes: Mistakes,
    /// Whether the request has `failed_of`.
    pub(super) names_a_run: bool,
}

impl Check<'_> {
    fn request(&mut self, fields: &Map<String, Value>) -> Request {
        let axis_fields: Vec<String> = self.dataset.axes.iter().map(plural).collect();
        for (name, value) in fields {
            let is_known = axis_fields.contains(name) || OTHER_FIELDS.contains(&name.as_str());
            if !is_known && !value.is_null() && !is_added_by_tool(name) {
                self.mistakes.add(|| {
                    let known: Vec<&str> = axis_fields.iter().map(String::as_str).chain(OTHER_FIELDS).collect();
                    format!(
                        "`{}`: expected one of {} for dataset `{}`, found an unknown field{}",
                        excerpt(name),
                        known.join(", "),
                        self.dataset.name,
                        nearest_hint(name, known)
                    )
                });
            }
        }
        let in_axes = self.in_axes(fields);
        let is_stale_mode = non_null(fields, "mode").and_then(Value::as_str) == Some("stale");
        let selection = match non_null(fields, "partitions") {
            Some(value) => {
                let others = axis_fields.iter().map(String::as_str).chain(["axes"]);
                for name in others.filter(|name| non_null(fields, name).is_some()) {
                    self.mistakes.add(|| format!("`{name}`: expected either `{name}` or `partitions`, found both"));
                }
                Selection::Partitions(self.partitions(value))
            }
            None => {
                let axes = self.dataset.axes.iter().collect::<Vec<_>>();
                let select = |axis: &Axis| {
                    let field = plural(axis);
                    match (non_null(fields, &field), in_axes.and_then(|axes| non_null(axes, &axis.name))) {
                        // The run or the lake determines the partitions; selecting values only narrows them down.
                        (None, None) if self.names_a_run || is_stale_mode => AxisSelection::Any,
                        (value, None) => self.axis(axis, &field, value),
                        (None, value) => self.axis(axis, &format!("axes.{}", axis.name), value),
                        (Some(_), Some(_)) => {
                            self.mistakes.add(|| {
                                format!("`{field}`: expected either `{field}` or `axes.{}`, found both", axis.name)
                            });
                            AxisSelection::Any
                        }
                    }
                };
                Selection::Axes(axes.into_iter().map(select).collect())
            }
        };
        let mode = match self.choice(fields, "mode", &["all", "missing", "failed", "stale"]) {
            Some("missing") => Mode::Missing,
            Some("failed") => Mode::Failed,
            Some("stale") => Mode::Stale,
            _ => Mode::All,
        };
        let failed_of = match non_null(fields, "failed_of") {
            None => None,
            Some(Value::String(run)) if is_run_name(run) => Some(run.clone()),
            Some(other) => {
                self.mistakes
                    .add(|| format!("`failed_of`: expected the name of a run, found {}", describe_text(other)));
                None
            }
        };
        if failed_of.is_some()
            && mode != Mode::Failed
            && let Some(found) = non_null(fields, "mode")
        {
            self.mistakes.add(|| format!("`failed_of`: expected mode `failed`, found {}", describe_text(found)));
        }
        let refresh_after_days = self.refresh_after_days(fields, mode);
        let (force, keep_pages) = (self.flag(fields, "force"), self.flag(fields, "keep_pages"));
        let catalog = match self.choice(fields, "catalog", &["partitions", "crawler"]) {
            Some("crawler") => CatalogMode::Crawler,
            _ => CatalogMode::Partitions,
        };
        let mode = if failed_of.is_some() { Mode::Failed } else { mode };
        Request { selection, mode, failed_of, force, keep_pages, refresh_after_days, catalog }
    }

    /// Reads the field `axes`: an object with the values of each axis, by its name.
    fn in_axes<'v>(&mut self, fields: &'v Map<String, Value>) -> Option<&'v Map<String, Value>> {
        let value = non_null(fields, "axes")?;
        let names = || self.dataset.axes.iter().map(|axis| axis.name.as_str());
        let Some(axes) = value.as_object() else {
            let example = self.dataset.axes.last().map_or("", |axis| axis.name.as_str());
            self.mistakes.add(|| {
                format!("`axes`: expected an object such as {{\"{example}\": \"all\"}}, found {}", describe(value))
            });
            return None;
        };
        let mistakes: Vec<String> = axes
            .keys()
            .filter(|name| !names().any(|known| known == *name))
            .map(|name| {
                format!(
                    "`axes.{}`: expected one of {} for dataset `{}`, found an unknown axis{}",
                    excerpt(name),
                    names().collect::<Vec<_>>().join(", "),
                    self.dataset.name,
                    nearest_hint(name, names())
                )
            })
            .collect();
        mistakes.into_iter().for_each(|mistake| self.mistakes.add(|| mistake));
        Some(axes)
    }

    /// Reads the number of days after which mode `stale` refreshes a partition.
    fn refresh_after_days(&mut self, fields: &Map<String, Value>, mode: Mode) -> u32 {
        const NAME: &str = "refresh_after_days";
        let Some(found) = non_null(fields, NAME) else { return REFRESH_AFTER_DAYS };
        if mode != Mode::Stale {
            self.mistakes.add(|| format!("`{NAME}`: expected it only with mode `stale`, found it with another mode"));
        }
        // Some programs write only doubles.
        let days = found.as_f64().filter(|days| days.fract() == 0.0).map(|days| days as u32);
        days.filter(|days| (1..=MAX_REFRESH_AFTER_DAYS).contains(days)).unwrap_or_else(|| {
            self.mistakes.add(|| {
                format!("`{NAME}`: expected days from 1 to {MAX_REFRESH_AFTER_DAYS}, found {}", describe(found))
            });
            REFRESH_AFTER_DAYS
        })
    }

    /// Reads a field that is true or false. Returns `false` if it is absent or invalid.
    fn flag(&mut self, fields: &Map<String, Value>, name: &str) -> bool {
        match non_null(fields, name) {
            None => false,
            Some(Value::Bool(flag)) => *flag,
            Some(other) => {
                self.mistakes.add(|| format!("`{name}`: expected true or false, found {}", describe(other)));
                false
            }
        }
    }

    /// Reads a field that has a fixed set of values. Returns `None` if it is absent or invalid.
    fn choice<'v>(&mut self, fields: &'v Map<String, Value>, name: &str, choices: &[&str]) -> Option<&'v str> {
        match non_null(fields, name) {
            None => None,
            Some(Value::String(choice)) if choices.contains(&choice.as_str()) => Some(choice),
            Some(other) => {
                self.mistakes.add(|| {
                    format!("`{name}`: expected one of {}, found {}", choices.join(", "), describe_text(other))
                });
                None
            }
        }
    }
}
