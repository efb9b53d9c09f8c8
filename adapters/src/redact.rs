//! A secret in every form in which a portal may repeat it. What a portal says is searched here before it goes anywhere.
//!
//! Whatever repeats the secret is dropped whole: cutting the secret out would take knowing where each form ends, and a
//! mistake would show the rest of it.

use memchr::memmem::Finder;
use memchr::{memchr3, memrchr3};

/// Bytes of a text that are searched at once, so that what is decoded on the way stays in the processor's cache.
const WINDOW_BYTES: usize = 64 << 10;

/// Most bytes that stand for one byte, such as `&#x0063;` inside of another encoding.
const MOST_BYTES_FOR_ONE: usize = 12;

/// Encodings inside each other that are undone: a percent-encoded URL in JSON, quoted in JSON, in HTML.
const MOST_LAYERS: usize = 4;

/// A text may break off within the secret. As many of its first bytes at a text's end count as all of it.
const FEWEST_BYTES_AT_END: usize = 4;

/// Fewest characters of a secret. A shorter one would be found by chance in what is none of it.
pub(crate) const FEWEST_CHARS: usize = 8;

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

/// Whether the secret part of a header's value has [`FEWEST_CHARS`] characters: what follows a scheme, or all of it; of
/// `Basic …` the password.
pub(crate) fn is_long_enough(value: &str) -> bool {
    let is_basic = value.split_once(' ').is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    let basic = is_basic.then(|| user_and_password(value)).flatten();
    let password = basic.as_deref().and_then(|basic| basic.split_once(':')).map(|(_, password)| password);
    password.unwrap_or_else(|| credentials(value)).chars().count() >= FEWEST_CHARS
}

/// What follows a scheme (RFC 9110, section 11.4), which is a token (section 5.6.2), or all of a header's value.
fn credentials(value: &str) -> &str {
    let is_of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match value.split_once(' ') {
        Some((scheme, credentials)) if scheme.bytes().all(is_of_token) => credentials.trim(),
        _ => value,
    }
}

/// What `Basic` credentials encode, `user:password` (RFC 7617); `None` when they encode no text of that kind.
fn user_and_password(value: &str) -> Option<String> {
    let decoded = String::from_utf8(from_base64(credentials(value))?).ok()?;
    decoded.contains(':').then_some(decoded)
}

/// The value, what stands in it after each blank, and of each of these what stands after the first `:` or `=`, to its end
/// and to the end of that parameter.
fn parts(value: &str) -> impl Iterator<Item = &str> {
    let after_blank = value.match_indices(' ').filter_map(|(at, _)| value.get(at + 1..));
    std::iter::once(value).chain(after_blank).flat_map(|part| {
        let after = part.split_once([':', '=']).map_or("", |(_, after)| after.trim_start_matches('"'));
        let parameter = after.split(['"', ',', ';', ' ']).next().unwrap_or_default();
        [part, after.trim_end_matches('"'), parameter]
    })
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

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The characters of base64 that `bytes` alone decide when `offset` other bytes stand before them.
fn base64(bytes: &[u8], offset: usize) -> Vec<u8> {
    let bits = std::iter::repeat_n(0, offset).chain(bytes.iter().copied());
    let bits: Vec<u8> = bits.flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let sextets = bits.chunks_exact(6).skip((offset * 8).div_ceil(6));
    let index = |sextet: &[u8]| sextet.iter().fold(0, |index, bit| index << 1 | usize::from(*bit));
    sextets.filter_map(|sextet| BASE64.get(index(sextet)).copied()).collect()
}

/// The bytes that a text of base64 stands for; `None` when it is none.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let sextet = |byte: u8| BASE64.iter().position(|other| *other == byte);
    let sextets: Option<Vec<usize>> = text.trim_end_matches('=').bytes().map(sextet).collect();
    let bits: Vec<usize> = sextets?.iter().flat_map(|sextet| (0..6).rev().map(move |bit| sextet >> bit & 1)).collect();
    bits.chunks_exact(8).map(|byte| u8::try_from(byte.iter().fold(0, |byte, bit| byte << 1 | bit)).ok()).collect()
}

/// Undoes one layer of escapes. Gives whether there was one; only then is the text in `decoded`.
fn decode(text: &[u8], decoded: &mut Vec<u8>) -> bool {
    decoded.clear();
    let mut is_changed = false;
    // Up to here, the text is in `decoded` or is no escape.
    let (mut n_copied, mut n_seen) = (0, 0);
    let after = |n_bytes: usize| text.get(n_bytes..).unwrap_or_default();
    while let Some(at) = memchr3(b'\\', b'%', b'&', after(n_seen)) {
        n_seen += at;
        let Some((unescaped, n_bytes)) = unescape(after(n_seen)) else {
            n_seen += 1;
            continue;
        };
        is_changed = true;
        decoded.extend_from_slice(text.get(n_copied..n_seen).unwrap_or_default());
        match unescaped {
            Unescaped::Byte(byte) => decoded.push(byte),
            Unescaped::Char(c) => decoded.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        n_seen += n_bytes;
        n_copied = n_seen;
    }
    if is_changed {
        decoded.extend_from_slice(after(n_copied));
    }
    is_changed
}

enum Unescaped {
    Byte(u8),
    Char(char),
}

/// What an escape at the beginning of a text stands for, and its length.
fn unescape(text: &[u8]) -> Option<(Unescaped, usize)> {
    let (first, after) = text.split_first()?;
    match (first, after) {
        (b'%', _) => Some((Unescaped::Byte(u8::try_from(hex(after, 2)?).ok()?), 3)),
        (b'&', _) => {
            let end = after.iter().take(10).position(|byte| *byte == b';')?;
            let c = match after.get(..end)? {
                b"amp" => '&',
                b"lt" => '<',
                b"gt" => '>',
                b"quot" => '"',
                b"apos" => '\'',
                b"nbsp" => ' ',
                [b'#', b'x' | b'X', digits @ ..] => char::from_u32(hex(digits, digits.len())?)?,
                [b'#', digits @ ..] => char::from_u32(std::str::from_utf8(digits).ok()?.parse().ok()?)?,
                _ => return None,
            };
            Some((Unescaped::Char(c), end + 2))
        }
        // The text breaks off within it.
        (_, [b'x', digits @ ..]) if digits.len() < 2 => None,
        (_, [b'u', digits @ ..]) if digits.len() < 4 => None,
        (_, [b'x', digits @ ..]) if hex(digits, 2).is_some() => {
            Some((Unescaped::Byte(u8::try_from(hex(digits, 2)?).ok()?), 4))
        }
        (_, [b'u', digits @ ..]) if hex(digits, 4).is_some() => {
            let unit = hex(digits, 4)?;
            if let Some(c) = char::from_u32(unit) {
                return Some((Unescaped::Char(c), 6));
            }
            let second = digits.get(4..)?.strip_prefix(b"\\u").and_then(|digits| hex(digits, 4))?;
            let units = [u16::try_from(unit).ok()?, u16::try_from(second).ok()?];
            Some((Unescaped::Char(char::decode_utf16(units).next()?.ok()?), 12))
        }
        // Control characters, which are dropped.
        (_, [b'n' | b'r' | b't' | b'b' | b'f', ..]) => Some((Unescaped::Byte(b'\n'), 2)),
        (_, [byte, ..]) => Some((Unescaped::Byte(*byte), 2)),
        (_, []) => None,
    }
}

/// The number of `n_digits` hexadecimal digits at the beginning of a text.
fn hex(text: &[u8], n_digits: usize) -> Option<u32> {
    let digits = text.get(..n_digits).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

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
