//! Stores the columns of every schema that a dataset's files have had.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::dataset::Dataset;
use crate::error::{Error, chain};
use crate::file::columns::TypedColumn;
use crate::keys;
use crate::ledger::json::{read_json, write_json};
use crate::ports::store::Store;

/// Stores the schema of `dataset` in the ledger under its id, unless it is already there.
///
/// Called before any object with this schema can be written, so that publishing can look up the columns of every file by
/// the schema id in the file.
///
/// # Errors
/// [`Error::StoreFailed`] if the lake cannot be read or written.
pub async fn keep_schema(store: &impl Store, dataset: &Dataset) -> Result<(), Error> {
    let key = keys::schema(dataset, dataset.schema_id());
    let columns = dataset.typed_columns();
    let kept: Option<Vec<TypedColumn>> = read_json(store, &key).await?;
    if kept.as_ref() == Some(&columns) { Ok(()) } else { write_json(store, &key, &columns).await }
}

/// The columns of a dataset's files by schema.
pub(crate) struct SchemaColumns {
    current: Arc<Vec<TypedColumn>>,
    by_id: BTreeMap<u64, Arc<Vec<TypedColumn>>>,
}

impl SchemaColumns {
    /// Looks up the columns of the schemas of some objects.
    ///
    /// - `objects`: schema ids, each with the key of an object that has it.
    ///
    /// # Errors
    /// [`Error::StoreFailed`] if the ledger cannot be read.
    pub(crate) async fn read(
        store: &impl Store,
        dataset: &Dataset,
        objects: impl Iterator<Item = (u64, String)>,
    ) -> Result<Self, Error> {
        let (id, current) = (dataset.schema_id(), Arc::new(dataset.typed_columns()));
        let other = objects.filter(|(schema_id, _)| *schema_id != id).collect();
        let columns = columns_by_schema(store, dataset, &other).await?;
        let columns = columns.into_iter().map(|(schema_id, columns)| (schema_id, Arc::new(columns)));
        let by_id = columns.chain([(id, current.clone())]).collect();
        Ok(Self { current, by_id })
    }

    /// Returns the columns of a schema, if they are known.
    pub(crate) fn get(&self, schema_id: u64) -> Option<&Arc<Vec<TypedColumn>>> {
        self.by_id.get(&schema_id)
    }

    /// Returns the columns of the descriptor.
    pub(crate) fn current(&self) -> &Arc<Vec<TypedColumn>> {
        &self.current
    }
}

/// Returns the columns of schemas other than the descriptor's, by schema id.
///
/// The columns come from the ledger or, if it lacks them, from the footer of a file. A schema found in neither is left out.
///
/// - `other`: the schema ids to look up, each with the key of a file that has it.
///
/// # Errors
/// [`Error::StoreFailed`] if the ledger cannot be read.
async fn columns_by_schema(
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
                    tracing::warn!(object, error = chain(&error), "columns of file not read");
                    None
                }
            },
        };
        known.extend(columns.map(|columns| (*schema_id, columns)));
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::{Footer, TableWriter};
    use crate::ledger::write_plan;
    use crate::partition::{AxisValue, PartitionKey};
    use crate::testing::{MemoryStore, enrollment};
    use futures::executor::block_on;
    use parquet::file::metadata::ParquetMetaDataReader;

    #[test]
    fn a_schema_is_stored_once_with_the_first_plan() {
        let store = MemoryStore::default();
        let key = "ledger/ccd_enrollment/schemas/".to_owned();
        for _ in 0..2 {
            block_on(write_plan(&store, &enrollment(), "r1", &[])).unwrap();
            let kept = store.keys(&key);
            let columns: Option<Vec<TypedColumn>> = block_on(read_json(&store, &kept[0])).unwrap();
            assert_eq!((kept.len(), columns), (1, Some(enrollment().typed_columns())));
        }
        // Two plans with their descriptors, but one schema.
        assert_eq!(store.calls.lock().unwrap()["write"], 5);
        let other = BTreeMap::from([(enrollment().schema_id(), "no such object".to_owned()), (7, "none".to_owned())]);
        let known = block_on(columns_by_schema(&store, &enrollment(), &other)).unwrap();
        assert_eq!(known, BTreeMap::from([(enrollment().schema_id(), enrollment().typed_columns())]));
    }

    #[test]
    fn a_footer_contains_columns_of_every_type() {
        let dataset = Dataset::built_in("ccd_directory").unwrap();
        let partition = PartitionKey::new(vec![("year".into(), AxisValue::Int(2021))]);
        let encoded = TableWriter::new(&dataset, &partition, 0).unwrap().finish().unwrap();
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&encoded.bytes).unwrap();
        let columns = Footer::from_metadata(&metadata).unwrap().columns;
        assert_eq!(columns, dataset.typed_columns());
        assert!(columns.iter().any(|column| column.kind == "double"));
    }
}
