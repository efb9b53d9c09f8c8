//! The AWS half end to end: the real template deployed on an emulator, the real state machine, the real functions.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_sfn::types::{ExecutionStatus, HistoryEventType};
use rollcall_aws::execution::ExecutionError;
use rollcall_simulator::{Action, Fault};
use rollcall_tests::emulator::stack::{DATABASE, Stack, TABLE};
use rollcall_tests::{SEED_RANKING, TestLake, published_top_ten};
use serde_json::{Value, json};

fn outcomes(output: &Value) -> BTreeMap<String, u64> {
    let counts = output["outcomes"].as_object().expect("the value has outcomes").iter();
    counts.filter_map(|(name, n)| n.as_u64().filter(|n| *n > 0).map(|n| (name.clone(), n))).collect()
}

fn counts(expected: &[(&str, u64)]) -> BTreeMap<String, u64> {
    expected.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect()
}

/// The portal's response for a request without rows.
fn no_rows() -> Action {
    Action::Body { text: json!({"count": 0, "next": null, "previous": null, "results": []}).to_string() }
}

/// One stack for all steps, since deploying takes longer than most of them.
#[test]
fn a_stack_plans_fetches_publishes_repairs_and_reports_failures() {
    let stack = Stack::deploy();
    the_schedule_starts_its_request_and_leaves_the_same_lake_as_a_local_run(&stack);
    an_unchanged_rerun_writes_no_data_and_changes_no_partition(&stack);
    the_rankings_over_the_registered_locations_match_the_published_ones(&stack);
    the_command_line_starts_follows_and_reports_a_run(&stack);
    a_repeated_request_within_a_minute_is_rejected(&stack);
    twenty_partitions_go_through_one_map(&stack);
    w17_a_run_ends_whole_after_the_reserved_concurrency_was_lowered(&stack);
    the_original_ranking_includes_totals_when_they_are_registered(&stack);
    a_backfill_touches_exactly_its_partition(&stack);
    a_deleted_object_comes_back_and_an_unregistered_one_is_registered(&stack);
    a_crawler_runs_to_its_end_and_what_it_missed_is_named(&stack);
    a_failed_catalog_is_completed_by_a_run_with_only_unchanged_partitions(&stack);
    a_deleted_table_is_made_again_with_all_its_partitions(&stack);
    a_stale_writer_is_superseded(&stack);
    a_release_that_revises_a_partition_is_told_and_what_was_stays_readable(&stack);
    a_partition_that_changes_and_then_vanishes_does_so_in_the_catalog_too(&stack);
    w4_a_partial_failure_publishes_the_rest_and_names_what_failed(&stack);
    w18_a_run_ends_with_a_notice_that_says_what_failed_and_what_to_do(&stack);
    when_every_partition_fails_nothing_is_published_and_the_execution_says_why(&stack);
    a_request_that_cannot_run_fails_by_name(&stack);
    state_stays_small_for_forty_years_of_every_grade(&stack);
    roles_allow_little_more_than_their_functions_use(&stack);
}

fn the_schedule_starts_its_request_and_leaves_the_same_lake_as_a_local_run(stack: &Stack) {
    stack.fire("default");
    let started = stack.started(|_| true);
    let output = stack.end_successfully(&started);
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
    // The ledgers are equal except for what differs between two runs and two stores.
    let (ours, theirs) = (stack.records(), lake.records("ccd_enrollment"));
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (path, theirs) in theirs {
        for fact in ["edition", "n_rows", "size_bytes", "n_pages", "portal_release"] {
            assert_eq!(ours[&path]["committed"][fact], theirs["committed"][fact], "{fact} of {path}");
        }
    }
    let summary = stack.read_json(output["summary"]["key"].as_str().expect("the key is text"));
    let facts = (&summary["run"], &summary["n_planned"], &summary["n_published"]);
    assert_eq!(facts, (&json!(started.name), &json!(2), &json!(2)));
}

fn an_unchanged_rerun_writes_no_data_and_changes_no_partition(stack: &Stack) {
    let (data, partitions) = (stack.objects("data/"), stack.partitions());
    let output = stack.run_successfully("seed", &json!({"years": [2020, 2021], "grades": ["grade-pk"]}));
    assert_eq!(outcomes(&output), counts(&[("unchanged", 2)]));
    assert_eq!((&output["n_published"], &output["n_withdrawn"]), (&json!(0), &json!(0)));
    assert_eq!((stack.objects("data/"), stack.partitions()), (data, partitions));
}

fn the_rankings_over_the_registered_locations_match_the_published_ones(stack: &Stack) {
    let shipped = stack.query(include_str!("../queries/top_ten_pk_states.sql"));
    assert_eq!(shipped, published_top_ten("state"));
    assert_eq!(stack.query(SEED_RANKING), published_top_ten("state_name"));
}

/// The same request from the console, from the schedule and from the command line. The third finds everything
/// unchanged.
fn the_command_line_starts_follows_and_reports_a_run(stack: &Stack) {
    let reported = stack.rollcall(&["run", "--on", "aws", "--years", "2020,2021", "--grades", "grade-pk"]).expect(0);
    let lines: Vec<&str> = reported.stdout.lines().collect();
    let [run, _, first, second, totals, cost] = lines.as_slice() else { panic!("{}", reported.stdout) };
    assert!(first.starts_with("year=2021/grade=grade-pk  unchanged"), "{first}");
    assert!(second.starts_with("year=2020/grade=grade-pk  unchanged"), "{second}");
    assert!(totals.starts_with("2 partitions: 2 unchanged; "), "{totals}");
    assert!(cost.starts_with("cost: less than 0.01 USD, at prices of "), "{cost}");
    let name =
        run.strip_prefix("run ").and_then(|run| run.strip_suffix(" of ccd_enrollment")).expect("the run is named");
    let lake = format!("s3://{}", stack.bucket);
    let shown = stack.rollcall(&["status", "--lake", &lake, "--run", name]).expect(0).stdout;
    assert!(shown.ends_with("2 partitions: 2 unchanged\n"), "{shown}");
    let grid = stack.rollcall(&["status", "--lake", &lake]).expect(0).stdout;
    assert!(grid.contains(": 2 partitions committed, "), "{grid}");
    assert!(grid.contains(&format!("last run {name}: finished ")), "{grid}");
    let origin = stack.portal.origin();
    let plan = ["plan", "--lake", &lake, "--portal", &origin, "--years", "2021", "--grades", "grade-pk,grade-k"];
    let plan = stack.rollcall(&[plan.as_slice(), &["--mode", "missing"]].concat()).expect(0).stdout;
    assert!(plan.contains("year=2021/grade=grade-k") && !plan.contains("grade-pk"), "{plan}");
    let wrong = stack.rollcall(&["run", "--on", "aws", "--years", "1850", "--grades", "grade-pk"]).expect(2);
    assert!(wrong.stderr.starts_with("error: InvalidRequest: "), "{}", wrong.stderr);
    let arn = "arn:aws:states:us-east-1:000000000000:stateMachine:other";
    for (named, found) in [("other", "`rollcall-dev-ingest`"), (arn, "none")] {
        let other = ["run", "--on", "aws", "--state-machine", named, "--years", "2021", "--grades", "grade-pk"];
        let other = stack.rollcall(&other).expect(2).stderr;
        let expected = format!("error: find state machine: expected `{named}`, found {found}\nhint: ");
        assert!(other.starts_with(&expected), "{other}");
    }
    let detached = ["run", "--on", "aws", "--detach", "--partition", "2021/grade-pk", "--format", "json"];
    let detached = stack.rollcall(&detached).expect(0).json();
    let run = detached["run"].as_str().expect("the run is named").to_owned();
    assert_eq!(outcomes(&stack.end_successfully(&stack.started(|name| name == run))), counts(&[("unchanged", 1)]));
}

/// While the first execution is running, Step Functions returns it for a second start with the same name. The emulator
/// does not.
fn a_repeated_request_within_a_minute_is_rejected(stack: &Stack) {
    let request = json!({"partitions": [{"year": 2021, "grade": "grade-pk"}]});
    let at = |text: &str| text.parse().expect("the text is a time");
    let first = stack.start_at(&request, at("2026-11-23T12:00:05Z")).expect("the execution starts");
    assert_eq!(outcomes(&stack.end_successfully(&first)), counts(&[("unchanged", 1)]));
    let second = stack.start_at(&request, at("2026-11-23T12:00:59Z")).map(|started| started.name);
    assert!(matches!(second, Err(ExecutionError::Ended { name }) if name == first.name));
}

fn the_original_ranking_includes_totals_when_they_are_registered(stack: &Stack) {
    assert_eq!(stack.query(include_str!("../queries/top_ten_pk_states.sql")), published_top_ten("state"));
    assert_ne!(stack.query(SEED_RANKING), published_top_ten("state_name"));
}

fn twenty_partitions_go_through_one_map(stack: &Stack) {
    let grades = ["grade-pk", "grade-k", "grade-1", "grade-2", "grade-99"];
    let output = stack.run_successfully("twenty", &json!({"years": "2018-2021", "grades": grades}));
    assert_eq!(outcomes(&output), counts(&[("unchanged", 2), ("written", 18)]));
    let plan = stack.read_json("ledger/ccd_enrollment/runs/twenty/plan.json");
    let planned: BTreeSet<String> = plan
        .as_array()
        .expect("the plan is an array")
        .iter()
        .map(|item| {
            format!(
                "year={}/grade={}",
                item["partition"]["year"],
                item["partition"]["grade"].as_str().expect("the value is text")
            )
        })
        .collect();
    assert_eq!(planned.len(), 20);
    assert_eq!(stack.partitions().into_keys().collect::<BTreeSet<_>>(), planned);
    // After publishing, only the summary holds the run's receipts.
    let left: Vec<String> = stack.objects("ledger/ccd_enrollment/runs/twenty/").into_keys().collect();
    assert_eq!(
        left,
        ["dataset.json", "plan.json", "summary.json"].map(|name| format!("ledger/ccd_enrollment/runs/twenty/{name}"))
    );
    let summary = stack.read_json("ledger/ccd_enrollment/runs/twenty/summary.json");
    assert_eq!(summary["partitions"].as_array().map(Vec::len), Some(20));
}

/// Fewer calls may run at once than the map makes, so Lambda refuses some. The template would refuse this combination.
fn w17_a_run_ends_whole_after_the_reserved_concurrency_was_lowered(stack: &Stack) {
    stack.reserve("page-fetch", Some(1));
    let grades = ["grade-pk", "grade-k", "grade-1", "grade-2", "grade-99"];
    let output = stack.run_successfully("throttled", &json!({"years": "2018-2021", "grades": grades}));
    stack.reserve("page-fetch", None);
    assert_eq!(outcomes(&output), counts(&[("unchanged", 20)]));
    let errors = stack.errors_of_children("throttled");
    assert!(errors.contains("Lambda.TooManyRequestsException"), "{errors:?}");
}

fn a_backfill_touches_exactly_its_partition(stack: &Stack) {
    let before = stack.objects("data/");
    let output = stack.run_successfully("backfill", &json!({"partitions": [{"year": 2019, "grade": "grade-3"}]}));
    assert_eq!(outcomes(&output), counts(&[("written", 1)]));
    let mut after = stack.objects("data/");
    assert!(after.remove(&format!("data/{TABLE}/year=2019/grade=grade-3/part-00000.parquet")).is_some());
    assert_eq!(after, before);
}

fn a_deleted_object_comes_back_and_an_unregistered_one_is_registered(stack: &Stack) {
    let key = format!("data/{TABLE}/year=2021/grade=grade-pk/part-00000.parquet");
    let (bytes, partitions) = (stack.read(&key), stack.partitions());
    stack.delete(&key);
    let partition = json!({"DatabaseName": DATABASE, "TableName": TABLE, "PartitionValues": ["2020", "grade-pk"]});
    let _ = stack.call("glue", "delete_partition", &partition);
    let output =
        stack.run_successfully("repair", &json!({"years": [2020, 2021], "grades": ["grade-pk"], "mode": "missing"}));
    assert_eq!((outcomes(&output), &output["n_published"]), (counts(&[("written", 1)]), &json!(1)));
    assert!(stack.read(&key) == bytes);
    assert_eq!(stack.partitions(), partitions);
}

/// The emulator's crawler succeeds and finds nothing, so the registered partitions must be from an earlier run.
fn a_crawler_runs_to_its_end_and_what_it_missed_is_named(stack: &Stack) {
    let request = json!({"years": [2020, 2021], "grades": ["grade-pk"], "catalog": "crawler"});
    let output = stack.run_successfully("crawled", &request);
    assert_eq!((outcomes(&output), &output["n_published"]), (counts(&[("unchanged", 2)]), &json!(0)));
    let request = json!({"partitions": [{"year": 2015, "grade": "grade-12"}], "catalog": "crawler"});
    let ended = stack.run("left-out", &request);
    assert_eq!((ended.status, ended.error.as_str()), (ExecutionStatus::Failed, "CatalogFailed"));
    assert!(ended.cause.contains("1 of 22 missing, such as `year=2015/grade=grade-12`"), "{}", ended.cause);
    // The next run that registers partitions itself completes the catalog.
    let output = stack.run_successfully("completed", &json!({"partitions": [{"year": 2015, "grade": "grade-12"}]}));
    assert_eq!((outcomes(&output), &output["n_published"]), (counts(&[("unchanged", 1)]), &json!(1)));
}

/// The fields of a table that Glue accepts as input.
fn table_input(table: &Value) -> Value {
    let fields = ["Name", "Description", "TableType", "Parameters", "PartitionKeys", "StorageDescriptor"];
    fields.iter().map(|field| ((*field).to_owned(), table[*field].clone())).collect::<serde_json::Map<_, _>>().into()
}

fn a_failed_catalog_is_completed_by_a_run_with_only_unchanged_partitions(stack: &Stack) {
    let before = stack.partitions();
    let name = json!({"DatabaseName": DATABASE, "Name": TABLE});
    let table = table_input(&stack.call("glue", "get_table", &name)["Table"]);
    let mut other = table.clone();
    let _ = other["StorageDescriptor"]["Columns"].as_array_mut().expect("the table has columns").pop();
    let _ = stack.call("glue", "update_table", &json!({"DatabaseName": DATABASE, "TableInput": other}));
    let request = json!({"years": [2014], "grades": ["grade-pk", "grade-k"]});
    let ended = stack.run("other-table", &request);
    assert_eq!((ended.status, ended.error.as_str()), (ExecutionStatus::Failed, "CatalogFailed"));
    assert!(ended.cause.contains("hint: deploy the template again"), "{}", ended.cause);
    // The state machine retries as often as its definition says.
    let n_failed = |event: &&aws_sdk_sfn::types::HistoryEvent| event.r#type == HistoryEventType::TaskFailed;
    assert_eq!(stack.history("other-table").iter().filter(n_failed).count(), 3);
    let _ = stack.call("glue", "update_table", &json!({"DatabaseName": DATABASE, "TableInput": table}));
    let output = stack.run_successfully("table", &request);
    assert_eq!(outcomes(&output), counts(&[("unchanged", 2)]));
    let mut expected: BTreeSet<String> = before.into_keys().collect();
    expected.extend(["year=2014/grade=grade-pk", "year=2014/grade=grade-k"].map(str::to_owned));
    assert_eq!(stack.partitions().into_keys().collect::<BTreeSet<_>>(), expected);
}

fn a_deleted_table_is_made_again_with_all_its_partitions(stack: &Stack) {
    let (before, name) = (stack.partitions(), json!({"DatabaseName": DATABASE, "Name": TABLE}));
    let table = table_input(&stack.call("glue", "get_table", &name)["Table"]);
    let _ = stack.call("glue", "delete_table", &name);
    let request = json!({"partitions": [{"year": 2014, "grade": "grade-pk"}]});
    assert_eq!(outcomes(&stack.run_successfully("no-table", &request)), counts(&[("unchanged", 1)]));
    assert_eq!(stack.partitions(), before);
    let mut made = table_input(&stack.call("glue", "get_table", &name)["Table"]);
    assert_eq!(made["Parameters"]["managed_by"], "rollcall");
    // Such a table is kept as its descriptor says.
    made["Description"] = json!("changed");
    let _ = stack.call("glue", "update_table", &json!({"DatabaseName": DATABASE, "TableInput": made}));
    assert_eq!(outcomes(&stack.run_successfully("changed-table", &request)), counts(&[("unchanged", 1)]));
    made["Description"] = table["Description"].clone();
    assert_eq!(table_input(&stack.call("glue", "get_table", &name)["Table"]), made);
    assert_eq!(stack.partitions(), before);
    // It is the template's again, as after a deployment.
    let _ = stack.call("glue", "update_table", &json!({"DatabaseName": DATABASE, "TableInput": table}));
}

fn a_stale_writer_is_superseded(stack: &Stack) {
    let partition = "year=2012/grade=grade-3";
    let key = format!("data/{TABLE}/{partition}/part-00000.parquet");
    let proxy = stack.hold_a_write_of_page_fetch();
    // The stale writer has different rows, so it does not find its own object. It requests page 1 again at the
    // end.
    let other_rows = Action::SetField { row: Some(0), field: "enrollment".to_owned(), json: "7".to_owned() };
    stack.portal.server.set_faults(vec![Fault::new(other_rows).on_path("2012/grade-3").on_page(1).times(2)]);
    let request = json!({"partitions": [{"year": 2012, "grade": "grade-3"}]});
    let stale = stack.start("stale", &request);
    proxy.wait_until_held();
    assert_eq!(outcomes(&stack.run_successfully("newer", &request)), counts(&[("written", 1)]));
    let newer = stack.read(&key);
    proxy.open();
    assert_eq!(outcomes(&stack.end_successfully(&stale)), counts(&[("superseded", 1)]));
    assert!(stack.read(&key) == newer);
    stack.portal.server.set_faults(Vec::new());
    stack.no_proxy_before_page_fetch();
}

fn a_release_that_revises_a_partition_is_told_and_what_was_stays_readable(stack: &Stack) {
    let partitions = json!([{"year": 2014, "grade": "grade-3"}, {"year": 2014, "grade": "grade-4"}]);
    let request = json!({"partitions": partitions, "mode": "stale"});
    assert_eq!(outcomes(&stack.run_successfully("release-1", &request)), counts(&[("written", 2)]));
    // Nothing can have changed, so no page is requested.
    let n_requests = stack.portal.n_data_requests();
    let idle = stack.run_successfully("release-1-again", &request);
    assert_eq!((&idle["n_planned"], &idle["notice"]["is_news"]), (&json!(0), &json!(false)));
    assert_eq!(stack.portal.n_data_requests(), n_requests);

    let was = stack.objects(&format!("data/{TABLE}/year=2014/grade=grade-3/"));
    let key = was.keys().next().expect("the partition has an object");
    let bytes = stack.read(key);
    let revised = |field: &str, json: &str| {
        let action = Action::SetField { row: Some(0), field: field.to_owned(), json: json.to_owned() };
        Fault::new(action).on_path("2014/grade-3").on_page(1)
    };
    stack.portal.server.set_releases(vec!["0.27.0".to_owned()]);
    stack.portal.server.set_faults(vec![revised("enrollment", "4321")]);
    let output = stack.run_successfully("release-2", &request);
    assert_eq!(outcomes(&output), counts(&[("written", 1), ("unchanged", 1)]));
    assert_eq!(output["notice"]["change_line"], "Changed: year=2014/grade=grade-3 (1 school revised)");

    // The old edition is in the bucket, byte by byte, registered in Glue and readable by another engine.
    let kept = stack.objects(&format!("history/{TABLE}/year=2014/grade=grade-3/edition="));
    let [kept] = kept.keys().collect::<Vec<_>>()[..] else { panic!("{kept:?}") };
    assert!(stack.read(kept) == bytes);
    let history = format!("{TABLE}_history");
    let registered = stack.columns_of_partitions(DATABASE, &history).expect("the table of the past exists");
    assert!(registered.keys().any(|path| kept.contains(path.as_str())), "{registered:?}, {kept}");
    let sum = |table: &str| {
        let sql =
            format!("select sum(enrollment) as n from {DATABASE}.{table} where year = 2014 and grade = 'grade-3'");
        stack.query(&sql)[0]["n"].as_i64().expect("the sum is a number")
    };
    assert_ne!(sum(&history), sum(TABLE));
    let sql =
        format!("select count(*) as n from {DATABASE}.{TABLE}_editions where year = 2014 and valid_until is not null");
    assert_eq!(stack.query(&sql), json!([{"n": 1}]));
    let as_of = |release: &str| {
        let sql = format!(
            "select sum(enrollment) as n from {DATABASE}.ccd_enrollment_as_of
             where year = 2014 and grade = 'grade-3' and releases like '%,{release},%'"
        );
        stack.query(&sql)[0]["n"].as_i64().expect("the sum is a number")
    };
    assert_eq!((as_of("0.26.1"), as_of("0.27.0")), (sum(&history), sum(TABLE)));

    // The command line reads the past of a bucket.
    let lake = format!("s3://{}", stack.bucket);
    let then = stack.rollcall(&["status", "--lake", &lake, "--as-of", "0.26.1", "--format", "json"]).expect(0).json();
    let objects: Vec<&str> =
        then["partitions"].as_array().expect("it is a list").iter().filter_map(|row| row["object"].as_str()).collect();
    assert!(objects.contains(&kept.as_str()), "{objects:?}");
    let diff = stack.rollcall(&["diff", "0.26.1", "0.27.0", "--lake", &lake]).expect(1).stdout;
    assert!(diff.ends_with("1 partition: 1 school revised\n\ncolumn      revised  recoded  filled  blanked\nenrollment        1        0       0        0\n"), "{diff}");
    // The portal revised a page, but not its own summaries: the only difference in the bucket.
    let verified = stack.rollcall(&["verify", "--portal", &stack.portal.origin(), "--lake", &lake]).expect(6).stdout;
    assert!(verified.starts_with("rows against the portal's count: 27 equal\n"), "{verified}");
    assert!(verified.contains("\n  year=2014, fips 1: expected "), "{verified}");
    assert!(verified.ends_with("ccd_enrollment: 1 difference\n"), "{verified}");
    let page = stack.rollcall(&["report", "--lake", &lake, "--output", "-"]).expect(0).stdout;
    assert!(page.contains("pandas as pd\n\nrows = pd.read_parquet(&quot;s3:"), "{page}");
    stack.portal.server.set_releases(Vec::new());
    stack.portal.server.set_faults(Vec::new());
}

fn a_partition_that_changes_and_then_vanishes_does_so_in_the_catalog_too(stack: &Stack) {
    let (path, request) = ("year=2013/grade=grade-3", json!({"partitions": [{"year": 2013, "grade": "grade-3"}]}));
    assert_eq!(outcomes(&stack.run_successfully("first", &request)), counts(&[("written", 1)]));
    let n_rows = stack.partitions()[path];
    // The portal corrects its data: the last page, of up to 100 rows, has one row fewer, and every page has the new
    // count.
    let last_page = Fault::new(Action::DropRow { index: 0 }).on_page(n_rows.div_ceil(100));
    let shorter = [Fault::new(Action::CountAdd { delta: -1 }), last_page];
    stack.portal.server.set_faults(shorter.map(|fault| fault.on_path("2013/grade-3")).to_vec());
    let output = stack.run_successfully("changed", &request);
    assert_eq!((outcomes(&output), &output["n_published"]), (counts(&[("written", 1)]), &json!(1)));
    assert_eq!(stack.partitions()[path], n_rows - 1);
    stack.portal.server.set_faults(vec![Fault::new(no_rows()).on_path("2013/grade-3")]);
    let ended = stack.run("vanished", &request);
    assert!(ended.cause.contains("(ShrankTooMuch)"), "{}", ended.cause);
    assert_eq!(stack.partitions()[path], n_rows - 1);
    let mut forced = request;
    forced["force"] = json!(true);
    let output = stack.run_successfully("forced", &forced);
    assert_eq!((outcomes(&output), &output["n_withdrawn"]), (counts(&[("empty", 1)]), &json!(1)));
    stack.portal.server.set_faults(Vec::new());
    assert!(!stack.partitions().contains_key(path));
    assert!(stack.objects(&format!("data/{TABLE}/{path}/")).is_empty());
}

/// Three partitions fail in three ways, and the process that fetches a fourth is killed each time it starts.
fn w4_a_partial_failure_publishes_the_rest_and_names_what_failed(stack: &Stack) {
    let status = |code| Action::Status { code, retry_after: Some("0".to_owned()), body: None };
    // The last partition of the plan is killed after the others are done.
    let killed = "2016/grade-1";
    let stalls = Fault::new(Action::Delay { ms: 600_000 }).on_path(&format!("{killed}/"));
    stack.portal.server.set_faults(vec![
        Fault::new(status(404)).on_path("2017/grade-2/"),
        Fault::new(status(503)).on_path("2017/grade-3/"),
        Fault::new(Action::DropRow { index: 0 }).on_path("2016/grade-k/").on_page(1),
        stalls,
    ]);
    let before = stack.portal.server.requests().len();
    let asked = |path: &str| {
        let all = stack.portal.server.requests();
        let of_path = |request: &&rollcall_simulator::SeenRequest| {
            let page = request.query.split('&').find_map(|parameter| parameter.strip_prefix("page="));
            request.path.contains(path) && page.is_none_or(|page| page == "1")
        };
        all.iter().skip(before).filter(of_path).count()
    };
    let grades: Vec<String> =
        ["pk", "k"].into_iter().map(str::to_owned).chain((1..=8).map(|n| n.to_string())).collect();
    let grades: Vec<String> = grades.iter().map(|grade| format!("grade-{grade}")).collect();
    let started = stack.start("partial", &json!({"years": [2016, 2017], "grades": grades}));
    for tries in 1..=3 {
        stack.poll(&"the stalled partition", || {
            let n_done = stack.objects("ledger/ccd_enrollment/runs/partial/receipts/").len();
            (n_done == 19 && asked(killed) == tries).then_some(())
        });
        stack.kill("page-fetch");
    }
    let ended = stack.end(&started);
    // A refusal is not retried. A portal that is unavailable gets 4 requests from each of 3 calls. A lost row and a
    // killed function are tried 3 times each.
    assert_eq!((asked("2017/grade-2/"), asked("2017/grade-3/"), asked("2016/grade-k/")), (1, 12, 3));
    assert_eq!(asked(killed), 3);
    stack.portal.server.set_faults(Vec::new());
    assert_eq!((ended.status, ended.error.as_str()), (ExecutionStatus::Failed, "PartialFailure"));
    assert!(ended.cause.starts_with("4 of 20 failed: "), "{}", ended.cause);
    let failed = [
        "year=2017/grade=grade-2 (PortalRefused)",
        "year=2017/grade=grade-3 (PortalUnavailable)",
        "year=2016/grade=grade-k (CountMismatch)",
        "year=2016/grade=grade-1 (NoReceipt)",
    ];
    assert!(failed.iter().all(|failed| ended.cause.contains(failed)), "{}", ended.cause);
    let summary = stack.read_json("ledger/ccd_enrollment/runs/partial/summary.json");
    assert_eq!(outcomes(&summary), counts(&[("failed", 4), ("written", 16)]));
    let partitions = stack.partitions();
    let of_run = |path: &&String| path.starts_with("year=2016/") || path.starts_with("year=2017/");
    assert_eq!(partitions.keys().filter(of_run).count(), 16);
    assert!(
        failed.iter().all(|failed| !partitions.contains_key(failed.split(' ').next().expect("the line has a path")))
    );
    let lake = format!("s3://{}", stack.bucket);
    let origin = stack.portal.origin();
    let plan = ["plan", "--lake", &lake, "--portal", &origin, "--failed-of", "partial", "--format", "json"];
    let plan = stack.rollcall(&plan).expect(0).json();
    assert_eq!(plan["partitions"].as_array().map(Vec::len), Some(4));
    // Mode `failed` reruns exactly the partitions whose last attempt failed, and completes them.
    let again =
        ["run", "--on", "aws", "--mode", "failed", "--years", "2016-2017", "--grades", "all", "--format", "json"];
    let again = stack.rollcall(&again).expect(0).json();
    assert_eq!((outcomes(&again), &again["n_published"]), (counts(&[("written", 4)]), &json!(4)));
    let nothing = stack.run_successfully("nothing", &json!({"years": "2016-2017", "grades": "all", "mode": "failed"}));
    assert_eq!((&nothing["n_planned"], &nothing["message"]), (&json!(0), &json!("nothing to fetch")));
}

fn w18_a_run_ends_with_a_notice_that_says_what_failed_and_what_to_do(stack: &Stack) {
    let topics = stack.call("sns", "list_topics", &json!({}));
    let topics = topics["Topics"].as_array().expect("the value is a list").iter();
    let topic = topics.filter_map(|topic| topic["TopicArn"].as_str()).find(|arn| arn.contains("AlarmTopic"));
    let queue = "arn:aws:sqs:us-east-1:000000000000:notices";
    let allow = json!({"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
        "Resource": queue, "Condition": {"ArnEquals": {"aws:SourceArn": topic}}});
    let policy = json!({"Version": "2012-10-17", "Statement": [allow]}).to_string();
    let created = json!({"QueueName": "notices", "Attributes": {"Policy": policy}});
    let url = stack.call("sqs", "create_queue", &created)["QueueUrl"].clone();
    let _ = stack.call(
        "sns",
        "subscribe",
        &json!({"TopicArn": topic, "Protocol": "sqs", "Endpoint": queue,
        "Attributes": {"RawMessageDelivery": "true"}}),
    );

    let refused = Action::Status { code: 404, retry_after: None, body: Some("not \"here\"".to_owned()) };
    stack.portal.server.set_faults(vec![Fault::new(refused).on_path("2009/grade-3/")]);
    let ended = stack.run("noticed", &json!({"years": [2009], "grades": ["grade-2", "grade-3"]}));
    stack.portal.server.set_faults(Vec::new());
    assert_eq!(ended.error, "PartialFailure", "{}", ended.cause);
    let text = stack.poll(&"the notice", || {
        let received = stack.call("sqs", "receive_message", &json!({"QueueUrl": url, "WaitTimeSeconds": 5}));
        received["Messages"][0]["Body"].as_str().map(str::to_owned)
    });
    let lines: Vec<&str> = text.lines().map(|line| line.trim_matches('"')).collect();
    let [title, outcomes, changed, failed, next, link] = lines.as_slice() else { panic!("{text}") };
    assert_eq!(*title, "Run noticed of ccd_enrollment failed: 1 of 2 partitions failed or were not tried");
    assert_eq!(
        (*outcomes, *changed),
        ("2 planned: 1 written, 1 failed", "Changed: year=2009/grade=grade-2 (first load)")
    );
    assert!(failed.starts_with("Failed: year=2009/grade=grade-3: PortalRefused: fetch page 1"), "{failed}");
    assert!(failed.contains("HTTP 404") && failed.contains("not 'here'"), "{failed}");
    assert!(next.ends_with("To fetch the rest: rollcall run --on aws --failed-of noticed"), "{next}");
    assert!(link.ends_with("execution:rollcall-dev-ingest:noticed"), "{link}");
}

fn when_every_partition_fails_nothing_is_published_and_the_execution_says_why(stack: &Stack) {
    let refused = Action::Status { code: 404, retry_after: None, body: None };
    stack.portal.server.set_faults(vec![Fault::new(refused).on_path("/grade-")]);
    let (data, partitions) = (stack.objects("data/"), stack.partitions());
    let grades = ["grade-4", "grade-5", "grade-6", "grade-7", "grade-8"];
    // More failures than the template tolerates.
    let ended = stack.run("all-failed", &json!({"years": "2010-2014", "grades": grades}));
    stack.portal.server.set_faults(Vec::new());
    assert_eq!((ended.status, ended.error.as_str()), (ExecutionStatus::Failed, "PartialFailure"));
    assert!(ended.cause.starts_with("25 of 25 failed: "), "{}", ended.cause);
    assert!(ended.cause.contains("stopped by States.ExceedToleratedFailureThreshold"), "{}", ended.cause);
    assert_eq!((stack.objects("data/"), stack.partitions()), (data, partitions));
    let summary = stack.read_json("ledger/ccd_enrollment/runs/all-failed/summary.json");
    assert_eq!(outcomes(&summary), counts(&[("failed", 25)]));
}

fn a_request_that_cannot_run_fails_by_name(stack: &Stack) {
    let ended = stack.run("wrong", &json!({"years": [1850], "grade": ["grade-pk"]}));
    assert_eq!((ended.status, ended.error.as_str()), (ExecutionStatus::Failed, "InvalidRequest"));
    assert!(ended.cause.contains("`grade`: expected one of years, grades"), "{}", ended.cause);
    let ended = stack.run("kept", &json!({"years": [2020], "grades": ["grade-pk"], "keep_pages": true}));
    assert_eq!((ended.status, ended.error.as_str()), (ExecutionStatus::Failed, "InvalidRequest"));
    assert!(ended.cause.contains("`keep_pages`: expected a lake in a folder"), "{}", ended.cause);
}

/// Runs every year and grade, and measures all data passed between states and to and from the 720 partitions.
fn state_stays_small_for_forty_years_of_every_grade(stack: &Stack) {
    // One year more than the sample has; the portal has no rows for it.
    let years =
        Action::SetField { row: None, field: "years_available".to_owned(), json: "\"1985&ndash;2024\"".to_owned() };
    let faults = vec![Fault::new(years).on_path("api-endpoints"), Fault::new(no_rows()).on_path("/1985/")];
    stack.portal.server.set_faults(faults);
    let mut grades: Vec<String> = (1..=15).map(|n| format!("grade-{n}")).collect();
    grades.extend(["grade-pk", "grade-k", "grade-99"].map(str::to_owned));
    let output = stack.run_successfully("everything", &json!({"years": "all", "grades": grades}));
    stack.portal.server.set_faults(Vec::new());
    assert_eq!((&output["n_planned"], &output["n_failed"]), (&json!(720), &json!(0)));
    let found = outcomes(&output);
    assert!(found.values().sum::<u64>() == 720 && found["empty"] >= 18 && found["written"] > 600, "{found:?}");
    let data = stack.objects(&format!("data/{TABLE}/"));
    let expected: BTreeSet<&str> = data.keys().filter_map(|key| Some(key.rsplit_once('/')?.0)).collect();
    let partitions = stack.partitions();
    let registered: BTreeSet<String> = partitions.keys().map(|path| format!("data/{TABLE}/{path}")).collect();
    assert_eq!(registered.iter().map(String::as_str).collect::<BTreeSet<_>>(), expected);

    let sizes = stack.sizes_of_states("everything");
    assert_eq!(sizes.iter().filter(|(state, size)| state == "child" && *size > 0).count(), 2 * 720);
    assert!(sizes.iter().any(|(state, size)| state == "FetchPartitions" && *size > 0));
    let largest = sizes.iter().max_by_key(|(_, size)| *size).expect("the machine has states");
    assert!(largest.1 < 32 * 1024, "{largest:?}");
}

/// No permission is missing, since the emulator rejects calls that a role does not allow. Every unused permission needs
/// a reason here.
fn roles_allow_little_more_than_their_functions_use(stack: &Stack) {
    // Lambda writes logs and traces under the function's role.
    let of_lambda = ["logs:CreateLogStream", "logs:PutLogEvents", "xray:PutTelemetryRecords", "xray:PutTraceSegments"];
    for (function, (allowed, used)) in stack.actions() {
        let mut unused: BTreeSet<&str> = of_lambda.into();
        // Writing an object with a tag needs a separate permission, which the emulator does not check.
        let _ = unused.insert("s3:PutObjectTagging");
        if function == "catalog" {
            // The emulator has no map run resources, so it rejects a request to describe one, and a partition without a
            // receipt counts as killed. `faults_aws` covers the real responses.
            unused.extend(["states:DescribeMapRun", "states:ListExecutions", "states:DescribeExecution"]);
        }
        if function == "page-fetch" {
            // No built-in dataset has a secret.
            unused.extend(["secretsmanager:GetSecretValue"]);
        }
        let left_over: BTreeSet<&str> = allowed.difference(&used).map(String::as_str).collect();
        assert_eq!(left_over, unused, "{function} uses {used:?}");
    }
}
