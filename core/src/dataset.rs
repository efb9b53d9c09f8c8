//! A dataset: one endpoint template of the portal, described by one TOML file in `datasets/`.

pub mod built_in;
pub(crate) mod check;
mod coded_value;
mod in_lake;
pub mod lists;
mod parse;
pub mod partitions;
pub(crate) mod registry;
pub mod schema;
pub mod secret;
pub mod selection;
mod table;
#[cfg(test)]
mod tests;
mod words;
pub mod years;

use std::collections::BTreeMap;

use arrow_schema::DataType;
use serde::{Deserialize, Serialize};

pub use secret::Secret;

/// Allowed numbers of requests in flight.
pub const IN_FLIGHT: std::ops::RangeInclusive<u16> = 1..=256;

/// Default memory for the file and the keys of one partition, in MiB.
pub const MEMORY_MIB: u16 = 48;

/// Allowed memory for one partition, in MiB. On AWS, the memory of page-fetch limits it further.
pub const ALLOWED_MEMORY_MIB: std::ops::RangeInclusive<u16> = 1..=512;

/// Maximum `width` of a column.
pub(crate) const MAX_WIDTH: u8 = 32;

/// One endpoint template of the portal: its path, the columns of its rows, and its table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// Name that requests use, e.g. `ccd_enrollment`.
    pub name: String,
    /// One-line description.
    pub title: String,
    /// Attribution that the licence requires.
    pub attribution: String,
    /// Path relative to the portal's API root, with a placeholder for each axis: `schools/ccd/enrollment/{year}/{grade}/`.
    pub path: String,
    /// Database of the table in the catalog.
    pub database: String,
    /// Table in the catalog, and its folder under `data/`.
    pub table: String,
    /// Description of the table.
    #[serde(default)]
    pub comment: String,
    /// Columns that together identify a row within its partition.
    pub key: Vec<String>,
    /// What to do with a partition in which a key is repeated, null or empty.
    #[serde(default, skip_serializing_if = "RepeatedKeys::is_default")]
    pub repeated_keys: RepeatedKeys,
    /// Why repeated keys are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Secret sent as a request header, if the source requires one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// Number of requests in flight, if it differs from the default: on AWS for each partition, and on one machine only
    /// if it is above the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u16>,
    /// Memory that the file and the keys of one partition may take, in MiB, if it differs from the default. For datasets
    /// whose partitions have many million rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u16>,
    /// Path parameters, in path order.
    #[serde(rename = "axis")]
    pub axes: Vec<Axis>,
    /// Columns of the files, in file order. Axes are not repeated here, because they are in the path.
    #[serde(rename = "column")]
    pub columns: Vec<Column>,
    /// Lists of codes of this dataset's own, by name: the label of each code.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lists: BTreeMap<String, BTreeMap<String, String>>,
}

/// What to do with a partition in which a key is repeated, null or empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RepeatedKeys {
    /// Refuse it.
    #[default]
    Refuse,
    /// Keep all its rows, and count those with such keys.
    Keep,
}

impl RepeatedKeys {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A path parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Axis {
    /// Name in the path, the catalog and the rows.
    pub name: String,
    /// Type of the partition column.
    #[serde(rename = "type")]
    pub kind: AxisKind,
    /// What the values mean.
    #[serde(default)]
    pub comment: String,
    /// The value that `all` leaves out, because its rows are totals over the other values.
    #[serde(default, deserialize_with = "coded_value::text_or_number", skip_serializing_if = "Option::is_none")]
    pub total: Option<String>,
    /// Values, each with the code that rows use for it. Empty for years, which the portal lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<CodedValue>,
    /// Name of the list that has the labels of the codes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codes: Option<String>,
    /// For years: those that the portal listed when the descriptor was written, such as `1980, 1984-2022`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub years: Option<String>,
}

/// Type of a partition column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AxisKind {
    /// A number.
    Int,
    /// A string value, as in the portal's paths.
    String,
}

/// A value of an axis and the code that rows use for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CodedValue {
    /// Value in the path.
    pub value: String,
    /// Code in the rows.
    pub code: i64,
}
/// A column of the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Name in the files and the catalog.
    pub name: String,
    /// Name of the field in the portal's rows, if it differs from the column's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Type.
    #[serde(rename = "type")]
    pub kind: ColumnKind,
    /// Name of the list that has the labels of the codes. A column whose list has only negative codes is a measure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codes: Option<String>,
    /// The code whose rows are totals over the rows with other codes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// Whether the field may be absent from all rows of a partition. The column is then null.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// Pads a string of digits with leading zeros to this many characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u8>,
    /// Columns of the same row with which the padded string must start, each with the number of digits that follow it.
    ///
    /// With `{ fips = 5 }`, `100002` becomes `0100002` in a row with `fips` 1. In a row with `fips` 25, `250003` stays as it
    /// is: the digit that it lost was not the first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub starts_with: BTreeMap<String, u8>,
    /// Whether the column is dictionary-encoded. Suits columns with few distinct values, but not ids.
    #[serde(default = "dictionary_by_default")]
    pub dictionary: bool,
    /// What the values mean, with their unit.
    #[serde(default)]
    pub comment: String,
}

impl Column {
    /// Creates a column with the defaults of a descriptor.
    #[must_use]
    pub fn new(name: &str, kind: ColumnKind) -> Self {
        Self {
            name: name.to_owned(),
            field: None,
            kind,
            codes: None,
            total: None,
            optional: false,
            width: None,
            starts_with: BTreeMap::new(),
            dictionary: true,
            comment: String::new(),
        }
    }

    /// Returns the name of the field in the portal's rows.
    #[must_use]
    pub fn field(&self) -> &str {
        self.field.as_deref().unwrap_or(&self.name)
    }
}

fn dictionary_by_default() -> bool {
    true
}

/// Type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnKind {
    /// UTF-8 text.
    String,
    /// 32-bit integer.
    Int,
    /// 64-bit integer.
    Bigint,
    /// 64-bit floating point.
    Double,
}

impl ColumnKind {
    /// Returns the name of the type in Glue and Athena.
    #[must_use]
    pub fn glue_type(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Int => "int",
            Self::Bigint => "bigint",
            Self::Double => "double",
        }
    }

    /// Returns the Arrow type.
    #[must_use]
    pub fn arrow_type(self) -> DataType {
        match self {
            Self::String => DataType::Utf8,
            Self::Int => DataType::Int32,
            Self::Bigint => DataType::Int64,
            Self::Double => DataType::Float64,
        }
    }
}

impl AxisKind {
    /// Returns the name of the type in Glue and Athena.
    #[must_use]
    pub fn glue_type(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::String => "string",
        }
    }
}
