//! What a file's footer must say before its rows are served: its partition, and the columns that a query reads.
//!
//! A file's columns are those of the descriptor that it was written by. The engine would cast them to the table's as
//! they are now, `1.5` to `1`, and take a column that was renamed for one of nulls.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::datatypes::{DataType, FieldRef, Fields};
use datafusion::common::Result;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::DefaultParquetFileReaderFactory;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::arrow::parquet_to_arrow_schema;
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use rollcall_core::dataset::Dataset;
use rollcall_core::file::PARTITION_KEY;
use rollcall_core::request::DEFAULT_DATASET;
use rollcall_core::text::excerpt;

use crate::escape::visible;
use crate::query::pinned_folder::PinnedFolder;

/// A file whose rows would not be the table's.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(String);

/// What a scan expects of its files.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) database: String,
    pub(crate) table: String,
    pub(crate) axes: Vec<FieldRef>,
    /// Columns of the table but its axes.
    pub(crate) columns: Fields,
    /// Those of them that the query reads.
    pub(crate) read: Vec<FieldRef>,
}

impl Expected {
    /// - `object`: the file's key.
    /// - `partition`: the Hive path that the catalog registers it by; empty for a look-up table.
    fn check(&self, metadata: &ParquetMetaData, object: &str, partition: &str) -> std::result::Result<(), Refused> {
        let file = metadata.file_metadata();
        let entry = file.key_value_metadata().and_then(|all| all.iter().find(|entry| entry.key == PARTITION_KEY));
        if let Some(found) = entry.and_then(|entry| entry.value.as_deref()).filter(|found| *found != partition) {
            return Err(Refused(format!(
                "read `{object}`: expected rows of `{}`, found those of `{}`\n\
                 hint: take it out of the catalog: rollcall repair{}",
                visible(partition),
                excerpt(found),
                self.dataset_flag()
            )));
        }
        // The columns as Parquet has them; a schema of another writer's beside them changes nothing.
        let found = parquet_to_arrow_schema(file.schema_descr(), None).map_err(|error| {
            Refused(format!("read `{object}`: expected columns of the table, found others: {error}"))
        })?;
        for column in &self.read {
            let refused = |expected: &str, found: &str| {
                let (whose, hint) = match partition.is_empty() {
                    true => (self.table.as_str(), "rollcall repair".to_owned()),
                    false => (&*visible(partition), format!("rollcall run --mode stale{}", self.dataset_flag())),
                };
                let name = column.name();
                let table = format!("`{}.{}`", self.database, self.table);
                Refused(format!(
                    "read column `{name}` of `{whose}`: expected {expected} as {table} has it, found {found}\n\
                     hint: rewrite it: {hint}"
                ))
            };
            match found.field_with_name(column.name()) {
                Ok(field) if is_exact(field.data_type(), column.data_type()) => {}
                Ok(field) => return Err(refused(&kind(column.data_type()), &kind(field.data_type()))),
                Err(_) => {
                    // A column that was added later is null in older files, unless it is one of theirs by another name.
                    let others = found.fields().iter().filter(|field| self.columns.find(field.name()).is_none());
                    let others: Vec<String> = others.map(|field| format!("`{}`", excerpt(field.name()))).collect();
                    if !others.is_empty() {
                        let others = others.join(", ");
                        return Err(refused("it", &format!("none, but {others}, which may be its former name")));
                    }
                }
            }
        }
        Ok(())
    }

    /// The flag that names the dataset to `rollcall run`; none for the default.
    fn dataset_flag(&self) -> String {
        let is_ours = |dataset: &Dataset| dataset.database == self.database && dataset.table == self.table;
        let built_in = Dataset::built_in_names().into_iter().filter_map(|name| Dataset::built_in(name).ok());
        match built_in.into_iter().find(is_ours) {
            Some(dataset) if dataset.name == DEFAULT_DATASET => String::new(),
            Some(dataset) => format!(" --dataset {}", dataset.name),
            None => " --dataset FILE.toml".to_owned(),
        }
    }
}

/// Whether every value of a file's type is the same value of the table's.
fn is_exact(found: &DataType, expected: &DataType) -> bool {
    found == expected || matches!((found, expected), (DataType::Int32, DataType::Int64 | DataType::Float64))
}

/// A type in the words of descriptors and of the catalog.
fn kind(data_type: &DataType) -> String {
    match data_type {
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Utf8 => "string".to_owned(),
        other => other.to_string(),
    }
}

/// Opens files of which the footers are as expected.
#[derive(Debug)]
pub(crate) struct CheckedFiles {
    files: DefaultParquetFileReaderFactory,
    expected: Arc<Expected>,
}

impl CheckedFiles {
    /// Files of `lake`.
    pub(crate) fn new(lake: Arc<PinnedFolder>, expected: Expected) -> Self {
        Self { files: DefaultParquetFileReaderFactory::new(lake), expected: Arc::new(expected) }
    }
}

impl ParquetFileReaderFactory for CheckedFiles {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let axes = self.expected.axes.iter().zip(&file.partition_values);
        let axes: Vec<String> = axes.map(|(axis, value)| format!("{}={value}", axis.name())).collect();
        Ok(Box::new(CheckedFile {
            object: file.object_meta.location.to_string(),
            partition: axes.join("/"),
            expected: self.expected.clone(),
            file: self.files.create_reader(partition_index, file, metadata_size_hint, metrics)?,
        }))
    }
}

struct CheckedFile {
    object: String,
    partition: String,
    expected: Arc<Expected>,
    file: Box<dyn AsyncFileReader + Send>,
}

impl AsyncFileReader for CheckedFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.file.get_bytes(range)
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        self.file.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            let metadata = self.file.get_metadata(options).await?;
            self.expected
                .check(&metadata, &self.object, &self.partition)
                .map_err(|refused| ParquetError::External(refused.into()))?;
            Ok(metadata)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{QueryFormat, result};
    use datafusion::arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
    use datafusion::parquet::arrow::ArrowWriter;
    use datafusion::parquet::file::metadata::KeyValue;
    use rollcall_adapters::file_catalog::FileCatalog;
    use rollcall_adapters::folder::FolderStore;
    use rollcall_core::keys;
    use serde_json::{Value, json};
    use std::path::Path;

    const YEARS: [i32; 2] = [2020, 2021];

    fn ints(values: [i32; 2]) -> ArrayRef {
        Arc::new(Int32Array::from(values.to_vec()))
    }

    fn bigints(values: [i64; 2]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    fn doubles(values: [f64; 2]) -> ArrayRef {
        Arc::new(Float64Array::from(values.to_vec()))
    }

    fn strings(values: [&str; 2]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    /// Writes the file of a year; `partition` into its footer.
    fn write_file(lake: &Path, year: i32, columns: Vec<(&str, ArrayRef)>, partition: Option<&str>) {
        let folder = lake.join(format!("data/t/year={year}"));
        std::fs::create_dir_all(&folder).unwrap();
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, v)| (n, v, true))).unwrap();
        let file = std::fs::File::create(folder.join(keys::OBJECT)).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        if let Some(partition) = partition {
            writer.append_key_value_metadata(KeyValue::new(PARTITION_KEY.to_owned(), partition.to_owned()));
        }
        writer.close().unwrap();
    }

    /// Writes the catalog of a table of two years.
    fn write_catalog(lake: &Path, columns: &[(&str, &str)]) {
        let column = |(name, kind): (&str, &str)| json!({"name": name, "type": kind, "comment": ""});
        let registered =
            |year| json!({"partition": {"year": year}, "location": format!("data/t/year={year}/"), "n_rows": 2});
        let table = json!({
            "database": "d",
            "table": "t",
            "comment": "",
            "location": "data/t/",
            "columns": columns.iter().copied().map(column).collect::<Vec<_>>(),
            "partition_keys": [column(("year", "int"))],
            "partitions": YEARS.map(registered),
        });
        std::fs::create_dir_all(lake.join("catalog/d")).unwrap();
        std::fs::write(lake.join("catalog/d/t.json"), table.to_string()).unwrap();
    }

    async fn query(lake: &Path, sql: &str) -> std::result::Result<Value, String> {
        let catalog = FileCatalog::new(FolderStore::new(lake));
        let found = result(&catalog, lake, sql, QueryFormat::Json).await;
        found.map(|text| serde_json::from_str(&text).unwrap()).map_err(|error| error.to_string())
    }

    /// The values of `column` in both years; the old file has `old`, the new one `new` and the table's columns.
    async fn read_both(
        old: Vec<(&str, ArrayRef)>,
        new: Vec<(&str, ArrayRef)>,
        columns: &[(&str, &str)],
        column: &str,
    ) -> std::result::Result<Vec<Value>, String> {
        let folder = tempfile::tempdir().unwrap();
        let lake = folder.path();
        write_file(lake, 2020, old, None);
        write_file(lake, 2021, new, None);
        write_catalog(lake, columns);
        // What does not read the column, or not the old file, is answered.
        assert_eq!(query(lake, "select count(*) as n from d.t").await.unwrap(), json!([{"n": 4}]));
        assert_eq!(query(lake, "select sum(id) as s from d.t").await.unwrap(), json!([{"s": 6}]));
        query(lake, "select * from d.t where year = 2021").await.unwrap();
        let rows = query(lake, &format!("select {column} as v from d.t order by year, id")).await?;
        // A condition on it says the same as its values do.
        let condition = format!("select count(*) as n from d.t where {column} is not null");
        let n_values = rows.as_array().unwrap().iter().filter(|row| !row["v"].is_null()).count();
        assert_eq!(query(lake, &condition).await?, json!([{"n": n_values}]));
        Ok(rows.as_array().unwrap().iter().map(|row| row["v"].clone()).collect())
    }

    /// Found by use: H8.
    #[tokio::test]
    async fn a_file_of_another_schema_is_read_exactly_or_refused_by_partition_and_column() {
        let id = || ("id", ints([1, 2]));
        let table = |kind| [("id", "int"), ("x", kind)];
        let typed = |expected: &str, found: &str| {
            Err(format!(
                "run query: read column `x` of `year=2020`: expected {expected} as `d.t` has it, found {found}\n\
                 hint: rewrite it: rollcall run --mode stale --dataset FILE.toml"
            ))
        };
        let changed = async |old: ArrayRef, new: ArrayRef, kind| {
            read_both(vec![id(), ("x", old)], vec![id(), ("x", new)], &table(kind), "x").await
        };
        let values = |values: [Value; 4]| Ok(values.to_vec());

        let max = i64::from(i32::MAX);
        let found = changed(ints([i32::MAX, 4]), bigints([1 << 60, 6]), "bigint").await;
        assert_eq!(found, values([json!(max), json!(4), json!(1_i64 << 60), json!(6)]));
        let found = changed(ints([i32::MAX, 4]), doubles([1.25, 6.0]), "double").await;
        assert_eq!(found, values([json!(max as f64), json!(4.0), json!(1.25), json!(6.0)]));
        assert_eq!(changed(ints([3, 4]), strings(["05", "x"]), "string").await, typed("string", "int"));
        assert_eq!(changed(doubles([1.5, 2.0]), ints([3, 4]), "int").await, typed("int", "double"));
        assert_eq!(changed(bigints([1, 2]), ints([3, 4]), "int").await, typed("int", "bigint"));
        assert_eq!(
            changed(bigints([(1 << 53) + 1, 2]), doubles([3.5, 4.0]), "double").await,
            typed("double", "bigint")
        );
        assert_eq!(changed(doubles([1.5, 2.0]), strings(["a", "b"]), "string").await, typed("string", "double"));
        assert_eq!(changed(strings(["1", "2"]), ints([3, 4]), "int").await, typed("int", "string"));

        let added = read_both(vec![id()], vec![id(), ("x", ints([3, 4]))], &table("int"), "x").await;
        assert_eq!(added, values([Value::Null, Value::Null, json!(3), json!(4)]));
        let removed = read_both(vec![id(), ("x", ints([3, 4]))], vec![id()], &[("id", "int")], "id").await;
        assert_eq!(removed, values([json!(1), json!(2), json!(1), json!(2)]));
        let (old, new) = (vec![id(), ("x", ints([3, 4]))], vec![("x", ints([5, 6])), id()]);
        let reordered = read_both(old, new, &[("x", "int"), ("id", "int")], "x").await;
        assert_eq!(reordered, values([json!(3), json!(4), json!(5), json!(6)]));
        let (old, new) = (vec![id(), ("was", ints([3, 4]))], vec![id(), ("x", ints([5, 6]))]);
        let renamed = read_both(old, new, &table("int"), "x").await;
        assert_eq!(renamed, typed("it", "none, but `was`, which may be its former name"));
    }

    /// Found by use: H4.
    #[tokio::test]
    async fn f8_a_file_under_another_partitions_path_is_not_served() {
        let folder = tempfile::tempdir().unwrap();
        let lake = folder.path();
        write_catalog(lake, &[("id", "int")]);
        write_file(lake, 2020, vec![("id", ints([1, 2]))], Some("year=2021"));
        write_file(lake, 2021, vec![("id", ints([3, 4]))], Some("year=2021"));
        for sql in ["select count(*) as n from d.t", "select id from d.t where id = 1", "select distinct year from d.t"]
        {
            assert_eq!(
                query(lake, sql).await.unwrap_err(),
                "run query: read `data/t/year=2020/part-00000.parquet`: expected rows of `year=2020`, found those of \
                 `year=2021`\nhint: take it out of the catalog: rollcall repair --dataset FILE.toml"
            );
        }
        let of_2021 = query(lake, "select sum(id) as s from d.t where year = 2021").await;
        assert_eq!(of_2021.unwrap(), json!([{"s": 7}]));
        // A file of an older program does not say which partition it is of.
        write_file(lake, 2020, vec![("id", ints([1, 2]))], None);
        assert_eq!(query(lake, "select sum(id) as s from d.t").await.unwrap(), json!([{"s": 10}]));
    }
}
