//! Values that do not fit their column.

/// What stands in a message for the value of a field that is absent.
pub(crate) const NO_FIELD: &str = "no such field";

/// Values of one column that do not fit it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Misfits {
    /// How many, absent fields included.
    pub n_values: u64,
    /// Of those, how many stand in the column as they came: text that is too long, or that its row does not let pad.
    pub n_kept: u64,
    /// The first that a null stands for, or the first of all where there is no such: row (from 1, on its page) and JSON text,
    /// `None` when the field was absent.
    pub first: Option<(u64, Option<String>)>,
}

impl Misfits {
    /// Adds values found later, whose rows are counted from `n_rows` on.
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
    }
}
