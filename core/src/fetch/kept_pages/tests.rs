//! Tests of `kept_pages`.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use futures::FutureExt;
use futures::executor::block_on;
use jiff::SignedDuration;
use url::Url;

use super::page_set::compress;
use super::*;
use crate::fetch::run_facts::Keep;
use crate::fetch::{Fetched, encode_kept_pages, fetch_partition};
use crate::ledger::{Outcome, Receipt};
use crate::ports::clock::Clock;
use crate::ports::portal::{PageRequest, Portal, Reading, Response};
use crate::testing::{
    CannedPages, MemoryStore, NOW, StandingClock, enrollment, next_turn, page, pages, partition, row, run_facts, time,
};

const KEY: &str = "data/us_education_ccd_enrollment_data/year=2021/grade=grade-pk/part-00000.parquet";

/// A portal whose time is over after a number of requests. Page 1 arrives at `received_at`, and each later request a
/// second later.
struct Brief {
    pages: CannedPages,
    n_allowed: usize,
    error: fn() -> PortalError,
    n_skipped: AtomicUsize,
}

impl Brief {
    fn new(bodies: Vec<String>, n_allowed: usize) -> Self {
        let error = || PortalError::Deadline { tries: 1 };
        Self { pages: CannedPages::new(bodies), n_allowed, error, n_skipped: AtomicUsize::new(0) }
    }

    fn requested(&self) -> Vec<u32> {
        self.pages.requested.lock().unwrap().clone()
    }
}

impl Portal for Brief {
    fn root(&self) -> &Url {
        self.pages.root()
    }

    fn metered(&self) -> Metered {
        Metered { n_requests: self.requested().len() as u64, ..Metered::default() }
    }

    fn skip_page(&self) {
        self.n_skipped.fetch_add(1, Relaxed);
    }

    async fn get<T: Send + 'static>(
        &self,
        path: &str,
        page: u32,
        request: PageRequest,
        read: impl Fn(&Bytes) -> Reading<T> + Send + Sync + 'static,
    ) -> Result<Response<T>, PortalError> {
        let n_requests = self.requested().len();
        if n_requests >= self.n_allowed {
            self.pages.requested.lock().unwrap().push(page);
            return Err((self.error)());
        }
        let response = self.pages.get(path, page, request, read).await?;
        let received_at = response.received_at + SignedDuration::from_secs(n_requests as i64);
        Ok(Response { received_at, ..response })
    }
}

fn rows(n_rows: u64) -> Vec<String> {
    (1..=n_rows).map(|school| row(school, "5")).collect()
}

/// Thirty rows on ten pages.
fn ten_pages() -> Vec<String> {
    pages(&rows(30), 3)
}

fn facts(run: &str) -> RunFacts {
    let keep = Keep { from_pages: 5, from_duration: SignedDuration::ZERO, after_commit: false, is_only_run: false };
    RunFacts { portal_release: Some("0.26.1".into()), keep, ..run_facts(run) }
}

fn fetch(store: &MemoryStore, portal: &Brief, facts: &RunFacts) -> Result<Fetched, Error> {
    block_on(fetch_partition(portal, store, &StandingClock, &enrollment(), &partition(), facts))
}

/// Returns the objects of all sets.
fn sets(store: &MemoryStore) -> Vec<String> {
    store.keys("pages/").into_iter().filter(|key| !key.contains("/fetches/")).collect()
}

/// Returns the objects of a run's sets.
fn of_run(store: &MemoryStore, run: &str) -> Vec<String> {
    sets(store).into_iter().filter(|key| key.contains(&format!("/{run}/"))).collect()
}

/// Fetches with so little time that the fetch is unfinished.
fn begin(store: &MemoryStore, bodies: Vec<String>, n_allowed: usize, facts: &RunFacts) -> Progress {
    match fetch(store, &Brief::new(bodies, n_allowed), facts) {
        Ok(Fetched::Unfinished { progress, .. }) => progress,
        other => panic!("expected an unfinished fetch, found {other:?}"),
    }
}

/// Fetches with enough time. Returns the requested pages.
fn finish(store: &MemoryStore, bodies: Vec<String>, facts: &RunFacts) -> Vec<u32> {
    let portal = Brief::new(bodies, usize::MAX);
    let receipt = fetch(store, &portal, facts).unwrap().receipt().unwrap();
    assert_eq!(receipt.outcome, Outcome::Written);
    portal.requested()
}

#[test]
fn a_portal_learns_of_the_pages_that_it_need_not_send() {
    let (store, facts) = (MemoryStore::default(), facts("r1"));
    let progress = begin(&store, ten_pages(), 6, &facts);
    let portal = Brief::new(ten_pages(), usize::MAX);
    let receipt = fetch(&store, &portal, &facts).unwrap().receipt().unwrap();
    assert_eq!((progress.n_kept, receipt.n_pages), (5, 10));
    // Page 1 is requested first and last, and is not kept.
    assert_eq!((portal.n_skipped.load(Relaxed), portal.requested().len()), (5, 6));
}

#[test]
fn a_receipt_says_what_all_fetches_of_its_run_cost() {
    let (store, facts) = (MemoryStore::default(), facts("r1"));
    let unfinished = fetch(&store, &Brief::new(ten_pages(), 6), &facts);
    let Ok(Fetched::Unfinished { cost, .. }) = unfinished else { panic!("found {unfinished:?}") };
    assert_eq!(cost.n_requests, 7);
    let unavailable = || PortalError::Refused { status: 404, excerpt: String::new() };
    let failing = Brief { error: unavailable, ..Brief::new(ten_pages(), 3) };
    assert!(fetch(&store, &failing, &facts).is_err());
    let key = keys::receipt(&enrollment(), "r1", &partition());
    let failed: Receipt = serde_json::from_slice(&store.bytes(&key).unwrap()).unwrap();
    assert_eq!(failed.cost.n_requests, 7 + failing.requested().len() as u64);
    let portal = Brief::new(ten_pages(), usize::MAX);
    let receipt = fetch(&store, &portal, &facts).unwrap().receipt().unwrap();
    assert_eq!(receipt.cost.n_requests, failed.cost.n_requests + portal.requested().len() as u64);
    // Another run counts its own.
    let again = Brief::new(ten_pages(), usize::MAX);
    let receipt = fetch(&store, &again, &self::facts("r2")).unwrap().receipt().unwrap();
    assert_eq!(receipt.cost.n_requests, again.requested().len() as u64);
}

#[test]
fn a_receipt_of_a_fetch_that_kept_no_page_says_it_too() {
    let (store, facts) = (MemoryStore::default(), facts("r1"));
    begin(&store, ten_pages(), 6, &facts);
    let cost = || {
        let key = keys::receipt(&enrollment(), "r1", &partition());
        serde_json::from_slice::<Receipt>(&store.bytes(&key).unwrap()).unwrap().cost.n_requests
    };
    // The partition's object cannot be inspected.
    store.refuses_look.lock().unwrap().insert(KEY.to_owned());
    let unused = Brief::new(ten_pages(), usize::MAX);
    assert_eq!(fetch(&store, &unused, &facts).unwrap_err().name(), "StoreFailed");
    assert_eq!((unused.requested().len(), cost()), (0, 7));
    store.refuses_look.lock().unwrap().clear();
    // Page 1 does not arrive.
    let unavailable = || PortalError::Refused { status: 404, excerpt: String::new() };
    for expected in [8, 9, 10] {
        let failing = Brief { error: unavailable, ..Brief::new(ten_pages(), 0) };
        assert_eq!(fetch(&store, &failing, &facts).unwrap_err().name(), "PortalRefused");
        assert_eq!(cost(), expected);
    }
    // As many fetches as allowed have failed, which is known once page 1 has arrived.
    for expected in [11, 12] {
        let error = fetch(&store, &Brief::new(ten_pages(), usize::MAX), &facts).unwrap_err();
        assert!(matches!(error, Error::PortalUnavailable { source: PortalError::UsedUp { .. }, .. }), "{error:?}");
        assert_eq!(cost(), expected);
    }
}

#[test]
fn an_unfinished_partition_continues_where_it_ended_and_leaves_the_same_bytes() {
    let (store, undisturbed) = (MemoryStore::default(), MemoryStore::default());
    assert_eq!(begin(&store, ten_pages(), 4, &facts("r1")), Progress { n_kept: 3, n_pages: 10 });
    assert_eq!(store.keys("data/"), Vec::<String>::new());
    assert_eq!(store.keys("ledger/"), Vec::<String>::new());
    assert_eq!(begin(&store, ten_pages(), 3, &facts("r1")), Progress { n_kept: 5, n_pages: 10 });
    assert_eq!(finish(&store, ten_pages(), &facts("r1")), [1, 7, 8, 9, 10, 1]);
    finish(&undisturbed, ten_pages(), &facts("r1"));
    assert_eq!(store.bytes(KEY), undisturbed.bytes(KEY));
    assert_eq!(store.keys("pages/"), Vec::<String>::new());
}

#[test]
fn an_object_is_as_old_as_its_oldest_page() {
    let store = MemoryStore::default();
    begin(&store, ten_pages(), 4, &facts("r1"));
    // Page 1 is received again an hour later.
    let mut later = Brief::new(ten_pages(), usize::MAX);
    later.pages.received_at = time(NOW) + SignedDuration::from_hours(1);
    fetch(&store, &later, &facts("r1")).unwrap();
    assert_eq!(store.stamp(KEY).unwrap().fetched_at, time(NOW) + SignedDuration::from_secs(1));
}

#[test]
fn a_later_run_takes_over_the_pages_of_an_earlier_one_and_deletes_both_sets() {
    let store = MemoryStore::default();
    begin(&store, ten_pages(), 4, &facts("r1"));
    assert_eq!(begin(&store, ten_pages(), 3, &facts("r2")), Progress { n_kept: 5, n_pages: 10 });
    // What the first run keeps from now on is its own.
    let first = of_run(&store, "r1").len();
    begin(&store, ten_pages(), 5, &facts("r1"));
    assert_eq!(of_run(&store, "r1").len(), first + 4);
    assert_eq!(finish(&store, ten_pages(), &facts("r2")), [1, 7, 8, 9, 10, 1]);
    // Nobody finds the object again that the first run's newest four pages were to replace.
    assert_eq!(sets(&store), Vec::<String>::new());
}

#[test]
fn pages_of_another_day_are_requested_again() {
    let store = MemoryStore::default();
    begin(&store, ten_pages(), 4, &facts("r1"));
    let mut next_day = Brief::new(ten_pages(), usize::MAX);
    next_day.pages.received_at = time(NOW) + SignedDuration::from_hours(25);
    fetch(&store, &next_day, &facts("r2")).unwrap();
    assert_eq!(next_day.requested(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1]);
}

#[test]
fn a_partition_starts_over_when_its_count_page_1_release_or_object_has_changed() {
    let changed_row = |at: usize| {
        let mut rows = rows(30);
        rows[at] = row(at as u64 + 1, "6");
        pages(&rows, 3)
    };
    let other_release = RunFacts { portal_release: Some("0.26.2".into()), ..facts("r1") };
    let all: Vec<u32> = (1..=10).chain([1]).collect();
    for (what, bodies, facts, expected) in [
        ("count", pages(&rows(31), 3), facts("r1"), (1..=11).chain([1]).collect()),
        ("page 1", changed_row(0), facts("r1"), all.clone()),
        ("page length", pages(&rows(30), 5), facts("r1"), vec![1, 2, 3, 4, 5, 6, 1]),
        ("release", ten_pages(), other_release, all.clone()),
        // This change shows nowhere, so the kept page 3 is used.
        ("page 3", changed_row(7), facts("r1"), vec![1, 5, 6, 7, 8, 9, 10, 1]),
    ] {
        let store = MemoryStore::default();
        begin(&store, ten_pages(), 4, &super::tests::facts("r1"));
        assert_eq!(finish(&store, bodies, &facts), expected, "{what}");
    }
    let store = MemoryStore::default();
    begin(&store, ten_pages(), 4, &facts("r1"));
    finish(&store, pages(&rows(20), 20), &facts("r2"));
    assert_eq!(finish(&store, ten_pages(), &facts("r1")), all, "object");
}

#[test]
fn a_page_that_fails_a_check_is_not_kept_and_an_error_about_rows_deletes_the_set() {
    // The last page has a row too few.
    let store = MemoryStore::default();
    let mut short = ten_pages();
    short[9] = page(30, None, &rows(30)[27..29]);
    assert_eq!(fetch(&store, &Brief::new(short, usize::MAX), &facts("r1")).unwrap_err().name(), "CountMismatch");
    assert_eq!(sets(&store), Vec::<String>::new());
    // A key on two pages is found only at the end.
    let mut twice = rows(30);
    twice[29] = twice[0].clone();
    let portal = Brief::new(pages(&twice, 3), usize::MAX);
    assert_eq!(fetch(&store, &portal, &facts("r1")).unwrap_err().name(), "DuplicateKey");
    assert_eq!(sets(&store), Vec::<String>::new());
    assert_eq!(finish(&store, ten_pages(), &facts("r1")).len(), 11);
}

#[test]
fn pages_that_an_error_about_rows_could_not_delete_are_not_used_by_the_same_run() {
    let store = MemoryStore::default();
    let mut twice = rows(30);
    twice[29] = twice[0].clone();
    // Only the description is deleted.
    *store.deletes_left.lock().unwrap() = Some(1);
    let portal = Brief::new(pages(&twice, 3), usize::MAX);
    assert_eq!(fetch(&store, &portal, &facts("r1")).unwrap_err().name(), "DuplicateKey");
    assert_eq!(of_run(&store, "r1").len(), 9);
    // The next fetch must not describe them again.
    *store.deletes_left.lock().unwrap() = Some(0);
    assert_eq!(fetch(&store, &portal, &facts("r1")).unwrap_err().name(), "StoreFailed");
    assert!(!of_run(&store, "r1").iter().any(|key| key.ends_with("set.json")));
    *store.deletes_left.lock().unwrap() = None;
    assert_eq!(begin(&store, ten_pages(), 4, &facts("r1")), Progress { n_kept: 3, n_pages: 10 });
    assert_eq!(of_run(&store, "r1").len(), 4);
}

#[test]
fn pages_stay_when_the_portal_fails_or_the_run_is_interrupted() {
    for error in [|| PortalError::Interrupted, || PortalError::Refused { status: 404, excerpt: String::new() }] {
        let store = MemoryStore::default();
        let portal = Brief { error, ..Brief::new(ten_pages(), 6) };
        fetch(&store, &portal, &facts("r1")).unwrap_err();
        assert_eq!(finish(&store, ten_pages(), &facts("r2")), [1, 7, 8, 9, 10, 1]);
    }
}

#[test]
fn a_fetch_without_progress_fails() {
    let store = MemoryStore::default();
    begin(&store, ten_pages(), 4, &facts("r1"));
    assert_eq!(fetch(&store, &Brief::new(ten_pages(), 1), &facts("r1")).unwrap_err().name(), "DeadlineExceeded");
    // Every fetch requests page 1, so keeping it is no progress.
    let keeps = RunFacts { keep: Keep { after_commit: true, ..Keep::default() }, ..facts("r2") };
    assert_eq!(fetch(&store, &Brief::new(ten_pages(), 1), &keeps).unwrap_err().name(), "DeadlineExceeded");
    assert!(of_run(&store, "r2").iter().any(|key| key.contains("/00001-")));
}

#[test]
fn a1_a_page_is_requested_by_at_most_three_fetches_of_a_run() {
    let store = MemoryStore::default();
    begin(&store, ten_pages(), 4, &facts("r1"));
    let mut last_failure = String::new();
    for expected in ["DeadlineExceeded", "DeadlineExceeded", "PortalUnavailable", "PortalUnavailable"] {
        let portal = Brief::new(ten_pages(), 1);
        let error = fetch(&store, &portal, &facts("r1")).unwrap_err();
        assert_eq!(error.name(), expected);
        let is_used_up = expected == "PortalUnavailable";
        assert_eq!(portal.requested().contains(&5), !is_used_up);
        // The failure that came before stays the cause: the message does not quote itself.
        if is_used_up {
            let chain = error.chain();
            let (used, cause) = chain.split_once("; the last fetch ended with: ").unwrap();
            assert_eq!((used.ends_with("are used"), cause), (true, last_failure.as_str()));
        } else {
            last_failure = error.chain();
        }
    }
    // Another run has requests of its own.
    assert_eq!(finish(&store, ten_pages(), &facts("r2")), [1, 5, 6, 7, 8, 9, 10, 1]);
}

/// A clock that advances with every look.
#[derive(Default)]
struct Ticking(AtomicU32);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        time(NOW) - SignedDuration::from_secs(60) + SignedDuration::from_millis(self.0.fetch_add(1, Relaxed).into())
    }
}

/// A portal that never serves the last page.
struct Stuck(CannedPages);

impl Portal for Stuck {
    fn root(&self) -> &Url {
        self.0.root()
    }

    async fn get<T: Send + 'static>(
        &self,
        path: &str,
        page: u32,
        request: PageRequest,
        read: impl Fn(&Bytes) -> Reading<T> + Send + Sync + 'static,
    ) -> Result<Response<T>, PortalError> {
        let response = self.0.get(path, page, request, read).await;
        if page == 10 { std::future::pending().await } else { response }
    }
}

#[test]
fn a1_a_killed_fetch_counts_as_one_of_three_whatever_became_of_its_pages() {
    let (store, clock, run) = (MemoryStore::default(), Ticking::default(), facts("r1"));
    let (dataset, partition) = (enrollment(), partition());
    for n_rows in [30, 29, 28] {
        let portal = Stuck(CannedPages::new(pages(&rows(n_rows), 3)));
        let fetched = fetch_partition(&portal, &store, &clock, &dataset, &partition, &run).now_or_never();
        assert!(fetched.is_none());
        assert!(portal.0.requested.lock().unwrap().contains(&10));
    }
    for _ in 0..2 {
        let portal = Brief::new(ten_pages(), usize::MAX);
        let error = block_on(fetch_partition(&portal, &store, &clock, &dataset, &partition, &run)).unwrap_err();
        assert_eq!(
            error.chain(),
            "fetch page 2 of `year=2021/grade=grade-pk`: portal unavailable: page must be requested again, but all 12 \
             requests for it are used; the last fetch ended with: killed"
        );
        assert_eq!(portal.requested(), [1]);
    }
    // Another run has requests of its own.
    finish(&store, ten_pages(), &facts("r2"));
}

#[test]
fn a1_a_page_is_requested_by_at_most_three_fetches_of_a_run_whose_source_changes_every_time() {
    let store = MemoryStore::default();
    for n_rows in [30, 29, 28] {
        begin(&store, pages(&rows(n_rows), 3), 4, &facts("r1"));
        assert_eq!(of_run(&store, "r1").len(), 4, "the pages of the earlier version are deleted");
    }
    let portal = Brief::new(pages(&rows(30), 3), usize::MAX);
    assert_eq!(fetch(&store, &portal, &facts("r1")).unwrap_err().name(), "PortalUnavailable");
    assert!(!portal.requested().contains(&2), "{:?}", portal.requested());
    finish(&store, ten_pages(), &facts("r2"));
}

#[test]
fn a1_fetches_that_fail_before_pages_are_kept_count_too() {
    let store = MemoryStore::default();
    let quick = Keep { from_pages: 5, from_duration: SignedDuration::from_hours(1), ..Keep::default() };
    let quick = RunFacts { keep: quick, ..facts("r1") };
    for n_failed in 1..=3 {
        let portal =
            Brief { error: || PortalError::UsedUp { n_requests: 4, last_failure: None }, ..Brief::new(ten_pages(), 2) };
        fetch(&store, &portal, &quick).unwrap_err();
        assert!(store.keys("pages/").iter().any(|key| key.ends_with("/fetches/r1.json")), "{n_failed}");
    }
    let portal = Brief::new(ten_pages(), usize::MAX);
    assert_eq!(fetch(&store, &portal, &quick).unwrap_err().name(), "PortalUnavailable");
    assert_eq!(portal.requested(), [1]);
    // A failed page 1 counts once the run has kept pages, and is all that a fetch of a small partition requests.
    let (small, large) = (MemoryStore::default(), MemoryStore::default());
    let unavailable = Brief {
        error: || PortalError::Status { status: 503, tries: 4, excerpt: String::new() },
        ..Brief::new(ten_pages(), 0)
    };
    fetch(&small, &unavailable, &facts("r1")).unwrap_err();
    assert_eq!(small.keys("pages/"), Vec::<String>::new());
    begin(&large, ten_pages(), 4, &facts("r1"));
    for _ in 0..3 {
        fetch(&large, &unavailable, &facts("r1")).unwrap_err();
    }
    assert_eq!(
        fetch(&large, &Brief::new(ten_pages(), usize::MAX), &facts("r1")).unwrap_err().name(),
        "PortalUnavailable"
    );
}

#[test]
fn a1_a_fetch_that_fails_after_it_was_counted_as_begun_does_not_count_as_killed_too() {
    let (store, clock, run) = (MemoryStore::default(), Ticking::default(), facts("r1"));
    let (dataset, partition) = (enrollment(), partition());
    let fetch = || {
        let portal = Brief::new(ten_pages(), usize::MAX);
        block_on(fetch_partition(&portal, &store, &clock, &dataset, &partition, &run))
    };
    *store.refuses_write.lock().unwrap() = Some("set.json");
    for _ in 0..2 {
        assert_eq!(fetch().unwrap_err().name(), "StoreFailed");
    }
    *store.refuses_write.lock().unwrap() = None;
    fetch().unwrap().receipt().unwrap();
}

/// Otherwise two kills would use up every page that is in flight when a later call ends.
#[test]
fn a1_a_killed_fetch_does_not_count_for_pages_that_it_cannot_have_requested() {
    let (store, clock, run) = (MemoryStore::default(), Ticking::default(), facts("r1"));
    let (dataset, partition) = (enrollment(), partition());
    for _ in 0..2 {
        let portal = Stuck(CannedPages::new(pages(&rows(90), 3)));
        assert!(fetch_partition(&portal, &store, &clock, &dataset, &partition, &run).now_or_never().is_none());
    }
    for n_allowed in [10, 3, 3] {
        let portal = Brief::new(pages(&rows(90), 3), n_allowed);
        let fetched = block_on(fetch_partition(&portal, &store, &clock, &dataset, &partition, &run));
        assert!(matches!(fetched, Ok(Fetched::Unfinished { .. })), "{fetched:?}");
    }
    let portal = Brief::new(pages(&rows(90), 3), usize::MAX);
    block_on(fetch_partition(&portal, &store, &clock, &dataset, &partition, &run)).unwrap().receipt().unwrap();
}

#[test]
fn a_count_survives_lost_responses_and_fetches_that_were_presumed_dead() {
    let (store, key) = (MemoryStore::default(), "pages/count.json");
    let at = |seconds| time(NOW) + SignedDuration::from_secs(seconds);
    let begin =
        |seconds| block_on(FetchCount::begin(&store, key, Begun { at: at(seconds), n_pages: 2 }, None)).unwrap();
    *store.loses_response.lock().unwrap() = true;
    let first = begin(1);
    assert!(!first.is_page_used_up(2));
    // Its result comes after the next fetch has counted it as killed.
    begin(2);
    block_on(first.end(&store, &BTreeSet::from([2]), Metered::default(), None)).unwrap();
    let third = begin(3);
    assert!(!third.is_page_used_up(2) && third.last_failure() == Some("killed"));
    block_on(third.end(&store, &BTreeSet::from([3]), Metered::default(), Some("busy".to_owned()))).unwrap();
    let fourth = begin(4);
    assert!(fourth.is_used_up() && !fourth.is_page_used_up(2) && fourth.last_failure() == Some("busy"));
}

#[test]
fn a_count_that_cannot_be_parsed_fails_the_partition_before_page_2_and_is_named() {
    let store = MemoryStore::default();
    begin(&store, ten_pages(), 4, &facts("r1"));
    let count = store.keys("pages/").into_iter().find(|key| key.contains("/fetches/")).unwrap();
    store.set(&count, b"{", None);
    let portal = Brief::new(ten_pages(), usize::MAX);
    let error = fetch(&store, &portal, &facts("r1")).unwrap_err();
    assert_eq!(
        error.chain(),
        format!("read `{count}` in the lake: parse count of fetches: EOF while parsing an object at line 1 column 1")
    );
    assert_eq!(portal.requested(), [1]);
    assert_eq!(store.bytes(&count).unwrap(), "{");
}

#[test]
fn a1_a_failure_before_pages_are_kept_is_counted_once_even_if_another_fetch_is_counted_first() {
    let (key, at) = ("pages/count.json", time(NOW));
    // Another fetch begins before each of these writes. Only after four conflicts is the failure not counted.
    for (n_conflicts, loses_response) in [(0, false), (0, true), (1, false), (2, true), (3, false), (4, false)] {
        let store = MemoryStore::default();
        *store.loses_response.lock().unwrap() = loses_response;
        for _ in 0..n_conflicts {
            let other = r#"{"n_failed": 0, "requested": {}, "begun": {"at": "2026-01-01T00:00:00Z", "n_pages": 2}}"#;
            store.before_next(Box::new(|store| store.set(key, other.as_bytes(), None)));
        }
        let counted = block_on(count_failure(
            &store,
            key,
            at,
            true,
            (&BTreeSet::from([2]), Metered::default()),
            "busy".to_owned(),
        ));
        assert_eq!(counted.err().map(|error| error.name()), (n_conflicts == 4).then_some("WriteConflict"));
        let stored: serde_json::Value = serde_json::from_slice(&store.bytes(key).unwrap()).unwrap();
        let n_counted = u32::from(n_conflicts < 4);
        assert_eq!((&stored["n_failed"], stored["requested"]["2"].is_u64()), (&n_counted.into(), n_counted == 1));
        assert_eq!(stored.get("begun").is_some(), n_conflicts > 0);
    }
}

#[test]
fn sets_that_are_of_no_use_any_more_are_deleted() {
    /// Fetches with little time. Page 1 arrives half an hour after the fetch has started.
    fn begin(store: &MemoryStore, hours: i64, n_rows: u64, n_allowed: usize, facts: &RunFacts) {
        let mut portal = Brief::new(pages(&rows(n_rows), 3), n_allowed);
        portal.pages.received_at = time(NOW) + SignedDuration::from_hours(hours);
        let clock = Fixed(portal.pages.received_at - SignedDuration::from_mins(30));
        let (dataset, partition) = (enrollment(), partition());
        let fetched = block_on(fetch_partition(&portal, store, &clock, &dataset, &partition, facts));
        assert!(matches!(fetched, Ok(Fetched::Unfinished { .. })), "{fetched:?}");
    }
    let store = MemoryStore::default();
    let n_of = |runs: &[&str]| runs.iter().map(|run| of_run(&store, run).len()).collect::<Vec<_>>();
    // The source changes.
    begin(&store, 0, 30, 4, &facts("r1"));
    begin(&store, 1, 29, 4, &facts("r2"));
    assert_eq!(n_of(&["r1", "r2"]), [0, 4]);
    // It changes back. The other run may have seen the newer version, unless it is over.
    begin(&store, 1, 30, 4, &facts("r3"));
    assert_eq!(n_of(&["r2", "r3"]), [4, 4]);
    let only = RunFacts { keep: Keep { is_only_run: true, ..facts("").keep }, ..facts("r4") };
    begin(&store, 1, 30, 2, &only);
    assert_eq!(n_of(&["r2", "r3", "r4"]), [0, 4, 2]);
    assert_eq!(store.keys("pages/").iter().filter(|key| key.contains("/fetches/")).count(), 0);
    // The other release may be the newer one, but after a day its pages are not used any more.
    let released = |run| RunFacts { portal_release: Some("0.27".into()), ..facts(run) };
    begin(&store, 3, 30, 4, &released("r5"));
    assert_eq!(n_of(&["r3", "r4", "r5"]), [4, 2, 4]);
    begin(&store, 26, 30, 2, &released("r6"));
    assert_eq!(n_of(&["r3", "r4", "r5", "r6"]), [0, 0, 4, 2]);
    // Young pages of a run stay, with their description.
    begin(&store, 26, 30, 3, &released("r5"));
    begin(&store, 28, 30, 2, &released("r7"));
    assert_eq!(n_of(&["r5", "r6", "r7"]), [3, 2, 2]);
    // What is left of a set without its description is deleted.
    for run in ["r5", "r6"] {
        store.drop_object(of_run(&store, run).iter().find(|key| key.ends_with("set.json")).unwrap());
    }
    begin(&store, 29, 30, 2, &released("r7"));
    assert_eq!(n_of(&["r5", "r6", "r7"]), [0, 0, 3]);
}

/// A clock that stands still at this time.
struct Fixed(Timestamp);

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        self.0
    }
}

#[test]
fn a_damaged_or_missing_kept_page_is_requested_again() {
    let store = MemoryStore::default();
    begin(&store, ten_pages(), 6, &facts("r1"));
    let kept = |page: &str| store.keys("pages/").into_iter().find(|key| key.contains(&format!("/{page}-"))).unwrap();
    let whole = store.bytes(&kept("00003")).unwrap();
    let mut flipped = whole.to_vec();
    flipped[whole.len() / 2] ^= 1;
    store.set(&kept("00003"), &flipped, None);
    store.set(&kept("00004"), &whole[..whole.len() - 1], None);
    store.gone_when_read.lock().unwrap().insert(kept("00005"));
    assert_eq!(finish(&store, ten_pages(), &facts("r1")), [1, 3, 4, 5, 7, 8, 9, 10, 1]);
}

#[test]
fn only_large_and_slow_partitions_are_kept() {
    let keeps = |from_pages, from_duration, seconds: i64| {
        let (store, mut portal) = (MemoryStore::default(), Brief::new(ten_pages(), 4));
        portal.pages.received_at = time(NOW) + SignedDuration::from_secs(seconds);
        let keep = Keep { from_pages, from_duration, ..Keep::default() };
        let _ = fetch(&store, &portal, &RunFacts { keep, ..facts("r1") });
        !sets(&store).is_empty()
    };
    let twenty = SignedDuration::from_secs(20);
    assert!(keeps(10, twenty, 2) && !keeps(11, twenty, 2) && !keeps(10, twenty, 1));
}

#[test]
fn pages_are_kept_as_soon_as_a_fetch_turns_out_to_be_slow() {
    let store = MemoryStore::default();
    // Page 1 arrives at once, and each later page after another second.
    let keep = Keep { from_pages: 10, from_duration: SignedDuration::from_secs(3), ..Keep::default() };
    let slow = |run| RunFacts { keep: keep.clone(), ..facts(run) };
    assert_eq!(begin(&store, ten_pages(), 8, &slow("r1")).n_pages, 10);
    let kept = of_run(&store, "r1");
    assert!(
        kept.iter().any(|key| key.contains("/00008-")) && !kept.iter().any(|key| key.contains("/00003-")),
        "{kept:?}"
    );
    let again = finish(&store, ten_pages(), &slow("r2"));
    assert!(again.contains(&2) && !again.contains(&8), "{again:?}");
}

#[test]
fn pages_stay_after_an_error_that_is_not_about_them() {
    let store = MemoryStore::default();
    finish(&store, ten_pages(), &facts("r1"));
    // Far fewer rows. With force, they are committed without being requested again.
    let fewer = || pages(&rows(12), 2);
    let error = fetch(&store, &Brief::new(fewer(), usize::MAX), &facts("r2")).unwrap_err();
    assert_eq!(error.name(), "ShrankTooMuch");
    assert_eq!(finish(&store, fewer(), &RunFacts { force: true, ..facts("r3") }), [1, 1]);
    // A page that is none was not kept.
    let mut bad = ten_pages();
    bad[6] = "<html>".to_owned();
    let error = fetch(&store, &Brief::new(bad, usize::MAX), &facts("r4")).unwrap_err();
    assert_eq!(error.name(), "BadBody");
    let requested = finish(&store, ten_pages(), &facts("r5"));
    assert!(requested.contains(&7) && requested.len() < 7, "{requested:?}");
}

#[test]
fn pages_that_stay_after_the_commit_are_complete_and_not_taken_over() {
    let store = MemoryStore::default();
    let keeps = |run| RunFacts { keep: Keep { after_commit: true, ..Keep::default() }, ..facts(run) };
    finish(&store, pages(&rows(3), 3), &keeps("r0"));
    assert_eq!(store.keys("pages/").len(), 2);
    finish(&store, ten_pages(), &keeps("r1"));
    assert_eq!(store.keys("pages/").iter().filter(|key| key.contains("/r1/")).count(), 11);
    let portal = Brief::new(ten_pages(), usize::MAX);
    // The second run's set is of the version that the third run finds.
    for facts in [keeps("r2"), facts("r3")] {
        let receipt = fetch(&store, &portal, &facts).unwrap().receipt().unwrap();
        assert_eq!((receipt.outcome, portal.requested().len() % 11), (Outcome::Unchanged, 0));
    }
    assert_eq!(portal.requested().len(), 22);
    for (run, n_objects) in [("/r1/", 11), ("/r2/", 11), ("/r3/", 0)] {
        assert_eq!(store.keys("pages/").iter().filter(|key| key.contains(run)).count(), n_objects, "{run}");
    }
}

#[test]
fn a_flipped_bit_anywhere_in_a_kept_page_is_noticed() {
    let (store, body) = (MemoryStore::default(), page(3, None, &rows(3)));
    let kept = compress(body.as_bytes()).unwrap();
    let page = KeptPage { key: "pages/x".to_owned(), received_at: time(NOW) };
    for bit in 0..8 * kept.len() {
        let mut flipped = kept.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        store.set(&page.key, &flipped, None);
        let read = block_on(page.read(&store)).unwrap();
        assert!(read.is_none_or(|read| read == body.as_bytes()), "bit {bit}");
    }
}

/// A portal whose time ends while page 2 is on its way, after page 3 has arrived.
struct Late(CannedPages);

impl Portal for Late {
    fn root(&self) -> &Url {
        self.0.root()
    }

    async fn get<T: Send + 'static>(
        &self,
        path: &str,
        page: u32,
        request: PageRequest,
        read: impl Fn(&Bytes) -> Reading<T> + Send + Sync + 'static,
    ) -> Result<Response<T>, PortalError> {
        if page == 2 {
            for _ in 0..5 {
                next_turn().await;
            }
            return Err(PortalError::Deadline { tries: 1 });
        }
        self.0.get(path, page, request, read).await
    }
}

#[test]
fn a_page_is_checked_before_it_is_kept_even_if_an_earlier_one_is_still_on_its_way() {
    let mut short = ten_pages();
    short[2] = page(30, Some(4), &rows(30)[6..8]);
    for (bodies, n_kept) in [(ten_pages(), 1), (short, 0)] {
        let store = MemoryStore::default();
        let (dataset, partition, run) = (enrollment(), partition(), facts("r1"));
        let portal = Late(CannedPages::new(bodies));
        let _ = block_on(fetch_partition(&portal, &store, &StandingClock, &dataset, &partition, &run));
        assert_eq!(store.keys("pages/").iter().filter(|key| key.ends_with(".zst")).count(), n_kept);
    }
}

#[test]
fn a_compressed_body_is_small_and_restored_exactly() {
    let body = page(1000, None, &rows(1000));
    let kept = compress(body.as_bytes()).unwrap();
    assert!(kept.len() * 10 < body.len(), "{} of {}", kept.len(), body.len());
    assert_eq!(zstd::bulk::decompress(&kept, 1 << 20).unwrap(), body.as_bytes());
}

#[test]
fn kept_pages_are_encoded_again_without_requests() {
    let store = MemoryStore::default();
    let keeps = |run| RunFacts { keep: Keep { after_commit: true, ..Keep::default() }, ..facts(run) };
    let mut dataset = enrollment();
    assert!(block_on(encode_kept_pages(&store, &dataset)).unwrap().encoded.is_empty());
    finish(&store, ten_pages(), &keeps("r1"));
    let (first, stamp) = (store.bytes(KEY), store.stamp(KEY).unwrap());
    let encode = |dataset: &Dataset| {
        let encoded = block_on(encode_kept_pages(&store, dataset)).unwrap();
        encoded.encoded.into_iter().map(|encoded| (encoded.partition, encoded.result.unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(encode(&dataset), [(partition(), Outcome::Unchanged)]);
    dataset.columns[0].dictionary = true;
    assert_eq!(encode(&dataset), [(partition(), Outcome::Rewritten)]);
    assert_ne!(store.bytes(KEY), first);
    assert_eq!(store.stamp(KEY).unwrap().fetched_at, stamp.fetched_at);
    store.drop_object(KEY);
    assert_eq!(encode(&enrollment()), [(partition(), Outcome::Written)]);
    assert_eq!(store.bytes(KEY), first);
    // A run that kept no pages has written since.
    let mut later = Brief::new(pages(&rows(31), 4), usize::MAX);
    later.pages.received_at = time(NOW) + SignedDuration::from_hours(1);
    fetch(&store, &later, &facts("r2")).unwrap();
    assert_eq!(encode(&enrollment()), [(partition(), Outcome::Superseded)]);
}

#[test]
fn pages_from_which_nothing_can_be_encoded_are_named_with_the_reason() {
    let store = MemoryStore::default();
    let keeps = |run| RunFacts { keep: Keep { after_commit: true, ..facts("").keep }, ..facts(run) };
    let skipped = || {
        let result = block_on(encode_kept_pages(&store, &enrollment())).unwrap();
        assert!(result.encoded.is_empty());
        result.skipped.into_iter().map(|skipped| format!("{}: {}", skipped.run, skipped.reason)).collect::<Vec<_>>()
    };
    begin(&store, ten_pages(), 4, &facts("r1"));
    assert_eq!(
        skipped(),
        ["r1: expected pages that stayed after the commit, found the partition not committed from them"]
    );
    // The run that takes these pages over keeps them.
    finish(&store, ten_pages(), &keeps("r2"));
    let result = block_on(encode_kept_pages(&store, &enrollment())).unwrap();
    assert!(result.skipped.is_empty() && result.encoded.len() == 1);
    for page in ["00002-", "00007-"] {
        store.drop_object(sets(&store).iter().find(|key| key.contains(page)).unwrap());
    }
    assert_eq!(skipped(), ["r2: expected 10 pages, found 2 missing: 2, 7"]);
    store.drop_object(of_run(&store, "r2").iter().find(|key| key.ends_with("set.json")).unwrap());
    let reason = "expected its description, found none that can be read";
    assert_eq!(skipped(), [format!("r1: {reason}"), format!("r2: {reason}")]);
}

#[test]
fn pages_that_a_run_took_over_and_keeps_are_not_taken_over_again() {
    let store = MemoryStore::default();
    let keeps = |run| RunFacts { keep: Keep { after_commit: true, ..facts("").keep }, ..facts(run) };
    finish(&store, ten_pages(), &facts("r1"));
    // The partition is up to date, so its version stays the same.
    begin(&store, ten_pages(), 4, &facts("r2"));
    let unchanged = |run: &RunFacts| {
        let portal = Brief::new(ten_pages(), usize::MAX);
        assert_eq!(fetch(&store, &portal, run).unwrap().receipt().unwrap().outcome, Outcome::Unchanged);
        portal.requested().len()
    };
    assert_eq!(unchanged(&keeps("r3")), 8);
    assert_eq!(unchanged(&facts("r4")), 11);
    let kept = sets(&store);
    assert_eq!((kept.len(), of_run(&store, "r2").len(), of_run(&store, "r3").len()), (11, 3, 8), "{kept:?}");
}

#[test]
fn a_partition_that_a_forced_run_removed_is_not_brought_back_from_kept_pages() {
    let store = MemoryStore::default();
    let keeps = RunFacts { keep: Keep { after_commit: true, ..Keep::default() }, ..facts("r1") };
    finish(&store, ten_pages(), &keeps);
    let empty = || Brief::new(vec![page(0, None, &[])], usize::MAX);
    fetch(&store, &empty(), &facts("r2")).unwrap_err();
    assert_eq!(of_run(&store, "r1").len(), 11);
    fetch(&store, &empty(), &RunFacts { force: true, ..facts("r3") }).unwrap();
    assert_eq!(store.bytes(KEY), None);
    assert!(block_on(encode_kept_pages(&store, &enrollment())).unwrap().encoded.is_empty());
    assert_eq!((store.bytes(KEY), sets(&store)), (None, Vec::new()));
}
