//! A stamp as the metadata of an S3 object.

use std::collections::HashMap;

use rollcall_core::file::Stamp;

// Metadata of a data object, below `x-amz-meta-`.
const EDITION: &str = "rollcall-edition";
const PARTITION: &str = "rollcall-partition";
const N_ROWS: &str = "rollcall-rows";
const FETCHED_AT: &str = "rollcall-fetched-at";
const RUN: &str = "rollcall-run";

pub(super) fn metadata_of(stamp: &Stamp) -> HashMap<String, String> {
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

/// What the metadata says; `None` when the object is not one of ours.
pub(super) fn stamp_of(metadata: &HashMap<String, String>) -> Option<Stamp> {
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
    fn metadata_says_what_the_writer_said_and_anything_else_is_not_ours() {
        let stamp = Stamp {
            edition: "0123456789abcdef0123456789abcdef-0123456789abcdef-1".parse().unwrap(),
            partition: Some("year=2021/grade=grade-pk".to_owned()),
            n_rows: 7,
            fetched_at: "2026-11-23T12:00:00.123456789Z".parse().unwrap(),
            run: Some("r1".to_owned()),
        };
        let mut metadata = metadata_of(&stamp);
        assert_eq!(stamp_of(&metadata), Some(stamp));
        metadata.remove(FETCHED_AT);
        assert_eq!(stamp_of(&metadata), None);
    }
}
