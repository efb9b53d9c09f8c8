//! Columns: types, widths, encodings, codes and totals.

use std::collections::BTreeMap;

use crate::dataset::check::names::MAX_COMMENT_BYTES;
use crate::dataset::{Column, ColumnKind};
use crate::generate::exceptions::Exceptions;
use crate::generate::names;
use crate::metadata::{Endpoint, Kind, Section, Variable};

/// Ids that the portal sends with or without their leading zeros, with the number of digits.
///
/// A `zip` of a college is not among them: it may have the four additional digits.
const WIDTHS: [(&str, u8); 6] =
    [("crdc_id", 12), ("ncessch", 12), ("leaid", 7), ("school_id", 5), ("zip_mailing", 5), ("zip_location", 5)];

/// Columns that are different in nearly every row: ids, numbers, names, addresses and coordinates.
const DISTINCT: [&str; 22] = [
    "address",
    "censusid",
    "crdc_id",
    "district_name",
    "duns",
    "ein",
    "geoid_block",
    "geoid_place",
    "latitude",
    "leaid",
    "leaid_num",
    "longitude",
    "ncessch",
    "ncessch_num",
    "opeid",
    "phone",
    "phone_number",
    "school_name",
    "school_name_crdc",
    "ueis",
    "unitid",
    "zip",
];

/// Starts of the names of more such columns.
const DISTINCT_STARTS: [&str; 5] = ["chief_admin_", "inst_alias", "inst_name", "street_", "url_"];

/// Longest number that fits a 32-bit integer whatever its digits.
const MAX_INT_DIGITS: u32 = 9;

/// Code whose label says that its rows are totals.
pub(super) const TOTAL: i64 = 99;

/// Returns the columns of an endpoint, in the portal's order, without its axes.
///
/// - `key`: the fields of the key.
pub(super) fn columns(
    endpoint: &Endpoint,
    variables: &[Variable],
    key: &[&Variable],
    exceptions: &Exceptions,
) -> Vec<Column> {
    let axes = names::axes(&endpoint.path);
    let mut columns: Vec<Column> = Vec::new();
    for variable in variables.iter().filter(|variable| !axes.contains(&variable.name.as_str())) {
        let taken: Vec<&str> = axes.iter().copied().chain(columns.iter().map(|column| column.name.as_str())).collect();
        let name = names::column(&variable.name, &taken);
        let mut column = Column {
            field: (name != variable.name).then(|| variable.name.clone()),
            name,
            kind: kind(variable),
            codes: variable.list().map(str::to_owned),
            total: total(endpoint, variable, key, exceptions),
            optional: false,
            width: None,
            starts_with: starts_with(&variable.name, variables),
            dictionary: !is_distinct(endpoint, &variable.name),
            comment: comment(&variable.label),
        };
        column.width = width(&variable.name).filter(|_| column.kind == ColumnKind::String);
        exceptions.correct(endpoint.id, &variable.name, &mut column);
        if column.width.is_none() {
            column.starts_with.clear();
        }
        columns.push(column);
    }
    columns
}

/// Returns a label as a comment that Glue accepts.
pub(super) fn comment(label: &str) -> String {
    const MORE: &str = "…";
    if label.len() <= MAX_COMMENT_BYTES {
        return label.to_owned();
    }
    let end = (0..=MAX_COMMENT_BYTES - MORE.len()).rev().find(|end| label.is_char_boundary(*end)).unwrap_or(0);
    format!("{}{MORE}", label.get(..end).unwrap_or_default().trim_end())
}

fn kind(variable: &Variable) -> ColumnKind {
    match variable.kind {
        Kind::Text => ColumnKind::String,
        Kind::Float => ColumnKind::Double,
        // The declared length of a category may be that of its longest label.
        Kind::Integer if variable.length > MAX_INT_DIGITS && !variable.is_category() => ColumnKind::Bigint,
        Kind::Integer => ColumnKind::Int,
    }
}

fn width(field: &str) -> Option<u8> {
    WIDTHS.iter().find(|(name, _)| *name == field).map(|(_, width)| *width)
}

/// Returns the columns with which a padded id must start: a school's id starts with its district's, which starts with its
/// state's.
fn starts_with(field: &str, variables: &[Variable]) -> BTreeMap<String, u8> {
    let prefixes: &[(&str, u8)] = match field {
        "ncessch" => &[("leaid", 5), ("fips", 10)],
        "leaid" => &[("fips", 5)],
        _ => &[],
    };
    let is_column = |name: &str| variables.iter().any(|variable| variable.name == name);
    prefixes.iter().filter(|(name, _)| is_column(name)).map(|(name, n_more)| ((*name).to_owned(), *n_more)).collect()
}

fn is_distinct(endpoint: &Endpoint, field: &str) -> bool {
    // A school's row repeats the name of its district.
    let is_district = field == "lea_name" && endpoint.section == Section::Districts;
    is_district || DISTINCT.contains(&field) || DISTINCT_STARTS.iter().any(|start| field.starts_with(start))
}

/// Returns the code whose rows are totals over the rows with other codes, if the endpoint breaks the column down.
///
/// For schools and districts, a dimension that the path does not name is 99 in every row. For colleges, the path never
/// says what is broken down.
fn total(endpoint: &Endpoint, variable: &Variable, key: &[&Variable], exceptions: &Exceptions) -> Option<i64> {
    let (code, _) = variable.codes().find(|(code, label)| {
        *code == TOTAL && (label.starts_with("Total") || label.starts_with("All ")) && key.contains(&variable)
    })?;
    let segments = names::static_segments(&endpoint.path);
    let name = variable.name.replace('_', "-");
    let is_special = matches!(variable.list(), Some("lep" | "special_pop" | "disability"));
    let is_named = segments.iter().any(|segment| *segment == name)
        || (is_special && segments.contains(&"special-populations"))
        || exceptions.totals(endpoint.id).any(|field| field == variable.name);
    (endpoint.section == Section::Colleges || is_named).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::exceptions::EXCEPTIONS;
    use crate::generate::testing::{endpoint, filter, variable};

    fn of(id: u32, path: &str, variables: &[Variable]) -> Vec<Column> {
        columns(&endpoint(id, path), variables, &variables.iter().collect::<Vec<_>>(), &EXCEPTIONS)
    }

    #[test]
    fn a_type_depends_on_the_declared_type_and_length() {
        let category: &[(i64, &str)] = &[(0, "No"), (1, "Yes")];
        for (kind, length, list, expected) in [
            ("integer", 9, None, ColumnKind::Int),
            ("integer", 10, None, ColumnKind::Bigint),
            ("integer", 20, Some(("yes_no", category)), ColumnKind::Int),
            ("integer", 20, Some(("numeric", &[(-1, "Missing")][..])), ColumnKind::Bigint),
            ("float", 4, None, ColumnKind::Double),
            ("string", 4, None, ColumnKind::String),
        ] {
            let column = of(1, "schools/ccd/x/{year}/", &[variable("x", kind, length, list)]).remove(0);
            assert_eq!(column.kind, expected, "{kind} {length}");
        }
    }

    #[test]
    fn an_id_is_padded_and_starts_with_the_columns_that_are_there() {
        let text = |name: &str| variable(name, "string", 12, None);
        let columns = of(1, "schools/ccd/x/{year}/", &[text("ncessch"), text("leaid"), filter("fips", Some("fips"))]);
        let found: Vec<_> = columns.iter().map(|column| (column.width, column.starts_with.len())).collect();
        assert_eq!(found, [(Some(12), 2), (Some(7), 1), (None, 0)]);
        let columns = of(1, "schools/ccd/x/{year}/", &[text("ncessch"), variable("leaid", "integer", 7, None)]);
        assert_eq!(columns[0].starts_with, BTreeMap::from([("leaid".into(), 5)]));
        assert_eq!((columns[1].width, columns[1].starts_with.len()), (None, 0));
    }

    #[test]
    fn exceptions_change_types_and_widths() {
        let county = variable("county_code", "integer", 5, Some(("numeric", &[(-1, "Missing")])));
        let column = of(24, "schools/ccd/x/{year}/", &[county]).remove(0);
        assert_eq!((column.kind, column.width, column.codes), (ColumnKind::String, Some(5), None));
        for (id, expected) in [(88, Some(5)), (127, Some(7)), (1, None)] {
            let column = of(id, "schools/nhgis/x/{year}/", &[variable("gleaid", "string", 7, None)]).remove(0);
            assert_eq!(column.width, expected, "{id}");
        }
    }

    #[test]
    fn ids_names_and_coordinates_are_not_dictionary_encoded() {
        for (path, name, expected) in [
            ("schools/ccd/x/{year}/", "ncessch", false),
            ("schools/ccd/x/{year}/", "longitude", false),
            ("schools/ccd/x/{year}/", "street_mailing", false),
            ("schools/ccd/x/{year}/", "lea_name", true),
            ("school-districts/ccd/x/{year}/", "lea_name", false),
            ("college-university/ipeds/x/{year}/", "inst_name_fsa", false),
            ("college-university/ipeds/x/{year}/", "inst_control", true),
            ("schools/ccd/x/{year}/", "city_mailing", true),
        ] {
            let column = of(1, path, &[variable(name, "string", 9, None)]).remove(0);
            assert_eq!(column.dictionary, expected, "{path} {name}");
        }
    }

    #[test]
    fn a_field_with_capitals_keeps_its_name_as_field() {
        let columns = of(1, "schools/ccd/x/{year}/", &[variable("enrl_AP", "integer", 4, None)]);
        assert_eq!((columns[0].name.as_str(), columns[0].field.as_deref()), ("enrl_ap", Some("enrl_AP")));
    }

    #[test]
    fn a_total_is_declared_where_a_dimension_is_broken_down() {
        let columns = |path: &str, id: u32| {
            let lep: &[(i64, &str)] = &[(1, "English learners"), (99, "All students")];
            let lep =
                crate::metadata::Variable { is_filter: true, ..variable("lep", "integer", 2, Some(("lep", lep))) };
            of(id, path, &[filter("race", Some("race")), filter("homeless", Some("special_pop")), lep])
        };
        let totals = |path: &str, id: u32| -> Vec<bool> {
            columns(path, id).iter().map(|column| column.total == Some(99)).collect()
        };
        assert_eq!(totals("schools/ccd/x/{year}/race/sex/", 1), [true, false, false]);
        assert_eq!(totals("schools/edfacts/x/{year}/{grade_edfacts}/special-populations/", 1), [false, true, true]);
        assert_eq!(totals("schools/edfacts/grad-rates/{year}/", 100), [true, true, true]);
        assert_eq!(totals("schools/ccd/x/{year}/", 1), [false, false, false]);
        assert_eq!(totals("college-university/ipeds/x/{year}/", 1), [true, true, true]);
    }

    #[test]
    fn a_long_label_is_cut_to_glues_limit() {
        assert_eq!(comment("Label"), "Label");
        let long = comment(&"é".repeat(200));
        assert_eq!(long.len(), 255);
        assert!(long.ends_with("é…"));
    }
}
