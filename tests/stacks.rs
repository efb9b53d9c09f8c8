//! Deploying: what the template refuses, several stacks in one account, a deployment during a run, and that no write is
//! one that the bucket's policy would refuse.

use std::sync::Arc;

use aws_sdk_sfn::types::ExecutionStatus;
use rollcall_simulator::{Action, Fault};
use rollcall_tests::emulator::stack::{FUNCTIONS, STACK, Stack, TABLE, sam_deploy, text_of};
use rollcall_tests::emulator::{Emulator, Kind};
use rollcall_tests::{TestLake, TestPortal};
use serde_json::{Value, json};

/// The request of the seed.
fn request() -> Value {
    json!({"years": [2020, 2021], "grades": ["grade-pk"]})
}

const PARTITIONS: [&str; 2] = ["year=2020/grade=grade-pk", "year=2021/grade=grade-pk"];

#[test]
fn a_reservation_below_the_concurrency_is_refused_before_anything_is_created() {
    let emulator = Emulator::start(Kind::MiniStack);
    let deployed = sam_deploy(&emulator, STACK, &["FetchReservedConcurrency=2", "MapConcurrency=8"]);
    let text = text_of(&deployed);
    assert!(!deployed.status.success(), "{text}");
    assert!(text.contains("FetchReservedConcurrency must be 0 or at least MapConcurrency"), "{text}");
    let listed = emulator.call("stepfunctions", "list_state_machines", &json!({}));
    assert_eq!(listed["stateMachines"], json!([]));
}

#[test]
fn two_stacks_in_one_account_run_at_once_and_share_nothing() {
    let emulator = Arc::new(Emulator::start(Kind::MiniStack));
    let first = Stack::deploy_on(&emulator, TestPortal::small(), STACK, &[]);
    let second = Stack::deploy_on(&emulator, TestPortal::small(), "second", &["DatabasePrefix=second_"]);
    let stacks = [&first, &second];
    assert_eq!((&*first.database, &*second.database), ("ccd_school", "second_ccd_school"));
    assert_ne!(first.bucket, second.bucket);

    let started = stacks.map(|stack| stack.start("at-once", &request()));
    for (stack, started) in stacks.iter().zip(&started) {
        let output = stack.end_successfully(started);
        assert_eq!((&output["outcomes"]["written"], &output["n_published"]), (&json!(2), &json!(2)), "{}", stack.name);
        assert_eq!(output["summary"]["bucket"], stack.bucket.as_str());
    }
    for stack in stacks {
        // Each portal was asked only by its own stack, and each lake and database has the partitions once.
        assert_eq!(stack.partitions().into_keys().collect::<Vec<_>>(), PARTITIONS, "{}", stack.name);
        let objects = stack.objects(&format!("data/{TABLE}/"));
        assert_eq!(objects.len(), 2, "{objects:?}");
        assert!(stack.portal.server.requests().len() > 2, "{}", stack.name);
        for function in FUNCTIONS {
            let name = json!({"FunctionName": format!("{}-{function}", stack.name)});
            let found = stack.call("lambda", "get_function_configuration", &name);
            let variables = &found["Environment"]["Variables"];
            assert_eq!(variables["ROLLCALL_BUCKET"], stack.bucket.as_str(), "{name}");
            if function == "catalog" {
                assert_eq!(variables["ROLLCALL_METRICS_NAMESPACE"], format!("rollcall/{}", stack.name));
            }
        }
    }

    // Without the prefix, a repair of the second lake would change the first one's catalog.
    let lake = format!("s3://{}", second.bucket);
    let refused = second.rollcall(&["repair", "--lake", &lake]).expect(1).stderr;
    assert!(refused.contains("expected location") && refused.contains("give the prefix of this lake's"), "{refused}");
    assert_eq!(first.partitions().into_keys().collect::<Vec<_>>(), PARTITIONS);
    let _ = second.rollcall(&["repair", "--lake", &lake, "--database-prefix", "second_"]).expect(0);

    // What one stack loses, the other keeps.
    first.empty();
    assert_eq!((first.partitions().len(), first.objects("").len()), (0, 0));
    assert_eq!(second.partitions().into_keys().collect::<Vec<_>>(), PARTITIONS);
    assert_eq!(second.records().into_keys().collect::<Vec<_>>(), PARTITIONS);

    // The command line says that it must know which stack is meant.
    let run = ["run", "--on", "aws", "--partition", "2021/grade-pk", "--detach"];
    let ambiguous = first.rollcall(&run).expect(2).stderr;
    assert!(ambiguous.contains("`rollcall-dev-ingest`") && ambiguous.contains("`second-ingest`"), "{ambiguous}");
    let named = first.rollcall(&[run.as_slice(), &["--state-machine", "second-ingest", "--format", "json"]].concat());
    let run = named.expect(0).json()["run"].as_str().expect("the run is named").to_owned();
    assert_eq!(second.end_successfully(&second.started(|name| name == run))["outcomes"]["unchanged"], 1);
}

/// The new functions have a portal that serves something else, so whatever they do fails.
#[test]
fn w12_a_run_that_began_before_a_deployment_ends_with_the_functions_that_it_began_with() {
    let emulator = Arc::new(Emulator::start(Kind::MiniStack));
    let stack = Stack::deploy_on(&emulator, TestPortal::small(), STACK, &["MapConcurrency=1"]);
    let proxy = stack.hold_a_write_of_page_fetch();
    let run = stack.start("in-flight", &request());
    proxy.wait_until_held();
    stack.deploy_again(&[&format!("PortalOrigin={}", emulator.endpoint())]);
    proxy.open();
    // The second partition is fetched after the deployment.
    assert_eq!(stack.end_successfully(&run)["outcomes"]["written"], 2);
    let next = stack.run("next", &request());
    assert_eq!(next.status, ExecutionStatus::Failed);
    assert!(next.cause.starts_with("2 of 2 failed: "), "{}", next.cause);
}

/// The emulator does not know the condition keys of the bucket's policy, so this looks at the requests themselves.
#[test]
fn every_write_and_deletion_of_data_is_conditional_as_the_bucket_requires() {
    let stack = Stack::deploy();
    let proxies = ["page-fetch", "catalog"].map(|function| stack.proxy_before(function));
    let partition = json!({"partitions": [{"year": 2013, "grade": "grade-3"}]});
    assert_eq!(stack.run_successfully("new", &partition)["outcomes"]["written"], 1);
    // Corrected, then gone.
    let corrected = Action::SetField { row: Some(0), field: "enrollment".to_owned(), json: "7".to_owned() };
    stack.portal.server.set_faults(vec![Fault::new(corrected).on_path("2013/grade-3").on_page(1)]);
    assert_eq!(stack.run_successfully("corrected", &partition)["outcomes"]["written"], 1);
    let no_rows = json!({"count": 0, "next": null, "previous": null, "results": []}).to_string();
    stack.portal.server.set_faults(vec![Fault::new(Action::Body { text: no_rows }).on_path("2013/grade-3")]);
    let mut forced = partition;
    forced["force"] = json!(true);
    assert_eq!(stack.run_successfully("gone", &forced)["outcomes"]["empty"], 1);

    let data = format!("/{}/data/", stack.bucket);
    let (mut n_written, mut n_deleted) = (0, 0);
    let seen: Vec<_> = proxies.iter().flat_map(|proxy| proxy.take_seen()).collect();
    // A request that deletes several objects has their keys in its body, and no conditions.
    let several = seen.iter().filter(|seen| seen.line.starts_with("POST ") && seen.line.contains("?delete"));
    assert!(several.clone().count() > 0, "the receipts are deleted");
    assert!(several.into_iter().all(|seen| !String::from_utf8_lossy(&seen.body).contains("<Key>data/")));
    for seen in seen.iter().filter(|seen| seen.line.contains(&data)) {
        let (if_match, if_none_match) = (seen.header("if-match"), seen.header("if-none-match"));
        match seen.line.split_once(' ').map(|(method, _)| method) {
            Some("PUT") => {
                assert!(if_match.is_some() || if_none_match.is_some(), "{}", seen.line);
                assert!(seen.header("x-amz-copy-source").is_none(), "{}", seen.line);
                n_written += 1;
            }
            Some("DELETE") => {
                assert!(if_match.is_some(), "{}", seen.line);
                n_deleted += 1;
            }
            // A part of a multipart upload.
            Some("POST") => panic!("{}", seen.line),
            _ => {}
        }
    }
    // The partition twice, and the lookup tables.
    assert!(n_written > 2 && n_deleted == 1, "{n_written} writes, {n_deleted} deletions");
}

/// A folder's files know what they are; the bucket has neither metadata nor a ledger for them.
#[test]
fn a_lake_uploaded_from_a_folder_is_adopted_and_its_next_run_changes_nothing() {
    let stack = Stack::deploy();
    let lake = TestLake::new();
    let _ = lake.run(&stack.portal, &["--years", "2020,2021", "--grades", "grade-pk"]).expect(0);
    let files = lake.files("data");
    for (key, (bytes, _)) in &files {
        stack.put(key, bytes);
    }
    let bucket = format!("s3://{}", stack.bucket);
    let repaired = stack.rollcall(&["repair", "--lake", &bucket]).expect(0);
    assert_eq!(
        repaired.stdout, "ccd_enrollment: 2 objects; ledger: 2 records written; catalog: 2 registered, 0 removed\n",
        "{}",
        repaired.stderr
    );
    assert_eq!(stack.partitions().into_keys().collect::<Vec<_>>(), PARTITIONS);
    assert_eq!(stack.records().into_keys().collect::<Vec<_>>(), PARTITIONS);
    let again = stack.rollcall(&["repair", "--lake", &bucket, "--dataset", "ccd_enrollment"]).expect(0);
    assert!(again.stdout.contains("ledger: 0 records written; catalog: 0 registered, 0 removed"), "{}", again.stdout);

    let output = stack.run_successfully("next", &request());
    assert_eq!(output["outcomes"]["unchanged"], 2, "{output}");
    for (key, (bytes, _)) in &files {
        assert!(stack.read(key) == *bytes, "{key}");
    }
    // Sample data is not adopted.
    stack.put("lake.json", b"{\"is_sample\": true}");
    let sample = stack.rollcall(&["repair", "--lake", &bucket]).expect(2).stderr;
    assert!(sample.contains("expected a lake of portal data, found `\"is_sample\": true` in `lake.json`"), "{sample}");
}

/// A schedule for each name in the parameter. That of a dataset fetches its latest years, with all values of other axes.
#[test]
fn each_schedule_starts_its_own_request_under_its_name() {
    let emulator = Arc::new(Emulator::start(Kind::MiniStack));
    let parameters = ["Schedules=default,ccd_directory,ccd_enrollment", "DatasetYears=latest"];
    let stack = Stack::deploy_on(&emulator, TestPortal::small(), STACK, &parameters);
    let mut known = Vec::new();
    for (schedule, dataset, n_planned) in [
        ("default", "ccd_enrollment", 2),
        ("ccd_directory", "ccd_directory", 1),
        ("ccd_enrollment", "ccd_enrollment", 17),
    ] {
        stack.fire(schedule);
        let started = stack.started(|name| !known.contains(&name.to_owned()));
        known.push(started.name.clone());
        let output = stack.end_successfully(&started);
        assert_eq!((&output["dataset"], &output["n_planned"]), (&json!(dataset), &json!(n_planned)), "{schedule}");
        assert_eq!(output["notice"]["schedule"], schedule);
        let plan = stack.read_json(&format!("ledger/{dataset}/runs/{}/plan.json", started.name));
        let years: Vec<i64> = plan
            .as_array()
            .expect("it is a list")
            .iter()
            .filter_map(|item| item["partition"]["year"].as_i64())
            .collect();
        let newest = if schedule == "default" { vec![2021, 2020] } else { vec![2024; n_planned] };
        assert_eq!(years, newest, "{schedule}");
    }
}
