//! Reads simple JSON tokens from a string. A method returns `None` for a token that only serde can read.

use crate::page::numbers::parse_integral;

/// A value that the scanner can read.
pub(super) enum Scanned<'t> {
    Null,
    Integer(i64),
    /// The text of a number with a fraction.
    Decimal(&'t str),
    Text(&'t str),
}

impl Scanned<'_> {
    /// Returns the value as the code of an axis, if it can be one.
    pub(super) fn code(&self) -> Option<i64> {
        match self {
            Self::Null => None,
            Self::Integer(code) => Some(*code),
            Self::Decimal(text) | Self::Text(text) => parse_integral(text),
        }
    }
}

/// A position in the text, which only moves forward.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
}

impl<'t> Cursor<'t> {
    #[inline]
    fn peek(self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) fn skip_white_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Skips `expected`, or returns `None` if other bytes come next.
    #[inline(always)]
    pub(super) fn take(&mut self, expected: &[u8]) -> Option<()> {
        let end = self.at + expected.len();
        are_equal(self.text.as_bytes().get(self.at..end)?, expected).then(|| self.at = end)
    }

    /// Skips the byte `expected`, or returns `None` if another byte comes next.
    #[inline(always)]
    pub(super) fn take_byte(&mut self, expected: u8) -> Option<()> {
        (self.peek()? == expected).then(|| self.at += 1)
    }

    /// Reads a string without escapes and returns its contents. A string with a control character is left to serde,
    /// which refuses it.
    #[inline(always)]
    pub(super) fn string(&mut self) -> Option<&'t str> {
        self.take_byte(b'"')?;
        let mut rest = self.text.as_bytes().get(self.at..)?;
        let mut length = 0;
        while let Some((word, others)) = rest.split_first_chunk() {
            let special = special_bytes(u64::from_le_bytes(*word));
            if special != 0 {
                length += special.trailing_zeros() as usize / 8;
                return self.string_with_length(length);
            }
            length += word.len();
            rest = others;
        }
        length += rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
        self.string_with_length(length)
    }

    /// Returns the next `length` bytes and skips the quote that must follow them.
    #[inline(always)]
    fn string_with_length(&mut self, length: usize) -> Option<&'t str> {
        let found = self.text.get(self.at..self.at + length)?;
        self.at += length;
        self.take_byte(b'"')?;
        Some(found)
    }

    /// Skips the rest of a string, including its closing quote.
    fn skip_string(&mut self) -> Option<()> {
        loop {
            let byte = self.peek()?;
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                return Some(());
            }
        }
    }

    /// Returns the text of the next object, including its closing brace, without skipping it.
    pub(super) fn object(&self) -> Option<&'t str> {
        let mut ahead = *self;
        let mut depth = 0_u32;
        loop {
            let byte = ahead.peek()?;
            ahead.at += 1;
            match byte {
                b'"' => ahead.skip_string()?,
                b'{' => depth += 1,
                b'}' => depth = depth.checked_sub(1)?,
                _ => {}
            }
            if depth == 0 {
                return self.text.get(self.at..ahead.at);
            }
        }
    }

    /// Reads a number with a fraction, with 1 to 15 digits on each side of the decimal point, no leading zeros and no
    /// exponent. Every parser reads such a number as the nearest double.
    #[inline(never)]
    fn decimal(&mut self) -> Option<&'t str> {
        const MAX_DIGITS: usize = 15;
        let start = self.at;
        self.take_byte(b'-');
        let n_whole = self.skip_digits();
        let has_leading_zero = n_whole > 1 && self.text.as_bytes().get(self.at - n_whole) == Some(&b'0');
        self.take_byte(b'.')?;
        let n_fraction = self.skip_digits();
        let is_plain = (1..=MAX_DIGITS).contains(&n_whole) && (1..=MAX_DIGITS).contains(&n_fraction);
        if !is_plain || has_leading_zero || matches!(self.peek(), Some(b'e' | b'E')) {
            return None;
        }
        self.text.get(start..self.at)
    }

    fn skip_digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    /// Reads an integer of at most 18 digits. The caller must check what follows, because an exponent changes the
    /// number.
    #[inline(always)]
    fn integer(&mut self) -> Option<i64> {
        const MAX_DIGITS: usize = 18;
        let is_negative = self.take_byte(b'-').is_some();
        let digits = self.text.as_bytes().get(self.at..)?;
        let (mut value, mut n_digits) = (0_i64, 0);
        for byte in digits {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            // This overflows only beyond the maximum number of digits, which is checked once below.
            value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
            n_digits += 1;
        }
        // The cursor moves even if this is not an integer, so that the caller sees what follows.
        self.at += n_digits;
        let has_leading_zero = digits.first() == Some(&b'0') && (n_digits > 1 || is_negative);
        // Serde reads a negative zero as a float.
        if n_digits == 0 || n_digits > MAX_DIGITS || has_leading_zero {
            return None;
        }
        Some(if is_negative { -value } else { value })
    }

    /// Reads a null, a number or a string without escapes.
    #[inline(always)]
    pub(super) fn value(&mut self) -> Option<Scanned<'t>> {
        let start = self.at;
        match self.peek()? {
            b'"' => self.string().map(Scanned::Text),
            b'n' => self.take(b"null").map(|()| Scanned::Null),
            _ => {
                let integer = self.integer();
                if self.peek() == Some(b'.') {
                    self.at = start;
                    return self.decimal().map(Scanned::Decimal);
                }
                integer.map(Scanned::Integer)
            }
        }
    }
}

/// Returns whether two slices of equal length are equal. The slices are short: a key and some punctuation. Calling the
/// system's comparison function would cost more than the comparison itself.
#[inline]
fn are_equal(found: &[u8], expected: &[u8]) -> bool {
    /// Compares the first and the last `N` bytes, which together cover the whole slice.
    #[inline]
    fn have_equal_ends<const N: usize>(found: &[u8], expected: &[u8]) -> bool {
        found.first_chunk::<N>() == expected.first_chunk::<N>() && found.last_chunk::<N>() == expected.last_chunk::<N>()
    }
    match expected.len() {
        8..=16 => have_equal_ends::<8>(found, expected),
        17..=32 => have_equal_ends::<16>(found, expected),
        4..=7 => have_equal_ends::<4>(found, expected),
        _ => found == expected,
    }
}

/// Marks the bytes of a little-endian word that end a plain string: sets the highest bit of each quote, backslash and
/// control character. Only the lowest mark is reliable.
///
/// Source: "Determine if a word has a byte less than n", S. E. Anderson, Bit Twiddling Hacks.
#[inline]
const fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGHS: u64 = ONES * 0x80;
    const fn below(word: u64, n: u64) -> u64 {
        word.wrapping_sub(ONES * n) & !word & HIGHS
    }
    below(word, 0x20) | below(word ^ (ONES * b'"' as u64), 1) | below(word ^ (ONES * b'\\' as u64), 1)
}
