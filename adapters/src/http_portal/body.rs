//! The body of a response, decompressed as it arrives and limited in size.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use reqwest::header::{CONTENT_ENCODING, HeaderMap};

/// Bytes that are decompressed at once, before the memory they need is counted: one may decompress to a thousand.
const PIECE_BYTES: usize = 1024;

/// Decompresses a body as its bytes arrive.
pub(crate) enum BodyDecoder {
    Plain(LimitedBuffer),
    /// Consecutive gzip members form one body (RFC 1952, section 2.2).
    Gzip(Box<MultiGzDecoder<LimitedBuffer>>),
}

/// Why a body was rejected.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// It decompresses to more bytes than allowed.
    TooLarge,
    /// It is not valid gzip, or it is truncated.
    Malformed(io::Error),
}

impl BodyDecoder {
    /// Returns a decoder for a response with these headers and at most `limit_bytes` decompressed bytes.
    ///
    /// - `bytes`: an empty buffer for the body.
    ///
    /// # Errors
    /// Returns the value of `Content-Encoding` if it names any encoding but a single gzip.
    pub(crate) fn new(headers: &HeaderMap, limit_bytes: usize, bytes: Vec<u8>) -> Result<Self, Vec<u8>> {
        let buffer = LimitedBuffer { bytes, limit_bytes, is_exceeded: false };
        // Repeated headers form one list, and names are case-insensitive (RFC 9110, sections 5.3 and 8.4.1).
        let values: Vec<&[u8]> = headers.get_all(CONTENT_ENCODING).iter().map(|value| value.as_bytes()).collect();
        let values = values.join(&b", "[..]);
        let is_applied = |name: &&[u8]| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity");
        let mut applied = values.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(is_applied);
        match (applied.next(), applied.next()) {
            (None, _) => Ok(Self::Plain(buffer)),
            (Some(name), None) if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") => {
                Ok(Self::Gzip(Box::new(MultiGzDecoder::new(buffer))))
            }
            _ => Err(values),
        }
    }

    /// Rejects an uncompressed body whose `Content-Length` exceeds the limit. The length of a compressed body says little
    /// about its decompressed size. No length is trusted before the bytes arrive.
    pub(crate) fn check_content_length(&self, n_bytes: u64) -> Result<(), BodyError> {
        match self {
            Self::Plain(buffer) if n_bytes > buffer.limit_bytes as u64 => Err(BodyError::TooLarge),
            _ => Ok(()),
        }
    }

    /// Returns the number of decompressed bytes held so far.
    pub(crate) fn n_bytes(&self) -> usize {
        match self {
            Self::Plain(buffer) => buffer.bytes.len(),
            Self::Gzip(decoder) => decoder.get_ref().bytes.len(),
        }
    }

    /// Returns the number of bytes to push at once. Plain ones take no more memory than those that arrived.
    pub(crate) fn piece_bytes(&self) -> usize {
        match self {
            Self::Plain(_) => usize::MAX,
            Self::Gzip(_) => PIECE_BYTES,
        }
    }

    /// Decompresses the next bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), BodyError> {
        let written = match self {
            Self::Plain(buffer) => buffer.write_all(bytes),
            Self::Gzip(decoder) => decoder.write_all(bytes),
        };
        written.map_err(|error| self.body_error(error))
    }

    /// Returns the whole body. Call it after the last byte.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>, BodyError> {
        if let Self::Gzip(decoder) = &mut self
            && let Err(error) = decoder.try_finish()
        {
            return Err(self.body_error(error));
        }
        Ok(self.into_partial())
    }

    /// Returns what has arrived of a body that may be incomplete.
    pub(crate) fn into_partial(mut self) -> Vec<u8> {
        match &mut self {
            Self::Plain(buffer) => std::mem::take(&mut buffer.bytes),
            Self::Gzip(decoder) => {
                // Moves pending output to the buffer. Bytes that cannot be decompressed do not matter here.
                let _ = decoder.flush();
                std::mem::take(&mut decoder.get_mut().bytes)
            }
        }
    }

    fn body_error(&self, error: io::Error) -> BodyError {
        let buffer = match self {
            Self::Plain(buffer) => buffer,
            Self::Gzip(decoder) => decoder.get_ref(),
        };
        if buffer.is_exceeded { BodyError::TooLarge } else { BodyError::Malformed(error) }
    }
}

/// A buffer with a limit. A write past the limit is an error, and the excess is dropped.
pub(crate) struct LimitedBuffer {
    bytes: Vec<u8>,
    limit_bytes: usize,
    is_exceeded: bool,
}

impl Write for LimitedBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n_kept = bytes.len().min(self.limit_bytes - self.bytes.len());
        self.bytes.extend_from_slice(bytes.get(..n_kept).unwrap_or_default());
        self.is_exceeded = n_kept < bytes.len();
        if self.is_exceeded { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(n_kept) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use reqwest::header::HeaderValue;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn headers(encodings: &[&'static str]) -> HeaderMap {
        encodings.iter().map(|encoding| (CONTENT_ENCODING, HeaderValue::from_static(encoding))).collect()
    }

    /// Decompresses a body that arrives in pieces of `piece` bytes.
    fn decode(encodings: &[&'static str], body: &[u8], piece: usize, limit_bytes: usize) -> Result<String, String> {
        let mut decoder = BodyDecoder::new(&headers(encodings), limit_bytes, Vec::new())
            .map_err(|found| String::from_utf8(found).unwrap())?;
        let named = |error| match error {
            BodyError::TooLarge => "too large".to_owned(),
            BodyError::Malformed(_) => "malformed".to_owned(),
        };
        for bytes in body.chunks(piece) {
            decoder.push(bytes).map_err(named)?;
        }
        Ok(String::from_utf8(decoder.finish().map_err(named)?.to_vec()).unwrap())
    }

    #[test]
    fn a36_every_name_of_gzip_is_accepted_and_any_other_encoding_is_refused_by_name() {
        for names in [&["gzip"][..], &["x-gzip"], &["GZIP"], &[" X-GZip "], &["identity, gzip"], &["Identity", "gzip,"]]
        {
            assert_eq!(decode(names, &gzip(b"rows"), 5, 100), Ok("rows".to_owned()), "{names:?}");
        }
        for names in [&[][..], &["identity"], &["IDENTITY"], &[""]] {
            assert_eq!(decode(names, b"rows", 3, 100), Ok("rows".to_owned()), "{names:?}");
        }
        for names in [&["br"][..], &["deflate"], &["gzip, gzip"], &["x-gzip, br"], &["gzip2"]] {
            assert_eq!(decode(names, b"rows", 3, 100), Err(names[0].to_owned()), "{names:?}");
        }
        assert_eq!(decode(&["gzip", "gzip"], b"rows", 3, 100), Err("gzip, gzip".to_owned()));
    }

    #[test]
    fn a36_gzip_members_form_one_body_and_must_be_complete_with_nothing_after_them() {
        let members = [gzip(b"two "), gzip(b""), gzip(b"members")].concat();
        for piece in 1..=members.len() {
            assert_eq!(decode(&["gzip"], &members, piece, 100), Ok("two members".to_owned()), "{piece}");
            // The limit applies to all members together.
            assert_eq!(decode(&["gzip"], &members, piece, 11), Ok("two members".to_owned()), "{piece}");
            assert_eq!(decode(&["gzip"], &members, piece, 10), Err("too large".to_owned()), "{piece}");
            for garbage in [&b"\0"[..], b"\x1f", b"\x1f\x8b", b"garbage", b"more garbage than a header has", &[0; 512]]
            {
                let corrupted = [&members, garbage].concat();
                assert_eq!(
                    decode(&["gzip"], &corrupted, piece, 100),
                    Err("malformed".to_owned()),
                    "{piece} {garbage:?}"
                );
            }
        }
        let ends = [gzip(b"two ").len(), gzip(b"two ").len() + gzip(b"").len(), members.len()];
        for n_bytes in (0..members.len()).filter(|n_bytes| !ends.contains(n_bytes)) {
            assert_eq!(decode(&["gzip"], &members[..n_bytes], 7, 100), Err("malformed".to_owned()), "{n_bytes}");
        }
        let mut flipped = members;
        let last = flipped.len() - 1;
        flipped[last] ^= 1;
        assert_eq!(decode(&["gzip"], &flipped, 7, 100), Err("malformed".to_owned()));
    }

    #[test]
    fn a_content_length_over_the_limit_is_refused_unless_the_body_is_compressed() {
        for (encoding, is_refused) in [("identity", true), ("gzip", false)] {
            let decoder = BodyDecoder::new(&headers(&[encoding]), 100, Vec::new()).unwrap();
            assert_eq!(decoder.check_content_length(101).is_err(), is_refused, "{encoding}");
            assert!(decoder.check_content_length(100).is_ok());
        }
    }
}
