//! Laws for external input, one function per fuzz target. Each function panics if its law is broken.
//!
//! The fuzz targets in `fuzz/` call them with generated input; the tests below call them with the files in
//! `fuzz/corpus`. They are not part of the released program.

use std::sync::LazyLock;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::dataset::Dataset;
use crate::fetch::links::Links;
use crate::file::TableWriter;
use crate::ledger::PartitionRecord;
use crate::ledger::PlanItem;
use crate::ledger::{Receipt, Summary};
use crate::page::{PageDecoder, laws};
use crate::partition::{AxisValue, PartitionKey};
use crate::request::{AxisSelection, Request, Selection, is_run_name};

/// A dataset with a column of every type, one with another name than its field, and one whose field may be absent. The names are short, so that a fuzzer soon reaches the values.
const EVERY_KIND: &str = r#"
name = "kinds"
title = "Every kind of column"
attribution = "Nobody"
path = "kinds/{year}/{grade}/"
database = "kinds"
table = "kinds"
key = ["id"]
axis = [
    { name = "year", type = "int" },
    { name = "grade", type = "string", values = [{ value = "grade-pk", code = -1 }, { value = "grade-1", code = 1 }] },
]
column = [
    { name = "id", type = "string", width = 4, starts_with = { whole = 2 } },
    { name = "text", type = "string" },
    { name = "whole", field = "int", type = "int" },
    { name = "big", type = "bigint", optional = true },
    { name = "real", type = "double" },
]
"#;

static KINDS: LazyLock<(Option<Dataset>, PartitionKey)> = LazyLock::new(|| {
    let year = ("year".to_owned(), AxisValue::Int(2021));
    let grade = ("grade".to_owned(), AxisValue::Text("grade-pk".to_owned()));
    (Dataset::parse("kinds.toml", EVERY_KIND).ok(), PartitionKey::new(vec![year, grade]))
});

fn with_decoder<R>(law: impl FnOnce(&PageDecoder) -> R) -> R {
    let (Some(dataset), partition) = &*KINDS else { unreachable!("the descriptor above is valid") };
    law(&PageDecoder::new(dataset, partition))
}

/// Checks that an accepted page is consistent. Returns its number of rows, or `None` if the body is refused.
pub fn page(body: &[u8]) -> Option<usize> {
    with_decoder(|decoder| laws::check_accepted_page(decoder, body))
}

/// Checks that the scanner and serde read the same page or both refuse it. Returns whether the page is accepted.
pub fn scanner(body: &[u8]) -> bool {
    // Invalid UTF-8 is refused before either of them runs.
    std::str::from_utf8(body).is_ok_and(|body| with_decoder(|decoder| laws::check_all_ways_agree(decoder, body)))
}

/// The API root of a portal and its parts.
struct Root {
    root: &'static str,
    scheme: &'static str,
    host: &'static str,
    port: u16,
}

const DEFAULT_PORT: Root =
    Root { root: "https://portal.test/api/v1/", scheme: "https", host: "portal.test", port: 443 };
const OTHER_PORT: Root = Root { root: "http://127.0.0.1:8080/api/v1/", scheme: "http", host: "127.0.0.1", port: 8080 };

/// Checks that an accepted `next` is a URL with the portal's origin and path, for exactly the page that is due. Tries a
/// portal on the scheme's default port and one on another port. Returns whether one of them accepts the link.
pub fn next(found: &[u8]) -> bool {
    std::str::from_utf8(found)
        .is_ok_and(|found| [DEFAULT_PORT, OTHER_PORT].iter().filter(|root| next_at(root, found)).count() > 0)
}

fn next_at(portal: &Root, found: &str) -> bool {
    const PATH: &str = "schools/ccd/enrollment/2021/grade-pk/";
    let Ok(root) = Url::parse(portal.root) else { unreachable!("the root is a URL") };
    let (_, partition) = &*KINDS;
    let links = Links { root: &root, path: PATH, partition };
    if let Err(error) = links.check(1, Some(found), false, 3) {
        assert_eq!(error.name(), "UntrustedNext");
        return false;
    }
    assert!(links.check(3, Some(found), true, 3).is_err(), "accepted after the last page too: {found}");
    let Ok(url) = Url::parse(found) else { unreachable!("accepted, but not a URL: {found}") };
    assert_eq!((url.scheme(), url.host_str()), (portal.scheme, Some(portal.host)), "{found}");
    assert_eq!(url.port_or_known_default(), Some(portal.port), "{found}");
    assert_eq!((url.username(), url.password()), ("", None), "{found}");
    assert_eq!(url.path(), format!("/api/v1/{PATH}"), "{found}");
    assert_eq!((url.query(), url.fragment()), (Some("page=2"), None), "{found}");
    true
}

/// Checks that a ledger record is the same after it is written and read again. Returns the number of record types that
/// the bytes can be read as.
pub fn record(bytes: &[u8]) -> usize {
    fn survives<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> bool {
        let Ok(read) = serde_json::from_slice::<T>(bytes) else { return false };
        let Ok(written) = serde_json::to_vec_pretty(&read) else {
            unreachable!("read, but cannot be written: {read:?}")
        };
        assert_eq!(serde_json::from_slice::<T>(&written).ok(), Some(read));
        true
    }
    let kinds = [survives::<PartitionRecord>, survives::<Receipt>, survives::<Summary>, survives::<Vec<PlanItem>>];
    kinds.iter().filter(|survives| survives(bytes)).count()
}

/// Checks that an accepted request names only existing values, each once, and that a rejection gives a reason. Returns
/// whether any dataset accepts the request.
pub fn request(bytes: &[u8]) -> bool {
    let Ok(input) = serde_json::from_slice::<Value>(bytes) else { return false };
    let mut is_accepted = false;
    for name in Dataset::built_in_names() {
        let Ok(dataset) = Dataset::built_in(name) else { unreachable!("`{name}` is built in") };
        let request = match Request::parse(&input, &dataset) {
            Ok(request) => request,
            Err(error) => {
                assert_eq!(error.name(), "InvalidRequest");
                assert!(error.chain().contains("expected"), "{}", error.chain());
                continue;
            }
        };
        is_accepted = true;
        assert!(request.failed_of.as_deref().is_none_or(is_run_name));
        match &request.selection {
            Selection::Partitions(partitions) => {
                assert!(!partitions.is_empty() && are_distinct(partitions));
                for partition in partitions {
                    assert_eq!(dataset.arrange(partition).as_ref(), Some(partition));
                    assert_eq!(dataset.codes(partition).len(), dataset.axes.len(), "{partition}");
                    assert_eq!(dataset.parse_partition(&partition.to_string()).as_ref(), Some(partition));
                }
            }
            Selection::Axes(selections) => {
                assert_eq!(selections.len(), dataset.axes.len());
                for (axis, selection) in dataset.axes.iter().zip(selections) {
                    let AxisSelection::Values(values) = selection else { continue };
                    assert!(!values.is_empty() && are_distinct(values));
                    assert!(values.iter().all(|value| match value {
                        AxisValue::Int(year) => axis.is_year() && (1000..=9999).contains(year),
                        AxisValue::Text(text) => axis.values.iter().any(|coded| coded.value == *text),
                    }));
                }
            }
        }
    }
    is_accepted
}

fn are_distinct<T: Ord>(values: &[T]) -> bool {
    values.iter().collect::<std::collections::BTreeSet<_>>().len() == values.len()
}

/// Checks that an accepted descriptor works for everything that descriptors are used for, and that a rejection gives a
/// reason. Returns whether the descriptor is accepted.
pub fn descriptor(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let dataset = match Dataset::parse("fuzzed.toml", text) {
        Ok(dataset) => dataset,
        Err(error) => {
            assert_eq!(error.name(), "InvalidDescriptor");
            assert!(error.chain().starts_with("read descriptor `fuzzed.toml`"), "{}", error.chain());
            return false;
        }
    };
    let Ok(json) = serde_json::to_string(&dataset) else { unreachable!("read, but cannot be written: {text}") };
    let again: Option<Dataset> = serde_json::from_str(&json).ok();
    assert_eq!(again.as_ref().map(Dataset::schema_id), Some(dataset.schema_id()));
    assert_eq!(again.as_ref(), Some(&dataset));
    assert_eq!(dataset.file_schema().fields().len(), dataset.columns.len() + 1);
    assert_eq!(dataset.table_spec().partition_keys.len(), dataset.axes.len());
    let axes = dataset.axes.iter().map(|axis| {
        let value =
            axis.values.first().and_then(|coded| axis.parse_value(&coded.value)).unwrap_or(AxisValue::Int(2021));
        (axis.name.clone(), value)
    });
    let partition = PartitionKey::new(axes.collect());
    assert!(TableWriter::new(&dataset, &partition, 0).is_ok(), "cannot be written as Parquet: {text}");
    assert_eq!(dataset.codes(&partition).len(), dataset.axes.len());
    if !dataset.axes.is_empty() {
        assert_eq!(dataset.parse_partition(&partition.to_string()), Some(partition.clone()));
    }
    let path = dataset.portal_path(&partition);
    assert!(path.ends_with('/') && !path.contains(['{', '}']), "{path}");
    let empty = PageDecoder::new(&dataset, &partition).decode(1, br#"{"count":0,"next":null,"results":[]}"#);
    assert!(empty.is_ok_and(|page| page.batch.num_rows() == 0));
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;
    use std::path::{Path, PathBuf};

    /// Returns every file in a target's corpus, ordered by name.
    fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = files.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
        files.sort();
        files
    }

    /// Counts the files in a target's corpus that are accepted and those that are refused.
    fn count_accepted_and_refused(target: &str, law: impl Fn(&[u8]) -> bool) -> (usize, usize) {
        let (accepted, refused): (Vec<_>, Vec<_>) = corpus(target).into_iter().partition(|(_, bytes)| law(bytes));
        (accepted.len(), refused.len())
    }

    #[test]
    fn the_laws_hold_for_the_corpus_of_every_fuzz_target() {
        for (target, law) in [
            ("page", (|bytes| page(bytes).is_some()) as fn(&[u8]) -> bool),
            ("scanner", scanner),
            ("next", next),
            ("record", |bytes| record(bytes) > 0),
            ("request", request),
            ("descriptor", descriptor),
        ] {
            let (n_accepted, n_refused) = count_accepted_and_refused(target, law);
            // With too few of either, the corpus would not cover the code behind the checks.
            assert!(n_accepted >= 2 && n_refused >= 3, "{target}: {n_accepted} accepted, {n_refused} refused");
        }
    }

    /// Selects one of `choices`, the first one in about half of all cases.
    fn mostly(choices: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
        (any::<bool>(), prop::sample::select(choices))
            .prop_map(|(is_plain, other)| if is_plain { choices[0] } else { other })
    }

    fn link() -> impl Strategy<Value = String> {
        let before = mostly(&["", " ", "\t", "\u{1}", "/", "view-source:", "x:"]);
        let scheme =
            mostly(&["https", "HTTPS", "hTTps", "http", "ht\ttps", "ftp", "file", "javascript", "", "https%3a"]);
        let separator = mostly(&["://", ":\\\\", ":/", ":", ":////", ":/\t/", "//", ":\n//", ":///\\"]);
        let user =
            mostly(&["", "@", ":@", "user@", "a:b@", "portal.test@", "portal.test:443@", "evil.example%40", "@@"]);
        let host = mostly(&[
            "portal.test",
            "PORTAL.TEST",
            "por\ttal.test",
            "portal.test.",
            "portal.test.evil.example",
            "evil.example",
            "evil.example\\.portal.test",
            "p\u{f6}rtal.test",
            "\u{ff50}ortal.test",
            "portal\u{3002}test",
            "portal%2etest",
            "port\u{ad}al.test",
            "xn--portal-.test",
            "127.0.0.1",
            "0x7f.1",
            "[::1]",
            "",
        ]);
        let port = mostly(&["", ":443", ":0443", ":", ":80", ":8080", ":8443", ":65979", ":-443", ":4 43"]);
        let path = mostly(&[
            "/api/v1/schools/ccd/enrollment/2021/grade-pk/",
            "/api/v1/schools/ccd/enrollment/2021/grade-pk",
            "/api/v1/./schools/x/../ccd/enrollment/2021/grade-pk/",
            "/api/v1/schools/%2e%2E/schools/ccd/enrollment/2021/grade-pk/",
            "/api/v1/schools/ccd/enrollment/2021/grade-k/",
            "\\api\\v1\\schools\\ccd\\enrollment\\2021\\grade-pk\\",
            "/api/v1/schools%2fccd/enrollment/2021/grade-pk/",
            "/api/v1/schools/ccd/enrollment/2021/grade%2dpk/",
            "/API/v1/schools/ccd/enrollment/2021/grade-pk/",
            "//api/v1/schools/ccd/enrollment/2021/grade-pk/",
            "/api/v1/schools/ccd/enrollment/2021/grade-pk/;x",
            "/api/v1/schools/ccd/enrollment/2021/grade-\npk/",
            "/",
            "",
        ]);
        let query = mostly(&[
            "?page=2",
            "?page=02",
            "?page=%32",
            "?page=2&page=2",
            "?page=2&page=3",
            "?x=1&page=2",
            "?page=2&",
            "?&page=2",
            "?Page=2",
            "?page=1",
            "?page=3",
            "?page=2 ",
            "?pa\tge=2",
            "?page=+2",
            "?page=2%20",
            "?",
            "",
            "??page=2",
        ]);
        let after = mostly(&["", "#", "#x", " ", "\n", "\u{0}", "\\", "%00", "/", "?page=2"]);
        (before, scheme, separator, user, host, port, path, query, after)
            .prop_map(|(a, b, c, d, e, f, g, h, i)| [a, b, c, d, e, f, g, h, i].concat())
    }

    #[test]
    fn every_accepted_link_of_100_000_has_the_portals_origin_and_path_and_the_page_that_is_due() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let links = link();
        let mut n_accepted = 0;
        for _ in 0..100_000 {
            let link = links.new_tree(&mut runner).unwrap().current();
            n_accepted += u32::from(next_at(&DEFAULT_PORT, &link));
        }
        // The test is meaningful only if some of the links are spellings of the correct one.
        assert!((1_000..50_000).contains(&n_accepted), "{n_accepted} accepted");
    }
}
