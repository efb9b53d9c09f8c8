//! Built-in lookup tables for the portal's codes: states, grades, races, sexes, and all lists of codes. They have no
//! partitions.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, OnceLock};

use arrow_array::{ArrayRef, Int32Array, RecordBatch, StringArray};

use crate::dataset::registry::{LOOKUPS, lookup_table};
use crate::dataset::{Axis, Column, ColumnKind, Dataset, RepeatedKeys};
use crate::error::Error;
use crate::file::columns::RESCUED;
use crate::file::writer::{Encoded, TableWriter};
use crate::keys;
use crate::ports::catalog::TableSpec;

/// Database of the lookup tables.
pub const DATABASE: &str = "ccd_school";

/// Database of the generated datasets. One for all, so that queries can join them without naming databases, and the stack
/// on AWS knows it beforehand.
pub const GENERATED_DATABASE: &str = "education";

/// The column with the codes.
const CODE: &str = "code";

/// The column with the names of the lists, in the table that has all of them.
const LIST: &str = "list";

/// A lookup table.
#[derive(Debug, Clone)]
pub struct Lookup {
    dataset: Dataset,
    rows: Vec<csv::StringRecord>,
}

/// A state or another jurisdiction.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct State {
    /// FIPS code.
    pub code: i64,
    /// Name.
    pub label: String,
    /// Abbreviation of the Postal Service; empty if there is none.
    pub abbreviation: String,
}

/// The built-in table of states.
pub static STATES: LazyLock<Vec<State>> = LazyLock::new(|| {
    let text = LOOKUPS.iter().find(|(stem, _)| *stem == "states").map_or("", |(_, text)| *text);
    let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(text.as_bytes());
    reader.deserialize().flatten().collect()
});

/// Returns the code that a state has today: 72 for 43, an older code of Puerto Rico.
#[must_use]
pub fn current_state(code: i64) -> i64 {
    let Some(known) = STATES.iter().find(|state| state.code == code && state.abbreviation.is_empty()) else {
        return code;
    };
    let is_same = |state: &&State| state.label == known.label && !state.abbreviation.is_empty();
    STATES.iter().find(is_same).map_or(code, |state| state.code)
}

impl Lookup {
    /// Returns every built-in lookup table.
    ///
    /// # Errors
    /// [`Error::InvalidDescriptor`] if a file is not a code table. A test parses every file.
    pub fn built_in() -> Result<Vec<Self>, Error> {
        LOOKUPS.iter().map(|(stem, text)| Self::parse(&lookup_table(stem), text)).collect()
    }

    /// Returns every built-in lookup table with its encoded file.
    ///
    /// The files are encoded once per process: each publication compares them, but they seldom need to be written.
    ///
    /// # Errors
    /// Same as [`Lookup::built_in`] and [`Lookup::encode`].
    pub(crate) fn built_in_encoded() -> Result<&'static [(Self, Encoded)], Error> {
        static ENCODED: OnceLock<Vec<(Lookup, Encoded)>> = OnceLock::new();
        if let Some(encoded) = ENCODED.get() {
            return Ok(encoded);
        }
        let encoded = Self::built_in()?.into_iter().map(|lookup| lookup.encode().map(|encoded| (lookup, encoded)));
        let encoded = encoded.collect::<Result<Vec<_>, Error>>()?;
        Ok(ENCODED.get_or_init(|| encoded))
    }

    /// Parses a table from CSV: `#` comments, a header `code,label,…` or `list,code,label`, then rows. The first comment
    /// describes the table. An empty field is null.
    fn parse(table: &str, text: &str) -> Result<Self, Error> {
        let invalid =
            |mistake: String| Error::InvalidDescriptor { file: format!("{table}.csv"), mistakes: vec![mistake] };
        let comment = text.lines().next().and_then(|line| line.strip_prefix("# ")).unwrap_or_default();
        let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(text.as_bytes());
        let header = reader.headers().map_err(|error| invalid(error.to_string()))?.clone();
        let rows = reader.records().collect::<Result<Vec<_>, _>>().map_err(|error| invalid(error.to_string()))?;
        let n_before = usize::from(header.get(0) == Some(LIST));
        if header.get(n_before) != Some(CODE) {
            let found = header.get(n_before).unwrap_or_default();
            return Err(invalid(format!("expected `code` as the first column, or after `list`, found `{found}`")));
        }
        let code = |row: &csv::StringRecord| row.get(n_before).and_then(|code| code.parse::<i32>().ok());
        if let Some(row) = rows.iter().find(|row| code(row).is_none()) {
            return Err(invalid(format!(
                "expected integers in `code`, found `{}`",
                row.get(n_before).unwrap_or_default()
            )));
        }
        let columns = header
            .iter()
            .map(|name| Column::new(name, if name == CODE { ColumnKind::Int } else { ColumnKind::String }))
            .collect();
        let dataset = Dataset {
            name: table.to_owned(),
            title: comment.to_owned(),
            attribution: "Education Data Portal, Urban Institute, under ODC-By 1.0".to_owned(),
            path: String::new(),
            database: DATABASE.to_owned(),
            table: table.to_owned(),
            comment: comment.to_owned(),
            key: header.iter().take(n_before + 1).map(str::to_owned).collect(),
            repeated_keys: RepeatedKeys::Refuse,
            reason: None,
            secret: None,
            in_flight: None,
            memory_mib: None,
            axes: Vec::<Axis>::new(),
            columns,
            lists: BTreeMap::new(),
        };
        Ok(Self { dataset, rows })
    }

    /// Returns the name of the table.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.dataset.table
    }

    /// Returns the code and label of every row, in file order.
    pub fn labels(&self) -> impl Iterator<Item = (i32, &str)> {
        let first = usize::from(self.has_lists());
        self.rows.iter().filter_map(move |row| Some((row.get(first)?.parse().ok()?, row.get(first + 1)?)))
    }

    /// Returns whether the table has several lists, so that a code identifies a row only together with its list.
    #[must_use]
    pub fn has_lists(&self) -> bool {
        self.dataset.columns.first().is_some_and(|column| column.name == LIST)
    }

    /// Returns the value in a column for a code, or `None` if it is empty. For tables with one list.
    #[must_use]
    pub fn value(&self, code: i32, column: &str) -> Option<&str> {
        let column = self.dataset.columns.iter().position(|declared| declared.name == column)?;
        let row = self.rows.iter().find(|row| row.get(0).and_then(|text| text.parse().ok()) == Some(code))?;
        row.get(column).filter(|text| !text.is_empty())
    }

    /// Returns the desired catalog table. Unlike a dataset's, it has no `_rescued`.
    #[must_use]
    pub fn table_spec(&self) -> TableSpec {
        let mut spec = self.dataset.table_spec();
        spec.columns.retain(|(name, _, _)| name != RESCUED);
        spec.view = None;
        spec
    }

    /// Returns the key of the table's object.
    #[must_use]
    pub fn object(&self) -> String {
        keys::lookup_object(&self.dataset.table)
    }

    /// Encodes the table as a Parquet file.
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
    fn the_look_up_table_and_the_descriptors_have_the_same_grades() {
        let lookups = Lookup::built_in().unwrap();
        let grades = lookups.iter().find(|lookup| lookup.table() == "lookup_grades").unwrap();
        for name in Dataset::built_in_names() {
            let dataset = Dataset::built_in(name).unwrap();
            for axis in dataset.axes.iter().filter(|axis| axis.name == "grade") {
                let listed: Vec<_> = grades
                    .labels()
                    .filter_map(|(code, _)| Some((grades.value(code, "grade")?.to_owned(), i64::from(code))))
                    // Only districts have students whose grade is not specified.
                    .filter(|(_, code)| *code != 999 || dataset.path.starts_with("school-districts/"))
                    .collect();
                let declared: Vec<_> = axis.values.iter().map(|coded| (coded.value.clone(), coded.code)).collect();
                assert_eq!(listed, declared, "{name}");
            }
        }
    }

    #[test]
    fn every_look_up_table_encodes_to_the_same_bytes_each_time() {
        for lookup in Lookup::built_in().unwrap() {
            let encoded = lookup.encode().unwrap();
            assert_eq!(encoded.n_rows as usize, lookup.rows.len());
            assert_eq!(encoded.bytes, lookup.encode().unwrap().bytes);
        }
    }
}
