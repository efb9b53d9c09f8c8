//! Validates the secret.

use crate::dataset::Secret;
use crate::dataset::check::place::{Place, PlacedMistakes};
use crate::text::excerpt;

/// Headers that cannot carry a secret: connection-specific ones (RFC 9110, section 7.6.1), those that frame a message,
/// those that the HTTP client sets, and those that would change the response to a plain request.
const RESERVED_HEADERS: [&str; 24] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "http2-settings",
    "expect",
    "accept",
    "accept-encoding",
    "user-agent",
    "cache-control",
    "pragma",
    "range",
    "via",
    "date",
    "max-forwards",
];

impl Secret {
    pub(super) fn check(&self, mistakes: &mut PlacedMistakes<'_>) {
        let is_token =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        for (key, value) in [("header", &self.header), ("name", &self.name)] {
            let place = Place::Secret(key);
            if !is_token(value) {
                mistakes.add(place, || {
                    format!("{place}: expected letters, digits, `-` and `_`, found `{}`", excerpt(value))
                });
            }
        }
        let header = self.header.to_ascii_lowercase();
        if RESERVED_HEADERS.contains(&header.as_str()) || header.starts_with("if-") || header.starts_with("sec-") {
            mistakes.add(Place::Secret("header"), || {
                format!(
                    "`secret.header`: expected a header for credentials, such as `x-api-key` or `authorization`, found \
                     `{}`, which is reserved for the HTTP client",
                    excerpt(&self.header)
                )
            });
        }
    }
}
