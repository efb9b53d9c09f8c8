//! Counts changes, and keeps the first few keys of each kind.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;

use crate::change::cells::{Class, Shared};
use crate::change::details::{CellDetail, key_text};
use crate::change::{CellChanges, Change, ChangedKeys, RowChanges};

/// Maximum number of keys of each kind.
const MAX_KEYS: usize = 3;

/// Counts the changes so far.
pub(super) struct Tally<'c> {
    shared: &'c [Shared],
    /// Names of the key columns.
    key: &'c [String],
    rows: RowChanges,
    /// Changes of each shared column.
    cells: Vec<CellChanges>,
    revised: First,
    recoded: First,
    pub(super) added: First,
    pub(super) removed: First,
    /// The changes one by one, if requested.
    pub(super) details: Option<Details>,
}

/// The changes one by one.
#[derive(Default)]
pub(super) struct Details {
    pub(super) cells: Vec<CellDetail>,
    /// Positions of rows that only the new file has, and only the old one.
    pub(super) added: Vec<u32>,
    pub(super) removed: Vec<u32>,
}

/// The first few rows, by position.
#[derive(Default)]
pub(super) struct First(BTreeMap<u32, Option<String>>);

impl First {
    /// Adds a row, unless there are enough with a lower position.
    fn add(&mut self, position: u32, key: impl FnOnce() -> Option<String>) {
        if self.0.len() < MAX_KEYS || self.0.last_key_value().is_some_and(|(last, _)| *last > position) {
            self.0.insert(position, key());
            if self.0.len() > MAX_KEYS {
                self.0.pop_last();
            }
        }
    }

    /// Returns the positions.
    pub(super) fn positions(&self) -> Vec<u32> {
        self.0.keys().copied().collect()
    }

    fn into_keys(self) -> Vec<String> {
        self.0.into_values().flatten().collect()
    }
}

/// Two versions of some rows. The rows are in the same order.
pub(super) struct Pairs<'p> {
    pub(super) old: &'p RecordBatch,
    pub(super) new: &'p RecordBatch,
    /// Row in `old`, row in `new`, and position in the new file.
    pub(super) rows: &'p [(u32, u32, u32)],
}

impl<'c> Tally<'c> {
    pub(super) fn new(shared: &'c [Shared], key: &'c [String], details: Option<Details>) -> Self {
        Self {
            shared,
            key,
            rows: RowChanges::default(),
            cells: vec![CellChanges::default(); shared.len()],
            revised: First::default(),
            recoded: First::default(),
            added: First::default(),
            removed: First::default(),
            details,
        }
    }

    /// Compares rows with the same key.
    pub(super) fn compare(&mut self, pairs: &Pairs<'_>) {
        let mut is_revised = vec![None; pairs.rows.len()];
        for (column, counts) in self.shared.iter().zip(&mut self.cells) {
            let (old, new) = (pairs.old.column(column.old), pairs.new.column(column.new));
            for ((old_row, new_row, _), is_revised) in pairs.rows.iter().zip(&mut is_revised) {
                let before = column.cell(old, *old_row as usize);
                let Some(class) = before.change(&column.cell(new, *new_row as usize)) else { continue };
                let count = match class {
                    Class::Recoded => &mut counts.recoded,
                    Class::Revised => &mut counts.revised,
                    Class::Filled => &mut counts.filled,
                    Class::Blanked => &mut counts.blanked,
                };
                *count += 1;
                *is_revised = Some(is_revised.unwrap_or(false) || class != Class::Recoded);
            }
        }
        for ((old_row, new_row, position), is_revised) in pairs.rows.iter().zip(is_revised) {
            let key = || Some(key_text(pairs.new, self.key, *new_row as usize));
            if let (Some(details), Some(is_revised)) = (&mut self.details, is_revised) {
                let row = if is_revised { "revised" } else { "recoded" };
                let (old, new) = ((pairs.old, *old_row as usize), (pairs.new, *new_row as usize));
                let key = key().unwrap_or_default();
                details.cells.extend(CellDetail::of_cells(row, &key, self.shared, old, new));
            }
            match is_revised {
                None => {}
                Some(true) => {
                    self.rows.revised += 1;
                    self.revised.add(*position, key);
                }
                Some(false) => {
                    self.rows.recoded += 1;
                    self.recoded.add(*position, key);
                }
            }
        }
    }

    /// Counts a row that only the new file has. Its key is added later.
    pub(super) fn add(&mut self, position: u32) {
        self.rows.added += 1;
        self.details.iter_mut().for_each(|details| details.added.push(position));
        self.added.add(position, || None);
    }

    /// Counts a row that only the old file has. Its key is added later.
    pub(super) fn remove(&mut self, position: u32) {
        self.rows.removed += 1;
        self.details.iter_mut().for_each(|details| details.removed.push(position));
        self.removed.add(position, || None);
    }

    /// Returns the change.
    ///
    /// - `added` and `removed`: the rows at the positions of [`Self::added`] and [`Self::removed`].
    pub(super) fn finish(self, added: &RecordBatch, removed: &RecordBatch) -> Change {
        let keys =
            |rows: &RecordBatch| (0..rows.num_rows()).map(|row| key_text(rows, self.key, row)).collect::<Vec<_>>();
        let columns = self.shared.iter().zip(&self.cells).filter(|(_, cells)| !cells.is_empty());
        Change {
            replaced: None,
            not_compared: false,
            rows: self.rows,
            columns: columns.map(|(column, cells)| (column.name.clone(), *cells)).collect(),
            keys: ChangedKeys {
                added: keys(added),
                removed: keys(removed),
                revised: self.revised.into_keys(),
                recoded: self.recoded.into_keys(),
            },
        }
    }
}
