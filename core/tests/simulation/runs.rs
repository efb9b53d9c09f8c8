//! Runs as the state machine makes them: plan, fetch with retries, publish; and what kills or overtakes them.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use jiff::Timestamp;
use rollcall_core::dataset::Dataset;
use rollcall_core::fetch::{RunFacts, fetch_partition};
use rollcall_core::ledger::{self, Outcome, Receipt, Summary};
use rollcall_core::partition::PartitionKey;
use rollcall_core::plan::{Plan, PlanItem, plan_partitions};
use rollcall_core::ports::Clock;
use rollcall_core::publish::{PlannedRun, Registrar, publish_partitions};
use rollcall_core::request::Request;
use rollcall_core::{Error, keys};
use serde_json::{Value, json};

use crate::audit::{CONVERGES, Decoder, RESTS, Violation};
use crate::catalog::SimCatalog;
use crate::portal::SimPortal;
use crate::schedule::{Task, TaskId, Work};
use crate::source::{self, Pool};
use crate::store::{self, SimStore};
use crate::world::{Entry, Shared, SimClock, World};

/// Tries of a step whose error may pass, as in the state machine.
const TRIES: u32 = 3;
/// Tries of a step that died or was taken for dead.
const TRIES_OF_DEAD: u32 = 2;
/// Steps that no seed comes near.
const MOST_STEPS: u32 = 20_000;

/// What a task came to.
enum Ended {
    Planned(Result<(Plan, Timestamp), Error>),
    Fetched(Result<Receipt, Error>),
    Published(Result<Summary, Error>),
}

/// Which step of which run a task is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Plan,
    /// The partition at this place of the plan.
    Fetch(usize),
    Publish,
}

/// A step's tries so far.
#[derive(Default, Clone, Copy)]
struct Tries {
    failed: u32,
    died: u32,
}

/// Where a run is.
enum Phase {
    Planning,
    Fetching { next: usize, active: usize },
    Publishing,
    Over,
}

/// A run under way.
struct Run {
    name: String,
    request: Request,
    phase: Phase,
    started_at: Timestamp,
    items: Arc<Vec<PlanItem>>,
    portal_release: Option<String>,
    /// Tries of planning, of every partition and of publishing.
    tries: BTreeMap<usize, Tries>,
    /// Partitions fetched at once.
    width: usize,
    summary: Option<Summary>,
}

/// A task of a run.
struct Job {
    task: Task<Ended>,
    run: usize,
    step: Step,
    /// Taken for dead: nobody waits for what it comes to.
    is_given_up: bool,
}

/// What a seed came to.
pub(crate) struct Simulated {
    pub(crate) seed: u64,
    pub(crate) counts: BTreeMap<String, u64>,
    pub(crate) violation: Option<Violation>,
    pub(crate) trace: Vec<Entry>,
}

impl Simulated {
    /// Hash of all that happened.
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

/// What every seed shares: none of it changes what a seed does.
pub(crate) struct Common {
    dataset: Arc<Dataset>,
    pool: Arc<Pool>,
    decoder: Arc<Mutex<Decoder>>,
}

impl Common {
    pub(crate) fn new() -> Self {
        Self { dataset: Arc::new(source::dataset()), pool: Arc::new(Pool::new()), decoder: Arc::default() }
    }

    /// Simulates one seed: a time of faults, then clean runs.
    pub(crate) fn simulate(&self, seed: u64) -> Simulated {
        let world = World::new(seed, self.pool.clone(), self.decoder.clone(), self.dataset.clone());
        let mut simulation = Simulation {
            world: Arc::new(Mutex::new(world)),
            dataset: self.dataset.clone(),
            jobs: BTreeMap::new(),
            n_tasks: 0,
            runs: Vec::new(),
        };
        simulation.live_through_faults();
        simulation.converge();
        let simulated = simulation.with(|world| Simulated {
            seed,
            counts: std::mem::take(&mut world.counts),
            violation: world.audit.violation.take(),
            trace: std::mem::take(&mut world.trace),
        });
        // Its tasks still wait for the world.
        drop(simulation);
        simulated
    }
}

/// The runs of one seed and the tasks they are made of.
struct Simulation {
    world: Shared,
    dataset: Arc<Dataset>,
    jobs: BTreeMap<TaskId, Job>,
    n_tasks: TaskId,
    runs: Vec<Run>,
}

impl Simulation {
    fn with<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        act(&mut self.world.lock().unwrap())
    }

    fn is_violated(&self) -> bool {
        self.with(|world| world.audit.violation.is_some())
    }

    /// A few runs, some at the same time, while things go wrong.
    fn live_through_faults(&mut self) {
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
        loop {
            if self.is_violated() {
                return;
            }
            let is_idle = self.jobs.is_empty();
            let is_due = |start: &u32| is_idle || *start <= self.with(|world| world.step);
            if starts.last().is_some_and(is_due) {
                starts.pop();
                let request = self.draw_request();
                self.start(&request);
                continue;
            }
            if is_idle {
                break;
            }
            self.meddle();
            self.step();
        }
        // A request that left before its sender died arrives some day.
        while self.with(|world| !world.calls.orphans.is_empty()) {
            self.land_orphan();
        }
    }

    /// Faults end: one run with force mends everything, and one after it has nothing to do.
    fn converge(&mut self) {
        self.with(World::calm_down);
        for is_first in [true, false] {
            if self.is_violated() {
                return;
            }
            let n_writes = self.with(|world| (world.audit.n_data_writes, world.audit.n_catalog_changes));
            let n_partitions = self.with(|world| world.source.n_partitions());
            let partitions: Vec<PartitionKey> = (0..n_partitions).map(source::key_of).collect();
            let run = self.start(&json!({"partitions": partitions, "force": is_first}));
            while !self.jobs.is_empty() && !self.is_violated() {
                self.step();
            }
            let Run { name, summary, .. } = &self.runs[run];
            let count = |outcome| summary.as_ref().map_or(0, |summary| summary.count(outcome));
            let (n_idle, n_written) = (count(Outcome::Unchanged) + count(Outcome::Empty), count(Outcome::Written));
            let mut world = self.world.lock().unwrap();
            let world = &mut *world;
            let contents: Vec<_> = (0..n_partitions).map(|index| world.source.current(index).clone()).collect();
            // One run with force is enough; the next must find nothing to do.
            let promise = if is_first { CONVERGES } else { RESTS };
            let is_done = n_idle == n_partitions || (is_first && n_idle + n_written == n_partitions);
            world.audit.demand(promise, is_done, || format!("{name} ended as {summary:?}"));
            world.audit.converged(&self.dataset, name, &contents, &world.bucket, &world.catalog);
            if !is_first {
                let n_now = (world.audit.n_data_writes, world.audit.n_catalog_changes);
                world.audit.demand(RESTS, n_now == n_writes, || {
                    format!("{name} went from {n_writes:?} writes and changes to {n_now:?}")
                });
            }
        }
    }

    /// A request for some partitions.
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
            match world.rng.u32(0..10) {
                0..=1 => request["mode"] = "failed".into(),
                2 => request["mode"] = "missing".into(),
                3 if !earlier.is_empty() => request["failed_of"] = world.rng.choice(&earlier).unwrap().as_str().into(),
                _ => {}
            }
            request
        })
    }

    /// Begins a run. Gives its place among the runs.
    fn start(&mut self, request: &Value) -> usize {
        let name = format!("r{}", self.runs.len() + 1);
        let width = self.with(|world| {
            world.note(None, "start", name.clone(), request.to_string());
            world.rng.usize(1..=3)
        });
        self.runs.push(Run {
            name,
            request: Request::parse(request, &self.dataset).unwrap(),
            phase: Phase::Planning,
            started_at: self.with(|world| world.now()),
            items: Arc::default(),
            portal_release: None,
            tries: BTreeMap::new(),
            width,
            summary: None,
        });
        let run = self.runs.len() - 1;
        self.spawn(run, Step::Plan);
        run
    }

    /// Begins a step of a run as a task.
    fn spawn(&mut self, run: usize, step: Step) {
        let task = self.n_tasks;
        self.n_tasks += 1;
        let Run { name, request, started_at, items, portal_release, .. } = &self.runs[run];
        let (name, request, started_at) = (name.clone(), request.clone(), *started_at);
        let (items, portal_release) = (items.clone(), portal_release.clone());
        let (dataset, clock) = (self.dataset.clone(), SimClock(self.world.clone()));
        let (portal, store) = (SimPortal::new(&self.world, task), SimStore::new(&self.world, task));
        let catalog = SimCatalog::new(&self.world, task);
        let (force, subject) = (request.force, describe(&name, step, &items));
        let work: Work<Ended> = match step {
            Step::Plan => Box::pin(async move {
                let started_at = clock.now();
                Ended::Planned(match plan_partitions(&portal, &store, &dataset, &request).await {
                    Ok(plan) => ledger::write_json(&store, &keys::plan(&dataset, &name), &plan.items)
                        .await
                        .map(|()| (plan, started_at)),
                    Err(error) => Err(error),
                })
            }),
            Step::Fetch(item) => {
                let partition = items[item].partition.clone();
                let facts = RunFacts { run: name.clone(), portal_release, force, pages_at_once: 2 };
                Box::pin(async move {
                    Ended::Fetched(fetch_partition(&portal, &store, &clock, &dataset, &partition, &facts).await)
                })
            }
            Step::Publish => {
                let (name, items) = (name.clone(), items.clone());
                Box::pin(async move {
                    let planned = PlannedRun { name: &name, started_at, items: &items };
                    let registrar = Registrar::Publisher;
                    Ended::Published(publish_partitions(&store, &catalog, &clock, &dataset, &planned, registrar).await)
                })
            }
        };
        let run_name = self.runs[run].name.clone();
        let items = self.runs[run].items.clone();
        self.with(|world| {
            world.note(Some(task), "begin", subject, String::new());
            let step_now = world.step;
            match step {
                Step::Plan => {}
                Step::Fetch(item) => {
                    let partition = world.index_of(&items[item].partition).unwrap();
                    world.audit.begin_fetch(task, &run_name, partition, force, step_now);
                }
                Step::Publish => {
                    let planned = items.iter().filter_map(|item| world.index_of(&item.partition)).collect();
                    world.audit.begin_publish(task, &run_name, started_at, planned, step_now);
                }
            }
        });
        self.jobs.insert(task, Job { task: Task::new(work), run, step, is_given_up: false });
        self.poll(task);
    }

    fn poll(&mut self, task: TaskId) {
        let Some(job) = self.jobs.get_mut(&task) else { return };
        if let Poll::Ready(ended) = job.task.poll() {
            if let Some(job) = self.jobs.remove(&task) {
                self.ended(task, &job, ended);
            }
        }
    }

    /// Grants one call, whichever the seed says.
    fn step(&mut self) {
        let granted = self.with(|world| {
            world.advance();
            let step = world.step;
            assert!(step < MOST_STEPS, "the simulation does not end");
            let is_free = |task: &TaskId| self.jobs.get(task).is_some_and(|job| job.task.held_until <= step);
            let calls = world.calls.pending.iter().enumerate();
            let free: Vec<usize> = calls.filter(|(_, call)| is_free(&call.task)).map(|(at, _)| at).collect();
            // Where everybody is held, time passes.
            let at = world.rng.choice(&free).copied()?;
            let call = world.calls.pending.remove(at);
            let task = call.task;
            call.grant(world);
            Some(task)
        });
        if let Some(task) = granted {
            self.poll(task);
        }
    }

    /// What a task that ended means for its run.
    fn ended(&mut self, task: TaskId, job: &Job, ended: Ended) {
        let said = match &ended {
            Ended::Planned(planned) => word(planned.as_ref().map(|(plan, _)| format!("{} planned", plan.items.len()))),
            Ended::Fetched(fetched) => word(fetched.as_ref().map(|receipt| receipt.outcome.as_str().to_owned())),
            Ended::Published(published) => word(published.as_ref().map(Summary::outcomes_in_words)),
        };
        self.with(|world| {
            world.note(Some(task), "end", String::new(), said.clone());
            if let Ended::Fetched(_) = &ended {
                world.count(format!("fetch: {said}"));
                if said == Outcome::Written.as_str() && world.audit.fetches[&task].lost_own_write {
                    world.count("lost answer found to be the own write");
                }
                if job.is_given_up {
                    world.count("a fetch that was taken for dead ended");
                }
            }
            if let Ended::Published(published) = &ended {
                if published.is_ok() {
                    world.count("run published");
                    let n = world.audit.published(&self.dataset, task, &world.bucket, &world.catalog);
                    (0..n).for_each(|_| world.count("partition changed back by a slower publisher"));
                }
                world.audit.end_publish(task, world.step);
            }
        });
        if job.is_given_up {
            return;
        }
        // Its answer may be lost on the way.
        if self.with(|world| world.chance(world.rates.crash)) {
            self.with(|world| world.count("answer of a step lost"));
            self.died(job.run, job.step);
            return;
        }
        let error = match ended {
            Ended::Planned(Ok((plan, _))) => {
                let run = &mut self.runs[job.run];
                run.items = Arc::new(plan.items);
                run.portal_release = plan.portal_release;
                run.phase = Phase::Fetching { next: 0, active: 0 };
                return self.fetch_next(job.run);
            }
            Ended::Fetched(Ok(_)) => return self.fetched(job.run),
            Ended::Published(Ok(summary)) => {
                let run = &mut self.runs[job.run];
                run.summary = Some(summary);
                run.phase = Phase::Over;
                return;
            }
            Ended::Planned(Err(error)) | Ended::Fetched(Err(error)) | Ended::Published(Err(error)) => error,
        };
        let most = if matches!(error, Error::DeadlineExceeded { .. }) { TRIES_OF_DEAD } else { TRIES };
        let tries = self.runs[job.run].tries.entry(place(job.step)).or_default();
        tries.failed += 1;
        if error.is_retryable() && tries.failed < most {
            self.spawn(job.run, job.step);
        } else {
            self.give_up(job.run, job.step);
        }
    }

    /// A task died, or is taken for dead.
    fn died(&mut self, run: usize, step: Step) {
        let tries = self.runs[run].tries.entry(place(step)).or_default();
        tries.died += 1;
        if tries.died < TRIES_OF_DEAD { self.spawn(run, step) } else { self.give_up(run, step) }
    }

    /// A step is not tried any more.
    fn give_up(&mut self, run: usize, step: Step) {
        match step {
            Step::Plan | Step::Publish => self.runs[run].phase = Phase::Over,
            Step::Fetch(_) => {
                // Too many failed: those under way are stopped, the rest is not begun.
                if self.with(|world| world.chance(world.rates.crash * 20)) {
                    self.with(|world| world.count("fetching stopped early"));
                    self.kill(run);
                    self.publish(run);
                } else {
                    self.fetched(run);
                }
            }
        }
    }

    /// A partition of a run is done with.
    fn fetched(&mut self, run: usize) {
        if let Phase::Fetching { active, .. } = &mut self.runs[run].phase {
            *active -= 1;
        }
        self.fetch_next(run);
    }

    /// Begins as many partitions as may be under way; publishes after the last.
    fn fetch_next(&mut self, run: usize) {
        loop {
            let Run { phase: Phase::Fetching { next, active }, items, width, .. } = &mut self.runs[run] else { return };
            if *next == items.len() {
                if *active == 0 {
                    self.publish(run);
                }
                return;
            }
            if *active == *width {
                return;
            }
            let item = *next;
            *next += 1;
            *active += 1;
            self.spawn(run, Step::Fetch(item));
        }
    }

    fn publish(&mut self, run: usize) {
        self.runs[run].phase = Phase::Publishing;
        self.spawn(run, Step::Publish);
    }

    /// Ends all tasks of a run where they are.
    fn kill(&mut self, run: usize) {
        let tasks: Vec<TaskId> = self.jobs.iter().filter(|(_, job)| job.run == run).map(|(task, _)| *task).collect();
        for task in tasks {
            self.kill_task(task);
        }
    }

    /// Ends a task where it is.
    fn kill_task(&mut self, task: TaskId) -> Option<Job> {
        let job = self.jobs.remove(&task)?;
        self.with(|world| world.note(Some(task), "killed", String::new(), String::new()));
        let Job { task: work, run, step, is_given_up } = job;
        // Its calls lock the world as they are dropped.
        drop(work);
        self.with(|world| {
            if !world.calls.orphans.iter().any(|call| call.task == task) {
                world.audit.end_publish(task, world.step);
            }
        });
        let work: Work<Ended> = Box::pin(std::future::pending());
        Some(Job { task: Task::new(work), run, step, is_given_up })
    }

    /// Lets happen what is nobody's call: the source changes, tasks die, are held, are taken for dead.
    fn meddle(&mut self) {
        if self.with(|world| world.chance(world.rates.change)) {
            self.with(|world| {
                let (partition, content) = world.source.change(&mut world.rng);
                world.count("source changed");
                world.note(None, "source changed", source::key_of(partition).to_string(), format!("{content:?}"));
            });
        }
        if self.with(|world| world.chance(world.rates.spoil)) {
            self.with(|world| {
                let partition = world.rng.usize(0..world.source.n_partitions());
                store::spoil_by_hand(world, partition);
            });
        }
        if self.with(|world| !world.calls.orphans.is_empty() && world.chance(50)) {
            self.land_orphan();
        }
        if self.with(|world| world.chance(world.rates.hold)) {
            if let Some(task) = self.any_task() {
                self.hold(task, 80);
                self.with(|world| world.count("task held"));
            }
        }
        if self.with(|world| world.chance(world.rates.timeout)) {
            if let Some(task) = self.any_task() {
                self.time_out(task);
            }
        }
        if self.with(|world| world.chance(world.rates.crash)) {
            if let Some(task) = self.any_task() {
                self.crash(task);
            }
        }
    }

    fn any_task(&self) -> Option<TaskId> {
        let tasks: Vec<TaskId> = self.jobs.keys().copied().collect();
        self.with(|world| world.rng.choice(&tasks).copied())
    }

    fn hold(&mut self, task: TaskId, most: u32) {
        let until = self.with(|world| {
            let until = world.step + world.rng.u32(1..=most);
            world.note(Some(task), "held", format!("until step {until}"), String::new());
            until
        });
        if let Some(job) = self.jobs.get_mut(&task) {
            job.task.held_until = until;
        }
    }

    /// A task is taken for dead: it is tried again while it goes on, late.
    fn time_out(&mut self, task: TaskId) {
        let Some(job) = self.jobs.get_mut(&task).filter(|job| !job.is_given_up && job.step != Step::Plan) else {
            return;
        };
        job.is_given_up = true;
        let (run, step) = (job.run, job.step);
        self.with(|world| {
            world.count("task taken for dead");
            world.note(Some(task), "taken for dead", String::new(), String::new());
        });
        self.hold(task, 150);
        self.died(run, step);
    }

    /// A task dies, or its whole run with it.
    fn crash(&mut self, task: TaskId) {
        if self.with(|world| world.rng.u32(0..4) > 0) {
            self.with(|world| world.count("task killed"));
            if let Some(job) = self.kill_task(task).filter(|job| !job.is_given_up) {
                self.died(job.run, job.step);
            }
        } else if let Some(run) = self.jobs.get(&task).map(|job| job.run) {
            self.with(|world| world.count("run killed"));
            self.kill(run);
            self.runs[run].phase = Phase::Over;
        }
    }

    /// A write whose sender is gone arrives.
    fn land_orphan(&mut self) {
        self.with(|world| {
            let at = world.rng.usize(0..world.calls.orphans.len());
            let call = world.calls.orphans.remove(at);
            let task = call.task;
            world.count("write landed after its sender died");
            world.note(Some(task), "lands", String::new(), String::new());
            call.land(world);
            if !self.jobs.contains_key(&task) && !world.calls.orphans.iter().any(|call| call.task == task) {
                world.audit.end_publish(task, world.step);
            }
        });
    }
}

/// A step's place among the tries of its run.
fn place(step: Step) -> usize {
    match step {
        Step::Plan => 0,
        Step::Publish => 1,
        Step::Fetch(item) => item + 2,
    }
}

fn describe(run: &str, step: Step, items: &[PlanItem]) -> String {
    match step {
        Step::Plan => format!("{run} plan"),
        Step::Fetch(item) => format!("{run} fetch {}", items[item].partition),
        Step::Publish => format!("{run} publish"),
    }
}

/// What came of it, or the error's name.
fn word(result: Result<String, &Error>) -> String {
    result.unwrap_or_else(|error| error.name().to_owned())
}
