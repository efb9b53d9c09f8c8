//! Text that must occur at a place.

use crate::words::piece;

/// A text to compare with. Its first and its last bytes, which together cover it, are compared as words.
#[derive(Debug)]
pub(crate) enum Separator {
    Short { first: [u8; 4], last: [u8; 4], length: usize },
    Medium { first: [u8; 8], last: [u8; 8], length: usize },
    Long { first: [u8; 16], last: [u8; 16], length: usize },
    Other(Vec<u8>),
}

impl Separator {
    pub(crate) fn new(text: &[u8]) -> Self {
        let length = text.len();
        match length {
            4..8 => Self::ends(text).map(|(first, last)| Self::Short { first, last, length }),
            8..=16 => Self::ends(text).map(|(first, last)| Self::Medium { first, last, length }),
            17..=32 => Self::ends(text).map(|(first, last)| Self::Long { first, last, length }),
            _ => None,
        }
        .unwrap_or_else(|| Self::Other(text.to_vec()))
    }

    fn ends<const N: usize>(text: &[u8]) -> Option<([u8; N], [u8; N])> {
        Some((*text.first_chunk()?, *text.last_chunk()?))
    }

    /// Returns the position after this text, or `None` if other text is at the position.
    #[inline(always)]
    pub(crate) fn skip(&self, body: &[u8], at: usize) -> Option<usize> {
        let (is_equal, length) = match self {
            Self::Short { first, last, length } => {
                (piece(body, at)? == first && piece(body, at + length - 4)? == last, *length)
            }
            Self::Medium { first, last, length } => {
                (piece(body, at)? == first && piece(body, at + length - 8)? == last, *length)
            }
            Self::Long { first, last, length } => {
                (piece(body, at)? == first && piece(body, at + length - 16)? == last, *length)
            }
            Self::Other(text) => (body.get(at..at + text.len())? == text, text.len()),
        };
        is_equal.then_some(at + length)
    }
}
