//! What a file's footer says of the file.

use parquet::file::metadata::ParquetMetaData;

use crate::file::columns::TypedColumn;
use crate::file::edition::Edition;
use crate::file::value_counts::ValueCounts;

/// Footer key of the edition.
pub(crate) const EDITION_KEY: &str = "rollcall.edition";
/// Footer key of the partition's Hive path, such as `year=2021/grade=grade-pk`. Look-up tables and older files have none.
pub const PARTITION_KEY: &str = "rollcall.partition";
/// Footer key of the values by column.
pub(crate) const VALUES_KEY: &str = "rollcall.values";

/// What a file's footer says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    /// Its edition.
    pub edition: Edition,
    /// Hive path of its partition; `None` where it names none.
    pub partition: Option<String>,
    /// Rows in it.
    pub n_rows: u64,
    /// Its values by column; `None` where it does not say.
    pub values: Option<ValueCounts>,
    /// Its columns.
    pub columns: Vec<TypedColumn>,
}

impl Footer {
    /// Reads what is said of a file; `None` when it is not one of ours.
    #[must_use]
    pub fn of(metadata: &ParquetMetaData) -> Option<Self> {
        let file = metadata.file_metadata();
        let entries = file.key_value_metadata()?;
        let value = |key: &str| entries.iter().find(|entry| entry.key == key)?.value.as_deref();
        Some(Self {
            edition: value(EDITION_KEY)?.parse().ok()?,
            partition: value(PARTITION_KEY).map(str::to_owned),
            n_rows: u64::try_from(file.num_rows()).ok()?,
            values: value(VALUES_KEY).and_then(|values| serde_json::from_str(values).ok()),
            columns: file.schema_descr().columns().iter().map(TypedColumn::of_file).collect::<Option<_>>()?,
        })
    }
}
