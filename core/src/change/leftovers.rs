//! Rows that have no equal at the same place of the other file. They are matched by hashes of their keys and cells.

use arrow_array::RecordBatch;
use parquet::errors::ParquetError;

use crate::change::cells::Shared;
use crate::change::rows::File;
use crate::change::tally::{Pairs, Tally};
use crate::file::writer::CHUNK;

/// Number of cells of either file that are in memory at once while pairs of rows are compared.
const GROUP_CELLS: usize = 1 << 20;

/// Returns the memory for each row that is left, in bytes: its entry, and its place in a pair.
pub(super) const fn row_bytes() -> usize {
    size_of::<Entry>() + size_of::<(u64, u32, u32)>() / 2
}

/// Returns the number of pairs of rows whose cells are in memory at once.
pub(super) fn group_rows(n_columns: usize) -> usize {
    (GROUP_CELLS / n_columns.max(1)).max(1)
}

/// A row of one file. Packed, because there may be millions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(Rust, packed(4))]
struct Entry {
    key: u64,
    cells: u64,
    position: u32,
}

/// The rows of one file that are left.
#[derive(Debug, Default)]
pub(super) struct Leftovers(Vec<Entry>);

/// Hashes rows by the cells that both files have.
pub(super) struct Hasher<'c> {
    shared: &'c [Shared],
    /// Key columns that both files have, as indices into `shared`.
    pub(super) key: Vec<usize>,
    bytes: Vec<u8>,
}

/// One of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Old,
    New,
}

impl<'c> Hasher<'c> {
    pub(super) fn new(shared: &'c [Shared], key: &[String]) -> Self {
        let key = key.iter().filter_map(|name| shared.iter().position(|column| column.name == *name)).collect();
        Self { shared, key, bytes: Vec::with_capacity(128) }
    }

    /// Returns the hash of a row's key.
    fn key(&mut self, side: Side, batch: &RecordBatch, row: usize) -> u64 {
        let key = self.key.iter().filter_map(|index| self.shared.get(*index));
        hash(&mut self.bytes, side, batch, row, key)
    }

    /// Returns the hash of a row's cells.
    fn cells(&mut self, side: Side, batch: &RecordBatch, row: usize) -> u64 {
        hash(&mut self.bytes, side, batch, row, self.shared.iter())
    }
}

/// Returns the hash of a row's cells in some columns.
///
/// - `bytes`: reused from row to row.
fn hash<'c>(
    bytes: &mut Vec<u8>,
    side: Side,
    batch: &RecordBatch,
    row: usize,
    columns: impl Iterator<Item = &'c Shared>,
) -> u64 {
    bytes.clear();
    for column in columns {
        let array = batch.column(if side == Side::Old { column.old } else { column.new });
        column.cell(array, row).write_canonical(bytes);
    }
    twox_hash::XxHash3_64::oneshot(bytes)
}

impl Leftovers {
    /// Adds rows of a batch.
    ///
    /// - `first`: position of the batch's first row in its file.
    pub(super) fn add(
        &mut self,
        hasher: &mut Hasher<'_>,
        side: Side,
        batch: &RecordBatch,
        first: u32,
        rows: impl Iterator<Item = usize>,
    ) {
        for row in rows {
            let (key, cells) = (hasher.key(side, batch, row), hasher.cells(side, batch, row));
            self.0.push(Entry { key, cells, position: first + row as u32 });
        }
    }

    fn sort(&mut self) {
        self.0.sort_unstable_by_key(|entry| (entry.key, entry.cells, entry.position));
    }
}

/// Matches the rows that are left of both files. Equal rows cancel. A key that both files have once pairs two versions of
/// a row; all other rows were removed or added.
///
/// - `may_repeat`: whether a key may occur more than once in a file.
pub(super) fn resolve(
    (old_file, mut old): (&File, Leftovers),
    (new_file, mut new): (&File, Leftovers),
    hasher: &mut Hasher<'_>,
    may_repeat: bool,
    tally: &mut Tally<'_>,
) -> Result<(), ParquetError> {
    old.sort();
    new.sort();
    let mut pairs: Vec<(u64, u32, u32)> = Vec::new();
    let (mut old, mut new) = (old.0.as_slice(), new.0.as_slice());
    loop {
        let next = [old.first(), new.first()].into_iter().flatten().map(|entry| entry.key).min();
        let Some(key) = next else { break };
        let (old_rows, new_rows) = (split_key(&mut old, key), split_key(&mut new, key));
        let (old_rest, new_rest) = cancel(old_rows, new_rows);
        match (old_rest.as_slice(), new_rest.as_slice()) {
            ([before], [after]) if !hasher.key.is_empty() => pairs.push((key, *before, *after)),
            (removed, added) => {
                removed.iter().for_each(|position| tally.remove(*position));
                added.iter().for_each(|position| tally.add(*position));
            }
        }
    }
    if may_repeat && !pairs.is_empty() {
        let repeated = repeated_keys(old_file, new_file, hasher, &pairs)?;
        pairs.retain(|(key, before, after)| {
            let is_repeated = repeated.binary_search(key).is_ok();
            if is_repeated {
                tally.remove(*before);
                tally.add(*after);
            }
            !is_repeated
        });
    }
    pairs.sort_unstable_by_key(|(_, before, _)| *before);
    for group in pairs.chunks(group_rows(hasher.shared.len())) {
        let old_positions: Vec<u32> = group.iter().map(|(_, before, _)| *before).collect();
        let mut new_positions: Vec<u32> = group.iter().map(|(.., after)| *after).collect();
        new_positions.sort_unstable();
        let (old_rows, new_rows) = (old_file.take(&old_positions)?, new_file.take(&new_positions)?);
        let rows: Vec<(u32, u32, u32)> = (0..)
            .zip(group)
            .map(|(row, (.., after))| (row, new_positions.partition_point(|other| other < after) as u32, *after))
            .collect();
        tally.compare(&Pairs { old: &old_rows, new: &new_rows, rows: &rows });
    }
    Ok(())
}

/// Removes the rows with this key from the start of `rows`, and returns them.
fn split_key<'e>(rows: &mut &'e [Entry], key: u64) -> &'e [Entry] {
    let (of_key, rest) = rows.split_at(rows.partition_point(|entry| entry.key <= key));
    *rows = rest;
    of_key
}

/// Cancels equal rows with the same key. Returns the positions of those that are left.
fn cancel(old: &[Entry], new: &[Entry]) -> (Vec<u32>, Vec<u32>) {
    let (mut old_rest, mut new_rest) = (Vec::new(), Vec::new());
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    loop {
        match (old.peek(), new.peek()) {
            (Some(before), Some(after)) if before.cells == after.cells => {
                old.next();
                new.next();
            }
            (Some(before), after) if after.is_none_or(|after| before.cells < after.cells) => {
                old_rest.push(before.position);
                old.next();
            }
            (_, Some(after)) => {
                new_rest.push(after.position);
                new.next();
            }
            (_, None) => return (old_rest, new_rest),
        }
    }
}

/// Returns which of the pairs' keys occur more than once in a file, sorted.
fn repeated_keys(
    old: &File,
    new: &File,
    hasher: &mut Hasher<'_>,
    pairs: &[(u64, u32, u32)],
) -> Result<Vec<u64>, ParquetError> {
    // Pairs are sorted by key.
    let keys: Vec<u64> = pairs.iter().map(|(key, ..)| *key).collect();
    let mut repeated = Vec::new();
    for (side, file) in [(Side::Old, old), (Side::New, new)] {
        let mut is_known = vec![false; keys.len()];
        for batch in file.chunks(CHUNK)? {
            let batch = batch?;
            for row in 0..batch.num_rows() {
                let Ok(index) = keys.binary_search(&hasher.key(side, &batch, row)) else { continue };
                if let Some(is_known) = is_known.get_mut(index) {
                    repeated.extend(is_known.then(|| keys.get(index).copied()).flatten());
                    *is_known = true;
                }
            }
        }
    }
    repeated.sort_unstable();
    Ok(repeated)
}
