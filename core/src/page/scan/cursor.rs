//! Reads JSON tokens from a text, moving forward. What needs a second look is `None`, and left to serde.

use crate::page::numbers::parse_integral;

/// A value that needs no second look.
pub(super) enum Scanned<'t> {
    Null,
    Integer(i64),
    /// A number with a fraction, as it is spelled.
    Decimal(&'t str),
    Text(&'t str),
}

impl Scanned<'_> {
    /// The code that this is of an axis, if it can be one.
    pub(super) fn code(&self) -> Option<i64> {
        match self {
            Self::Null => None,
            Self::Integer(code) => Some(*code),
            Self::Decimal(text) | Self::Text(text) => parse_integral(text),
        }
    }
}

/// A place in the text, moving forward.
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

    /// Steps over these bytes, if they come next.
    #[inline(always)]
    pub(super) fn take(&mut self, expected: &[u8]) -> Option<()> {
        let end = self.at + expected.len();
        are_equal(self.text.as_bytes().get(self.at..end)?, expected).then(|| self.at = end)
    }

    /// Steps over this byte, if it comes next.
    #[inline(always)]
    pub(super) fn take_byte(&mut self, expected: u8) -> Option<()> {
        (self.peek()? == expected).then(|| self.at += 1)
    }

    /// The text of a string without escapes. A control character is left to serde, which refuses it.
    #[inline(always)]
    pub(super) fn string(&mut self) -> Option<&'t str> {
        self.take_byte(b'"')?;
        let mut rest = self.text.as_bytes().get(self.at..)?;
        let mut length = 0;
        while let Some((word, others)) = rest.split_first_chunk() {
            let special = special_bytes(u64::from_le_bytes(*word));
            if special != 0 {
                length += special.trailing_zeros() as usize / 8;
                return self.string_of(length);
            }
            length += word.len();
            rest = others;
        }
        length += rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
        self.string_of(length)
    }

    /// The next bytes, if a quote comes after them.
    #[inline(always)]
    fn string_of(&mut self, length: usize) -> Option<&'t str> {
        let found = self.text.get(self.at..self.at + length)?;
        self.at += length;
        self.take_byte(b'"')?;
        Some(found)
    }

    /// Steps behind the quote that ends a string.
    fn skip_string(&mut self) -> Option<()> {
        loop {
            let byte = self.peek()?;
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                return Some(());
            }
        }
    }

    /// The text of the object that comes next, to the brace that closes it.
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

    /// A fraction of at most 15 digits before and after the point, an integer part `0` or without leading zeros, no
    /// exponent: what every parser reads as the nearest double.
    #[inline(never)]
    fn decimal(&mut self) -> Option<&'t str> {
        const MOST_DIGITS: usize = 15;
        let start = self.at;
        self.take_byte(b'-');
        let n_whole = self.skip_digits();
        let has_leading_zero = n_whole > 1 && self.text.as_bytes().get(self.at - n_whole) == Some(&b'0');
        self.take_byte(b'.')?;
        let n_fraction = self.skip_digits();
        let is_plain = (1..=MOST_DIGITS).contains(&n_whole) && (1..=MOST_DIGITS).contains(&n_fraction);
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

    /// An integer of at most 18 digits. What follows it is for the caller to check: an exponent makes it another number.
    #[inline(always)]
    fn integer(&mut self) -> Option<i64> {
        const MOST_DIGITS: usize = 18;
        let is_negative = self.take_byte(b'-').is_some();
        let digits = self.text.as_bytes().get(self.at..)?;
        let (mut value, mut n_digits) = (0_i64, 0);
        for byte in digits {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            // Overflow comes after the limit below, which is checked once.
            value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
            n_digits += 1;
        }
        // Also where it is none, so that the caller sees what follows.
        self.at += n_digits;
        let has_leading_zero = digits.first() == Some(&b'0') && (n_digits > 1 || is_negative);
        // A negative zero is a float to serde.
        if n_digits == 0 || n_digits > MOST_DIGITS || has_leading_zero {
            return None;
        }
        Some(if is_negative { -value } else { value })
    }

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

/// Whether two slices of one length are equal. They are a key and some signs long, which a call to the system's own
/// comparison would cost more than the comparison itself.
#[inline]
fn are_equal(found: &[u8], expected: &[u8]) -> bool {
    /// Compares by the first `N` bytes and the last, which overlap or meet.
    #[inline]
    fn by_ends<const N: usize>(found: &[u8], expected: &[u8]) -> bool {
        found.first_chunk::<N>() == expected.first_chunk::<N>() && found.last_chunk::<N>() == expected.last_chunk::<N>()
    }
    match expected.len() {
        8..=16 => by_ends::<8>(found, expected),
        17..=32 => by_ends::<16>(found, expected),
        4..=7 => by_ends::<4>(found, expected),
        _ => found == expected,
    }
}

/// Marks the bytes of a word (its first byte lowest) that end a plain string: the highest bit of each quote, backslash
/// and control character. Marks above the lowest one may be wrong.
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
