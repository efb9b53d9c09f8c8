//! Secrets by name, from Secrets Manager. Their values are never printed, logged or stored.

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client;
use reqwest::header::{HeaderName, HeaderValue};
use rollcall_adapters::secret::header_of;
use rollcall_core::Error;
use rollcall_core::dataset::Dataset;

/// The request header that a dataset's secret is sent in; `None` when it names none, and then nothing is asked.
///
/// - `prefix`: what stands before the secret's name in Secrets Manager, such as `rollcall/`.
///
/// # Errors
/// [`Error::SecretMissing`] naming the secret and where it was looked for, when that is unset, empty or no header value.
pub async fn header(
    config: &SdkConfig,
    prefix: &str,
    dataset: &Dataset,
) -> Result<Option<(HeaderName, HeaderValue)>, Error> {
    let Some(secret) = &dataset.secret else { return Ok(None) };
    let id = format!("{prefix}{}", secret.name);
    let found = match Client::new(config).get_secret_value().secret_id(&id).send().await {
        Ok(found) => found.secret_string,
        Err(error) => {
            tracing::error!(secret = secret.name, error = %crate::cause::cause(error), "secret not read");
            None
        }
    };
    header_of(secret, &format!("Secrets Manager under `{id}`"), found).map(Some)
}
