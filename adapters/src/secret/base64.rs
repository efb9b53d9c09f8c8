//! Base64 at any offset within a longer text.

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Returns the base64 characters that depend on `bytes` alone if `offset` other bytes precede them.
pub(super) fn base64(bytes: &[u8], offset: usize) -> Vec<u8> {
    let bits = std::iter::repeat_n(0, offset).chain(bytes.iter().copied());
    let bits: Vec<u8> = bits.flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let sextets = bits.chunks_exact(6).skip((offset * 8).div_ceil(6));
    let index = |sextet: &[u8]| sextet.iter().fold(0, |index, bit| index << 1 | usize::from(*bit));
    sextets.filter_map(|sextet| BASE64.get(index(sextet)).copied()).collect()
}

/// Decodes base64. Returns `None` if the text is not base64.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let sextet = |byte: u8| BASE64.iter().position(|other| *other == byte);
    let sextets: Option<Vec<usize>> = text.trim_end_matches('=').bytes().map(sextet).collect();
    let bits: Vec<usize> = sextets?.iter().flat_map(|sextet| (0..6).rev().map(move |bit| sextet >> bit & 1)).collect();
    bits.chunks_exact(8).map(|byte| u8::try_from(byte.iter().fold(0, |byte, bit| byte << 1 | bit)).ok()).collect()
}
