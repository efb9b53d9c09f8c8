//! Compares two versions of a partition's file.
//!
//! Most rows are equal and at the same place, so both files are read side by side, one chunk of sorted rows at a time.
//! Equal chunks are skipped; in others, rows with the same key are compared. Rows that have moved to another chunk are
//! matched by hashes at the end, which takes 20 bytes for each.

use arrow_array::RecordBatch;
use bytes::Bytes;
use parquet::errors::ParquetError;

use crate::change::Change;
use crate::change::cells::Shared;
use crate::change::details::{CellDetail, key_text};
use crate::change::leftovers::{Hasher, Leftovers, Side, group_rows, resolve, row_bytes};
use crate::change::rows::File;
use crate::change::tally::{Details, Pairs, Tally};
use crate::dataset::{Dataset, RepeatedKeys};
use crate::file::row_key::Packer;
use crate::file::writer::CHUNK;

/// Returns the memory that a comparison may take, in bytes: the old file, the rows that are left of both files, and the
/// cells of a chunk or of a group of pairs.
///
/// - `n_old_rows`, `n_new_rows`: number of rows of either file.
pub(crate) fn comparison_bytes(dataset: &Dataset, old_size_bytes: u64, n_old_rows: u64, n_new_rows: u64) -> usize {
    /// Of one cell in memory, on average.
    const CELL_BYTES: usize = 12;
    let n_columns = dataset.columns.len();
    let n_rows = |n_rows: u64| usize::try_from(n_rows).unwrap_or(usize::MAX / 64);
    let (n_old_rows, n_new_rows) = (n_rows(n_old_rows), n_rows(n_new_rows));
    let n_decoded = n_old_rows.max(n_new_rows).min(CHUNK.max(group_rows(n_columns)));
    usize::try_from(old_size_bytes).unwrap_or(usize::MAX / 2)
        + (n_old_rows + n_new_rows) * row_bytes()
        + 2 * n_decoded * n_columns * CELL_BYTES
}

/// Compares two files of a partition.
///
/// - `dataset`: the descriptor of the new file.
///
/// # Errors
/// Fails if a file cannot be decoded.
pub(crate) fn compare(dataset: &Dataset, old: Bytes, new: Bytes) -> Result<Change, ParquetError> {
    compare_chunks(dataset, old, new, CHUNK)
}

/// Compares two files of a partition, and lists each difference if requested.
///
/// # Errors
/// Fails if a file cannot be decoded.
pub(crate) fn compare_with_details(
    dataset: &Dataset,
    old: Bytes,
    new: Bytes,
    with_details: bool,
) -> Result<(Change, Vec<CellDetail>), ParquetError> {
    compare_files(dataset, old, new, CHUNK, with_details.then(Details::default))
}

/// Compares two files, `length` rows at a time.
pub(super) fn compare_chunks(dataset: &Dataset, old: Bytes, new: Bytes, length: usize) -> Result<Change, ParquetError> {
    compare_files(dataset, old, new, length, None).map(|(change, _)| change)
}

fn compare_files(
    dataset: &Dataset,
    old: Bytes,
    new: Bytes,
    length: usize,
    details: Option<Details>,
) -> Result<(Change, Vec<CellDetail>), ParquetError> {
    let (old, new) = (File::open(old)?, File::open(new)?);
    let shared = Shared::columns(old.schema(), new.schema());
    let may_repeat = dataset.repeated_keys == RepeatedKeys::Keep;
    // Keys are packed by the place of their columns. Rows with the same key are not in the same order in both files.
    let packer = (old.schema().fields() == new.schema().fields() && !may_repeat).then(|| Packer::new(dataset));
    let mut tally = Tally::new(&shared, &dataset.key, details);
    let mut hasher = Hasher::new(&shared, &dataset.key);
    let (mut old_left, mut new_left) = (Leftovers::default(), Leftovers::default());
    let (mut old_first, mut new_first) = (0, 0);
    let (mut old_chunks, mut new_chunks) = (old.chunks(length)?, new.chunks(length)?);
    loop {
        let (old_chunk, new_chunk) = (old_chunks.next().transpose()?, new_chunks.next().transpose()?);
        if old_chunk.is_none() && new_chunk.is_none() {
            break;
        }
        let merged = match (&old_chunk, &new_chunk) {
            (Some(old), Some(new)) if is_equal(&shared, old, new) => Some(Merged::default()),
            (Some(old), Some(new)) => packer.as_ref().and_then(|packer| merge(packer, old, new)),
            _ => None,
        };
        if let (Some(old), Some(new), Some(merged)) = (&old_chunk, &new_chunk, &merged) {
            let with_position = merged.pairs.iter().map(|(before, after)| (*before, *after, new_first + after));
            let rows: Vec<(u32, u32, u32)> = with_position.collect();
            tally.compare(&Pairs { old, new, rows: &rows });
        }
        let left = |chunk: &RecordBatch, of: fn(&Merged) -> &Vec<usize>| -> Vec<usize> {
            merged.as_ref().map_or_else(|| (0..chunk.num_rows()).collect(), |merged| of(merged).clone())
        };
        if let Some(chunk) = &old_chunk {
            let rows = left(chunk, |merged| &merged.only_old);
            old_left.add(&mut hasher, Side::Old, chunk, old_first, rows.into_iter());
            old_first += chunk.num_rows() as u32;
        }
        if let Some(chunk) = &new_chunk {
            let rows = left(chunk, |merged| &merged.only_new);
            new_left.add(&mut hasher, Side::New, chunk, new_first, rows.into_iter());
            new_first += chunk.num_rows() as u32;
        }
    }
    resolve((&old, old_left), (&new, new_left), &mut hasher, may_repeat, &mut tally)?;
    let (added, removed) = (new.take(&tally.added.positions())?, old.take(&tally.removed.positions())?);
    let mut listed = Vec::new();
    if let Some(details) = tally.details.take() {
        listed = details.cells;
        for (row, file, mut positions) in [("added", &new, details.added), ("removed", &old, details.removed)] {
            positions.sort_unstable();
            for positions in positions.chunks(CHUNK) {
                let rows = file.take(positions)?;
                let keys = (0..rows.num_rows()).map(|i| key_text(&rows, &dataset.key, i));
                listed.extend(keys.map(|key| CellDetail::of_row(row, key)));
            }
        }
    }
    Ok((tally.finish(&added, &removed), listed))
}

fn is_equal(shared: &[Shared], old: &RecordBatch, new: &RecordBatch) -> bool {
    old.num_rows() == new.num_rows() && shared.iter().all(|column| column.is_equal(old, new))
}

/// How the rows of two chunks correspond.
#[derive(Default)]
struct Merged {
    /// Rows with the same key.
    pairs: Vec<(u32, u32)>,
    only_old: Vec<usize>,
    only_new: Vec<usize>,
}

/// Merges two chunks by key. Returns `None` if a chunk is not sorted by key, or has keys that cannot be packed.
fn merge(packer: &Packer, old: &RecordBatch, new: &RecordBatch) -> Option<Merged> {
    let sorted_keys = |chunk| {
        let keys: Option<Vec<u128>> = packer.pack(chunk).collect();
        keys.filter(|keys| keys.is_sorted())
    };
    let (old_keys, new_keys) = (sorted_keys(old)?, sorted_keys(new)?);
    let mut merged = Merged::default();
    let (mut before, mut after) = (old_keys.iter().enumerate().peekable(), new_keys.iter().enumerate().peekable());
    loop {
        match (before.peek(), after.peek()) {
            (Some((old_row, old_key)), Some((new_row, new_key))) if old_key == new_key => {
                merged.pairs.push((*old_row as u32, *new_row as u32));
                before.next();
                after.next();
            }
            (Some((row, old_key)), next) if next.is_none_or(|(_, new_key)| old_key < new_key) => {
                merged.only_old.push(*row);
                before.next();
            }
            (_, Some((row, _))) => {
                merged.only_new.push(*row);
                after.next();
            }
            (_, None) => return Some(merged),
        }
    }
}
