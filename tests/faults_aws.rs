//! What AWS does wrong, and what comes of it. A fault proxy stands between the lake, the catalog or a function's real
//! program and the emulator; a small Runtime API hands the programs their events.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use aws_sdk_s3::config::Region;
use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};
use futures::future::join_all;
use jiff::Timestamp;
use rollcall_adapters::SystemClock;
use rollcall_adapters::portal::{HttpPortal, PortalSettings, parse_origin};
use rollcall_aws::SdkConfig;
use rollcall_aws::glue::GlueCatalog;
use rollcall_aws::payload::{ObjectReference, Published};
use rollcall_aws::s3::S3Store;
use rollcall_aws::secret;
use rollcall_core::dataset::Dataset;
use rollcall_core::fetch::{RunFacts, fetch_partition};
use rollcall_core::ledger::{self, ErrorFacts, FailedPartition, Outcome, PartitionRecord, Receipt, Summary};
use rollcall_core::lookup::Lookup;
use rollcall_core::partition::PartitionKey;
use rollcall_core::plan::{PlanItem, Reason};
use rollcall_core::ports::{
    Body, Catalog, CatalogError, CatalogPartition, Condition, ObjectFacts, Portal, PortalError, Put, Store, StoreError,
};
use rollcall_core::publish::{PlannedRun, Registrar, converge, publish_partitions};
use rollcall_core::table::Encoded;
use rollcall_core::{Error, keys};
use rollcall_simulator::{Action, Config, Fault as PortalFault};
use rollcall_tests::emulator::proxy::{CHECKSUM, Fault, Proxy, Rule, Seen, json_error, s3_error};
use rollcall_tests::emulator::runtime::{Answer, Function, command};
use rollcall_tests::emulator::{Emulator, REGION, config_of, hasty, table_input};
use rollcall_tests::{TestPortal, descriptor_with_secret, partition, registered, state_machine, workspace};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::Barrier;
use tokio::time::Instant;
use url::Url;

/// Regions that a test takes one of, since what is in one is not in another.
const REGIONS: [&str; 16] = [
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eu-central-1",
    "eu-north-1",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ca-central-1",
    "sa-east-1",
];

/// A bucket, a Region and a portal of a test's own, with a proxy before everything that is emulated.
struct Ground {
    emulator: Arc<Emulator>,
    proxy: Proxy,
    portal: TestPortal,
    runtime: Runtime,
    dataset: Dataset,
    bucket: String,
    region: &'static str,
    /// What clients behind the proxy are built from: as many tries as the product has, hardly a wait.
    config: SdkConfig,
    /// What clients that pass it by are built from.
    direct: SdkConfig,
}

impl Ground {
    fn new() -> Self {
        Self::in_region(REGION, TestPortal::small())
    }

    /// With a database and the tables that the template has.
    fn with_tables() -> Self {
        let ground = Self::without_database();
        ground.declare_tables();
        ground
    }

    /// In a Region that no other test uses.
    fn without_database() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let region = REGIONS.get(NEXT.fetch_add(1, Ordering::Relaxed)).expect("there are Regions left");
        Self::in_region(region, TestPortal::small())
    }

    fn in_region(region: &'static str, portal: TestPortal) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let bucket = format!("lake-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let emulator = Emulator::shared();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        let proxy = Proxy::before(emulator.endpoint());
        let direct = runtime.block_on(config_of(emulator.endpoint(), region));
        let config = hasty(&direct, proxy.endpoint());
        let ground = Self {
            proxy,
            emulator,
            portal,
            runtime,
            dataset: Dataset::built_in("ccd_enrollment").expect("the dataset is built in"),
            bucket,
            region,
            config,
            direct,
        };
        let created = ground.s3().create_bucket().bucket(&ground.bucket).send();
        let _ = ground.runtime.block_on(created).expect("a bucket can be made");
        ground
    }

    /// S3, past the proxy.
    fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.direct).force_path_style(true);
        // Where a bucket can be made without saying where.
        aws_sdk_s3::Client::from_conf(config.region(Region::new(REGION)).build())
    }

    /// The lake behind the proxy.
    fn store(&self) -> S3Store {
        S3Store::new(&self.config, &self.bucket)
    }

    /// The lake as it is.
    fn lake(&self) -> S3Store {
        S3Store::new(&self.direct, &self.bucket)
    }

    /// The words of a request's line for a key that begins with `prefix`.
    fn line(&self, method: &str, prefix: &str) -> String {
        format!("{method} /{}/{prefix}", self.bucket)
    }

    fn set(&self, method: &str, prefix: &str, fault: Fault, times: Option<usize>) {
        let rule = Rule::new(&self.line(method, prefix), fault);
        self.proxy.set([match times {
            Some(n) => rule.times(n),
            None => rule,
        }]);
    }

    fn seen(&self, method: &str, prefix: &str) -> Vec<Seen> {
        self.proxy.take_seen_of(&self.line(method, prefix))
    }

    fn keys(&self, prefix: &str) -> Vec<String> {
        self.runtime.block_on(self.lake().list(prefix)).expect("the bucket can be listed")
    }

    fn read(&self, key: &str) -> Option<Bytes> {
        self.runtime.block_on(self.lake().read(key)).expect("the bucket answers")
    }

    fn read_json(&self, key: &str) -> Value {
        let bytes = self.read(key).unwrap_or_else(|| panic!("expected an object at {key}"));
        serde_json::from_slice(&bytes).expect("it is JSON")
    }

    fn write(&self, key: &str, bytes: impl Into<Bytes>) {
        self.runtime.block_on(self.lake().write(key, bytes.into())).expect("the bucket answers");
    }

    fn head(&self, key: &str) -> Option<ObjectFacts> {
        self.runtime.block_on(self.lake().head(key)).expect("the bucket answers")
    }

    fn remove(&self, key: &str) {
        let removed = self.s3().delete_object().bucket(&self.bucket).key(key).send();
        let _ = self.runtime.block_on(removed).expect("the bucket answers");
    }

    /// Fetches a partition as a function does, behind the proxy.
    fn fetch(&self, partition: &PartitionKey, run: &str) -> Result<Receipt, Error> {
        let store = self.store();
        let mut settings = PortalSettings::new(parse_origin(&self.portal.origin()).expect("an origin"));
        settings.backoff = Duration::ZERO;
        let portal = HttpPortal::new(settings, None).expect("it is set up");
        let run = RunFacts { run: run.to_owned(), portal_release: None, force: false, pages_at_once: 4 };
        self.runtime.block_on(async {
            let portal = portal.until(Instant::now() + Duration::from_secs(60));
            fetch_partition(&portal, &store, &SystemClock, &self.dataset, partition, &run).await
        })
    }

    fn object(&self, partition: &PartitionKey) -> String {
        keys::partition_object(&self.dataset, partition)
    }

    fn record(&self, partition: &PartitionKey) -> PartitionRecord {
        let record = self.read_json(&keys::record(&self.dataset, partition));
        serde_json::from_value(record).expect("it is a record")
    }

    fn receipt(&self, partition: &PartitionKey, run: &str) -> Receipt {
        let receipt = self.read_json(&keys::receipt(&self.dataset, run, partition));
        serde_json::from_value(receipt).expect("it is a receipt")
    }

    /// Fails the test unless the record says what the object says, and of the last attempt that it was `run`'s.
    fn assert_recorded(&self, partition: &PartitionKey, run: &str, outcome: Outcome) {
        let (record, facts) = (self.record(partition), self.head(&self.object(partition)).expect("an object"));
        let committed = record.committed.expect("something is committed");
        let stamp = facts.stamp.expect("the object is one of ours");
        assert_eq!((committed.edition, committed.n_rows), (stamp.edition, stamp.n_rows));
        assert_eq!((committed.etag, committed.size_bytes), (facts.etag, facts.size_bytes));
        let attempt = record.last_attempt.expect("there was an attempt");
        assert_eq!((attempt.run.as_str(), attempt.outcome, attempt.error), (run, outcome, None));
        assert_eq!(self.receipt(partition, run).outcome, outcome);
    }

    /// The program of a function, in an environment like that of Lambda, behind the proxy.
    fn command(&self, name: &str) -> Command {
        let mut command = command(name);
        command
            .env("AWS_ENDPOINT_URL", self.proxy.endpoint())
            .env("AWS_REGION", self.region)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("ROLLCALL_BUCKET", &self.bucket)
            .env("ROLLCALL_PORTAL", self.portal.origin());
        command
    }

    fn function(&self, name: &str) -> Function {
        Function::start(self.command(name))
    }

    /// Makes the database and the tables that the template has, in this test's Region.
    fn declare_tables(&self) {
        let glue = aws_sdk_glue::Client::new(&self.direct);
        let mut specs = vec![self.dataset.table_spec()];
        specs.extend(Lookup::built_in().expect("they are built in").iter().map(Lookup::table_spec));
        self.runtime.block_on(async {
            let input = aws_sdk_glue::types::DatabaseInput::builder().name(&self.dataset.database);
            let input = input.build().expect("it has a name");
            glue.create_database().database_input(input).send().await.expect("a database can be made");
            for spec in specs {
                let input = table_input(&spec, &self.bucket);
                let created = glue.create_table().database_name(&spec.database).table_input(input).send().await;
                let _ = created.expect("a table can be made");
            }
        });
    }

    /// The catalog behind the proxy.
    fn catalog(&self) -> GlueCatalog {
        GlueCatalog::new(&self.config, &self.bucket)
    }

    /// Registers partitions behind the proxy.
    fn register(&self, put: &[CatalogPartition]) -> Result<(), CatalogError> {
        let catalog = self.catalog();
        self.runtime.block_on(catalog.change_partitions(&self.dataset, put, &[]))
    }

    /// Partitions that Glue has.
    fn registered(&self) -> Vec<CatalogPartition> {
        let catalog = GlueCatalog::new(&self.direct, &self.bucket);
        self.runtime.block_on(catalog.partitions(&self.dataset)).expect("the catalog answers")
    }

    /// Publishes a run behind the proxy.
    fn publish(&self, run: &str, plan: &[PartitionKey]) -> Result<Summary, Error> {
        let (store, catalog) = (self.store(), self.catalog());
        let planned = PlannedRun { name: run, started_at: Timestamp::now(), items: &items(plan) };
        let published =
            publish_partitions(&store, &catalog, &SystemClock, &self.dataset, &planned, Registrar::Publisher);
        self.runtime.block_on(published)
    }
}

/// The partition that most tests are about.
fn pre_k() -> PartitionKey {
    partition(2021, "grade-pk")
}

fn items(plan: &[PartitionKey]) -> Vec<PlanItem> {
    let item = |partition: &PartitionKey| PlanItem { partition: partition.clone(), reason: Reason::Requested };
    plan.iter().map(item).collect()
}

/// To page-fetch: one partition of run `run`.
fn fetch_event(run: &str, partition: &PartitionKey) -> Value {
    json!({
        "run": run, "dataset": "ccd_enrollment", "partition": partition, "portal_release": null, "force": false
    })
}

/// To the catalog function: the state after fetching.
fn publish_event(ground: &Ground, run: &str, plan: &[PartitionKey]) -> Value {
    let (key, lake) = (keys::plan(&ground.dataset, run), ground.lake());
    ground.runtime.block_on(ledger::write_json(&lake, &key, &items(plan))).expect("the bucket answers");
    json!({
        "run": run, "started_at": "2026-11-23T12:00:00Z", "dataset": "ccd_enrollment",
        "plan": {"bucket": ground.bucket, "key": key}, "n_planned": plan.len(), "portal_release": null,
        "force": false, "catalog": "partitions", "warnings": []
    })
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    rollcall_core::error::chain(error)
}

/// A data object, and what its writer says of it.
fn object() -> (Encoded, rollcall_core::edition::Stamp) {
    let lookup = Lookup::built_in().expect("they are built in").remove(0);
    let encoded = lookup.encode().expect("it encodes");
    let stamp = rollcall_core::edition::Stamp {
        edition: encoded.edition,
        n_rows: encoded.n_rows,
        fetched_at: "2026-11-23T12:00:00Z".parse().expect("a time"),
        run: Some("r1".to_owned()),
    };
    (encoded, stamp)
}

/// What is asked of a lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Head,
    Put,
    Read,
    Write,
    List,
    Remove,
}

impl Asked {
    const ALL: [Self; 6] = [Self::Head, Self::Put, Self::Read, Self::Write, Self::List, Self::Remove];

    /// Key, method and word of what is asked.
    fn facts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Head => ("data/t/part-00000.parquet", "HEAD", "read"),
            Self::Put => ("data/t/part-00000.parquet", "PUT", "write"),
            Self::Remove => ("data/t/part-00000.parquet", "DELETE", "remove"),
            Self::Read => ("ledger/a/plan.json", "GET", "read"),
            Self::Write => ("ledger/a/plan.json", "PUT", "write"),
            Self::List => ("ledger/a/", "GET", "list"),
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
        }
    }

    /// How its requests begin, as the proxy sees them.
    fn line(self, ground: &Ground) -> String {
        let (key, method, _) = self.facts();
        ground.line(method, if self == Self::List { "?list-type=2" } else { key })
    }
}

// --- S3 ---

/// Guard: the SDK tries a call three times.
#[test]
fn s1_s3_that_is_slow_or_ill_is_asked_three_times_and_then_named() {
    let ground = Ground::new();
    let store = ground.store();
    for asked in Asked::ALL {
        let ((key, _, word), line) = (asked.facts(), asked.line(&ground));
        for (status, code) in [(503, "SlowDown"), (500, "InternalError"), (429, "SlowDown")] {
            if (status, asked) == (429, Asked::Head) {
                // S3 says so by 503; without a body nothing tells this one from a refusal.
                continue;
            }
            for n_faults in [1, 2, 3] {
                let rule = Rule::new(&line, s3_error(status, code, "Please reduce your request rate."));
                ground.proxy.set([rule.times(n_faults)]);
                if asked == Asked::Put {
                    ground.remove(key);
                }
                let said = ground.runtime.block_on(asked.ask(&store));
                let seen = ground.proxy.take_seen_of(&line);
                assert_eq!(seen.len(), 3.min(n_faults + 1), "{asked:?} {status} {n_faults}");
                if n_faults < 3 {
                    said.unwrap_or_else(|error| panic!("{asked:?} {status} {n_faults}: {}", chain(&error)));
                    continue;
                }
                let said = chain(&said.expect_err("it failed three times"));
                assert!(said.starts_with(&format!("{word} `s3://{}/{key}`: HTTP {status}", ground.bucket)), "{said}");
                assert!(asked == Asked::Head || said.contains(code), "{said}");
            }
        }
    }
}

/// Guard: the receipt and the record of a partition whose lake fails.
#[test]
fn s1_a_partition_that_cannot_be_written_fails_by_name_and_is_written_by_the_next_run() {
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
    assert_eq!(ground.record(&pre_k()).committed, None);
    ground.proxy.set([]);
    assert_eq!(ground.fetch(&pre_k(), "r2").expect("all is well again").outcome, Outcome::Written);
    ground.assert_recorded(&pre_k(), "r2", Outcome::Written);
}

/// Guard: an object is one request, which S3 takes whole or not at all.
#[test]
fn s2_an_upload_that_is_cut_leaves_no_object_and_is_sent_again() {
    let ground = Ground::new();
    ground.set("PUT", "data/", Fault::CutUpload, Some(3));
    let error = ground.fetch(&pre_k(), "r1").expect_err("every upload is cut");
    assert_eq!(error.name(), "StoreFailed");
    assert_eq!(ground.keys("data/"), Vec::<String>::new());
    let key = ground.object(&pre_k());
    assert!(error.chain().contains(&format!("write `s3://{}/{key}`: ", ground.bucket)), "{}", error.chain());
    assert_eq!(ground.seen("PUT", "data/").len(), 3);

    ground.set("PUT", "data/", Fault::CutUpload, Some(1));
    let receipt = ground.fetch(&pre_k(), "r2").expect("the second upload is whole");
    assert_eq!(receipt.outcome, Outcome::Written);
    let seen = ground.seen("PUT", "data/");
    assert_eq!(seen.len(), 2);
    assert!(ground.read(&key).as_deref() == Some(seen[1].body.as_slice()));
    assert_eq!(ground.keys("data/"), [key]);
    // One that is there already stays as it is.
    let before = ground.head(&ground.object(&pre_k()));
    ground.portal.server.set_faults(vec![other_rows()]);
    ground.set("PUT", "data/", Fault::CutUpload, None);
    let _ = ground.fetch(&pre_k(), "r3").expect_err("every upload is cut");
    assert_eq!(ground.head(&ground.object(&pre_k())), before);
}

/// The portal corrects a value of 2021 grade-pk.
fn other_rows() -> PortalFault {
    let other = Action::SetField { row: Some(0), field: "enrollment".to_owned(), json: "7".to_owned() };
    PortalFault::new(other).on_path("2021/grade-pk").on_page(1)
}

/// Guard: a write that is refused finds its own edition in the bucket.
#[test]
fn s3_a_put_whose_answer_was_lost_counts_as_written() {
    let ground = Ground::new();
    for (run, faults) in [("new", vec![]), ("changed", vec![other_rows()])] {
        ground.portal.server.set_faults(faults);
        ground.set("PUT", "data/", Fault::LoseAnswer, Some(1));
        let receipt = ground.fetch(&pre_k(), run).expect("it was written");
        assert_eq!(receipt.outcome, Outcome::Written);
        let seen = ground.seen("PUT", "data/");
        assert_eq!(seen.len(), 2, "the SDK asks again, and is told that the condition does not hold");
        assert!(seen.iter().all(|seen| seen.header("if-match").is_some() != seen.header("if-none-match").is_some()));
        ground.assert_recorded(&pre_k(), run, Outcome::Written);
        assert_eq!(ground.keys("data/"), [ground.object(&pre_k())]);
    }
    // What has no condition is written twice, the same both times.
    ground.set("PUT", "ledger/", Fault::LoseAnswer, Some(2));
    assert_eq!(ground.fetch(&pre_k(), "again").expect("it is there").outcome, Outcome::Unchanged);
    ground.assert_recorded(&pre_k(), "again", Outcome::Unchanged);
}

/// Guard: another writer is looked at again, four times at most.
#[test]
fn s4_a_storm_of_other_writers_ends_in_a_write_or_in_its_name() {
    let ground = Ground::new();
    let conflict = || s3_error(409, "ConditionalRequestConflict", "A conflicting operation occurred.");
    let lost = || s3_error(412, "PreconditionFailed", "At least one of the preconditions did not hold.");
    let gone = || s3_error(404, "NoSuchKey", "The specified key does not exist.");
    for (run, fault, n_faults) in [("r1", conflict(), 1), ("r2", conflict(), 3), ("r3", lost(), 3)] {
        ground.remove(&ground.object(&pre_k()));
        ground.set("PUT", "data/", fault, Some(n_faults));
        assert_eq!(ground.fetch(&pre_k(), run).expect("the last is taken").outcome, Outcome::Written);
        assert_eq!(ground.seen("PUT", "data/").len(), n_faults + 1);
        ground.assert_recorded(&pre_k(), run, Outcome::Written);
    }
    let before = ground.head(&ground.object(&pre_k()));
    ground.portal.server.set_faults(vec![other_rows()]);
    for (run, fault) in [("r4", conflict()), ("r5", lost()), ("r6", gone())] {
        ground.set("PUT", "data/", fault, None);
        let error = ground.fetch(&pre_k(), run).expect_err("another writer is always there");
        assert_eq!((error.name(), error.is_retryable()), ("WriteConflict", true));
        assert_eq!(ground.seen("PUT", "data/").len(), 4);
        assert_eq!(ground.head(&ground.object(&pre_k())), before);
        assert_eq!(ground.receipt(&pre_k(), run).outcome, Outcome::Failed);
    }
}

/// Guard: one request an object, however large; what others begin in the bucket is cleaned by its rules.
#[test]
fn s5_no_upload_in_parts_is_ever_begun() {
    let ground = Ground::in_region(REGION, TestPortal::start(Config { rows: Some(60_000), ..Config::default() }));
    let receipt = ground.fetch(&pre_k(), "r1").expect("it is fetched");
    assert_eq!((receipt.outcome, receipt.n_rows, receipt.n_pages), (Outcome::Written, 60_000, 6));
    let seen = ground.proxy.take_seen();
    let put: Vec<&str> =
        seen.iter().filter(|seen| seen.line.starts_with("PUT ")).map(|seen| seen.line.as_str()).collect();
    let of = |key: String| format!("PUT /{}/{key}?x-id=PutObject", ground.bucket);
    let expected = [
        ground.object(&pre_k()),
        keys::record(&ground.dataset, &pre_k()),
        keys::receipt(&ground.dataset, "r1", &pre_k()),
    ];
    assert_eq!(put, expected.map(of));
    assert!(!seen.iter().any(|seen| seen.line.starts_with("POST ") || seen.line.contains("upload")));
    let size = seen.iter().find(|seen| seen.line.contains("/data/") && seen.line.starts_with("PUT")).expect("a write");
    assert_eq!(receipt.size_bytes, Some(size.body.len() as u64));

    let template = template();
    let buckets = of_type(&template, "AWS::S3::Bucket");
    assert!(buckets.contains_key("Bucket"));
    for (name, bucket) in buckets {
        let rules = bucket["LifecycleConfiguration"]["Rules"].as_array().expect("rules");
        let aborts = |rule: &&Value| {
            rule["Status"] == "Enabled"
                && rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] == 1
                && rule["Prefix"].is_null()
        };
        assert!(rules.iter().any(|rule| aborts(&rule)), "{name}");
    }
}

/// Guard: each write is sent with the checksum of its bytes.
#[test]
fn s6_a_bit_that_flips_on_its_way_is_found_out() {
    let ground = Ground::new();
    assert_eq!(ground.fetch(&pre_k(), "r1").expect("all is well").outcome, Outcome::Written);
    let written = ground.proxy.take_seen_of("PUT ");
    assert_eq!(written.len(), 3);
    assert!(written.iter().all(|seen| seen.header(CHECKSUM).is_some()), "of data, record and receipt");
    let before = ground.head(&ground.object(&pre_k()));

    ground.portal.server.set_faults(vec![other_rows()]);
    ground.set("PUT", "data/", Fault::FlipBit, None);
    let error = ground.fetch(&pre_k(), "r2").expect_err("no write arrives as it was sent");
    assert_eq!((error.name(), error.is_retryable()), ("StoreFailed", true));
    assert!(error.chain().contains("HTTP 400, BadDigest: "), "{}", error.chain());
    assert_eq!(ground.head(&ground.object(&pre_k())), before);

    // The state machine calls the function again.
    ground.set("PUT", "data/", Fault::FlipBit, Some(1));
    assert_eq!(ground.fetch(&pre_k(), "r3").expect_err("the first is not").name(), "StoreFailed");
    assert_eq!(ground.fetch(&pre_k(), "r3").expect("the second is whole").outcome, Outcome::Written);
    ground.assert_recorded(&pre_k(), "r3", Outcome::Written);
}

/// Guard: what will not pass is asked once, and told with bucket, key, action, status, code and words.
#[test]
fn s7_a_refusal_is_not_asked_again_and_names_bucket_key_and_action() {
    let ground = Ground::new();
    let store = ground.store();
    for asked in Asked::ALL {
        let ((key, _, word), line) = (asked.facts(), asked.line(&ground));
        for (status, code, message) in [
            (403, "AccessDenied", "Access Denied"),
            (404, "NoSuchBucket", "The specified bucket does not exist"),
            (400, "KMS.DisabledException", "The key is disabled."),
        ] {
            // A missing bucket looks like a missing object there; the write or list that follows tells.
            if status == 404 && matches!(asked, Asked::Head | Asked::Remove) {
                continue;
            }
            ground.proxy.set([Rule::new(&line, s3_error(status, code, message))]);
            let said = chain(&ground.runtime.block_on(asked.ask(&store)).expect_err("it is refused"));
            let words = match asked {
                Asked::Head => format!("HTTP {status}"),
                _ => format!("HTTP {status}, {code}: {message}"),
            };
            assert_eq!(said, format!("{word} `s3://{}/{key}`: {words}", ground.bucket));
            assert_eq!(ground.proxy.take_seen_of(&line).len(), 1, "{asked:?} {code}");
        }
    }
}

/// Guard: credentials that ran out, or a clock that is wrong, are named.
#[test]
fn s8_an_expired_token_and_a_wrong_clock_are_named() {
    let ground = Ground::new();
    for (status, code, message) in [
        (400, "ExpiredToken", "The provided token has expired."),
        (403, "RequestTimeTooSkewed", "The difference between the request time and the server's time is too large."),
    ] {
        ground.set("PUT", "", s3_error(status, code, message), None);
        let error = ground.fetch(&pre_k(), "r1").expect_err("it is refused");
        let (key, bucket) = (ground.object(&pre_k()), &ground.bucket);
        let expected =
            format!("write `{key}`: lake refused: write `s3://{bucket}/{key}`: HTTP {status}, {code}: {message}");
        assert_eq!((error.name(), error.chain()), ("StoreFailed", expected));
        let n_writes = ground.seen("PUT", "data/").len();
        assert!((1..=3).contains(&n_writes), "{n_writes}");
    }
    assert_eq!(ground.keys(""), Vec::<String>::new());
}

/// Guard: the object is the truth; what is derived from it comes back.
#[test]
fn s9_an_object_or_a_record_that_was_deleted_by_hand_comes_back() {
    let ground = Ground::with_tables();
    let _ = ground.fetch(&pre_k(), "r1").expect("it is fetched");
    assert_eq!(ground.publish("r1", &[pre_k()]).expect("it is published").n_published, 1);
    let (key, record) = (ground.object(&pre_k()), keys::record(&ground.dataset, &pre_k()));
    let bytes = ground.read(&key).expect("it is there");

    ground.remove(&record);
    let _ = ground.publish("r2", &[]).expect("it is published");
    let found = ground.record(&pre_k());
    assert_eq!(found.committed.map(|committed| committed.etag), ground.head(&key).map(|facts| facts.etag));
    assert_eq!(found.last_attempt, None, "nothing says what the last attempt was");

    ground.remove(&key);
    // Until it is fetched again the catalog does not point to it, and then it does.
    assert_eq!(ground.publish("r3", &[]).expect("it is published").n_withdrawn, 1);
    assert_eq!(ground.registered(), []);
    assert_eq!(ground.fetch(&pre_k(), "r4").expect("it is fetched").outcome, Outcome::Written);
    assert_eq!(ground.publish("r4", &[pre_k()]).expect("it is published").n_published, 1);
    assert!(ground.read(&key) == Some(bytes));
    ground.assert_recorded(&pre_k(), "r4", Outcome::Written);
}

/// What an object of the ledger may turn into.
const SPOILT: [&[u8]; 4] = [b"", b"[1, 2", b"\xff\xfe\x00", b"{\"schema\": 1, \"rows\": 3}"];

/// Guard: the ledger is derived; what cannot be read of it counts as absent and is written anew.
#[test]
fn s10_spoilt_or_older_ledger_objects_are_absent_with_a_warning() {
    let ground = Ground::with_tables();
    let _ = ground.fetch(&pre_k(), "r1").expect("it is fetched");
    let (record, receipt) = (keys::record(&ground.dataset, &pre_k()), keys::receipt(&ground.dataset, "r1", &pre_k()));
    let (page_fetch, catalog) = (ground.function("page-fetch"), ground.function("catalog"));
    for spoilt in SPOILT {
        ground.write(&record, spoilt);
        assert_eq!(page_fetch.call(&fetch_event("r2", &pre_k())), Answer::Given(json!({})));
        ground.assert_recorded(&pre_k(), "r2", Outcome::Unchanged);

        ground.write(&record, spoilt);
        ground.write(&receipt, spoilt);
        let published = catalog.call(&publish_event(&ground, "r1", &[pre_k()])).given();
        assert_eq!(published["n_failed"], 1, "a receipt that cannot be read is none");
        let facts = ground.head(&ground.object(&pre_k())).expect("an object");
        let found = ground.record(&pre_k());
        assert_eq!(found.committed.map(|committed| committed.etag), Some(facts.etag));
        assert_eq!(
            found.last_attempt.and_then(|attempt| attempt.error).map(|error| error.name).as_deref(),
            Some("NoReceipt")
        );
    }
    for (function, key) in [(&page_fetch, &record), (&catalog, &record), (&catalog, &receipt)] {
        let said = function.said();
        let warned = |line: &&str| line.contains("ledger object unreadable") && line.contains(key.as_str());
        assert_eq!(said.lines().filter(warned).count(), SPOILT.len(), "{said}");
    }
    // Without its plan a run cannot be summed up, and is named.
    let event = publish_event(&ground, "r1", &[pre_k()]);
    ground.write(&keys::plan(&ground.dataset, "r1"), "[{");
    let (name, message) = catalog.call(&event).failed();
    assert_eq!(name, "StoreFailed");
    assert!(message.contains("expected the run's plan: found none that can be read"), "{message}");
}

// --- the functions ---

/// Guard: a function keeps ten seconds of its time to record a failure and to answer.
#[test]
fn l1_a_function_answers_before_lambda_kills_it() {
    let ground = Ground::new();
    ground.portal.server.set_faults(vec![PortalFault::new(Action::Delay { ms: 600_000 })]);
    let function = ground.function("page-fetch");
    function.send_within(&fetch_event("r1", &pre_k()), Duration::from_millis(10_300));
    let (name, message) = function.answer().failed();
    assert_eq!(name, "DeadlineExceeded", "{message}");
    assert_eq!(ground.receipt(&pre_k(), "r1").error.map(|error| error.name).as_deref(), Some("DeadlineExceeded"));
    // The next event has time of its own.
    ground.portal.server.set_faults(Vec::new());
    assert_eq!(function.call(&fetch_event("r2", &pre_k())), Answer::Given(json!({})));
    ground.assert_recorded(&pre_k(), "r2", Outcome::Written);
}

/// Guard: a call that AWS takes and never answers is given up, long before the function's limit.
#[test]
fn l1_no_call_to_aws_is_waited_for_without_end() {
    let ground = Ground::new();
    let timeouts = ground.direct.timeout_config().expect("calls end in time").clone();
    let (connect, read) = (timeouts.connect_timeout(), timeouts.read_timeout());
    let seconds = [connect, read].map(|timeout| timeout.map(|timeout| timeout.as_secs()));
    assert_eq!(seconds, [Some(3), Some(60)]);
    // With less of it: HEAD, the first call of page-fetch, is never answered, and made again.
    let short = timeouts.to_builder().read_timeout(Duration::from_millis(500)).build();
    let config = ground.config.clone().into_builder().timeout_config(short).build();
    let store = S3Store::new(&config, &ground.bucket);
    let line = ground.line("HEAD", "data/");
    let none = s3_error(404, "NoSuchKey", "The specified key does not exist.");
    ground.proxy.set([Rule::new(&line, Fault::Hold).times(1), Rule::new(&line, none)]);
    let found = ground.runtime.block_on(store.head(&ground.object(&pre_k()))).expect("the second is answered");
    assert_eq!((found, ground.seen("HEAD", "data/").len()), (None, 2));
}

/// Gives every request a gzipped answer of 4 GiB in few bytes; its origin.
fn portal_of_a_bomb() -> String {
    const BLOCK: usize = 32 << 20;
    const N_BLOCKS: usize = 128;
    let mut deflate = Compress::new(Compression::fast(), false);
    // What is flushed whole depends on nothing before it, and so can be said again.
    let mut flushed = |bytes: &[u8]| {
        let mut out = Vec::with_capacity(1 << 20);
        let done = deflate.compress_vec(bytes, &mut out, FlushCompress::Full).expect("memory takes it");
        assert_eq!(done, Status::Ok);
        out
    };
    let mut body = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    body.extend(flushed(b"{\"count\": 1, \"next\": null, \"previous\": null, \"results\": ["));
    let block = flushed(&vec![b' '; BLOCK]);
    (0..N_BLOCKS).for_each(|_| body.extend(&block));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port can be bound");
    let origin = format!("http://{}", listener.local_addr().expect("it has an address"));
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let _ = client.read(&mut request);
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\nconnection: close\r\n\
                 content-length: {}\r\n\r\n",
                body.len()
            );
            // The client hangs up when it has had enough.
            let _ = client.write_all(head.as_bytes()).and_then(|()| client.write_all(&body));
        }
    });
    origin
}

/// Guard: the cap on a body's decoded bytes. The process may map no more than the template gives page-fetch.
#[test]
fn l2_a_body_without_end_is_refused_within_the_memory_of_the_function() {
    let ground = Ground::new();
    let memory = template()["Resources"]["PageFetchFunction"]["Properties"]["MemorySize"].as_u64().expect("a number");
    let function = ground.command("page-fetch");
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--as={}", memory << 20)).arg(function.get_program()).env_clear();
    limited.envs(function.get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited.env("ROLLCALL_PORTAL", portal_of_a_bomb());
    let function = Function::start(limited);
    for run in ["r1", "r2"] {
        let (name, message) = function.call(&fetch_event(run, &pre_k())).failed();
        assert_eq!(name, "BodyTooLarge", "{message}");
        assert_eq!(ground.receipt(&pre_k(), run).error.map(|error| error.name).as_deref(), Some("BodyTooLarge"));
    }
    assert_eq!(ground.keys("data/"), Vec::<String>::new());
}

/// Guard: whatever the moment at which a function is killed, the same event again ends in one object and a right record.
#[test]
fn l3_a_function_killed_at_any_moment_is_made_up_for_by_the_same_event() {
    let before_put = ("PUT", "data/", Fault::Hold);
    let after_put = ("PUT", "data/", Fault::HoldAnswer);
    let before_record = ("PUT", "ledger/ccd_enrollment/partitions/", Fault::Hold);
    let before_receipt = ("PUT", "ledger/ccd_enrollment/runs/", Fault::Hold);
    let before_answer = ("PUT", "ledger/ccd_enrollment/runs/", Fault::HoldAnswer);
    let writes = [before_put, after_put];
    let ledger = [before_record, before_receipt, before_answer];
    let ground = Ground::new();
    let event = |run: &str| fetch_event(run, &pre_k());
    let key = ground.object(&pre_k());
    // What the object is in the end: of a new one and of one that changed.
    let _ = ground.fetch(&pre_k(), "first").expect("it is fetched");
    let first = ground.read(&key).expect("an object");
    ground.portal.server.set_faults(vec![other_rows()]);
    let _ = ground.fetch(&pre_k(), "other").expect("it is fetched");
    let other = ground.read(&key).expect("an object");
    assert!(first != other);
    for (case, points) in [
        ("new", [&writes[..], &ledger].concat()),
        ("changed", [&writes[..], &ledger].concat()),
        ("unchanged", ledger.to_vec()),
    ] {
        for (number, (method, prefix, fault)) in points.into_iter().enumerate() {
            let run = format!("{case}-{number}");
            ground.proxy.set([]);
            let is_committed = fault == Fault::HoldAnswer || prefix.starts_with("ledger/") || case == "unchanged";
            match case {
                "new" => ground.remove(&key),
                "changed" => {
                    ground.portal.server.set_faults(Vec::new());
                    let _ = ground.fetch(&pre_k(), "before").expect("it is fetched");
                    ground.portal.server.set_faults(vec![other_rows()]);
                }
                _ => {}
            }
            ground.set(method, prefix, fault.clone(), Some(1));
            let function = ground.function("page-fetch");
            function.send(&event(&run));
            ground.proxy.wait_until_held();
            function.kill();
            ground.proxy.drop_held();
            // What a reader sees is the old object or the new one.
            let between = ground.read(&key);
            let expected = match (is_committed, case) {
                (true, _) => Some(&other),
                (false, "new") => None,
                (false, _) => Some(&first),
            };
            assert!(between.as_ref() == expected, "{run} {method} {prefix} {fault:?}");

            let again = ground.function("page-fetch").call(&event(&run));
            assert_eq!(again, Answer::Given(json!({})), "{run}");
            let outcome = if is_committed { Outcome::Unchanged } else { Outcome::Written };
            ground.assert_recorded(&pre_k(), &run, outcome);
            assert!(ground.read(&key).as_ref() == Some(&other), "{run}");
            assert_eq!(ground.keys("data/"), std::slice::from_ref(&key));
        }
    }
}

/// Guard: the condition of the write. The event is delivered twice, and both get past the look at the object.
#[test]
fn l4_an_event_delivered_twice_at_once_is_written_once() {
    let ground = Ground::new();
    let event = fetch_event("r1", &pre_k());
    let (one, other) = (ground.function("page-fetch"), ground.function("page-fetch"));
    ground.set("PUT", "data/", Fault::Hold, Some(1));
    one.send(&event);
    ground.proxy.wait_until_held();
    assert_eq!(other.call(&event), Answer::Given(json!({})));
    let written = ground.head(&ground.object(&pre_k())).expect("an object");
    ground.proxy.open();
    assert_eq!(one.answer(), Answer::Given(json!({})));
    assert_eq!(ground.head(&ground.object(&pre_k())), Some(written), "the second write changed nothing");
    assert_eq!(ground.keys("data/"), [ground.object(&pre_k())]);
    ground.assert_recorded(&pre_k(), "r1", Outcome::Written);
}

/// Guard: Lambda's own refusals are retried patiently, before and apart from our errors.
#[test]
fn l6_a_function_that_lambda_has_no_room_for_is_called_again_for_up_to_minutes() {
    let machine = state_machine();
    let states = &machine["States"];
    let fetch = &states["FetchPartitions"]["ItemProcessor"]["States"]["FetchPartition"];
    for task in [&states["PlanPartitions"], fetch, &states["PublishPartitions"]] {
        let retrier = &task["Retry"][0];
        let errors: BTreeSet<&str> =
            retrier["ErrorEquals"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        assert!(errors.contains("Lambda.TooManyRequestsException") && errors.contains("Lambda.ServiceException"));
        assert!(
            errors.iter().all(|error| error.starts_with("Lambda.")),
            "no error of ours is counted here: {errors:?}"
        );
        assert!(retrier["MaxAttempts"].as_u64() >= Some(6) && retrier["MaxDelaySeconds"].as_u64() >= Some(60));
        assert_eq!(retrier["JitterStrategy"], "FULL");
    }
}

/// Guard: what a function cannot start without is read before it asks for an event.
#[test]
fn l7_a_function_that_lacks_a_setting_ends_before_an_event_and_names_it() {
    let ground = Ground::new();
    let (bucket, in_flight) = ("the lake's bucket", "a number from 1 to 256");
    let origin = "scheme, host and perhaps a port of the portal";
    for (function, variable, value, expected) in [
        ("planner", "ROLLCALL_BUCKET", None, bucket),
        ("page-fetch", "ROLLCALL_BUCKET", None, bucket),
        ("catalog", "ROLLCALL_BUCKET", None, bucket),
        ("catalog", "ROLLCALL_BUCKET", Some(""), bucket),
        ("page-fetch", "ROLLCALL_IN_FLIGHT", Some("many"), in_flight),
        ("page-fetch", "ROLLCALL_IN_FLIGHT", Some("0"), in_flight),
        ("planner", "ROLLCALL_PORTAL", Some("https://portal.invalid/api"), origin),
        ("page-fetch", "ROLLCALL_PORTAL", Some("ftp://portal.invalid"), origin),
    ] {
        let mut command = ground.command(function);
        match value {
            None => command.env_remove(variable),
            Some(value) => command.env(variable, value),
        };
        let (is_well, said) = Function::start(command).end();
        let found = value.filter(|value| !value.is_empty()).map_or("none".to_owned(), |value| format!("`{value}`"));
        let words = format!("Error: read environment variable `{variable}`: expected {expected}, found {found}\n");
        assert!(!is_well && said.ends_with(&words), "{function} {variable}: {said}");
    }
}

/// Guard: nothing is kept from one event for the next, but clients.
#[test]
fn l8_fifty_events_of_one_process_do_not_know_of_each_other() {
    let ground = Ground::new();
    let refused = Action::Status { code: 404, retry_after: None, body: None };
    let changed = Action::DropRow { index: 0 };
    ground.portal.server.set_faults(vec![
        PortalFault::new(refused).on_path("2019/"),
        PortalFault::new(changed).on_path("2018/").on_page(1),
        other_rows(),
    ]);
    let function = ground.function("page-fetch");
    let mut n_written = 0;
    for number in 0..50 {
        let run = format!("r{number}");
        let event = |year: i32| fetch_event(&run, &partition(year, "grade-pk"));
        let (event, expected) = match number % 10 {
            1 => (event(2019), Some("PortalRefused")),
            2 => (json!({"run": run}), Some("InvalidRequest")),
            3 => (event(2018), Some("CountMismatch")),
            4 => (json!("not an event"), Some("InvalidRequest")),
            5 => (json!({"dataset": "none", "run": run, "partition": {}, "force": false}), Some("InvalidRequest")),
            6 => {
                ground.set("PUT", "data/", s3_error(403, "AccessDenied", "Access Denied"), None);
                ground.remove(&ground.object(&pre_k()));
                (event(2021), Some("StoreFailed"))
            }
            7 => {
                function.send_within(&event(2021), Duration::ZERO);
                assert_eq!(function.answer().failed().0, "DeadlineExceeded");
                (event(2020), None)
            }
            _ => (event(2021), None),
        };
        match (function.call(&event), expected) {
            (Answer::Given(given), None) => {
                assert_eq!(given, json!({}));
                n_written += 1;
            }
            (Answer::Failed(name, _), Some(expected)) => assert_eq!(name, expected, "{number}"),
            (answer, expected) => panic!("{number}: expected {expected:?}, found {answer:?}"),
        }
        ground.proxy.set([]);
    }
    assert_eq!(n_written, 20);
    ground.assert_recorded(&pre_k(), "r49", Outcome::Unchanged);
    assert_eq!(ground.record(&partition(2019, "grade-pk")).committed, None);
}

/// Guard: nothing of a secret is kept between two readings (a function reads it for each event), and one that cannot be read is named, by who refused it and how.
#[test]
fn l9_a_rotated_secret_is_found_at_once_and_a_missing_denied_or_throttled_one_is_named() {
    const ASKED: &str = "secretsmanager.GetSecretValue";
    let ground = Ground::without_database();
    let dataset = Dataset::parse("secret.toml", &descriptor_with_secret()).expect("it is valid");
    let header = || ground.runtime.block_on(secret::header(&ground.config, "rollcall/", &dataset));
    let value = || {
        let (name, value) = header().map_err(|error| error.chain())?.expect("it names a secret");
        assert_eq!((name.as_str(), value.is_sensitive()), ("x-api-key", true));
        Ok::<String, String>(value.to_str().expect("it is text").to_owned())
    };
    let call = |operation: &str, secret: &str| {
        let (name, value) = if operation == "create_secret" { ("Name", secret) } else { ("SecretId", secret) };
        let input = json!({name: "rollcall/portal-key", "SecretString": value});
        let _ = ground.emulator.call_in(ground.region, "secretsmanager", operation, &input);
    };
    let place = "Secrets Manager under `rollcall/portal-key`";
    let missing = header().expect_err("there is none");
    assert_eq!((missing.name(), missing.is_retryable()), ("SecretMissing", false));
    assert_eq!(missing.chain(), format!("read secret `portal-key`: expected a value in {place}, found none"));
    assert_eq!(ground.proxy.take_seen_of(ASKED).len(), 1);

    call("create_secret", "first");
    assert_eq!(value().as_deref(), Ok("first"));
    call("put_secret_value", "second");
    assert_eq!(value().as_deref(), Ok("second"), "a rotated one is found at once");

    let _ = ground.proxy.take_seen();
    ground.proxy.set([Rule::new(ASKED, json_error(400, "AccessDeniedException", "User: x is not authorized"))]);
    let denied = header().expect_err("it is denied");
    assert_eq!((denied.name(), denied.is_retryable()), ("SecretMissing", false));
    let refused = format!("{place} (HTTP 400, AccessDeniedException: User: x is not authorized)");
    assert_eq!(denied.chain(), format!("read secret `portal-key`: expected a value in {refused}, found none"));
    assert_eq!(ground.proxy.take_seen_of(ASKED).len(), 1);

    for (status, code) in [(400, "ThrottlingException"), (500, "InternalServiceError")] {
        ground.proxy.set([Rule::new(ASKED, json_error(status, code, "later")).times(2)]);
        assert_eq!(value().as_deref(), Ok("second"));
        ground.proxy.set([Rule::new(ASKED, json_error(status, code, "later"))]);
        let _ = ground.proxy.take_seen();
        let passing = header().expect_err("it is never given");
        assert_eq!((passing.name(), passing.is_retryable()), ("StoreFailed", true));
        assert!(passing.chain().ends_with(&format!("HTTP {status}, {code}: later")), "{}", passing.chain());
        assert!(!passing.chain().contains("second"));
        assert_eq!(ground.proxy.take_seen_of(ASKED).len(), 3);
    }
}

/// Guard: nothing is put on the disk, so a full one stops nothing. The processes may write no byte to a file.
#[test]
fn l10_a_full_disk_stops_no_function() {
    let ground = Ground::with_tables();
    let on_full_disk = |name: &str| {
        let command = ground.command(name);
        let mut limited = Command::new("prlimit");
        limited.arg("--fsize=0").arg(command.get_program()).env_clear();
        limited.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Function::start(limited)
    };
    let request = json!({"years": [2021], "grades": ["grade-pk"]});
    let planned = on_full_disk("planner").call(&plan_event("r1", &request)).given();
    assert_eq!(planned["n_planned"], 1);
    assert_eq!(on_full_disk("page-fetch").call(&fetch_event("r1", &pre_k())), Answer::Given(json!({})));
    let published = on_full_disk("catalog").call(&planned).given();
    assert_eq!((&published["n_published"], &published["n_failed"]), (&json!(1), &json!(0)));
    ground.assert_recorded(&pre_k(), "r1", Outcome::Written);
    // And no line of their own code, nor of the steps, writes a file (the lake in a folder is of one machine).
    let writes = ["fs::write", "File::create", "OpenOptions", "create_dir", "temp_dir", "tempfile", "::rename("];
    let mut n_files = 0;
    for folder in [
        "aws/src",
        "aws/src/step",
        "core/src",
        "core/src/page",
        "functions/planner/src",
        "functions/page-fetch/src",
        "functions/catalog/src",
    ] {
        for file in std::fs::read_dir(workspace().join(folder)).expect("the project has it").flatten() {
            let path = file.path();
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("it can be read");
            let product = text.split("\n#[cfg(test)]\nmod ").next().expect("a split has a first part");
            let found: Vec<&&str> = writes.iter().filter(|word| product.contains(**word)).collect();
            assert!(found.is_empty(), "{}: {found:?}", path.display());
            n_files += 1;
        }
    }
    assert!(n_files > 30, "{n_files}");
}

/// To the planner.
fn plan_event(run: &str, request: &Value) -> Value {
    json!({"run": run, "started_at": "2026-11-23T12:00:00Z", "request": request})
}

// --- Glue ---

/// Requests of an operation of Glue since the last time, each as the partitions that it names.
fn named_in(ground: &Ground, operation: &str) -> Vec<Vec<String>> {
    let values = |entry: &Value| {
        let values = entry["Values"].as_array().or(entry["PartitionValueList"].as_array()).expect("values").clone();
        values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("/")
    };
    let of_request = |seen: &Seen| {
        let body = seen.json();
        let entries = body["PartitionInputList"].as_array().or(body["Entries"].as_array()).expect("entries").clone();
        entries.iter().map(values).collect()
    };
    let seen = ground.proxy.take_seen();
    seen.iter().filter(|seen| seen.line.ends_with(operation)).map(of_request).collect()
}

const CREATE: &str = "AWSGlue.BatchCreatePartition";
const UPDATE: &str = "AWSGlue.BatchUpdatePartition";

/// The errors of entries in an answer of HTTP 200 to [`CREATE`].
fn refused(entries: &[(&str, &str, &str)]) -> String {
    let error = |(year, grade, code): &(&str, &str, &str)| json!({"PartitionValues": [year, grade], "ErrorDetail": {"ErrorCode": code, "ErrorMessage": "said so"}});
    json!({"Errors": entries.iter().map(error).collect::<Vec<_>>()}).to_string()
}

/// Guard: an entry that is there already is changed to what it should be.
#[test]
fn g1_a_partition_that_is_there_already_is_made_to_say_what_it_should() {
    let ground = Ground::with_tables();
    let (kept, grown, new) =
        (registered(2020, "grade-pk", 5), registered(2021, "grade-pk", 8), registered(2021, "grade-k", 3));
    let moved = CatalogPartition { location: "data/elsewhere/".to_owned(), n_rows: 7, ..grown.clone() };
    ground.register(&[kept.clone(), moved]).expect("they are added");
    let _ = ground.proxy.take_seen();
    ground.register(&[kept.clone(), grown.clone(), new.clone()]).expect("they are put");
    let seen = ground.proxy.take_seen();
    let names = |operation: &str| seen.iter().filter(|seen| seen.line.ends_with(operation)).count();
    // One answer of HTTP 200 holds two errors; only those two are changed.
    assert_eq!((names(CREATE), names(UPDATE)), (1, 1));
    let update = seen.iter().find(|seen| seen.line.ends_with(UPDATE)).expect("there is one").json();
    assert_eq!(update["Entries"].as_array().map(Vec::len), Some(2));
    assert_eq!(ground.registered(), [kept, new, grown]);
}

/// Guard: of a batch, only what was not taken is sent again, and what will not pass is named.
#[test]
fn g2_only_the_entries_that_a_batch_did_not_take_are_sent_again() {
    let ground = Ground::with_tables();
    let put = [registered(2019, "grade-pk", 3), registered(2020, "grade-pk", 5), registered(2021, "grade-pk", 8)];
    // All are taken, and two are said not to be: the worst of both.
    let body =
        refused(&[("2020", "grade-pk", "InternalServiceException"), ("2021", "grade-pk", "ThrottlingException")]);
    ground.proxy.set([Rule::new(CREATE, Fault::AnswerInstead { body }).times(1)]);
    ground.register(&put).expect("they are taken");
    let two = vec!["2020/grade-pk".to_owned(), "2021/grade-pk".to_owned()];
    let all = [vec!["2019/grade-pk".to_owned()], two.clone()].concat();
    assert_eq!(named_in(&ground, CREATE), [all, two]);
    assert_eq!(ground.registered(), put);

    let body = refused(&[("2020", "grade-pk", "InvalidInputException")]);
    ground.proxy.set([Rule::new(CREATE, Fault::AnswerInstead { body })]);
    let said = chain(&ground.register(&put).expect_err("one is refused for good"));
    assert_eq!(said, "put partition `2020/grade-pk`: InvalidInputException: said so");
    assert_eq!(named_in(&ground, CREATE).len(), 1);
}

/// Guard: another change under way is waited for, of an entry for five rounds, of a whole call for three tries.
#[test]
fn g3_a_change_under_way_is_waited_for_and_then_named() {
    let ground = Ground::with_tables();
    let put = [registered(2020, "grade-pk", 5), registered(2021, "grade-pk", 8)];
    let code = "ConcurrentModificationException";
    let whole = || json_error(400, code, "A change is under way.");
    ground.proxy.set([Rule::new(CREATE, whole()).times(2)]);
    ground.register(&put).expect("the third is taken");
    assert_eq!(named_in(&ground, CREATE).len(), 3);
    assert_eq!(ground.registered(), put);
    ground.proxy.set([Rule::new("AWSGlue.DeletePartition", whole()).times(2)]);
    let catalog = ground.catalog();
    let gone = [put[0].partition.clone()];
    ground.runtime.block_on(catalog.change_partitions(&ground.dataset, &[], &gone)).expect("the third is taken");
    assert_eq!(ground.registered(), put[1..]);

    ground.proxy.set([Rule::new(CREATE, whole())]);
    let said = chain(&ground.register(&put).expect_err("it never ends"));
    assert_eq!(said, format!("add partitions: HTTP 400, {code}: A change is under way."));
    assert_eq!(named_in(&ground, CREATE).len(), 3);
    let body = refused(&[("2020", "grade-pk", code)]);
    ground.proxy.set([Rule::new(CREATE, Fault::Answer { status: 200, body })]);
    let said = chain(&ground.register(&put[..1]).expect_err("it never ends"));
    assert_eq!(said, format!("put partition `2020/grade-pk`: {code}: said so"));
    assert_eq!(named_in(&ground, CREATE).len(), 5);
}

/// Guard: the SDK knows Glue's way to say that it is asked too much.
#[test]
fn g4_a_throttled_call_is_made_again_and_then_named() {
    let ground = Ground::with_tables();
    let put = [registered(2021, "grade-pk", 8)];
    let throttled = || json_error(400, "ThrottlingException", "Rate exceeded");
    for operation in [CREATE, "AWSGlue.GetTable", "AWSGlue.GetPartitions"] {
        ground.proxy.set([Rule::new(operation, throttled()).times(2)]);
        ground.register(&put).expect("the third is taken");
        let catalog = ground.catalog();
        let found = ground.runtime.block_on(catalog.partitions(&ground.dataset)).expect("the third is taken");
        assert_eq!(found, put);
    }
    let _ = ground.fetch(&pre_k(), "r1").expect("it is fetched");
    ground.proxy.set([Rule::new("AWSGlue.GetPartitions", throttled())]);
    let error = ground.publish("r1", &[pre_k()]).expect_err("Glue never answers");
    assert_eq!((error.name(), error.is_retryable()), ("CatalogFailed", true));
    assert!(
        error.chain().ends_with("list partitions: HTTP 400, ThrottlingException: Rate exceeded"),
        "{}",
        error.chain()
    );
    assert_eq!(ground.proxy.take_seen_of("AWSGlue.GetPartitions").len(), 1 + 1 + 3 + 3);
}

/// Guards: a call takes 100 entries at most; what is published is what the objects say, not what a run remembers.
#[test]
fn g5_g9_batches_hold_a_hundred_and_a_run_that_ended_between_two_is_completed() {
    let ground = Ground::with_tables();
    let (_, stamp) = object();
    let facts = ObjectFacts { etag: "\"e\"".to_owned(), size_bytes: 7, stamp: Some(stamp) };
    let objects: BTreeMap<PartitionKey, ObjectFacts> =
        (1800..2050).map(|year| (partition(year, "grade-pk"), facts.clone())).collect();
    let (lake, catalog) = (ground.lake(), ground.catalog());
    let publish = || ground.runtime.block_on(converge(&lake, &catalog, &ground.dataset, &objects));
    let sizes = || named_in(&ground, CREATE).iter().map(Vec::len).collect::<Vec<_>>();
    // Of the second batch nothing is heard any more; the SDK asks three times.
    let over = json_error(500, "InternalServiceException", "It is ill.");
    ground.proxy.set([Rule::new(CREATE, Fault::Pass).times(1), Rule::new(CREATE, over)]);
    assert_eq!(publish().expect_err("the second batch is refused").name(), "CatalogFailed");
    assert_eq!(sizes(), [100, 100, 100, 100]);
    assert_eq!(ground.registered().len(), 100);

    ground.proxy.set([]);
    assert_eq!((publish().expect("Glue is well again").n_put, sizes()), (150, vec![100, 50]));
    let found: Vec<PartitionKey> = ground.registered().into_iter().map(|registered| registered.partition).collect();
    assert_eq!(found, objects.into_keys().collect::<Vec<_>>());
}

/// Guard: a crawl under way is waited for, then another is started; if it never ends, so does the run, not well.
#[test]
fn g6_a_crawl_under_way_is_waited_for_and_never_taken_for_ones_own() {
    let states = &state_machine()["States"];
    let start = &states["StartCrawler"];
    assert_eq!(start["Resource"], "arn:aws:states:::aws-sdk:glue:startCrawler");
    let retriers = start["Retry"].as_array().expect("retriers");
    let of_running = |retrier: &&Value| retrier["ErrorEquals"] == json!(["Glue.CrawlerRunningException"]);
    let retrier = retriers.iter().find(of_running).expect("it is retried");
    let waits = retrier["IntervalSeconds"].as_u64().zip(retrier["MaxAttempts"].as_u64()).expect("numbers");
    assert!(waits.0 >= 30 && waits.0 * waits.1 >= 3_000, "a crawl takes minutes, {waits:?} is less");
    // Glue that is ill or asked too much is asked again, to start it as to look at it.
    for state in [start, &states["ReadCrawler"]] {
        let retriers = state["Retry"].as_array().expect("retriers");
        let of_service = |retrier: &&Value| {
            let errors = retrier["ErrorEquals"].as_array().expect("a list");
            errors.contains(&json!("Glue.GlueException")) && retrier["MaxAttempts"].as_u64() >= Some(3)
        };
        assert!(retriers.iter().any(|retrier| of_service(&retrier)), "{state}");
    }
    assert!(start["Catch"].is_null(), "what is caught would be taken for a crawl that was started");
    assert_eq!((&start["Next"], &states["WaitForCrawler"]["Next"]), (&json!("WaitForCrawler"), &json!("ReadCrawler")));
    // Only a crawler that is ready goes on; until then it is looked at again.
    let ready = &states["CrawlerReady?"];
    assert_eq!(ready["Choices"][0]["Variable"], "$.crawl.Crawler.State");
    assert_eq!((&ready["Choices"][0]["StringEquals"], &ready["Default"]), (&json!("READY"), &json!("WaitForCrawler")));
}

/// Guard: what is not there, or full, is told with the table's name, and not asked again.
#[test]
fn g7_a_missing_table_or_database_and_a_full_account_are_named() {
    let ground = Ground::without_database();
    let _ = ground.fetch(&pre_k(), "r1").expect("it is fetched");
    let table = "ccd_school.us_education_ccd_enrollment_data";
    let error = ground.publish("r1", &[pre_k()]).expect_err("there is no database");
    assert_eq!(error.name(), "CatalogFailed");
    let missing = "read table: expected the template's table, found none\nhint: deploy the template again";
    assert!(error.chain().contains(table) && error.chain().ends_with(missing), "{}", error.chain());

    ground.declare_tables();
    let full = || json_error(400, "ResourceNumberLimitExceededException", "Number of partitions exceeds the limit");
    let gone = || json_error(400, "EntityNotFoundException", "Database ccd_school not found.");
    for (fault, words) in [
        (full(), "HTTP 400, ResourceNumberLimitExceededException: Number of partitions exceeds the limit"),
        (gone(), "HTTP 400, EntityNotFoundException: Database ccd_school not found."),
    ] {
        ground.proxy.set([Rule::new(CREATE, fault)]);
        let _ = ground.proxy.take_seen();
        let error = ground.publish("r1", &[pre_k()]).expect_err("it is refused");
        assert!(error.chain().contains(table) && error.chain().ends_with(words), "{}", error.chain());
        assert_eq!(ground.proxy.take_seen_of(CREATE).len(), 1);
    }
    // The data is there all the while, and is published once there is room.
    ground.proxy.set([]);
    assert_eq!(ground.publish("r2", &[]).expect("there is room").n_published, 1);
}

/// Guard: the catalog function looks at how the crawl ended.
#[test]
fn g8_a_crawl_that_failed_or_was_cancelled_or_never_ran_fails_the_run_by_name() {
    let ground = Ground::with_tables();
    let _ = ground.fetch(&pre_k(), "r1").expect("it is fetched");
    let catalog = ground.function("catalog");
    let mut event = publish_event(&ground, "r1", &[pre_k()]);
    event["catalog"] = json!("crawler");
    for (crawler, words) in [
        (json!({"LastCrawl": {"Status": "FAILED", "ErrorMessage": "no such bucket"}}), "found FAILED: no such bucket"),
        (json!({"LastCrawl": {"Status": "CANCELLED"}}), "found CANCELLED: "),
        (json!({}), "found none: "),
    ] {
        event["crawl"] = json!({"Crawler": crawler});
        let (name, message) = catalog.call(&event).failed();
        assert_eq!(name, "CatalogFailed");
        assert!(message.ends_with(&format!("expected a crawl that ended as SUCCEEDED, {words}")), "{message}");
    }
    // One that ended well and found nothing is no success either.
    event["crawl"] = json!({"Crawler": {"LastCrawl": {"Status": "SUCCEEDED"}}});
    let (name, message) = catalog.call(&event).failed();
    assert_eq!(name, "CatalogFailed");
    assert!(message.contains("1 of 1 missing, such as `year=2021/grade=grade-pk`"), "{message}");
    assert_eq!(ground.registered(), []);
}

// --- the state machine and its schedule ---

/// Guards: state holds references and counts, however large the plan; a message names twenty partitions at most.
#[test]
fn w1_w2_state_stays_small_however_much_is_planned_or_fails() {
    let machine = state_machine();
    let map = &machine["States"]["FetchPartitions"];
    assert_eq!(map["ItemReader"]["Resource"], "arn:aws:states:::s3:getObject", "the plan is read from the lake");
    assert_eq!((&map["ResultPath"], map.get("ResultPath").is_some()), (&Value::Null, true), "results are dropped");

    let ground = Ground::new();
    let mut grades: Vec<String> = (1..=15).map(|n| format!("grade-{n}")).collect();
    grades.extend(["grade-pk", "grade-k", "grade-99"].map(str::to_owned));
    let request = json!({"years": "1986-2024", "grades": grades});
    let planned = ground.function("planner").call(&plan_event("r1", &request)).given();
    let n_planned = planned["n_planned"].as_u64().expect("a number");
    assert!(n_planned >= 39 * 18, "{n_planned}");
    assert!(planned.to_string().len() < 2_048, "{planned}");
    let plan = ground.read(planned["plan"]["key"].as_str().expect("a key")).expect("there is the plan");
    assert_eq!(serde_json::from_slice::<Vec<Value>>(&plan).expect("a bare array").len() as u64, n_planned);

    let error = ErrorFacts { name: "PortalUnavailable".to_owned(), message: "x".repeat(2_000) };
    let failed = |year: i32| FailedPartition { partition: partition(year, "grade-pk"), error: error.clone() };
    let failed: Vec<FailedPartition> = (1..=720).map(failed).collect();
    let now = Timestamp::now();
    let summary = Summary {
        run: "r".repeat(80),
        dataset: "ccd_enrollment".to_owned(),
        started_at: now,
        finished_at: now,
        n_planned: 720,
        outcomes: [(Outcome::Failed, 720)].into(),
        n_rows: 0,
        n_pages: 0,
        n_published: 0,
        n_withdrawn: 0,
        unreadable: Vec::new(),
        failed,
    };
    let reference = ObjectReference { bucket: "b".repeat(63), key: "k".repeat(200) };
    let published = json!(Published::of(&summary, reference, None));
    assert!(published.to_string().len() < 4_096, "{published}");
    assert!(published["message"].as_str().is_some_and(|message| message.contains(" and 700 more")), "{published}");
}

/// Events that a state leaves in the history of its execution, at most: entered, left, and for each try of a task
/// scheduled, started, ended; a state that fails and is caught leaves one more.
fn n_events(state: &Value) -> u64 {
    let n_retries: u64 =
        state["Retry"].as_array().into_iter().flatten().filter_map(|r| r["MaxAttempts"].as_u64()).sum();
    match state["Type"].as_str() {
        Some("Task") => 3 + 3 * (1 + n_retries),
        Some("Map") => 6,
        _ => 2,
    }
}

/// Guard: each partition has an execution of its own, so that the history of the run does not grow with its plan.
#[test]
fn w3_no_history_comes_near_its_limit_of_25_000_events() {
    let machine = state_machine();
    let states = machine["States"].as_object().expect("states");
    let map = &states["FetchPartitions"]["ItemProcessor"];
    assert_eq!(map["ProcessorConfig"], json!({"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}));
    let of_partition: u64 = map["States"].as_object().expect("states").values().map(n_events).sum();
    assert!(of_partition < 100, "{of_partition}");
    // What is left to grow is the wait for a crawler, until the run's own time is up.
    let round: u64 = ["WaitForCrawler", "ReadCrawler", "CrawlerReady?"]
        .map(|state| match state {
            // That it fails in every round is more than a run survives.
            "ReadCrawler" => 5,
            state => n_events(&states[state]),
        })
        .iter()
        .sum();
    let time = machine["TimeoutSeconds"].as_u64().expect("a number");
    let wait = states["WaitForCrawler"]["Seconds"].as_u64().expect("a number");
    let others: u64 = states.values().map(n_events).sum();
    let most = others + round * (time / wait);
    assert!(most < 20_000, "{most}");
}

/// Guard: a failed run says how to run again what failed, and just that is planned.
#[test]
fn w5_what_failed_is_run_again_by_the_name_of_its_run() {
    let ground = Ground::with_tables();
    let refused = Action::Status { code: 404, retry_after: None, body: None };
    ground.portal.server.set_faults(vec![PortalFault::new(refused).on_path("2020/")]);
    let [planner, page_fetch, catalog] = ["planner", "page-fetch", "catalog"].map(|name| ground.function(name));
    let request = json!({"years": [2020, 2021], "grades": ["grade-pk"]});
    let planned = planner.call(&plan_event("r1", &request)).given();
    for year in [2020, 2021] {
        let _ = page_fetch.call(&fetch_event("r1", &partition(year, "grade-pk")));
    }
    let published = catalog.call(&planned).given();
    let message = published["message"].as_str().expect("it says");
    let (failed, again) = message.split_once("; run them again with ").expect("it says what to do");
    assert_eq!(failed, "1 of 2 failed: year=2020/grade=grade-pk (PortalRefused)");
    assert_eq!((&published["n_failed"], &published["n_published"]), (&json!(1), &json!(1)), "the good one is there");

    ground.portal.server.set_faults(Vec::new());
    let request: Value = serde_json::from_str(again).expect("it is a request");
    let planned = planner.call(&plan_event("r2", &request)).given();
    let plan = ground.read_json(planned["plan"]["key"].as_str().expect("a key"));
    assert_eq!(plan.as_array().map(Vec::len), Some(1));
    assert_eq!(plan[0]["partition"], json!({"year": 2020, "grade": "grade-pk"}));
    assert_eq!(page_fetch.call(&fetch_event("r2", &partition(2020, "grade-pk"))), Answer::Given(json!({})));
    assert_eq!(catalog.call(&planned).given()["n_failed"], 0);
    // The state machine does not catch what one partition fails by, so that a redrive, too, has it to do again.
    let map = &state_machine()["States"]["FetchPartitions"]["ItemProcessor"]["States"]["FetchPartition"];
    assert!(map["Catch"].is_null() && map["End"] == true);
}

/// Guard: the condition of the write. Two runs read the portal at different times, and end with its newest rows.
#[test]
fn w6_of_two_runs_at_once_the_one_that_read_last_wins() {
    let ground = Ground::with_tables();
    let (early, late) = (ground.function("page-fetch"), ground.function("page-fetch"));
    ground.portal.server.set_faults(vec![other_rows()]);
    ground.set("PUT", "data/", Fault::Hold, Some(1));
    early.send(&fetch_event("early", &pre_k()));
    ground.proxy.wait_until_held();
    ground.portal.server.set_faults(Vec::new());
    assert_eq!(late.call(&fetch_event("late", &pre_k())), Answer::Given(json!({})));
    let written = ground.head(&ground.object(&pre_k()));
    ground.proxy.open();
    assert_eq!(early.answer(), Answer::Given(json!({})));
    assert_eq!(ground.head(&ground.object(&pre_k())), written);
    let outcomes = ["early", "late"].map(|run| ground.receipt(&pre_k(), run).outcome);
    assert_eq!(outcomes, [Outcome::Superseded, Outcome::Written]);
    // Both publish, and the catalog says what is there.
    for run in ["late", "early"] {
        let _ = ground.publish(run, &[pre_k()]).expect("it is published");
        let stamp = written.as_ref().and_then(|facts| facts.stamp.as_ref()).expect("an object");
        assert_eq!(ground.registered(), [registered(2021, "grade-pk", stamp.n_rows)]);
    }
}

/// A portal of one page, received at a time of its own, and not before all writers have looked at the object: what a
/// writer saw there was read before its own rows were.
struct OnePage {
    root: Url,
    page: String,
    received_at: Timestamp,
    all_have_looked: Arc<Barrier>,
}

impl OnePage {
    /// Rows of which each holds `value`.
    fn of(value: u64, received_at: Timestamp, all_have_looked: &Arc<Barrier>) -> Self {
        let row = |school: u64| {
            format!(
                "{{\"year\":2021,\"ncessch\":\"{school:012}\",\"ncessch_num\":{school},\"grade\":-1,\"race\":99,\
                 \"sex\":99,\"enrollment\":{value},\"fips\":1,\"leaid\":\"0100002\"}}"
            )
        };
        let rows: Vec<String> = (1..=40).map(row).collect();
        Self {
            root: "https://portal.test/api/v1/".parse().expect("a URL"),
            page: format!("{{\"count\":40,\"next\":null,\"results\":[{}]}}", rows.join(",")),
            received_at,
            all_have_looked: Arc::clone(all_have_looked),
        }
    }

    /// What fetching the partition into `store` came to; `None` when others were faster each time it wrote.
    async fn fetched_into(&self, store: &S3Store, dataset: &Dataset) -> Option<Outcome> {
        let run = RunFacts { run: "race".to_owned(), portal_release: None, force: false, pages_at_once: 1 };
        match fetch_partition(self, store, &SystemClock, dataset, &pre_k(), &run).await {
            Ok(receipt) => Some(receipt.outcome),
            Err(Error::WriteConflict { .. }) => None,
            Err(error) => panic!("{}", error.chain()),
        }
    }
}

impl Portal for OnePage {
    fn root(&self) -> &Url {
        &self.root
    }

    async fn get(&self, _: &str, _: u32, _: u32) -> Result<Body, PortalError> {
        let _ = self.all_have_looked.wait().await;
        let bytes = Bytes::from(self.page.clone());
        Ok(Body { bytes, received_at: self.received_at, tries: 1, may_ask_again: false, permit: None })
    }
}

/// Guard: the condition of the write, and the comparison of times after a lost one. Eight writers with rows of their own
/// race for one partition, `ROLLCALL_ROUNDS` times.
#[test]
fn l5_of_eight_writers_at_once_the_one_that_read_last_wins_and_nothing_is_mixed() {
    const WRITERS: u64 = 8;
    let n_rounds = std::env::var("ROLLCALL_ROUNDS").map_or(10, |n| n.parse().expect("`ROLLCALL_ROUNDS` is a number"));
    let (ground, alone) = (Ground::new(), Ground::new());
    let (lake, expected) = (ground.lake(), alone.lake());
    let key = ground.object(&pre_k());
    let mut n_superseded = 0;
    for round in 0..n_rounds {
        // Who read last changes from round to round.
        let read_at = |writer: u64| {
            let place = (writer * 3 + round) % WRITERS;
            Timestamp::from_second(1_700_000_000 + i64::try_from(round * WRITERS + place).expect("small"))
                .expect("a time")
        };
        let portal =
            |writer: u64, barrier: &Arc<Barrier>| OnePage::of(round * WRITERS + writer, read_at(writer), barrier);
        let all_have_looked = Arc::new(Barrier::new(WRITERS as usize));
        let portals: Vec<OnePage> = (0..WRITERS).map(|writer| portal(writer, &all_have_looked)).collect();
        let races = portals.iter().map(|portal| portal.fetched_into(&lake, &ground.dataset));
        let outcomes = ground.runtime.block_on(join_all(races));
        let is_end = |outcome: &Option<Outcome>| matches!(outcome, Some(Outcome::Written | Outcome::Superseded) | None);
        assert!(outcomes.iter().all(is_end), "{outcomes:?}");
        n_superseded += outcomes.iter().filter(|outcome| **outcome == Some(Outcome::Superseded)).count();
        // One that gave up says so by name, and is fetched again.
        let ended = (0..WRITERS).zip(&outcomes).filter(|(_, outcome)| outcome.is_some());
        let (last, _) = ended.max_by_key(|(writer, _)| read_at(*writer)).expect("one is always the fastest");
        let last = portal(last, &Arc::new(Barrier::new(1)));
        let _ = ground.runtime.block_on(last.fetched_into(&expected, &ground.dataset));
        let found = ground.runtime.block_on(lake.read(&key)).expect("it can be read").expect("an object");
        let due = ground.runtime.block_on(expected.read(&key)).expect("it can be read").expect("an object");
        assert!(found == due, "round {round} ended with other rows than those read last: {outcomes:?}");
        let stamp = ground.head(&key).and_then(|facts| facts.stamp).expect("it is ours");
        assert_eq!(stamp.fetched_at, last.received_at, "round {round}");
    }
    assert!(n_superseded > 0, "nobody was overtaken");
}

/// Guard: an edition that is there is not written again. The scheduler delivers at least once, under another name each time.
#[test]
fn w7_a_schedule_that_starts_twice_writes_once() {
    let ground = Ground::with_tables();
    let [planner, page_fetch, catalog] = ["planner", "page-fetch", "catalog"].map(|name| ground.function(name));
    let schedule = &template()["Parameters"]["ScheduleInput"]["Default"];
    let request: Value =
        serde_json::from_str(schedule.as_str().expect("text")).expect("the schedule's request is JSON");
    let mut seen = Vec::new();
    for run in ["first", "second"] {
        let planned = planner.call(&plan_event(run, &request)).given();
        for item in ground.read_json(planned["plan"]["key"].as_str().expect("a key")).as_array().expect("a plan") {
            let event = json!({
                "run": run, "dataset": planned["dataset"], "partition": item["partition"],
                "portal_release": planned["portal_release"], "force": planned["force"],
            });
            assert_eq!(page_fetch.call(&event), Answer::Given(json!({})));
        }
        let published = catalog.call(&planned).given();
        seen.push((published["outcomes"].clone(), published["n_published"].clone(), ground.proxy.take_seen()));
    }
    let outcome = |name: &str, n: u64| {
        let mut outcomes = json!({"written": 0, "unchanged": 0, "empty": 0, "superseded": 0, "failed": 0});
        outcomes[name] = json!(n);
        outcomes
    };
    assert_eq!((&seen[0].0, &seen[0].1), (&outcome("written", 2), &json!(2)));
    assert_eq!((&seen[1].0, &seen[1].1), (&outcome("unchanged", 2), &json!(0)));
    let data = ground.line("PUT", "data/");
    let changes = |seen: &[Seen]| {
        let is_change =
            |seen: &&Seen| seen.line.starts_with(&data) || seen.line.ends_with(CREATE) || seen.line.ends_with(UPDATE);
        seen.iter().filter(is_change).count()
    };
    assert!(changes(&seen[0].2) > 0);
    assert_eq!(changes(&seen[1].2), 0);
}

/// The alarm on a metric, if there is one.
fn alarm<'t>(template: &'t Value, metric: &str) -> &'t Value {
    let alarms = of_type(template, "AWS::CloudWatch::Alarm");
    let found = alarms.values().find(|alarm| alarm["MetricName"] == metric);
    let alarm = found.unwrap_or_else(|| panic!("expected an alarm on {metric}, found none"));
    assert_eq!(alarm["AlarmActions"], json!([{"Ref": "AlarmTopic"}]), "{metric}");
    alarm
}

/// Guards: the schedule's retries, the queue of what could not be started, and the alarms on both.
#[test]
fn w8_a_run_that_the_schedule_cannot_start_is_tried_again_kept_and_told() {
    let template = template();
    let target = &template["Resources"]["Schedule"]["Properties"]["Target"];
    assert_eq!(target["Arn"], json!({"Ref": "StateMachine"}));
    assert_eq!(target["RetryPolicy"]["MaximumRetryAttempts"], 3);
    assert_eq!(target["DeadLetterConfig"]["Arn"], json!({"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}));
    let role = template["Resources"]["ScheduleRole"]["Properties"]["Policies"][0]["PolicyDocument"].clone();
    let statements = role["Statement"].as_array().expect("statements");
    for (action, resource) in [
        ("states:StartExecution", json!({"Ref": "StateMachine"})),
        ("sqs:SendMessage", json!({"Fn::GetAtt": ["DeadLetterQueue", "Arn"]})),
    ] {
        assert!(statements.iter().any(|found| found["Action"] == action && found["Resource"] == resource), "{action}");
    }
    for metric in ["TargetErrorCount", "InvocationDroppedCount", "ApproximateNumberOfMessagesVisible"] {
        let _ = alarm(&template, metric);
    }
}

/// Guard: an alarm to which silence is bad news.
#[test]
fn w9_a_schedule_that_starts_nothing_raises_an_alarm() {
    let template = template();
    let alarm = alarm(&template, "ExecutionsSucceeded");
    let facts = (&alarm["ComparisonOperator"], &alarm["Threshold"], &alarm["TreatMissingData"]);
    assert_eq!(facts, (&json!("LessThanThreshold"), &json!(1), &json!("breaching")));
    assert_eq!((&alarm["Period"], &alarm["EvaluationPeriods"]), (&json!(3600), &json!({"Ref": "FreshnessHours"})));
    // More than two schedules of twelve hours, so that one failure alone does not raise it.
    assert_eq!(template["Parameters"]["ScheduleExpression"]["Default"], "rate(12 hours)");
    assert_eq!(template["Parameters"]["FreshnessHours"]["Default"], 26);
    assert_eq!(template["Resources"]["NoSuccessAlarm"]["Condition"], "IsScheduled");
}

/// Guard: the planner checks the request before it asks anyone anything.
#[test]
fn w10_a_request_that_cannot_be_run_is_refused_by_the_planner_by_its_fields() {
    let ground = Ground::new();
    let planner = ground.function("planner");
    for (request, words) in [
        (json!("[2021"), "expected an object such as"),
        (json!({"years": [2021], "grades": ["grade-pk"], "dataset": "none"}), "`dataset`"),
        (json!({"years": "2021-2019", "grades": ["grade-pk"]}), "`years`"),
        (json!({"years": "1-999999", "grades": "all"}), "`years`"),
        (json!({"years": [2021], "grades": ["grade-77"], "mood": "bad"}), "`mood`"),
        (json!({"years": [2021], "grades": []}), "`grades`"),
    ] {
        let (name, message) = planner.call(&plan_event("r1", &request)).failed();
        assert_eq!(name, "InvalidRequest", "{message}");
        assert!(message.contains(words), "{request}: {message}");
    }
    let (name, message) =
        planner.call(&plan_event("no/run", &json!({"years": [2021], "grades": ["grade-pk"]}))).failed();
    assert!(name == "InvalidRequest" && message.contains("name of the execution"), "{message}");
    assert_eq!(ground.keys(""), Vec::<String>::new());
}

/// Guard: a time limit on the run, on each task, and below it on each function.
#[test]
fn w11_nothing_waits_longer_than_its_time() {
    let (template, machine) = (template(), state_machine());
    let time = |value: &Value| value.as_u64().expect("a number of seconds");
    let run = time(&machine["TimeoutSeconds"]);
    let states = &machine["States"];
    let fetch = &states["FetchPartitions"]["ItemProcessor"]["States"]["FetchPartition"];
    for (task, function) in [
        (&states["PlanPartitions"], "PlannerFunction"),
        (fetch, "PageFetchFunction"),
        (&states["PublishPartitions"], "CatalogFunction"),
    ] {
        assert_eq!(task["Parameters"]["FunctionName"], format!("${{{function}}}"));
        let of_function = time(&template["Resources"][function]["Properties"]["Timeout"]);
        assert!(of_function + 30 <= time(&task["TimeoutSeconds"]) && time(&task["TimeoutSeconds"]) < run, "{function}");
    }
    for state in ["StartCrawler", "ReadCrawler"] {
        assert!(time(&states[state]["TimeoutSeconds"]) < run);
    }
    // A run that its time ends is told, too.
    let _ = alarm(&template, "ExecutionsTimedOut");
}

/// Guard: events are read by name. While a deployment replaces the functions, a run that is under way may hand an event of
/// one version to another: it is either understood or refused by name, with nothing written.
#[test]
fn w12_an_event_of_another_version_is_understood_or_refused_by_name() {
    let ground = Ground::with_tables();
    let [page_fetch, catalog] = ["page-fetch", "catalog"].map(|name| ground.function(name));
    let mut older = fetch_event("r1", &pre_k());
    let _ = older.as_object_mut().expect("an object").remove("force");
    let (name, message) = page_fetch.call(&older).failed();
    assert!(name == "InvalidRequest" && message.contains("read event: missing field `force`"), "{message}");
    assert_eq!(ground.keys(""), Vec::<String>::new());
    let mut newer = fetch_event("r1", &pre_k());
    newer["encoding"] = json!({"version": 2});
    assert_eq!(page_fetch.call(&newer), Answer::Given(json!({})));
    let mut newer = publish_event(&ground, "r1", &[pre_k()]);
    newer["n_bytes"] = json!(7);
    assert_eq!(catalog.call(&newer).given()["n_published"], 1);
    let mut older = newer;
    let _ = older.as_object_mut().expect("an object").remove("plan");
    let (name, message) = catalog.call(&older).failed();
    assert!(name == "InvalidRequest" && message.contains("missing field `plan`"), "{message}");
}

// --- the template and the state machine ---

/// The template as JSON, CloudFormation's functions in their long form.
fn template() -> Value {
    let output = Command::new(rollcall_tests::python())
        .arg(workspace().join("tests/infra/template_json.py"))
        .output()
        .expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

/// Properties of the template's resources of a type, by name.
fn of_type<'t>(template: &'t Value, kind: &str) -> BTreeMap<&'t str, &'t Value> {
    let resources = template["Resources"].as_object().expect("it has resources");
    let of_kind = resources.iter().filter(|(_, resource)| resource["Type"] == kind);
    of_kind.map(|(name, resource)| (name.as_str(), &resource["Properties"])).collect()
}
