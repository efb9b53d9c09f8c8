//! Values that do not fit their column.

/// Stands for the value of an absent field in a message.
pub(crate) const NO_FIELD: &str = "no such field";

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
    }
}
