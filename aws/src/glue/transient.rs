//! Glue's transient errors, and a classifier that makes the SDK retry them.

use aws_sdk_glue::config::interceptors::InterceptorContext;
use aws_sdk_glue::config::retry::{ClassifyRetry, RetryAction};

/// Codes of transient errors.
pub(super) const TRANSIENT_CODES: [&str; 5] = [
    "ConcurrentModificationException",
    "InternalServiceException",
    "OperationTimeoutException",
    "ResourceNotReadyException",
    "ThrottlingException",
];

/// Makes the SDK retry calls that fail with a transient error. By default, it retries only throttling and HTTP 5xx.
#[derive(Debug)]
pub(super) struct RetryTransient;

impl ClassifyRetry for RetryTransient {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        match error_code(context) {
            Some(code) if TRANSIENT_CODES.contains(&code.as_str()) => RetryAction::transient_error(),
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "transient errors of Glue"
    }
}

/// Returns the error code in a response, without its namespace.
pub(super) fn error_code(context: &InterceptorContext) -> Option<String> {
    let response = context.response().filter(|response| !response.status().is_success())?;
    let body: serde_json::Value = serde_json::from_slice(response.body().bytes()?).ok()?;
    body.get("__type")?.as_str()?.rsplit('#').next().map(str::to_owned)
}
