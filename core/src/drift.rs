//! Compares a dataset with what the portal says about its endpoint today.

mod change;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::dataset::years::parse_years;
use crate::dataset::{Column, ColumnKind, Dataset};
use crate::generate::{Lists, columns_by_rules, dataset_name, lists_of_columns};
use crate::metadata::{Endpoint, Metadata, Variable};

pub use change::Change;

/// What has changed at the portal since a descriptor was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// Name of the dataset.
    pub dataset: String,
    /// The changes; none if the descriptor is up to date.
    pub changes: Vec<Change>,
}

/// Compares a dataset with the metadata.
#[must_use]
pub fn drift(dataset: &Dataset, metadata: &Metadata) -> Drift {
    let changes = match metadata.endpoint(&dataset.path) {
        None => vec![Change::EndpointRemoved { path: dataset.path.clone() }],
        Some(endpoint) => {
            let mut changes = drift_of_rows(dataset, endpoint, metadata.columns(endpoint.id));
            changes.extend(drift_of_years(dataset, endpoint));
            changes
        }
    };
    Drift { dataset: dataset.name.clone(), changes }
}

/// Returns the endpoints of the metadata that none of the `known` paths is of.
#[must_use]
pub fn new_endpoints(metadata: &Metadata, known: &BTreeSet<&str>) -> Vec<Drift> {
    let new = metadata.endpoints.iter().filter(|endpoint| !known.contains(endpoint.path.as_str()));
    let drift = |endpoint: &Endpoint| Drift {
        dataset: dataset_name(endpoint),
        changes: vec![Change::EndpointAdded { path: endpoint.path.clone() }],
    };
    new.map(drift).collect()
}

/// Compares what a dataset says about rows with the columns that the portal lists: fields, types and codes.
///
/// - `variables`: the columns of the endpoint; if none are listed, there is nothing to compare with.
#[must_use]
pub fn drift_of_rows(dataset: &Dataset, endpoint: &Endpoint, variables: &[Variable]) -> Vec<Change> {
    if variables.is_empty() {
        return vec![Change::ColumnsUnlisted];
    }
    let listed = columns_by_rules(endpoint, variables);
    let mut changes = Vec::new();
    for (new, is_dimension) in &listed {
        let column = new.field().to_owned();
        let kind = new.kind.glue_type();
        match dataset.columns.iter().find(|old| old.field() == column) {
            None if *is_dimension => changes.push(Change::DimensionAdded { column, kind }),
            None => changes.push(Change::ColumnAdded { column, kind }),
            Some(old) if !holds(old, new) => {
                changes.push(Change::ColumnRetyped { column, from: old.kind.glue_type(), to: kind });
            }
            Some(old) if old.codes.is_some() && old.codes != new.codes => changes.push(Change::CodesReplaced {
                column,
                from: old.codes.clone().unwrap_or_default(),
                to: new.codes.clone().unwrap_or_default(),
            }),
            Some(_) => {}
        }
    }
    let is_listed = |column: &&Column| !listed.iter().any(|(new, _)| new.field() == column.field());
    let removed = dataset.columns.iter().filter(is_listed);
    changes.extend(removed.map(|column| Change::ColumnRemoved { column: column.field().to_owned() }));
    changes.extend(drift_of_lists(dataset, &lists_of_columns(variables)));
    changes
}

/// Returns whether a column holds every value of the type that the portal declares.
fn holds(old: &Column, new: &Column) -> bool {
    old.kind == new.kind || (old.kind == ColumnKind::Bigint && new.kind == ColumnKind::Int)
}

/// Compares the codes of the lists that a dataset uses.
fn drift_of_lists(dataset: &Dataset, listed: &Lists) -> Vec<Change> {
    let used = dataset.axes.iter().map(|axis| &axis.codes);
    let used: BTreeSet<&String> = used.chain(dataset.columns.iter().map(|column| &column.codes)).flatten().collect();
    let mut changes = Vec::new();
    for list in used {
        let (Some(old), Some(new)) = (dataset.list(list), listed.get(list)) else { continue };
        let old: BTreeMap<i64, String> = old.into_iter().map(|(code, label)| (code, label.into_owned())).collect();
        for (code, label) in new {
            match old.get(code) {
                None => changes.push(Change::CodeAdded { list: list.clone(), code: *code, label: label.clone() }),
                Some(from) if letters(from) != letters(label) => changes.push(Change::CodeRenamed {
                    list: list.clone(),
                    code: *code,
                    from: from.clone(),
                    to: label.clone(),
                }),
                Some(_) => {}
            }
        }
        let removed = old.into_iter().filter(|(code, _)| !new.contains_key(code));
        changes.extend(removed.map(|(code, label)| Change::CodeRemoved { list: list.clone(), code, label }));
    }
    changes
}

/// Returns the letters and digits of a label. A label that differs only in case or punctuation has the same meaning.
fn letters(label: &str) -> String {
    label.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Compares the years of a descriptor with those that the portal lists. A run asks for the years anyway.
fn drift_of_years(dataset: &Dataset, endpoint: &Endpoint) -> Vec<Change> {
    let written = dataset.axes.iter().find_map(|axis| parse_years(axis.years.as_ref()?));
    let (Some(written), Some(listed)) = (written, parse_years(&endpoint.years)) else { return Vec::new() };
    let added: BTreeSet<i32> = listed.difference(&written).copied().collect();
    let removed: BTreeSet<i32> = written.difference(&listed).copied().collect();
    let mut changes = Vec::new();
    if !added.is_empty() {
        changes.push(Change::YearsAdded { years: added });
    }
    if !removed.is_empty() {
        changes.push(Change::YearsRemoved { years: removed });
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "schools/ccd/enrollment/{year}/{grade}/race/sex/";

    /// Returns the metadata of `ccd_enrollment_race_sex`, after a change of its text.
    fn changed(changes: &[(&str, &str)]) -> Vec<String> {
        let dataset = Dataset::built_in("ccd_enrollment_race_sex").unwrap();
        let variable = |name: &str, kind: &str, length: u8, list: Option<&str>| {
            let codes: Vec<String> = match list {
                Some(list) => {
                    dataset.list(list).unwrap().iter().map(|(c, l)| format!("\\\"{c}\\\" : \\\"{l}\\\"")).collect()
                }
                None => Vec::new(),
            };
            let list = list.unwrap_or("string");
            format!(
                r#"{{"endpoint_id":"28","variable":"{name}","label":"x","is_filter":"1","format":"{list}",
                "data_type":"{kind}","string_length":"{length}","values":"{}"}}"#,
                codes.join(",")
            )
        };
        let mut variables = format!(
            r#"{{"results":[{}]}}"#,
            [
                variable("year", "integer", 4, Some("numeric")),
                variable("grade", "integer", 3, Some("grade")),
                variable("ncessch", "string", 12, None),
                variable("ncessch_num", "integer", 12, Some("numeric")),
                variable("race", "integer", 2, Some("race")),
                variable("sex", "integer", 2, Some("sex")),
                variable("enrollment", "integer", 7, Some("numeric")),
                variable("fips", "integer", 2, Some("fips")),
                variable("leaid", "string", 7, None),
            ]
            .join(",")
        );
        let mut endpoints = format!(
            r#"{{"results":[{{"endpoint_id":28,"endpoint_url":"/api/v1/{PATH}","class_name":"CCD",
            "years_available":"1986&ndash;2022"}}]}}"#
        );
        for (from, to) in changes {
            let both = endpoints.matches(from).count() + variables.matches(from).count();
            assert_eq!(both, 1, "{from}");
            endpoints = endpoints.replace(from, to);
            variables = variables.replace(from, to);
        }
        let metadata = Metadata::parse(&endpoints, &variables).unwrap();
        let known = BTreeSet::from([PATH]);
        let drifts = [drift(&dataset, &metadata)].into_iter().chain(new_endpoints(&metadata, &known));
        drifts.flat_map(|drift| drift.changes).map(|change| change.to_string()).collect()
    }

    const ROW: &str = r#"{"endpoint_id":"28","variable":"year""#;

    fn with_row(row: &str) -> String {
        format!(r#"{{"endpoint_id":"28",{row}}},{ROW}"#)
    }

    #[test]
    fn metadata_that_has_not_changed_is_no_drift() {
        assert_eq!(changed(&[]), Vec::<String>::new());
    }

    #[test]
    fn each_kind_of_change_is_named() {
        let column = with_row(r#""variable":"free_lunch","data_type":"integer","string_length":"7""#);
        let dimension = with_row(
            r#""variable":"homeless","data_type":"integer","is_filter":"1","format":"special_pop","string_length":"2",
            "values":"\"1\" : \"Yes\",\"99\" : \"Total\"""#,
        );
        let endpoint = r#"{"results":[{"endpoint_id":130,"endpoint_url":"/api/v1/schools/crdc/covid-indicators/{year}",
            "class_name":"CRDC"},{"endpoint_id":28,"endpoint_url""#;
        for (from, to, expected) in [
            (ROW, column.as_str(), "column `free_lunch` added (int)"),
            (ROW, &dimension, "dimension `homeless` added (int): a row for each of its codes"),
            (
                r#"{"results":[{"endpoint_id":28,"endpoint_url""#,
                endpoint,
                "endpoint `schools/crdc/covid-indicators/{year}/` added",
            ),
            (r#""variable":"fips""#, r#""variable":null"#, "column `fips` removed"),
            (
                r#""data_type":"integer","string_length":"7""#,
                r#""data_type":"float","string_length":"7""#,
                "column `enrollment` retyped from int to double",
            ),
            (
                r#"\"9\" : \"Unknown\",\"20\""#,
                r#"\"10\" : \"Other\",\"9\" : \"Unknown\",\"20\""#,
                "code 10 of list `race` added: `Other`",
            ),
            (r#"\"20\" : \"Other\","#, "", "code 20 of list `race` removed: `Other`"),
            (
                r#"\"1\" : \"White\""#,
                r#"\"1\" : \"Non-white\""#,
                "code 1 of list `race` renamed from `White` to `Non-white`",
            ),
            ("1986&ndash;2022", "1986&ndash;2024", "years 2023-2024 added"),
            ("1986&ndash;2022", "1987&ndash;2022", "years 1986 removed"),
            (
                PATH,
                "schools/ccd/enrollment/{year}/{grade}/sex/race/",
                "endpoint `schools/ccd/enrollment/{year}/{grade}/race/sex/` removed",
            ),
        ] {
            let found = changed(&[(from, to)]);
            assert!(found.contains(&expected.to_owned()), "expected {expected}, found {found:?}");
            let n_expected = if from == PATH { 2 } else { 1 };
            assert_eq!(found.len(), n_expected, "{found:?}");
        }
    }

    #[test]
    fn case_and_punctuation_of_a_label_are_no_change_and_a_column_may_be_wider_than_declared() {
        assert_eq!(changed(&[("Gender not identified", "Gender Not-Identified")]), Vec::<String>::new());
        let narrower = changed(&[(r#""integer","string_length":"12""#, r#""integer","string_length":"7""#)]);
        assert_eq!(narrower, Vec::<String>::new());
    }
}
