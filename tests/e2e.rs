//! The AWS half as a whole: the real template deployed on an emulator, the real state machine, the real functions.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use aws_sdk_sfn::types::ExecutionStatus;
use rollcall_simulator::{Action, Fault};
use rollcall_tests::emulator::{Emulator, Kind, REGION};
use rollcall_tests::{TestLake, TestPortal, executables, workspace};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const DATABASE: &str = "ccd_school";
const TABLE: &str = "us_education_ccd_enrollment_data";
const FUNCTIONS: [&str; 3] = ["planner", "page-fetch", "catalog"];
/// Time that an execution may take before the test gives it up.
const LIMIT: Duration = Duration::from_secs(120);

/// The deployed stack.
struct Stack {
    runtime: Runtime,
    portal: TestPortal,
    s3: aws_sdk_s3::Client,
    glue: aws_sdk_glue::Client,
    sfn: aws_sdk_sfn::Client,
    state_machine: String,
    bucket: String,
    _emulator: Emulator,
}

/// How an execution ended.
struct Ended {
    status: ExecutionStatus,
    /// Its output; null when it failed.
    output: Value,
    /// Its error and cause; empty when it succeeded.
    error: String,
    cause: String,
}

impl Stack {
    fn deploy() -> Self {
        let (emulator, portal) = (Emulator::start(Kind::MiniStack), TestPortal::small());
        let folder = package();
        let overrides = format!("PortalOrigin={}", portal.origin());
        let sam = workspace().join(".venv-lint/bin/sam");
        let deployed = Command::new(&sam)
            .args(["deploy", "--config-env", "dev", "--resolve-s3", "--no-confirm-changeset", "--parameter-overrides"])
            .arg(overrides)
            .current_dir(folder.path().join("infra"))
            .envs([
                ("AWS_ENDPOINT_URL", emulator.endpoint()),
                ("AWS_DEFAULT_REGION", REGION),
                ("SAM_CLI_TELEMETRY", "0"),
            ])
            .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
            .output()
            .expect("`make .venv-lint/ready` installs sam");
        assert!(
            deployed.status.success(),
            "{}{}",
            String::from_utf8_lossy(&deployed.stdout),
            String::from_utf8_lossy(&deployed.stderr)
        );
        let runtime = Runtime::new().expect("a runtime starts");
        let config = runtime.block_on(emulator.config());
        let sfn = aws_sdk_sfn::Client::new(&config);
        let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
        let machines = runtime.block_on(sfn.list_state_machines().send()).expect("machines can be listed");
        let state_machine = machines.state_machines().first().expect("one is deployed").state_machine_arn().to_owned();
        let s3 = aws_sdk_s3::Client::from_conf(s3);
        let buckets = runtime.block_on(s3.list_buckets().send()).expect("buckets can be listed");
        let mut names = buckets.buckets().iter().filter_map(|bucket| bucket.name());
        let bucket = names.find(|name| name.starts_with("rollcall-dev-bucket-")).expect("there is the lake");
        Self {
            state_machine,
            bucket: bucket.to_owned(),
            s3,
            glue: aws_sdk_glue::Client::new(&config),
            sfn,
            runtime,
            portal,
            _emulator: emulator,
        }
    }

    /// Starts an execution and waits for its end.
    fn run(&self, name: &str, input: &Value) -> Ended {
        self.runtime.block_on(async {
            let call = self.sfn.start_execution().state_machine_arn(&self.state_machine).name(name);
            let started = call.input(input.to_string()).send().await.expect("it starts");
            let begin = Instant::now();
            loop {
                let call = self.sfn.describe_execution().execution_arn(&started.execution_arn);
                let found = call.send().await.expect("it can be described");
                if found.status != ExecutionStatus::Running {
                    return Ended {
                        output: found.output.map_or(Value::Null, |output| serde_json::from_str(&output).expect("JSON")),
                        error: found.error.unwrap_or_default(),
                        cause: found.cause.unwrap_or_default(),
                        status: found.status,
                    };
                }
                assert!(begin.elapsed() < LIMIT, "{name} is still running");
            }
        })
    }

    /// The same, of an execution that must succeed; its output.
    fn run_well(&self, name: &str, input: &Value) -> Value {
        let ended = self.run(name, input);
        assert_eq!(ended.status, ExecutionStatus::Succeeded, "{name}: {} {}", ended.error, ended.cause);
        ended.output
    }

    /// Keys below `prefix`, with etag and time of the last write.
    fn objects(&self, prefix: &str) -> BTreeMap<String, String> {
        let call = self.s3.list_objects_v2().bucket(&self.bucket).prefix(prefix);
        let listed = self.runtime.block_on(call.send()).expect("the lake can be listed");
        let facts = |object: &aws_sdk_s3::types::Object| {
            let key = object.key().expect("it has a key").to_owned();
            (key, format!("{:?} {:?}", object.e_tag(), object.last_modified()))
        };
        listed.contents().iter().map(facts).collect()
    }

    fn read(&self, key: &str) -> Vec<u8> {
        self.runtime.block_on(async {
            let found = self.s3.get_object().bucket(&self.bucket).key(key).send().await.expect("there is the object");
            found.body.collect().await.expect("it can be read").to_vec()
        })
    }

    fn read_json(&self, key: &str) -> Value {
        serde_json::from_slice(&self.read(key)).expect("it is JSON")
    }

    /// Partitions that Glue has: path in the lake → rows.
    fn partitions(&self) -> BTreeMap<String, u64> {
        let call = self.glue.get_partitions().database_name(DATABASE).table_name(TABLE).into_paginator();
        let pages = self.runtime.block_on(call.send().collect::<Result<Vec<_>, _>>()).expect("partitions");
        let lake = format!("s3://{}/data/{TABLE}/", self.bucket);
        pages
            .into_iter()
            .flat_map(|page| page.partitions.unwrap_or_default())
            .map(|partition| {
                let location =
                    partition.storage_descriptor().and_then(|storage| storage.location()).expect("a location");
                let path = location.strip_prefix(&lake).expect("it is in the lake").trim_end_matches('/').to_owned();
                let rows = partition.parameters().and_then(|parameters| parameters.get("numRows")).expect("rows");
                assert_eq!(path, format!("year={}/grade={}", partition.values()[0], partition.values()[1]));
                (path, rows.parse().expect("a number"))
            })
            .collect()
    }
}

/// The template without what the emulator does not know, and the functions as they are deployed.
fn package() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let root = workspace();
    let built = executables(&FUNCTIONS.map(|function| format!("rollcall-{function}")).each_ref().map(String::as_str));
    for (function, program) in FUNCTIONS.iter().zip(built) {
        let to = folder.path().join("target/lambda").join(function);
        fs::create_dir_all(&to).expect("a folder can be made");
        let stripped = Command::new("strip")
            .arg(program)
            .arg("-o")
            .arg(to.join("bootstrap"))
            .status()
            .expect("strip comes with the C compiler");
        assert!(stripped.success());
    }
    for name in ["infra/samconfig.toml", "statemachine/ingest.asl.json"] {
        copy(&root.join(name), &folder.path().join(name), |text| text);
    }
    copy(&root.join("infra/template.yaml"), &folder.path().join("infra/template.yaml"), |text| {
        let (before, rest) = text.split_once("# --- named queries:").expect("there are named queries");
        let (_, after) = rest.split_once("# --- end of named queries").expect("they end");
        let (_, after) = after.split_once('\n').expect("the line ends");
        format!("{}\n{after}", before.trim_end())
    });
    folder
}

fn copy(from: &Path, to: &Path, change: impl FnOnce(String) -> String) {
    fs::create_dir_all(to.parent().expect("it is in a folder")).expect("a folder can be made");
    let text = fs::read_to_string(from).expect("the project has it");
    fs::write(to, change(text)).expect("it can be written");
}

fn outcomes(output: &Value) -> BTreeMap<String, u64> {
    let counts = output["outcomes"].as_object().expect("outcomes").iter();
    counts.filter_map(|(name, n)| n.as_u64().filter(|n| *n > 0).map(|n| (name.clone(), n))).collect()
}

fn counts(expected: &[(&str, u64)]) -> BTreeMap<String, u64> {
    expected.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect()
}

/// One stack, since deploying takes longer than all that is done with it.
#[test]
fn a_stack_plans_fetches_publishes_repairs_and_says_what_failed() {
    let stack = Stack::deploy();
    the_seed_input_leaves_the_same_tree_as_a_local_run(&stack);
    an_unchanged_rerun_writes_no_data_and_changes_no_partition(&stack);
    twenty_partitions_go_through_one_map_and_state_stays_small(&stack);
    a_backfill_touches_exactly_its_partition(&stack);
    an_object_deleted_by_hand_comes_back_and_an_unregistered_one_is_registered(&stack);
    a_crawler_is_run_to_its_end_and_what_it_left_out_is_named(&stack);
    a_partial_failure_publishes_the_rest_and_names_what_failed(&stack);
    when_everything_fails_nothing_is_published_and_the_execution_says_why(&stack);
    a_request_that_cannot_be_run_fails_by_name(&stack);
}

fn the_seed_input_leaves_the_same_tree_as_a_local_run(stack: &Stack) {
    let output = stack.run_well("seed", &json!({"years": [2020, 2021], "grades": ["grade-pk"]}));
    assert_eq!(outcomes(&output), counts(&[("written", 2)]));
    let lake = TestLake::new();
    let _ = lake.run(&stack.portal, &["--years", "2020,2021", "--grades", "grade-pk"]).expect(0);
    let local = lake.files("data");
    assert_eq!(stack.objects("data/").into_keys().collect::<Vec<_>>(), local.keys().cloned().collect::<Vec<_>>());
    for (key, (bytes, _)) in &local {
        assert!(stack.read(key) == *bytes, "{key} differs from the local run's");
    }
    let found = stack.partitions();
    assert_eq!(found.keys().collect::<Vec<_>>(), ["year=2020/grade=grade-pk", "year=2021/grade=grade-pk"]);
    // Equal ledgers, but for what tells two runs and two stores apart.
    for (key, theirs) in lake.committed() {
        let ours = stack.read_json(&key)["committed"].clone();
        for fact in ["edition", "n_rows", "size_bytes", "n_pages", "portal_release"] {
            assert_eq!(ours[fact], theirs[fact], "{fact} of {key}");
        }
    }
    let summary = stack.read_json(output["summary"]["key"].as_str().expect("a key"));
    assert_eq!(
        (&summary["run"], &summary["n_planned"], &summary["n_published"]),
        (&json!("seed"), &json!(2), &json!(2))
    );
}

fn an_unchanged_rerun_writes_no_data_and_changes_no_partition(stack: &Stack) {
    let (data, partitions) = (stack.objects("data/"), stack.partitions());
    let output = stack.run_well("again", &json!({"years": "2020-2021", "grades": ["grade-pk"]}));
    assert_eq!(outcomes(&output), counts(&[("unchanged", 2)]));
    assert_eq!((&output["n_published"], &output["n_withdrawn"]), (&json!(0), &json!(0)));
    assert_eq!((stack.objects("data/"), stack.partitions()), (data, partitions));
}

fn twenty_partitions_go_through_one_map_and_state_stays_small(stack: &Stack) {
    let grades = ["grade-pk", "grade-k", "grade-1", "grade-2", "grade-99"];
    let output = stack.run_well("twenty", &json!({"years": "2018-2021", "grades": grades}));
    assert_eq!(outcomes(&output), counts(&[("unchanged", 2), ("written", 18)]));
    let plan = stack.read_json("ledger/ccd_enrollment/runs/twenty/plan.json");
    let planned: BTreeSet<String> = plan
        .as_array()
        .expect("a bare array")
        .iter()
        .map(|item| {
            format!("year={}/grade={}", item["partition"]["year"], item["partition"]["grade"].as_str().expect("text"))
        })
        .collect();
    assert_eq!(planned.len(), 20);
    assert_eq!(stack.partitions().into_keys().collect::<BTreeSet<_>>(), planned);
    assert_eq!(stack.objects("ledger/ccd_enrollment/runs/twenty/receipts/").len(), 20);
}

fn a_backfill_touches_exactly_its_partition(stack: &Stack) {
    let before = stack.objects("data/");
    let output = stack.run_well("backfill", &json!({"partitions": [{"year": 2019, "grade": "grade-3"}]}));
    assert_eq!(outcomes(&output), counts(&[("written", 1)]));
    let mut after = stack.objects("data/");
    assert!(after.remove(&format!("data/{TABLE}/year=2019/grade=grade-3/part-00000.parquet")).is_some());
    assert_eq!(after, before);
}

fn an_object_deleted_by_hand_comes_back_and_an_unregistered_one_is_registered(stack: &Stack) {
    let key = format!("data/{TABLE}/year=2021/grade=grade-pk/part-00000.parquet");
    let (bytes, partitions) = (stack.read(&key), stack.partitions());
    stack.runtime.block_on(stack.s3.delete_object().bucket(&stack.bucket).key(&key).send()).expect("it is deleted");
    let call = stack.glue.delete_partition().database_name(DATABASE).table_name(TABLE);
    let call = call.partition_values("2020").partition_values("grade-pk").send();
    stack.runtime.block_on(call).expect("it is taken out");
    let output = stack.run_well("repair", &json!({"years": [2020, 2021], "grades": ["grade-pk"], "mode": "missing"}));
    assert_eq!((outcomes(&output), &output["n_published"]), (counts(&[("written", 1)]), &json!(1)));
    assert!(stack.read(&key) == bytes);
    assert_eq!(stack.partitions(), partitions);
}

/// The emulator's crawler ends well and finds nothing, so what is registered must be there from before.
fn a_crawler_is_run_to_its_end_and_what_it_left_out_is_named(stack: &Stack) {
    let request = json!({"years": [2020, 2021], "grades": ["grade-pk"], "catalog": "crawler"});
    let output = stack.run_well("crawled", &request);
    assert_eq!((outcomes(&output), &output["n_published"]), (counts(&[("unchanged", 2)]), &json!(0)));
    let request = json!({"partitions": [{"year": 2015, "grade": "grade-12"}], "catalog": "crawler"});
    let ended = stack.run("left-out", &request);
    assert_eq!((ended.status, ended.error.as_str()), (ExecutionStatus::Failed, "CatalogFailed"));
    assert!(ended.cause.contains("1 of 22 missing, such as `year=2015/grade=grade-12`"), "{}", ended.cause);
    // The next run that adds partitions itself completes it.
    let output = stack.run_well("completed", &json!({"partitions": [{"year": 2015, "grade": "grade-12"}]}));
    assert_eq!((outcomes(&output), &output["n_published"]), (counts(&[("unchanged", 1)]), &json!(1)));
}

fn a_partial_failure_publishes_the_rest_and_names_what_failed(stack: &Stack) {
    let refused = || Action::Status { code: 404, retry_after: None, body: None };
    let failing = ["2017/grade-1", "2017/grade-2", "2016/grade-k"];
    stack.portal.server.set_faults(failing.iter().map(|path| Fault::new(refused()).on_path(path)).collect());
    let request = json!({"years": [2016, 2017], "grades": ["grade-pk", "grade-k", "grade-1", "grade-2"]});
    let ended = stack.run("partial", &request);
    stack.portal.server.set_faults(Vec::new());
    assert_eq!((ended.status, ended.error.as_str()), (ExecutionStatus::Failed, "PartialFailure"));
    assert!(ended.cause.starts_with("3 of 8 failed: year=2017/grade=grade-"), "{}", ended.cause);
    assert!(ended.cause.contains("year=2016/grade=grade-k (PortalRefused)"), "{}", ended.cause);
    let summary = stack.read_json("ledger/ccd_enrollment/runs/partial/summary.json");
    assert_eq!(outcomes(&summary), counts(&[("failed", 3), ("written", 5)]));
    let partitions = stack.partitions();
    assert!(partitions.contains_key("year=2016/grade=grade-1") && !partitions.contains_key("year=2017/grade=grade-1"));
    // Exactly those that failed are run again, and then all are there.
    let output = stack.run_well("after", &json!({"failed_of": "partial"}));
    assert_eq!((outcomes(&output), &output["n_published"]), (counts(&[("written", 3)]), &json!(3)));
    let nothing = stack.run_well("nothing", &json!({"years": "2016-2017", "grades": "all", "mode": "failed"}));
    assert_eq!((&nothing["n_planned"], &nothing["message"]), (&json!(0), &json!("nothing to fetch")));
}

fn when_everything_fails_nothing_is_published_and_the_execution_says_why(stack: &Stack) {
    let refused = Action::Status { code: 404, retry_after: None, body: None };
    stack.portal.server.set_faults(vec![Fault::new(refused).on_path("/grade-")]);
    let (data, partitions) = (stack.objects("data/"), stack.partitions());
    let grades = ["grade-4", "grade-5", "grade-6", "grade-7", "grade-8"];
    // More than the template tolerates.
    let ended = stack.run("all-failed", &json!({"years": "2010-2014", "grades": grades}));
    stack.portal.server.set_faults(Vec::new());
    assert_eq!((ended.status, ended.error.as_str()), (ExecutionStatus::Failed, "PartialFailure"));
    assert!(ended.cause.starts_with("25 of 25 failed: "), "{}", ended.cause);
    assert!(ended.cause.contains("stopped by States.ExceedToleratedFailureThreshold"), "{}", ended.cause);
    assert_eq!((stack.objects("data/"), stack.partitions()), (data, partitions));
    let summary = stack.read_json("ledger/ccd_enrollment/runs/all-failed/summary.json");
    assert_eq!(outcomes(&summary), counts(&[("failed", 25)]));
}

fn a_request_that_cannot_be_run_fails_by_name(stack: &Stack) {
    let ended = stack.run("wrong", &json!({"years": [1850], "grade": ["grade-pk"]}));
    assert_eq!((ended.status, ended.error.as_str()), (ExecutionStatus::Failed, "InvalidRequest"));
    assert!(ended.cause.contains("`grade`: expected one of years, grades"), "{}", ended.cause);
}
