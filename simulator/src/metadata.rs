//! The lists that describe the portal: its endpoints, its releases, its codes.

use serde::Serialize;

use crate::query::Query;
use crate::route::Metadata;
use crate::states::STATES;

/// Returns the body of a metadata list; everything fits one page, as on the portal.
pub(crate) fn render(list: Metadata, query: &Query) -> Vec<u8> {
    match list {
        Metadata::Endpoints => {
            let wanted: Option<u32> = query.get("endpoint_id").and_then(|id| id.parse().ok());
            let is_wanted = |endpoint: &&Template| wanted.is_none_or(|id| endpoint.id == id);
            envelope(&TEMPLATES.iter().filter(is_wanted).map(Template::endpoint).collect::<Vec<_>>())
        }
        Metadata::Changes => envelope(&CHANGES),
        Metadata::Values => {
            let wanted = query.get("format_name");
            envelope(
                &values().into_iter().filter(|v| wanted.is_none_or(|name| v.format_name == name)).collect::<Vec<_>>(),
            )
        }
    }
}

fn envelope<T: Serialize>(results: &[T]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Envelope<'a, T> {
        count: usize,
        next: Option<&'a str>,
        previous: Option<&'a str>,
        results: &'a [T],
    }
    let envelope = Envelope { count: results.len(), next: None, previous: None, results };
    // Strings and numbers always serialise.
    serde_json::to_vec(&envelope).unwrap_or_default()
}

/// One row of `api-endpoints/`, fields in the portal's order.
#[derive(Serialize)]
struct Endpoint {
    endpoint_id: u32,
    page_id: u32,
    order: u32,
    example_endpoint_url: String,
    endpoint_url: &'static str,
    section: &'static str,
    class_name: &'static str,
    topic: Option<&'static str>,
    sub_topic: &'static str,
    datasource_id: u32,
    years_available: &'static str,
    description: &'static str,
    var_list_id: u32,
    stata_code: &'static str,
    r_code: &'static str,
    python_code: &'static str,
    js_code: &'static str,
    hide: u8,
}

/// What distinguishes one endpoint from another.
struct Template {
    id: u32,
    url: &'static str,
    example_year: &'static str,
    class_name: &'static str,
    topic: Option<&'static str>,
    sub_topic: &'static str,
    years: &'static str,
    source_id: u32,
    variables_id: u32,
}

impl Template {
    fn endpoint(&self) -> Endpoint {
        let (section, page_id) = match self.url {
            url if url.contains("/schools/") => ("Schools", 2),
            url if url.contains("/school-districts/") => ("School_districts", 3),
            _ => ("College_university", 1),
        };
        let example = self.url.replace("{year}", self.example_year).replace("{grade}", "grade-8");
        Endpoint {
            endpoint_id: self.id,
            page_id,
            order: self.id,
            example_endpoint_url: example.replace("{level_of_study}", "undergraduate"),
            endpoint_url: self.url,
            section,
            class_name: self.class_name,
            topic: self.topic,
            sub_topic: self.sub_topic,
            datasource_id: self.source_id,
            years_available: self.years,
            description: "Described by the Education Data Portal; simulated here.",
            var_list_id: self.variables_id,
            stata_code: "",
            r_code: "",
            python_code: "",
            js_code: "",
            hide: 0,
        }
    }
}

/// The endpoints that the simulator answers, and a few that show the other ways the portal writes years and templates.
///
/// Source: recorded answers of `api-endpoints/`; the years of the CCD endpoints follow the R package README of 2026-07.
/// The plain dash of SAIPE is put there on purpose: the Stata package has met such texts.
#[rustfmt::skip]
const TEMPLATES: [Template; 12] = [
    Template { id: 1, url: "/api/v1/college-university/ipeds/directory/{year}/", example_year: "2003", class_name: "IPEDS",
        topic: None, sub_topic: "Directory", years: "1980, 1984&ndash;2022", source_id: 1, variables_id: 1 },
    Template { id: 15, url: "/api/v1/college-university/ipeds/fall-enrollment/{year}/{level_of_study}/age/sex/",
        example_year: "2008", class_name: "IPEDS", topic: Some("Enrollment"), sub_topic: "Fall enrollment by age and sex",
        years: "1991, 1993, 1995, 1997, and 1999&ndash;2020", source_id: 1, variables_id: 22 },
    Template { id: 24, url: "/api/v1/schools/ccd/directory/{year}/", example_year: "1988", class_name: "CCD",
        topic: None, sub_topic: "Directory", years: "1986&ndash;2024", source_id: 2, variables_id: 18 },
    Template { id: 25, url: "/api/v1/schools/ccd/enrollment/{year}/{grade}/", example_year: "2014", class_name: "CCD",
        topic: Some("Enrollment"), sub_topic: "By grade", years: "1986&ndash;2024", source_id: 2, variables_id: 19 },
    Template { id: 26, url: "/api/v1/schools/ccd/enrollment/{year}/{grade}/race/", example_year: "2014", class_name: "CCD",
        topic: Some("Enrollment"), sub_topic: "By grade and race", years: "1986&ndash;2024", source_id: 2, variables_id: 19 },
    Template { id: 27, url: "/api/v1/schools/ccd/enrollment/{year}/{grade}/sex/", example_year: "2014", class_name: "CCD",
        topic: Some("Enrollment"), sub_topic: "By grade and sex", years: "1986&ndash;2024", source_id: 2, variables_id: 19 },
    Template { id: 28, url: "/api/v1/schools/ccd/enrollment/{year}/{grade}/race/sex/", example_year: "2007",
        class_name: "CCD", topic: Some("Enrollment"), sub_topic: "By grade, sex, and race", years: "1986&ndash;2024",
        source_id: 2, variables_id: 19 },
    Template { id: 29, url: "/api/v1/school-districts/ccd/finance/{year}/", example_year: "2013", class_name: "CCD",
        topic: None, sub_topic: "Finance", years: "1991, 1994&ndash;2018", source_id: 2, variables_id: 20 },
    Template { id: 30, url: "/api/v1/school-districts/saipe/{year}/", example_year: "2008", class_name: "SAIPE",
        topic: None, sub_topic: "Poverty Estimates", years: "1995, 1997, 1999-2021", source_id: 5, variables_id: 21 },
    Template { id: 54, url: "/api/v1/school-districts/ccd/directory/{year}/", example_year: "2013", class_name: "CCD",
        topic: None, sub_topic: "Directory", years: "1986&ndash;2024", source_id: 2, variables_id: 36 },
    Template { id: 56, url: "/api/v1/school-districts/ccd/enrollment/{year}/{grade}/", example_year: "2014",
        class_name: "CCD", topic: Some("Enrollment"), sub_topic: "By grade", years: "1986&ndash;2024", source_id: 2,
        variables_id: 37 },
    Template { id: 120, url: "/api/v1/schools/crdc/algebra1/{year}/race/sex", example_year: "2017", class_name: "CRDC",
        topic: Some("Algebra I"), sub_topic: "By race and sex", years: "2011, 2013, 2015, 2017", source_id: 3,
        variables_id: 83 },
];

/// One row of `api-changes/`.
#[derive(Serialize)]
struct Change {
    version: &'static str,
    /// Month, day, year, without leading zeros.
    release_date: &'static str,
}

/// In no order, as on the portal: the newest is neither first nor last. Dates other than that of 0.25.0 are invented.
const CHANGES: [Change; 6] = [
    Change { version: "0.1.0 - Beta", release_date: "3/15/2018" },
    Change { version: "0.10.0", release_date: "12/9/2019" },
    Change { version: "0.25.0", release_date: "3/30/2026" },
    Change { version: "0.26.1", release_date: "7/14/2026" },
    Change { version: "0.24.0", release_date: "11/3/2025" },
    Change { version: "0.9.0", release_date: "9/24/2019" },
];

/// One row of `api-values/`.
#[derive(Serialize)]
struct Value {
    id: usize,
    format_name: &'static str,
    code: i32,
    code_label: String,
    hide: &'static str,
}

const MISSING: [(i32, &str); 3] = [(-1, "Missing/not reported"), (-2, "Not applicable"), (-3, "Suppressed data")];
const RACES: [(i32, &str); 11] = [
    (1, "White"),
    (2, "Black"),
    (3, "Hispanic"),
    (4, "Asian"),
    (5, "American Indian or Alaska Native"),
    (6, "Native Hawaiian or other Pacific Islander"),
    (7, "Two or more races"),
    (8, "Nonresident alien"),
    (9, "Unknown"),
    (20, "Other"),
    (99, "Total"),
];
const SEXES: [(i32, &str); 4] = [(1, "Male"), (2, "Female"), (9, "Unknown"), (99, "Total")];
/// In `grade` alone, -1 is no missing value.
const GRADES: [(i32, &str); 6] = [
    (-1, "Pre-K"),
    (0, "Kindergarten"),
    (14, "Adult education"),
    (15, "Ungraded"),
    (99, "Total"),
    (999, "Not specified"),
];

fn values() -> Vec<Value> {
    let numbered = (1..=13).map(|code| ("grade", code, code.to_string()));
    let named = |format: &'static str, codes: &'static [(i32, &'static str)]| {
        codes.iter().map(move |(code, label)| (format, *code, (*label).to_owned()))
    };
    let states = STATES.iter().map(|state| ("fips", i32::from(state.fips), state.name.to_owned()));
    let mut rows: Vec<_> = named("grade", &GRADES).chain(numbered).chain(states).collect();
    rows.extend(named("fips", &MISSING).chain(named("race", &RACES)).chain(named("race", &MISSING)));
    rows.extend(named("sex", &SEXES).chain(named("sex", &MISSING)));
    let value = |(id, (format_name, code, label)): (usize, (_, i32, String))| Value {
        id,
        format_name,
        code,
        code_label: format!("{code} - {label}"),
        hide: "0",
    };
    rows.into_iter().enumerate().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(list: Metadata, query: &str) -> Vec<serde_json::Value> {
        let body: serde_json::Value = serde_json::from_slice(&render(list, &Query::parse(query))).unwrap();
        body["results"].as_array().unwrap().clone()
    }

    #[test]
    fn the_enrollment_endpoint_says_its_years_in_html() {
        let endpoints = results(Metadata::Endpoints, "endpoint_id=25");
        assert_eq!(endpoints.len(), 1);
        assert_eq!(endpoints[0]["endpoint_url"], "/api/v1/schools/ccd/enrollment/{year}/{grade}/");
        assert_eq!(endpoints[0]["example_endpoint_url"], "/api/v1/schools/ccd/enrollment/2014/grade-8/");
        assert_eq!(endpoints[0]["years_available"], "1986&ndash;2024");
    }

    #[test]
    fn one_template_lacks_its_slash() {
        let endpoints = results(Metadata::Endpoints, "");
        let lacking = endpoints.iter().filter(|row| !row["endpoint_url"].as_str().unwrap().ends_with('/')).count();
        assert_eq!((endpoints.len(), lacking), (12, 1));
    }

    #[test]
    fn the_newest_release_is_neither_first_nor_last() {
        let changes = results(Metadata::Changes, "");
        let position = changes.iter().position(|row| row["version"] == "0.26.1");
        assert_eq!((position, changes.len()), (Some(3), 6));
    }

    #[test]
    fn minus_one_is_prek_in_grade_alone() {
        let label = |format: &str| {
            let rows = results(Metadata::Values, &format!("format_name={format}"));
            rows.iter().find(|row| row["code"] == -1).map(|row| row["code_label"].as_str().unwrap().to_owned())
        };
        assert_eq!(label("grade").unwrap(), "-1 - Pre-K");
        assert_eq!(label("race").unwrap(), "-1 - Missing/not reported");
    }
}
