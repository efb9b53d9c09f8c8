//! A list that the portal publishes about itself, such as that of its endpoints.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::years::YearsUnreadable;
use crate::ports::portal::{PageRequest, Portal, Reading};

/// A page of a list of the portal. Its entries are read one by one, so that an odd one spoils no other.
#[derive(Deserialize)]
pub(super) struct PortalList {
    pub(super) count: Option<Box<RawValue>>,
    pub(super) results: Vec<Box<RawValue>>,
}

impl PortalList {
    /// GETs one page of a list.
    ///
    /// # Errors
    /// What the portal did, or a body that is not such a list.
    pub(super) async fn get(portal: &impl Portal, path: &str, page: u32) -> Result<Self, YearsUnreadable> {
        let read = |body: &Bytes| Reading::Done(serde_json::from_str(&String::from_utf8_lossy(body)));
        Ok(portal.get(path, page, PageRequest::default(), read).await?.result?)
    }

    /// Fields of each entry that has some, as their JSON.
    pub(super) fn entries(&self) -> impl Iterator<Item = Fields> {
        self.results.iter().filter_map(|entry| serde_json::from_str(entry.get()).ok())
    }
}

pub(super) type Fields = BTreeMap<String, Box<RawValue>>;

/// A field that is text; `None` when it is anything else, or absent.
pub(super) fn text(fields: &Fields, name: &str) -> Option<String> {
    serde_json::from_str(fields.get(name)?.get()).ok()
}
