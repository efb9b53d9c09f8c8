//! Named secrets, read from Secrets Manager. Their values are never printed, logged or stored.

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::http::HttpResponse;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use reqwest::header::{HeaderName, HeaderValue};
use rollcall_adapters::secret::header_from_value;
use rollcall_core::Error;
use rollcall_core::dataset::Dataset;
use rollcall_core::error::found::SecretFound;

use crate::sdk_error::{cause, status};

/// Returns the request header that carries a dataset's secret, or `None` if the dataset has no secret. Secrets Manager is
/// called only if there is a secret.
///
/// - `prefix`: prefix of the secret's name in Secrets Manager, such as `rollcall/`.
///
/// # Errors
/// - [`Error::SecretMissing`], with the secret's name and where it was looked up, if the value is unset, empty, too
///   short or not a valid header value. Also if Secrets Manager refuses access, with its own message.
/// - [`Error::SecretUnavailable`] if Secrets Manager fails or throttles the call, which is transient.
pub async fn header(
    config: &SdkConfig,
    prefix: &str,
    dataset: &Dataset,
) -> Result<Option<(HeaderName, HeaderValue)>, Error> {
    let Some(secret) = &dataset.secret else { return Ok(None) };
    let id = format!("{prefix}{}", secret.name);
    let place = format!("Secrets Manager under `{id}`");
    let found = match Client::new(config).get_secret_value().secret_id(&id).send().await {
        Ok(found) => found.secret_string,
        Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) => None,
        Err(error) if is_transient(&error) => {
            return Err(Error::SecretUnavailable { secret: secret.name.clone(), place, source: cause(error) });
        }
        Err(error) => {
            let place = format!("{place} ({})", cause(error));
            return Err(Error::SecretMissing { secret: secret.name.clone(), place, found: SecretFound::None });
        }
    };
    header_from_value(secret, &place, found).map(Some)
}

/// Checks whether a retry may succeed: there was no response, or the service failed or throttled the call.
fn is_transient(error: &SdkError<GetSecretValueError, HttpResponse>) -> bool {
    let is_throttled =
        || error.code().is_some_and(|code| code.contains("Throttling") || code.contains("TooManyRequests"));
    status(error).is_none_or(|status| status >= 500) || is_throttled()
}
