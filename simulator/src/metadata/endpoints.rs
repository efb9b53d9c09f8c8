//! The list `api-endpoints/`.

use serde::Serialize;

/// A row of `api-endpoints/`, with fields in the portal's order.
#[derive(Serialize)]
pub(super) struct Endpoint {
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

/// The fields that differ between endpoints.
pub(super) struct EndpointTemplate {
    pub(super) id: u32,
    url: &'static str,
    example_year: &'static str,
    class_name: &'static str,
    topic: Option<&'static str>,
    sub_topic: &'static str,
    years: &'static str,
    source_id: u32,
    variables_id: u32,
}

impl EndpointTemplate {
    /// Returns the complete row.
    pub(super) fn endpoint(&self) -> Endpoint {
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

/// The endpoints that the simulator serves, and a few others that show other ways in which the portal writes years and
/// templates.
///
/// Source: recorded responses of `api-endpoints/`. The years of the CCD endpoints follow the R package README of
/// 2026-07. The plain dash in the SAIPE row is intentional: the Stata package has encountered such text.
#[rustfmt::skip]
pub(super) const ENDPOINTS: [EndpointTemplate; 12] = [
    EndpointTemplate { id: 1, url: "/api/v1/college-university/ipeds/directory/{year}/", example_year: "2003", class_name: "IPEDS",
        topic: None, sub_topic: "Directory", years: "1980, 1984&ndash;2022", source_id: 1, variables_id: 1 },
    EndpointTemplate { id: 15, url: "/api/v1/college-university/ipeds/fall-enrollment/{year}/{level_of_study}/age/sex/",
        example_year: "2008", class_name: "IPEDS", topic: Some("Enrollment"), sub_topic: "Fall enrollment by age and sex",
        years: "1991, 1993, 1995, 1997, and 1999&ndash;2020", source_id: 1, variables_id: 22 },
    EndpointTemplate { id: 24, url: "/api/v1/schools/ccd/directory/{year}/", example_year: "1988", class_name: "CCD",
        topic: None, sub_topic: "Directory", years: "1986&ndash;2024", source_id: 2, variables_id: 18 },
    EndpointTemplate { id: 25, url: "/api/v1/schools/ccd/enrollment/{year}/{grade}/", example_year: "2014", class_name: "CCD",
        topic: Some("Enrollment"), sub_topic: "By grade", years: "1986&ndash;2024", source_id: 2, variables_id: 19 },
    EndpointTemplate { id: 26, url: "/api/v1/schools/ccd/enrollment/{year}/{grade}/race/", example_year: "2014", class_name: "CCD",
        topic: Some("Enrollment"), sub_topic: "By grade and race", years: "1986&ndash;2024", source_id: 2, variables_id: 19 },
    EndpointTemplate { id: 27, url: "/api/v1/schools/ccd/enrollment/{year}/{grade}/sex/", example_year: "2014", class_name: "CCD",
        topic: Some("Enrollment"), sub_topic: "By grade and sex", years: "1986&ndash;2024", source_id: 2, variables_id: 19 },
    EndpointTemplate { id: 28, url: "/api/v1/schools/ccd/enrollment/{year}/{grade}/race/sex/", example_year: "2007",
        class_name: "CCD", topic: Some("Enrollment"), sub_topic: "By grade, sex, and race", years: "1986&ndash;2024",
        source_id: 2, variables_id: 19 },
    EndpointTemplate { id: 29, url: "/api/v1/school-districts/ccd/finance/{year}/", example_year: "2013", class_name: "CCD",
        topic: None, sub_topic: "Finance", years: "1991, 1994&ndash;2018", source_id: 2, variables_id: 20 },
    EndpointTemplate { id: 30, url: "/api/v1/school-districts/saipe/{year}/", example_year: "2008", class_name: "SAIPE",
        topic: None, sub_topic: "Poverty Estimates", years: "1995, 1997, 1999-2021", source_id: 5, variables_id: 21 },
    EndpointTemplate { id: 54, url: "/api/v1/school-districts/ccd/directory/{year}/", example_year: "2013", class_name: "CCD",
        topic: None, sub_topic: "Directory", years: "1986&ndash;2024", source_id: 2, variables_id: 36 },
    EndpointTemplate { id: 56, url: "/api/v1/school-districts/ccd/enrollment/{year}/{grade}/", example_year: "2014",
        class_name: "CCD", topic: Some("Enrollment"), sub_topic: "By grade", years: "1986&ndash;2024", source_id: 2,
        variables_id: 37 },
    EndpointTemplate { id: 120, url: "/api/v1/schools/crdc/algebra1/{year}/race/sex", example_year: "2017", class_name: "CRDC",
        topic: Some("Algebra I"), sub_topic: "By race and sex", years: "2011, 2013, 2015, 2017", source_id: 3,
        variables_id: 83 },
];
