//! The edition of a partition: identifies its rows, its schema and its encoding.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Version of the encoding. Must change whenever the same rows would be encoded to different bytes, because of the
/// writer's settings, its version or the file layout.
///
/// The next run that fetches a partition rewrites it if it has a different version. The golden test in `file/writer.rs`
/// fails if the bytes change and this number does not.
pub const ENCODING_VERSION: u32 = 2;

/// The first encoding version whose files name their partition.
pub const FIRST_WITH_PARTITION: u32 = 2;

/// Content hash of a partition's rows, independent of their order: the sum of the rows' XXH3-128 hashes modulo 2^128.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest(pub u128);

impl Digest {
    /// Adds one row in canonical form.
    pub fn add_row(&mut self, canonical: &[u8]) {
        self.0 = self.0.wrapping_add(twox_hash::XxHash3_128::oneshot(canonical));
    }
}

/// Two files with equal editions have the same rows, encoded the same way. Formatted as `digest-schema-encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edition {
    /// Hash of the rows.
    pub digest: Digest,
    /// Hash of the part of the descriptor that shapes the file.
    pub schema_id: u64,
    /// [`ENCODING_VERSION`] of the writer.
    pub encoding_version: u32,
}

impl fmt::Display for Edition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}-{:016x}-{}", self.digest.0, self.schema_id, self.encoding_version)
    }
}

/// Text that is not a valid edition.
#[derive(Debug, thiserror::Error)]
#[error("expected `<32 hex digits>-<16 hex digits>-<number>`, found `{0}`")]
pub struct InvalidEdition(String);

impl FromStr for Edition {
    type Err = InvalidEdition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let mut fields = text.split('-');
            let edition = Self {
                digest: Digest(u128::from_str_radix(fields.next()?, 16).ok()?),
                schema_id: u64::from_str_radix(fields.next()?, 16).ok()?,
                encoding_version: fields.next()?.parse().ok()?,
            };
            fields.next().is_none().then_some(edition)
        };
        parse().ok_or_else(|| InvalidEdition(text.to_owned()))
    }
}

impl Serialize for Edition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Edition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_edition_parses_to_the_same_edition() {
        let edition = Edition { digest: Digest(0x1234), schema_id: 7, encoding_version: 1 };
        let text = "00000000000000000000000000001234-0000000000000007-1";
        assert_eq!(edition.to_string(), text);
        assert_eq!(text.parse::<Edition>().unwrap(), edition);
        for wrong in ["", "12-34", "zz-00-1", "00-00-1-2"] {
            assert!(wrong.parse::<Edition>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_digest_ignores_row_order_and_counts_repeated_rows() {
        let mut forward = Digest::default();
        let mut backward = Digest::default();
        for row in [b"a", b"b", b"c"] {
            forward.add_row(row);
        }
        for row in [b"c", b"b", b"a"] {
            backward.add_row(row);
        }
        assert_eq!(forward, backward);
        forward.add_row(b"a");
        assert_ne!(forward, backward);
    }
}
