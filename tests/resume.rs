//! Large partitions whose fetch is killed or runs out of time: the next one continues with the pages that were kept.
//!
//! The normal tests kill a few runs, `make resume` twenty of each kind. `ROLLCALL_SEED` determines when, as far as the
//! machine's timing allows.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::process::Stdio;
use std::time::Duration;

use fastrand::Rng;
use rollcall_simulator::{Action, Config, Fault};
use rollcall_tests::chance::number_from_env;
use rollcall_tests::emulator::stack::Stack;
use rollcall_tests::{ENROLLMENT, TestLake, TestPortal, rollcall};
use serde_json::{Value, json};

/// Pages of the partition in the tests on a folder: as many as a grade of enrollment by race and sex has.
const N_PAGES: usize = 78;
/// Default number of requests in flight of a run on a folder.
const IN_FLIGHT: usize = 8;
const OBJECT: &str = "year=2020/grade=grade-pk/part-00000.parquet";
const PATH: &str = "/2020/grade-pk/";

/// Serves partitions of this many pages of ten rows, each with this latency.
fn portal(n_pages: usize, latency_ms: u64) -> TestPortal {
    let (rows, latency) = (Some(n_pages as u64 * 10), Duration::from_millis(latency_ms));
    TestPortal::start(Config { page_size: 10, rows, latency, ..Config::default() })
}

/// Returns how often the portal was asked for each page of the partition, not counting the first `n_before` requests.
fn requested(portal: &TestPortal, n_before: usize) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    for request in portal.server.requests().iter().skip(n_before).filter(|request| request.path.contains(PATH)) {
        let page = request.query.split('&').find_map(|parameter| parameter.strip_prefix("page="));
        *counts.entry(page.map_or(1, |page| page.parse().unwrap())).or_default() += 1;
    }
    counts
}

/// Asserts that no page was requested more often than the kept pages allow: in each fetch, page 1 at the start, and the
/// pages that were in flight, or being kept, when the fetch before it ended; page 1 once more at the end.
fn assert_asked_once(requested: &BTreeMap<usize, usize>, n_fetches: usize, in_flight: usize, what: &dyn Debug) {
    let first = requested[&1];
    assert!(first <= n_fetches + 1, "page 1 was requested {first} times in {n_fetches} fetches, {what:?}");
    let again: usize = requested.iter().filter(|(page, _)| **page > 1).map(|(_, n)| n - 1).sum();
    // Half as many again may have arrived and not been kept yet, and the one that is due.
    let allowed = (n_fetches - 1) * (in_flight + in_flight.div_ceil(2) + 1);
    assert!(again <= allowed, "{again} requests were repeated, {allowed} may be: {requested:?}, {what:?}");
}

/// Starts a run, and kills it after the portal has received `n_requests` more requests for data. Returns whether the
/// kill ended it.
fn kill(lake: &TestLake, portal: &TestPortal, n_requests: usize) -> bool {
    kill_with(lake, portal, n_requests, &[])
}

fn kill_with(lake: &TestLake, portal: &TestPortal, n_requests: usize, arguments: &[&str]) -> bool {
    let origin = portal.origin();
    let mut command = rollcall(&["run", "--lake", lake.path().to_str().unwrap(), "--portal", &origin]);
    command.args(["--years", "2020", "--grades", "grade-pk"]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = portal.start_and_await_requests(&mut command, n_requests);
    child.0.kill().unwrap();
    !child.0.wait().unwrap().success()
}

fn finish(lake: &TestLake, portal: &TestPortal) -> Value {
    lake.run(portal, &["--years", "2020", "--grades", "grade-pk", "--format", "json"]).expect(0).json()
}

fn object(lake: &TestLake) -> Vec<u8> {
    lake.files("data")[&format!("{ENROLLMENT}/{OBJECT}")].0.clone()
}

#[test]
fn l11_a_killed_run_is_continued_by_the_next_without_asking_for_its_pages_again() {
    let mut random = Rng::with_seed(number_from_env("ROLLCALL_SEED", 1));
    let portal = portal(N_PAGES, 300);
    let undisturbed = TestLake::new();
    assert_eq!(finish(&undisturbed, &portal)["outcomes"]["written"], 1);
    for _ in 0..number_from_env("ROLLCALL_RESUMES", 2) {
        let lake = TestLake::new();
        let n_before = portal.server.requests().len();
        let kills = [random.usize(1..40), random.usize(2..30)];
        let n_killed = kills.iter().filter(|n_requests| kill(&lake, &portal, **n_requests)).count();
        assert_eq!(n_killed, 2, "{kills:?}");
        assert_eq!(finish(&lake, &portal)["outcomes"]["written"], 1);
        assert_asked_once(&requested(&portal, n_before), 3, IN_FLIGHT, &kills);
        assert!(object(&lake) == object(&undisturbed), "the bytes differ after {kills:?}");
        assert!(lake.files("pages").is_empty(), "{:?}", lake.files("pages").keys());
    }
}

/// Guard: pages are kept if they would take two seconds or more. The pages of a portal that takes 50 ms a page were not kept.
#[test]
fn l11_a_partition_of_78_pages_is_continued_even_if_each_takes_only_50_ms() {
    let (portal, lake) = (portal(N_PAGES, 50), TestLake::new());
    assert!(kill(&lake, &portal, 20));
    assert_eq!(finish(&lake, &portal)["outcomes"]["written"], 1);
    let requested = requested(&portal, 0);
    assert_eq!(requested.len(), N_PAGES);
    assert_asked_once(&requested, 2, IN_FLIGHT, &"50 ms");
    assert!(lake.files("pages").is_empty());
}

#[test]
fn l11_a_partition_whose_source_changed_since_starts_over() {
    let mut random = Rng::with_seed(number_from_env("ROLLCALL_SEED", 1));
    let portal = portal(N_PAGES, 300);
    let set = |page| Action::SetField { row: Some(page), field: "enrollment".to_owned(), json: "77".to_owned() };
    let released = json!({"results": [{"version": "0.99.0", "release_date": "1/1/2027"}]}).to_string();
    let changes: [(&str, Vec<Fault>); 3] = [
        ("page 1", vec![Fault::new(set(3)).on_path(PATH)]),
        ("release", vec![Fault::new(Action::Body { text: released }).on_path("api-")]),
        // The last row is gone.
        (
            "count",
            vec![
                Fault::new(Action::CountAdd { delta: -1 }).on_path(PATH),
                Fault::new(Action::DropRow { index: 9 }).on_path(PATH).on_page(N_PAGES as u64),
            ],
        ),
    ];
    for (what, faults) in changes.iter().cycle().take(number_from_env("ROLLCALL_RESUMES", 3) as usize) {
        let (lake, expected) = (TestLake::new(), TestLake::new());
        portal.server.set_faults(faults.clone());
        finish(&expected, &portal);
        portal.server.set_faults(Vec::new());
        assert!(kill(&lake, &portal, random.usize(20..60)), "{what}");
        assert!(!lake.files("pages").is_empty(), "{what}");
        portal.server.set_faults(faults.clone());
        let n_before = portal.server.requests().len();
        finish(&lake, &portal);
        let requested = requested(&portal, n_before);
        assert_eq!(requested.len(), N_PAGES, "{what}: {requested:?}");
        assert!(object(&lake) == object(&expected), "{what}");
    }
}

/// Guard: a call keeps its pages. A partition of 78 or 247 pages does not fit into one call if the portal is slow.
#[test]
fn l11_a_partition_that_takes_longer_than_the_function_may_run_is_continued_call_after_call() {
    let mut random = Rng::with_seed(number_from_env("ROLLCALL_SEED", 1));
    // In the two seconds that a call has, it receives at most 80 pages.
    let n_pages = 330;
    let stack = Stack::deploy_before(portal(n_pages, 200));
    let undisturbed = TestLake::new();
    assert_eq!(finish(&undisturbed, &stack.portal)["outcomes"]["written"], 1);
    // Ten seconds of it are reserved.
    stack.limit("page-fetch", Duration::from_secs(12));
    let n_rounds = number_from_env("ROLLCALL_RESUMES", 1);
    for round in 0..=n_rounds {
        stack.empty();
        let n_before = stack.portal.server.requests().len();
        let n_kills = if round == 0 { 0 } else { 2 };
        let run = stack.start(&format!("resumed-{round}"), &json!({"years": [2020], "grades": ["grade-pk"]}));
        for _ in 0..n_kills {
            let n_now = stack.portal.server.requests().len();
            let n_more = random.usize(5..60);
            stack.poll(&"requests", || (stack.portal.server.requests().len() >= n_now + n_more).then_some(()));
            stack.kill("page-fetch");
        }
        let _ = stack.end_successfully(&run);
        let asked = requested(&stack.portal, n_before);
        let n_fetches = asked[&1] - 1;
        println!("{n_kills} kills: {n_fetches} calls, {} requests", asked.values().sum::<usize>());
        assert!(n_fetches >= 5, "{n_fetches} calls");
        assert_eq!(asked.len(), n_pages);
        assert_asked_once(&asked, n_fetches, IN_FLIGHT, &round);
        let found = stack.read(&format!("{ENROLLMENT}/{OBJECT}"));
        assert!(found == object(&undisturbed), "the bytes differ in round {round}");
        assert!(stack.objects("pages/").is_empty());
    }
}

#[test]
fn l11_a_partition_is_encoded_again_from_kept_pages_without_a_request_and_with_equal_bytes() {
    let portal = portal(20, 50);
    let arguments = ["--years", "2020", "--grades", "grade-pk", "--keep-pages", "--format", "json"];
    let lake = TestLake::new();
    // Some of the pages come from a run that was killed.
    assert!(kill_with(&lake, &portal, 10, &["--keep-pages"]));
    assert_eq!(lake.run(&portal, &arguments).expect(0).json()["outcomes"]["written"], 1);
    let (written, pages) = (object(&lake), lake.files("pages"));
    assert_eq!(pages.len(), 21, "{:?}", pages.keys());
    let n_requests = portal.server.requests().len();
    let file = lake.path().join(ENROLLMENT).join(OBJECT);
    for (is_there, outcome) in [(true, "1 unchanged"), (false, "1 written")] {
        if !is_there {
            std::fs::remove_file(&file).unwrap();
        }
        let repaired = lake.rollcall("repair", &["--from-pages"]).expect(0);
        assert!(repaired.stdout.contains(&format!("from pages: {outcome}\n")), "{}", repaired.stdout);
        assert_eq!(repaired.stderr, "");
        assert!(object(&lake) == written, "the bytes differ");
    }
    assert_eq!(portal.server.requests().len(), n_requests);
    // Without a page, nothing can be written, and the user is told why.
    let page = pages.keys().find(|key| key.contains("/00007-")).unwrap();
    std::fs::remove_file(lake.path().join(page)).unwrap();
    let repaired = lake.rollcall("repair", &["--from-pages"]).expect(0);
    let reason = "expected 20 pages, found 1 missing: 7\n";
    assert!(repaired.stderr.ends_with(reason) && !repaired.stdout.contains("from pages"), "{}", repaired.stderr);
}

/// Guard: the fetches of all calls are counted in the lake, since each call of a large partition has retries of its own.
/// The first call makes progress beside the page that never arrives, so the retries start anew with the second.
#[test]
fn l11_a_page_that_never_arrives_is_requested_by_at_most_three_fetches_of_all_calls() {
    let stack = Stack::deploy_before(portal(330, 50));
    let stalls = Action::Delay { ms: 600_000 };
    stack.portal.server.set_faults(vec![Fault::new(stalls).on_path(PATH).on_page(40)]);
    stack.limit("page-fetch", Duration::from_secs(12));
    let ended = stack.run("stalled", &json!({"years": [2020], "grades": ["grade-pk"]}));
    assert!(ended.cause.contains("year=2020/grade=grade-pk (PortalUnavailable)"), "{}", ended.cause);
    let asked = requested(&stack.portal, 0);
    assert_eq!(asked[&40], 3, "{asked:?}");
}
