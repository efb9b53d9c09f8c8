//! A dataset: one endpoint template of the portal, described by one TOML file of `datasets/`.

pub mod built_in;
mod check;
mod parse;
pub mod partitions;
pub(crate) mod registry;
pub mod schema;
pub mod secret;
mod table;

use std::collections::BTreeMap;

use arrow_schema::DataType;
use serde::{Deserialize, Serialize};

pub use secret::Secret;

/// Years that a partition may be of. The portal's data begin in 1980; a year outside is a slip of somebody's pen.
pub const YEARS: std::ops::RangeInclusive<i32> = 1900..=2100;

/// Most characters that a text of digits is padded to.
pub(crate) const MOST_WIDTH: u8 = 32;

/// One endpoint template of the portal: where it is, what its rows hold, where they go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// Name that requests use, e.g. `ccd_enrollment`.
    pub name: String,
    /// A line for people.
    pub title: String,
    /// Whom to credit, as the licence asks.
    pub attribution: String,
    /// Path below the portal's API root, with a placeholder for each axis: `schools/ccd/enrollment/{year}/{grade}/`.
    pub path: String,
    /// Database of the table in the catalog.
    pub database: String,
    /// Table in the catalog, and the folder under `data/`.
    pub table: String,
    /// What the table holds.
    #[serde(default)]
    pub comment: String,
    /// Columns whose values together are different in every row of a partition.
    pub key: Vec<String>,
    /// Secret sent as a request header, where the source asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// Path parameters, in path order.
    #[serde(rename = "axis")]
    pub axes: Vec<Axis>,
    /// Columns of the files, in order; the axes are in the path and not repeated here.
    #[serde(rename = "column")]
    pub columns: Vec<Column>,
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
    /// The value left out of `all`, since its rows are sums of the others'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<String>,
    /// Values in path order with the code that rows carry; none for years, which the portal lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<CodedValue>,
}

/// Type of a partition column, in Glue's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AxisKind {
    /// A number: years.
    Int,
    /// The portal's own word.
    String,
}

/// A value of an axis and the code that rows carry for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// Name in the rows, the files and the catalog.
    pub name: String,
    /// Type.
    #[serde(rename = "type")]
    pub kind: ColumnKind,
    /// Text of digits alone is padded with leading zeros to this many characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u8>,
    /// Columns of the row that a padded text must begin with, each followed by so many more digits: `{ fips = 5 }` lets
    /// `100002` of a row with `fips` 1 become `0100002`, and keeps `250003` of a row with `fips` 25, which lost another digit
    /// than its first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub starts_with: BTreeMap<String, u8>,
    /// Whether the column is dictionary-encoded: right for few distinct values, wrong for ids.
    #[serde(default = "dictionary_by_default")]
    pub dictionary: bool,
    /// What the values mean, with their unit.
    #[serde(default)]
    pub comment: String,
}

fn dictionary_by_default() -> bool {
    true
}

/// Type of a column, in Glue's words.
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
    /// The type in Glue's and Athena's words.
    #[must_use]
    pub fn glue_type(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Int => "int",
            Self::Bigint => "bigint",
            Self::Double => "double",
        }
    }

    /// The type in Arrow's words.
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
    /// The type in Glue's and Athena's words.
    #[must_use]
    pub fn glue_type(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::String => "string",
        }
    }
}
