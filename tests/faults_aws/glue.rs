//! A Glue catalog that is busy, throttled, half-updated or missing, and a crawler that fails.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_aws::glue::GlueCatalog;
use rollcall_core::dataset::Dataset;
use rollcall_core::file::Edition;
use rollcall_core::ledger::{Object, Seen as SeenObject, Survey};
use rollcall_core::partition::PartitionKey;
use rollcall_core::ports::{Catalog, CatalogPartition};
use rollcall_core::publish::converge;
use rollcall_tests::emulator::proxy::{Fault, Rule, Seen, json_error};
use rollcall_tests::{partition, registered, state_machine};
use serde_json::{Value, json};

use crate::ground::{CREATE, Ground, UPDATE, chain, object, pre_k, publish_event};

/// Returns the partitions named in each request of a Glue operation since the last call.
fn named_in(ground: &Ground, operation: &str) -> Vec<Vec<String>> {
    let values = |entry: &Value| {
        let values = entry["Values"]
            .as_array()
            .or(entry["PartitionValueList"].as_array())
            .expect("the entry has values")
            .clone();
        values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("/")
    };
    let of_request = |seen: &Seen| {
        let body = seen.json();
        let entries = body["PartitionInputList"]
            .as_array()
            .or(body["Entries"].as_array())
            .expect("the request has entries")
            .clone();
        entries.iter().map(values).collect()
    };
    let seen = ground.proxy.take_seen();
    seen.iter().filter(|seen| seen.line.ends_with(operation)).map(of_request).collect()
}

/// Returns an HTTP 200 body with errors for these entries of [`CREATE`].
fn refused(entries: &[(&str, &str, &str)]) -> String {
    let error = |(year, grade, code): &(&str, &str, &str)| json!({"PartitionValues": [year, grade], "ErrorDetail": {"ErrorCode": code, "ErrorMessage": "invalid"}});
    json!({"Errors": entries.iter().map(error).collect::<Vec<_>>()}).to_string()
}

/// Guard: an entry that exists is updated to what it should be.
#[test]
fn g1_an_existing_partition_is_updated_to_what_it_should_be() {
    let ground = Ground::with_tables();
    let (kept, grown, new) =
        (registered(2020, "grade-pk", 5), registered(2021, "grade-pk", 8), registered(2021, "grade-k", 3));
    let moved = CatalogPartition { location: "data/elsewhere/".to_owned(), n_rows: 7, ..grown.clone() };
    ground.register(&[kept.clone(), moved]).expect("the partitions are registered");
    let _ = ground.proxy.take_seen();
    ground.register(&[kept.clone(), grown.clone(), new.clone()]).expect("the partitions are registered");
    let seen = ground.proxy.take_seen();
    let names = |operation: &str| seen.iter().filter(|seen| seen.line.ends_with(operation)).count();
    // The response with HTTP 200 has two errors; only those two entries are updated.
    assert_eq!((names(CREATE), names(UPDATE)), (1, 1));
    let update = seen.iter().find(|seen| seen.line.ends_with(UPDATE)).expect("there is one").json();
    assert_eq!(update["Entries"].as_array().map(Vec::len), Some(2));
    assert_eq!(ground.registered(), [kept, new, grown]);
}

/// Guard: only the entries that a batch did not accept are sent again, and permanent failures are reported.
#[test]
fn g2_only_the_entries_that_a_batch_did_not_take_are_sent_again() {
    let ground = Ground::with_tables();
    let put = [registered(2019, "grade-pk", 3), registered(2020, "grade-pk", 5), registered(2021, "grade-pk", 8)];
    // The worst case: all entries are accepted, yet two are reported as failed.
    let body =
        refused(&[("2020", "grade-pk", "InternalServiceException"), ("2021", "grade-pk", "ThrottlingException")]);
    ground.proxy.set([Rule::new(CREATE, Fault::RespondInstead { body }).times(1)]);
    ground.register(&put).expect("every entry is registered in the end");
    let two = vec!["2020/grade-pk".to_owned(), "2021/grade-pk".to_owned()];
    let all = [vec!["2019/grade-pk".to_owned()], two.clone()].concat();
    assert_eq!(named_in(&ground, CREATE), [all, two]);
    assert_eq!(ground.registered(), put);

    let body = refused(&[("2020", "grade-pk", "InvalidInputException")]);
    ground.proxy.set([Rule::new(CREATE, Fault::RespondInstead { body })]);
    let error_message = chain(&ground.register(&put).expect_err("one entry is rejected permanently"));
    assert_eq!(error_message, "add or change partition `2020/grade-pk`: InvalidInputException: invalid");
    assert_eq!(named_in(&ground, CREATE).len(), 1);
}

/// Guard: after a concurrent change an entry is retried in up to five rounds, and a whole call three times.
#[test]
fn g3_a_concurrent_change_is_waited_for_and_then_reported() {
    let ground = Ground::with_tables();
    let put = [registered(2020, "grade-pk", 5), registered(2021, "grade-pk", 8)];
    let code = "ConcurrentModificationException";
    let whole = || json_error(400, code, "A change is under way.");
    ground.proxy.set([Rule::new(CREATE, whole()).times(2)]);
    ground.register(&put).expect("the third try succeeds");
    assert_eq!(named_in(&ground, CREATE).len(), 3);
    assert_eq!(ground.registered(), put);
    ground.proxy.set([Rule::new("AWSGlue.DeletePartition", whole()).times(2)]);
    let catalog = ground.catalog();
    let gone = [put[0].partition.clone()];
    ground
        .runtime
        .block_on(catalog.change_partitions(&ground.dataset.table_spec(), &[], &gone))
        .expect("the third try succeeds");
    assert_eq!(ground.registered(), put[1..]);

    ground.proxy.set([Rule::new(CREATE, whole())]);
    let error_message = chain(&ground.register(&put).expect_err("the change never ends"));
    assert_eq!(error_message, format!("add partitions: HTTP 400, {code}: A change is under way."));
    assert_eq!(named_in(&ground, CREATE).len(), 3);
    let body = refused(&[("2020", "grade-pk", code)]);
    ground.proxy.set([Rule::new(CREATE, Fault::Respond { status: 200, body })]);
    let error_message = chain(&ground.register(&put[..1]).expect_err("the change never ends"));
    assert_eq!(error_message, format!("add or change partition `2020/grade-pk`: {code}: invalid"));
    assert_eq!(named_in(&ground, CREATE).len(), 5);
}

/// Guard: the SDK recognizes the throttling error of Glue.
#[test]
fn g4_a_throttled_call_is_retried_and_then_reported() {
    let ground = Ground::with_tables();
    let put = [registered(2021, "grade-pk", 8)];
    let throttled = || json_error(400, "ThrottlingException", "Rate exceeded");
    for operation in [CREATE, "AWSGlue.GetTable", "AWSGlue.GetPartitions"] {
        ground.proxy.set([Rule::new(operation, throttled()).times(2)]);
        ground.register(&put).expect("the third try succeeds");
        let catalog = ground.catalog();
        let found =
            ground.runtime.block_on(catalog.partitions(&ground.dataset.table_spec())).expect("the third try succeeds");
        assert_eq!(found, put);
    }
    let _ = ground.fetch(&pre_k(), "r1").expect("the partition is fetched");
    ground.proxy.set([Rule::new("AWSGlue.GetPartitions", throttled())]);
    let error = ground.publish("r1", &[pre_k()]).expect_err("Glue never responds");
    assert_eq!((error.name(), error.is_retryable()), ("CatalogFailed", true));
    assert!(
        error.chain().ends_with("list partitions: HTTP 400, ThrottlingException: Rate exceeded"),
        "{}",
        error.chain()
    );
    assert_eq!(ground.proxy.take_seen_of("AWSGlue.GetPartitions").len(), 1 + 1 + 3 + 3);
}

/// Guards: a call takes at most 100 entries; what is published depends on the objects, not on what a run remembers.
#[test]
fn g5_g9_batches_have_a_hundred_entries_and_a_run_that_ended_between_two_is_completed() {
    let ground = Ground::with_tables();
    let (_, mut stamp) = object();
    stamp.edition = Edition { schema_id: ground.dataset.schema_id(), ..stamp.edition };
    let seen = Object { etag: "\"e\"".to_owned(), size_bytes: 7, seen: SeenObject::Readable(stamp) };
    let objects: BTreeMap<PartitionKey, Object> =
        (1800..2050).map(|year| (partition(year, "grade-pk"), seen.clone())).collect();
    let survey = Survey { objects, strays: Vec::new() };
    let (lake, catalog) = (ground.lake(), ground.catalog());
    let publish = || ground.runtime.block_on(converge(&lake, &catalog, &ground.dataset, &survey));
    let sizes = || named_in(&ground, CREATE).iter().map(Vec::len).collect::<Vec<_>>();
    // The second batch always fails. The SDK sends it three times.
    let over = json_error(500, "InternalServiceException", "Internal failure.");
    ground.proxy.set([Rule::new(CREATE, Fault::Pass).times(1), Rule::new(CREATE, over)]);
    assert_eq!(publish().expect_err("the second batch fails").name(), "CatalogFailed");
    assert_eq!(sizes(), [100, 100, 100, 100]);
    assert_eq!(ground.registered().len(), 100);

    ground.proxy.set([]);
    assert_eq!((publish().expect("Glue works again").n_put, sizes()), (150, vec![100, 50]));
    let found: Vec<PartitionKey> = ground.registered().into_iter().map(|registered| registered.partition).collect();
    assert_eq!(found, survey.objects.into_keys().collect::<Vec<_>>());
}

/// Guard: the run waits for a running crawl, then starts a new one. If the crawl never ends, the run fails.
#[test]
fn g6_a_running_crawl_is_waited_for_and_never_mistaken_for_ours() {
    let states = &state_machine()["States"];
    let start = &states["StartCrawler"];
    assert_eq!(start["Resource"], "arn:aws:states:::aws-sdk:glue:startCrawler");
    let retriers = start["Retry"].as_array().expect("the state has retriers");
    let of_running = |retrier: &&Value| retrier["ErrorEquals"] == json!(["Glue.CrawlerRunningException"]);
    let retrier = retriers.iter().find(of_running).expect("the state has such a retrier");
    let waits = retrier["IntervalSeconds"]
        .as_u64()
        .zip(retrier["MaxAttempts"].as_u64())
        .expect("intervals and attempts are numbers");
    assert!(waits.0 >= 30 && waits.0 * waits.1 >= 3_000, "a crawl takes minutes, {waits:?} is shorter");
    // Both starting and reading the crawler are retried when Glue fails or throttles.
    for state in [start, &states["ReadCrawler"]] {
        let retriers = state["Retry"].as_array().expect("the state has retriers");
        let of_service = |retrier: &&Value| {
            let errors = retrier["ErrorEquals"].as_array().expect("the value is a list");
            errors.contains(&json!("Glue.GlueException")) && retrier["MaxAttempts"].as_u64() >= Some(3)
        };
        assert!(retriers.iter().any(|retrier| of_service(&retrier)), "{state}");
    }
    assert!(start["Catch"].is_null(), "a caught error would look like a started crawl");
    assert_eq!((&start["Next"], &states["WaitForCrawler"]["Next"]), (&json!("WaitForCrawler"), &json!("ReadCrawler")));
    // The run continues only once the crawler is ready. Until then, its state is read again.
    let ready = &states["CrawlerReady?"];
    assert_eq!(ready["Choices"][0]["Variable"], "$.crawl.Crawler.State");
    assert_eq!((&ready["Choices"][0]["StringEquals"], &ready["Default"]), (&json!("READY"), &json!("WaitForCrawler")));
}

/// Guard: a missing database, or a full account, is reported with the table's name and not retried. A missing table is
/// made.
#[test]
fn g7_a_missing_table_or_database_and_a_full_account_are_named() {
    let ground = Ground::without_database();
    let _ = ground.fetch(&pre_k(), "r1").expect("the partition is fetched");
    let table = "ccd_school.us_education_ccd_enrollment_data";
    let error = ground.publish("r1", &[pre_k()]).expect_err("the database does not exist");
    assert_eq!(error.name(), "CatalogFailed");
    assert!(
        error.chain().contains(&format!("`{table}`: make table: HTTP 400, EntityNotFoundException")),
        "{}",
        error.chain()
    );
    assert!(error.chain().ends_with("\nhint: deploy the template again"), "{}", error.chain());
    let error = chain(&ground.register(&[registered(2021, "grade-pk", 8)]).expect_err("there is no table"));
    assert_eq!(error, "read table: expected a table, found none\nhint: the next run of its dataset makes it");

    ground.declare_tables();
    let full = || json_error(400, "ResourceNumberLimitExceededException", "Number of partitions exceeds the limit");
    let gone = || json_error(400, "EntityNotFoundException", "Database ccd_school not found.");
    for (fault, words) in [
        (full(), "HTTP 400, ResourceNumberLimitExceededException: Number of partitions exceeds the limit"),
        (gone(), "HTTP 400, EntityNotFoundException: Database ccd_school not found."),
    ] {
        ground.proxy.set([Rule::new(CREATE, fault)]);
        let _ = ground.proxy.take_seen();
        let error = ground.publish("r1", &[pre_k()]).expect_err("the call is rejected");
        assert!(error.chain().contains(table) && error.chain().ends_with(words), "{}", error.chain());
        assert_eq!(ground.proxy.take_seen_of(CREATE).len(), 1);
    }
    // The data exists all along, and is published once there is room.
    ground.proxy.set([]);
    assert_eq!(ground.publish("r2", &[]).expect("the account has room").n_published, 1);
}

/// Guard: the location of the table is compared before any change, even if nothing else about the table is looked at.
#[test]
fn g10_the_table_of_another_lake_is_not_changed() {
    let ground = Ground::with_tables();
    let ours = registered(2021, "grade-pk", 7);
    ground.register(std::slice::from_ref(&ours)).expect("the partition is registered");
    let other = GlueCatalog::new(&ground.direct, "another-lake");
    let spec = ground.dataset.table_spec();
    let remove = [pre_k()];
    for (put, remove) in [(std::slice::from_ref(&ours), &remove[..0]), (&[], &remove[..])] {
        let refused = ground.runtime.block_on(other.change_partitions(&spec, put, remove)).expect_err("it is refused");
        assert!(chain(&refused).contains("expected location `s3://another-lake/data/"), "{}", chain(&refused));
    }
    assert_eq!(ground.registered(), [ours]);
}

/// Guard: a table is read again if another run has made it, or someone has deleted it, since it was read.
#[test]
fn g11_of_two_runs_that_make_the_same_table_both_go_on() {
    let ground = Ground::with_tables();
    let spec = Dataset::built_in("ccd_directory").expect("the dataset is built in").table_spec();
    let catalog = ground.catalog();
    let ensure = || ground.runtime.block_on(catalog.ensure_table(&spec));
    let calls = || {
        let seen = ground.proxy.take_seen();
        let of = |name: &str| seen.iter().filter(|seen| seen.line.ends_with(&format!("AWSGlue.{name}"))).count();
        [of("CreateTable"), of("UpdateTable")]
    };
    ensure().expect("the table and its view are made");
    assert_eq!(calls(), [2, 0]);
    ensure().expect("both are as declared");
    assert_eq!(calls(), [0, 0]);
    // Neither exists yet when it is read, and then another run has made it.
    let none = || json_error(400, "EntityNotFoundException", "Entity Not Found");
    ground.proxy.set([
        Rule::new("AWSGlue.GetTable", none()).times(1),
        Rule::new("AWSGlue.GetTable", Fault::Pass).times(1),
        Rule::new("AWSGlue.GetTable", none()).times(1),
    ]);
    ensure().expect("the other run's table and view are the same");
    assert_eq!(calls(), [2, 0]);
    // Both differ when they are read, and are deleted before they are updated.
    let mut changed = spec.clone();
    changed.columns[0].2 = "Another comment".to_owned();
    let query = &mut changed.view.as_mut().expect("the dataset has a view").parts[0];
    *query = query.replace("\nfrom ", ",\n  1 as \"one\"\nfrom ");
    ground.proxy.set([
        Rule::new("AWSGlue.UpdateTable", none()).times(1),
        Rule::new("AWSGlue.UpdateTable", Fault::Pass).times(1),
        Rule::new("AWSGlue.UpdateTable", none()).times(1),
    ]);
    ground.runtime.block_on(catalog.ensure_table(&changed)).expect("they are read again");
    assert_eq!(calls(), [0, 4]);
    // One that changes without end is reported.
    ground.proxy.set([Rule::new("AWSGlue.UpdateTable", none())]);
    let error = chain(&ensure().expect_err("it never stays"));
    assert_eq!(error, "define table: expected a table that no other process changes, found one that keeps changing");
    assert_eq!(calls(), [0, 5]);
}

/// Guard: what the template defines is only compared, whatever a run finds. See also `contracts`.
#[test]
fn g12_a_table_of_the_template_is_never_changed() {
    let ground = Ground::with_tables();
    let _ = ground.fetch(&pre_k(), "r1").expect("the partition is fetched");
    let _ = ground.proxy.take_seen();
    assert_eq!(ground.publish("r1", &[pre_k()]).expect("the tables are as declared").n_published, 1);
    let changed: BTreeSet<String> = ground
        .proxy
        .take_seen()
        .iter()
        .filter(|seen| seen.line.ends_with("Table") && !seen.line.ends_with("GetTable"))
        .map(|seen| {
            format!("{} {}", seen.line.rsplit('.').next().unwrap_or_default(), seen.json()["TableInput"]["Name"])
        })
        .collect();
    let expected = ["CreateTable \"ccd_enrollment_labeled\"", "CreateTable \"lookup_codes\""];
    assert_eq!(changed, expected.map(str::to_owned).into());

    let mut other = ground.dataset.table_spec();
    other.columns.push(("teachers".to_owned(), "double".to_owned(), String::new()));
    let refused = ground.runtime.block_on(ground.catalog().ensure_table(&other)).expect_err("the columns differ");
    assert!(chain(&refused).ends_with("\nhint: deploy the template again"), "{}", chain(&refused));
    let seen = ground.proxy.take_seen();
    assert_eq!(seen.iter().map(|seen| seen.line.ends_with("GetTable")).collect::<Vec<_>>(), [true]);
}

/// Guard: a view has a mark of who made it. See also `contracts`.
#[test]
fn g13_what_someone_else_made_under_the_name_of_a_view_stays_and_is_named() {
    let ground = Ground::with_tables();
    let _ = ground.fetch(&pre_k(), "r1").expect("the partition is fetched");
    let theirs = json!({"Name": "ccd_enrollment_labeled", "TableType": "VIRTUAL_VIEW", "ViewOriginalText": "theirs",
        "StorageDescriptor": {}});
    let input = json!({"DatabaseName": "ccd_school", "TableInput": theirs});
    let _ = ground.emulator.call_in(ground.region, "glue", "create_table", &input);
    let error = ground.publish("r1", &[pre_k()]).expect_err("the name is taken");
    assert_eq!(error.name(), "CatalogFailed");
    let words = "expected no `ccd_enrollment_labeled`, or a view that rollcall has made, found a view that rollcall has not \
                 made\nhint: give it another name";
    assert!(error.chain().ends_with(words), "{}", error.chain());
    let name = json!({"DatabaseName": "ccd_school", "Name": "ccd_enrollment_labeled"});
    let found = ground.emulator.call_in(ground.region, "glue", "get_table", &name);
    assert_eq!(found["Table"]["ViewOriginalText"], "theirs");
    // The data is published once the name is free.
    let _ = ground.emulator.call_in(ground.region, "glue", "delete_table", &name);
    assert_eq!(ground.publish("r2", &[]).expect("the name is free").n_published, 1);
}

/// Guard: the catalog function checks how the crawl ended.
#[test]
fn g8_a_crawl_that_failed_or_was_cancelled_or_never_ran_fails_the_run_by_name() {
    let ground = Ground::with_tables();
    let _ = ground.fetch(&pre_k(), "r1").expect("the partition is fetched");
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
        assert!(message.ends_with(&format!("expected the status SUCCEEDED of the last crawl, {words}")), "{message}");
    }
    // A crawl that succeeded and found nothing fails the run too.
    event["crawl"] = json!({"Crawler": {"LastCrawl": {"Status": "SUCCEEDED"}}});
    let (name, message) = catalog.call(&event).failed();
    assert_eq!(name, "CatalogFailed");
    assert!(message.contains("1 of 1 missing, such as `year=2021/grade=grade-pk`"), "{message}");
    assert_eq!(ground.registered(), []);
}
