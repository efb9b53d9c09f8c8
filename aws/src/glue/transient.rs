//! Errors of Glue that are transient, and a classifier that has the SDK retry them.

use aws_sdk_glue::config::interceptors::InterceptorContext;
use aws_sdk_glue::config::retry::{ClassifyRetry, RetryAction};

/// Errors of an entry that may pass.
pub(super) const TRANSIENT_CODES: [&str; 5] = [
    "ConcurrentModificationException",
    "InternalServiceException",
    "OperationTimeoutException",
    "ResourceNotReadyException",
    "ThrottlingException",
];

/// Has the SDK make a call again that failed as a whole by what may pass: by its own rules it does so for throttling and
/// for HTTP 5xx alone.
#[derive(Debug)]
pub(super) struct RetryTransient;

impl ClassifyRetry for RetryTransient {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        match code_of(context) {
            Some(code) if TRANSIENT_CODES.contains(&code.as_str()) => RetryAction::transient_error(),
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "what may pass in Glue"
    }
}

/// The code of an error that a call was answered with, which may have a namespace before it.
pub(super) fn code_of(context: &InterceptorContext) -> Option<String> {
    let response = context.response().filter(|response| !response.status().is_success())?;
    let body: serde_json::Value = serde_json::from_slice(response.body().bytes()?).ok()?;
    body.get("__type")?.as_str()?.rsplit('#').next().map(str::to_owned)
}
