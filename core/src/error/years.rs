//! Why the portal's list of endpoints did not give the years of a dataset.

use crate::ports::portal::PortalError;

/// Why the list could not be used.
#[derive(Debug, thiserror::Error)]
pub enum YearsUnreadable {
    /// The portal did not answer.
    #[error("portal did not list its endpoints")]
    Portal(#[from] PortalError),
    /// The answer is not such a list.
    #[error("read list of endpoints")]
    Body(#[from] serde_json::Error),
    /// The dataset's endpoint is not on it.
    #[error("find `{0}` in the list of endpoints: found none with this path")]
    NotListed(String),
    /// Its years are no list of years.
    #[error("read `years_available`: expected text of years, ranges and commas, found `{0}`")]
    Years(String),
}
