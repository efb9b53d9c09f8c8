//! A secret in every form in which a portal may repeat it. What a portal says is searched here before it goes anywhere.
//!
//! Whatever repeats the secret is dropped whole: cutting the secret out would take knowing where each form ends, and a
//! mistake would show the rest of it.

use memchr::memmem::Finder;
use memchr::memrchr3;

use crate::secret::base64::base64;
use crate::secret::credentials::{FEWEST_CHARS, parts, user_and_password};
use crate::secret::escapes::decode;

/// Bytes of a text that are searched at once, so that what is decoded on the way stays in the processor's cache.
const WINDOW_BYTES: usize = 64 << 10;

/// Most bytes that stand for one byte, such as `&#x0063;` inside of another encoding.
const MOST_BYTES_FOR_ONE: usize = 12;

/// Encodings inside each other that are undone: a percent-encoded URL in JSON, quoted in JSON, in HTML.
const MOST_LAYERS: usize = 4;

/// A text may break off within the secret. As many of its first bytes at a text's end count as all of it.
const FEWEST_BYTES_AT_END: usize = 4;

/// A secret's forms.
///
/// Found are the value itself, the value in base64 (either alphabet, padded or not, at any offset in a longer text) and
/// in hexadecimal; each of them in upper or lower case, with `+` for spaces, and escaped character by character as JSON,
/// URLs, HTML or program text do it, up to [`MOST_LAYERS`] deep; and the first bytes of any of these at a text's end.
/// What stands in the value after a blank, a `:` or a `=` counts as the value too, so that the credentials after a scheme
/// (`Bearer …`), in a parameter (`Token token="…"`) or after a user's name are found without these; and so does the password
/// of `Basic …`. Parts of fewer than [`FEWEST_CHARS`] characters are not looked for by themselves.
pub(crate) struct Forms {
    needles: Vec<Finder<'static>>,
    /// Bytes of the longest needle.
    longest: usize,
}

impl Forms {
    /// The forms of a header's value that [`is_long_enough`].
    pub(crate) fn of(value: &[u8]) -> Self {
        let mut spellings = vec![value.to_vec()];
        if let Ok(text) = std::str::from_utf8(value) {
            let basic = user_and_password(text).unwrap_or_default();
            let parts = parts(text).chain(parts(&basic)).filter(|part| part.chars().count() >= FEWEST_CHARS);
            spellings.extend(parts.map(|part| part.as_bytes().to_vec()));
            if !text.is_ascii() {
                // The portal may take the bytes for Latin-1, or answer in Latin-1.
                spellings.push(value.iter().map(|byte| char::from(*byte)).collect::<String>().into_bytes());
                spellings.extend(text.chars().map(|c| u8::try_from(c).ok()).collect::<Option<Vec<u8>>>());
            }
        }
        let mut needles = Vec::new();
        for spelling in spellings {
            needles.extend((0..3).map(|offset| base64(&spelling, offset)));
            needles.push(spelling.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect());
            // The value may itself look like an escape, which is undone in what is searched.
            let mut decoded = Vec::new();
            let mut plain = spelling.clone();
            for _ in 0..MOST_LAYERS {
                if !decode(&plain, &mut decoded) {
                    break;
                }
                std::mem::swap(&mut plain, &mut decoded);
            }
            needles.extend([plain, spelling]);
        }
        let mut needles: Vec<Vec<u8>> = needles.iter().map(|needle| folded(needle)).collect();
        needles.sort_unstable();
        needles.dedup();
        needles.retain(|needle| !needle.is_empty());
        let longest = needles.iter().map(Vec::len).max().unwrap_or_default();
        Self { needles: needles.iter().map(|needle| Finder::new(needle).into_owned()).collect(), longest }
    }

    /// Whether a text repeats the secret, or ends in its beginning.
    pub(crate) fn are_in(&self, text: &[u8]) -> bool {
        let overlap = self.longest * MOST_BYTES_FOR_ONE;
        let window = WINDOW_BYTES.max(4 * overlap);
        let (mut decoded, mut before) = (Vec::new(), Vec::new());
        let mut rest = text;
        loop {
            let is_last = rest.len() <= window + overlap;
            let mut layer = rest.get(..window + overlap).unwrap_or(rest);
            for _ in 0..=MOST_LAYERS {
                let folded = folded(layer);
                if self.needles.iter().any(|needle| needle.find(&folded).is_some())
                    || is_last && self.begin_at_end(&folded)
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

    /// Whether a text breaks off within a needle, perhaps in the middle of an escape, or of one inside another.
    fn begin_at_end(&self, folded: &[u8]) -> bool {
        let last_escape = |text: &&[u8]| {
            let at = memrchr3(b'\\', b'%', b'&', text).filter(|at| folded.len() - at <= MOST_BYTES_FOR_ONE);
            at.and_then(|at| folded.get(..at))
        };
        std::iter::successors(Some(folded), last_escape).any(|text| {
            self.needles.iter().map(Finder::needle).any(|needle| {
                let mut lengths = FEWEST_BYTES_AT_END..needle.len();
                lengths.any(|length| needle.get(..length).is_some_and(|start| text.ends_with(start)))
            })
        })
    }
}

/// The text without what tells its spellings apart: case, the alphabets of base64, `+` for spaces, and control characters,
/// such as the line breaks of long base64.
fn folded(text: &[u8]) -> Vec<u8> {
    let mut folded = text.to_ascii_lowercase();
    let mut least = u8::MAX;
    // In a form that the compiler makes instructions on many bytes of.
    for byte in &mut folded {
        *byte = if matches!(*byte, b'+' | b'-') { b' ' } else { *byte };
        *byte = if *byte == b'_' { b'/' } else { *byte };
        least = least.min(*byte);
    }
    if least < b' ' {
        folded.retain(|byte| *byte >= b' ');
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::credentials::{credentials, is_long_enough};

    /// With signs that JSON, HTML, URLs and the alphabets of base64 write otherwise.
    const SECRET: &str = "can+ary/4f 1b=7d\"'\\<&>%41_Z";

    fn every_char(escape: impl Fn(char) -> String) -> String {
        SECRET.chars().map(escape).collect()
    }

    /// What a text encoder makes of the secret, by the name of the form.
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

    /// Found by use: H2.
    #[test]
    fn every_form_of_a_secret_is_found_wherever_it_stands() {
        let found = Forms::of(SECRET.as_bytes());
        for (name, form) in forms() {
            for before in [0, 1, WINDOW_BYTES - 7, WINDOW_BYTES, 3 * WINDOW_BYTES - form.len() / 2] {
                let text = format!("{}{form}{}", "x".repeat(before), "y".repeat(WINDOW_BYTES));
                assert!(found.are_in(text.as_bytes()), "{name} after {before} bytes");
            }
        }
        for text in
            ["", "can", "can+ary/4f 1b=7e and so on", "{\"count\": 7, \"results\": []}", "%", "\\", "&", "&;", "\\u12"]
        {
            assert!(!found.are_in(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn base64_is_found_at_each_offset_in_either_alphabet_with_line_breaks_or_escapes() {
        let found = Forms::of(SECRET.as_bytes());
        for before in ["", "u", "us", "usr", "user:"] {
            for after in ["", "!", "!!", "!!!"] {
                // At offset 0, whole groups of three bytes are all that is encoded.
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
                    assert!(found.are_in(format!("Basic {form}, they say").as_bytes()), "{before} {after} {form}");
                }
            }
        }
    }

    #[test]
    fn a_text_that_breaks_off_within_a_secret_is_found() {
        let found = Forms::of(SECRET.as_bytes());
        for (name, form) in forms() {
            for n_chars in form.chars().count().min(FEWEST_BYTES_AT_END * MOST_BYTES_FOR_ONE)..form.chars().count() {
                let cut: String = form.chars().take(n_chars).collect();
                assert!(found.are_in(format!("no such key: {cut}").as_bytes()), "{name}: {cut}");
            }
        }
        assert!(found.are_in(b"no such key: can+a") && !found.are_in(b"no such key: can"));
        // However the text's length lies to that of what is searched at once.
        for n_bytes in (WINDOW_BYTES - 1_000..WINDOW_BYTES + 1_000).step_by(100) {
            let text = format!("{}{}", "x".repeat(n_bytes), &SECRET[..12]);
            assert!(found.are_in(text.as_bytes()), "after {n_bytes} bytes");
        }
    }

    #[test]
    fn a_backslash_before_a_letter_that_begins_an_escape_and_does_not_here_is_undone() {
        let found = Forms::of(b"pixels-unsung-9");
        assert!(found.are_in(br"key pi\xels-\unsung-9 is unknown"));
    }

    #[test]
    fn the_credentials_after_a_scheme_are_found_without_it_and_so_is_a_password() {
        let bearer = Forms::of(b"Bearer sk-4f1b7d-0a");
        let basic = Forms::of(b"Basic dXNlcjpvcGVuIHNlc2FtZQ==");
        for (found, text) in [
            (&bearer, "incorrect API key: sk-4f1b7d-0a."),
            (&bearer, "incorrect API key: c2stNGYxYjdkLTBh."),
            (&bearer, "header Bearer%20sk-4f1b7d-0a"),
            (&basic, "no such user: user:open sesame!"),
            (&basic, "password open+sesame is wrong"),
            (&basic, "credentials dXNlcjpvcGVuIHNlc2FtZQ== are wrong"),
        ] {
            assert!(found.are_in(text.as_bytes()), "{text}");
        }
        assert!(!bearer.are_in(b"expected a Bearer token") && !basic.are_in(b"expected Basic credentials"));
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
            // A user of a long name and a password of four characters.
            ("Basic YS1sb25nLW5hbWU6b3Blbg==", false),
            ("basic YS1sb25nLW5hbWU6b3Blbg==", false),
            // A token that happens to decode to text with a colon near its end.
            ("Bearer YS1sb25nLW5hbWU6b3Blbg==", true),
        ] {
            assert_eq!(is_long_enough(value), expected, "{value}");
        }
    }

    #[test]
    fn the_secret_part_of_a_value_is_found_without_what_stands_around_it() {
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
            let found = Forms::of(value.as_bytes());
            for text in ["unknown key sk-4f1b7d-0a", "c2stNGYxYjdkLTBh is unknown", "{\"key\": \"sk\\u002d4f1b7d-0a\"}"]
            {
                assert!(found.are_in(text.as_bytes()), "{text} of {value}");
            }
            assert!(!found.are_in(b"a token, an id, a session of two words, a theme, an api-key."), "{value}");
        }
    }

    #[test]
    fn a_secret_beyond_ascii_is_found_as_utf_8_as_latin_1_and_as_one_taken_for_the_other() {
        let found = Forms::of("schlüssel-äöß".as_bytes());
        for text in [
            "schlüssel-äöß",
            "schl\\u00fcssel-\\u00e4\\u00f6\\u00df",
            "schl%C3%BCssel-%c3%a4%c3%b6%c3%9f",
            "schlÃ¼ssel-Ã¤Ã¶Ã\u{9f}",
            "schl&#252;ssel-&#xe4;&#246;&#223;",
        ] {
            assert!(found.are_in(format!("key {text} is unknown").as_bytes()), "{text}");
        }
        assert!(found.are_in(b"key schl\xfcssel-\xe4\xf6\xdf is unknown"));
        let emoji = Forms::of("rocket-🚀-key".as_bytes());
        assert!(emoji.are_in(br"rocket-\ud83d\ude80-key!") && !emoji.are_in(br"rocket-\ud83d-key is no key"));
    }
}
