//! The list `api-changes/`: releases of the portal.

use serde::Serialize;

/// A row of `api-changes/`.
#[derive(Serialize)]
pub(super) struct Release {
    version: &'static str,
    /// Month, day, year, without leading zeros.
    release_date: &'static str,
}

/// The releases, unordered as on the portal: the latest is neither first nor last. Dates are invented, except for that
/// of 0.25.0.
pub(super) const RELEASES: [Release; 6] = [
    Release { version: "0.1.0 - Beta", release_date: "3/15/2018" },
    Release { version: "0.10.0", release_date: "12/9/2019" },
    Release { version: "0.25.0", release_date: "3/30/2026" },
    Release { version: "0.26.1", release_date: "7/14/2026" },
    Release { version: "0.24.0", release_date: "11/3/2025" },
    Release { version: "0.9.0", release_date: "9/24/2019" },
];
