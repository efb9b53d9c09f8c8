//! Finds a secret in every form in which a portal may repeat it. All text from the portal is searched before it is used.
//!
//! Text that repeats the secret is dropped as a whole. To cut out only the secret, the code would have to know where
//! each form ends, and a mistake would reveal the rest of the secret.

use memchr::memmem::Finder;
use memchr::memrchr3;

use crate::secret::base64::base64;
use crate::secret::credentials::{MIN_CHARS, parts, user_and_password};
use crate::secret::escapes::decode;

/// Number of bytes of a string that are searched at once. Their decoded form still fits in the processor's cache.
const WINDOW_BYTES: usize = 64 << 10;

/// Maximum number of bytes that encode one byte, such as `&#x0063;` inside another encoding.
const MAX_ESCAPE_BYTES: usize = 12;

/// Maximum number of nested encodings that are undone, such as a percent-encoded URL in JSON, quoted in JSON, in HTML.
const MAX_LAYERS: usize = 4;

/// A string may be cut within the secret. At its end, this many of the secret's first bytes count as the secret.
const MIN_BYTES_AT_END: usize = 4;

/// The forms of a secret.
///
/// The search finds the value itself, its base64 (either alphabet, padded or not, at any offset within a longer text) and
/// its hexadecimal form. It finds each of them in upper or lower case, with `+` for spaces, and escaped character by
/// character as in JSON, URLs, HTML or program text, with up to [`MAX_LAYERS`] nested encodings. At a string's end, it
/// also finds the first bytes of any of these.
///
/// The text after a space, a `:` or a `=` in the value counts as well. Credentials are therefore found without their
/// scheme (`Bearer …`), their parameter's name (`Token token="…"`) or a user name. The same holds for the password of
/// `Basic …`. Parts of fewer than [`MIN_CHARS`] characters are not searched for on their own.
pub(crate) struct Forms {
    needles: Vec<Finder<'static>>,
    /// Length of the longest needle in bytes.
    longest: usize,
}

impl Forms {
    /// Returns the forms of a header value, which must be long enough for a secret.
    pub(crate) fn new(value: &[u8]) -> Self {
        let mut spellings = vec![value.to_vec()];
        if let Ok(text) = std::str::from_utf8(value) {
            let basic = user_and_password(text).unwrap_or_default();
            let parts = parts(text).chain(parts(&basic)).filter(|part| part.chars().count() >= MIN_CHARS);
            spellings.extend(parts.map(|part| part.as_bytes().to_vec()));
            if !text.is_ascii() {
                // The portal may read the bytes as Latin-1, or respond in Latin-1.
                spellings.push(value.iter().map(|byte| char::from(*byte)).collect::<String>().into_bytes());
                spellings.extend(text.chars().map(|c| u8::try_from(c).ok()).collect::<Option<Vec<u8>>>());
            }
        }
        let mut needles = Vec::new();
        for spelling in spellings {
            needles.extend((0..3).map(|offset| base64(&spelling, offset)));
            needles.push(spelling.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect());
            // The value itself may look like an escape, which the search undoes in the text.
            let mut decoded = Vec::new();
            let mut plain = spelling.clone();
            for _ in 0..MAX_LAYERS {
                if !decode(&plain, &mut decoded) {
                    break;
                }
                std::mem::swap(&mut plain, &mut decoded);
            }
            needles.extend([plain, spelling]);
        }
        let mut needles: Vec<Vec<u8>> = needles.iter().map(|needle| normalized(needle)).collect();
        needles.sort_unstable();
        needles.dedup();
        needles.retain(|needle| !needle.is_empty());
        let longest = needles.iter().map(Vec::len).max().unwrap_or_default();
        Self { needles: needles.iter().map(|needle| Finder::new(needle).into_owned()).collect(), longest }
    }

    /// Checks whether a string contains the secret or ends with its first bytes.
    pub(crate) fn occur_in(&self, text: &[u8]) -> bool {
        let overlap = self.longest * MAX_ESCAPE_BYTES;
        let window = WINDOW_BYTES.max(4 * overlap);
        let (mut decoded, mut before) = (Vec::new(), Vec::new());
        let mut rest = text;
        loop {
            let is_last = rest.len() <= window + overlap;
            let mut layer = rest.get(..window + overlap).unwrap_or(rest);
            for _ in 0..=MAX_LAYERS {
                let normalized = normalized(layer);
                if self.needles.iter().any(|needle| needle.find(&normalized).is_some())
                    || is_last && self.start_at_end(&normalized)
                {
                    return true;
                }
                if !decode(layer, &mut decoded) {
                    break;
                }
                std::mem::swap(&mut decoded, &mut before);
                layer = &before;
            }
            if is_last {
                return false;
            }
            rest = rest.get(window..).unwrap_or_default();
        }
    }

    /// Checks whether a string is cut within a needle, possibly in the middle of an escape or of nested escapes.
    fn start_at_end(&self, normalized: &[u8]) -> bool {
        let last_escape = |text: &&[u8]| {
            let at = memrchr3(b'\\', b'%', b'&', text).filter(|at| normalized.len() - at <= MAX_ESCAPE_BYTES);
            at.and_then(|at| normalized.get(..at))
        };
        std::iter::successors(Some(normalized), last_escape).any(|text| {
            self.needles.iter().map(Finder::needle).any(|needle| {
                let mut lengths = MIN_BYTES_AT_END..needle.len();
                lengths.any(|length| needle.get(..length).is_some_and(|start| text.ends_with(start)))
            })
        })
    }
}

/// Returns a string in which equivalent spellings are the same: in lower case, with one base64 alphabet, spaces for `+`,
/// and without control characters such as the line breaks of long base64.
fn normalized(text: &[u8]) -> Vec<u8> {
    let mut normalized = text.to_ascii_lowercase();
    let mut min_byte = u8::MAX;
    // Written so that the compiler vectorizes the loop.
    for byte in &mut normalized {
        *byte = if matches!(*byte, b'+' | b'-') { b' ' } else { *byte };
        *byte = if *byte == b'_' { b'/' } else { *byte };
        min_byte = min_byte.min(*byte);
    }
    if min_byte < b' ' {
        normalized.retain(|byte| *byte >= b' ');
    }
    normalized
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::credentials::{credentials, is_long_enough};

    /// Contains characters that JSON, HTML, URLs and the base64 alphabets encode differently.
    const SECRET: &str = "can+ary/4f 1b=7d\"'\\<&>%41_Z";

    fn every_char(escape: impl Fn(char) -> String) -> String {
        SECRET.chars().map(escape).collect()
    }

    /// Returns the secret as various encoders write it, each with its form's name.
    fn forms() -> Vec<(&'static str, String)> {
        let json = serde_json::to_string(SECRET).unwrap();
        let percent = |upper: bool, space: &str| {
            every_char(|c| match c {
                ' ' => space.to_owned(),
                c if c.is_ascii_alphanumeric() => c.to_string(),
                c if upper => format!("%{:02X}", u32::from(c)),
                c => format!("%{:02x}", u32::from(c)),
            })
        };
        let html = SECRET.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        let html_of_attributes = html.replace('\'', "&apos;").replace(' ', "&nbsp;");
        let hex = every_char(|c| format!("{:02x}", u32::from(c)));
        vec![
            ("plain", SECRET.to_owned()),
            ("lower case", SECRET.to_lowercase()),
            ("JSON", json.clone()),
            ("JSON in JSON", serde_json::to_string(&json).unwrap()),
            ("JSON, all escaped", every_char(|c| format!("\\u{:04x}", u32::from(c)))),
            ("JSON, all escaped, upper case", every_char(|c| format!("\\u{:04X}", u32::from(c)))),
            ("JSON, slashes escaped", json.replace('/', "\\/")),
            ("JSON, one letter escaped", SECRET.replacen('r', "\\u0072", 1).replacen('"', "\\\"", 1)),
            ("URL, upper case", percent(true, "%20")),
            ("URL, lower case", percent(false, "%20")),
            ("form", percent(true, "+")),
            ("URL in a URL", percent(true, "%20").replace('%', "%25")),
            ("URL in JSON, escaped", percent(true, "+").replace('%', "\\u0025")),
            ("URL, all escaped", every_char(|c| format!("%{:02x}", u32::from(c)))),
            ("HTML", html),
            ("HTML of attributes", html_of_attributes),
            ("HTML, decimal", every_char(|c| format!("&#{};", u32::from(c)))),
            ("HTML, hexadecimal", every_char(|c| format!("&#x{:X};", u32::from(c)))),
            ("HTML in a URL", every_char(|c| format!("%26%23{}%3B", u32::from(c)))),
            ("program text", every_char(|c| format!("\\x{:02x}", u32::from(c)))),
            ("hexadecimal", hex.clone()),
            ("hexadecimal, upper case", hex.to_uppercase()),
        ]
    }

    #[test]
    fn every_form_of_a_secret_is_found_at_any_position() {
        let found = Forms::new(SECRET.as_bytes());
        for (name, form) in forms() {
            for before in [0, 1, WINDOW_BYTES - 7, WINDOW_BYTES, 3 * WINDOW_BYTES - form.len() / 2] {
                let text = format!("{}{form}{}", "x".repeat(before), "y".repeat(WINDOW_BYTES));
                assert!(found.occur_in(text.as_bytes()), "{name} after {before} bytes");
            }
        }
        for text in
            ["", "can", "can+ary/4f 1b=7e and so on", "{\"count\": 7, \"results\": []}", "%", "\\", "&", "&;", "\\u12"]
        {
            assert!(!found.occur_in(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn base64_is_found_at_each_offset_in_either_alphabet_with_line_breaks_or_escapes() {
        let found = Forms::new(SECRET.as_bytes());
        for before in ["", "u", "us", "usr", "user:"] {
            for after in ["", "!", "!!", "!!!"] {
                // At offset 0, only whole groups of three bytes are encoded.
                let mut all = format!("{before}{SECRET}{after}").into_bytes();
                all.resize(all.len().next_multiple_of(3), b'.');
                let text = String::from_utf8(base64(&all, 0)).unwrap();
                let lines: Vec<&str> =
                    text.as_bytes().chunks(8).map(|line| std::str::from_utf8(line).unwrap()).collect();
                for form in [
                    text.clone(),
                    text.replace('+', "-").replace('/', "_"),
                    text.replace('/', "\\/"),
                    text.replace('+', "%2B").replace('/', "%2F"),
                    lines.join("\r\n"),
                    lines.join("\\n"),
                ] {
                    assert!(found.occur_in(format!("Basic {form}, they say").as_bytes()), "{before} {after} {form}");
                }
            }
        }
    }

    #[test]
    fn a_secret_is_found_in_a_text_that_is_cut_within_it() {
        let found = Forms::new(SECRET.as_bytes());
        for (name, form) in forms() {
            for n_chars in form.chars().count().min(MIN_BYTES_AT_END * MAX_ESCAPE_BYTES)..form.chars().count() {
                let cut: String = form.chars().take(n_chars).collect();
                assert!(found.occur_in(format!("no such key: {cut}").as_bytes()), "{name}: {cut}");
            }
        }
        assert!(found.occur_in(b"no such key: can+a") && !found.occur_in(b"no such key: can"));
        // Holds for any text length relative to the search window.
        for n_bytes in (WINDOW_BYTES - 1_000..WINDOW_BYTES + 1_000).step_by(100) {
            let text = format!("{}{}", "x".repeat(n_bytes), &SECRET[..12]);
            assert!(found.occur_in(text.as_bytes()), "after {n_bytes} bytes");
        }
    }

    #[test]
    fn a_backslash_is_removed_even_if_it_does_not_start_a_valid_escape() {
        let found = Forms::new(b"pixels-unsung-9");
        assert!(found.occur_in(br"key pi\xels-\unsung-9 is unknown"));
    }

    #[test]
    fn credentials_are_found_without_their_scheme_and_passwords_without_their_user() {
        let bearer = Forms::new(b"Bearer sk-4f1b7d-0a");
        let basic = Forms::new(b"Basic dXNlcjpvcGVuIHNlc2FtZQ==");
        for (found, text) in [
            (&bearer, "incorrect API key: sk-4f1b7d-0a."),
            (&bearer, "incorrect API key: c2stNGYxYjdkLTBh."),
            (&bearer, "header Bearer%20sk-4f1b7d-0a"),
            (&basic, "no such user: user:open sesame!"),
            (&basic, "password open+sesame is wrong"),
            (&basic, "credentials dXNlcjpvcGVuIHNlc2FtZQ== are wrong"),
        ] {
            assert!(found.occur_in(text.as_bytes()), "{text}");
        }
        assert!(!bearer.occur_in(b"expected a Bearer token") && !basic.occur_in(b"expected Basic credentials"));
        for (value, expected) in [
            ("Bearer abc", "abc"),
            ("Api-Key abc", "abc"),
            ("OAuth2 abc", "abc"),
            ("can+ary/4f 1b=7d", "can+ary/4f 1b=7d"),
            ("key", "key"),
        ] {
            assert_eq!(credentials(value), expected);
        }
        for (value, expected) in [
            ("12345678", true),
            ("1234567", false),
            ("Api-Key 1234567", false),
            ("Basic dXNlcjpvcGVuIHNlc2FtZQ==", true),
            // A long user name and a password of four characters.
            ("Basic YS1sb25nLW5hbWU6b3Blbg==", false),
            ("basic YS1sb25nLW5hbWU6b3Blbg==", false),
            // A token that happens to decode to text with a colon near the end.
            ("Bearer YS1sb25nLW5hbWU6b3Blbg==", true),
        ] {
            assert_eq!(is_long_enough(value), expected, "{value}");
        }
    }

    #[test]
    fn the_secret_part_of_a_value_is_found_without_the_text_around_it() {
        for value in [
            "Api-Key sk-4f1b7d-0a",
            "OAuth2 sk-4f1b7d-0a",
            "Token token=\"sk-4f1b7d-0a\"",
            "Token token=\"sk-4f1b7d-0a\", id=7",
            "ApiKey user:sk-4f1b7d-0a",
            "session=sk-4f1b7d-0a; theme=dark",
            "theme=dark; session=sk-4f1b7d-0a",
            "SSWS  sk-4f1b7d-0a",
            "two words sk-4f1b7d-0a",
        ] {
            let found = Forms::new(value.as_bytes());
            for text in ["unknown key sk-4f1b7d-0a", "c2stNGYxYjdkLTBh is unknown", "{\"key\": \"sk\\u002d4f1b7d-0a\"}"]
            {
                assert!(found.occur_in(text.as_bytes()), "{text} of {value}");
            }
            assert!(!found.occur_in(b"a token, an id, a session of two words, a theme, an api-key."), "{value}");
        }
    }

    #[test]
    fn a_non_ascii_secret_is_found_as_utf_8_as_latin_1_and_as_utf_8_read_as_latin_1() {
        let found = Forms::new("schlüssel-äöß".as_bytes());
        for text in [
            "schlüssel-äöß",
            "schl\\u00fcssel-\\u00e4\\u00f6\\u00df",
            "schl%C3%BCssel-%c3%a4%c3%b6%c3%9f",
            "schlÃ¼ssel-Ã¤Ã¶Ã\u{9f}",
            "schl&#252;ssel-&#xe4;&#246;&#223;",
        ] {
            assert!(found.occur_in(format!("key {text} is unknown").as_bytes()), "{text}");
        }
        assert!(found.occur_in(b"key schl\xfcssel-\xe4\xf6\xdf is unknown"));
        let emoji = Forms::new("rocket-🚀-key".as_bytes());
        assert!(emoji.occur_in(br"rocket-\ud83d\ude80-key!") && !emoji.occur_in(br"rocket-\ud83d-key is no key"));
    }
}
