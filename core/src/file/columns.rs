//! The columns of a file by name and type.

use parquet::basic::Type;
use parquet::schema::types::ColumnDescriptor;
use serde::{Deserialize, Serialize};

/// Column that keeps, as JSON text, what the descriptor does not know or what does not fit it; null where all is well.
pub const RESCUED: &str = "_rescued";

/// A column's name and type.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TypedColumn {
    /// Name.
    pub name: String,
    /// Type in Glue's words: `int`, `bigint`, `double` or `string`.
    #[serde(rename = "type")]
    pub kind: String,
}

impl TypedColumn {
    /// A column of a Parquet file; `None` for one of a type that no descriptor has.
    pub(crate) fn of_file(column: &std::sync::Arc<ColumnDescriptor>) -> Option<Self> {
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
