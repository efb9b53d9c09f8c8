//! The entry point of the Lambda functions: decodes events, passes on the deadline, reports errors by name.

use std::time::{Duration, SystemTime};

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use rollcall_core::Error;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;
use tracing_subscriber::EnvFilter;

/// Time reserved before the function's limit for finishing after the last response, or recording a failure, and for
/// returning. With 256 MB, the largest partition, 8.6 million rows, takes 5.2 s from its last page to its receipt.
const MARGIN: Duration = Duration::from_secs(10);

/// An [`Error`] as Lambda reports it. Its name becomes the `errorType`, which the state machine retries or catches.
#[derive(Debug)]
struct Failure(Error);

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Self { error_type: failure.0.name().to_owned(), error_message: failure.0.chain() }
    }
}

/// Sets up logging as JSON Lines, at level `info` unless `ROLLCALL_LOG` overrides it.
pub fn log() {
    let filter = EnvFilter::try_from_env("ROLLCALL_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stdout).init();
}

/// Handles events with `step` until the execution environment is shut down.
///
/// - `step`: called with the event and its deadline.
///
/// # Errors
/// Returns the runtime's own errors. An event that fails does not end the runtime.
pub async fn serve<E: DeserializeOwned, O: Serialize>(
    step: impl AsyncFn(E, Instant) -> Result<O, Error>,
) -> Result<(), lambda_runtime::Error> {
    let step = &step;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| async move {
        let deadline = Instant::now() + time_left(event.context.deadline(), SystemTime::now());
        let result = match serde_json::from_value(event.payload) {
            // Boxed, because the nested futures of a step and its clients are large.
            Ok(event) => Box::pin(step(event, deadline)).await,
            Err(error) => Err(Error::InvalidRequest { mistakes: vec![format!("read event: {error}")] }),
        };
        result.map_err(|error| {
            tracing::error!(error = error.name(), cause = error.chain(), "step failed");
            Failure(error)
        })
    }))
    .await
}

/// Returns the time until the function's limit, minus the margin.
fn time_left(limit: SystemTime, now: SystemTime) -> Duration {
    limit.duration_since(now).unwrap_or_default().saturating_sub(MARGIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_name_and_its_message() {
        let error = Error::InvalidRequest { mistakes: vec!["`years`: expected".to_owned()] };
        let diagnostic = Diagnostic::from(Failure(error));
        assert_eq!(diagnostic.error_type, "InvalidRequest");
        assert_eq!(diagnostic.error_message, "check request: `years`: expected");
    }

    #[test]
    fn l1_a_step_must_end_before_the_function_is_killed() {
        let now = SystemTime::now();
        assert_eq!(time_left(now + Duration::from_secs(60), now), Duration::from_secs(50));
        assert_eq!(time_left(now, now + Duration::from_secs(1)), Duration::ZERO);
    }
}
