//! What a run is asked for: one JSON schema for the scheduler, the console and the command line.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use crate::availability::parse_year;
use crate::dataset::{Axis, AxisKind, Dataset};
use crate::error::{Error, Mistakes, excerpt, thousands};
use crate::fit::parse_integral;
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
    /// Those of `planned` that this names, in their order: the plan of some run narrowed to what is asked for.
    #[must_use]
    pub fn narrow(&self, dataset: &Dataset, planned: Vec<PartitionKey>) -> Vec<PartitionKey> {
        match self {
            Self::Partitions(partitions) => {
                let named: BTreeSet<&PartitionKey> = partitions.iter().collect();
                planned.into_iter().filter(|partition| named.contains(partition)).collect()
            }
            Self::Axes(axes) => {
                let is_named = |axis: &Axis, selection: &AxisSelection, partition: &PartitionKey| {
                    let Some(value) = partition.value(&axis.name) else { return false };
                    match selection {
                        AxisSelection::Any => true,
                        AxisSelection::All => axis.total.as_ref().is_none_or(|total| value.to_string() != *total),
                        AxisSelection::Values(values) => values.contains(value),
                    }
                };
                let of_axes = |partition: &PartitionKey| {
                    dataset.axes.iter().zip(axes).all(|(axis, selection)| is_named(axis, selection, partition))
                };
                planned.into_iter().filter(of_axes).collect()
            }
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
/// [`Error::InvalidRequest`] when the JSON is no request or the name is no text.
pub fn dataset_name(input: &Value) -> Result<String, Error> {
    let refuse = |mistake| Err(Error::InvalidRequest { mistakes: vec![mistake] });
    match given(fields_of(input)?, "dataset") {
        None => Ok(DEFAULT_DATASET.to_owned()),
        Some(Value::String(name)) => Ok(name.clone()),
        Some(other) => refuse(format!("`dataset`: expected a name, found {}", describe(other))),
    }
}

const EXAMPLE: &str = r#"{"years": [2020, 2021], "grades": ["grade-pk"]}"#;

/// The fields of a request; or what it is instead, where that can be told.
fn fields_of(input: &Value) -> Result<&Map<String, Value>, Error> {
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
fn is_of_a_tool(field: &str) -> bool {
    field.starts_with("AWS_STEP_FUNCTIONS_") || field.starts_with('_')
}

/// Whether a text holds a JSON array or object, by the sign that it opens with.
fn is_encoded(text: &str, opening: char) -> bool {
    text.trim_start().starts_with(opening)
}

/// A field's value. Null is absent, for every field: templates and state machines write it for what they do not know.
fn given<'v>(fields: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    fields.get(name).filter(|value| !value.is_null())
}

/// Most partitions of one plan. No endpoint of the portal has more than two axes, a year and one of at most 20 values, which
/// makes some 800; a plan of more than this would be fetched for days, and is a mistake.
pub const MOST_PARTITIONS: usize = 100_000;

/// Checks the size of a plan before anything of it is made.
///
/// - `n_values`: how many values each axis has, in axis order.
///
/// # Errors
/// [`Error::InvalidRequest`] naming both sizes when there are more than [`MOST_PARTITIONS`] combinations.
pub(crate) fn check_size(dataset: &Dataset, n_values: &[usize]) -> Result<(), Error> {
    let n_partitions = n_values.iter().try_fold(1_usize, |product, n| product.checked_mul(*n));
    if n_values.contains(&0) || n_partitions.is_some_and(|n| n <= MOST_PARTITIONS) {
        return Ok(());
    }
    let factors: Vec<String> = dataset
        .axes
        .iter()
        .zip(n_values)
        .map(|(axis, n)| format!("{} {}", thousands(*n as u64), plural(axis)))
        .collect();
    let found = n_partitions.map_or_else(String::new, |n| format!("{}: ", thousands(n as u64)));
    Err(Error::InvalidRequest {
        mistakes: vec![format!(
            "expected at most {} partitions in one plan, found {found}{}\n    hint: name fewer values of an axis, and make \
             several runs of it",
            thousands(MOST_PARTITIONS as u64),
            factors.join(" × ")
        )],
    })
}

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

/// Collects mistakes while a request is read.
struct Check<'d> {
    dataset: &'d Dataset,
    mistakes: Mistakes,
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

    fn axis(&mut self, axis: &Axis, value: Option<&Value>) -> AxisSelection {
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

    fn partitions(&mut self, value: &Value) -> Vec<PartitionKey> {
        let expected = "an array of objects";
        let items = match value {
            Value::Array(items) => items,
            Value::String(text) if is_encoded(text, '[') || is_encoded(text, '{') => {
                self.mistakes.add(|| encoded("partitions", expected, text));
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
        if items.len() > MOST_PARTITIONS {
            self.mistakes.add(|| {
                format!(
                    "`partitions`: expected at most {} in one plan, found {}",
                    thousands(MOST_PARTITIONS as u64),
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
                        "`partitions[{i}].{}`: expected only {}, found another field",
                        excerpt(name),
                        axes.join(", ")
                    )
                });
            }
        }
        let mut values = Vec::new();
        for axis in &self.dataset.axes {
            let field = || format!("partitions[{i}].{}", axis.name);
            let text = match (axis.kind, given(fields, &axis.name)) {
                (AxisKind::Int, Some(Value::Number(number))) => spell(number),
                (_, Some(Value::String(text))) => text.clone(),
                (_, Some(other)) => {
                    self.mistakes.add(|| {
                        let hint = hint_of_code(axis, &other.to_string());
                        format!("`{}`: expected {}, found {}{hint}", field(), expected_one(axis), describe(other))
                    });
                    continue;
                }
                (_, None) => {
                    self.mistakes.add(|| format!("`{}`: expected {}, found none", field(), expected_one(axis)));
                    continue;
                }
            };
            match axis.kind {
                AxisKind::Int => match parse_year(&text) {
                    Some(year) => values.push((axis.name.clone(), AxisValue::Int(year))),
                    None => self.mistakes.add(|| {
                        let hint = hint_of_years(&text, false);
                        format!("`{}`: expected {}, found `{}`{hint}", field(), expected_one(axis), excerpt(&text))
                    }),
                },
                AxisKind::String if axis.values.iter().any(|coded| coded.value == text) => {
                    values.push((axis.name.clone(), AxisValue::Text(text)));
                }
                AxisKind::String => self.mistakes.add(|| unknown_value(axis, &field(), &text)),
            }
        }
        (self.mistakes.len() == n_before).then(|| PartitionKey::new(values))
    }
}

/// Fields of a request beside those of the axes.
pub(crate) const OTHER_FIELDS: [&str; 6] = ["dataset", "partitions", "mode", "failed_of", "force", "catalog"];

/// An integral double is its integer, as it is in rows: some programs write no other numbers.
fn spell(number: &Number) -> String {
    let text = number.to_string();
    parse_integral(&text).map_or(text, |integer| integer.to_string())
}

/// Says of a text that it holds the JSON that should be there.
fn encoded(field: &str, expected: &str, text: &str) -> String {
    format!(
        "`{field}`: expected {expected}, found {}\n    hint: write it without the quotes around it",
        describe(&Value::from(text))
    )
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

/// Values in a line: those that only count up are drawn together, `grade-1 to grade-15`; a long list is cut.
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
    const MOST_WORDS: usize = 40;
    let n_more = runs.len().saturating_sub(MOST_WORDS);
    let mut words: Vec<String> = runs
        .iter()
        .take(MOST_WORDS)
        .map(|(first, last)| if first == last { (*first).to_owned() } else { format!("{first} to {last}") })
        .collect();
    if n_more > 0 {
        words.push(format!("… and {n_more} more"));
    }
    words.join(", ")
}

/// Names the values there are, and the one that was probably meant.
fn unknown_value(axis: &Axis, field: &str, text: &str) -> String {
    let known: Vec<&str> = axis.values.iter().map(|coded| coded.value.as_str()).collect();
    let mut message = format!("`{field}`: expected one of {}, found `{}`", in_few_words(&known), excerpt(text));
    let meant =
        format!("{}-{}", axis.name, text.to_lowercase().trim_start_matches("grade").trim_matches([' ', '-', '_']));
    // `-1` is the code of pre-kindergarten, and no first grade.
    let hint = hint_of_code(axis, text);
    if !hint.is_empty() {
        message.push_str(&hint);
    } else if let Some(meant) = known.iter().find(|known| **known == meant) {
        message.push_str(&format!("\n    hint: write `{meant}`"));
    }
    message
}

/// A hint, on a line of its own, at the value whose code in the rows this is; empty when there is none.
fn hint_of_code(axis: &Axis, text: &str) -> String {
    let code = parse_integral(text.trim());
    let meant = axis.values.iter().find(|coded| Some(coded.code) == code);
    meant.map_or_else(String::new, |meant| format!("\n    hint: write `{}`", meant.value))
}

/// A hint, on a line of its own, at the years that `2020-21`, `2020/21` or `2020–2021` may mean; empty when there are none.
fn hint_of_years(text: &str, may_be_range: bool) -> String {
    let plain = text.trim().replace(['/', '\u{2010}', '\u{2011}', '\u{2012}', '\u{2013}', '\u{2014}'], "-");
    let Some((first, last)) = plain.split_once('-') else { return String::new() };
    let (first, last) = (parse_year(first), last.trim());
    let Some(first) = first else { return String::new() };
    let last = match (last.len(), last.parse::<i32>()) {
        // `1999-00` ends in another century than it begins.
        (2, Ok(last)) if last >= 0 => first - first % 100 + last + if last < first % 100 { 100 } else { 0 },
        _ => parse_year(last).unwrap_or(0),
    };
    match (last - first, may_be_range) {
        (1, true) => {
            format!("\n    hint: write `{first}` for the school year that begins in it, or `{first}-{last}` for two")
        }
        (1, false) => format!("\n    hint: write `{first}` for the school year that begins in it"),
        (2..=60, true) => format!("\n    hint: write `{first}-{last}`"),
        _ => String::new(),
    }
}

/// Whether a text can be a run's name: it becomes part of object keys.
#[must_use]
pub fn is_run_name(text: &str) -> bool {
    (1..=80).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// A JSON value in few words, where something else than a text was expected: `"false"` is a text and false is not.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::String(text) => format!("the text \"{}\"", excerpt(text)),
        // Cut before it is written out: an array may be as long as the input.
        Value::Array(items) if items.len() > MOST_ITEMS => format!("an array of {}", thousands(items.len() as u64)),
        Value::Object(fields) if fields.len() > MOST_ITEMS => {
            format!("an object of {} fields", thousands(fields.len() as u64))
        }
        Value::Array(_) | Value::Object(_) | Value::Bool(_) | Value::Number(_) => {
            format!("`{}`", excerpt(&value.to_string()))
        }
    }
}

/// Items of an array, or fields of an object, that are shown.
const MOST_ITEMS: usize = 100;

/// The same where a text was expected, and another one may have been found.
fn describe_text(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{}`", excerpt(text)),
        other => describe(other),
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
        let request = parse(json!({"years": vec!["1900-2100"; 1_000], "grades": "all"})).unwrap();
        let Selection::Axes(axes) = request.selection else { panic!("{request:?}") };
        let AxisSelection::Values(years) = &axes[0] else { panic!("{axes:?}") };
        assert_eq!(years.len(), 201);
        assert!(years.capacity() < 500, "room for {} years", years.capacity());
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
                "check request: `grades`: expected values such as [\"grade-pk\"] or \"all\", found `3`\n    hint: write `grade-3`",
            ),
            (
                json!({"years": [2020], "grades": "all", "force": "yes"}),
                "check request: `force`: expected true or false, found the text \"yes\"",
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

    /// Found by use: W5.
    #[test]
    fn w13_null_is_absent_for_every_field_of_a_request() {
        let plain = json!({"years": [2020], "grades": ["grade-3"]});
        let expected = parse(plain.clone()).unwrap();
        for field in OTHER_FIELDS.into_iter().chain(["forced"]) {
            let mut input = plain.clone();
            input[field] = Value::Null;
            assert_eq!(parse(input).unwrap(), expected, "{field}");
        }
        let partition = json!({"year": 2020, "grade": "grade-3", "sex": null});
        let one = parse(json!({"partitions": [partition], "years": null, "grades": null})).unwrap();
        let Selection::Partitions(partitions) = one.selection else { panic!("{one:?}") };
        assert_eq!(partitions[0].to_string(), "year=2020/grade=grade-3");
        assert_eq!(dataset_name(&json!({"dataset": null})).unwrap(), DEFAULT_DATASET);
        for (input, expected) in [
            (
                json!({"years": null, "grades": "all"}),
                "check request: `years`: expected years such as [2020, 2021], \"2015-2021\" or \"all\", found none",
            ),
            (
                json!({"partitions": [{"year": null, "grade": "grade-3"}]}),
                "check request: `partitions[0].year`: expected a year such as 2021, found none",
            ),
        ] {
            assert_eq!(parse(input).unwrap_err().chain(), expected);
        }
    }

    /// Found by use: W6.
    #[test]
    fn w14_fields_that_aws_or_a_tracer_adds_are_not_looked_at_and_no_others() {
        let plain = json!({"years": [2020], "grades": ["grade-3"]});
        let mut input = plain.clone();
        for (field, value) in [
            ("AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID", json!("arn:aws:states:us-east-1:1:execution:a:b")),
            ("_datadog", json!({"x-datadog-trace-id": "1"})),
            ("_X_AMZN_TRACE_ID", json!("Root=1-2-3")),
        ] {
            input[field] = value;
        }
        assert_eq!(parse(input).unwrap(), parse(plain).unwrap());
        for field in ["aws_step_functions_x", "AWS_STEP", "x_", "Comment"] {
            let mut input = json!({"years": [2020], "grades": ["grade-3"]});
            input[field] = json!("x");
            let message = parse(input).unwrap_err().chain();
            assert!(
                message.starts_with(&format!("check request: `{field}`: expected one of years, grades")),
                "{message}"
            );
        }
    }

    /// Found by use: W7.
    #[test]
    fn w15_an_event_of_eventbridge_and_an_input_encoded_twice_are_named_in_one_message() {
        let event = json!({
            "version": "0", "id": "17793124-05d4-b198-2fde-7ededc63b103", "detail-type": "Scheduled Event",
            "source": "aws.events", "account": "123456789012", "time": "2026-11-26T12:00:00Z", "region": "us-east-1",
            "resources": ["arn:aws:events:us-east-1:123456789012:rule/r"], "detail": {},
        });
        insta::assert_snapshot!(parse(event).unwrap_err().chain(), @r#"
        check request: expected a request such as {"years": [2020, 2021], "grades": ["grade-pk"]}, found an event of EventBridge itself (`detail-type`: the text "Scheduled Event")
            hint: set the input of the rule or the schedule to a constant, the request's JSON
        "#);
        let twice = json!(json!({"years": [2020], "grades": "all"}).to_string());
        insta::assert_snapshot!(parse(twice).unwrap_err().chain(), @r#"
        check request: expected an object such as {"years": [2020, 2021], "grades": ["grade-pk"]}, found the text "{"grades":"all","years":[2020]}": it was encoded as JSON twice
            hint: pass the object itself, without quotes around it
        "#);
        let fields = json!({
            "years": "[2020, 2021]", "grades": "[\"grade-pk\"]", "force": "false", "mode": true, "dataset": null,
            "catalog": ["partitions"],
        });
        insta::assert_snapshot!(parse(fields).unwrap_err().chain(), @r#"
        check request: found 5 mistakes
          - `years`: expected years such as [2020, 2021], "2015-2021" or "all", found the text "[2020, 2021]"
            hint: write it without the quotes around it
          - `grades`: expected values such as ["grade-pk"] or "all", found the text "["grade-pk"]"
            hint: write it without the quotes around it
          - `mode`: expected one of all, missing, failed, stale, found `true`
          - `force`: expected true or false, found the text "false"
          - `catalog`: expected one of partitions, crawler, found `["partitions"]`
        "#);
        let partitions = json!({"partitions": "[{\"year\": 2020, \"grade\": \"grade-3\"}]"});
        insta::assert_snapshot!(parse(partitions).unwrap_err().chain(), @r#"
        check request: `partitions`: expected an array of objects, found the text "[{"year": 2020, "grade": "grade-3"}]"
            hint: write it without the quotes around it
        "#);
    }

    /// Found by use: B8.
    #[test]
    fn w16_of_a_hundred_thousand_mistakes_twenty_are_written_out_and_the_rest_counted() {
        let error = parse(json!({"years": vec!["x".repeat(1_000); 130_000], "grades": [vec!["a"; 200]]})).unwrap_err();
        let message = error.chain();
        assert!(message.starts_with("check request: found more than 20 mistakes\n  - `years`: expected"), "{message}");
        assert!(message.ends_with("\n  - … and 129,981 more"), "{message}");
        assert!(message.len() < 10_000, "{} bytes", message.len());
        let exactly = parse(json!({"years": vec!["x"; 20], "grades": "all"})).unwrap_err().chain();
        assert!(exactly.starts_with("check request: found 20 mistakes\n"), "{exactly}");
        assert!(!exactly.contains("more"), "{exactly}");
        let partitions = vec![json!({"year": 2020, "grade": "grade-3"}); MOST_PARTITIONS + 1];
        let message = parse(json!({"partitions": partitions[1..]})).map(|_| ()).map_err(|error| error.chain());
        assert_eq!(message, Ok(()));
        assert_eq!(
            parse(json!({"partitions": partitions})).unwrap_err().chain(),
            "check request: `partitions`: expected at most 100,000 in one plan, found 100,001"
        );
    }

    /// Found by use: W12.
    #[test]
    fn a_hint_names_the_grade_of_a_code_and_the_years_of_a_school_year() {
        for (input, hint) in [
            (json!({"years": [2020], "grades": [0]}), "write `grade-k`"),
            (json!({"years": [2020], "grades": ["-1"]}), "write `grade-pk`"),
            (json!({"years": [2020], "grades": -1.0}), "write `grade-pk`"),
            (json!({"partitions": [{"year": 2020, "grade": 99}]}), "write `grade-99`"),
            (
                json!({"years": "2020-21", "grades": "all"}),
                "write `2020` for the school year that begins in it, or `2020-2021` for two",
            ),
            (
                json!({"years": ["1999/00"], "grades": "all"}),
                "write `1999` for the school year that begins in it, or `1999-2000` for two",
            ),
            (json!({"years": "2015\u{2013}2021", "grades": "all"}), "write `2015-2021`"),
            (
                json!({"partitions": [{"year": "2020-21", "grade": "grade-3"}]}),
                "write `2020` for the school year that begins in it",
            ),
        ] {
            let message = parse(input.clone()).unwrap_err().chain();
            assert!(message.ends_with(&format!("\n    hint: {hint}")), "{input}: {message}");
        }
        for input in [
            json!({"years": [2020], "grades": [50]}),
            json!({"years": "2020-2x", "grades": "all"}),
            json!({"years": "2020-19", "grades": "all"}),
            json!({"years": "20-21", "grades": "all"}),
        ] {
            let message = parse(input.clone()).unwrap_err().chain();
            assert!(!message.contains("hint"), "{input}: {message}");
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
