//! How many partitions one plan may have.

use crate::dataset::Dataset;
use crate::dataset::partitions::plural;
use crate::error::Error;
use crate::text::thousands;

/// Most partitions of one plan. No endpoint of the portal has more than two axes, a year and one of at most 20 values, which
/// makes some 800; a plan of more than this would be fetched for days, and is a mistake.
pub const MOST_PARTITIONS: usize = 100_000;

/// Checks the size of a plan before anything of it is made.
///
/// - `n_values`: how many values each axis has, in axis order.
///
/// # Errors
/// [`Error::InvalidRequest`] naming both sizes when there are more than [`MOST_PARTITIONS`] combinations.
pub(crate) fn check_size(dataset: &Dataset, n_values: &[usize]) -> Result<(), Error> {
    let n_partitions = n_values.iter().try_fold(1_usize, |product, n| product.checked_mul(*n));
    if n_values.contains(&0) || n_partitions.is_some_and(|n| n <= MOST_PARTITIONS) {
        return Ok(());
    }
    let factors: Vec<String> = dataset
        .axes
        .iter()
        .zip(n_values)
        .map(|(axis, n)| format!("{} {}", thousands(*n as u64), plural(axis)))
        .collect();
    let found = n_partitions.map_or_else(String::new, |n| format!("{}: ", thousands(n as u64)));
    Err(Error::InvalidRequest {
        mistakes: vec![format!(
            "expected at most {} partitions in one plan, found {found}{}\n    hint: name fewer values of an axis, and make \
             several runs of it",
            thousands(MOST_PARTITIONS as u64),
            factors.join(" × ")
        )],
    })
}
