//! A list that the portal publishes about itself, such as that of its endpoints.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A page of a list of the portal. Its entries are read one by one, so that an odd one spoils no other.
#[derive(Deserialize)]
pub(super) struct PortalList {
    pub(super) count: Option<Box<RawValue>>,
    pub(super) results: Vec<Box<RawValue>>,
}

impl PortalList {
    pub(super) fn read(body: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_str(&String::from_utf8_lossy(body))
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
