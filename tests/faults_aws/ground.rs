//! The test environment (each test has its own bucket, Region and portal behind a proxy) and the functions' events.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_s3::config::Region;
use bytes::Bytes;
use jiff::Timestamp;
use rollcall_adapters::SystemClock;
use rollcall_aws::SdkConfig;
use rollcall_aws::glue::GlueCatalog;
use rollcall_aws::s3::S3Store;
use rollcall_core::dataset::Dataset;
use rollcall_core::fetch::{Keep, RunFacts, fetch_partition};
use rollcall_core::file::Encoded;
use rollcall_core::ledger::PartitionRecord;
use rollcall_core::ledger::{self, Outcome, Receipt, Summary};
use rollcall_core::ledger::{PlanItem, Reason};
use rollcall_core::lookup::Lookup;
use rollcall_core::partition::PartitionKey;
use rollcall_core::ports::{Catalog, CatalogError, CatalogPartition, Listed, ObjectFacts, Store};
use rollcall_core::publish::{CatalogChanges, PlannedRun, Registrar, WithoutReceipt, publish_partitions};
use rollcall_core::{Error, keys};
use rollcall_simulator::{Action, Fault as PortalFault};
use rollcall_tests::emulator::proxy::{Fault, Proxy, Rule, Seen};

use rollcall_tests::emulator::runtime::{Function, Invocation, command};
use rollcall_tests::emulator::{Emulator, REGION, config_of, hasty, table_input};
use rollcall_tests::{TestPortal, client, partition, workspace};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::time::Instant;

/// Regions for the tests, one each, since Regions share no resources.
const REGIONS: [&str; 28] = [
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
    "ap-northeast-3",
    "ap-east-1",
    "ap-southeast-3",
    "af-south-1",
    "eu-south-1",
    "eu-central-2",
    "me-south-1",
    "me-central-1",
    "eu-south-2",
    "ap-south-2",
    "ap-southeast-4",
    "il-central-1",
];

/// A test's own bucket, Region and portal, with a proxy in front of the emulator.
pub struct Ground {
    pub emulator: Arc<Emulator>,
    pub proxy: Proxy,
    pub portal: TestPortal,
    pub runtime: Runtime,
    pub dataset: Dataset,
    pub bucket: String,
    pub region: &'static str,
    /// Settings for clients behind the proxy: as many tries as in production, with almost no wait.
    pub config: SdkConfig,
    /// Settings for clients that bypass the proxy.
    pub direct: SdkConfig,
}

impl Ground {
    pub fn new() -> Self {
        Self::in_region(REGION, TestPortal::small())
    }

    /// Creates an environment with a database and the tables of the template.
    pub fn with_tables() -> Self {
        let ground = Self::without_database();
        ground.declare_tables();
        ground
    }

    /// Creates an environment in a Region that no other test uses.
    pub fn without_database() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let region = REGIONS.get(NEXT.fetch_add(1, Ordering::Relaxed)).expect("a Region is left");
        Self::in_region(region, TestPortal::small())
    }

    pub fn in_region(region: &'static str, portal: TestPortal) -> Self {
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
        let _ = ground.runtime.block_on(created).expect("a bucket can be created");
        ground
    }

    /// Returns an S3 client that bypasses the proxy.
    pub fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.direct).force_path_style(true);
        // In this Region a bucket can be created without naming the Region.
        aws_sdk_s3::Client::from_conf(config.region(Region::new(REGION)).build())
    }

    /// Returns the lake behind the proxy.
    pub fn store(&self) -> S3Store {
        S3Store::new(&self.config, &self.bucket)
    }

    /// Returns the lake without the proxy.
    pub fn lake(&self) -> S3Store {
        S3Store::new(&self.direct, &self.bucket)
    }

    /// Returns the start of the request line for a key with this prefix.
    pub fn line(&self, method: &str, prefix: &str) -> String {
        format!("{method} /{}/{prefix}", self.bucket)
    }

    pub fn set(&self, method: &str, prefix: &str, fault: Fault, times: Option<usize>) {
        let rule = Rule::new(&self.line(method, prefix), fault);
        self.proxy.set([match times {
            Some(n) => rule.times(n),
            None => rule,
        }]);
    }

    pub fn seen(&self, method: &str, prefix: &str) -> Vec<Seen> {
        self.proxy.take_seen_of(&self.line(method, prefix))
    }

    pub fn keys(&self, prefix: &str) -> Vec<String> {
        self.listed(prefix).into_iter().map(|listed| listed.key).collect()
    }

    pub fn listed(&self, prefix: &str) -> Vec<Listed> {
        self.runtime.block_on(self.lake().list(prefix)).expect("the bucket can be listed")
    }

    pub fn read(&self, key: &str) -> Option<Bytes> {
        self.runtime.block_on(self.lake().read(key)).expect("the bucket responds").map(|found| found.bytes)
    }

    pub fn read_json(&self, key: &str) -> Value {
        let bytes = self.read(key).unwrap_or_else(|| panic!("expected an object at {key}"));
        serde_json::from_slice(&bytes).expect("the text is JSON")
    }

    pub fn write(&self, key: &str, bytes: impl Into<Bytes>) {
        self.runtime.block_on(self.lake().write(key, bytes.into())).expect("the bucket responds");
    }

    pub fn head(&self, key: &str) -> Option<ObjectFacts> {
        self.runtime.block_on(self.lake().head(key)).expect("the bucket responds")
    }

    pub fn remove(&self, key: &str) {
        let removed = self.s3().delete_object().bucket(&self.bucket).key(key).send();
        let _ = self.runtime.block_on(removed).expect("the bucket responds");
    }

    /// Fetches a partition as the function does, behind the proxy.
    pub fn fetch(&self, partition: &PartitionKey, run: &str) -> Result<Receipt, Error> {
        let store = self.store();
        let portal = client(&self.portal.origin(), |_| {});
        let run = RunFacts {
            run: run.to_owned(),
            portal_release: None,
            force: false,
            in_flight: 2,
            keep: Keep::default(),
            max_partition_bytes: None,
        };
        self.runtime.block_on(async {
            let portal = portal.until(Instant::now() + Duration::from_secs(60));
            let fetched = fetch_partition(&portal, &store, &SystemClock, &self.dataset, partition, &run).await?;
            Ok(fetched.receipt().expect("the partition is finished"))
        })
    }

    pub fn object(&self, partition: &PartitionKey) -> String {
        keys::partition_object(&self.dataset, partition)
    }

    /// Returns a partition's record, as last published.
    pub fn record(&self, partition: &PartitionKey) -> PartitionRecord {
        let records: Vec<PartitionRecord> =
            serde_json::from_value(self.read_json(&keys::records(&self.dataset))).expect("the records are valid");
        let is_of = |record: &PartitionRecord| self.dataset.arrange(&record.partition).as_ref() == Some(partition);
        records.into_iter().find(is_of).expect("the partition has a record")
    }

    /// Returns a partition's receipt: its own object until its run is published, then part of the summary.
    pub fn receipt(&self, partition: &PartitionKey, run: &str) -> Receipt {
        let lake = self.lake();
        let left = self.runtime.block_on(ledger::read_run(&lake, &self.dataset, run)).expect("the bucket responds");
        left.receipts.get(partition).expect("the partition has a receipt").clone()
    }

    /// Fails unless the receipt has this outcome and matches the object's metadata.
    pub fn assert_received(&self, partition: &PartitionKey, run: &str, outcome: Outcome) {
        let (receipt, facts) =
            (self.receipt(partition, run), self.head(&self.object(partition)).expect("the object exists"));
        let stamp = facts.stamp.expect("the object has a stamp");
        assert_eq!((receipt.outcome, receipt.error), (outcome, None));
        assert_eq!((receipt.edition, receipt.n_rows), (Some(stamp.edition), stamp.n_rows));
        assert_eq!(receipt.size_bytes, Some(facts.size_bytes));
    }

    /// Fails unless the record matches the object's metadata and has the published `run` as its last attempt.
    pub fn assert_recorded(&self, partition: &PartitionKey, run: &str, outcome: Outcome) {
        let (record, facts) = (self.record(partition), self.head(&self.object(partition)).expect("the object exists"));
        let committed = record.committed.expect("the record has a committed object");
        let stamp = facts.stamp.expect("the object has a stamp");
        assert_eq!((committed.edition, committed.n_rows), (stamp.edition, stamp.n_rows));
        assert_eq!((committed.etag, committed.size_bytes), (facts.etag, facts.size_bytes));
        let attempt = record.last_attempt.expect("the record has an attempt");
        assert_eq!((attempt.run.as_str(), attempt.outcome, attempt.error), (run, outcome, None));
        self.assert_received(partition, run, outcome);
    }

    /// Returns the program of a function in an environment like Lambda's, behind the proxy.
    pub fn command(&self, name: &str) -> Command {
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

    pub fn function(&self, name: &str) -> Function {
        Function::start(self.command(name))
    }

    /// Creates the database and the tables of the template in this test's Region.
    pub fn declare_tables(&self) {
        let glue = aws_sdk_glue::Client::new(&self.direct);
        let mut specs = vec![self.dataset.table_spec()];
        specs.extend(Lookup::built_in().expect("the look-ups are built in").iter().map(Lookup::table_spec));
        // Only the catalog step makes this one.
        specs.retain(|spec| spec.table != "lookup_codes");
        self.runtime.block_on(async {
            let input = aws_sdk_glue::types::DatabaseInput::builder().name(&self.dataset.database);
            let input = input.build().expect("the name is set");
            glue.create_database().database_input(input).send().await.expect("a database can be created");
            for spec in specs {
                let input = table_input(&spec, &self.bucket);
                let created = glue.create_table().database_name(&spec.database).table_input(input).send().await;
                let _ = created.expect("a table can be created");
            }
        });
    }

    /// Returns the catalog behind the proxy.
    pub fn catalog(&self) -> GlueCatalog {
        GlueCatalog::new(&self.config, &self.bucket)
    }

    /// Registers partitions behind the proxy.
    pub fn register(&self, put: &[CatalogPartition]) -> Result<(), CatalogError> {
        let catalog = self.catalog();
        self.runtime.block_on(catalog.change_partitions(&self.dataset.table_spec(), put, &[]))
    }

    /// Returns the partitions in Glue.
    pub fn registered(&self) -> Vec<CatalogPartition> {
        let catalog = GlueCatalog::new(&self.direct, &self.bucket);
        self.runtime.block_on(catalog.partitions(&self.dataset.table_spec())).expect("the catalog responds")
    }

    /// Publishes a run behind the proxy.
    pub fn publish(&self, run: &str, plan: &[PartitionKey]) -> Result<Summary, Error> {
        let (store, catalog) = (self.store(), self.catalog());
        let planned = PlannedRun {
            name: run,
            started_at: Timestamp::now(),
            items: &items(plan),
            without_receipt: &WithoutReceipt::default(),
            registered: CatalogChanges::default(),
        };
        let published =
            publish_partitions(&store, &catalog, &SystemClock, &self.dataset, &planned, Registrar::Publisher);
        self.runtime.block_on(published)
    }
}

/// Returns the partition that most tests use.
pub fn pre_k() -> PartitionKey {
    partition(2021, "grade-pk")
}

pub fn items(plan: &[PartitionKey]) -> Vec<PlanItem> {
    let item = |partition: &PartitionKey| PlanItem { partition: partition.clone(), reason: Reason::Requested };
    plan.iter().map(item).collect()
}

/// Returns the response of page-fetch for a partition that has its outcome.
pub fn finished() -> Invocation {
    Invocation::Responded(json!({"is_finished": true, "n_kept": 0, "n_pages": 0}))
}

/// Writes the descriptor of a run, as the planner does.
fn write_descriptor(ground: &Ground, run: &str) {
    let (key, lake) = (keys::run_descriptor(&ground.dataset.name, run), ground.lake());
    ground.runtime.block_on(ledger::write_json(&lake, &key, &ground.dataset)).expect("the bucket responds");
}

/// Writes the descriptor of a run, and returns a page-fetch event for one of its partitions.
pub fn fetch_event(ground: &Ground, run: &str, partition: &PartitionKey) -> Value {
    write_descriptor(ground, run);
    fetch_event_alone(run, partition)
}

/// Returns a page-fetch event for a partition of a run, without writing the run's descriptor.
pub fn fetch_event_alone(run: &str, partition: &PartitionKey) -> Value {
    json!({
        "run": run, "dataset": "ccd_enrollment", "partition": partition, "portal_release": null, "force": false
    })
}

/// Writes a plan and a descriptor, and returns the event that the catalog function gets after fetching.
pub fn publish_event(ground: &Ground, run: &str, plan: &[PartitionKey]) -> Value {
    write_descriptor(ground, run);
    let (key, lake) = (keys::plan(&ground.dataset, run), ground.lake());
    ground.runtime.block_on(ledger::write_json(&lake, &key, &items(plan))).expect("the bucket responds");
    json!({
        "run": run, "started_at": "2026-11-23T12:00:00Z", "dataset": "ccd_enrollment",
        "plan": {"bucket": ground.bucket, "key": key}, "n_planned": plan.len(), "portal_release": null,
        "force": false, "catalog": "partitions", "warnings": []
    })
}

pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    rollcall_core::error::chain(error)
}

/// Returns a data object and its writer's stamp.
pub fn object() -> (Encoded, rollcall_core::file::Stamp) {
    let lookup = Lookup::built_in().expect("the look-ups are built in").remove(0);
    let encoded = lookup.encode().expect("a look-up encodes");
    let stamp = rollcall_core::file::Stamp {
        edition: encoded.edition,
        partition: None,
        n_rows: encoded.n_rows,
        fetched_at: "2026-11-23T12:00:00Z".parse().expect("the text is a time"),
        run: Some("r1".to_owned()),
    };
    (encoded, stamp)
}

/// Returns a fault that changes a value of 2021 grade-pk, as when the portal corrects its data.
pub fn other_rows() -> PortalFault {
    let other = Action::SetField { row: Some(0), field: "enrollment".to_owned(), json: "7".to_owned() };
    PortalFault::new(other).on_path("2021/grade-pk").on_page(1)
}

/// Returns a planner event.
pub fn plan_event(run: &str, request: &Value) -> Value {
    json!({"run": run, "started_at": "2026-11-23T12:00:00Z", "request": request})
}

/// Returns the template as JSON, with CloudFormation's functions in their long form.
pub fn template() -> Value {
    let output = Command::new(rollcall_tests::python())
        .arg(workspace().join("tests/infra/template_json.py"))
        .output()
        .expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the script prints JSON")
}

pub const CREATE: &str = "AWSGlue.BatchCreatePartition";
pub const UPDATE: &str = "AWSGlue.BatchUpdatePartition";

/// Returns the properties of all resources of a type, by name.
pub fn of_type<'t>(template: &'t Value, kind: &str) -> BTreeMap<&'t str, &'t Value> {
    let resources = template["Resources"].as_object().expect("the template has resources");
    let of_kind = resources.iter().filter(|(_, resource)| resource["Type"] == kind);
    of_kind.map(|(name, resource)| (name.as_str(), &resource["Properties"])).collect()
}
