//! The key: the entity's id and every dimension that is not an axis.

use crate::generate::exceptions::Exceptions;
use crate::generate::names;
use crate::metadata::{Endpoint, Section, Variable};

/// Lists whose codes are dimensions: a row for each of them.
const DIMENSIONS: [&str; 33] = [
    "race",
    "sex",
    "disability",
    "lep",
    "special_pop",
    "grade",
    "grade_edfacts",
    "grade_crdc",
    "level_of_study",
    "ftpt",
    "degree_seeking",
    "class_level",
    "tuition_type",
    "living_arrangement",
    "type_of_aid",
    "income_level",
    "award_level",
    "majornum",
    "cipcode",
    "age",
    "state_of_residence",
    "type_of_freshman",
    "subcohort",
    "fed_aid_type",
    "academic_rank",
    "contract_length",
    "staff_category",
    "prof_program",
    "acttype",
    "sfa_cohort_type",
    "award_type",
    "grant_type",
    "loan_type",
];

/// Dimensions that are plain numbers.
const NUMBERS: [&str; 3] = ["cipcode_6digit", "cohort_year", "years_after_entry"];

/// Returns whether a column is a dimension.
pub(super) fn is_dimension(variable: &Variable) -> bool {
    let is_listed = variable.list().is_some_and(|list| DIMENSIONS.contains(&list));
    variable.is_filter && (is_listed || NUMBERS.contains(&variable.name.as_str()))
}

/// Returns the field with the id of what a row is about. CRDC has rows of schools without an `ncessch`.
fn id(section: Section, variables: &[Variable]) -> &'static str {
    match section {
        Section::Schools if variables.iter().any(|variable| variable.name == "crdc_id") => "crdc_id",
        Section::Schools => "ncessch",
        Section::Districts => "leaid",
        Section::Colleges => "unitid",
    }
}

/// Returns the fields that together identify a row within its partition, or `None` if the id is not among the columns.
pub(super) fn key<'v>(
    endpoint: &Endpoint,
    variables: &'v [Variable],
    exceptions: &Exceptions,
) -> Option<Vec<&'v Variable>> {
    let axes = names::axes(&endpoint.path);
    let id = id(endpoint.section, variables);
    let find = |name: &str| variables.iter().find(|variable| variable.name == name);
    let mut key = vec![find(id)?];
    key.extend(variables.iter().filter(|v| is_dimension(v) && v.name != id && !axes.contains(&v.name.as_str())));
    for variable in exceptions.key(endpoint.id).filter_map(find) {
        if !key.contains(&variable) {
            key.push(variable);
        }
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::exceptions::EXCEPTIONS;
    use crate::generate::testing::{endpoint, filter, variable};

    fn key_of(id: u32, path: &str, variables: &[Variable]) -> Option<Vec<String>> {
        let key = key(&endpoint(id, path), variables, &EXCEPTIONS)?;
        Some(key.into_iter().map(|variable| variable.name.clone()).collect())
    }

    #[test]
    fn the_key_is_the_entitys_id_and_every_filter_that_is_a_dimension() {
        let race = variable("race", "integer", 2, Some(("race", &[(1, "White")])));
        let columns = [
            variable("ncessch", "string", 12, None),
            filter("cohort_year", None),
            filter("grade", Some("grade")),
            race,
            filter("sex", Some("sex")),
            filter("fips", Some("fips")),
        ];
        // `race` is no filter, `grade` is an axis, and states are no dimension.
        let found = key_of(1, "schools/ccd/x/{year}/{grade}/", &columns).unwrap();
        assert_eq!(found, ["ncessch", "cohort_year", "sex"]);
    }

    #[test]
    fn a_crdc_id_replaces_the_schools_id_and_an_endpoint_without_an_id_has_no_key() {
        let columns = [variable("ncessch", "string", 12, None), variable("crdc_id", "string", 12, None)];
        assert_eq!(key_of(1, "schools/crdc/x/{year}/", &columns).unwrap(), ["crdc_id"]);
        assert_eq!(key_of(1, "schools/ccd/x/{year}/", &columns[..1]).unwrap(), ["ncessch"]);
        assert_eq!(key_of(1, "school-districts/ccd/x/{year}/", &columns), None);
    }

    #[test]
    fn exceptions_add_columns_to_the_key() {
        let columns = [filter("unitid", None), variable("ein", "string", 9, None)];
        assert_eq!(key_of(106, "college-university/nccs/990-forms/{year}/", &columns).unwrap(), ["unitid", "ein"]);
        assert_eq!(key_of(107, "college-university/nccs/990-forms/{year}/", &columns).unwrap(), ["unitid"]);
    }
}
