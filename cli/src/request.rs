//! The flags of a request, or its JSON from a file, turned into one validated request.

pub(crate) mod dataset;
mod in_flags;
mod input;

use clap::{Args, ValueEnum};
use rollcall_core::Error;
use rollcall_core::dataset::{Axis, AxisKind, Dataset};
use rollcall_core::request::{self, DEFAULT_DATASET, Request, with_every_axis};
use rollcall_core::text::excerpt;
use serde_json::{Map, Value, json};

use crate::completions;
use crate::exit::BadInput;
use crate::lake::offer::all_values;
use crate::request::dataset::{load_dataset, load_several, refuse_several};
use crate::request::in_flags::in_flags;
use crate::request::input::read_input;

#[derive(Debug, Clone, Args)]
pub(crate) struct RequestArgs {
    /// Years: 2020,2021 or 2015-2021 or latest or latest-3 (the three newest) or all
    #[arg(long, value_name = "YEARS")]
    years: Option<String>,
    /// Grades: grade-pk,grade-k,grade-1 ... or all (all grades except the total grade-99)
    #[arg(long, value_name = "GRADES", add = completions::grades())]
    grades: Option<String>,
    /// Values of another axis: grade_edfacts=grade-8,grade-99 or level_of_study=all; can be repeated
    #[arg(long = "axis", value_name = "NAME=VALUES", add = completions::axes())]
    axes: Vec<String>,
    /// One partition, such as 2019/grade-3, instead of years and grades; can be repeated
    #[arg(long = "partition", value_name = "YEAR/GRADE", conflicts_with_all = ["years", "grades", "axes"])]
    partitions: Vec<String>,
    /// Which of the named partitions to fetch
    #[arg(long, value_enum, default_value_t = ModeArg::All)]
    mode: ModeArg,
    /// With --mode stale: refresh a partition after this many days even under the same release [default: 7]
    #[arg(long, value_name = "DAYS")]
    refresh_after: Option<u32>,
    /// Fetch the partitions that failed or were not tried in this run
    #[arg(long, value_name = "RUN", add = completions::runs())]
    failed_of: Option<String>,
    /// Allow a partition, or the values of a column, to shrink by more than half
    #[arg(long)]
    force: bool,
    /// Keep the portal's pages in the lake after the commit, for `rollcall repair --from-pages`
    #[arg(long)]
    keep_pages: bool,
    /// Dataset by name or descriptor file, or several: 'ccd_*', schools, all [default: ccd_enrollment]
    #[arg(long, value_name = "NAME|FILE.toml|PATTERN", add = completions::datasets())]
    dataset: Option<String>,
    /// Read the request as JSON from a file, or from stdin with `-`, instead of from flags
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["years", "grades", "axes", "partitions", "mode", "refresh_after", "failed_of", "force", "keep_pages"])]
    input: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ModeArg {
    /// All of them
    All,
    /// Those without a readable file, unless the portal had no rows in its current release
    Missing,
    /// Those whose last attempt failed, or that their last run did not try
    Failed,
    /// Those with reason to fetch them again: missing, failed, other schema or encoding, or not refreshed under the
    /// portal's latest release; years and grades are optional
    Stale,
}

/// A validated request and its dataset.
pub(crate) struct ResolvedRequest {
    pub(crate) dataset: Dataset,
    pub(crate) request: Request,
    /// The request as JSON, used as the input of an execution.
    #[cfg_attr(not(feature = "aws"), allow(dead_code))]
    pub(crate) input: Value,
}

impl RequestArgs {
    /// Reads, parses and validates the request.
    pub(crate) fn resolve(&self) -> anyhow::Result<ResolvedRequest> {
        match &self.input {
            Some(input) => {
                let mut value = read_input(input)?;
                let named = request::dataset_name(&value)?;
                let dataset = match &self.dataset {
                    Some(dataset) => load_dataset(dataset)?,
                    None => Dataset::built_in(&named)?,
                };
                if value.get("dataset").is_some_and(|name| !name.is_null()) && named != dataset.name {
                    return Err(BadInput(format!(
                        "read input `{input}`: expected `dataset` to be `{}` as in --dataset, found `{}`",
                        dataset.name,
                        excerpt(&named)
                    ))
                    .into());
                }
                let request = Request::parse(&value, &dataset)?;
                if let (Some(_), Some(fields)) = (&self.dataset, value.as_object_mut()) {
                    fields.insert("dataset".to_owned(), json!(dataset.name));
                }
                Ok(ResolvedRequest { dataset, request, input: value })
            }
            None => {
                let dataset = load_dataset(self.dataset.as_deref().unwrap_or(DEFAULT_DATASET))?;
                let input = self.to_json(&dataset)?;
                if self.names_nothing() && !dataset.axes.is_empty() {
                    let flags = all_values(&dataset);
                    return Err(BadInput(format!(
                        "check request: expected what to fetch, found nothing\nhint: such as --years latest{flags}; or \
                         --mode stale for what a lake has and can have changed"
                    ))
                    .into());
                }
                let request = Request::parse(&input, &dataset)?;
                Ok(ResolvedRequest { dataset, request, input })
            }
        }
    }

    /// Checks whether the flags name no partition at all.
    fn names_nothing(&self) -> bool {
        let is_named = self.years.is_some() || self.grades.is_some() || self.failed_of.is_some();
        let is_named = is_named || !self.axes.is_empty() || !self.partitions.is_empty();
        !is_named && matches!(self.mode, ModeArg::All)
    }

    /// Returns the datasets that `--dataset` selects, or `None` if it names one.
    ///
    /// # Errors
    /// [`BadInput`] if none matches, or if a flag only makes sense for one dataset.
    pub(crate) fn several(&self) -> anyhow::Result<Option<Vec<Dataset>>> {
        let datasets = load_several(self.dataset.as_deref())?;
        let flags = [
            ("--input", self.input.is_some()),
            ("--partition", !self.partitions.is_empty()),
            ("--failed-of", self.failed_of.is_some()),
        ];
        for (flag, _) in flags.into_iter().filter(|(_, is_set)| *is_set) {
            refuse_several(flag, datasets.as_deref())?;
        }
        Ok(datasets)
    }

    /// Parses and validates the request for one of several datasets, with all values of the axes that the flags do not
    /// name.
    pub(crate) fn resolve_for(&self, dataset: &Dataset) -> anyhow::Result<Request> {
        Ok(Request::parse(&with_every_axis(self.to_json(dataset)?, dataset), dataset)?)
    }

    /// Returns an error as the author of the flags understands it. A request from JSON keeps the words of JSON.
    pub(crate) fn in_flags(&self, error: anyhow::Error) -> anyhow::Error {
        match error.downcast_ref::<Error>() {
            Some(Error::InvalidRequest { mistakes }) if self.input.is_none() => {
                let told = mistakes.iter().map(|mistake| in_flags(mistake, self.grades.is_some()));
                Error::InvalidRequest { mistakes: told.collect() }.into()
            }
            _ => error,
        }
    }

    /// Returns the value of `--dataset`.
    pub(crate) fn dataset_arg(&self) -> Option<&str> {
        self.dataset.as_deref()
    }

    /// Returns the flags that say how a run commits what it fetches, whatever that is.
    pub(crate) fn run_flags(&self) -> Vec<String> {
        let flags = [("--force", self.force), ("--keep-pages", self.keep_pages)];
        flags.into_iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| flag.to_owned()).collect()
    }

    /// Returns the flags as a request in JSON.
    fn to_json(&self, dataset: &Dataset) -> Result<Value, BadInput> {
        let mut fields = Map::new();
        if dataset.name != DEFAULT_DATASET {
            fields.insert("dataset".to_owned(), json!(dataset.name));
        }
        let mut axes = Map::new();
        for (name, value) in [("years", &self.years), ("grades", &self.grades)] {
            match (value, grade_axis(dataset)) {
                (None, _) => {}
                (Some(value), Some(axis)) if name == "grades" => drop(axes.insert(axis.name.clone(), json!(value))),
                (Some(value), _) => drop(fields.insert(name.to_owned(), json!(value))),
            }
        }
        for text in &self.axes {
            let Some((name, values)) = text.split_once('=') else {
                return Err(BadInput(format!(
                    "`--axis`: expected the name of an axis and its values, such as grade_edfacts=grade-8,grade-99, found `{}`",
                    excerpt(text)
                )));
            };
            if axes.insert(name.to_owned(), json!(values)).is_some() {
                return Err(BadInput(format!(
                    "`--axis`: expected each axis once, found `{}` again\nhint: separate its values by commas",
                    excerpt(name)
                )));
            }
        }
        if !axes.is_empty() {
            fields.insert("axes".to_owned(), Value::Object(axes));
        }
        if !self.partitions.is_empty() {
            let partitions = self.partitions.iter().map(|text| partition_json(dataset, text));
            let partitions = partitions.collect::<Result<Vec<_>, _>>()?;
            fields.insert("partitions".to_owned(), json!(partitions));
        }
        if self.mode != ModeArg::All {
            let mode = self.mode.to_possible_value().map(|value| value.get_name().to_owned());
            fields.insert("mode".to_owned(), json!(mode));
        }
        if let Some(days) = self.refresh_after {
            fields.insert("refresh_after_days".to_owned(), json!(days));
        }
        if let Some(run) = &self.failed_of {
            fields.insert("failed_of".to_owned(), json!(run));
        }
        for (name, is_set) in [("force", self.force), ("keep_pages", self.keep_pages)] {
            if is_set {
                fields.insert(name.to_owned(), json!(true));
            }
        }
        Ok(Value::Object(fields))
    }
}

/// Returns the axis that `--grades` selects if none is named `grade`: the only one whose name starts with it.
fn grade_axis(dataset: &Dataset) -> Option<&Axis> {
    let mut grades = dataset.axes.iter().filter(|axis| axis.name.starts_with("grade"));
    grades.next().filter(|axis| axis.name != "grade" && grades.next().is_none())
}

/// Returns `2019/grade-3`, or the path `year=2019/grade=grade-3`, as an object of axis values. Invalid values are kept;
/// request validation reports them.
fn partition_json(dataset: &Dataset, text: &str) -> Result<Value, BadInput> {
    let mut fields = Map::new();
    let values: Vec<&str> = text.split('/').collect();
    if values.len() != dataset.axes.len() {
        let axes: Vec<String> = dataset.axes.iter().map(|axis| axis.name.to_uppercase()).collect();
        return Err(BadInput(format!("`--partition`: expected {}, found `{}`", axes.join("/"), excerpt(text))));
    }
    for (axis, value) in dataset.axes.iter().zip(values) {
        let value = value.strip_prefix(&format!("{}=", axis.name)).unwrap_or(value);
        let value = match (axis.kind, value.parse::<i64>()) {
            (AxisKind::Int, Ok(number)) => json!(number),
            _ => json!(value),
        };
        fields.insert(axis.name.clone(), value);
    }
    Ok(Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        request: RequestArgs,
    }

    /// Returns the request of these flags for a dataset with these axes of grades, besides the year.
    fn json_of(axes: &[&str], flags: &[&str]) -> Result<Value, String> {
        let paths: String = axes.iter().map(|name| format!("{{{name}}}/")).collect();
        let grade =
            |name: &&str| format!("[[axis]]\nname='{name}'\ntype='string'\nvalues=[{{value='grade-8', code=8}}]\n");
        let axes: String = axes.iter().map(grade).collect();
        let text = format!(
            "name='n'\ntitle='N'\nattribution='A'\npath='n/{{year}}/{paths}'\ndatabase='d'\ntable='n'\nkey=['id']\n\
             [[axis]]\nname='year'\ntype='int'\n{axes}[[column]]\nname='id'\ntype='int'\n"
        );
        let dataset = Dataset::parse("n.toml", &text).map_err(|error| error.chain())?;
        let flags = Flags::try_parse_from([&["rollcall"], flags].concat()).map_err(|error| error.to_string())?;
        let mut json = flags.request.to_json(&dataset).map_err(|error| error.to_string())?;
        json.as_object_mut().map(|fields| fields.remove("dataset"));
        Ok(json)
    }

    #[test]
    fn grades_are_those_of_the_one_axis_of_grades() {
        let flags = ["--years", "2020", "--grades", "grade-8"];
        let by_name = |name: &str| Ok(json!({"years": "2020", "axes": {name: "grade-8"}}));
        let by_field = Ok(json!({"years": "2020", "grades": "grade-8"}));
        assert_eq!(json_of(&["grade_edfacts"], &flags), by_name("grade_edfacts"));
        assert_eq!(
            json_of(&["grade_edfacts"], &["--years", "2020", "--axis", "grade_edfacts=grade-8"]),
            by_name("grade_edfacts")
        );
        // Otherwise the request is refused, unless there is an axis of this name.
        for axes in [&["grade"][..], &["level"], &["grade_a", "grade_b"]] {
            assert_eq!(json_of(axes, &flags), by_field, "{axes:?}");
        }
    }

    #[test]
    fn a_partition_is_named_in_short_or_by_its_path() {
        for named in ["2020/grade-8", "year=2020/grade=grade-8", "2020/grade=grade-8"] {
            let found = json_of(&["grade"], &["--partition", named]).unwrap();
            assert_eq!(found["partitions"], json!([{"year": 2020, "grade": "grade-8"}]), "{named}");
        }
    }

    #[test]
    fn an_axis_that_is_given_twice_or_without_values_is_refused() {
        for (flags, found) in [
            (&["--axis", "grade"][..], "found `grade`"),
            (&["--axis", "level=a", "--axis", "level=b"], "found `level` again"),
            (&["--grades", "grade-8", "--axis", "grade_edfacts=grade-8"], "found `grade_edfacts` again"),
            (&["--axis", "level=a", "--partition", "2020/a"], "cannot be used with"),
        ] {
            let message = json_of(&["grade_edfacts"], flags).unwrap_err();
            assert!(message.contains(found), "{message}");
        }
    }
}
