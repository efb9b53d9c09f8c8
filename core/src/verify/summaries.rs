//! Compares the enrollment of states with the portal's own summaries.

use std::collections::BTreeMap;

use crate::dataset::Dataset;
use crate::error::{Error, chain};
use crate::metadata::list::{Fields, ListUnreadable, PortalList};
use crate::ports::portal::{Portal, PortalError};
use crate::verify::check::Check;
use crate::verify::enrollment::ByState;

/// Path of the summaries, relative to the API root.
///
/// Source: Urban Institute, education-data-summary-endpoints, README: `/{level}/{source}/{topic}/summaries`, always
/// grouped by year.
const PATH: &str = "schools/ccd/enrollment/summaries/";

/// Compares each year with one request: the sums by state over the grades that the lake has.
pub(super) async fn check_summaries(
    portal: &impl Portal,
    dataset: &Dataset,
    by_state: &ByState,
) -> Result<Check, Error> {
    let mut check = Check::new("states against the portal's summaries", "none");
    let mut by_year: BTreeMap<i32, (Vec<i64>, BTreeMap<i64, i64>)> = BTreeMap::new();
    for ((year, grade), states) in by_state {
        let Some(code) = grade_code(dataset, grade) else { continue };
        let (codes, sums) = by_year.entry(*year).or_default();
        codes.push(code);
        for (fips, sum) in states {
            *sums.entry(*fips).or_default() += sum;
        }
    }
    for (year, (mut codes, found)) in by_year {
        codes.sort_unstable();
        let grades: Vec<String> = codes.iter().map(ToString::to_string).collect();
        let path = format!("{PATH}?var=enrollment&stat=sum&by=fips&year={year}&grade={}", grades.join(","));
        let list = match PortalList::get(portal, &path, 1).await {
            Ok(list) => list,
            Err(ListUnreadable::Portal(PortalError::Refused { status, .. })) => {
                check.skip(format!("{year}: the portal has no summaries (HTTP {status})"));
                continue;
            }
            Err(ListUnreadable::Portal(error)) => {
                check.skip(format!("{year}: {}", chain(&error)));
                continue;
            }
            Err(ListUnreadable::Body(error)) => {
                check.skip(format!("{year}: expected a list of summaries, found another body: {error}"));
                continue;
            }
        };
        let number = |fields: &Fields, name: &str| -> Option<i64> {
            let value: serde_json::Number = serde_json::from_str(fields.get(name)?.get()).ok()?;
            value.as_i64().or_else(|| value.as_f64().map(|value| value as i64))
        };
        let expected: BTreeMap<i64, i64> = list
            .entries()
            .filter_map(|fields| Some((number(&fields, "fips")?, number(&fields, "enrollment").unwrap_or(0))))
            .collect();
        for fips in expected.keys().chain(found.keys().filter(|fips| !expected.contains_key(*fips))) {
            let sum = |sums: &BTreeMap<i64, i64>| sums.get(fips).copied().unwrap_or(0);
            check.compare(|| format!("year={year}, fips {fips}"), sum(&expected), sum(&found));
        }
    }
    Ok(check)
}

fn grade_code(dataset: &Dataset, grade: &str) -> Option<i64> {
    let values = dataset.axes.iter().flat_map(|axis| &axis.values);
    values.filter(|coded| coded.value == grade).map(|coded| coded.code).next()
}
