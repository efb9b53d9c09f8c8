//! Renders the metadata lists: endpoints, the fields of their rows, releases and codes.

mod endpoints;
mod releases;
mod values;
mod variables;

use serde::Serialize;

use crate::datasets::Datasets;
use crate::metadata::endpoints::{endpoint_id, endpoints};
use crate::metadata::releases::releases;
use crate::metadata::values::codes;
use crate::metadata::variables::variables;
use crate::query::Query;
use crate::route::Metadata;

/// Returns the body of a metadata list, which is always one page, as on the portal.
///
/// - `further_releases`: names of releases after the built-in ones, oldest first.
pub(crate) fn render(list: Metadata, datasets: &Datasets, further_releases: &[String], query: &Query) -> Vec<u8> {
    let wanted: Option<u32> = query.get("endpoint_id").and_then(|id| id.parse().ok());
    let is_wanted = |endpoint: u32| wanted.is_none_or(|id| endpoint == id);
    match list {
        Metadata::Endpoints => {
            let mut endpoints = endpoints(datasets);
            endpoints.retain(|endpoint| is_wanted(endpoint.endpoint_id));
            envelope(&endpoints)
        }
        Metadata::Variables => {
            let ids = datasets.iter().map(|dataset| (dataset, endpoint_id(dataset)));
            let wanted = ids.filter(|(_, id)| is_wanted(*id));
            envelope(&wanted.flat_map(|(dataset, id)| variables(dataset, id)).collect::<Vec<_>>())
        }
        Metadata::Changes => envelope(&releases(further_releases)),
        Metadata::Values => {
            let wanted = query.get("format_name");
            envelope(
                &codes().into_iter().filter(|v| wanted.is_none_or(|name| v.format_name == name)).collect::<Vec<_>>(),
            )
        }
    }
}

/// Returns a page with all results.
fn envelope<T: Serialize>(results: &[T]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Envelope<'a, T> {
        count: usize,
        next: Option<&'a str>,
        previous: Option<&'a str>,
        results: &'a [T],
    }
    let envelope = Envelope { count: results.len(), next: None, previous: None, results };
    // Serializing strings and numbers cannot fail.
    serde_json::to_vec(&envelope).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(list: Metadata, query: &str) -> Vec<serde_json::Value> {
        let body: serde_json::Value =
            serde_json::from_slice(&render(list, &Datasets::default(), &[], &Query::parse(query))).unwrap();
        body["results"].as_array().unwrap().clone()
    }

    #[test]
    fn the_enrollment_endpoint_lists_its_years_in_html() {
        let endpoints = results(Metadata::Endpoints, "endpoint_id=25");
        assert_eq!(endpoints.len(), 1);
        assert_eq!(endpoints[0]["endpoint_url"], "/api/v1/schools/ccd/enrollment/{year}/{grade}/");
        assert_eq!(endpoints[0]["example_endpoint_url"], "/api/v1/schools/ccd/enrollment/2014/grade-8/");
        assert_eq!(endpoints[0]["years_available"], "1986&ndash;2024");
    }

    #[test]
    fn ten_endpoints_lack_their_trailing_slash() {
        let endpoints = results(Metadata::Endpoints, "");
        let lacking = endpoints.iter().filter(|row| !row["endpoint_url"].as_str().unwrap().ends_with('/')).count();
        assert_eq!((endpoints.len(), lacking), (123, 10));
    }

    #[test]
    fn the_newest_release_is_neither_first_nor_last() {
        let changes = results(Metadata::Changes, "");
        let position = changes.iter().position(|row| row["version"] == "0.26.1");
        assert_eq!((position, changes.len()), (Some(3), 6));
    }

    #[test]
    fn minus_one_is_prek_only_in_grade() {
        let label = |format: &str| {
            let rows = results(Metadata::Values, &format!("format_name={format}"));
            rows.iter().find(|row| row["code"] == -1).map(|row| row["code_label"].as_str().unwrap().to_owned())
        };
        assert_eq!(label("grade").unwrap(), "-1 - Pre-K");
        assert_eq!(label("race").unwrap(), "-1 - Missing/not reported");
    }
}
