//! Concurrent writers of one partition.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use jiff::Timestamp;
use rollcall_adapters::SystemClock;
use rollcall_aws::s3::S3Store;
use rollcall_core::Error;
use rollcall_core::dataset::Dataset;
use rollcall_core::fetch::{Keep, RunFacts, fetch_partition};
use rollcall_core::ledger::Outcome;
use rollcall_core::ports::{PageRequest, Portal, PortalError, Reading, Response, Store};
use rollcall_tests::chance::number_from_env;
use rollcall_tests::emulator::proxy::Fault;
use rollcall_tests::registered;
use tokio::sync::Barrier;
use url::Url;

use crate::ground::{Ground, fetch_event, finished, other_rows, pre_k};

/// Guard: the conditional write. Two runs read the portal at different times, and the latest rows win.
#[test]
fn w6_of_two_concurrent_runs_the_one_that_read_last_wins() {
    let ground = Ground::with_tables();
    let (early, late) = (ground.function("page-fetch"), ground.function("page-fetch"));
    ground.portal.server.set_faults(vec![other_rows()]);
    ground.set("PUT", "data/", Fault::Hold, Some(1));
    early.send(&fetch_event(&ground, "early", &pre_k()));
    ground.proxy.wait_until_held();
    ground.portal.server.set_faults(Vec::new());
    assert_eq!(late.call(&fetch_event(&ground, "late", &pre_k())), finished());
    let written = ground.head(&ground.object(&pre_k()));
    ground.proxy.open();
    assert_eq!(early.result(), finished());
    assert_eq!(ground.head(&ground.object(&pre_k())), written);
    let outcomes = ["early", "late"].map(|run| ground.receipt(&pre_k(), run).outcome);
    assert_eq!(outcomes, [Outcome::Superseded, Outcome::Written]);
    // Both publish, and the catalog has the object that is there.
    for run in ["late", "early"] {
        let _ = ground.publish(run, &[pre_k()]).expect("the run is published");
        let stamp = written.as_ref().and_then(|facts| facts.stamp.as_ref()).expect("the object exists");
        assert_eq!(ground.registered(), [registered(2021, "grade-pk", stamp.n_rows)]);
    }
}

/// A portal of one page with its own receive time. It responds after all writers have checked the object, so what a
/// writer saw there is older than its rows.
struct OnePage {
    root: Url,
    page: String,
    received_at: Timestamp,
    all_have_looked: Arc<Barrier>,
}

impl OnePage {
    /// Returns a portal whose rows all hold `value`.
    fn new(value: u64, received_at: Timestamp, all_have_looked: &Arc<Barrier>) -> Self {
        let row = |school: u64| {
            format!(
                "{{\"year\":2021,\"ncessch\":\"{school:012}\",\"ncessch_num\":{school},\"grade\":-1,\"race\":99,\
                 \"sex\":99,\"enrollment\":{value},\"fips\":1,\"leaid\":\"0100002\"}}"
            )
        };
        let rows: Vec<String> = (1..=40).map(row).collect();
        Self {
            root: "https://portal.test/api/v1/".parse().expect("the text is a URL"),
            page: format!("{{\"count\":40,\"next\":null,\"results\":[{}]}}", rows.join(",")),
            received_at,
            all_have_looked: Arc::clone(all_have_looked),
        }
    }

    /// Returns the outcome of fetching the partition into `store`, or `None` if other writers were faster each time.
    async fn fetched_into(&self, store: &S3Store, dataset: &Dataset) -> Option<Outcome> {
        let run = RunFacts {
            run: "race".to_owned(),
            portal_release: None,
            force: false,
            in_flight: 1,
            keep: Keep::default(),
            max_partition_bytes: None,
        };
        match fetch_partition(self, store, &SystemClock, dataset, &pre_k(), &run).await {
            Ok(fetched) => fetched.receipt().map(|receipt| receipt.outcome),
            Err(Error::WriteConflict { .. }) => None,
            Err(error) => panic!("{}", error.chain()),
        }
    }
}

impl Portal for OnePage {
    fn root(&self) -> &Url {
        &self.root
    }

    async fn get<T: Send + 'static>(
        &self,
        _: &str,
        _: u32,
        _: PageRequest,
        read: impl Fn(&Bytes) -> Reading<T> + Send + Sync + 'static,
    ) -> Result<Response<T>, PortalError> {
        let _ = self.all_have_looked.wait().await;
        let body = Bytes::from(self.page.clone());
        let (Reading::Done(result) | Reading::Invalid { result, .. }) = read(&body);
        let (size_bytes, received_at) = (body.len(), self.received_at);
        Ok(Response { result, size_bytes, received_at, tries: 1, has_tries_left: false, room: None })
    }
}

/// Guard: the conditional write, and the comparison of times after a conflict. Eight writers with different rows race
/// for one partition, `ROLLCALL_ROUNDS` times.
#[test]
fn l5_of_eight_concurrent_writers_the_one_that_read_last_wins_and_nothing_is_mixed() {
    const WRITERS: u64 = 8;
    let n_rounds = number_from_env("ROLLCALL_ROUNDS", 10);
    let (ground, alone) = (Ground::new(), Ground::new());
    let (lake, expected) = (ground.lake(), alone.lake());
    let key = ground.object(&pre_k());
    let mut n_superseded = 0;
    for round in 0..n_rounds {
        // Another writer reads last in each round.
        let read_at = |writer: u64| {
            let place = (writer * 3 + round) % WRITERS;
            Timestamp::from_second(1_700_000_000 + i64::try_from(round * WRITERS + place).expect("the offset fits"))
                .expect("the text is a time")
        };
        let portal =
            |writer: u64, barrier: &Arc<Barrier>| OnePage::new(round * WRITERS + writer, read_at(writer), barrier);
        let all_have_looked = Arc::new(Barrier::new(WRITERS as usize));
        let portals: Vec<OnePage> = (0..WRITERS).map(|writer| portal(writer, &all_have_looked)).collect();
        let races = portals.iter().map(|portal| portal.fetched_into(&lake, &ground.dataset));
        let outcomes = ground.runtime.block_on(join_all(races));
        let is_end = |outcome: &Option<Outcome>| matches!(outcome, Some(Outcome::Written | Outcome::Superseded) | None);
        assert!(outcomes.iter().all(is_end), "{outcomes:?}");
        n_superseded += outcomes.iter().filter(|outcome| **outcome == Some(Outcome::Superseded)).count();
        // A writer that gives up reports a conflict, and its partition is fetched again.
        let ended = (0..WRITERS).zip(&outcomes).filter(|(_, outcome)| outcome.is_some());
        let (last, _) = ended.max_by_key(|(writer, _)| read_at(*writer)).expect("one writer always succeeds");
        let last = portal(last, &Arc::new(Barrier::new(1)));
        let _ = ground.runtime.block_on(last.fetched_into(&expected, &ground.dataset));
        let found = ground.runtime.block_on(lake.read(&key)).expect("it is readable").expect("the object exists");
        let due = ground.runtime.block_on(expected.read(&key)).expect("it is readable").expect("the object exists");
        assert!(found == due, "round {round} ended with rows that were not read last: {outcomes:?}");
        let stamp = ground.head(&key).and_then(|facts| facts.stamp).expect("the object has a stamp");
        assert_eq!(stamp.fetched_at, last.received_at, "round {round}");
    }
    assert!(n_superseded > 0, "expected a superseded writer");
}
