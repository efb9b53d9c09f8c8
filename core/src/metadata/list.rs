//! The lists in which the portal describes itself, such as the list of its endpoints.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Error};
use serde_json::value::RawValue;

use crate::error::years::YearsUnreadable;
use crate::ports::portal::{PageRequest, Portal, PortalError, Reading};
use crate::text::{body_in_words, web_page};

/// Why a page of a list could not be read.
#[derive(Debug)]
pub(crate) enum ListUnreadable {
    /// The portal did not return it.
    Portal(PortalError),
    /// It is no list.
    Body(serde_json::Error),
}

impl From<ListUnreadable> for YearsUnreadable {
    fn from(error: ListUnreadable) -> Self {
        match error {
            ListUnreadable::Portal(error) => Self::Portal(error),
            ListUnreadable::Body(error) => Self::Body(error),
        }
    }
}

/// One page of a list. Each entry is decoded separately, so that a malformed one does not affect the others.
#[derive(Deserialize)]
pub(crate) struct PortalList {
    pub(crate) count: Option<Box<RawValue>>,
    pub(crate) results: Vec<Box<RawValue>>,
}

impl PortalList {
    /// Fetches one page of a list.
    ///
    /// # Errors
    /// [`YearsUnreadable::Portal`] if the request fails; [`YearsUnreadable::Body`] if the body is not a list.
    pub(crate) async fn get(portal: &impl Portal, path: &str, page: u32) -> Result<Self, ListUnreadable> {
        let read = |body: &Bytes| Reading::Done(parse_body(&String::from_utf8_lossy(body)));
        let response = portal.get(path, page, PageRequest::default(), read).await.map_err(ListUnreadable::Portal)?;
        response.result.map_err(ListUnreadable::Body)
    }

    /// Returns the fields of each entry that is a JSON object, with their values as JSON.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Fields> {
        self.results.iter().filter_map(|entry| serde_json::from_str(entry.get()).ok())
    }
}

/// Parses a body of the portal's. The error says so if it is a web page.
pub(crate) fn parse_body<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(text).map_err(|error| match web_page(text) {
        Some(_) => serde_json::Error::custom(format!("found {}", body_in_words(text))),
        None => error,
    })
}

/// Fields of a list entry, with their values as JSON.
pub(crate) type Fields = BTreeMap<String, Box<RawValue>>;

/// Returns a string field, or `None` if the field is absent or not a string.
pub(crate) fn text(fields: &Fields, name: &str) -> Option<String> {
    serde_json::from_str(fields.get(name)?.get()).ok()
}
