//! The deployed stack while the portal, the lake and the catalog fail and functions are killed. Reruns of the failed
//! partitions complete the lake, and no wrong data is visible on the way.
//!
//! The normal tests do this for one lake, `make converge` for 50. `ROLLCALL_SEED` determines what fails, as far as the
//! order of requests allows.

use std::collections::BTreeMap;

use aws_sdk_sfn::types::ExecutionStatus;
use fastrand::Rng;
use rollcall_tests::chance::{number_from_env, portal_faults};
use rollcall_tests::emulator::proxy::{Fault, Proxy, Rule, Seen, json_error, s3_error};
use rollcall_tests::emulator::stack::{Ended, FUNCTIONS, Stack, TABLE};
use rollcall_tests::{HUNDRED, TestLake, files_below};
use serde_json::{Value, json};

/// Executions after the first.
const RERUNS: usize = 3;

/// The expected end state: the bytes of data objects by key, and row counts by partition path.
struct Expected {
    objects: BTreeMap<String, Vec<u8>>,
    rows: BTreeMap<String, u64>,
}

impl Expected {
    /// Returns what a fault-free run on a folder writes.
    fn from_local_run(stack: &Stack) -> Self {
        let lake = TestLake::new();
        let _ = lake.run(&stack.portal, &HUNDRED).expect(0);
        let table = format!("data/{TABLE}/");
        let objects = files_below(lake.path(), &table);
        let rows = |record: &Value| record["n_rows"].as_u64().expect("a record has rows");
        let records = lake.records("ccd_enrollment").into_iter();
        let rows: BTreeMap<_, _> = records.map(|(path, record)| (path, rows(&record["committed"]))).collect();
        assert_eq!((objects.len(), rows.len()), (100, 100));
        Self { objects, rows }
    }
}

/// Approximate number of requests that each of [`FUNCTIONS`] sends per event.
const REQUESTS: [usize; 3] = [100, 6, 250];

/// Faults between a function and AWS: one request in twenty to the lake fails, and one in ten to the catalog. In about
/// one event in fifty, the function is killed.
fn aws_faults(stack: &Stack, random: &mut Rng, n_requests: usize) -> Vec<Rule> {
    let kills =
        [Fault::KillBefore, Fault::KillAfter].map(|kill| Rule::new("", kill).one_in(2 * 50 * n_requests, random));
    let of_catalog = [
        json_error(500, "InternalServiceException", "An internal service error occurred."),
        json_error(400, "OperationTimeoutException", "The operation timed out."),
        json_error(400, "ConcurrentModificationException", "Two processes are trying to modify a resource."),
        Fault::LoseResponse,
    ]
    .map(|fault| Rule::new(" AWSGlue.", fault).one_in(40, random));
    let of_store = [
        s3_error(503, "SlowDown", "Please reduce your request rate."),
        s3_error(500, "InternalError", "We encountered an internal error. Please try again."),
        Fault::LoseResponse,
        Fault::CutUpload,
    ]
    .map(|fault| Rule::new(&format!(" /{}", stack.bucket), fault).one_in(80, random));
    kills.into_iter().chain(of_catalog).chain(of_store).collect()
}

/// Request and fault counts.
#[derive(Debug, Default)]
struct Counts {
    n_store: usize,
    n_store_faults: usize,
    n_catalog: usize,
    n_catalog_faults: usize,
    n_kills: usize,
}

impl Counts {
    fn add(&mut self, seen: &Seen) {
        let is_kill = matches!(seen.fault, Some(Fault::KillBefore | Fault::KillAfter));
        let is_fault = usize::from(seen.fault.is_some() && !is_kill);
        self.n_kills += usize::from(is_kill);
        if seen.line.contains(" AWSGlue.") {
            self.n_catalog += 1;
            self.n_catalog_faults += is_fault;
        } else {
            self.n_store += 1;
            self.n_store_faults += is_fault;
        }
    }
}

/// How much of the expected state exists.
struct Found {
    is_all_written: bool,
    not_registered: Vec<String>,
}

/// Fails if an object or a registered partition differs from what is expected.
fn look(stack: &Stack, expected: &Expected, when: &str) -> Found {
    let objects = stack.objects(&format!("data/{TABLE}/"));
    for key in objects.keys() {
        assert!(expected.objects.get(key) == Some(&stack.read(key)), "{key} is wrong {when}");
    }
    let partitions = stack.partitions();
    let written = objects.keys().filter_map(|key| {
        let path = key.strip_prefix(&format!("data/{TABLE}/"))?.strip_suffix("/part-00000.parquet")?;
        Some(path.to_owned())
    });
    for (path, n_rows) in &partitions {
        assert_eq!(expected.rows.get(path), Some(n_rows), "{path} {when}");
        assert!(
            objects.contains_key(&format!("data/{TABLE}/{path}/part-00000.parquet")),
            "{path} has no object {when}"
        );
    }
    Found {
        is_all_written: objects.len() == expected.objects.len(),
        not_registered: written.filter(|path| !partitions.contains_key(path)).collect(),
    }
}

/// Runs the hundred partitions.
fn run(stack: &Stack, name: &str, mode: &str) -> Ended {
    let grades: Vec<&str> = HUNDRED[3].split(',').collect();
    stack.run(name, &json!({"years": HUNDRED[1], "grades": grades, "mode": mode}))
}

/// Runs with faults, then reruns what failed. Returns the number of reruns.
fn converge(stack: &Stack, proxies: &[Proxy; 3], expected: &Expected, seed: u64, counts: &mut Counts) -> usize {
    let mut random = Rng::with_seed(seed);
    stack.empty();
    let mut reported = Vec::new();
    for n_reruns in 0..=RERUNS {
        stack.portal.server.set_faults(portal_faults(&mut random));
        for (proxy, n_requests) in proxies.iter().zip(REQUESTS) {
            proxy.set(aws_faults(stack, &mut random, n_requests));
        }
        let name = format!("seed-{seed}-{n_reruns}");
        let ended = run(stack, &name, if n_reruns == 0 { "all" } else { "failed" });
        for proxy in proxies {
            proxy.take_seen().iter().for_each(|seen| counts.add(seen));
        }
        let found = look(stack, expected, &format!("after {name}"));
        reported.push(format!("{name}: {} {} {}", ended.status, ended.error, ended.cause));
        let reported = reported.join("\n");
        let is_well = ended.status == ExecutionStatus::Succeeded;
        // A run that reports this has been published. Otherwise the planner or the publisher failed.
        let is_published = is_well || ended.error == "PartialFailure";
        assert!(!is_published || found.not_registered.is_empty(), "{:?}\n{reported}", found.not_registered);
        assert!(found.is_all_written || !is_well, "{reported}");
        if is_well {
            stack.portal.server.set_faults(Vec::new());
            proxies.iter().for_each(|proxy| proxy.set([]));
            let rest = run(stack, &format!("seed-{seed}-rest"), "failed");
            // These requests are sent without faults and do not count.
            proxies.iter().for_each(|proxy| drop(proxy.take_seen()));
            assert_eq!((rest.status, &rest.output["n_planned"]), (ExecutionStatus::Succeeded, &json!(0)), "{reported}");
            return n_reruns;
        }
    }
    panic!("not complete after {RERUNS} reruns\n{}", reported.join("\n"));
}

/// Guard: retries of clients, functions and the state machine, conditional writes, modes and publishing complete the
/// lake together. Repeated `ROLLCALL_CONVERGENCES` times.
#[test]
fn w4_a_hundred_partitions_converge_in_three_reruns_despite_failures_and_kills() {
    let stack = Stack::deploy();
    let expected = Expected::from_local_run(&stack);
    let proxies = FUNCTIONS.map(|function| stack.proxy_before(function));
    let first = number_from_env("ROLLCALL_SEED", 1);
    let (mut counts, mut by_reruns) = (Counts::default(), BTreeMap::new());
    let n_lakes = number_from_env("ROLLCALL_CONVERGENCES", 1);
    for seed in first..first + n_lakes {
        *by_reruns.entry(converge(&stack, &proxies, &expected, seed, &mut counts)).or_insert(0) += 1;
    }
    // Requests did pass through the proxies, and faults were injected.
    assert!(counts.n_store > 0 && counts.n_catalog > 0 && counts.n_store_faults > 0, "{counts:?}");
    assert!(n_lakes < 5 || counts.n_catalog_faults > 0 && counts.n_kills > 0, "{counts:?}");
    println!("lakes by the reruns that it took: {by_reruns:?}; {counts:?}");
}
