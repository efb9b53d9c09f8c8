//! What the portal says about itself: its endpoints, their years, and the columns and codes of their rows.

mod endpoint;
pub(crate) mod list;
mod text;
mod variable;

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::metadata::list::{ListUnreadable, PortalList, parse_body};
use crate::ports::portal::{Portal, PortalError};

pub use endpoint::{Endpoint, Section};
pub use variable::{Format, Kind, Variable};

/// Path of the portal's list of endpoints, relative to its API root.
pub const ENDPOINTS_PATH: &str = "api-endpoints/";

/// Path of the portal's list of the columns of each endpoint, relative to its API root.
pub const VARIABLES_PATH: &str = "api-endpoint-varlist/";

/// The portal's lists of endpoints and of their columns.
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    /// The endpoints, in the portal's order.
    pub endpoints: Vec<Endpoint>,
    /// The columns of each endpoint, by its id, in the portal's order. A column is in it once.
    pub variables: BTreeMap<u32, Vec<Variable>>,
}

/// Why a list of the portal could not be read.
#[derive(Debug, thiserror::Error)]
pub enum MetadataUnreadable {
    /// The portal did not return the list.
    #[error("fetch `{path}` from the portal")]
    Portal {
        /// Path of the list, relative to the API root.
        path: String,
        /// The cause.
        #[source]
        source: PortalError,
    },
    /// The text is not a list.
    #[error("read `{path}`: expected JSON with a list `results`")]
    Body {
        /// Path of the list, or name of its file.
        path: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// The list has no entry that can be read.
    #[error("read `{path}`: expected entries with `{field}`, found none among {n_entries}")]
    Empty {
        /// Path of the list.
        path: &'static str,
        /// A field that every entry needs.
        field: &'static str,
        /// Number of entries.
        n_entries: usize,
    },
}

impl MetadataUnreadable {
    /// Returns whether the portal says that it has no such list.
    pub(crate) fn is_no_such_list(&self) -> bool {
        matches!(self, Self::Portal { source: PortalError::Refused { status: 404, .. }, .. })
    }
}

impl Metadata {
    /// Parses the two lists, each the body of one response.
    ///
    /// Skips malformed entries, so that one of them does not affect the other endpoints.
    ///
    /// # Errors
    /// [`MetadataUnreadable::Body`], [`MetadataUnreadable::Empty`].
    ///
    /// Source of the format: recorded responses of the Education Data Portal, 2024-06.
    pub fn parse(endpoints: &str, variables: &str) -> Result<Self, MetadataUnreadable> {
        let list = |path: &str, body: &str| -> Result<PortalList, MetadataUnreadable> {
            parse_body(body).map_err(|source| MetadataUnreadable::Body { path: path.to_owned(), source })
        };
        Self::of_entries(&list(ENDPOINTS_PATH, endpoints)?.results, &list(VARIABLES_PATH, variables)?.results)
    }

    /// Fetches both lists from the portal.
    ///
    /// # Errors
    /// [`MetadataUnreadable`].
    pub async fn fetch(portal: &impl Portal) -> Result<Self, MetadataUnreadable> {
        let endpoints = entries(portal, ENDPOINTS_PATH).await?;
        let variables = entries(portal, VARIABLES_PATH).await?;
        Self::of_entries(&endpoints, &variables)
    }

    fn of_entries(endpoints: &[Box<RawValue>], variables: &[Box<RawValue>]) -> Result<Self, MetadataUnreadable> {
        let fields = |entry: &RawValue| serde_json::from_str(entry.get()).ok();
        let read: Vec<Endpoint> = endpoints.iter().filter_map(|entry| Endpoint::read(&fields(entry)?)).collect();
        let none_read = |path, field, n_entries| MetadataUnreadable::Empty { path, field, n_entries };
        if read.is_empty() {
            return Err(none_read(ENDPOINTS_PATH, "endpoint_url", endpoints.len()));
        }
        let by_endpoint = variable::by_endpoint(variables.iter().filter_map(|entry| fields(entry)));
        if by_endpoint.is_empty() {
            return Err(none_read(VARIABLES_PATH, "variable", variables.len()));
        }
        Ok(Self { endpoints: read, variables: by_endpoint })
    }

    /// Returns the columns of an endpoint, in the portal's order; none if the list does not have them.
    #[must_use]
    pub fn columns(&self, endpoint: u32) -> &[Variable] {
        self.variables.get(&endpoint).map_or(&[], Vec::as_slice)
    }

    /// Returns the endpoint with this path, such as `schools/ccd/directory/{year}/`.
    #[must_use]
    pub fn endpoint(&self, path: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.path == path)
    }
}

/// Fetches the columns of one endpoint; none if the portal lists none.
///
/// # Errors
/// [`MetadataUnreadable::Portal`].
pub(crate) async fn fetch_columns(portal: &impl Portal, endpoint: u32) -> Result<Vec<Variable>, MetadataUnreadable> {
    let entries = entries(portal, &format!("{VARIABLES_PATH}?endpoint_id={endpoint}")).await?;
    // The portal ignores filters that it does not know.
    let mut by_endpoint =
        variable::by_endpoint(entries.iter().filter_map(|entry| serde_json::from_str(entry.get()).ok()));
    Ok(by_endpoint.remove(&endpoint).unwrap_or_default())
}

/// Fetches all pages of a list.
async fn entries(portal: &impl Portal, path: &str) -> Result<Vec<Box<RawValue>>, MetadataUnreadable> {
    /// Maximum number of pages to read. The real lists have one page.
    const MAX_PAGES: u32 = 50;
    let mut entries = Vec::new();
    for page in 1..=MAX_PAGES {
        let listed = PortalList::get(portal, path, page).await;
        let listed = listed.map_err(|error| match error {
            ListUnreadable::Portal(source) => MetadataUnreadable::Portal { path: path.to_owned(), source },
            ListUnreadable::Body(source) => MetadataUnreadable::Body { path: path.to_owned(), source },
        })?;
        let count: Option<u64> = listed.count.as_ref().and_then(|count| serde_json::from_str(count.get()).ok());
        let is_last = listed.results.is_empty();
        entries.extend(listed.results);
        if is_last || count.is_none_or(|count| entries.len() as u64 >= count) {
            break;
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::CannedPages;
    use futures::executor::block_on;

    const ENDPOINTS: &str = r#"{"count":2,"next":null,"previous":null,"results":[
        {"endpoint_id":120,"endpoint_url":"/api/v1/schools/crdc/algebra1/{year}/race/sex","section":"Schools",
         "class_name":"CRDC","topic":"Algebra I","sub_topic":"By race and sex","years_available":"2011, 2013&ndash;2015",
         "hide":0},
        {"endpoint_id":"soon","endpoint_url":7}]}"#;
    const VARIABLES: &str = r#"{"count":1,"next":null,"previous":null,"results":[
        {"endpoint_id":"120","variable":"crdc_id","label":"CRDC id","is_filter":"1","format":"string",
         "data_type":"string","string_length":"12","values":"None"}, null]}"#;

    #[test]
    fn malformed_entries_are_skipped_and_the_others_read() {
        let metadata = Metadata::parse(ENDPOINTS, VARIABLES).unwrap();
        assert_eq!(metadata.endpoints.len(), 1);
        assert_eq!(metadata.columns(120).len(), 1);
        assert_eq!(metadata.columns(7), []);
        assert!(metadata.endpoint("schools/crdc/algebra1/{year}/race/sex/").is_some());
    }

    #[test]
    fn a_body_that_is_no_list_and_a_list_without_a_usable_entry_are_refused() {
        let message = |endpoints: &str, variables: &str| Metadata::parse(endpoints, variables).unwrap_err().to_string();
        assert_eq!(message("<html>", VARIABLES), "read `api-endpoints/`: expected JSON with a list `results`");
        assert_eq!(
            message(ENDPOINTS, r#"{"results":[{},7]}"#),
            "read `api-endpoint-varlist/`: expected entries with `variable`, found none among 2"
        );
    }

    #[test]
    fn a_web_page_is_called_one() {
        let error = Metadata::parse("<!doctype html><title>Just a moment...</title>", VARIABLES).unwrap_err();
        let expected = "read `api-endpoints/`: expected JSON with a list `results`: found a web page, \
                        `Just a moment...`, instead of data";
        assert_eq!(crate::error::chain(&error), expected);
    }

    #[test]
    fn every_page_of_the_lists_is_fetched() {
        let page = |id: u32| {
            format!(
                r#"{{"count":2,"results":[{{"endpoint_id":{id},"endpoint_url":"/api/v1/schools/meps/{{year}}/",
                "section":"Schools","class_name":"MEPS","variable":"v{id}","data_type":"integer"}}]}}"#
            )
        };
        let portal = CannedPages::new(vec![page(1), page(2)]);
        let metadata = block_on(Metadata::fetch(&portal)).unwrap();
        assert_eq!(metadata.endpoints.len(), 2);
        assert_eq!(*portal.requested.lock().unwrap(), [1, 2, 1, 2]);
    }
}
