//! Commands that are offered to users. Each works as it is pasted: it names the lake, the dataset and where its data comes
//! from.

use std::collections::BTreeSet;

use rollcall_core::dataset::Dataset;
use rollcall_core::request::DEFAULT_DATASET;

use crate::lake::args::LakeArgs;
use crate::request::dataset::is_file;
use crate::words::shell_word;

/// Selects everything that there is reason to fetch again.
pub(crate) const REFRESH: &str = "--mode stale";

/// A dataset of a lake, for which runs are offered.
#[derive(Debug, Clone)]
pub(crate) struct Offer<'o> {
    pub(crate) lake: &'o LakeArgs,
    pub(crate) dataset: &'o Dataset,
    /// The dataset as given on the command line, if it was.
    pub(crate) dataset_arg: Option<&'o str>,
    /// Flags that say where the run takes place, and where its data comes from; quoted for a shell.
    pub(crate) flags: Vec<String>,
}

impl Offer<'_> {
    /// Returns the command that runs the dataset with the flags `which`.
    pub(crate) fn run(&self, which: &str) -> String {
        run_command(which, dataset_flag(self.dataset, self.dataset_arg), self.lake, &self.flags)
    }

    /// Returns the command that fetches what a run did not.
    pub(crate) fn retry(&self, run: &str) -> String {
        self.run(&format!("--failed-of {}", shell_word(run)))
    }

    /// Returns the command that fetches what failed last, in one or several runs.
    pub(crate) fn retry_all<'r>(&self, runs: impl Iterator<Item = &'r str>) -> String {
        let runs: BTreeSet<&str> = runs.collect();
        match runs.first() {
            Some(run) if runs.len() == 1 => self.retry(run),
            _ => self.refresh(),
        }
    }

    /// Returns the command that fetches the latest year of a dataset that was never fetched.
    pub(crate) fn first(&self) -> String {
        self.run(&format!("--years latest{}", all_values(self.dataset)))
    }

    /// Returns the command that lists the runs.
    pub(crate) fn list_runs(&self) -> String {
        let flag = dataset_flag(self.dataset, self.dataset_arg).map_or_else(String::new, |flag| format!(" {flag}"));
        self.lake.command(&format!("rollcall status --runs{flag}"))
    }

    /// Returns the command that fetches everything that there is reason to fetch again.
    pub(crate) fn refresh(&self) -> String {
        self.run(REFRESH)
    }
}

/// Returns the command that runs a dataset.
///
/// - `which`, `dataset`, `source`: flags that say what the run fetches, of which dataset, and where from and how.
pub(crate) fn run_command(which: &str, dataset: Option<String>, lake: &LakeArgs, source: &[String]) -> String {
    let mut words = vec!["rollcall run".to_owned(), which.to_owned()];
    words.extend(dataset);
    // A bucket belongs to a state machine, which writes to no other.
    match lake.bucket() {
        Some(_) => words.push("--on aws".to_owned()),
        None => words.extend(lake.flag()),
    }
    words.extend(source.iter().cloned());
    words.join(" ")
}

/// Returns the flags that select all values of the axes other than the year, such as ` --grades all`.
pub(crate) fn all_values(dataset: &Dataset) -> String {
    let axes = dataset.axes.iter().filter(|axis| !axis.is_year());
    axes.map(
        |axis| if axis.name == "grade" { " --grades all".to_owned() } else { format!(" --axis {}=all", axis.name) },
    )
    .collect()
}

/// Returns the flag that selects a dataset; `None` for the default.
///
/// - `argument`: the dataset as given on the command line, if it was. It may be a pattern that selects others too.
pub(crate) fn dataset_flag(dataset: &Dataset, argument: Option<&str>) -> Option<String> {
    // A descriptor file may use the name of the default dataset.
    flag_of(argument.filter(|argument| is_file(argument)).unwrap_or(&dataset.name))
}

/// Returns the flag that selects a dataset by its name or file; `None` for the default.
pub(crate) fn flag_of(named: &str) -> Option<String> {
    (named != DEFAULT_DATASET).then(|| format!("--dataset {}", shell_word(named)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offered_command_names_the_dataset_the_lake_and_the_portal() {
        let dataset = Dataset::built_in("ccd_directory").unwrap();
        let default = Dataset::built_in(DEFAULT_DATASET).unwrap();
        let lake = |name: &str| LakeArgs::of(name.into());
        let flags = vec!["--portal http://127.0.0.1:8000".to_owned()];
        let (other, bucket, usual) = (lake("a lake"), lake("s3://bucket"), lake("lake"));
        let offer = Offer { lake: &other, dataset: &dataset, dataset_arg: Some("ccd_*"), flags };
        assert_eq!(
            offer.retry("20261126T120000-381"),
            "rollcall run --failed-of 20261126T120000-381 --dataset ccd_directory --lake 'a lake' \
             --portal http://127.0.0.1:8000"
        );
        assert_eq!(offer.list_runs(), "rollcall status --runs --dataset ccd_directory --lake 'a lake'");
        let offer = Offer { lake: &bucket, flags: Vec::new(), ..offer };
        assert_eq!(offer.refresh(), "rollcall run --mode stale --dataset ccd_directory --on aws");
        let offer = Offer { lake: &usual, dataset: &default, dataset_arg: None, flags: Vec::new() };
        assert_eq!(offer.refresh(), "rollcall run --mode stale");
        let offer = Offer { dataset_arg: Some("own.toml"), ..offer };
        assert_eq!(offer.retry("a b"), "rollcall run --failed-of 'a b' --dataset own.toml");
    }
}
