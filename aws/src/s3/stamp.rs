//! The stamp of an object, stored in its S3 metadata.

use std::collections::HashMap;

use rollcall_core::file::Stamp;

// Metadata keys of a data object, without the prefix `x-amz-meta-`.
const EDITION: &str = "rollcall-edition";
const PARTITION: &str = "rollcall-partition";
const N_ROWS: &str = "rollcall-rows";
const FETCHED_AT: &str = "rollcall-fetched-at";
const RUN: &str = "rollcall-run";

pub(super) fn to_metadata(stamp: &Stamp) -> HashMap<String, String> {
    let mut metadata = HashMap::from([
        (EDITION.to_owned(), stamp.edition.to_string()),
        (N_ROWS.to_owned(), stamp.n_rows.to_string()),
        (FETCHED_AT.to_owned(), stamp.fetched_at.to_string()),
    ]);
    if let Some(partition) = &stamp.partition {
        metadata.insert(PARTITION.to_owned(), partition.clone());
    }
    if let Some(run) = &stamp.run {
        metadata.insert(RUN.to_owned(), run.clone());
    }
    metadata
}

/// Reads a stamp from metadata. Returns `None` if rollcall did not write the object.
pub(super) fn from_metadata(metadata: &HashMap<String, String>) -> Option<Stamp> {
    Some(Stamp {
        edition: metadata.get(EDITION)?.parse().ok()?,
        partition: metadata.get(PARTITION).cloned(),
        n_rows: metadata.get(N_ROWS)?.parse().ok()?,
        fetched_at: metadata.get(FETCHED_AT)?.parse().ok()?,
        run: metadata.get(RUN).cloned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_survives_as_metadata_and_incomplete_metadata_is_not_a_stamp() {
        let stamp = Stamp {
            edition: "0123456789abcdef0123456789abcdef-0123456789abcdef-1".parse().unwrap(),
            partition: Some("year=2021/grade=grade-pk".to_owned()),
            n_rows: 7,
            fetched_at: "2026-11-23T12:00:00.123456789Z".parse().unwrap(),
            run: Some("r1".to_owned()),
        };
        let mut metadata = to_metadata(&stamp);
        assert_eq!(from_metadata(&metadata), Some(stamp));
        metadata.remove(FETCHED_AT);
        assert_eq!(from_metadata(&metadata), None);
    }
}
