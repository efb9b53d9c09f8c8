//! Checks the fields of a request, and collects every mistake.

use serde_json::{Map, Value};

use crate::dataset::partitions::{OTHER_FIELDS, plural};
use crate::dataset::{Axis, Dataset};
use crate::error::Error;
use crate::error::mistakes::Mistakes;
use crate::request::fields::{fields_of, given, is_of_a_tool};
use crate::request::words::{describe, describe_text};
use crate::request::{AxisSelection, CatalogMode, Mode, Request, Selection, dataset_name, is_run_name};
use crate::text::excerpt;

impl Request {
    /// Checks a request's JSON against a dataset.
    ///
    /// Null is absent for every field, and fields that AWS or a tracer adds (`AWS_STEP_FUNCTIONS_…`, `_…`) are not looked
    /// at.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] with every mistake, the first twenty written out.
    pub fn parse(input: &Value, dataset: &Dataset) -> Result<Self, Error> {
        dataset_name(input)?;
        let mut check = Check { dataset, mistakes: Mistakes::default() };
        let request = check.request(fields_of(input)?);
        if check.mistakes.len() == 0 {
            Ok(request)
        } else {
            Err(Error::InvalidRequest { mistakes: check.mistakes.into_sentences() })
        }
    }
}

/// Collects mistakes while a request is read.
pub(super) struct Check<'d> {
    pub(super) dataset: &'d Dataset,
    pub(super) mistakes: Mistakes,
}

impl Check<'_> {
    fn request(&mut self, fields: &Map<String, Value>) -> Request {
        let axis_fields: Vec<String> = self.dataset.axes.iter().map(plural).collect();
        for (name, value) in fields {
            let is_known = axis_fields.contains(name) || OTHER_FIELDS.contains(&name.as_str());
            if !is_known && !value.is_null() && !is_of_a_tool(name) {
                self.mistakes.add(|| {
                    let known: Vec<&str> = axis_fields.iter().map(String::as_str).chain(OTHER_FIELDS).collect();
                    format!(
                        "`{}`: expected one of {} for dataset `{}`, found a field that is none of them",
                        excerpt(name),
                        known.join(", "),
                        self.dataset.name
                    )
                });
            }
        }
        let is_of_the_stale = given(fields, "mode").and_then(Value::as_str) == Some("stale");
        let is_of_a_run = given(fields, "failed_of").is_some();
        let selection = match given(fields, "partitions") {
            Some(value) => {
                for name in axis_fields.iter().filter(|name| given(fields, name).is_some()) {
                    self.mistakes.add(|| format!("`{name}`: expected none beside `partitions`, found both"));
                }
                Selection::Partitions(self.partitions(value))
            }
            None => {
                let axes = self.dataset.axes.iter().collect::<Vec<_>>();
                let select = |axis: &Axis| match given(fields, &plural(axis)) {
                    // The run or the lake says which; naming axes only narrows it.
                    None if is_of_a_run || is_of_the_stale => AxisSelection::Any,
                    value => self.axis(axis, value),
                };
                Selection::Axes(axes.into_iter().map(select).collect())
            }
        };
        let mode = match self.word(fields, "mode", &["all", "missing", "failed", "stale"]) {
            Some("missing") => Mode::Missing,
            Some("failed") => Mode::Failed,
            Some("stale") => Mode::Stale,
            _ => Mode::All,
        };
        let failed_of = match given(fields, "failed_of") {
            None => None,
            Some(Value::String(run)) if is_run_name(run) => Some(run.clone()),
            Some(other) => {
                self.mistakes
                    .add(|| format!("`failed_of`: expected the name of a run, found {}", describe_text(other)));
                None
            }
        };
        if failed_of.is_some() && mode != Mode::Failed && given(fields, "mode").is_some() {
            self.mistakes.add(|| "`failed_of`: expected only with mode `failed`, found another mode".to_owned());
        }
        let force = match given(fields, "force") {
            None => false,
            Some(Value::Bool(force)) => *force,
            Some(other) => {
                self.mistakes.add(|| format!("`force`: expected true or false, found {}", describe(other)));
                false
            }
        };
        let catalog = match self.word(fields, "catalog", &["partitions", "crawler"]) {
            Some("crawler") => CatalogMode::Crawler,
            _ => CatalogMode::Partitions,
        };
        Request { selection, mode: if failed_of.is_some() { Mode::Failed } else { mode }, failed_of, force, catalog }
    }

    /// One of a few words; `None` when absent or wrong.
    fn word<'v>(&mut self, fields: &'v Map<String, Value>, name: &str, words: &[&str]) -> Option<&'v str> {
        match given(fields, name) {
            None => None,
            Some(Value::String(word)) if words.contains(&word.as_str()) => Some(word),
            Some(other) => {
                self.mistakes
                    .add(|| format!("`{name}`: expected one of {}, found {}", words.join(", "), describe_text(other)));
                None
            }
        }
    }
}
