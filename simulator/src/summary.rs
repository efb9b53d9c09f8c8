//! Summaries: sums of enrollment by year and state.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::ops::Range;

use serde::Deserialize;

use crate::dataset::{AxisValues, Dataset};
use crate::enrollment::axes::Axes;
use crate::grade::Grade;
use crate::page_source::PageSource;
use crate::query::{Filters, Query};
use crate::sample::school::YEARS;

/// The only supported value of each argument.
const ARGUMENTS: [(&str, &str); 3] = [("var", "enrollment"), ("stat", "sum"), ("by", "fips")];

/// Checks `var`, `stat` and `by`. If one is not supported, returns the body of the response.
pub(crate) fn check_arguments(query: &Query) -> Result<(), String> {
    for (name, supported) in ARGUMENTS {
        let found = query.get(name).unwrap_or("None");
        if found != supported {
            let message = format!("'{found}' is not a valid '{name}' argument");
            return Err(format!("[{{\"API ERROR\": {}}}]", serde_json::Value::from(message)));
        }
    }
    Ok(())
}

/// The students by year and state, in ascending order.
pub(crate) struct Summary(Vec<((u16, u64), u64)>);

impl Summary {
    /// Sums the partitions of the requested years and grades: all years and the total of the grades, if the query has
    /// none. A state is absent from a year in which none of its rows has a number of students.
    ///
    /// - `districts`: districts' enrollment; `None` for schools'.
    pub(crate) fn select(source: &PageSource<'_>, districts: Option<&Dataset>, query: &Query) -> Summary {
        let mut sums = BTreeMap::new();
        match districts {
            None => add_schools(source, query, &mut sums),
            Some(dataset) => add_districts(source, dataset, query, &mut sums),
        }
        Summary(sums.into_iter().collect())
    }

    pub(crate) fn n_rows(&self) -> u64 {
        self.0.len() as u64
    }

    /// Appends the rows at `positions` as JSON objects, separated by commas.
    pub(crate) fn push_rows(&self, positions: Range<u64>, into: &mut Vec<u8>) {
        let rows = self.0.get(positions.start as usize..positions.end as usize).unwrap_or_default();
        for (index, ((year, fips), enrollment)) in rows.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            // Writing to a `Vec` does not fail.
            let _ = write!(into, "{comma}{{\"year\":{year},\"fips\":{fips},\"enrollment\":{enrollment}}}");
        }
    }
}

fn add_schools(source: &PageSource<'_>, query: &Query, sums: &mut BTreeMap<(u16, u64), u64>) {
    let filters = Filters::from_query(query);
    let grades: Vec<Grade> = grades(query).into_iter().filter_map(Grade::from_code).collect();
    for year in YEARS.filter(|year| filters.allow_year(*year)) {
        for &grade in &grades {
            let axes = Axes { year, grade, by_race: false, by_sex: false };
            for (school, reported) in source.enrollment(axes, &filters).reports() {
                if let Some(students) = reported.students() {
                    *sums.entry((year, school.fips())).or_default() += u64::from(students);
                }
            }
        }
    }
}

fn add_districts(source: &PageSource<'_>, dataset: &Dataset, query: &Query, sums: &mut BTreeMap<(u16, u64), u64>) {
    #[derive(Deserialize)]
    struct Row {
        fips: u64,
        enrollment: Option<i64>,
    }
    let wanted = query.numbers("year");
    let years = dataset.years().map(|years| years.years.as_slice()).unwrap_or_default();
    let served = |grade: &i64| dataset.axes.iter().any(|axis| has_code(&axis.values, *grade));
    let grades: Vec<i64> = grades(query).into_iter().filter(served).collect();
    for &year in years.iter().filter(|year| wanted.as_ref().is_none_or(|wanted| wanted.contains(&i64::from(**year)))) {
        for &grade in &grades {
            let rows = source.described(dataset, &[year.into(), grade], query);
            let mut text = b"[".to_vec();
            rows.push_rows(0..rows.n_rows(), &mut text);
            text.push(b']');
            // A descriptor of the configuration may lack these fields.
            let rows: Vec<Row> = serde_json::from_slice(&text).unwrap_or_default();
            for row in rows {
                if let Some(students) = row.enrollment.and_then(|students| u64::try_from(students).ok()) {
                    *sums.entry((year, row.fips)).or_default() += students;
                }
            }
        }
    }
}

/// Returns the codes of the requested grades, each once.
fn grades(query: &Query) -> Vec<i64> {
    let mut grades = query.numbers("grade").unwrap_or_else(|| vec![Grade::TOTAL.0.into()]);
    grades.sort_unstable();
    grades.dedup();
    grades
}

fn has_code(values: &AxisValues, code: i64) -> bool {
    matches!(values, AxisValues::Coded(values) if values.iter().any(|(_, other)| *other == code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_invalid_argument_is_reported() {
        for (text, found, name) in [
            ("var=race&stat=avg&by=fips", "race", "var"),
            ("var=enrollment&stat=avg&by=fips", "avg", "stat"),
            ("var=enrollment&stat=sum&by=fips,race", "fips,race", "by"),
            ("stat=sum&by=fips", "None", "var"),
        ] {
            let expected = format!(r#"[{{"API ERROR": "'{found}' is not a valid '{name}' argument"}}]"#);
            assert_eq!(check_arguments(&Query::parse(text)), Err(expected), "{text}");
        }
        assert_eq!(check_arguments(&Query::parse("var=enrollment&stat=sum&by=fips&year=2021")), Ok(()));
    }
}
