//! The columns of a file by name and type: what tells one schema from another where a table has files of several.

use std::collections::BTreeMap;

use parquet::basic::Type;
use parquet::schema::types::ColumnDescriptor;
use serde::{Deserialize, Serialize};

use crate::dataset::Dataset;
use crate::error::Error;
use crate::ledger::{read_json, write_json};
use crate::ports::Store;
use crate::{dataset, keys};

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

impl Dataset {
    /// The columns of this descriptor's files, in file order.
    #[must_use]
    pub fn typed_columns(&self) -> Vec<TypedColumn> {
        let declared = self.columns.iter().map(|column| (column.name.as_str(), column.kind.glue_type()));
        let typed = declared.chain([(dataset::RESCUED, "string")]);
        typed.map(|(name, kind)| TypedColumn { name: name.to_owned(), kind: kind.to_owned() }).collect()
    }
}

/// Keeps the schema of `dataset` in its ledger under its id, where it is not yet. Done before the first object of a schema
/// can be written, so that publishing knows the columns of every file by the schema id that the file names.
///
/// # Errors
/// [`Error::StoreFailed`] when the lake does not answer.
pub async fn keep_schema(store: &impl Store, dataset: &Dataset) -> Result<(), Error> {
    let key = keys::schema(dataset, dataset.schema_id());
    let columns = dataset.typed_columns();
    let kept: Option<Vec<TypedColumn>> = read_json(store, &key).await?;
    if kept.as_ref() == Some(&columns) { Ok(()) } else { write_json(store, &key, &columns).await }
}

/// The columns that files of other schemas than the descriptor's have, by schema id: from the ledger, or where it does not
/// say, from the footer of one such file. A schema that nothing tells is left out.
///
/// - `other`: for each of these schema ids the key of a file.
///
/// # Errors
/// [`Error::StoreFailed`] when the ledger cannot be read.
pub(crate) async fn columns_of(
    store: &impl Store,
    dataset: &Dataset,
    other: &BTreeMap<u64, String>,
) -> Result<BTreeMap<u64, Vec<TypedColumn>>, Error> {
    let mut known = BTreeMap::new();
    for (schema_id, object) in other {
        let kept: Option<Vec<TypedColumn>> = read_json(store, &keys::schema(dataset, *schema_id)).await?;
        let columns = match kept {
            Some(columns) => Some(columns),
            None => match store.footer(object).await {
                Ok(footer) => footer.map(|footer| footer.columns),
                Err(error) => {
                    tracing::warn!(object, error = crate::error::chain(&error), "columns of a file not read");
                    None
                }
            },
        };
        known.extend(columns.map(|columns| (*schema_id, columns)));
    }
    Ok(known)
}
