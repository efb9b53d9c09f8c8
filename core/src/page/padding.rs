//! Finds the columns that padded text is checked against.

use crate::dataset::Dataset;

/// Other columns whose values padded text must start with.
pub(super) struct PaddingCheck {
    /// Column of the padded text.
    pub(super) column: usize,
    /// The other columns, each with the number of digits that follow its value.
    pub(super) starts_with: Vec<(usize, usize)>,
}

/// Returns the padding checks of a dataset's columns, the narrowest column first. A string can start only with the
/// values of narrower columns, so these are checked before it.
pub(super) fn padding_checks(dataset: &Dataset) -> Vec<PaddingCheck> {
    let position = |name: &str| dataset.columns.iter().position(|column| column.name == name);
    let mut checks: Vec<(Option<u8>, PaddingCheck)> = dataset
        .columns
        .iter()
        .enumerate()
        .filter(|(_, column)| !column.starts_with.is_empty())
        .map(|(i, column)| {
            let others = column.starts_with.iter();
            let starts_with =
                others.filter_map(|(name, n_more)| Some((position(name)?, usize::from(*n_more)))).collect();
            (column.width, PaddingCheck { column: i, starts_with })
        })
        .collect();
    checks.sort_by_key(|(width, _)| *width);
    checks.into_iter().map(|(_, check)| check).collect()
}
