//! What a padded text must begin with: checked against the row's other columns.

use crate::dataset::Dataset;

/// What a padded text must begin with.
pub(super) struct Check {
    pub(super) column: usize,
    /// Columns, and how many digits come after each.
    pub(super) begins_with: Vec<(usize, usize)>,
}

/// What is checked of a dataset's columns. A text begins with narrower ones only, so that these are settled before it.
pub(super) fn checks(dataset: &Dataset) -> Vec<Check> {
    let position = |name: &str| dataset.columns.iter().position(|column| column.name == name);
    let mut checks: Vec<(Option<u8>, Check)> = dataset
        .columns
        .iter()
        .enumerate()
        .filter(|(_, column)| !column.starts_with.is_empty())
        .map(|(i, column)| {
            let others = column.starts_with.iter();
            let begins_with =
                others.filter_map(|(name, n_more)| Some((position(name)?, usize::from(*n_more)))).collect();
            (column.width, Check { column: i, begins_with })
        })
        .collect();
    checks.sort_by_key(|(width, _)| *width);
    checks.into_iter().map(|(_, check)| check).collect()
}
