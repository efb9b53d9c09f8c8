//! Reads the metadata in a file's footer.

use parquet::file::metadata::ParquetMetaData;

use crate::file::columns::TypedColumn;
use crate::file::edition::Edition;
use crate::file::value_counts::ValueCounts;

/// Footer key of the edition.
pub(crate) const EDITION_KEY: &str = "rollcall.edition";
/// Footer key of the partition's Hive path, such as `year=2021/grade=grade-pk`. Lookup tables and older files do not
/// have it.
pub const PARTITION_KEY: &str = "rollcall.partition";
/// Footer key of the value counts by column.
pub(crate) const VALUES_KEY: &str = "rollcall.values";

/// Metadata in a file's footer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    /// Edition of the file.
    pub edition: Edition,
    /// Hive path of the partition; `None` for a lookup table or an older file.
    pub partition: Option<String>,
    /// Number of rows.
    pub n_rows: u64,
    /// Number of values by column; `None` for an older file.
    pub values: Option<ValueCounts>,
    /// Columns of the file.
    pub columns: Vec<TypedColumn>,
}

impl Footer {
    /// Reads the footer from a file's metadata; `None` if rollcall did not write the file.
    #[must_use]
    pub fn from_metadata(metadata: &ParquetMetaData) -> Option<Self> {
        let file = metadata.file_metadata();
        let entries = file.key_value_metadata()?;
        let value = |key: &str| entries.iter().find(|entry| entry.key == key)?.value.as_deref();
        Some(Self {
            edition: value(EDITION_KEY)?.parse().ok()?,
            partition: value(PARTITION_KEY).map(str::to_owned),
            n_rows: u64::try_from(file.num_rows()).ok()?,
            values: value(VALUES_KEY).and_then(|values| serde_json::from_str(values).ok()),
            columns: file.schema_descr().columns().iter().map(TypedColumn::from_parquet).collect::<Option<_>>()?,
        })
    }
}
