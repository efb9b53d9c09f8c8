//! Entry points for benchmarks, behind the feature `bench`: each way of decoding a page, and the steps between decoding
//! and encoding. Nothing else may use them.

use super::{Page, PageDecoder};
use crate::dataset::Dataset;
use crate::error::Error;
use crate::fetch::key_set::KeySet;
use crate::file::Digest;
use crate::file::row_hash::digest_rows;

/// Returns whether the scanner can read this body, so that [`PageDecoder::decode`] does not need serde.
#[must_use]
pub fn is_scanned(decoder: &PageDecoder, body: &[u8]) -> bool {
    std::str::from_utf8(body).is_ok_and(|text| decoder.builder(false).scan(text).is_some())
}

/// Decodes a page like [`PageDecoder::decode`], but without the scanner.
///
/// # Errors
/// Same as [`PageDecoder::decode`].
pub fn decode_by_serde(decoder: &PageDecoder, body: &[u8]) -> Result<Page, Error> {
    match std::str::from_utf8(body) {
        Ok(text) => decoder.decode_by_serde(1, text),
        Err(_) => decoder.decode(1, body),
    }
}

/// Returns the digest of the rows of `pages`.
#[must_use]
pub fn digest(pages: &[Page]) -> Digest {
    let (mut digest, mut row) = (Digest::default(), Vec::new());
    for page in pages {
        digest_rows(&page.batch, &mut digest, &mut row);
    }
    digest
}

/// Returns whether every row of `pages` has a key that no other row has.
#[must_use]
pub fn has_each_key_once(dataset: &Dataset, pages: &[Page]) -> bool {
    let mut keys = KeySet::new(dataset, pages.iter().map(|page| page.batch.num_rows()).sum());
    pages.iter().all(|page| keys.add(&page.batch).is_ok()) && keys.find_repeated().is_none()
}
