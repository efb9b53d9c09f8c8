//! Tests of `kept_pages`.

use bytes::Bytes;
use futures::executor::block_on;
use jiff::SignedDuration;
use url::Url;

use super::page_set::compress;
use super::*;
use crate::fetch::run_facts::Keep;
use crate::fetch::{Fetched, encode_kept_pages, fetch_partition};
use crate::ledger::Outcome;
use crate::ports::portal::{PageRequest, Portal, PortalError, Reading, Response};
use crate::testing::{
    CannedPages, MemoryStore, NOW, StandingClock, enrollment, next_turn, page, pages, partition, row, run_facts, time,
};

const KEY: &str = "data/us_education_ccd_enrollment_data/year=2021/grade=grade-pk/part-00000.parquet";

/// A portal whose time is over after a number of requests. Page 1 arrives at `received_at`, and each later request a second
/// later.
struct Brief {
    pages: CannedPages,
    n_allowed: usize,
    error: fn() -> PortalError,
}

impl Brief {
    fn new(bodies: Vec<String>, n_allowed: usize) -> Self {
        Self { pages: CannedPages::new(bodies), n_allowed, error: || PortalError::Deadline { tries: 1 } }
    }

    fn requested(&self) -> Vec<u32> {
        self.pages.requested.lock().unwrap().clone()
    }
}

impl Portal for Brief {
    fn root(&self) -> &Url {
        self.pages.root()
    }

    async fn get<T: Send>(
        &self,
        path: &str,
        page: u32,
        request: PageRequest,
        read: impl Fn(&Bytes) -> Reading<T> + Send + Sync,
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
    let keep = Keep { from_pages: 5, from_duration: SignedDuration::ZERO, after_commit: false };
    RunFacts { portal_release: Some("0.26.1".into()), keep, ..run_facts(run) }
}

fn fetch(store: &MemoryStore, portal: &Brief, facts: &RunFacts) -> Result<Fetched, Error> {
    block_on(fetch_partition(portal, store, &StandingClock, &enrollment(), &partition(), facts))
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
    let first = store.keys("pages/").into_iter().filter(|key| key.contains("/r1/")).count();
    begin(&store, ten_pages(), 5, &facts("r1"));
    assert_eq!(store.keys("pages/").into_iter().filter(|key| key.contains("/r1/")).count(), first + 4);
    assert_eq!(finish(&store, ten_pages(), &facts("r2")), [1, 7, 8, 9, 10, 1]);
    // The first run's newest four pages are left to it.
    let left = store.keys("pages/");
    assert!(left.len() == 4 && left.iter().all(|key| key.contains("/r1/")), "{left:?}");
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
    assert_eq!(store.keys("pages/"), Vec::<String>::new());
    // A key on two pages is found only at the end.
    let mut twice = rows(30);
    twice[29] = twice[0].clone();
    let portal = Brief::new(pages(&twice, 3), usize::MAX);
    assert_eq!(fetch(&store, &portal, &facts("r1")).unwrap_err().name(), "DuplicateKey");
    assert_eq!(store.keys("pages/"), Vec::<String>::new());
    assert_eq!(finish(&store, ten_pages(), &facts("r1")).len(), 11);
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
}

#[test]
fn a1_a_page_is_requested_by_at_most_three_fetches_of_a_run() {
    let store = MemoryStore::default();
    begin(&store, ten_pages(), 4, &facts("r1"));
    for expected in ["DeadlineExceeded", "DeadlineExceeded", "PortalUnavailable", "PortalUnavailable"] {
        let portal = Brief::new(ten_pages(), 1);
        assert_eq!(fetch(&store, &portal, &facts("r1")).unwrap_err().name(), expected);
        assert_eq!(portal.requested().contains(&5), expected == "DeadlineExceeded");
    }
    // Another run has requests of its own.
    assert_eq!(finish(&store, ten_pages(), &facts("r2")), [1, 5, 6, 7, 8, 9, 10, 1]);
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
        let keep = Keep { from_pages, from_duration, after_commit: false };
        let _ = fetch(&store, &portal, &RunFacts { keep, ..facts("r1") });
        !store.keys("pages/").is_empty()
    };
    let twenty = SignedDuration::from_secs(20);
    assert!(keeps(10, twenty, 2) && !keeps(11, twenty, 2) && !keeps(10, twenty, 1));
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

    async fn get<T: Send>(
        &self,
        path: &str,
        page: u32,
        request: PageRequest,
        read: impl Fn(&Bytes) -> Reading<T> + Send + Sync,
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
    assert!(block_on(encode_kept_pages(&store, &dataset)).unwrap().is_empty());
    finish(&store, ten_pages(), &keeps("r1"));
    let (first, stamp) = (store.bytes(KEY), store.stamp(KEY).unwrap());
    let encode = |dataset: &Dataset| {
        let encoded = block_on(encode_kept_pages(&store, dataset)).unwrap();
        encoded.into_iter().map(|encoded| (encoded.partition, encoded.result.unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(encode(&dataset), [(partition(), Outcome::Unchanged)]);
    dataset.columns[0].dictionary = true;
    assert_eq!(encode(&dataset), [(partition(), Outcome::Written)]);
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
    // A set with a missing page is none.
    let page = store.keys("pages/").into_iter().find(|key| key.contains("/00004-")).unwrap();
    store.drop_object(&page);
    assert!(encode(&enrollment()).is_empty());
}
