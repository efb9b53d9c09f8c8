//! Lists of codes: those of the metadata, those built into the program, and how they differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::dataset::Dataset;
use crate::dataset::lists::{CODE_LISTS, Codes};

use crate::generate::exceptions::{EXCEPTIONS, Exceptions};
use crate::metadata::{Metadata, Variable};

/// Lists of codes by name: the label of each code.
pub type Lists = BTreeMap<String, BTreeMap<i64, String>>;

const HEADER: &str = "\
# Labels of the codes in the columns of all datasets.
# A column's `codes` in a descriptor is the name of its list. The list `numeric` has the codes of measures.
# Source: Education Data Portal, Urban Institute, /api-endpoint-varlist/ as of 2024-06, under ODC-By 1.0.
# Written by `rollcall datasets generate`; labels that the source truncates are completed.
list,code,label
";

/// Returns the lists that are built into the program, from `datasets/lookups/codes.csv`.
#[must_use]
pub fn built_in_lists() -> Lists {
    let owned = |codes: &Codes<'_>| codes.iter().map(|(code, label)| (*code, label.clone().into_owned())).collect();
    CODE_LISTS.iter().map(|(name, codes)| (name.clone(), owned(codes))).collect()
}

/// Returns every list of the metadata. If columns disagree about a list, it has the codes of all of them.
#[must_use]
pub fn lists(metadata: &Metadata) -> Lists {
    lists_of(metadata.variables.values().flatten(), &EXCEPTIONS)
}

/// Returns the lists of some columns.
pub(super) fn lists_of<'v>(variables: impl Iterator<Item = &'v Variable>, exceptions: &Exceptions) -> Lists {
    let mut lists = Lists::new();
    for variable in variables {
        let Some(name) = variable.list() else { continue };
        let list = lists.entry(name.to_owned()).or_default();
        for (code, label) in variable.codes() {
            list.entry(code).or_insert_with(|| exceptions.label(name, code, label).to_owned());
        }
    }
    lists
}

/// Gives a dataset the lists that its columns and axes use and that differ from the `known` ones.
pub(super) fn add_own_lists(dataset: &mut Dataset, own: &Lists, known: &Lists) {
    let codes = dataset.axes.iter().map(|axis| &axis.codes).chain(dataset.columns.iter().map(|column| &column.codes));
    let used: BTreeSet<String> = codes.flatten().cloned().collect();
    let differs = |name: &String, list: &BTreeMap<i64, String>| used.contains(name) && known.get(name) != Some(list);
    let to_text =
        |list: &BTreeMap<i64, String>| list.iter().map(|(code, label)| (code.to_string(), label.clone())).collect();
    let own = own.iter().filter(|(name, list)| differs(name, list));
    dataset.lists = own.map(|(name, list)| (name.clone(), to_text(list))).collect();
}

/// Returns the lists as the text of `datasets/lookups/codes.csv`.
#[must_use]
pub fn to_csv(lists: &Lists) -> String {
    let mut text = HEADER.to_owned();
    for (list, codes) in lists {
        for (code, label) in codes {
            let _ = writeln!(text, "{list},{code},{}", csv_field(label));
        }
    }
    text
}

fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '#']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::testing::variable;

    #[test]
    fn lists_become_csv_and_their_truncated_labels_are_completed() {
        let sex = variable("sex", "integer", 2, Some(("sex", &[(1, "Male"), (3, "Gender"), (-1, "A, \"B\"")])));
        let lists = lists_of([&sex, &sex].into_iter(), &EXCEPTIONS);
        let text = to_csv(&lists);
        let (_, rows) = text.split_once("list,code,label\n").unwrap();
        assert_eq!(rows, "sex,-1,\"A, \"\"B\"\"\"\nsex,1,Male\nsex,3,Gender not identified\n");
    }

    #[test]
    fn a_dataset_has_only_the_lists_that_it_uses_and_that_differ() {
        let mut dataset = Dataset::built_in("ccd_enrollment").unwrap();
        dataset.columns[2].codes = Some("race".into());
        dataset.columns[3].codes = Some("sex".into());
        let list = |labels: &[&str]| (0..).zip(labels.iter().map(|label| (*label).to_owned())).collect();
        let known: Lists = [("race".into(), list(&["a"])), ("sex".into(), list(&["a"]))].into();
        let own = [("race".into(), list(&["a"])), ("sex".into(), list(&["a", "b"])), ("age".into(), list(&["a"]))];
        add_own_lists(&mut dataset, &own.into(), &known);
        assert_eq!(dataset.lists.keys().collect::<Vec<_>>(), ["sex"]);
        assert_eq!(dataset.lists["sex"]["1"], "b");
    }
}
