//! An answer's body as it arrives, unpacked and bounded.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use reqwest::header::{CONTENT_ENCODING, HeaderMap};

/// Takes a body's bytes as they arrive and keeps what they unpack to.
pub(crate) enum Unpacker {
    Plain(Bounded),
    /// One gzip member after another is one body (RFC 1952, section 2.2).
    Gzip(Box<MultiGzDecoder<Bounded>>),
}

/// Why a body is not taken.
#[derive(Debug)]
pub(crate) enum BadBody {
    /// It unpacks to more than is allowed.
    TooLarge,
    /// It is not packed as it says, or breaks off.
    Torn(io::Error),
}

impl Unpacker {
    /// For an answer with these headers, of at most `limit_bytes` once unpacked.
    ///
    /// - `bytes`: empty; what the body is kept in.
    ///
    /// # Errors
    /// The encoding, as the headers have it, when it is neither none nor gzip, once.
    pub(crate) fn new(headers: &HeaderMap, limit_bytes: usize, bytes: Vec<u8>) -> Result<Self, Vec<u8>> {
        let kept = Bounded { bytes, limit_bytes, is_over: false };
        // Several headers are one list, and names are equal in any case (RFC 9110, sections 5.3 and 8.4.1).
        let values: Vec<&[u8]> = headers.get_all(CONTENT_ENCODING).iter().map(|value| value.as_bytes()).collect();
        let values = values.join(&b", "[..]);
        let is_applied = |name: &&[u8]| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity");
        let mut applied = values.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(is_applied);
        match (applied.next(), applied.next()) {
            (None, _) => Ok(Self::Plain(kept)),
            (Some(name), None) if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") => {
                Ok(Self::Gzip(Box::new(MultiGzDecoder::new(kept))))
            }
            _ => Err(values),
        }
    }

    /// Refuses a body whose length was announced and is over the limit. That of a packed one says little of what it unpacks
    /// to, and none is believed before the bytes arrive.
    pub(crate) fn check_announced(&self, n_bytes: u64) -> Result<(), BadBody> {
        match self {
            Self::Plain(kept) if n_bytes > kept.limit_bytes as u64 => Err(BadBody::TooLarge),
            _ => Ok(()),
        }
    }

    /// Bytes of memory that the body takes so far.
    pub(crate) fn n_bytes(&self) -> usize {
        match self {
            Self::Plain(kept) => kept.bytes.len(),
            Self::Gzip(decoder) => decoder.get_ref().bytes.len(),
        }
    }

    /// Takes the bytes that follow.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), BadBody> {
        let taken = match self {
            Self::Plain(kept) => kept.write_all(bytes),
            Self::Gzip(decoder) => decoder.write_all(bytes),
        };
        taken.map_err(|error| self.bad(error))
    }

    /// The whole body, after its last byte.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>, BadBody> {
        if let Self::Gzip(decoder) = &mut self
            && let Err(error) = decoder.try_finish()
        {
            return Err(self.bad(error));
        }
        Ok(self.so_far())
    }

    /// What there is of a body that may not be whole.
    pub(crate) fn so_far(mut self) -> Vec<u8> {
        match &mut self {
            Self::Plain(kept) => std::mem::take(&mut kept.bytes),
            Self::Gzip(decoder) => {
                // Hands over what is unpacked; what cannot be is no matter here.
                let _ = decoder.flush();
                std::mem::take(&mut decoder.get_mut().bytes)
            }
        }
    }

    fn bad(&self, error: io::Error) -> BadBody {
        let kept = match self {
            Self::Plain(kept) => kept,
            Self::Gzip(decoder) => decoder.get_ref(),
        };
        if kept.is_over { BadBody::TooLarge } else { BadBody::Torn(error) }
    }
}

/// Bytes up to a limit. More than that is an error, and what goes over is not kept.
pub(crate) struct Bounded {
    bytes: Vec<u8>,
    limit_bytes: usize,
    is_over: bool,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n_kept = bytes.len().min(self.limit_bytes - self.bytes.len());
        self.bytes.extend_from_slice(bytes.get(..n_kept).unwrap_or_default());
        self.is_over = n_kept < bytes.len();
        if self.is_over { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(n_kept) }
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

    /// What a body unpacks to that comes in pieces of `piece` bytes.
    fn unpack(encodings: &[&'static str], body: &[u8], piece: usize, limit_bytes: usize) -> Result<String, String> {
        let mut unpacker = Unpacker::new(&headers(encodings), limit_bytes, Vec::new())
            .map_err(|found| String::from_utf8(found).unwrap())?;
        let named = |bad| match bad {
            BadBody::TooLarge => "too large".to_owned(),
            BadBody::Torn(_) => "torn".to_owned(),
        };
        for bytes in body.chunks(piece) {
            unpacker.push(bytes).map_err(named)?;
        }
        Ok(String::from_utf8(unpacker.finish().map_err(named)?.to_vec()).unwrap())
    }

    /// Found by use: B10.
    #[test]
    fn a36_gzip_is_known_by_each_of_its_names_and_what_is_packed_otherwise_is_refused_as_it_was_named() {
        for names in [&["gzip"][..], &["x-gzip"], &["GZIP"], &[" X-GZip "], &["identity, gzip"], &["Identity", "gzip,"]]
        {
            assert_eq!(unpack(names, &gzip(b"rows"), 5, 100), Ok("rows".to_owned()), "{names:?}");
        }
        for names in [&[][..], &["identity"], &["IDENTITY"], &[""]] {
            assert_eq!(unpack(names, b"rows", 3, 100), Ok("rows".to_owned()), "{names:?}");
        }
        for names in [&["br"][..], &["deflate"], &["gzip, gzip"], &["x-gzip, br"], &["gzip2"]] {
            assert_eq!(unpack(names, b"rows", 3, 100), Err(names[0].to_owned()), "{names:?}");
        }
        assert_eq!(unpack(&["gzip", "gzip"], b"rows", 3, 100), Err("gzip, gzip".to_owned()));
    }

    /// Found by use: B10.
    #[test]
    fn a36_members_are_one_body_of_which_each_must_be_whole_and_nothing_else_may_follow() {
        let members = [gzip(b"two "), gzip(b""), gzip(b"members")].concat();
        for piece in 1..=members.len() {
            assert_eq!(unpack(&["gzip"], &members, piece, 100), Ok("two members".to_owned()), "{piece}");
            // The limit is that of all members together.
            assert_eq!(unpack(&["gzip"], &members, piece, 11), Ok("two members".to_owned()), "{piece}");
            assert_eq!(unpack(&["gzip"], &members, piece, 10), Err("too large".to_owned()), "{piece}");
            for garbage in [&b"\0"[..], b"\x1f", b"\x1f\x8b", b"garbage", b"more garbage than a header has", &[0; 512]]
            {
                let spoilt = [&members, garbage].concat();
                assert_eq!(unpack(&["gzip"], &spoilt, piece, 100), Err("torn".to_owned()), "{piece} {garbage:?}");
            }
        }
        let ends = [gzip(b"two ").len(), gzip(b"two ").len() + gzip(b"").len(), members.len()];
        for n_bytes in (0..members.len()).filter(|n_bytes| !ends.contains(n_bytes)) {
            assert_eq!(unpack(&["gzip"], &members[..n_bytes], 7, 100), Err("torn".to_owned()), "{n_bytes}");
        }
        let mut flipped = members;
        let last = flipped.len() - 1;
        flipped[last] ^= 1;
        assert_eq!(unpack(&["gzip"], &flipped, 7, 100), Err("torn".to_owned()));
    }

    #[test]
    fn an_announced_length_over_the_limit_is_refused_unless_it_is_that_of_a_packed_body() {
        for (encoding, is_refused) in [("identity", true), ("gzip", false)] {
            let unpacker = Unpacker::new(&headers(&[encoding]), 100, Vec::new()).unwrap();
            assert_eq!(unpacker.check_announced(101).is_err(), is_refused, "{encoding}");
            assert!(unpacker.check_announced(100).is_ok());
        }
    }
}
