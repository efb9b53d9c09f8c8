//! Why a request failed, and whether a retry may succeed.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use rollcall_core::ports::{BoxError, PortalError};

/// Why one request failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestFailure {
    #[error("HTTP {status}")]
    Status { status: u16, excerpt: String, retry_after: Option<Duration> },
    #[error("no response")]
    NoResponse { is_connected: bool, source: BoxError },
    #[error("HTTP {status}")]
    Refused { status: u16, excerpt: String },
    #[error("HTTP {status}: the response repeats the secret")]
    RepeatsSecret { status: u16 },
    #[error("no usable connection")]
    Unusable(#[source] BoxError),
    #[error("body larger than {limit_bytes} bytes")]
    TooLarge { limit_bytes: usize },
    #[error("page larger than the memory reserved for it")]
    Outgrown,
    #[error("deadline passed")]
    Deadline,
}

impl RequestFailure {
    pub(super) fn is_retryable(&self) -> bool {
        matches!(self, Self::Status { .. } | Self::NoResponse { .. })
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    pub(super) fn into_portal_error(self, tries: u32) -> PortalError {
        match self {
            Self::Status { status, excerpt, .. } => PortalError::Status { status, tries, excerpt },
            Self::NoResponse { is_connected, source } => PortalError::NoAnswer { tries, is_connected, source },
            Self::Refused { status, excerpt } => PortalError::Refused { status, excerpt },
            Self::RepeatsSecret { status } => PortalError::RepeatsSecret { status },
            Self::Unusable(source) => PortalError::Unusable { source },
            Self::TooLarge { limit_bytes } => PortalError::TooLarge { limit_bytes },
            Self::Outgrown => PortalError::Outgrown { tries },
            Self::Deadline => PortalError::Deadline { tries },
        }
    }
}

/// Yields an error and its chain of sources. Includes errors wrapped in an [`io::Error`], which its `source` skips.
pub(super) fn causes<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    })
}
