//! Look-up tables of the portal's codes: states, grades, races, sexes. Small, without partitions, built in.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use arrow_array::{ArrayRef, Int32Array, RecordBatch, StringArray};

use crate::dataset::registry::{LOOKUPS, lookup_table};
use crate::dataset::{Axis, Column, ColumnKind, Dataset};
use crate::error::Error;
use crate::file::columns::RESCUED;
use crate::file::writer::{Encoded, TableWriter};
use crate::keys;
use crate::ports::catalog::TableSpec;

/// Database of the look-up tables.
const DATABASE: &str = "ccd_school";

/// One look-up table.
#[derive(Debug, Clone)]
pub struct Lookup {
    dataset: Dataset,
    rows: Vec<csv::StringRecord>,
}

impl Lookup {
    /// Every look-up table built in.
    ///
    /// # Errors
    /// [`Error::InvalidDescriptor`] when a file is no table of codes; a test reads them all.
    pub fn built_in() -> Result<Vec<Self>, Error> {
        LOOKUPS.iter().map(|(stem, text)| Self::parse(&lookup_table(stem), text)).collect()
    }

    /// Every look-up table built in with its file, made once a process: publishing asks each time and seldom writes.
    ///
    /// # Errors
    /// Those of [`Lookup::built_in`] and [`Lookup::encode`].
    pub(crate) fn built_in_encoded() -> Result<&'static [(Self, Encoded)], Error> {
        static MADE: OnceLock<Vec<(Lookup, Encoded)>> = OnceLock::new();
        if let Some(made) = MADE.get() {
            return Ok(made);
        }
        let encoded = Self::built_in()?.into_iter().map(|lookup| lookup.encode().map(|encoded| (lookup, encoded)));
        let made = encoded.collect::<Result<Vec<_>, Error>>()?;
        Ok(MADE.get_or_init(|| made))
    }

    /// Reads a table from CSV: `#` comments, the first of which is the table's, a header `code,label,…`, then rows; empty
    /// is null.
    fn parse(table: &str, text: &str) -> Result<Self, Error> {
        let invalid =
            |mistake: String| Error::InvalidDescriptor { file: format!("{table}.csv"), mistakes: vec![mistake] };
        let comment = text.lines().next().and_then(|line| line.strip_prefix("# ")).unwrap_or_default();
        let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(text.as_bytes());
        let header = reader.headers().map_err(|error| invalid(error.to_string()))?.clone();
        let rows = reader.records().collect::<Result<Vec<_>, _>>().map_err(|error| invalid(error.to_string()))?;
        if header.get(0) != Some("code") {
            return Err(invalid("expected `code` as the first column".to_owned()));
        }
        if let Some(row) = rows.iter().find(|row| row.get(0).and_then(|code| code.parse::<i32>().ok()).is_none()) {
            return Err(invalid(format!("expected numbers in `code`, found `{}`", row.get(0).unwrap_or_default())));
        }
        let columns = header
            .iter()
            .map(|name| Column {
                name: name.to_owned(),
                kind: if name == "code" { ColumnKind::Int } else { ColumnKind::String },
                width: None,
                starts_with: BTreeMap::new(),
                dictionary: true,
                comment: String::new(),
            })
            .collect();
        let dataset = Dataset {
            name: table.to_owned(),
            title: comment.to_owned(),
            attribution: "Education Data Portal, Urban Institute, under ODC-By 1.0".to_owned(),
            path: String::new(),
            database: DATABASE.to_owned(),
            table: table.to_owned(),
            comment: comment.to_owned(),
            key: vec!["code".to_owned()],
            secret: None,
            axes: Vec::<Axis>::new(),
            columns,
        };
        Ok(Self { dataset, rows })
    }

    /// Name of the table.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.dataset.table
    }

    /// Code and label of every row, in file order.
    pub fn labels(&self) -> impl Iterator<Item = (i32, &str)> {
        self.rows.iter().filter_map(|row| Some((row.get(0)?.parse().ok()?, row.get(1)?)))
    }

    /// The value of a further column for a code; `None` when it is empty.
    #[must_use]
    pub fn value(&self, code: i32, column: &str) -> Option<&str> {
        let column = self.dataset.columns.iter().position(|declared| declared.name == column)?;
        let row = self.rows.iter().find(|row| row.get(0).and_then(|text| text.parse().ok()) == Some(code))?;
        row.get(column).filter(|text| !text.is_empty())
    }

    /// The table as the catalog should hold it. Files hold the columns declared and no `_rescued`.
    #[must_use]
    pub fn table_spec(&self) -> TableSpec {
        let mut spec = self.dataset.table_spec();
        spec.columns.retain(|(name, _, _)| name != RESCUED);
        spec
    }

    /// Key of the table's object.
    #[must_use]
    pub fn object(&self) -> String {
        keys::lookup_object(&self.dataset.table)
    }

    /// The table's Parquet file.
    ///
    /// # Errors
    /// [`Error::EncodeFailed`].
    pub fn encode(&self) -> Result<Encoded, Error> {
        let failed = |source| Error::EncodeFailed { object: self.dataset.table.clone(), source };
        let columns = self.dataset.columns.iter().enumerate().map(|(i, column)| -> ArrayRef {
            let values = self.rows.iter().map(|row| row.get(i).filter(|text| !text.is_empty()));
            match column.kind {
                ColumnKind::Int => Arc::new(Int32Array::from_iter(values.map(|text| text?.parse::<i32>().ok()))),
                _ => Arc::new(StringArray::from_iter(values)),
            }
        });
        let schema = self.dataset.plain_schema();
        let batch = RecordBatch::try_new(schema.clone(), columns.collect()).map_err(|error| failed(error.into()))?;
        let mut writer =
            TableWriter::with_schema(&self.dataset, schema, None, self.rows.len() as u64).map_err(failed)?;
        writer.append(batch, true).map_err(failed)?;
        writer.finish().map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grades_of_the_look_up_and_of_the_descriptors_are_the_same() {
        let lookups = Lookup::built_in().unwrap();
        let grades = lookups.iter().find(|lookup| lookup.table() == "lookup_grades").unwrap();
        for name in Dataset::built_in_names() {
            let dataset = Dataset::built_in(name).unwrap();
            for axis in dataset.axes.iter().filter(|axis| axis.name == "grade") {
                let listed: Vec<_> = grades
                    .labels()
                    .filter_map(|(code, _)| Some((grades.value(code, "grade")?.to_owned(), i64::from(code))))
                    .collect();
                let declared: Vec<_> = axis.values.iter().map(|coded| (coded.value.clone(), coded.code)).collect();
                assert_eq!(listed, declared, "{name}");
            }
        }
    }

    #[test]
    fn every_look_up_encodes_and_is_the_same_each_time() {
        for lookup in Lookup::built_in().unwrap() {
            let encoded = lookup.encode().unwrap();
            assert_eq!(encoded.n_rows as usize, lookup.rows.len());
            assert_eq!(encoded.bytes, lookup.encode().unwrap().bytes);
        }
    }
}
