//! The secret part of a header value: the text after a scheme or a user name.

use crate::secret::base64::from_base64;

/// Minimum number of characters in a secret. A shorter one would often appear in unrelated text by chance.
pub(crate) const MIN_CHARS: usize = 8;

/// Checks whether the secret part of a header value has at least [`MIN_CHARS`] characters. That part is the password of
/// `Basic …`, the text after any other scheme, or the whole value if there is no scheme.
pub(crate) fn is_long_enough(value: &str) -> bool {
    let is_basic = value.split_once(' ').is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    let basic = is_basic.then(|| user_and_password(value)).flatten();
    let password = basic.as_deref().and_then(|basic| basic.split_once(':')).map(|(_, password)| password);
    password.unwrap_or_else(|| credentials(value)).chars().count() >= MIN_CHARS
}

/// Returns the text after the scheme (RFC 9110, section 11.4), which is a token (section 5.6.2). Without a scheme, returns
/// the whole value.
pub(super) fn credentials(value: &str) -> &str {
    let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match value.split_once(' ') {
        Some((scheme, credentials)) if scheme.bytes().all(is_token_byte) => credentials.trim(),
        _ => value,
    }
}

/// Decodes `Basic` credentials to `user:password` (RFC 7617). Returns `None` if they decode to anything else.
pub(super) fn user_and_password(value: &str) -> Option<String> {
    let decoded = String::from_utf8(from_base64(credentials(value))?).ok()?;
    decoded.contains(':').then_some(decoded)
}

/// Yields the value and the text after each space in it. For each of these, also yields the text after the first `:` or
/// `=`, once up to the end and once up to the end of the parameter.
pub(super) fn parts(value: &str) -> impl Iterator<Item = &str> {
    let after_space = value.match_indices(' ').filter_map(|(at, _)| value.get(at + 1..));
    std::iter::once(value).chain(after_space).flat_map(|part| {
        let after = part.split_once([':', '=']).map_or("", |(_, after)| after.trim_start_matches('"'));
        let parameter = after.split(['"', ',', ';', ' ']).next().unwrap_or_default();
        [part, after.trim_end_matches('"'), parameter]
    })
}
