//! The portal's origin: scheme, host and port.

use rollcall_core::text::excerpt;
use url::Url;

use crate::http_portal::settings::LIVE_ORIGIN;

/// Path of the API below the origin.
pub(super) const API_PATH: &str = "/api/v1/";

/// Why an origin cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadOrigin {
    /// It is not a URL, or has more than a scheme, a host and a port.
    #[error(
        "expected an origin such as `{LIVE_ORIGIN}`, found `{0}`\nhint: give scheme, host and port only; `{API_PATH}` is added"
    )]
    Shape(String),
    /// A secret would be sent unencrypted.
    #[error(
        "send secret to `{0}`: expected https, found http\nhint: with a secret, only addresses of this machine may use http"
    )]
    SecretInClear(Url),
    /// The client could not be set up.
    #[error("set up HTTP client")]
    Client(#[source] reqwest::Error),
}

/// Parses an origin, which has only a scheme (`http` or `https`), a host and an optional port.
///
/// # Errors
/// [`BadOrigin::Shape`].
pub fn parse_origin(text: &str) -> Result<Url, BadOrigin> {
    let wrong_shape = || BadOrigin::Shape(excerpt(&without_userinfo(text)));
    let url = Url::parse(text).map_err(|_| wrong_shape())?;
    let is_origin = matches!(url.scheme(), "http" | "https")
        && url.host_str().is_some()
        && url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none();
    if is_origin { Ok(url) } else { Err(wrong_shape()) }
}

/// Returns an origin for a message, without anything that may be a user name or a password.
#[must_use]
pub fn without_userinfo(text: &str) -> String {
    // Removes everything before the last `@`: a password may contain any character, and the text need not be a valid URL.
    let end = [text.rfind('@').map(|at| at + 1), text.rfind("%40").map(|at| at + 3)].into_iter().flatten().max();
    let Some(rest) = end.and_then(|end| text.get(end..)) else { return text.to_owned() };
    let scheme = ["https://", "http://"].into_iter().find(|scheme| text.starts_with(scheme)).unwrap_or_default();
    format!("{scheme}…@{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_scheme_host_and_port_and_nothing_else() {
        for text in ["https://educationdata.urban.org", "http://127.0.0.1:8080/"] {
            parse_origin(text).unwrap();
        }
        for text in [
            "educationdata.urban.org",
            "ftp://educationdata.urban.org",
            "https://educationdata.urban.org/api/v1/",
            "https://user@educationdata.urban.org",
            "https://educationdata.urban.org/?a=1",
        ] {
            assert!(parse_origin(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_refused_origin_is_shown_without_its_password() {
        for (text, expected) in [
            ("https://user:sesame@portal.test", "https://…@portal.test"),
            ("https://user:sesame@portal.test/api/", "https://…@portal.test/api/"),
            ("http://user:ses/ame?@portal.test", "http://…@portal.test"),
            ("https://user:ses@me@portal.test", "https://…@portal.test"),
            ("https://user:sesame%40portal.test", "https://…@portal.test"),
            ("https:user:sesame@portal.test", "…@portal.test"),
            ("user:sesame@portal.test", "…@portal.test"),
            ("HTTPS://sesame@portal.test", "…@portal.test"),
            ("https://portal.test/api/", "https://portal.test/api/"),
            ("portal.test", "portal.test"),
        ] {
            let error = parse_origin(text).unwrap_err();
            assert!(error.to_string().contains(&format!("found `{expected}`\n")), "{error}");
            assert!(!format!("{error:?}").contains("sesame"), "{error:?}");
        }
    }
}
