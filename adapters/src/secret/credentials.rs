//! The secret part of a header's value: what follows a scheme, or a user's name.

use crate::secret::base64::from_base64;

/// Fewest characters of a secret. A shorter one would be found by chance in what is none of it.
pub(crate) const FEWEST_CHARS: usize = 8;

/// Whether the secret part of a header's value has [`FEWEST_CHARS`] characters: what follows a scheme, or all of it; of
/// `Basic …` the password.
pub(crate) fn is_long_enough(value: &str) -> bool {
    let is_basic = value.split_once(' ').is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    let basic = is_basic.then(|| user_and_password(value)).flatten();
    let password = basic.as_deref().and_then(|basic| basic.split_once(':')).map(|(_, password)| password);
    password.unwrap_or_else(|| credentials(value)).chars().count() >= FEWEST_CHARS
}

/// What follows a scheme (RFC 9110, section 11.4), which is a token (section 5.6.2), or all of a header's value.
pub(super) fn credentials(value: &str) -> &str {
    let is_of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match value.split_once(' ') {
        Some((scheme, credentials)) if scheme.bytes().all(is_of_token) => credentials.trim(),
        _ => value,
    }
}

/// What `Basic` credentials encode, `user:password` (RFC 7617); `None` when they encode no text of that kind.
pub(super) fn user_and_password(value: &str) -> Option<String> {
    let decoded = String::from_utf8(from_base64(credentials(value))?).ok()?;
    decoded.contains(':').then_some(decoded)
}

/// The value, what stands in it after each blank, and of each of these what stands after the first `:` or `=`, to its end
/// and to the end of that parameter.
pub(super) fn parts(value: &str) -> impl Iterator<Item = &str> {
    let after_blank = value.match_indices(' ').filter_map(|(at, _)| value.get(at + 1..));
    std::iter::once(value).chain(after_blank).flat_map(|part| {
        let after = part.split_once([':', '=']).map_or("", |(_, after)| after.trim_start_matches('"'));
        let parameter = after.split(['"', ',', ';', ' ']).next().unwrap_or_default();
        [part, after.trim_end_matches('"'), parameter]
    })
}
