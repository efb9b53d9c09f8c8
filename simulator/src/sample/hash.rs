//! The hash from which all numbers of the sample derive.

/// Seed of the sample.
pub(crate) const SEED: u64 = 0x526f_6c6c_4361_6c6c;

/// Hashes two numbers. Source: the finalizer of SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) fn mix(seed: u64, value: u64) -> u64 {
    let mut hash = seed ^ value.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
