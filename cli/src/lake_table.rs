//! A table of the lake for the SQL engine: exactly the partitions that the catalog registers, and no others.

use std::path::Path;
use std::sync::Arc;

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
use datafusion::physical_plan::ExecutionPlan;
use rollcall_adapters::file_catalog::{CatalogColumn, CatalogTable};
use rollcall_core::keys;
use rollcall_core::partition::AxisValue;

/// A table with its files and their partition values.
#[derive(Debug)]
pub(crate) struct LakeTable {
    schema: TableSchema,
    files: Vec<PartitionedFile>,
}

impl LakeTable {
    /// The table of a catalog entry in the lake at `root`.
    ///
    /// # Errors
    /// An object that the catalog names and the lake lacks.
    pub(crate) fn new(table: &CatalogTable, root: &Path) -> Result<Self> {
        let file_schema = Arc::new(Schema::new(table.columns.iter().map(field).collect::<Vec<_>>()));
        let partition_fields: Vec<_> = table.partition_keys.iter().map(|key| Arc::new(field(key))).collect();
        let mut files = Vec::new();
        if table.partition_keys.is_empty() {
            files.push(file(root, &keys::lookup_object(&table.table))?);
        }
        for registered in &table.partitions {
            let values = table.partition_keys.iter().map(|key| match registered.partition.value(&key.name) {
                Some(AxisValue::Int(value)) => Ok(ScalarValue::from(*value)),
                Some(AxisValue::Text(value)) => Ok(ScalarValue::from(value.as_str())),
                None => Err(DataFusionError::Execution(format!(
                    "read catalog of `{}.{}`: expected a value of `{}` in every partition, found none in `{}`",
                    table.database, table.table, key.name, registered.partition
                ))),
            });
            let object = format!("{}{}", registered.location, keys::OBJECT);
            files.push(file(root, &object)?.with_partition_values(values.collect::<Result<_>>()?));
        }
        Ok(Self {
            schema: TableSchema::builder(file_schema).with_table_partition_cols(partition_fields).build(),
            files,
        })
    }
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

fn file(root: &Path, object: &str) -> Result<PartitionedFile> {
    let path = root.join(object);
    let find = || -> std::io::Result<(String, u64)> {
        let path = path.canonicalize()?;
        let size_bytes = path.metadata()?.len();
        Ok((path.to_string_lossy().into_owned(), size_bytes))
    };
    let (path, size_bytes) = find().map_err(|error| {
        DataFusionError::Execution(format!(
            "read `{object}`: expected the object that the catalog names, found none: {error}\nhint: run it again, or `rollcall repair`"
        ))
    })?;
    Ok(PartitionedFile::new(path, size_bytes))
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
        let n_groups = state.config().target_partitions().min(self.files.len()).max(1);
        let mut groups = vec![Vec::new(); n_groups];
        for (i, file) in self.files.iter().enumerate() {
            if let Some(group) = groups.get_mut(i % n_groups) {
                group.push(file.clone());
            }
        }
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), source)
            .with_file_groups(groups.into_iter().map(FileGroup::new).collect())
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}
