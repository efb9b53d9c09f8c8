//! One seed from start to finish: runs with faults, then fault-free runs.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};

use rollcall_core::dataset::Dataset;
use rollcall_core::fetch::Keep;
use rollcall_core::ledger::Outcome;
use rollcall_core::partition::PartitionKey;
use serde_json::{Value, json};

use crate::audit::{CONVERGES, Decoder, RESTS, Violation};
use crate::runs::{Run, Simulation};
use crate::source::{self, Pool};
use crate::store;
use crate::world::{Entry, World};

/// Result of simulating a seed.
pub(crate) struct Simulated {
    pub(crate) seed: u64,
    pub(crate) counts: BTreeMap<String, u64>,
    pub(crate) violation: Option<Violation>,
    pub(crate) trace: Vec<Entry>,
}

impl Simulated {
    /// Returns a hash of all events.
    pub(crate) fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.trace.hash(&mut hasher);
        hasher.finish()
    }
}

impl fmt::Display for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in &self.trace {
            writeln!(f, "{entry}")?;
        }
        match &self.violation {
            None => writeln!(f, "seed {}: every promise held", self.seed),
            Some(Violation { promise, found }) => writeln!(f, "seed {}: violated `{promise}`: {found}", self.seed),
        }
    }
}

/// Data shared by all seeds. It does not influence what a seed does.
pub(crate) struct Common {
    dataset: Arc<Dataset>,
    other_dataset: Arc<Dataset>,
    pool: Arc<Pool>,
    decoder: Arc<Mutex<Decoder>>,
}

impl Common {
    pub(crate) fn new() -> Self {
        let (dataset, other_dataset) = (Arc::new(source::dataset()), Arc::new(source::other_dataset()));
        Self { dataset, other_dataset, pool: Arc::new(Pool::new()), decoder: Arc::default() }
    }

    /// Simulates one seed: runs with faults, then fault-free runs.
    pub(crate) fn simulate(&self, seed: u64) -> Simulated {
        let (pool, decoder) = (self.pool.clone(), self.decoder.clone());
        let world = World::new(seed, pool, decoder, self.dataset.clone());
        let mut simulation = Simulation::new(world, self.other_dataset.clone());
        simulation.apply_previous_layout_sometimes();
        simulation.run_with_faults();
        simulation.converge();
        let simulated = simulation.with(|world| Simulated {
            seed,
            counts: std::mem::take(&mut world.counts),
            violation: world.audit.violation.take(),
            trace: std::mem::take(&mut world.trace),
        });
        // Its tasks are still waiting for the world.
        drop(simulation);
        simulated
    }
}

impl Simulation {
    fn is_violated(&self) -> bool {
        self.with(|world| world.audit.violation.is_some())
    }

    /// Converts some lakes to the previous layout before any task starts.
    fn apply_previous_layout_sometimes(&mut self) {
        if self.with(|world| world.rng.u32(0..4)) > 0 {
            return;
        }
        let rates = self.with(World::calm_down);
        self.run_all(false);
        self.with(|world| {
            world.rates = rates;
            store::apply_previous_layout(world);
        });
    }

    /// Performs a run of all partitions, with no other run in progress. Returns the run's index.
    fn run_all(&mut self, force: bool) -> usize {
        let n_partitions = self.with(|world| world.source.n_partitions());
        let partitions: Vec<PartitionKey> = (0..n_partitions).map(source::key_of).collect();
        let run = self.start(&json!({"partitions": partitions, "force": force}), &self.dataset.clone());
        while !self.jobs.is_empty() && !self.is_violated() {
            self.step();
        }
        run
    }

    /// Performs a few runs, some of them concurrently, with faults.
    fn run_with_faults(&mut self) {
        let mut starts: Vec<u32> = self.with(|world| {
            let n_runs = world.rng.usize(2..=4);
            let mut start = 0;
            let gap = *world.rng.choice(&[8, 20, 60]).unwrap();
            let mut next = || {
                start += world.rng.u32(0..gap);
                start
            };
            (0..n_runs).map(|_| next()).collect()
        });
        starts.reverse();
        let has_other = self.with(|world| world.rng.u32(0..4) == 0);
        loop {
            if self.is_violated() {
                return;
            }
            let is_idle = self.jobs.is_empty();
            let is_due = |start: &u32| is_idle || *start <= self.with(|world| world.step);
            if starts.last().is_some_and(is_due) {
                starts.pop();
                let request = self.draw_request();
                let is_of_other = has_other && self.with(|world| world.rng.bool());
                let dataset = if is_of_other { self.other_dataset.clone() } else { self.dataset.clone() };
                self.start(&request, &dataset);
                continue;
            }
            if is_idle {
                break;
            }
            self.inject_mishaps();
            self.step();
        }
        // A request that was sent before its sender died arrives eventually.
        while self.with(|world| !world.calls.orphans.is_empty()) {
            self.land_orphan();
        }
    }

    /// Stops the faults: one run with force repairs everything, and the next has nothing to do.
    fn converge(&mut self) {
        let _ = self.with(World::calm_down);
        self.with(|world| world.keep = Keep::default());
        for is_first in [true, false] {
            if self.is_violated() {
                return;
            }
            let n_writes = self.with(|world| (world.audit.n_data_writes, world.audit.n_catalog_changes));
            self.with(|world| world.audit.ledger_writes.clear());
            let run = self.run_all(is_first);
            let n_partitions = self.with(|world| world.source.n_partitions());
            let Run { name, summary, .. } = &self.runs[run];
            let count = |outcome| summary.as_ref().map_or(0, |summary| summary.count(outcome));
            let (n_idle, n_written) = (
                count(Outcome::Unchanged) + count(Outcome::Empty),
                count(Outcome::Written) + count(Outcome::Rewritten),
            );
            let mut world = self.world.lock().unwrap();
            let world = &mut *world;
            let dataset = world.dataset.clone();
            let contents: Vec<_> = (0..n_partitions).map(|index| world.source.current(index).clone()).collect();
            // One run with force is enough; the next must find nothing to do.
            let promise = if is_first { CONVERGES } else { RESTS };
            let is_done = n_idle == n_partitions || (is_first && n_idle + n_written == n_partitions);
            world.audit.demand(promise, is_done, || format!("{name} ended as {summary:?}"));
            world.audit.check_editions(&dataset, n_partitions, &world.bucket, &world.catalog.kept());
            world.audit.converged(&dataset, name, &contents, &world.bucket, &world.catalog);
            if !is_first {
                let n_now = (world.audit.n_data_writes, world.audit.n_catalog_changes);
                world.audit.demand(RESTS, n_now == n_writes, || {
                    format!("{name} went from {n_writes:?} writes and changes to {n_now:?}")
                });
                world.audit.rested(&dataset, name);
            }
        }
    }

    /// Returns a request for some of the partitions.
    fn draw_request(&mut self) -> Value {
        let earlier: Vec<String> = self.runs.iter().map(|run| run.name.clone()).collect();
        self.with(|world| {
            let n_partitions = world.source.n_partitions();
            let always = world.rng.usize(0..n_partitions);
            let partitions: Vec<PartitionKey> = (0..n_partitions)
                .filter(|index| *index == always || world.rng.u32(0..4) > 0)
                .map(source::key_of)
                .collect();
            let force = world.rng.u32(0..4) == 0;
            let mut request = json!({"partitions": partitions, "force": force});
            match world.rng.u32(0..11) {
                0..=1 => request["mode"] = "failed".into(),
                2 => request["mode"] = "missing".into(),
                3 if !earlier.is_empty() => request["failed_of"] = world.rng.choice(&earlier).unwrap().as_str().into(),
                4 => request["mode"] = "stale".into(),
                _ => {}
            }
            request
        })
    }
}
