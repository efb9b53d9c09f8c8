//! Reads what an AWS call came to when it failed.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use rollcall_core::ports::BoxError;

/// What a service answered in place of what it was asked for. The SDK's own words leave out the status, which is all that
/// an answer without a body has.
#[derive(Debug, thiserror::Error)]
#[error("HTTP {status}{code}{message}")]
struct Answered {
    status: u16,
    /// After a comma, where the answer has one.
    code: String,
    /// After a colon, where the answer has one.
    message: String,
}

/// The HTTP status of the answer; `None` when there was none.
pub(crate) fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// What the service answered, or else why there is no answer, since the SDK's wrapper prints no more than "service error".
pub(crate) fn cause<E>(error: SdkError<E, HttpResponse>) -> BoxError
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    match &error {
        SdkError::ServiceError(context) => {
            let said = |before: &str, words: Option<&str>| words.map(|words| format!("{before}{words}"));
            let answered = Answered {
                status: context.raw().status().as_u16(),
                code: said(", ", context.err().code()).unwrap_or_default(),
                message: said(": ", context.err().message()).unwrap_or_default(),
            };
            answered.into()
        }
        _ => error.into(),
    }
}
