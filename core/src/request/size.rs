//! Limits the number of partitions in one plan.

use crate::dataset::Dataset;
use crate::dataset::partitions::plural;
use crate::error::Error;
use crate::text::thousands;

/// Maximum number of partitions in one plan. No endpoint of the portal has more than two axes, a year and one with at most
/// 20 values, which makes about 800 partitions. A plan above this limit would take days to fetch, and must be a mistake.
pub const MAX_PARTITIONS: usize = 100_000;

/// Checks the size of a plan before building it.
///
/// - `n_values`: number of selected values per axis, in axis order.
///
/// # Errors
/// [`Error::InvalidRequest`] with the limit and the size if there are more than [`MAX_PARTITIONS`] combinations.
pub(crate) fn check_size(dataset: &Dataset, n_values: &[usize]) -> Result<(), Error> {
    let n_partitions = n_values.iter().try_fold(1_usize, |product, n| product.checked_mul(*n));
    if n_values.contains(&0) || n_partitions.is_some_and(|n| n <= MAX_PARTITIONS) {
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
            "expected at most {} partitions in one plan, found {found}{}\n    hint: split the request into several runs with \
             fewer values each",
            thousands(MAX_PARTITIONS as u64),
            factors.join(" × ")
        )],
    })
}
