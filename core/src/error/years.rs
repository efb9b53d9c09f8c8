//! Why a dataset's years could not be read from the portal's list of endpoints.

use crate::ports::portal::PortalError;

/// Why a dataset's years could not be read.
#[derive(Debug, thiserror::Error)]
pub enum YearsUnreadable {
    /// The portal did not return the list.
    #[error("fetch list of endpoints")]
    Portal(#[from] PortalError),
    /// The response is not a list of endpoints.
    #[error("decode list of endpoints")]
    Body(#[from] serde_json::Error),
    /// The list does not contain the dataset's endpoint.
    #[error("find `{0}` in the list of endpoints: expected one with this path, found none")]
    NotListed(String),
    /// The endpoint's years cannot be parsed.
    #[error("read `years_available`: expected years or ranges separated by commas, found `{0}`")]
    Years(String),
}
