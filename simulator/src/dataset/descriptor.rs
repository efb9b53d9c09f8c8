//! The keys of a descriptor that the simulator reads. It ignores the others.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct Descriptor {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) path: String,
    pub(super) key: Vec<String>,
    #[serde(default)]
    pub(super) repeated_keys: RepeatedKeys,
    #[serde(rename = "axis")]
    pub(super) axes: Vec<AxisTable>,
    #[serde(rename = "column")]
    pub(super) columns: Vec<ColumnTable>,
    #[serde(default)]
    pub(super) lists: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Deserialize, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum RepeatedKeys {
    #[default]
    Refuse,
    Keep,
}

#[derive(Deserialize)]
pub(super) struct AxisTable {
    pub(super) name: String,
    #[serde(default)]
    pub(super) comment: String,
    #[serde(default)]
    pub(super) values: Vec<ValueOrCode>,
    pub(super) codes: Option<String>,
    pub(super) years: Option<String>,
}

/// A value of an axis: a table, or a number that is its own code.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum ValueOrCode {
    Code(i64),
    Value { value: String, code: i64 },
}

#[derive(Deserialize)]
pub(super) struct ColumnTable {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    pub(super) field: Option<String>,
    pub(super) codes: Option<String>,
    pub(super) total: Option<i64>,
    #[serde(default)]
    pub(super) optional: bool,
    pub(super) width: Option<usize>,
    #[serde(default)]
    pub(super) starts_with: BTreeMap<String, usize>,
    #[serde(default)]
    pub(super) comment: String,
}

/// Type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    String,
    Int,
    Bigint,
    Double,
}
