//! The names and types of a file's columns.

use parquet::basic::Type;
use parquet::schema::types::ColumnDescriptor;
use serde::{Deserialize, Serialize};

/// Name of the column that keeps unknown fields and values that do not fit the descriptor, as JSON text. It is null in
/// rows that fit entirely.
pub const RESCUED: &str = "_rescued";

/// A column's name and type.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TypedColumn {
    /// Name.
    pub name: String,
    /// Glue type: `int`, `bigint`, `double` or `string`.
    #[serde(rename = "type")]
    pub kind: String,
}

impl TypedColumn {
    /// Converts a column of a Parquet file; `None` if no descriptor can declare its type.
    pub(crate) fn from_parquet(column: &std::sync::Arc<ColumnDescriptor>) -> Option<Self> {
        let kind = match column.physical_type() {
            Type::INT32 => "int",
            Type::INT64 => "bigint",
            Type::DOUBLE => "double",
            Type::BYTE_ARRAY => "string",
            _ => return None,
        };
        Some(Self { name: column.name().to_owned(), kind: kind.to_owned() })
    }
}
