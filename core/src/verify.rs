//! Compares a lake with the portal, and its tables with each other.
//!
//! Every dataset: the number of rows of each partition against the portal's `count`. Enrollment of schools, as far as the
//! lake has the other tables: totals by race and sex against the plain table, the total grade against the sum of the
//! grades, districts against the sum of their schools, and the portal's own summaries by state and year.

mod check;
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
pub use crate::verify::check::{Check, Difference};
use crate::verify::counts::check_counts;
use crate::verify::enrollment::check_enrollment;
use crate::verify::summaries::check_summaries;

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
