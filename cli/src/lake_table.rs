//! A table of the lake for the SQL engine: exactly the partitions that the catalog registers, and no others.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Expr;
use datafusion::object_store::Error;
use datafusion::physical_plan::ExecutionPlan;
use rollcall_adapters::file_catalog::{CatalogColumn, CatalogTable};
use rollcall_core::keys;
use rollcall_core::partition::AxisValue;

use crate::output;
use crate::pinned::PinnedFolder;

/// A table with its files and their partition values.
#[derive(Debug)]
pub(crate) struct LakeTable {
    schema: TableSchema,
    /// What is wrong with the table's files fails the queries that read it, and no others.
    files: std::result::Result<Files, String>,
}

/// The files of a table.
#[derive(Debug)]
struct Files {
    found: Vec<PartitionedFile>,
    /// Objects that the catalog names and the lake does not have, until they are told of.
    absent: Mutex<Vec<String>>,
}

impl LakeTable {
    /// The table of a catalog entry, its files as they are now in `lake`.
    pub(crate) async fn new(table: &CatalogTable, lake: &PinnedFolder) -> Self {
        let file_schema = Arc::new(Schema::new(table.columns.iter().map(field).collect::<Vec<_>>()));
        let partition_fields: Vec<_> = table.partition_keys.iter().map(|key| Arc::new(field(key))).collect();
        Self {
            schema: TableSchema::builder(file_schema).with_table_partition_cols(partition_fields).build(),
            files: files(table, lake).await,
        }
    }
}

/// The files of a table with their partition values. A partition whose object is gone has no rows, as on Athena.
async fn files(table: &CatalogTable, lake: &PinnedFolder) -> std::result::Result<Files, String> {
    if table.partition_keys.is_empty() {
        let object = keys::lookup_object(&table.table);
        return match file(lake, &object).await? {
            Some(found) => Ok(Files { found: vec![found], absent: Mutex::default() }),
            None => Err(format!(
                "read `{object}`: expected the object that the catalog names, found none; `rollcall repair` writes it"
            )),
        };
    }
    let mut found = Vec::with_capacity(table.partitions.len());
    let mut absent = Vec::new();
    for registered in &table.partitions {
        let mut values = Vec::with_capacity(table.partition_keys.len());
        for key in &table.partition_keys {
            values.push(match registered.partition.value(&key.name) {
                Some(AxisValue::Int(value)) => ScalarValue::from(*value),
                Some(AxisValue::Text(value)) => ScalarValue::from(value.as_str()),
                None => {
                    return Err(format!(
                        "read catalog of `{}.{}`: expected a value of `{}` in every partition, found none in `{}`",
                        table.database, table.table, key.name, registered.partition
                    ));
                }
            });
        }
        let object = format!("{}{}", registered.location, keys::OBJECT);
        match file(lake, &object).await? {
            Some(file) => found.push(file.with_partition_values(values)),
            None => absent.push(object),
        }
    }
    Ok(Files { found, absent: Mutex::new(absent) })
}

fn field(column: &CatalogColumn) -> Field {
    let kind = match column.kind.as_str() {
        "int" => DataType::Int32,
        "bigint" => DataType::Int64,
        "double" => DataType::Float64,
        _ => DataType::Utf8,
    };
    Field::new(&column.name, kind, true)
}

async fn file(lake: &PinnedFolder, object: &str) -> std::result::Result<Option<PartitionedFile>, String> {
    match lake.pin(object).await {
        Ok(meta) => Ok(Some(PartitionedFile::from(meta))),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => {
            Err(format!("read `{object}`: expected the object that the catalog names, found otherwise: {error}"))
        }
    }
}

/// Tells once of objects that the catalog names and the lake does not have.
fn warn_absent(absent: &mut Vec<String>) {
    if let [first, ..] = absent.as_slice() {
        output::complain(&format!(
            "warning: {} of the catalog not in the lake, such as `{first}`: the query goes without\n\
             hint: fetch again with `rollcall run --mode missing`, or take out of the catalog with `rollcall repair`",
            output::counted(absent.len() as u64, "object")
        ));
        absent.clear();
    }
}

/// Where the engine finds the lake's files.
pub(crate) fn lake_url() -> Result<ObjectStoreUrl> {
    ObjectStoreUrl::parse("lake://folder")
}

#[async_trait::async_trait]
impl TableProvider for LakeTable {
    fn schema(&self) -> SchemaRef {
        self.schema.table_schema().clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // Filters are pushed down by the optimizer, which skips files by their partition values and statistics.
        let source = Arc::new(ParquetSource::new(self.schema.clone()));
        let files = self.files.as_ref().map_err(|error| DataFusionError::Execution(error.clone()))?;
        warn_absent(&mut files.absent.lock().unwrap_or_else(PoisonError::into_inner));
        let files = &files.found;
        let n_groups = state.config().target_partitions().min(files.len()).max(1);
        let mut groups = vec![Vec::new(); n_groups];
        for (i, file) in files.iter().enumerate() {
            if let Some(group) = groups.get_mut(i % n_groups) {
                group.push(file.clone());
            }
        }
        let config = FileScanConfigBuilder::new(lake_url()?, source)
            .with_file_groups(groups.into_iter().map(FileGroup::new).collect())
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}
