//! The columns of a page, and their types.

use crate::words::PIECE;

/// Type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Integers of 32 bits.
    Int32,
    /// Integers of 64 bits.
    Int64,
    /// Text without escapes.
    Text,
}

/// Columns of enrollment by school and grade, as in `datasets/ccd_enrollment.toml`, in the order of the file.
///
/// `year` and `grade` are the same in all rows of a partition, so they are no columns of its file.
pub const FIELDS: [(&str, Kind); 7] = [
    ("ncessch", Kind::Text),
    ("ncessch_num", Kind::Int64),
    ("race", Kind::Int32),
    ("sex", Kind::Int32),
    ("enrollment", Kind::Int32),
    ("fips", Kind::Int32),
    ("leaid", Kind::Text),
];

/// Values of a column; a null is a zero or an empty text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values {
    /// Of [`Kind::Int32`].
    Int32(Vec<i32>),
    /// Of [`Kind::Int64`].
    Int64(Vec<i64>),
    /// Of [`Kind::Text`].
    Text {
        /// The texts, one after another.
        bytes: Vec<u8>,
        /// Where each text starts, and where the last one ends.
        offsets: Vec<i32>,
    },
}

/// A column of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// One for each row.
    pub values: Values,
    /// Rows whose value is null, in order.
    pub nulls: Vec<usize>,
}

/// The columns of a page, in the order of [`FIELDS`]. They keep their memory from one page to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// One for each of [`FIELDS`].
    pub columns: Vec<Column>,
    /// Number of rows.
    pub n_rows: usize,
}

impl Default for Columns {
    fn default() -> Self {
        let empty = |kind| match kind {
            Kind::Int32 => Values::Int32(Vec::new()),
            Kind::Int64 => Values::Int64(Vec::new()),
            Kind::Text => Values::Text { bytes: Vec::new(), offsets: vec![0] },
        };
        let columns = FIELDS.map(|(_, kind)| Column { values: empty(kind), nulls: Vec::new() }).into();
        Self { columns, n_rows: 0 }
    }
}

impl Columns {
    /// Removes all rows and makes room for `n_rows` others.
    pub(crate) fn clear(&mut self, n_rows: usize) {
        /// Length of the longest id.
        const TEXT: usize = 12;
        self.n_rows = 0;
        for column in &mut self.columns {
            column.nulls.clear();
            match &mut column.values {
                Values::Int32(values) => {
                    values.clear();
                    values.reserve_exact(n_rows);
                }
                Values::Int64(values) => {
                    values.clear();
                    values.reserve_exact(n_rows);
                }
                Values::Text { bytes, offsets } => {
                    bytes.clear();
                    bytes.reserve_exact(n_rows * TEXT + PIECE);
                    offsets.clear();
                    offsets.reserve_exact(n_rows + 1);
                    offsets.push(0);
                }
            }
        }
    }

    /// Returns whether no text has an escape.
    pub(crate) fn is_plain(&self) -> bool {
        !self
            .columns
            .iter()
            .any(|column| matches!(&column.values, Values::Text { bytes, .. } if bytes.contains(&b'\\')))
    }
}
