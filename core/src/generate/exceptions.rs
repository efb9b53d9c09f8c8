//! What the rules do not give, from `datasets/generator/exceptions.toml`. Each exception has a reason.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::dataset::{Column, ColumnKind};

/// The text of the file.
const TEXT: &str = include_str!("../../../datasets/generator/exceptions.toml");

/// The exceptions of the built-in datasets. Empty if the file cannot be parsed, which a test rules out.
pub(super) static EXCEPTIONS: LazyLock<Exceptions> = LazyLock::new(|| toml::from_str(TEXT).unwrap_or_default());

/// Why an exception is needed, for readers of the file.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Reason;

impl TryFrom<String> for Reason {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.ends_with('.') { Ok(Self) } else { Err("expected a sentence") }
    }
}

/// All exceptions.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exceptions {
    hand_written: Vec<HandWritten>,
    key: Vec<Key>,
    repeated_keys: Vec<RepeatedKeys>,
    column: Vec<ColumnException>,
    total: Vec<Key>,
    label: Vec<Label>,
    memory: Vec<MemoryMib>,
    #[serde(rename = "unknown")]
    _unknown: Vec<Unknown>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HandWritten {
    endpoint: u32,
    dataset: String,
    #[serde(rename = "reason")]
    _reason: Reason,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    endpoints: Vec<u32>,
    fields: Vec<String>,
    #[serde(rename = "reason")]
    _reason: Reason,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RepeatedKeys {
    endpoints: Vec<u32>,
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnException {
    fields: Vec<String>,
    #[serde(default)]
    endpoints: Vec<u32>,
    #[serde(rename = "type")]
    kind: Option<ColumnKind>,
    width: Option<u8>,
    #[serde(rename = "reason")]
    _reason: Reason,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Label {
    list: String,
    code: i64,
    found: String,
    label: String,
    #[serde(rename = "reason")]
    _reason: Reason,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MemoryMib {
    endpoints: Vec<u32>,
    memory_mib: u16,
    #[serde(rename = "reason")]
    _reason: Reason,
}

/// An endpoint whose columns are not known yet. The build script reads these too.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unknown {
    #[serde(rename = "name")]
    _name: String,
    #[serde(rename = "path")]
    _path: String,
    #[serde(rename = "years")]
    _years: String,
}

impl Exceptions {
    /// Returns the name of the endpoint's descriptor, if it is written by hand.
    pub(super) fn hand_written(&self, endpoint: u32) -> Option<&str> {
        self.hand_written.iter().find(|one| one.endpoint == endpoint).map(|one| one.dataset.as_str())
    }

    /// Returns the fields that belong to the endpoint's key, in addition to those of the rule.
    pub(super) fn key(&self, endpoint: u32) -> impl Iterator<Item = &str> {
        fields(&self.key, endpoint)
    }

    /// Returns the fields whose totals the endpoint has, in addition to those that its path names.
    pub(super) fn totals(&self, endpoint: u32) -> impl Iterator<Item = &str> {
        fields(&self.total, endpoint)
    }

    /// Returns why the endpoint's repeated keys are kept, if they are.
    pub(super) fn repeated_keys(&self, endpoint: u32) -> Option<&str> {
        self.repeated_keys.iter().find(|one| one.endpoints.contains(&endpoint)).map(|one| one.reason.as_str())
    }

    /// Changes the type and the width of a column that the portal declares wrongly.
    pub(super) fn correct(&self, endpoint: u32, field: &str, column: &mut Column) {
        let of_endpoint = |one: &&ColumnException| {
            one.fields.iter().any(|name| name == field)
                && (one.endpoints.is_empty() || one.endpoints.contains(&endpoint))
        };
        for exception in self.column.iter().filter(of_endpoint) {
            if let Some(kind) = exception.kind {
                column.kind = kind;
                if kind == ColumnKind::String {
                    column.codes = None;
                }
            }
            column.width = exception.width.or(column.width);
        }
    }

    /// Returns the label of a code, completed if the portal truncates it.
    pub(super) fn label<'l>(&'l self, list: &str, code: i64, found: &'l str) -> &'l str {
        let truncated = |one: &&Label| one.list == list && one.code == code && one.found == found;
        self.label.iter().find(truncated).map_or(found, |one| one.label.as_str())
    }

    /// Returns the memory of one of the endpoint's partitions, in MiB, if it differs from the default.
    pub(super) fn memory_mib(&self, endpoint: u32) -> Option<u16> {
        self.memory.iter().find(|one| one.endpoints.contains(&endpoint)).map(|one| one.memory_mib)
    }
}

fn fields(exceptions: &[Key], endpoint: u32) -> impl Iterator<Item = &str> {
    let of_endpoint = exceptions.iter().filter(move |one| one.endpoints.contains(&endpoint));
    of_endpoint.flat_map(|one| one.fields.iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_valid_and_an_exception_without_a_reason_is_not() {
        let file: Exceptions = toml::from_str(TEXT).unwrap();
        assert_eq!((file.hand_written.len(), file._unknown.len()), (3, 6));
        let error = toml::from_str::<Exceptions>(&TEXT.replacen("reason = \"An", "# \"An", 1)).unwrap_err();
        assert!(error.message().contains("missing field `reason`"), "{error}");
    }

    #[test]
    fn a_truncated_label_is_completed_and_a_complete_one_stays() {
        assert_eq!(EXCEPTIONS.label("sex", 3, "Gender"), "Gender not identified");
        assert_eq!(EXCEPTIONS.label("sex", 3, "Gender Not-Identified"), "Gender Not-Identified");
        assert_eq!(EXCEPTIONS.label("race", 3, "Gender"), "Gender");
    }
}
