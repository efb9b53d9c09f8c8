//! The digest of a partition's rows, as in `core/src/file/row_hash.rs`: the sum of a hash of each row.

use std::path::PathBuf;

use rollcall_limit::{Column, Columns, FIELDS, Values};
use twox_hash::XxHash3_128;

/// Digits of the ids that are text. The portal leaves out the zeros that they begin with.
const N_DIGITS: [(&str, usize); 2] = [("ncessch", 12), ("leaid", 7)];

/// Adds up the hashes of a partition's rows.
pub(crate) struct Digester {
    path: PathBuf,
    sum: u128,
    row: Vec<u8>,
}

impl Digester {
    /// - `path`: the file that the digest is written to.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, sum: 0, row: Vec::with_capacity(128) }
    }

    /// Adds the rows of a page.
    pub(crate) fn add(&mut self, page: &Columns) {
        // The nulls of each column that are still to come, and the digits that a text has.
        let n_digits =
            FIELDS.map(|(name, _)| N_DIGITS.iter().find(|(id, _)| *id == name).map_or(0, |(_, digits)| *digits));
        let columns = page.columns.iter().zip(n_digits);
        let mut columns: Vec<(&Column, &[usize], usize)> =
            columns.map(|(column, n_digits)| (column, column.nulls.as_slice(), n_digits)).collect();
        for i in 0..page.n_rows {
            self.row.clear();
            for (column, nulls, n_digits) in &mut columns {
                match nulls.split_first() {
                    Some((first, rest)) if *first == i => {
                        *nulls = rest;
                        self.row.push(0);
                    }
                    _ => write_value(&column.values, i, *n_digits, &mut self.row),
                }
            }
            // The files of `rollcall` have one more column, for what fits no other. It is null.
            self.row.push(0);
            self.sum = self.sum.wrapping_add(XxHash3_128::oneshot(&self.row));
        }
    }

    /// Writes the digest.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        std::fs::write(&self.path, format!("{:032x}\n", self.sum))?;
        Ok(())
    }
}

fn write_value(values: &Values, i: usize, n_digits: usize, row: &mut Vec<u8>) {
    row.push(1);
    match values {
        Values::Int32(values) => row.extend_from_slice(&values.get(i).copied().unwrap_or_default().to_le_bytes()),
        Values::Int64(values) => row.extend_from_slice(&values.get(i).copied().unwrap_or_default().to_le_bytes()),
        Values::Text { bytes, offsets } => {
            let offset = |i| offsets.get(i).map_or(0, |offset| *offset as usize);
            let text = bytes.get(offset(i)..offset(i + 1)).unwrap_or_default();
            row.extend_from_slice(&(text.len().max(n_digits) as u32).to_le_bytes());
            row.extend(std::iter::repeat_n(b'0', n_digits.saturating_sub(text.len())));
            row.extend_from_slice(text);
        }
    }
}
