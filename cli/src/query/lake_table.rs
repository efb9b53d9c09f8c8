//! A table of the lake for the SQL engine, with only the partitions that the catalog registers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::cast::as_boolean_array;
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::object_store::Error;
use datafusion::physical_plan::ExecutionPlan;
use rollcall_adapters::file_catalog::CatalogTable;
use rollcall_core::dataset::Dataset;
use rollcall_core::dataset::built_in::built_in_name;
use rollcall_core::keys;

use crate::escape;
use crate::output;
use crate::query::axis_filters::{depends_only_on_axes, implied_axis_filter};
use crate::query::catalog_entry::{TablePartition, field, partitions};
use crate::query::file_check::ExpectedFile;
use crate::query::file_reader::CheckedFiles;
use crate::query::offers::Offers;
use crate::query::pinned_folder::PinnedFolder;
use crate::query::plain_sql::plain_sql;
use crate::words;

/// A table with its partitions. Opens no file until a query determines which partitions it needs.
#[derive(Debug)]
pub(crate) struct LakeTable {
    database: String,
    table: String,
    schema: TableSchema,
    /// An invalid catalog entry fails only the queries that read this table.
    partitions: std::result::Result<Vec<TablePartition>, String>,
    lake: Arc<PinnedFolder>,
    offers: Arc<Offers>,
    /// Missing objects for which a warning has already been printed.
    reported_missing: Mutex<BTreeSet<String>>,
    /// Notes that were printed.
    noted: Mutex<BTreeSet<String>>,
}

impl LakeTable {
    /// Creates the table for a catalog entry, with its files in `lake`.
    pub(crate) fn new(table: &CatalogTable, lake: Arc<PinnedFolder>, offers: Arc<Offers>) -> Self {
        let file_schema = Arc::new(Schema::new(table.columns.iter().map(field).collect::<Vec<_>>()));
        let axes: Vec<_> = table.partition_keys.iter().map(|key| Arc::new(field(key))).collect();
        Self {
            database: table.database.clone(),
            table: table.table.clone(),
            partitions: partitions(table),
            schema: TableSchema::builder(file_schema).with_table_partition_cols(axes).build(),
            lake,
            offers,
            reported_missing: Mutex::default(),
            noted: Mutex::default(),
        }
    }

    /// Returns the partitions for which every filter on axes is true.
    fn matching(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<&TablePartition>> {
        let partitions = self.partitions.as_ref().map_err(|error| DataFusionError::Execution(error.clone()))?;
        let mut matching: Vec<&TablePartition> = partitions.iter().collect();
        let axes = Arc::new(Schema::new(self.schema.table_partition_cols().clone()));
        let named_axes = DFSchema::try_from(axes.clone())?;
        // Evaluates one filter at a time, so that an earlier one guards a later one, as in `year <> 0 and 1 / year > 0`.
        for filter in filters.iter().filter_map(|filter| implied_axis_filter(&self.schema, filter)) {
            if matching.is_empty() {
                break;
            }
            let columns = (0..axes.fields().len())
                .map(|i| {
                    ScalarValue::iter_to_array(matching.iter().filter_map(|partition| partition.values.get(i).cloned()))
                })
                .collect::<Result<Vec<_>>>()?;
            let batch = RecordBatch::try_new(axes.clone(), columns)?;
            let verdicts = state.create_physical_expr(filter, &named_axes)?.evaluate(&batch)?;
            let verdicts = verdicts.into_array(batch.num_rows())?;
            let mut verdicts = as_boolean_array(&verdicts)?.iter();
            matching.retain(|_| verdicts.next() == Some(Some(true)));
        }
        Ok(matching)
    }

    /// Notes once that no partition matches the conditions on axes, and which values there are.
    fn note_no_match(&self, filters: &[Expr]) {
        let Ok(partitions) = &self.partitions else { return };
        let axis_filters: Vec<Expr> =
            filters.iter().filter_map(|filter| implied_axis_filter(&self.schema, filter)).collect();
        // `and` binds what it joins more closely than `or`, and puts it in parentheses.
        let Some(condition) = axis_filters.iter().cloned().reduce(Expr::and) else { return };
        let condition = plain_sql(condition);
        let named = self.schema.table_partition_cols().iter().map(|axis| axis.name()).filter(|axis| {
            axis_filters.iter().any(|filter| filter.column_refs().iter().any(|column| column.name == **axis))
        });
        let dataset = built_in_name(&self.database, &self.table).and_then(|name| Dataset::built_in(name).ok());
        let found = named.map(|axis| {
            let values = words::axis_values(partitions.iter().map(|it| &it.partition), dataset.as_ref(), axis);
            format!("{axis} {values}")
        });
        let found = found.collect::<Vec<_>>().join(" and ");
        let note = format!("no partition of `{}` matches {condition}; the lake has {found}", self.table);
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.insert(note.clone()) {
            output::print_note(&note);
        }
    }

    /// Pins the files of partitions and returns them. A partition whose object is missing has no rows, as on Athena.
    async fn files(&self, partitions: &[&TablePartition]) -> Result<Vec<PartitionedFile>> {
        let mut files = Vec::with_capacity(partitions.len());
        let mut missing = Vec::new();
        for partition in partitions {
            let object = &partition.object;
            match self.lake.pin(object).await {
                Ok(meta) => {
                    let file = PartitionedFile::from(meta).with_partition_values(partition.values.clone());
                    // With statistics, even unknown ones, a join can skip files once it knows which partitions it needs.
                    let unknown = Statistics::new_unknown(self.schema.file_schema());
                    files.push(file.with_statistics(Arc::new(unknown)));
                }
                Err(Error::NotFound { .. }) if object.starts_with(keys::HISTORY_PREFIX) => {
                    return Err(DataFusionError::Execution(format!(
                        "read `{object}`: expected the kept edition, found none; restore it from a backup"
                    )));
                }
                Err(Error::NotFound { .. }) if !partition.values.is_empty() => missing.push(object.clone()),
                Err(Error::NotFound { .. }) => {
                    return Err(DataFusionError::Execution(format!(
                        "read `{object}`: expected the object that the catalog names, found none; `{}` rewrites it",
                        self.offers.repair_lookups()
                    )));
                }
                Err(error) => {
                    return Err(DataFusionError::Execution(format!(
                        "read `{object}`: expected the object that the catalog names, found another: {error}"
                    )));
                }
            }
        }
        self.warn_missing(missing);
        Ok(files)
    }

    /// Warns once about each object that the catalog names but the lake lacks.
    fn warn_missing(&self, mut missing: Vec<String>) {
        let mut reported = self.reported_missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.retain(|object| reported.insert(object.clone()));
        if let [first, ..] = missing.as_slice() {
            output::print_message(&format!(
                "warning: the query skips {} that the catalog names but the lake lacks, such as `{}`\n\
                 hint: {}",
                words::counted(missing.len() as u64, "object"),
                escape::visible(first),
                self.offers.on_missing_objects(&self.database, &self.table)
            ));
        }
    }
}

/// Returns the URL under which the engine finds the files of the lake.
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

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| match implied_axis_filter(&self.schema, filter) {
                Some(_) if depends_only_on_axes(&self.schema, filter) => TableProviderFilterPushDown::Exact,
                Some(_) => TableProviderFilterPushDown::Inexact,
                None => TableProviderFilterPushDown::Unsupported,
            })
            .collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // The optimizer itself pushes down filters on columns, to skip parts of files based on their statistics.
        let matching = self.matching(state, filters)?;
        if matching.is_empty() && self.partitions.as_ref().is_ok_and(|partitions| !partitions.is_empty()) {
            self.note_no_match(filters);
        }
        let files = self.files(&matching).await?;
        let columns = self.schema.file_schema().fields().clone();
        let read = match projection {
            Some(read) => read.iter().filter_map(|i| columns.get(*i).cloned()).collect(),
            None => columns.to_vec(),
        };
        let axes = self.schema.table_partition_cols().to_vec();
        let (database, table, offers) = (self.database.clone(), self.table.clone(), self.offers.clone());
        let expected = ExpectedFile { database, table, axes, columns, read, offers };
        let checked = Arc::new(CheckedFiles::new(self.lake.clone(), expected));
        let source = Arc::new(ParquetSource::new(self.schema.clone()).with_parquet_file_reader_factory(checked));
        // Each group contains adjacent partitions, in catalog order.
        let group_size = files.len().div_ceil(state.config().target_partitions().max(1)).max(1);
        let mut groups: Vec<FileGroup> = files.chunks(group_size).map(|files| FileGroup::new(files.to_vec())).collect();
        if groups.is_empty() {
            groups.push(FileGroup::default());
        }
        let config = FileScanConfigBuilder::new(lake_url()?, source)
            .with_file_groups(groups)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::SessionContext;
    use rollcall_adapters::file_catalog::{CatalogColumn, RegisteredPartition};
    use rollcall_core::partition::{AxisValue, PartitionKey};

    /// Returns a table with thirty years of thirteen grades each, without files.
    fn table() -> LakeTable {
        let column = |name: &str, kind: &str| CatalogColumn {
            name: name.to_owned(),
            kind: kind.to_owned(),
            comment: String::new(),
        };
        let partitions = (1992..2022).flat_map(|year| {
            (1..=13).map(move |grade| {
                let partition = PartitionKey::new(vec![
                    ("year".to_owned(), AxisValue::Int(year)),
                    ("grade".to_owned(), AxisValue::Text(format!("grade-{grade}"))),
                ]);
                RegisteredPartition { location: format!("data/t/{partition}/"), partition, n_rows: 1, columns: None }
            })
        });
        let table = CatalogTable {
            database: "d".to_owned(),
            table: "t".to_owned(),
            comment: String::new(),
            location: "data/t/".to_owned(),
            columns: vec![column("enrollment", "int")],
            partition_keys: vec![column("year", "int"), column("grade", "string")],
            view: None,
            partitions: partitions.collect(),
        };
        let folder = std::env::temp_dir();
        let offers = Arc::new(Offers::new(&folder, None, false));
        LakeTable::new(&table, Arc::new(PinnedFolder::new(&folder).unwrap()), offers)
    }

    /// Found by use: B3.
    #[test]
    fn a_condition_on_axes_selects_the_partitions_for_which_it_is_true() {
        use TableProviderFilterPushDown::{Exact, Inexact, Unsupported};
        let table = table();
        let state = SessionContext::new().state();
        let columns = DFSchema::try_from(table.schema()).unwrap();
        for (condition, n_expected, pushdown) in [
            ("year = 2021", 13, Exact),
            ("year = 2021 and grade = 'grade-3'", 1, Exact),
            ("year in (2020, 2021, 2099)", 26, Exact),
            ("year not in (2020, 2021)", 364, Exact),
            ("year between 2019 and 2021", 39, Exact),
            ("year = 2020 or grade = 'grade-1'", 42, Exact),
            ("not (year < 2021)", 13, Exact),
            ("year % 2 = 0", 195, Exact),
            ("cast(year as bigint) * 2 = 4042", 13, Exact),
            ("cast(year as varchar) = '2021'", 13, Exact),
            ("grade like 'grade-1%'", 150, Exact),
            ("grade not like 'grade-1%'", 240, Exact),
            ("year is null", 0, Exact),
            ("year is not null", 390, Exact),
            ("year = null", 0, Exact),
            ("case when year = 2021 then grade = 'grade-2' else false end", 1, Exact),
            ("year > 2019.5", 26, Exact),
            ("year = 2021 and enrollment > 5", 13, Inexact),
            ("(year = 2021 and enrollment > 5) or (year = 2020 and grade = 'grade-1')", 14, Inexact),
            ("year = 2021 or enrollment > 5", 390, Unsupported),
            ("year = enrollment", 390, Unsupported),
            ("enrollment > 5", 390, Unsupported),
            ("year = 2000 + random() * 20", 390, Unsupported),
        ] {
            let filter = state.create_logical_expr(condition, &columns).unwrap();
            assert_eq!(table.supports_filters_pushdown(&[&filter]).unwrap(), [pushdown], "{condition}");
            assert_eq!(table.matching(&state, &[filter]).unwrap().len(), n_expected, "{condition}");
        }
    }

    #[test]
    fn an_earlier_condition_guards_a_later_one() {
        let table = table();
        let state = SessionContext::new().state();
        let columns = DFSchema::try_from(table.schema()).unwrap();
        let [guard, division] =
            ["year <> 2000", "1 / (year - 2000) = 1"].map(|sql| state.create_logical_expr(sql, &columns).unwrap());
        let matching = table.matching(&state, &[guard, division.clone()]).unwrap();
        assert!(matching.iter().all(|partition| partition.object.contains("year=2001")) && matching.len() == 13);
        assert!(table.matching(&state, &[division]).is_err());
    }
}
