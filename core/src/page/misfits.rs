//! Values that do not fit their column.

use crate::dataset::Column;
use crate::text::excerpt;

/// Stands for the value of an absent field in a message.
pub(crate) const NO_FIELD: &str = "no such field";

/// Returns what was found for a column that a row lacks, with the name of its field if that is another.
pub(crate) fn no_field(column: Option<&Column>) -> String {
    let field = column.and_then(|column| column.field.as_ref());
    field.map_or_else(|| NO_FIELD.to_owned(), |field| format!("no field `{}`", excerpt(field)))
}

/// Values of one column that do not fit it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Misfits {
    /// Number of misfits, including absent fields.
    pub n_values: u64,
    /// Number of misfits that are in the column unchanged: text that is too long, or text that is not padded because
    /// the row's other columns do not confirm the result.
    pub n_kept: u64,
    /// The first misfit that became a null, or the first of all if none did: its row (1-based within its page) and its
    /// JSON text. The text is `None` if the field is absent.
    pub first: Option<(u64, Option<String>)>,
    /// Number of rows without the field of an optional column. They are misfits only if other rows of the partition have
    /// the field.
    pub n_absent: u64,
    /// The first such row (1-based within its page).
    pub first_absent: Option<u64>,
}

impl Misfits {
    /// Adds later misfits. Their row numbers start after the first `n_rows` rows.
    pub(crate) fn add(&mut self, later: &Self, n_rows: u64) {
        let has_lost_before = self.n_values > self.n_kept;
        let has_lost = later.n_values > later.n_kept;
        if let Some((row, raw)) = &later.first
            && (self.first.is_none() || (has_lost && !has_lost_before))
        {
            self.first = Some((n_rows + row, raw.clone()));
        }
        self.n_values += later.n_values;
        self.n_kept += later.n_kept;
        self.n_absent += later.n_absent;
        self.first_absent = self.first_absent.or(later.first_absent.map(|row| n_rows + row));
    }

    /// Counts a row without the field of an optional column.
    pub(crate) fn count_absent(&mut self, row: u64) {
        self.n_absent += 1;
        self.first_absent.get_or_insert(row);
    }

    /// Counts rows without the field of an optional column as misfits, unless all `n_rows` rows of the partition lack it.
    pub(crate) fn settle_absent(&mut self, n_rows: u64) {
        if self.n_absent < n_rows
            && let Some(row) = self.first_absent
        {
            let absent = Self { n_values: self.n_absent, first: Some((row, None)), ..Self::default() };
            self.add(&absent, 0);
        }
    }
}
