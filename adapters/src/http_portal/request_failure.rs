//! Why one request failed, and whether another one may succeed.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use rollcall_core::ports::{BoxError, PortalError};

/// Why one try failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestFailure {
    #[error("HTTP {status}")]
    Status { status: u16, excerpt: String, retry_after: Option<Duration> },
    #[error("no answer")]
    NoAnswer { is_connected: bool, source: BoxError },
    #[error("HTTP {status}")]
    Refused { status: u16, excerpt: String },
    #[error("HTTP {status}, and the secret in it")]
    RepeatsSecret { status: u16 },
    #[error("no usable connection")]
    Unusable(#[source] BoxError),
    #[error("body over {limit_bytes} bytes")]
    TooLarge { limit_bytes: usize },
    #[error("larger than the pages before")]
    Outgrown,
    #[error("deadline")]
    Deadline,
}

impl RequestFailure {
    pub(super) fn is_retryable(&self) -> bool {
        matches!(self, Self::Status { .. } | Self::NoAnswer { .. })
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    pub(super) fn after(self, tries: u32) -> PortalError {
        match self {
            Self::Status { status, excerpt, .. } => PortalError::Status { status, tries, excerpt },
            Self::NoAnswer { is_connected, source } => PortalError::NoAnswer { tries, is_connected, source },
            Self::Refused { status, excerpt } => PortalError::Refused { status, excerpt },
            Self::RepeatsSecret { status } => PortalError::RepeatsSecret { status },
            Self::Unusable(source) => PortalError::Unusable { source },
            Self::TooLarge { limit_bytes } => PortalError::TooLarge { limit_bytes },
            Self::Outgrown => PortalError::Outgrown { tries },
            Self::Deadline => PortalError::Deadline { tries },
        }
    }
}

/// An error, its source, and so on, with those that an [`io::Error`] wraps and passes over as its source.
pub(super) fn causes<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    })
}
