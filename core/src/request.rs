//! What a run is asked for: one JSON schema for the scheduler, the console and the command line.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::availability::parse_year;
use crate::dataset::{Axis, AxisKind, Dataset};
use crate::error::{Error, excerpt};
use crate::partition::{AxisValue, PartitionKey};

/// Dataset of a request that names none.
pub const DEFAULT_DATASET: &str = "ccd_enrollment";

/// A checked request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Which partitions.
    pub selection: Selection,
    /// Which of them to fetch.
    pub mode: Mode,
    /// The run whose failed partitions `failed` means; any run's last attempt where there is none.
    pub failed_of: Option<String>,
    /// Whether a partition may replace a fuller one.
    pub force: bool,
    /// How partitions become visible to queries.
    pub catalog: CatalogMode,
}

/// Which partitions a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Every combination of these, in the descriptor's axis order.
    Axes(Vec<AxisSelection>),
    /// Exactly these.
    Partitions(Vec<PartitionKey>),
}

/// Values of one axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AxisSelection {
    /// Whatever the run of `failed_of` planned, or whatever the lake holds that is stale, totals included.
    Any,
    /// Every value there is, but totals.
    All,
    /// These, each once.
    Values(Vec<AxisValue>),
}

impl Selection {
    /// Whether a partition that some run planned is one of these.
    #[must_use]
    pub fn covers(&self, dataset: &Dataset, partition: &PartitionKey) -> bool {
        match self {
            Self::Partitions(partitions) => partitions.contains(partition),
            Self::Axes(axes) => dataset.axes.iter().zip(axes).all(|(axis, selection)| {
                let Some(value) = partition.value(&axis.name) else { return false };
                match selection {
                    AxisSelection::Any => true,
                    AxisSelection::All => axis.total.as_ref().is_none_or(|total| value.to_string() != *total),
                    AxisSelection::Values(values) => values.contains(value),
                }
            }),
        }
    }
}

/// Which of the named partitions to fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// All of them.
    #[default]
    All,
    /// Those without a readable object, unless the portal had no rows for them under its present release.
    Missing,
    /// Those whose last attempt failed, or whose last run ended before it tried them.
    Failed,
    /// Those whose object is of another schema or encoding than a run would write today.
    Stale,
}

/// How partitions become visible to queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CatalogMode {
    /// The catalog step adds them.
    #[default]
    Partitions,
    /// A crawler finds them (on AWS).
    Crawler,
}

/// The name of the dataset that a request's JSON asks for.
///
/// # Errors
/// [`Error::InvalidRequest`] when the JSON is no object or the name is no text.
pub fn dataset_name(input: &Value) -> Result<String, Error> {
    match input.as_object().map(|fields| fields.get("dataset")) {
        Some(None) => Ok(DEFAULT_DATASET.to_owned()),
        Some(Some(Value::String(name))) => Ok(name.clone()),
        Some(Some(other)) => Err(Error::InvalidRequest {
            mistakes: vec![format!("`dataset`: expected a name, found {}", describe(other))],
        }),
        None => Err(Error::InvalidRequest {
            mistakes: vec![format!("expected an object such as {EXAMPLE}, found {}", describe(input))],
        }),
    }
}

const EXAMPLE: &str = r#"{"years": [2020, 2021], "grades": ["grade-pk"]}"#;

impl Request {
    /// Checks a request's JSON against a dataset.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] with every mistake.
    pub fn parse(input: &Value, dataset: &Dataset) -> Result<Self, Error> {
        dataset_name(input)?;
        let empty = Map::new();
        let fields = input.as_object().unwrap_or(&empty);
        let mut check = Check { dataset, mistakes: Vec::new() };
        let request = check.request(fields);
        if check.mistakes.is_empty() { Ok(request) } else { Err(Error::InvalidRequest { mistakes: check.mistakes }) }
    }
}

/// Values in the order of the request, each once as soon as it is read: a range repeated a thousand times takes no more room
/// than one.
#[derive(Default)]
struct Distinct {
    in_order: Vec<AxisValue>,
    seen: BTreeSet<AxisValue>,
}

impl Distinct {
    fn add(&mut self, value: AxisValue) {
        if self.seen.insert(value.clone()) {
            self.in_order.push(value);
        }
    }
}

/// Collects mistakes while a request is read.
struct Check<'d> {
    dataset: &'d Dataset,
    mistakes: Vec<String>,
}

impl Check<'_> {
    fn mistake(&mut self, text: String) {
        self.mistakes.push(text);
    }

    fn request(&mut self, fields: &Map<String, Value>) -> Request {
        let axis_fields: Vec<String> = self.dataset.axes.iter().map(plural).collect();
        let other_fields = ["dataset", "partitions", "mode", "failed_of", "force", "catalog"];
        for name in fields.keys() {
            if !axis_fields.contains(name) && !other_fields.contains(&name.as_str()) {
                let known: Vec<&str> = axis_fields.iter().map(String::as_str).chain(other_fields).collect();
                self.mistake(format!(
                    "`{}`: expected one of {} for dataset `{}`, found a field that is none of them",
                    excerpt(name),
                    known.join(", "),
                    self.dataset.name
                ));
            }
        }
        let is_of_the_stale = fields.get("mode").and_then(Value::as_str) == Some("stale");
        let is_of_a_run = fields.get("failed_of").is_some_and(|value| !value.is_null());
        let selection = match fields.get("partitions") {
            Some(value) => {
                for name in axis_fields.iter().filter(|name| fields.contains_key(*name)) {
                    self.mistake(format!("`{name}`: expected none beside `partitions`, found both"));
                }
                Selection::Partitions(self.partitions(value))
            }
            None => {
                let axes = self.dataset.axes.iter().collect::<Vec<_>>();
                let select = |axis: &Axis| match fields.get(&plural(axis)) {
                    // The run or the lake says which; naming axes only narrows it.
                    None | Some(Value::Null) if is_of_a_run || is_of_the_stale => AxisSelection::Any,
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
        let failed_of = match fields.get("failed_of") {
            None | Some(Value::Null) => None,
            Some(Value::String(run)) if is_run_name(run) => Some(run.clone()),
            Some(other) => {
                self.mistake(format!("`failed_of`: expected the name of a run, found {}", describe(other)));
                None
            }
        };
        if failed_of.is_some() && mode != Mode::Failed && fields.contains_key("mode") {
            self.mistake("`failed_of`: expected only with mode `failed`, found another mode".to_owned());
        }
        let force = match fields.get("force") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(force)) => *force,
            Some(other) => {
                self.mistake(format!("`force`: expected true or false, found {}", describe(other)));
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
        match fields.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(word)) if words.contains(&word.as_str()) => Some(word),
            Some(other) => {
                self.mistake(format!("`{name}`: expected one of {}, found {}", words.join(", "), describe(other)));
                None
            }
        }
    }

    fn axis(&mut self, axis: &Axis, value: Option<&Value>) -> AxisSelection {
        let field = plural(axis);
        let n_before = self.mistakes.len();
        let mut values = Distinct::default();
        match value {
            None | Some(Value::Null) => {
                self.mistake(format!("`{field}`: expected {}, found none", expected(axis)));
            }
            Some(Value::String(text)) if text == "all" => return AxisSelection::All,
            Some(Value::String(text)) => {
                for item in text.split(',') {
                    self.item(axis, &field, item.trim(), &mut values);
                }
            }
            Some(Value::Array(items)) => {
                for item in items {
                    match (axis.kind, item) {
                        (AxisKind::Int, Value::Number(number)) => {
                            self.item(axis, &field, &number.to_string(), &mut values)
                        }
                        (_, Value::String(text)) => self.item(axis, &field, text, &mut values),
                        (_, other) => {
                            self.mistake(format!("`{field}`: expected {}, found {}", expected(axis), describe(other)));
                        }
                    }
                }
            }
            Some(Value::Number(number)) if axis.kind == AxisKind::Int => {
                self.item(axis, &field, &number.to_string(), &mut values);
            }
            Some(other) => {
                self.mistake(format!("`{field}`: expected {}, found {}", expected(axis), describe(other)));
            }
        }
        if values.in_order.is_empty() && self.mistakes.len() == n_before {
            self.mistake(format!("`{field}`: expected at least one value, found none"));
        }
        AxisSelection::Values(values.in_order)
    }

    /// One year, one range of years, or one word of the axis.
    fn item(&mut self, axis: &Axis, field: &str, text: &str, values: &mut Distinct) {
        match axis.kind {
            AxisKind::Int => {
                let (first, last) = text.split_once('-').unwrap_or((text, text));
                match (parse_year(first), parse_year(last)) {
                    (Some(first), Some(last)) if first <= last => (first..=last).map(AxisValue::Int).for_each(|year| values.add(year)),
                    (Some(first), Some(last)) => self.mistake(format!(
                        "`{field}`: expected a range from the earlier to the later year, found `{first}-{last}`\n    hint: write `{last}-{first}`"
                    )),
                    _ => self.mistake(format!("`{field}`: expected {}, found `{}`", expected(axis), excerpt(text))),
                }
            }
            AxisKind::String => {
                if axis.values.iter().any(|coded| coded.value == text) {
                    values.add(AxisValue::Text(text.to_owned()));
                } else {
                    self.mistake(unknown_value(axis, field, text));
                }
            }
        }
    }

    fn partitions(&mut self, value: &Value) -> Vec<PartitionKey> {
        let Some(items) = value.as_array() else {
            self.mistake(format!("`partitions`: expected an array of objects, found {}", describe(value)));
            return Vec::new();
        };
        if items.is_empty() {
            self.mistake("`partitions`: expected at least one, found none".to_owned());
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
            self.mistake(format!("`partitions[{i}]`: expected an object, found {}", describe(item)));
            return None;
        };
        for name in fields.keys() {
            if !self.dataset.axes.iter().any(|axis| axis.name == *name) {
                let axes: Vec<&str> = self.dataset.axes.iter().map(|axis| axis.name.as_str()).collect();
                self.mistake(format!(
                    "`partitions[{i}].{}`: expected only {}, found another field",
                    excerpt(name),
                    axes.join(", ")
                ));
            }
        }
        let mut values = Vec::new();
        for axis in &self.dataset.axes {
            let field = format!("partitions[{i}].{}", axis.name);
            let text = match (axis.kind, fields.get(&axis.name)) {
                (AxisKind::Int, Some(Value::Number(number))) => number.to_string(),
                (_, Some(Value::String(text))) => text.clone(),
                (_, Some(other)) => {
                    self.mistake(format!("`{field}`: expected {}, found {}", expected_one(axis), describe(other)));
                    continue;
                }
                (_, None) => {
                    self.mistake(format!("`{field}`: expected {}, found none", expected_one(axis)));
                    continue;
                }
            };
            match axis.kind {
                AxisKind::Int => match parse_year(&text) {
                    Some(year) => values.push((axis.name.clone(), AxisValue::Int(year))),
                    None => {
                        self.mistake(format!("`{field}`: expected {}, found `{}`", expected_one(axis), excerpt(&text)));
                    }
                },
                AxisKind::String if axis.values.iter().any(|coded| coded.value == text) => {
                    values.push((axis.name.clone(), AxisValue::Text(text)));
                }
                AxisKind::String => self.mistake(unknown_value(axis, &field, &text)),
            }
        }
        (self.mistakes.len() == n_before).then(|| PartitionKey::new(values))
    }
}

/// The field of a request that names values of an axis: `year` → `years`.
#[must_use]
pub fn plural(axis: &Axis) -> String {
    format!("{}s", axis.name)
}

fn expected(axis: &Axis) -> String {
    match axis.kind {
        AxisKind::Int => "years such as [2020, 2021], \"2015-2021\" or \"all\"".to_owned(),
        AxisKind::String => {
            let first = axis.values.first().map_or("", |coded| coded.value.as_str());
            format!("values such as [\"{first}\"] or \"all\"")
        }
    }
}

fn expected_one(axis: &Axis) -> String {
    match axis.kind {
        AxisKind::Int => "a year such as 2021".to_owned(),
        AxisKind::String => {
            let first = axis.values.first().map_or("", |coded| coded.value.as_str());
            format!("a value such as \"{first}\"")
        }
    }
}

/// Values in a line: those that only count up are drawn together, `grade-1 to grade-15`.
fn in_few_words(values: &[&str]) -> String {
    let number = |value: &str| -> Option<(String, u32)> {
        let digits = value.len() - value.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let (word, number) = value.split_at(value.len() - digits);
        Some((word.to_owned(), number.parse().ok()?))
    };
    let follows = |earlier: &str, later: &str| match (number(earlier), number(later)) {
        (Some((a, n)), Some((b, m))) => a == b && n.checked_add(1) == Some(m),
        _ => false,
    };
    let mut runs: Vec<(&str, &str)> = Vec::new();
    for value in values {
        match runs.last_mut() {
            Some((_, last)) if follows(last, value) => *last = value,
            _ => runs.push((value, value)),
        }
    }
    let words: Vec<String> = runs
        .iter()
        .map(|(first, last)| if first == last { (*first).to_owned() } else { format!("{first} to {last}") })
        .collect();
    words.join(", ")
}

/// Names the values there are, and the one that was probably meant.
fn unknown_value(axis: &Axis, field: &str, text: &str) -> String {
    let known: Vec<&str> = axis.values.iter().map(|coded| coded.value.as_str()).collect();
    let mut message = format!("`{field}`: expected one of {}, found `{}`", in_few_words(&known), excerpt(text));
    let meant =
        format!("{}-{}", axis.name, text.to_lowercase().trim_start_matches("grade").trim_matches([' ', '-', '_']));
    if let Some(meant) = known.iter().find(|known| **known == meant) {
        message.push_str(&format!("\n    hint: write `{meant}`"));
    }
    message
}

/// Whether a text can be a run's name: it becomes part of object keys.
#[must_use]
pub fn is_run_name(text: &str) -> bool {
    (1..=80).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// A JSON value in few words.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Array(_) | Value::Object(_) | Value::Bool(_) | Value::Number(_) => {
            format!("`{}`", excerpt(&value.to_string()))
        }
        Value::String(text) => format!("`{}`", excerpt(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(input: Value) -> Result<Request, Error> {
        Request::parse(&input, &Dataset::built_in("ccd_enrollment").unwrap())
    }

    #[test]
    fn the_scheduled_input_is_valid_and_enough() {
        let request = parse(json!({"years": [2020, 2021], "grades": ["grade-pk"]})).unwrap();
        assert_eq!(
            request,
            Request {
                selection: Selection::Axes(vec![
                    AxisSelection::Values(vec![AxisValue::Int(2020), AxisValue::Int(2021)]),
                    AxisSelection::Values(vec![AxisValue::Text("grade-pk".into())]),
                ]),
                mode: Mode::All,
                failed_of: None,
                force: false,
                catalog: CatalogMode::Partitions,
            }
        );
    }

    #[test]
    fn ranges_lists_and_all_are_understood() {
        let request = parse(json!({"years": "2015-2017,2020", "grades": "all"})).unwrap();
        let years = [2015, 2016, 2017, 2020].map(AxisValue::Int).to_vec();
        assert_eq!(request.selection, Selection::Axes(vec![AxisSelection::Values(years), AxisSelection::All]));
        let request = parse(json!({"partitions": [{"grade": "grade-3", "year": 2019}], "mode": "all"})).unwrap();
        let Selection::Partitions(partitions) = request.selection else { panic!("{request:?}") };
        assert_eq!(partitions[0].to_string(), "year=2019/grade=grade-3");
        let request = parse(json!({"years": [2020], "grades": "all", "failed_of": "run-1"})).unwrap();
        assert_eq!((request.mode, request.failed_of.as_deref()), (Mode::Failed, Some("run-1")));
    }

    #[test]
    fn a_range_named_a_thousand_times_takes_the_room_of_one() {
        let request = parse(json!({"years": vec!["1000-9999"; 1_000], "grades": "all"})).unwrap();
        let Selection::Axes(axes) = request.selection else { panic!("{request:?}") };
        let AxisSelection::Values(years) = &axes[0] else { panic!("{axes:?}") };
        assert_eq!(years.len(), 9_000);
        assert!(years.capacity() < 20_000, "room for {} years", years.capacity());
    }

    #[test]
    fn w10_every_mistake_of_a_request_is_named_at_once() {
        let error = parse(json!({
            "years": "2021-2020", "grades": ["pk", "grade-16"], "mode": "some", "forced": true, "catalog": 1,
            "failed_of": "../x"
        }))
        .unwrap_err();
        insta::assert_snapshot!(error.chain(), @r"
        check request: found 7 mistakes
          - `forced`: expected one of years, grades, dataset, partitions, mode, failed_of, force, catalog for dataset `ccd_enrollment`, found a field that is none of them
          - `years`: expected a range from the earlier to the later year, found `2021-2020`
            hint: write `2020-2021`
          - `grades`: expected one of grade-pk, grade-k, grade-1 to grade-15, grade-99, found `pk`
            hint: write `grade-pk`
          - `grades`: expected one of grade-pk, grade-k, grade-1 to grade-15, grade-99, found `grade-16`
          - `mode`: expected one of all, missing, failed, stale, found `some`
          - `failed_of`: expected the name of a run, found `../x`
          - `catalog`: expected one of partitions, crawler, found `1`
        ");
    }

    #[test]
    fn w10_each_kind_of_mistake_is_refused() {
        for (input, expected) in [
            (
                json!([]),
                "check request: expected an object such as {\"years\": [2020, 2021], \"grades\": [\"grade-pk\"]}, found `[]`",
            ),
            (json!({"dataset": 3}), "check request: `dataset`: expected a name, found `3`"),
            (
                json!({"years": [2020]}),
                "check request: `grades`: expected values such as [\"grade-pk\"] or \"all\", found none",
            ),
            (json!({"years": [], "grades": "all"}), "check request: `years`: expected at least one value, found none"),
            (
                json!({"years": [20], "grades": "all"}),
                "check request: `years`: expected years such as [2020, 2021], \"2015-2021\" or \"all\", found `20`",
            ),
            (
                json!({"years": [2020.5], "grades": "all"}),
                "check request: `years`: expected years such as [2020, 2021], \"2015-2021\" or \"all\", found `2020.5`",
            ),
            (
                json!({"years": {"from": 2020}, "grades": "all"}),
                "check request: `years`: expected years such as [2020, 2021], \"2015-2021\" or \"all\", found `{\"from\":2020}`",
            ),
            (
                json!({"years": [2020], "grades": [3]}),
                "check request: `grades`: expected values such as [\"grade-pk\"] or \"all\", found `3`",
            ),
            (
                json!({"years": [2020], "grades": "all", "force": "yes"}),
                "check request: `force`: expected true or false, found `yes`",
            ),
            (json!({"partitions": []}), "check request: `partitions`: expected at least one, found none"),
            (
                json!({"partitions": [{"year": 2019}]}),
                "check request: `partitions[0].grade`: expected a value such as \"grade-pk\", found none",
            ),
            (
                json!({"partitions": [{"year": 2019, "grade": "grade-3", "sex": 1}]}),
                "check request: `partitions[0].sex`: expected only year, grade, found another field",
            ),
            (
                json!({"years": [2020], "partitions": [{"year": 2019, "grade": "grade-3"}]}),
                "check request: `years`: expected none beside `partitions`, found both",
            ),
            (
                json!({"years": [2020], "grades": "all", "mode": "all", "failed_of": "r"}),
                "check request: `failed_of`: expected only with mode `failed`, found another mode",
            ),
        ] {
            assert_eq!(parse(input.clone()).unwrap_err().chain(), expected, "{input}");
        }
    }

    #[test]
    fn an_axis_that_the_dataset_lacks_is_refused_by_name() {
        let directory = Dataset::built_in("ccd_directory").unwrap();
        Request::parse(&json!({"dataset": "ccd_directory", "years": [2020]}), &directory).unwrap();
        let error = Request::parse(&json!({"years": [2020], "grades": "all"}), &directory).unwrap_err();
        assert_eq!(
            error.chain(),
            "check request: `grades`: expected one of years, dataset, partitions, mode, failed_of, force, catalog for dataset `ccd_directory`, found a field that is none of them"
        );
    }
}
