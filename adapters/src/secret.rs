//! Named secrets, read from environment variables. Their values are never printed.

mod base64;
mod credentials;
mod escapes;
pub(crate) mod forms;

use reqwest::header::{HeaderName, HeaderValue};
use rollcall_core::Error;
use rollcall_core::dataset::{Dataset, Secret};
use rollcall_core::error::found::SecretFound;

use crate::secret::credentials::{MIN_CHARS, is_long_enough};

/// Returns the request header that carries a dataset's secret, or `None` if the dataset has no secret.
///
/// - `lookup`: reads an environment variable.
///
/// # Errors
/// [`Error::SecretMissing`], with the names of the secret and its variable, if the variable is unset, empty, too short or
/// not a valid header value.
pub fn header(
    dataset: &Dataset,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Option<(HeaderName, HeaderValue)>, Error> {
    let Some(secret) = &dataset.secret else {
        return Ok(None);
    };
    let place = format!("the environment variable `{}`", secret.variable());
    header_from_value(secret, &place, lookup(&secret.variable())).map(Some)
}

/// Returns a secret's value as a header that no log shows. Surrounding whitespace is removed.
///
/// - `place`: where the value was looked up, for messages.
///
/// # Errors
/// [`Error::SecretMissing`] if the value is unset, empty, not a valid header value, or shorter than 8 characters. A scheme
/// such as `Bearer`, and the user name of `Basic` credentials, do not count.
pub fn header_from_value(
    secret: &Secret,
    place: &str,
    value: Option<String>,
) -> Result<(HeaderName, HeaderValue), Error> {
    let missing = |found| Error::SecretMissing { secret: secret.name.clone(), place: place.to_owned(), found };
    let value = value.unwrap_or_default();
    let value = value.trim_ascii();
    if value.is_empty() {
        return Err(missing(SecretFound::None));
    }
    if !is_long_enough(value) {
        return Err(missing(SecretFound::Short { min_chars: MIN_CHARS }));
    }
    let name = HeaderName::from_bytes(secret.header.as_bytes()).map_err(|_| missing(SecretFound::InvalidHeader))?;
    let mut value = HeaderValue::from_str(value).map_err(|_| missing(SecretFound::InvalidHeader))?;
    value.set_sensitive(true);
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(value: &str) -> Result<HeaderValue, String> {
        let secret = Secret { header: "x-api-key".into(), name: "portal-key".into() };
        header_from_value(&secret, "the vault", Some(value.to_owned()))
            .map(|(_, value)| value)
            .map_err(|error| error.chain())
    }

    #[test]
    fn a_secret_is_trimmed_and_must_be_long_enough_to_be_recognised() {
        for (value, expected) in [
            ("12345678", "12345678"),
            (" \tkey with \"quotes\"\r\n", "key with \"quotes\""),
            ("Bearer 12345678\n", "Bearer 12345678"),
            ("schlüssel", "schlüssel"),
        ] {
            assert_eq!(header(value).unwrap().as_bytes(), expected.as_bytes());
        }
        for (value, found) in [
            ("", "none"),
            (" \n", "none"),
            ("1234567", "one shorter than 8 characters"),
            ("Bearer 1234567", "one shorter than 8 characters"),
            ("Api-Key 1234567", "one shorter than 8 characters"),
            ("Basic YS1sb25nLW5hbWU6b3Blbg==", "one shorter than 8 characters"),
            ("two\nlines of text", "one that is not a valid HTTP header (for example, with a line break)"),
            ("a\0character", "one that is not a valid HTTP header (for example, with a line break)"),
        ] {
            let expected = format!("read secret `portal-key`: expected a value in the vault, found {found}");
            assert_eq!(header(value).unwrap_err(), expected);
        }
    }
}
