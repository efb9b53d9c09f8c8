//! What changed when a partition's object replaced an older one: rows added and removed, and the cells of all others.
//!
//! A changed cell has one of four classes. `null`, the empty text and the portal's codes -1, -2 and -3 all say that there
//! is no value, so a change among them recodes the cell without changing what was counted.

mod cells;
mod compare;
mod details;
mod leftovers;
mod rows;
mod tally;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use crate::change::cells::Cell;
pub(crate) use crate::change::compare::{compare, compare_with_details, comparison_bytes};
pub use crate::change::details::CellDetail;
pub(crate) use crate::change::details::rows_as_details;
use crate::dataset::Dataset;
use crate::file::edition::Edition;
use crate::text::thousands;

/// Changes of one column's cells, or of rows, by class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CellChanges {
    /// One code became another, or null, or the reverse.
    #[serde(skip_serializing_if = "is_zero")]
    pub recoded: u64,
    /// One value became another.
    #[serde(skip_serializing_if = "is_zero")]
    pub revised: u64,
    /// A code or null became a value.
    #[serde(skip_serializing_if = "is_zero")]
    pub filled: u64,
    /// A value became a code or null.
    #[serde(skip_serializing_if = "is_zero")]
    pub blanked: u64,
}

/// Numbers of changed rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RowChanges {
    /// Rows whose key is new. With a repeated key, rows that have no equal in the replaced object.
    #[serde(skip_serializing_if = "is_zero")]
    pub added: u64,
    /// Rows whose key is gone. With a repeated key, rows that have no equal in the new object.
    #[serde(skip_serializing_if = "is_zero")]
    pub removed: u64,
    /// Rows with a cell that was revised, filled or blanked.
    #[serde(skip_serializing_if = "is_zero")]
    pub revised: u64,
    /// Rows of which some cells were recoded and none changed otherwise.
    #[serde(skip_serializing_if = "is_zero")]
    pub recoded: u64,
}

/// The keys of the first few changed rows, in file order, such as `ncessch 010000500870`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ChangedKeys {
    /// Of rows that were added.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    /// Of rows that were removed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    /// Of rows that were revised.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revised: Vec<String>,
    /// Of rows that were recoded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recoded: Vec<String>,
}

/// What changed when an object replaced an older one. Columns that only one of them has are not compared, nor is
/// `_rescued` if the columns differ.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    /// Edition of the object that was replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced: Option<Edition>,
    /// Whether the two were not compared, because the replaced one is damaged or memory was short. Then the rest is
    /// empty.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub not_compared: bool,
    /// Changed rows.
    pub rows: RowChanges,
    /// Changed cells of the rows that are in both objects, by column. A column without changes is absent.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, CellChanges>,
    /// Keys of some changed rows.
    pub keys: ChangedKeys,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl CellChanges {
    /// Returns whether no cell changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn add(&mut self, other: Self) {
        self.recoded += other.recoded;
        self.revised += other.revised;
        self.filled += other.filled;
        self.blanked += other.blanked;
    }
}

impl RowChanges {
    /// Returns whether no row changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Lists the changes that occurred: `3 schools revised, 2 recoded, 1 added`. Empty if there are none.
    fn in_words(self, dataset: &Dataset) -> String {
        let classes =
            [(self.revised, "revised"), (self.recoded, "recoded"), (self.added, "added"), (self.removed, "removed")];
        let mut words = Vec::new();
        for (n_rows, class) in classes.into_iter().filter(|(n_rows, _)| *n_rows > 0) {
            let what = if words.is_empty() { format!(" {}", row_noun(dataset, n_rows)) } else { String::new() };
            words.push(format!("{}{what} {class}", thousands(n_rows)));
        }
        words.join(", ")
    }
}

impl Change {
    /// Returns whether only the schema or the encoding changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.not_compared && self.rows.is_empty()
    }

    /// Returns the change of a partition whose old and new objects were not compared.
    pub(crate) fn not_compared() -> Self {
        Self { not_compared: true, ..Self::default() }
    }

    /// Lists the changed rows: `3 schools revised, 2 recoded, 1 added`. Empty if there are none.
    #[must_use]
    pub fn in_words(&self, dataset: &Dataset) -> String {
        match (self.not_compared, self.rows.is_empty()) {
            (false, _) => self.rows.in_words(dataset),
            (true, true) => "rows not compared".to_owned(),
            (true, false) => format!("{}, others not compared", self.rows.in_words(dataset)),
        }
    }

    /// Adds the counts of another partition's change. The result has no keys, and no replaced edition.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        self.replaced = None;
        self.keys = ChangedKeys::default();
        self.not_compared |= other.not_compared;
        self.rows.added += other.rows.added;
        self.rows.removed += other.rows.removed;
        self.rows.revised += other.rows.revised;
        self.rows.recoded += other.rows.recoded;
        for (column, cells) in &other.columns {
            self.columns.entry(column.clone()).or_default().add(*cells);
        }
        self
    }
}

/// Returns what a row of a partition is about, if its key says so.
fn row_noun(dataset: &Dataset, n_rows: u64) -> &'static str {
    let key: Vec<&str> = dataset.key.iter().map(String::as_str).collect();
    let (one, many) = match key.as_slice() {
        ["ncessch"] => ("school", "schools"),
        ["leaid"] => ("district", "districts"),
        ["unitid"] => ("college", "colleges"),
        _ => ("row", "rows"),
    };
    if n_rows == 1 { one } else { many }
}
