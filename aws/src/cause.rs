//! Reads what an AWS call came to when it failed.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::SdkError;
use rollcall_core::ports::BoxError;

/// The HTTP status of the answer; `None` when there was none.
pub(crate) fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// The service's own error where it sent one, since the SDK's wrapper prints no more than "service error".
pub(crate) fn cause<E: std::error::Error + Send + Sync + 'static>(error: SdkError<E, HttpResponse>) -> BoxError {
    match error {
        SdkError::ServiceError(context) => context.into_err().into(),
        other => other.into(),
    }
}
