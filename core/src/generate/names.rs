//! Names that a path gives: the dataset and its unit; and the names of columns.

use crate::dataset::check::names::RESERVED_WORDS;
use crate::file::columns::RESCUED;
use crate::metadata::Section;

/// Sources that have schools. A dataset of theirs that is about something else says so in its name.
const SOURCES_OF_SCHOOLS: [&str; 5] = ["ccd", "crdc", "edfacts", "meps", "nhgis"];

/// Returns the names of a path's axes, in order.
pub(super) fn axes(path: &str) -> Vec<&str> {
    path.split('/').filter_map(placeholder).collect()
}

/// Returns the segments of a path that are neither the section nor an axis: the source, then the topic.
pub(super) fn static_segments(path: &str) -> Vec<&str> {
    path.split('/').skip(1).filter(|segment| !segment.is_empty() && placeholder(segment).is_none()).collect()
}

fn placeholder(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

/// Returns the name of the dataset with this path: `school-districts/ccd/finance/{year}/` → `ccd_districts_finance`.
pub(super) fn dataset(section: Section, path: &str) -> String {
    let mut segments = static_segments(path);
    let source = segments.first().copied().unwrap_or_default();
    let unit = match section {
        Section::Schools => None,
        Section::Districts => Some("districts"),
        Section::Colleges => SOURCES_OF_SCHOOLS.contains(&source).then_some("colleges"),
    };
    if let Some(unit) = unit {
        segments.insert(1, unit);
    }
    segments.join("_").replace('-', "_")
}

/// Returns the units that a section is about, for people.
pub(super) fn units(section: Section) -> &'static str {
    match section {
        Section::Schools => "schools",
        Section::Districts => "school districts",
        Section::Colleges => "colleges",
    }
}

/// Returns the name of a column for a field: lower case, not reserved in SQL, and different from those `taken`.
pub(super) fn column(field: &str, taken: &[&str]) -> String {
    let mut name: String = field
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '_' })
        .collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() {
        name.insert(0, '_');
    }
    if RESERVED_WORDS.contains(&name.as_str()) {
        name.push_str("_value");
    }
    let is_taken = |name: &str| name == RESCUED || taken.contains(&name);
    if !is_taken(&name) {
        return name;
    }
    (2..=u32::MAX).map(|n| format!("{name}_{n}")).find(|name| !is_taken(name)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::built_in::unknown_columns;

    fn name(path: &str) -> String {
        let section = Section::of_segment(path.split('/').next().unwrap()).unwrap();
        dataset(section, path)
    }

    #[test]
    fn a_dataset_is_named_after_its_source_and_the_rest_of_its_path() {
        for (path, expected) in [
            ("schools/ccd/enrollment/{year}/{grade}/race/sex/", "ccd_enrollment_race_sex"),
            ("schools/crdc/ap-ib-enrollment/{year}/lep/sex/", "crdc_ap_ib_enrollment_lep_sex"),
            ("schools/meps/{year}/", "meps"),
            ("school-districts/ccd/finance/{year}/", "ccd_districts_finance"),
            ("school-districts/edfacts/grad-rates/{year}/", "edfacts_districts_grad_rates"),
            ("school-districts/saipe/{year}/", "saipe_districts"),
            ("college-university/nhgis/census-2010/{year}/", "nhgis_colleges_census_2010"),
            ("college-university/ipeds/directory/{year}/", "ipeds_directory"),
            ("college-university/campus-crime/hate-crimes/{year}/", "campus_crime_hate_crimes"),
            ("college-university/fsa/90-10-revenue-percentages/{year}/", "fsa_90_10_revenue_percentages"),
        ] {
            assert_eq!(name(path), expected);
        }
    }

    #[test]
    fn the_endpoints_whose_columns_are_not_known_are_named_by_the_same_rule() {
        for unknown in unknown_columns() {
            let section = Section::of_segment(unknown.path.split('/').next().unwrap()).unwrap();
            assert_eq!(dataset(section, unknown.path), unknown.name);
        }
    }

    #[test]
    fn a_column_is_in_lower_case_and_neither_reserved_nor_taken() {
        for (field, taken, expected) in [
            ("leaid", &[][..], "leaid"),
            ("students_SAT_ACT", &[], "students_sat_act"),
            ("group", &[], "group_value"),
            ("2020-rate", &[], "_2020_rate"),
            ("_rescued", &[], "_rescued_2"),
            ("Race", &["race", "race_2"], "race_3"),
        ] {
            assert_eq!(column(field, taken), expected);
        }
    }
}
