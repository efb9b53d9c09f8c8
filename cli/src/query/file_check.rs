//! Checks the footer of a file before a query reads its rows: the file's partition, and the columns that the query reads.
//!
//! A file has the columns of the descriptor that it was written with. Without this check the engine would cast them to the
//! current columns of the table, such as `1.5` to `1`, and would read a renamed column as nulls.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef, Fields};
use datafusion::parquet::arrow::parquet_to_arrow_schema;
use datafusion::parquet::file::metadata::ParquetMetaData;
use rollcall_core::file::PARTITION_KEY;
use rollcall_core::keys;
use rollcall_core::text::excerpt;

use crate::escape::visible;
use crate::query::offers::Offers;

/// The error for a file whose partition or columns do not match its table.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct MismatchedFile(String);

/// The contents that a scan expects of its files.
#[derive(Debug)]
pub(crate) struct ExpectedFile {
    pub(crate) database: String,
    pub(crate) table: String,
    pub(crate) axes: Vec<FieldRef>,
    /// Columns of the table, without its axes.
    pub(crate) columns: Fields,
    /// The columns that the query reads.
    pub(crate) read: Vec<FieldRef>,
    /// Knows what to do about a file with other contents.
    pub(crate) offers: Arc<Offers>,
}

impl ExpectedFile {
    /// Checks the footer of a file.
    ///
    /// - `object`: key of the file.
    /// - `partition`: the partition that the catalog registers the file as, such as `year=2021/grade=grade-pk`; empty
    ///   for a lookup table.
    pub(super) fn check(
        &self,
        metadata: &ParquetMetaData,
        object: &str,
        partition: &str,
    ) -> Result<(), MismatchedFile> {
        let file = metadata.file_metadata();
        let entry = file.key_value_metadata().and_then(|all| all.iter().find(|entry| entry.key == PARTITION_KEY));
        let found = entry.and_then(|entry| entry.value.as_deref());
        // The file of a kept edition names its partition without the edition.
        let is_other = |found: &str| {
            partition.strip_prefix(found).is_none_or(|rest| !rest.is_empty() && !rest.starts_with("/edition="))
        };
        if let Some(found) = found.filter(|found| is_other(found)) {
            return Err(MismatchedFile(format!(
                "read `{object}`: expected rows of `{}`, found rows of `{}`\n\
                 hint: remove it from the catalog: {}",
                visible(partition),
                excerpt(found),
                self.offers.repair(&self.database, &self.table)
            )));
        }
        // Reads the columns from the Parquet schema, and ignores an Arrow schema that another writer may have added.
        let found = parquet_to_arrow_schema(file.schema_descr(), None).map_err(|error| {
            MismatchedFile(format!("read `{object}`: expected columns of the table, found an invalid schema: {error}"))
        })?;
        for column in &self.read {
            let mismatched = |found: &str| {
                let (owner, hint) = match partition.is_empty() {
                    true => (self.table.as_str(), format!("rewrite it: {}", self.offers.repair_lookups())),
                    false if self.offers.is_past || object.starts_with(keys::HISTORY_PREFIX) => {
                        (&*visible(partition), "a kept edition is as it was: leave out the column".to_owned())
                    }
                    false => {
                        let hint = format!("rewrite it: {}", self.offers.refresh(&self.database, &self.table));
                        (&*visible(partition), hint)
                    }
                };
                MismatchedFile(format!(
                    "read column `{}` of `{owner}`: expected {} as in table `{}.{}`, found {found}\n\
                     hint: {hint}",
                    column.name(),
                    kind(column.data_type()),
                    self.database,
                    self.table
                ))
            };
            match found.field_with_name(column.name()) {
                Ok(field) if is_exact(field.data_type(), column.data_type()) => {}
                Ok(field) => return Err(mismatched(&kind(field.data_type()))),
                Err(_) => {
                    // A column that was added later is null in older files. A file with columns that the table lacks may
                    // have it under an old name.
                    let others = found.fields().iter().filter(|field| self.columns.find(field.name()).is_none());
                    let others: Vec<String> = others.map(|field| format!("`{}`", excerpt(field.name()))).collect();
                    if !others.is_empty() {
                        let others = others.join(", ");
                        return Err(mismatched(&format!("no such column; it may be under an old name: {others}")));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Checks whether the table's type can represent every value of the file's type.
fn is_exact(found: &DataType, expected: &DataType) -> bool {
    found == expected || matches!((found, expected), (DataType::Int32, DataType::Int64 | DataType::Float64))
}

/// Returns a type as descriptors and the catalog write it.
fn kind(data_type: &DataType) -> String {
    match data_type {
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Utf8 => "string".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::query::engine::LakeQuery;
    use crate::rows::RowFormat;
    use crate::rows::printed::Collected;
    use datafusion::arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
    use datafusion::parquet::arrow::ArrowWriter;
    use datafusion::parquet::file::metadata::KeyValue;
    use rollcall_adapters::folder::FolderStore;
    use rollcall_core::keys;
    use serde_json::{Value, json};

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

    /// Writes the file for a year, with `partition` in its footer.
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

    /// Writes the catalog entry for a table with two years.
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
        let store = FolderStore::new(lake);
        let rows = LakeQuery::new(&store, sql).run(|schema| Collected::new(RowFormat::Json, schema)).await;
        rows.map(|rows| serde_json::from_str(&rows.finish().unwrap()).unwrap())
            .map_err(|error| error.to_string().replace(&*lake.to_string_lossy(), "LAKE"))
    }

    /// Returns the values of `column` in both years. The file for 2020 has the columns `old`, the one for 2021 the
    /// columns `new`.
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
        // Queries that read neither the column nor the old file succeed.
        assert_eq!(query(lake, "select count(*) as n from d.t").await.unwrap(), json!([{"n": 4}]));
        assert_eq!(query(lake, "select sum(id) as s from d.t").await.unwrap(), json!([{"s": 6}]));
        query(lake, "select * from d.t where year = 2021").await.unwrap();
        let rows = query(lake, &format!("select {column} as v from d.t order by year, id")).await?;
        // A condition on the column selects the rows that its values imply.
        let condition = format!("select count(*) as n from d.t where {column} is not null");
        let n_values = rows.as_array().unwrap().iter().filter(|row| !row["v"].is_null()).count();
        assert_eq!(query(lake, &condition).await?, json!([{"n": n_values}]));
        Ok(rows.as_array().unwrap().iter().map(|row| row["v"].clone()).collect())
    }

    /// Found by use: H8.
    #[tokio::test]
    async fn a_file_with_another_schema_is_read_exactly_or_rejected_by_partition_and_column() {
        let id = || ("id", ints([1, 2]));
        let table = |kind| [("id", "int"), ("x", kind)];
        let typed = |expected: &str, found: &str| {
            Err(format!(
                "run query: read column `x` of `year=2020`: expected {expected} as in table `d.t`, found {found}\n\
                 hint: rewrite it: rollcall run --mode stale --dataset FILE.toml --lake LAKE"
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
        assert_eq!(renamed, typed("int", "no such column; it may be under an old name: `was`"));
    }

    /// Found by use: H4.
    #[tokio::test]
    async fn f8_a_query_rejects_a_file_under_the_path_of_another_partition() {
        let folder = tempfile::tempdir().unwrap();
        let lake = folder.path();
        write_catalog(lake, &[("id", "int")]);
        write_file(lake, 2020, vec![("id", ints([1, 2]))], Some("year=2021"));
        write_file(lake, 2021, vec![("id", ints([3, 4]))], Some("year=2021"));
        for sql in ["select count(*) as n from d.t", "select id from d.t where id = 1", "select distinct year from d.t"]
        {
            assert_eq!(
                query(lake, sql).await.unwrap_err(),
                "run query: read `data/t/year=2020/part-00000.parquet`: expected rows of `year=2020`, found rows of \
                 `year=2021`\nhint: remove it from the catalog: rollcall repair --dataset FILE.toml --lake LAKE"
            );
        }
        let of_2021 = query(lake, "select sum(id) as s from d.t where year = 2021").await;
        assert_eq!(of_2021.unwrap(), json!([{"s": 7}]));
        // Older versions of rollcall did not write the partition into the footer.
        write_file(lake, 2020, vec![("id", ints([1, 2]))], None);
        assert_eq!(query(lake, "select sum(id) as s from d.t").await.unwrap(), json!([{"s": 10}]));
    }
}
