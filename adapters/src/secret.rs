//! Secrets by name. Locally they are environment variables; their values are never printed.

use reqwest::header::{HeaderName, HeaderValue};
use rollcall_core::Error;
use rollcall_core::dataset::{Dataset, Secret};

/// The request header that a dataset's secret is sent in; `None` when it names none.
///
/// - `lookup`: reads an environment variable.
///
/// # Errors
/// [`Error::SecretMissing`] naming the secret and its variable when that is unset, empty or no header value.
pub fn header(
    dataset: &Dataset,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Option<(HeaderName, HeaderValue)>, Error> {
    let Some(secret) = &dataset.secret else {
        return Ok(None);
    };
    let place = format!("the environment variable `{}`", secret.variable());
    header_of(secret, &place, lookup(&secret.variable())).map(Some)
}

/// A secret's value as a header that no log shows.
///
/// - `place`: where the value was looked for, in words.
///
/// # Errors
/// [`Error::SecretMissing`] when the value is unset, empty or no header value.
pub fn header_of(secret: &Secret, place: &str, value: Option<String>) -> Result<(HeaderName, HeaderValue), Error> {
    let missing = || Error::SecretMissing { secret: secret.name.clone(), place: place.to_owned() };
    let value = value.filter(|value| !value.is_empty()).ok_or_else(missing)?;
    let name = HeaderName::from_bytes(secret.header.as_bytes()).map_err(|_| missing())?;
    let mut value = HeaderValue::from_str(&value).map_err(|_| missing())?;
    value.set_sensitive(true);
    Ok((name, value))
}
