//! Undoes the escapes of JSON, URLs, HTML and program text, one layer at a time.

use memchr::memchr3;

/// Undoes one layer of escapes. Returns whether there was one. Only in that case does `decoded` contain the text.
pub(super) fn decode(text: &[u8], decoded: &mut Vec<u8>) -> bool {
    decoded.clear();
    let mut is_changed = false;
    // Bytes before `n_copied` are in `decoded`; bytes before `n_seen` have been searched for escapes.
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

/// Decodes the escape at the beginning of a string. Returns its value and its length in bytes.
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
        // The text is cut within the escape.
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
        // These are control characters, which the search ignores.
        (_, [b'n' | b'r' | b't' | b'b' | b'f', ..]) => Some((Unescaped::Byte(b'\n'), 2)),
        (_, [byte, ..]) => Some((Unescaped::Byte(*byte), 2)),
        (_, []) => None,
    }
}

/// Parses `n_digits` hexadecimal digits at the beginning of a string.
fn hex(text: &[u8], n_digits: usize) -> Option<u32> {
    let digits = text.get(..n_digits).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
