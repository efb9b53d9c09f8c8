//! A lake in a bucket that is slow, fails, loses responses or corrupts data.

use std::process::Command;

use aws_config::Region;
use bytes::Bytes;
use rollcall_aws::s3::S3Store;
use rollcall_core::keys;
use rollcall_core::ledger::Outcome;
use rollcall_core::ports::{Condition, Put, Store, StoreError};
use rollcall_simulator::Config;
use rollcall_tests::emulator::REGION;
use rollcall_tests::emulator::proxy::{CHECKSUM, Fault, Rule, Seen, s3_error};
use rollcall_tests::{TestPortal, python};
use serde_json::Value;

use crate::ground::{
    Ground, chain, fetch_event, finished, object, of_type, other_rows, pre_k, publish_event, template,
};

/// An operation on a lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Head,
    Put,
    Read,
    Write,
    List,
    Remove,
    Footer,
    Replace,
    Delete,
}

impl Asked {
    const ALL: [Self; 9] = [
        Self::Head,
        Self::Put,
        Self::Read,
        Self::Write,
        Self::List,
        Self::Remove,
        Self::Footer,
        Self::Replace,
        Self::Delete,
    ];

    /// Returns its key, its method, and the verb in its error messages.
    fn facts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Head => ("data/t/part-00000.parquet", "HEAD", "read"),
            Self::Put => ("data/t/part-00000.parquet", "PUT", "write"),
            Self::Remove => ("data/t/part-00000.parquet", "DELETE", "remove"),
            Self::Read => ("ledger/a/plan.json", "GET", "read"),
            Self::Write => ("ledger/a/plan.json", "PUT", "write"),
            Self::List => ("ledger/a/", "GET", "list"),
            Self::Footer => ("data/t/part-00000.parquet", "GET", "read"),
            Self::Replace => ("ledger/a/records.json", "PUT", "write"),
            Self::Delete => ("ledger/a/plan.json", "POST", "delete"),
        }
    }

    async fn ask(self, store: &S3Store) -> Result<(), StoreError> {
        let ((encoded, stamp), (key, ..)) = (object(), self.facts());
        match self {
            Self::Head => store.head(key).await.map(drop),
            Self::Put => {
                let put = store.put(key, encoded.bytes, &Condition::Absent, &stamp).await?;
                assert!(matches!(put, Put::Done(_)), "{put:?}");
                Ok(())
            }
            Self::Read => store.read(key).await.map(drop),
            Self::Write => store.write(key, Bytes::from_static(b"{}")).await,
            Self::List => store.list(key).await.map(drop),
            Self::Remove => store.remove(key, "\"e\"").await.map(drop),
            Self::Footer => store.footer(key).await.map(drop),
            Self::Replace => {
                let put = store.replace(key, Bytes::from_static(b"[]"), &Condition::Absent).await?;
                assert!(matches!(put, Put::Done(_)), "{put:?}");
                Ok(())
            }
            Self::Delete => store.delete(vec![key.to_owned()]).await,
        }
    }

    /// Returns how its requests start, as the proxy sees them.
    fn line(self, ground: &Ground) -> String {
        let (key, method, _) = self.facts();
        let key = match self {
            Self::List => "?list-type=2",
            Self::Delete => "?delete",
            _ => key,
        };
        ground.line(method, key)
    }
}

/// Guard: the SDK tries a call three times.
#[test]
fn o1_a_slow_or_failing_s3_gets_three_tries_and_is_then_reported() {
    let ground = Ground::new();
    for asked in Asked::ALL {
        let ((key, _, word), line) = (asked.facts(), asked.line(&ground));
        // The SDK has one retry budget per Region, which all the retries here would exceed.
        let region = Region::new(format!("budget-{asked:?}").to_lowercase());
        let store = S3Store::new(&ground.config.clone().into_builder().region(region).build(), &ground.bucket);
        for (status, code) in [(503, "SlowDown"), (500, "InternalError"), (429, "SlowDown")] {
            if (status, asked) == (429, Asked::Head) {
                // S3 uses 503 for this. A 429 without a body cannot be distinguished from a refusal.
                continue;
            }
            for n_faults in [1, 2, 3] {
                let rule = Rule::new(&line, s3_error(status, code, "Please reduce your request rate."));
                ground.proxy.set([rule.times(n_faults)]);
                if matches!(asked, Asked::Put | Asked::Replace) {
                    ground.remove(key);
                }
                let error_message = ground.runtime.block_on(asked.ask(&store));
                let seen = ground.proxy.take_seen_of(&line);
                assert_eq!(seen.len(), 3.min(n_faults + 1), "{asked:?} {status} {n_faults}");
                if n_faults < 3 {
                    error_message.unwrap_or_else(|error| panic!("{asked:?} {status} {n_faults}: {}", chain(&error)));
                    continue;
                }
                let error_message = chain(&error_message.expect_err("three tries fail"));
                assert!(
                    error_message.starts_with(&format!("{word} `s3://{}/{key}`: HTTP {status}", ground.bucket)),
                    "{error_message}"
                );
                assert!(asked == Asked::Head || error_message.contains(code), "{error_message}");
            }
        }
    }
}

/// Guard: a partition whose write fails still leaves a receipt.
#[test]
fn o1_a_partition_that_cannot_be_written_fails_by_name_and_is_written_by_the_next_run() {
    let ground = Ground::new();
    ground.set("PUT", "data/", s3_error(503, "SlowDown", "Please reduce your request rate."), None);
    let error = ground.fetch(&pre_k(), "r1").expect_err("nothing can be written");
    assert_eq!((error.name(), error.is_retryable()), ("StoreFailed", true));
    assert!(error.chain().contains("HTTP 503, SlowDown: Please reduce your request rate."), "{}", error.chain());
    assert_eq!(ground.keys("data/"), Vec::<String>::new());
    let receipt = ground.receipt(&pre_k(), "r1");
    assert_eq!(
        (receipt.outcome, receipt.error.map(|error| error.name).as_deref()),
        (Outcome::Failed, Some("StoreFailed"))
    );
    ground.proxy.set([]);
    assert_eq!(ground.fetch(&pre_k(), "r2").expect("nothing fails any more").outcome, Outcome::Written);
    ground.assert_received(&pre_k(), "r2", Outcome::Written);
}

/// Guard: an object is written in one request, which S3 accepts completely or not at all.
#[test]
fn o2_an_interrupted_upload_leaves_no_object_and_is_sent_again() {
    let ground = Ground::new();
    ground.set("PUT", "data/", Fault::CutUpload, Some(3));
    let error = ground.fetch(&pre_k(), "r1").expect_err("every upload is interrupted");
    assert_eq!(error.name(), "StoreFailed");
    assert_eq!(ground.keys("data/"), Vec::<String>::new());
    let key = ground.object(&pre_k());
    assert!(error.chain().contains(&format!("write `s3://{}/{key}`: ", ground.bucket)), "{}", error.chain());
    assert_eq!(ground.seen("PUT", "data/").len(), 3);

    ground.set("PUT", "data/", Fault::CutUpload, Some(1));
    let receipt = ground.fetch(&pre_k(), "r2").expect("the second upload is complete");
    assert_eq!(receipt.outcome, Outcome::Written);
    let seen = ground.seen("PUT", "data/");
    assert_eq!(seen.len(), 2);
    assert!(ground.read(&key).as_deref() == Some(&seen[1].body[..]));
    assert_eq!(ground.keys("data/"), [key]);
    // An existing object stays as it is.
    let before = ground.head(&ground.object(&pre_k()));
    ground.portal.server.set_faults(vec![other_rows()]);
    ground.set("PUT", "data/", Fault::CutUpload, None);
    let _ = ground.fetch(&pre_k(), "r3").expect_err("every upload is interrupted");
    assert_eq!(ground.head(&ground.object(&pre_k())), before);
}

/// Guard: a rejected write finds its own edition in the bucket.
#[test]
fn o3_a_put_whose_response_was_lost_counts_as_written() {
    let ground = Ground::new();
    for (run, faults) in [("new", vec![]), ("changed", vec![other_rows()])] {
        ground.portal.server.set_faults(faults);
        ground.set("PUT", "data/", Fault::LoseResponse, Some(1));
        let receipt = ground.fetch(&pre_k(), run).expect("the file was written");
        assert_eq!(receipt.outcome, Outcome::Written);
        let seen = ground.seen("PUT", "data/");
        assert_eq!(seen.len(), 2, "the SDK sends it again, and the condition fails");
        assert!(seen.iter().all(|seen| seen.header("if-match").is_some() != seen.header("if-none-match").is_some()));
        ground.assert_received(&pre_k(), run, Outcome::Written);
        assert_eq!(ground.keys("data/"), [ground.object(&pre_k())]);
    }
    // An unconditional write is done twice, with the same result.
    ground.set("PUT", "ledger/", Fault::LoseResponse, Some(2));
    assert_eq!(ground.fetch(&pre_k(), "again").expect("it exists").outcome, Outcome::Unchanged);
    ground.assert_received(&pre_k(), "again", Outcome::Unchanged);
}

/// Guard: after a conflict the object is read again, up to four times.
#[test]
fn o4_many_concurrent_writers_end_in_a_write_or_in_write_conflict() {
    let ground = Ground::new();
    let conflict = || s3_error(409, "ConditionalRequestConflict", "A conflicting operation occurred.");
    let lost = || s3_error(412, "PreconditionFailed", "At least one of the preconditions did not hold.");
    let gone = || s3_error(404, "NoSuchKey", "The specified key does not exist.");
    for (run, fault, n_faults) in [("r1", conflict(), 1), ("r2", conflict(), 3), ("r3", lost(), 3)] {
        ground.remove(&ground.object(&pre_k()));
        ground.set("PUT", "data/", fault, Some(n_faults));
        assert_eq!(ground.fetch(&pre_k(), run).expect("the last write succeeds").outcome, Outcome::Written);
        assert_eq!(ground.seen("PUT", "data/").len(), n_faults + 1);
        ground.assert_received(&pre_k(), run, Outcome::Written);
    }
    let before = ground.head(&ground.object(&pre_k()));
    ground.portal.server.set_faults(vec![other_rows()]);
    for (run, fault) in [("r4", conflict()), ("r5", lost()), ("r6", gone())] {
        ground.set("PUT", "data/", fault, None);
        let error = ground.fetch(&pre_k(), run).expect_err("other writers always win");
        assert_eq!((error.name(), error.is_retryable()), ("WriteConflict", true));
        assert_eq!(ground.seen("PUT", "data/").len(), 4);
        assert_eq!(ground.head(&ground.object(&pre_k())), before);
        assert_eq!(ground.receipt(&pre_k(), run).outcome, Outcome::Failed);
    }
}

/// Guard: an object of any size is written in one request, and lifecycle rules remove the multipart uploads of other
/// clients.
#[test]
fn o5_no_multipart_upload_is_ever_started() {
    let ground = Ground::in_region(REGION, TestPortal::start(Config { rows: Some(60_000), ..Config::default() }));
    let receipt = ground.fetch(&pre_k(), "r1").expect("the partition is fetched");
    assert_eq!((receipt.outcome, receipt.n_rows, receipt.n_pages), (Outcome::Written, 60_000, 6));
    let seen = ground.proxy.take_seen();
    let put: Vec<&str> =
        seen.iter().filter(|seen| seen.line.starts_with("PUT ")).map(|seen| seen.line.as_str()).collect();
    let of = |key: String| format!("PUT /{}/{key}?x-id=PutObject", ground.bucket);
    let expected = [ground.object(&pre_k()), keys::receipt(&ground.dataset, "r1", &pre_k())];
    assert_eq!(put, expected.map(of));
    assert!(!seen.iter().any(|seen| seen.line.starts_with("POST ") || seen.line.contains("upload")));
    let size = seen
        .iter()
        .find(|seen| seen.line.contains("/data/") && seen.line.starts_with("PUT"))
        .expect("the data was written");
    assert_eq!(receipt.size_bytes, Some(size.body.len() as u64));

    let template = template();
    let buckets = of_type(&template, "AWS::S3::Bucket");
    assert!(buckets.contains_key("Bucket"));
    for (name, bucket) in buckets {
        let rules = bucket["LifecycleConfiguration"]["Rules"].as_array().expect("the bucket has rules");
        let aborts = |rule: &&Value| {
            rule["Status"] == "Enabled"
                && rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] == 1
                && rule["Prefix"].is_null()
        };
        assert!(rules.iter().any(|rule| aborts(&rule)), "{name}");
    }
}

/// Guard: each write carries a checksum.
#[test]
fn o6_a_flipped_bit_is_detected() {
    let ground = Ground::new();
    assert_eq!(ground.fetch(&pre_k(), "r1").expect("nothing fails").outcome, Outcome::Written);
    let written = ground.proxy.take_seen_of("PUT ");
    assert_eq!(written.len(), 2);
    assert!(written.iter().all(|seen| seen.header(CHECKSUM).is_some()), "data and receipt");
    let before = ground.head(&ground.object(&pre_k()));

    ground.portal.server.set_faults(vec![other_rows()]);
    ground.set("PUT", "data/", Fault::FlipBit, None);
    let error = ground.fetch(&pre_k(), "r2").expect_err("every write is corrupted");
    assert_eq!((error.name(), error.is_retryable()), ("StoreFailed", true));
    assert!(error.chain().contains("HTTP 400, BadDigest: "), "{}", error.chain());
    assert_eq!(ground.head(&ground.object(&pre_k())), before);

    // The state machine calls the function again.
    ground.set("PUT", "data/", Fault::FlipBit, Some(1));
    assert_eq!(ground.fetch(&pre_k(), "r3").expect_err("the first write is corrupted").name(), "StoreFailed");
    assert_eq!(ground.fetch(&pre_k(), "r3").expect("the second write is intact").outcome, Outcome::Written);
    ground.assert_received(&pre_k(), "r3", Outcome::Written);
}

/// Guard: a permanent error is not retried, and is reported with bucket, key, action, status, code and message.
#[test]
fn o7_a_refusal_is_not_retried_and_names_bucket_key_and_action() {
    let ground = Ground::new();
    let store = ground.store();
    for asked in Asked::ALL {
        let ((key, _, word), line) = (asked.facts(), asked.line(&ground));
        for (status, code, message) in [
            (403, "AccessDenied", "Access Denied"),
            (404, "NoSuchBucket", "The specified bucket does not exist"),
            (400, "KMS.DisabledException", "The key is disabled."),
        ] {
            // Here a missing bucket looks like a missing object. The write or listing that follows reports it.
            if status == 404 && matches!(asked, Asked::Head | Asked::Remove) {
                continue;
            }
            ground.proxy.set([Rule::new(&line, s3_error(status, code, message))]);
            let error_message = chain(&ground.runtime.block_on(asked.ask(&store)).expect_err("the call is rejected"));
            let words = match asked {
                Asked::Head => format!("HTTP {status}"),
                _ => format!("HTTP {status}, {code}: {message}"),
            };
            assert_eq!(error_message, format!("{word} `s3://{}/{key}`: {words}", ground.bucket));
            assert_eq!(ground.proxy.take_seen_of(&line).len(), 1, "{asked:?} {code}");
        }
    }
}

/// Guard: S3 responds with HTTP 200 and an error for each object that it did not delete.
#[test]
fn an_object_that_s3_does_not_delete_among_others_is_named() {
    let ground = Ground::new();
    let (kept, gone) = ("ledger/a/runs/1/plan.json", "ledger/a/runs/1/summary.json");
    [kept, gone].into_iter().for_each(|key| ground.write(key, "{}"));
    let body = format!(
        "<DeleteResult><Error><Key>{kept}</Key><Code>AccessDenied</Code><Message>Access Denied</Message></Error>\
         </DeleteResult>"
    );
    ground.proxy.set([Rule::new("?delete", Fault::Respond { status: 200, body })]);
    let deleted = ground.runtime.block_on(ground.store().delete(vec![gone.to_owned(), kept.to_owned()]));
    let error_message = chain(&deleted.expect_err("one object is not deleted"));
    assert_eq!(error_message, format!("delete `s3://{}/{kept}`: AccessDenied: Access Denied", ground.bucket));
}

/// Guard: S3 rejects more than 1,000 keys in a call, which the emulators accept.
#[test]
fn no_call_deletes_more_than_a_thousand_objects() {
    let ground = Ground::new();
    let keys = (0..2_001).map(|number| format!("ledger/a/runs/1/receipts/year={number}.json")).collect();
    ground.runtime.block_on(ground.store().delete(keys)).expect("deleting missing objects succeeds");
    let n_keys = |seen: &Seen| String::from_utf8_lossy(&seen.body).matches("<Key>").count();
    let seen = ground.proxy.take_seen_of("?delete");
    assert_eq!(seen.iter().map(n_keys).collect::<Vec<_>>(), [1000, 1000, 1]);
}

/// Guard: only the end of a file is read for its footer, and more only if the footer is longer.
#[test]
fn the_footer_of_a_large_file_is_read_without_its_rows() {
    let ground = Ground::in_region(REGION, TestPortal::start(Config { rows: Some(60_000), ..Config::default() }));
    let receipt = ground.fetch(&pre_k(), "r1").expect("the partition is fetched");
    let (store, key) = (ground.store(), ground.object(&pre_k()));
    let _ = ground.proxy.take_seen();
    let footer =
        ground.runtime.block_on(store.footer(&key)).expect("the bucket responds").expect("the object has a stamp");
    assert_eq!((Some(footer.edition), footer.n_rows), (receipt.edition, 60_000));
    assert_eq!(footer.columns, ground.dataset.typed_columns());
    let asked: Vec<String> =
        ground.proxy.take_seen().iter().filter_map(|seen| seen.header("range").map(str::to_owned)).collect();
    assert_eq!(asked, ["bytes=-65536"]);
}

/// Guard: a footer longer than the first read takes one more request, and an invalid footer length is ignored.
#[test]
fn a_footer_longer_than_the_first_read_is_read_completely_and_an_invalid_one_ignored() {
    let ground = Ground::with_tables();
    let receipt = ground.fetch(&pre_k(), "r1").expect("the partition is fetched");
    let (store, key) = (ground.store(), ground.object(&pre_k()));
    let content = ground.runtime.block_on(store.read(&key)).expect("the bucket responds").expect("it exists");
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    let [from, to] = ["from.parquet", "to.parquet"].map(|name| folder.path().join(name));
    std::fs::write(&from, &content.bytes).expect("a file can be written");
    let script = "
import sys, pyarrow.parquet as pq
table = pq.read_table(sys.argv[1], partitioning=None)
facts = {**pq.read_metadata(sys.argv[1]).metadata, b'padding': b'x' * 100_000}
with pq.ParquetWriter(sys.argv[2], table.schema) as writer:
    writer.write_table(table)
    writer.add_key_value_metadata(facts)
";
    let written = Command::new(python()).args(["-c", script]).args([&from, &to]).output().expect("Python runs");
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    let long = std::fs::read(&to).expect("the file was written");
    let claimed = |length: i32| [&[b'x'; 100_000][..], &length.to_le_bytes(), b"PAR1"].concat();
    for (bytes, n_asked, expected) in [
        (long, 2, receipt.edition),
        (claimed(80_000), 2, None),
        (claimed(i32::MAX), 1, None),
        (b"short".to_vec(), 1, None),
        (Vec::new(), 1, None),
    ] {
        let put = ground.s3().put_object().bucket(&ground.bucket).key(&key).body(bytes.into()).send();
        let _ = ground.runtime.block_on(put).expect("an object can be put");
        let _ = ground.proxy.take_seen();
        let footer = ground.runtime.block_on(store.footer(&key)).expect("the bucket responds");
        assert_eq!(footer.map(|footer| footer.edition), expected);
        assert_eq!(ground.proxy.take_seen().len(), n_asked);
    }
}

/// Guard: where the metadata has no stamp, the footer of the same version does. The next fetch of the same rows finds the
/// object unchanged, and publishing registers it.
#[test]
fn o11_an_object_uploaded_from_a_folder_is_known_by_its_footer() {
    let ground = Ground::with_tables();
    let receipt = ground.fetch(&pre_k(), "r1").expect("the partition is fetched");
    let key = ground.object(&pre_k());
    let bytes = ground.read(&key).expect("the object exists");
    let upload = |bytes: Bytes| {
        let put = ground.s3().put_object().bucket(&ground.bucket).key(&key).body(bytes.into()).send();
        let _ = ground.runtime.block_on(put).expect("an object can be put");
    };
    upload(bytes.clone());
    let stamp = ground.head(&key).expect("the object exists").stamp.expect("its footer has a stamp");
    let expected = (receipt.edition, Some(pre_k().to_string()), receipt.n_rows, None);
    assert_eq!((Some(stamp.edition), stamp.partition, stamp.n_rows, stamp.run), expected);
    assert!(stamp.fetched_at >= receipt.finished_at - jiff::SignedDuration::from_secs(2), "{}", stamp.fetched_at);
    let _ = ground.publish("r1", &[pre_k()]).expect("the run is published");
    assert_eq!(ground.registered().len(), 1);
    let _ = ground.fetch(&pre_k(), "r2").expect("the partition is fetched");
    ground.assert_received(&pre_k(), "r2", Outcome::Unchanged);
    // Replaced between the two requests: the new version is read.
    let [one, other] = [ground.line("GET", "data/"), ground.line("HEAD", "data/")];
    ground.proxy.set([Rule::new(&one, s3_error(412, "PreconditionFailed", "replaced")).times(1)]);
    let _ = ground.proxy.take_seen();
    assert!(
        ground.runtime.block_on(ground.store().head(&key)).expect("it responds").expect("it exists").stamp.is_some()
    );
    assert_eq!(ground.proxy.take_seen().iter().filter(|seen| seen.line.starts_with(&other)).count(), 2);
    ground.proxy.set([]);
    // Anything else is not an object of rollcall.
    upload(bytes.slice(..bytes.len() / 2));
    assert_eq!(ground.head(&key).expect("the object exists").stamp, None);
}

/// Guard: expired credentials and a wrong clock are reported.
#[test]
fn o8_an_expired_token_and_a_wrong_clock_are_named() {
    let ground = Ground::new();
    for (status, code, message) in [
        (400, "ExpiredToken", "The provided token has expired."),
        (403, "RequestTimeTooSkewed", "The difference between the request time and the server's time is too large."),
    ] {
        ground.set("PUT", "", s3_error(status, code, message), None);
        let error = ground.fetch(&pre_k(), "r1").expect_err("the call is rejected");
        let (key, bucket) = (ground.object(&pre_k()), &ground.bucket);
        let expected =
            format!("write `{key}` in the lake: write `s3://{bucket}/{key}`: HTTP {status}, {code}: {message}");
        assert_eq!((error.name(), error.chain()), ("StoreFailed", expected));
        let n_writes = ground.seen("PUT", "data/").len();
        assert!((1..=3).contains(&n_writes), "{n_writes}");
    }
    assert_eq!(ground.keys(""), Vec::<String>::new());
}

/// Guard: the object is the truth, and what derives from it is restored.
#[test]
fn o9_an_object_or_a_record_that_was_deleted_by_hand_comes_back() {
    let ground = Ground::with_tables();
    let _ = ground.fetch(&pre_k(), "r1").expect("the partition is fetched");
    assert_eq!(ground.publish("r1", &[pre_k()]).expect("the run is published").n_published, 1);
    let (key, records) = (ground.object(&pre_k()), keys::records(&ground.dataset));
    let bytes = ground.read(&key).expect("it exists");

    ground.remove(&records);
    let _ = ground.publish("r2", &[]).expect("the run is published");
    let found = ground.record(&pre_k());
    assert_eq!(found.committed.map(|committed| committed.etag), ground.head(&key).map(|facts| facts.etag));
    assert_eq!(found.last_attempt, None, "the last attempt is unknown");

    ground.remove(&key);
    // The catalog leaves it out until it has been fetched again.
    assert_eq!(ground.publish("r3", &[]).expect("the run is published").n_withdrawn, 1);
    assert_eq!(ground.registered(), []);
    assert_eq!(ground.fetch(&pre_k(), "r4").expect("the partition is fetched").outcome, Outcome::Written);
    assert_eq!(ground.publish("r4", &[pre_k()]).expect("the run is published").n_published, 1);
    assert!(ground.read(&key) == Some(bytes));
    ground.assert_recorded(&pre_k(), "r4", Outcome::Written);
}

/// Corrupt content of a ledger object.
const CORRUPT: [&[u8]; 4] = [b"", b"[1, 2", b"\xff\xfe\x00", b"{\"schema\": 1, \"rows\": 3}"];

/// Guard: the ledger is derived. An unreadable part counts as missing and is rewritten.
#[test]
fn o10_corrupt_or_older_ledger_objects_count_as_missing_with_a_warning() {
    let ground = Ground::with_tables();
    let _ = ground.fetch(&pre_k(), "r1").expect("the partition is fetched");
    let (records, receipt) = (keys::records(&ground.dataset), keys::receipt(&ground.dataset, "r1", &pre_k()));
    let (page_fetch, catalog) = (ground.function("page-fetch"), ground.function("catalog"));
    for corrupt in CORRUPT {
        ground.write(&records, corrupt);
        assert_eq!(page_fetch.call(&fetch_event(&ground, "r2", &pre_k())), finished());
        ground.assert_received(&pre_k(), "r2", Outcome::Unchanged);

        ground.write(&receipt, corrupt);
        let published = catalog.call(&publish_event(&ground, "r1", &[pre_k()])).response();
        assert_eq!(published["n_failed"], 1, "an unreadable receipt counts as missing");
        let facts = ground.head(&ground.object(&pre_k())).expect("the object exists");
        let found = ground.record(&pre_k());
        assert_eq!(found.committed.map(|committed| committed.etag), Some(facts.etag));
        assert_eq!(
            found.last_attempt.and_then(|attempt| attempt.error).map(|error| error.name).as_deref(),
            Some("NoReceipt")
        );
    }
    for key in [&records, &receipt] {
        let output = catalog.output();
        let warned = |line: &&str| line.contains("ledger object unreadable") && line.contains(key.as_str());
        assert_eq!(output.lines().filter(warned).count(), CORRUPT.len(), "{output}");
    }
    // A run without its plan cannot be summarized, which is reported.
    let event = publish_event(&ground, "r1", &[pre_k()]);
    ground.write(&keys::plan(&ground.dataset, "r1"), "[{");
    let (name, message) = catalog.call(&event).failed();
    assert_eq!(name, "StoreFailed");
    assert!(message.contains("expected the run's plan: found none, or an unreadable one"), "{message}");
}
