//! Reads several bytes at once.

/// Number of bytes that are copied at once.
pub(crate) const PIECE: usize = 16;

/// A one in each byte.
const EACH: u64 = u64::MAX / 0xff;

/// Returns the `N` bytes at a position.
#[inline(always)]
pub(crate) fn piece<const N: usize>(body: &[u8], at: usize) -> Option<&[u8; N]> {
    body.get(at..)?.first_chunk()
}

/// Returns the eight bytes at a position, or what is left of the body and zeros.
#[inline(always)]
fn piece_or_rest(body: &[u8], at: usize) -> Option<[u8; 8]> {
    if let Some(found) = piece(body, at) {
        return Some(*found);
    }
    let mut padded = [0; 8];
    padded.iter_mut().zip(body.get(at..)?).for_each(|(to, from)| *to = *from);
    Some(padded)
}

/// Returns the number of bytes from a position to the next quote.
#[inline(always)]
pub(crate) fn to_quote(body: &[u8], at: usize) -> Option<usize> {
    let mut length = 0;
    loop {
        let different = u64::from_le_bytes(piece_or_rest(body, at + length)?) ^ (EACH * b'"' as u64);
        // Marks bytes that are zero. Only the lowest mark is reliable, because of borrows.
        let marks = different.wrapping_sub(EACH) & !different & (EACH * 0x80);
        length += marks.trailing_zeros() as usize / 8;
        if marks != 0 {
            return Some(length);
        }
    }
}

/// Reads up to 16 digits at a position, eight at a time and without a branch for each. Returns the number and how many
/// digits it has, which is 0 if there is none.
///
/// Source: `parse_eight_digits_unrolled` of fast_float, for the three multiplications.
#[inline(always)]
pub(crate) fn digits(body: &[u8], at: usize) -> Option<(u64, usize)> {
    let (high, n_high) = up_to_eight_digits(piece_or_rest(body, at)?);
    if n_high < 8 {
        return Some((high, n_high));
    }
    let (low, n_low) = up_to_eight_digits(piece_or_rest(body, at + 8)?);
    let shifted = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000].get(n_low)?;
    Some((high * shifted + low, 8 + n_low))
}

#[inline(always)]
fn up_to_eight_digits(text: [u8; 8]) -> (u64, usize) {
    let values = u64::from_le_bytes(text) ^ (EACH * 0x30);
    // Sets the highest bit of each byte above nine. Only the lowest mark is reliable, because of carries.
    let above_nine = (values.wrapping_add(EACH * 0x76) | values) & (EACH * 0x80);
    let n_digits = above_nine.trailing_zeros() as usize / 8;
    if n_digits == 0 {
        return (0, 0);
    }
    // Zeros in front, so that there are always eight digits.
    let pairs = values << (64 - 8 * n_digits);
    let pairs = pairs.wrapping_mul(10).wrapping_add(pairs >> 8);
    let low = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let high = ((pairs >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    (low.wrapping_add(high) >> 32, n_digits)
}
