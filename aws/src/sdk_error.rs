//! Reads the cause of a failed AWS call.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use rollcall_core::ports::BoxError;

/// An error response from a service. The SDK's message omits the status, which is all there is in a response without a
/// body.
#[derive(Debug, thiserror::Error)]
#[error("HTTP {status}{code}{message}")]
struct ServiceResponse {
    status: u16,
    /// Preceded by a comma; empty if the response has no code.
    code: String,
    /// Preceded by a colon; empty if the response has no message.
    message: String,
}

/// Returns the HTTP status of the response, or `None` if there was no response.
pub(crate) fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// Returns the service's error response, or the reason why there is no response. The SDK's own error prints only "service
/// error".
pub(crate) fn cause<E>(error: SdkError<E, HttpResponse>) -> BoxError
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    match &error {
        SdkError::ServiceError(context) => {
            let after = |separator: &str, text: Option<&str>| text.map(|text| format!("{separator}{text}"));
            let response = ServiceResponse {
                status: context.raw().status().as_u16(),
                code: after(", ", context.err().code()).unwrap_or_default(),
                message: after(": ", context.err().message()).unwrap_or_default(),
            };
            response.into()
        }
        _ => error.into(),
    }
}
