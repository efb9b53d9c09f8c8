//! An endpoint, as the portal lists it.

use crate::metadata::list::Fields;
use crate::metadata::text::clean_field;

/// An endpoint of the portal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The portal's id.
    pub id: u32,
    /// Path relative to the API root, with placeholders and a trailing slash: `schools/ccd/enrollment/{year}/{grade}/`.
    pub path: String,
    /// What its rows are about.
    pub section: Section,
    /// Name of the source, such as `CCD`.
    pub source: String,
    /// Topic, such as `Enrollment`.
    pub topic: Option<String>,
    /// Part of the topic, such as `By grade and race`.
    pub sub_topic: Option<String>,
    /// Years with data, in plain ASCII: `1980, 1984-2022`.
    pub years: String,
}

/// What the rows of an endpoint are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Schools.
    Schools,
    /// School districts.
    Districts,
    /// Colleges and universities.
    Colleges,
}

impl Section {
    /// Returns the section whose paths start with this segment.
    #[must_use]
    pub fn of_segment(segment: &str) -> Option<Self> {
        match segment {
            "schools" => Some(Self::Schools),
            "school-districts" => Some(Self::Districts),
            "college-university" => Some(Self::Colleges),
            _ => None,
        }
    }

    /// Returns the first segment of the section's paths.
    #[must_use]
    pub fn segment(self) -> &'static str {
        match self {
            Self::Schools => "schools",
            Self::Districts => "school-districts",
            Self::Colleges => "college-university",
        }
    }
}

impl Endpoint {
    /// Reads an entry of the list. Returns `None` if it lacks an id or a usable path, or is hidden.
    pub(crate) fn read(fields: &Fields) -> Option<Self> {
        if clean_field(fields, "hide").is_some_and(|hide| hide != "0") {
            return None;
        }
        let url = clean_field(fields, "endpoint_url")?;
        // Ten of the portal's paths lack the slash, which costs a redirect.
        let path = format!("{}/", url.trim_start_matches("/api/v1/").trim_matches('/'));
        let section = Section::of_segment(path.split('/').next()?)?;
        Some(Self {
            id: clean_field(fields, "endpoint_id")?.parse().ok()?,
            section,
            source: clean_field(fields, "class_name")?,
            topic: clean_field(fields, "topic"),
            sub_topic: clean_field(fields, "sub_topic"),
            years: clean_field(fields, "years_available").unwrap_or_default().replace(['–', '—'], "-"),
            path,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<Endpoint> {
        Endpoint::read(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn a_path_gets_its_slash_and_years_become_plain_text() {
        let endpoint = read(
            r#"{"endpoint_id":"15","endpoint_url":"/api/v1/college-university/ipeds/x/{year}/sex","class_name":"IPEDS",
            "topic":"None","sub_topic":" By sex ","years_available":"1991, and 1999&ndash;2020"}"#,
        )
        .unwrap();
        assert_eq!(endpoint.path, "college-university/ipeds/x/{year}/sex/");
        assert_eq!((endpoint.id, endpoint.section), (15, Section::Colleges));
        assert_eq!((endpoint.topic, endpoint.sub_topic.as_deref()), (None, Some("By sex")));
        assert_eq!(endpoint.years, "1991, and 1999-2020");
    }

    #[test]
    fn a_hidden_endpoint_and_one_of_an_unknown_section_are_left_out() {
        let json = |url: &str, hide: u8| {
            format!(r#"{{"endpoint_id":1,"endpoint_url":"{url}","class_name":"X","hide":{hide}}}"#)
        };
        assert!(read(&json("/api/v1/schools/x/{year}/", 0)).is_some());
        assert!(read(&json("/api/v1/schools/x/{year}/", 1)).is_none());
        assert!(read(&json("/api/v1/states/x/{year}/", 0)).is_none());
    }
}
