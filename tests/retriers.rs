//! A model of calls that compete for Lambda's concurrency, with the retriers of the state machine.
//!
//! Neither the emulator nor any test can wait as long as a throttled run may have to. The model is a discrete-event
//! simulation in virtual time: a call finds a free slot of page-fetch's concurrency or is throttled, and then waits as
//! the retriers of the real state machine file say. Random numbers come from a seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fastrand::Rng;
use rollcall_tests::chance::number_from_env;
use rollcall_tests::state_machine;
use serde_json::{Value, json};

/// Error of a call for which no concurrency is left.
const THROTTLED: &str = "Lambda.TooManyRequestsException";

/// Requests one after another in a partition of 10 pages, 8 in flight: page 1, two rounds, page 1 again.
const N_ROUNDS: f64 = 4.0;

/// Seconds between the end of a call and the first call for the next partition of the same map, at least and at most.
/// The shorter they are, the harder it is for another run to find a free slot.
const HANDOVER: (f64, f64) = (0.2, 1.0);

/// The retrier that handles throttling.
#[derive(Debug, Clone, Copy)]
struct Retrier {
    interval: f64,
    rate: f64,
    max_delay: f64,
    max_attempts: i32,
}

impl Retrier {
    /// Returns the first retrier of a state that names the error.
    fn for_throttling(retriers: &Value) -> Self {
        let names_it = |retrier: &&Value| {
            retrier["ErrorEquals"].as_array().expect("a retrier has errors").contains(&json!(THROTTLED))
        };
        let found = retriers.as_array().expect("the state has retriers").iter().find(names_it);
        let found = found.expect("throttling is retried");
        assert_eq!(found["JitterStrategy"], "FULL");
        let number = |key: &str| found[key].as_f64().expect("the value is a number");
        Self {
            interval: number("IntervalSeconds"),
            rate: number("BackoffRate"),
            max_delay: number("MaxDelaySeconds"),
            max_attempts: i32::try_from(found["MaxAttempts"].as_i64().expect("the value is a number")).unwrap(),
        }
    }

    /// Returns the seconds to wait before attempt `n` (from 0), or `None` if there is no such attempt.
    fn wait(&self, n: i32, random: &mut Rng) -> Option<f64> {
        let longest = (self.interval * self.rate.powi(n)).min(self.max_delay);
        (n < self.max_attempts).then(|| random.f64() * longest)
    }
}

/// One run: a map that fetches `n_items` partitions, `concurrency` of them at a time.
#[derive(Debug, Clone, Copy)]
struct Run {
    starts_at: f64,
    n_items: usize,
    concurrency: usize,
}

/// What happens next to the partition that a worker of a run is fetching.
#[derive(Debug, Clone, Copy)]
enum Event {
    Call { run: usize, n_retries: i32 },
    End { run: usize },
}

/// Calls of several runs that share the slots of page-fetch.
struct World<'w> {
    retrier: Retrier,
    seconds_per_page: f64,
    random: &'w mut Rng,
    n_free: usize,
    /// By time in milliseconds, then in the order of insertion.
    queue: BinaryHeap<Reverse<(u64, usize)>>,
    events: Vec<Event>,
    n_waiting: Vec<usize>,
    n_lost: Vec<usize>,
    n_open: Vec<usize>,
}

impl World<'_> {
    fn add(&mut self, time: f64, event: Event) {
        // A model's times are far below the precision of a float, and above zero.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds fit")]
        self.queue.push(Reverse(((time * 1000.0) as u64, self.events.len())));
        self.events.push(event);
    }

    /// Ends the partition of a worker, which then goes on to the next one.
    fn next_item(&mut self, now: f64, run: usize) {
        self.n_open[run] -= 1;
        if self.n_waiting[run] > 0 {
            self.n_waiting[run] -= 1;
            let handover = HANDOVER.0 + self.random.f64() * (HANDOVER.1 - HANDOVER.0);
            self.add(now + handover, Event::Call { run, n_retries: 0 });
        }
    }

    fn handle(&mut self, now: f64, event: Event) {
        match event {
            Event::Call { run, .. } if self.n_free > 0 => {
                self.n_free -= 1;
                let pace = self.seconds_per_page * (0.8 + 0.4 * self.random.f64());
                self.add(now + 1.0 + N_ROUNDS * pace, Event::End { run });
            }
            Event::Call { run, n_retries } => match self.retrier.wait(n_retries, self.random) {
                Some(wait) => self.add(now + wait, Event::Call { run, n_retries: n_retries + 1 }),
                None => {
                    self.n_lost[run] += 1;
                    self.next_item(now, run);
                }
            },
            Event::End { run } => {
                self.n_free += 1;
                self.next_item(now, run);
            }
        }
    }
}

/// Returns how many partitions of the last run are lost because their retries were used up.
fn n_lost(retrier: Retrier, n_slots: usize, seconds_per_page: f64, runs: &[Run], random: &mut Rng) -> usize {
    let mut world = World {
        retrier,
        seconds_per_page,
        random,
        n_free: n_slots,
        queue: BinaryHeap::new(),
        events: Vec::new(),
        n_waiting: runs.iter().map(|run| run.n_items.saturating_sub(run.concurrency)).collect(),
        n_lost: vec![0; runs.len()],
        n_open: runs.iter().map(|run| run.n_items).collect(),
    };
    for (run, Run { starts_at, n_items, concurrency }) in runs.iter().enumerate() {
        for _ in 0..*concurrency.min(n_items) {
            // The first calls of a map start within seconds of each other.
            let time = starts_at + 10.0 * world.random.f64();
            world.add(time, Event::Call { run, n_retries: 0 });
        }
    }
    let watched = runs.len() - 1;
    while let Some(Reverse((time, number))) = world.queue.pop() {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a few days")]
        world.handle(time as f64 / 1000.0, world.events[number]);
        if world.n_open[watched] == 0 {
            break;
        }
    }
    world.n_lost[watched]
}

/// Returns the retriers of the state that calls page-fetch.
fn of_page_fetch() -> Retrier {
    let machine = state_machine();
    Retrier::for_throttling(&machine["States"]["FetchPartitions"]["ItemProcessor"]["States"]["FetchPartition"]["Retry"])
}

/// The retrier that service errors have, and that throttling once shared with them.
fn of_service_errors() -> Retrier {
    Retrier { interval: 5.0, rate: 2.0, max_delay: 60.0, max_attempts: 8 }
}

/// A backfill of 39 years and 18 grades uses both slots when a scheduled run of two partitions starts.
fn beside_a_backfill(retrier: Retrier, seconds_per_page: f64, seed: u64) -> usize {
    let mut random = Rng::with_seed(seed);
    let backfill = Run { starts_at: 0.0, n_items: 702, concurrency: 2 };
    let starts_at = 60.0 + 3_600.0 * random.f64();
    n_lost(retrier, 2, seconds_per_page, &[backfill, Run { starts_at, n_items: 2, concurrency: 2 }], &mut random)
}

/// One run with four times as many partitions at once as the account has concurrency.
fn beyond_the_quota(retrier: Retrier, seconds_per_page: f64, seed: u64) -> usize {
    let run = Run { starts_at: 0.0, n_items: 702, concurrency: 40 };
    n_lost(retrier, 10, seconds_per_page, &[run], &mut Rng::with_seed(seed))
}

/// Guard: a retrier of its own for throttling, which waits for hours in short steps.
#[test]
fn w17_a_scheduled_run_beside_a_backfill_waits_for_concurrency_and_loses_no_partition() {
    let first = number_from_env("ROLLCALL_SEED", 1);
    for seconds_per_page in [5.0, 29.0] {
        let lost = |retrier, seed| beside_a_backfill(retrier, seconds_per_page, seed);
        for seed in first..first + 1_000 {
            assert_eq!(lost(of_page_fetch(), seed), 0, "seed {seed}, {seconds_per_page} s a page");
        }
        // With the retrier of service errors, most runs lose a partition.
        let n_runs = (first..first + 200).filter(|seed| lost(of_service_errors(), *seed) > 0).count();
        assert!(n_runs > 100, "{n_runs} of 200 at {seconds_per_page} s a page");
    }
}

/// Guard: the same retrier. Twenty lost partitions stop a run by default.
#[test]
fn w17_a_run_with_more_partitions_at_once_than_the_quota_allows_loses_none() {
    let first = number_from_env("ROLLCALL_SEED", 1);
    for seconds_per_page in [5.0, 29.0] {
        for seed in first..first + 50 {
            assert_eq!(beyond_the_quota(of_page_fetch(), seconds_per_page, seed), 0, "seed {seed}");
            assert!(beyond_the_quota(of_service_errors(), seconds_per_page, seed) > 20, "seed {seed}");
        }
    }
}
