//! The simulated world that all tasks share: source, bucket, catalog, clock, and the random generator.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use rollcall_core::dataset::Dataset;
use rollcall_core::fetch::Keep;
use rollcall_core::partition::PartitionKey;
use rollcall_core::ports::Clock;

use crate::audit::{Auditor, Decoder};
use crate::catalog::CatalogState;
use crate::schedule::{Calls, TaskId};
use crate::source::{self, Pool, Source};
use crate::store::Bucket;

/// The world, shared by all tasks of a seed.
pub(crate) type Shared = Arc<Mutex<World>>;

/// Start time of every seed: 2026-11-23T12:00:00Z.
const BEGINNING_S: i64 = 1_795_435_200;

/// Fault rates, in thousandths. Each seed draws its own, so that some seeds are calm.
pub(crate) struct Rates {
    pub(crate) portal: u32,
    /// Deadlines that end a fetch after its first page.
    pub(crate) deadline: u32,
    pub(crate) store: u32,
    /// Writes that are answered with HTTP 409: another write is in progress.
    pub(crate) conflict: u32,
    pub(crate) catalog: u32,
    pub(crate) crash: u32,
    pub(crate) timeout: u32,
    pub(crate) hold: u32,
    pub(crate) change: u32,
    pub(crate) corrupt: u32,
    pub(crate) interrupt: u32,
    pub(crate) again: u32,
    /// Changes to the source between two pages of a fetch that leave `count` the same.
    pub(crate) revise: u32,
}

impl Rates {
    fn draw(rng: &mut Rng) -> Self {
        let mut one_of = |rates: &[u32]| *rng.choice(rates).unwrap();
        Self {
            portal: one_of(&[0, 0, 15, 60]),
            deadline: one_of(&[0, 50, 250]),
            store: one_of(&[0, 0, 15, 50]),
            conflict: one_of(&[0, 0, 100, 600]),
            catalog: one_of(&[0, 100, 300]),
            crash: one_of(&[0, 4, 12]),
            timeout: one_of(&[0, 5, 20]),
            hold: one_of(&[0, 20, 60]),
            change: one_of(&[4, 15, 50]),
            corrupt: one_of(&[0, 0, 6]),
            interrupt: one_of(&[0, 0, 10]),
            again: one_of(&[0, 0, 4, 12]),
            revise: one_of(&[0, 30, 150]),
        }
    }

    /// Returns rates without faults or changes.
    fn calm() -> Self {
        Self {
            portal: 0,
            deadline: 0,
            store: 0,
            conflict: 0,
            catalog: 0,
            crash: 0,
            timeout: 0,
            hold: 0,
            change: 0,
            corrupt: 0,
            interrupt: 0,
            again: 0,
            revise: 0,
        }
    }
}

/// One line of the trace.
#[derive(Hash)]
pub(crate) struct Entry {
    step: u32,
    now_ms: i64,
    task: Option<TaskId>,
    verb: &'static str,
    subject: String,
    result: String,
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { step, now_ms, task, verb, subject, result } = self;
        let task = task.map_or_else(String::new, |task| format!("t{task}"));
        write!(f, "{step:>5} {:>8.3}s {task:>4} {verb} {subject}", *now_ms as f64 / 1000.0)?;
        if result.is_empty() { Ok(()) } else { write!(f, " -> {result}") }
    }
}

/// Everything outside core.
pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) rates: Rates,
    /// Calls granted so far.
    pub(crate) step: u32,
    now_ms: i64,
    /// Number of times that a task has read its clock.
    n_readings: i64,
    pub(crate) dataset: Arc<Dataset>,
    pub(crate) source: Source,
    /// Which pages are kept. Every partition of a seed is large, or none is.
    pub(crate) keep: Keep,
    /// The portal's usual number of rows on a page.
    pub(crate) page_length: usize,
    pub(crate) bucket: Bucket,
    pub(crate) catalog: CatalogState,
    pub(crate) calls: Calls,
    /// Interrupted runs, whose fetches receive no more pages.
    pub(crate) interrupted: BTreeSet<String>,
    pub(crate) audit: Auditor,
    /// All events, in order.
    pub(crate) trace: Vec<Entry>,
    /// How often each event occurred.
    pub(crate) counts: BTreeMap<String, u64>,
}

impl World {
    pub(crate) fn new(seed: u64, pool: Arc<Pool>, decoder: Arc<Mutex<Decoder>>, dataset: Arc<Dataset>) -> Self {
        let mut rng = Rng::with_seed(seed);
        let rates = Rates::draw(&mut rng);
        // Few, so that runs collide.
        let n_partitions = *rng.choice(&[1, 1, 1, 2, 2, 3]).unwrap();
        let (from_pages, after_commit) = (if rng.bool() { 2 } else { u32::MAX }, rng.u32(0..8) == 0);
        Self {
            rates,
            keep: Keep { from_pages, from_duration: SignedDuration::ZERO, after_commit, is_only_run: false },
            page_length: rng.usize(1..=3),
            step: 0,
            now_ms: 0,
            n_readings: 0,
            source: Source::new(pool, n_partitions, &mut rng),
            bucket: Bucket::default(),
            catalog: CatalogState::default(),
            calls: Calls::default(),
            interrupted: BTreeSet::new(),
            audit: Auditor::new(decoder, n_partitions),
            trace: Vec::new(),
            counts: BTreeMap::new(),
            dataset,
            rng,
        }
    }

    /// Stops all faults. Returns the previous rates.
    pub(crate) fn calm_down(&mut self) -> Rates {
        std::mem::replace(&mut self.rates, Rates::calm())
    }

    pub(crate) fn now(&self) -> Timestamp {
        let nanos = i32::try_from(self.now_ms % 1000).unwrap() * 1_000_000;
        Timestamp::new(BEGINNING_S + self.now_ms / 1000, nanos).unwrap()
    }

    /// Advances by one step. Time may stand still.
    pub(crate) fn advance(&mut self) {
        self.step += 1;
        self.now_ms += self.rng.i64(0..400);
    }

    /// Decides at random: returns `true` with a probability of `per_mille` in a thousand.
    pub(crate) fn chance(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.rng.u32(0..1000) < per_mille
    }

    pub(crate) fn count(&mut self, what: impl Into<String>) {
        *self.counts.entry(what.into()).or_default() += 1;
    }

    pub(crate) fn note(&mut self, task: Option<TaskId>, verb: &'static str, subject: String, result: String) {
        self.trace.push(Entry { step: self.step, now_ms: self.now_ms, task, verb, subject, result });
    }

    /// Returns the index of a partition in this seed.
    pub(crate) fn index_of(&self, partition: &PartitionKey) -> Option<usize> {
        (0..self.source.n_partitions()).find(|index| source::key_of(*index) == *partition)
    }
}

/// The world's clock.
pub(crate) struct SimClock(pub(crate) Shared);

impl Clock for SimClock {
    /// Two processes never read the same nanosecond. Several readings within a step therefore differ a little.
    fn now(&self) -> Timestamp {
        let mut world = self.0.lock().unwrap();
        world.n_readings = (world.n_readings + 1) % 1_000_000;
        world.now() + SignedDuration::from_nanos(world.n_readings)
    }
}
