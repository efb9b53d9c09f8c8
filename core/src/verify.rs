//! Compares a lake with the portal, and its tables with each other.
//!
//! Every dataset: the number of rows of each partition against the portal's `count`. Enrollment of schools, as far as the
//! lake has the other tables: totals by race and sex against the plain table, the total grade against the sum of the
//! grades, districts against the sum of their schools, and the portal's own summaries by state and year.

mod counts;
mod enrollment;
mod rows;
mod summaries;

use serde::Serialize;

use crate::dataset::Dataset;
use crate::error::Error;
use crate::ports::portal::Portal;
use crate::ports::store::Store;
use crate::request::DEFAULT_DATASET;
use crate::verify::counts::check_counts;
use crate::verify::enrollment::check_enrollment;
use crate::verify::summaries::check_summaries;

/// Maximum number of differences that a check names. The others are counted.
pub(crate) const MAX_NAMED: usize = 100;

/// What was compared, and what differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Dataset name.
    pub dataset: String,
    /// The checks, in the order in which they were made.
    pub checks: Vec<Check>,
    /// Gaps of the source that are known, as far as this lake has them.
    pub known_gaps: Vec<String>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was compared, such as `rows against the portal's count`.
    pub name: &'static str,
    /// The difference that is tolerated, in words.
    pub tolerance: &'static str,
    /// Number of comparisons.
    pub n_compared: u64,
    /// Number of differences.
    pub n_different: u64,
    /// The first hundred differences.
    pub differences: Vec<Difference>,
    /// Why nothing, or not everything, was compared; empty otherwise.
    pub skipped: Vec<String>,
}

/// Two numbers that should be equal. A number is `None` for a code instead of a number, and for a missing row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What they are about, such as `year=2021/grade=grade-pk, fips 6`.
    pub what: String,
    /// The number expected, from the portal or from the other table.
    pub expected: Option<i64>,
    /// The number found in the lake.
    pub found: Option<i64>,
}

impl Check {
    pub(crate) fn new(name: &'static str, tolerance: &'static str) -> Self {
        Self { name, tolerance, n_compared: 0, n_different: 0, differences: Vec::new(), skipped: Vec::new() }
    }

    /// Compares two numbers.
    pub(crate) fn compare(&mut self, what: impl FnOnce() -> String, expected: i64, found: i64) {
        self.judge(what, expected == found, Some(expected), Some(found));
    }

    /// Counts a comparison.
    pub(crate) fn judge(
        &mut self,
        what: impl FnOnce() -> String,
        is_equal: bool,
        expected: Option<i64>,
        found: Option<i64>,
    ) {
        self.n_compared += 1;
        if !is_equal {
            self.n_different += 1;
            if self.differences.len() < MAX_NAMED {
                self.differences.push(Difference { what: what(), expected, found });
            }
        }
    }

    pub(crate) fn skip(&mut self, reason: String) {
        self.skipped.push(reason);
    }
}

impl Verified {
    /// Returns the number of differences.
    #[must_use]
    pub fn n_different(&self) -> u64 {
        self.checks.iter().map(|check| check.n_different).sum()
    }
}

/// Verifies a dataset of a lake.
///
/// - `portal`: the portal; `None` to compare only tables with each other.
///
/// # Errors
/// [`Error::StoreFailed`]; [`Error::PortalUnavailable`] or [`Error::PortalRefused`] if the portal does not respond.
pub async fn verify(portal: Option<&impl Portal>, store: &impl Store, dataset: &Dataset) -> Result<Verified, Error> {
    let mut checks = Vec::new();
    let mut known_gaps = Vec::new();
    if let Some(portal) = portal {
        checks.push(check_counts(portal, store, dataset).await?);
    }
    if dataset.name == DEFAULT_DATASET {
        let enrollment = check_enrollment(store, dataset).await?;
        checks.extend(enrollment.checks);
        known_gaps.extend(enrollment.known_gaps);
        if let Some(portal) = portal {
            checks.push(check_summaries(portal, dataset, &enrollment.by_state).await?);
        }
    }
    Ok(Verified { dataset: dataset.name.clone(), checks, known_gaps })
}
