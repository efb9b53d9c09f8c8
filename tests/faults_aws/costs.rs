//! How many S3 and Glue requests a run sends: the numbers grow with the plan, not with the lake.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use rollcall_core::file::{ENCODING_VERSION, Edition, Stamp};
use rollcall_core::partition::PartitionKey;
use rollcall_core::ports::{Condition, Put, Store};
use rollcall_simulator::{Action, Fault};
use rollcall_tests::emulator::proxy::Seen;
use rollcall_tests::partition;
use serde_json::{Value, json};

use crate::ground::{Ground, fetch_event, finished, object, plan_event, pre_k, publish_event};

/// Counts requests by S3 method or Glue operation.
fn by_kind(seen: &[Seen]) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for seen in seen {
        let kind = match seen.line.rsplit_once(" AWSGlue.") {
            Some((_, operation)) => operation,
            None if seen.line.contains("?list-type=2") => "LIST",
            None if seen.line.contains("?delete") => "DeleteObjects",
            None => seen.line.split(' ').next().expect("the line has a method"),
        };
        *kinds.entry(kind.to_owned()).or_insert(0) += 1;
    }
    kinds
}

fn kinds(expected: &[(&str, usize)]) -> BTreeMap<String, usize> {
    expected.iter().map(|(kind, n)| ((*kind).to_owned(), *n)).collect()
}

/// Returns a published lake of `n_partitions` that was not fetched from the portal.
fn lake_of(n_partitions: usize) -> Ground {
    let ground = Ground::with_tables();
    let (encoded, stamp) = object();
    let grades = ["grade-k", "grade-1", "grade-2", "grade-3", "grade-4", "grade-5", "grade-6", "grade-7", "grade-8"];
    let all = (1900..).flat_map(|year| grades.map(|grade| partition(year, grade))).take(n_partitions);
    let edition =
        Edition { schema_id: ground.dataset.schema_id(), encoding_version: ENCODING_VERSION, ..stamp.edition };
    let lake = ground.lake();
    let put = |partition: PartitionKey| {
        let stamp = Stamp { edition, partition: Some(partition.to_string()), ..stamp.clone() };
        let (lake, key, bytes) = (&lake, ground.object(&partition), encoded.bytes.clone());
        async move { lake.put(&key, bytes, &Condition::Absent, &stamp).await }
    };
    let puts: Result<Vec<Put>, _> =
        ground.runtime.block_on(stream::iter(all).map(put).buffer_unordered(16).try_collect());
    assert!(puts.expect("the bucket responds").iter().all(|put| *put != Put::Lost));
    let published = ground.publish("all", &[]).expect("the run is published");
    assert_eq!(published.n_published, n_partitions);
    let _ = ground.proxy.take_seen();
    ground
}

/// Guard: publishing needs one listing and one records object, however large the lake is.
#[test]
fn a_backfill_of_one_partition_is_published_with_few_requests_however_large_the_lake() {
    for n_partitions in [12, 720] {
        let ground = lake_of(n_partitions);
        let catalog = ground.function("catalog");
        for (run, written, other, max) in [
            ("added", "BatchCreatePartition", &[("BatchCreatePartition", 1)][..], 25),
            // For a registered partition, creating is tried first and fails; then it is updated. This is the first object
            // that is replaced, so the history gets its tables, their first partition, and the lists of editions.
            (
                "changed",
                "BatchUpdatePartition",
                &[
                    ("BatchCreatePartition", 2),
                    ("BatchUpdatePartition", 1),
                    ("CreateTable", 3),
                    ("GET", 3),
                    ("GetPartitions", 1),
                    ("GetTable", 3),
                    ("PUT", 2),
                ],
                38,
            ),
        ] {
            let n_rows = ground.fetch(&pre_k(), run).expect("the partition is fetched").n_rows;
            let event = publish_event(&ground, run, &[pre_k()]);
            let _ = ground.proxy.take_seen();

            let published = catalog.call(&event).response();

            assert_eq!((&published["n_published"], &published["n_failed"]), (&json!(1), &json!(0)), "{run}");
            let seen = ground.proxy.take_seen();
            let mut expected = kinds(&[
                // Plan, descriptor, receipt, summary (not written yet) and records.
                ("GET", 5),
                // The files of the run, the data, and the history.
                ("LIST", 3),
                // The partition's object, the table of editions and the lookup tables.
                ("HEAD", 7),
                // Records and summary.
                ("PUT", 2),
                // The receipt.
                ("DeleteObjects", 1),
                // The table and its view.
                ("GetTable", 2),
                ("GetTables", 1),
                ("GetPartitions", 2),
            ]);
            for (kind, n) in kinds(other) {
                *expected.entry(kind).or_default() += n;
            }
            assert_eq!(by_kind(&seen), expected, "{run} of {n_partitions}");
            assert!(seen.iter().any(|seen| seen.line.ends_with(written)));
            assert!(seen.len() <= max, "{}", seen.len());
            // In the second round, the portal corrects its data: the last page, of up to 100 rows, has one row fewer.
            let shorter = Fault::new(Action::DropRow { index: 0 }).on_page(n_rows.div_ceil(100));
            let shorter = [Fault::new(Action::CountAdd { delta: -1 }), shorter];
            ground.portal.server.set_faults(shorter.map(|fault| fault.on_path("2021/grade-pk")).to_vec());
        }
    }
}

/// Guard: an unchanged partition needs one HEAD of its object and one receipt, not counting planning and publishing. A
/// process of page-fetch reads the descriptor of a run once.
#[test]
fn an_unchanged_partition_costs_one_head_and_one_put() {
    let ground = Ground::with_tables();
    let [planner, page_fetch, catalog] = ["planner", "page-fetch", "catalog"].map(|name| ground.function(name));
    let years = [2018, 2019, 2020, 2021];
    let request = json!({"years": years, "grades": ["grade-pk"]});
    for run in ["first", "second"] {
        let planned = planner.call(&plan_event(run, &request)).response();
        let planning = by_kind(&ground.proxy.take_seen());
        for year in years {
            let event = fetch_event(&ground, run, &partition(year, "grade-pk"));
            assert_eq!(page_fetch.call(&event), finished());
        }
        let fetching = by_kind(&ground.proxy.take_seen());
        let published = catalog.call(&planned).response();
        let publishing = by_kind(&ground.proxy.take_seen());
        if run == "first" {
            assert_eq!(fetching, kinds(&[("GET", 1), ("HEAD", 4), ("PUT", 8)]));
            continue;
        }
        assert_eq!(published["outcomes"]["unchanged"], 4);
        // The schema was already written, and no descriptor was added; the plan is new, and so is its descriptor.
        assert_eq!(planning, kinds(&[("GET", 2), ("PUT", 2)]));
        assert_eq!(fetching, kinds(&[("GET", 1), ("HEAD", 4), ("PUT", 4)]));
        let expected = [
            ("GET", 8),
            ("LIST", 3),
            ("HEAD", 6),
            ("PUT", 2),
            ("DeleteObjects", 1),
            ("GetTable", 2),
            ("GetTables", 1),
            ("GetPartitions", 1),
        ];
        assert_eq!(publishing, kinds(&expected));
    }
}

/// Guard: exactly the objects of a run that may expire are tagged. The template's rule deletes by that tag.
#[test]
fn exactly_the_objects_of_a_run_are_tagged_for_expiry() {
    let ground = Ground::with_tables();
    let [planner, page_fetch, catalog] = ["planner", "page-fetch", "catalog"].map(|name| ground.function(name));
    let planned = planner.call(&plan_event("r1", &json!({"years": [2021], "grades": ["grade-pk"]}))).response();
    assert_eq!(page_fetch.call(&fetch_event(&ground, "r1", &pre_k())), finished());
    let _ = catalog.call(&planned).response();
    let written: Vec<(String, bool)> = ground
        .proxy
        .take_seen_of("PUT ")
        .iter()
        .map(|seen| (seen.line.clone(), seen.header("x-amz-tagging") == Some("rollcall=run")))
        .collect();
    assert!(written.iter().all(|(line, is_tagged)| line.contains("/runs/r1/") == *is_tagged), "{written:?}");
    // Plan, descriptor, receipt and summary.
    assert_eq!(written.iter().filter(|(_, is_tagged)| *is_tagged).count(), 4, "{written:?}");

    let template = crate::ground::template();
    let bucket = &template["Resources"]["Bucket"]["Properties"];
    let rules = bucket["LifecycleConfiguration"]["Rules"].as_array().expect("the bucket has rules");
    let of_runs: Vec<&Value> =
        rules.iter().filter(|rule| rule["TagFilters"] == json!([{"Key": "rollcall", "Value": "run"}])).collect();
    let [of_runs] = of_runs.as_slice() else { panic!("expected one rule, found {of_runs:?}") };
    let facts = (&of_runs["Status"], &of_runs["ExpirationInDays"], &of_runs["Prefix"]);
    assert_eq!(facts, (&json!("Enabled"), &json!({"Ref": "RunRetentionDays"}), &Value::Null));
    // No other rule deletes current objects.
    assert_eq!(rules.iter().filter(|rule| !rule["ExpirationInDays"].is_null()).count(), 1);
    // In a versioned bucket a delete leaves a version and a delete marker, which expire too.
    assert_eq!(bucket["VersioningConfiguration"]["Status"], "Enabled");
    for field in ["NoncurrentVersionExpiration", "ExpiredObjectDeleteMarker"] {
        assert!(rules.iter().any(|rule| !rule[field].is_null() && rule["TagFilters"].is_null()), "{field}");
    }
}
