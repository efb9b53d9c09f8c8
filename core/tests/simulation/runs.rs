//! Runs as the state machine does them: plan, fetch with retries, publish.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use jiff::Timestamp;
use rollcall_core::Error;
use rollcall_core::dataset::Dataset;
use rollcall_core::fetch::{Fetched, RunFacts, fetch_partition};
use rollcall_core::ledger::{Outcome, Summary};
use rollcall_core::ledger::{PlanItem, Reason, write_plan};
use rollcall_core::partition::PartitionKey;
use rollcall_core::plan::{Plan, plan_partitions};
use rollcall_core::ports::Clock;
use rollcall_core::publish::{CatalogChanges, PlannedRun, Registrar, publish_partitions};
use rollcall_core::request::Request;
use serde_json::Value;

use crate::catalog::SimCatalog;
use crate::portal::SimPortal;
use crate::schedule::{Task, TaskId, Work};
use crate::source::sorted;
use crate::store::SimStore;
use crate::world::{Shared, SimClock, World};

/// Maximum number of tries for a step that fails with a transient error, as in the state machine.
const TRIES: u32 = 3;
/// Maximum number of tries for a step that dies or is given up on.
const TRIES_OF_DEAD: u32 = 2;
/// Maximum number of times that an unfinished partition is continued in one run.
const CALLS: u32 = 10;
/// Far more steps than any seed takes.
const MAX_STEPS: u32 = 20_000;

/// Result of a task.
pub(crate) enum Ended {
    Planned(Result<(Plan, Timestamp), Error>),
    Fetched(Result<Fetched, Error>),
    Published(Result<Summary, Error>),
}

/// A step of a run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Plan,
    /// The partition at this position in the plan.
    Fetch(usize),
    Publish,
}

/// Unsuccessful tries of a step so far, and those that ran out of time while they made progress.
#[derive(Default, Clone, Copy)]
struct Tries {
    failed: u32,
    died: u32,
    unfinished: u32,
}

impl Tries {
    /// Returns how many unsuccessful tries count towards a limit. Fetching has one limit for all of them.
    fn n(self, step: Step, of_kind: u32) -> u32 {
        if step.is_fetch() { self.failed + self.died } else { of_kind }
    }
}

impl Step {
    fn is_fetch(self) -> bool {
        matches!(self, Self::Fetch(_))
    }
}

/// Phase of a run.
pub(crate) enum Phase {
    Planning,
    Fetching { next: usize, active: usize },
    Publishing,
    Over,
}

/// A run in progress.
pub(crate) struct Run {
    pub(crate) name: String,
    /// The version of the descriptor that it uses.
    dataset: Arc<Dataset>,
    request: Request,
    pub(crate) phase: Phase,
    started_at: Timestamp,
    pub(crate) items: Arc<Vec<PlanItem>>,
    /// Planned partitions that did not start, or received no page, before the run was stopped.
    not_tried: BTreeSet<PartitionKey>,
    portal_release: Option<String>,
    /// Unsuccessful tries, by step index.
    tries: BTreeMap<usize, Tries>,
    /// Number of partitions fetched at the same time.
    width: usize,
    pub(crate) summary: Option<Summary>,
}

/// A task of a run.
pub(crate) struct Job {
    pub(crate) task: Task<Ended>,
    pub(crate) run: usize,
    pub(crate) step: Step,
    /// Whether the task was given up on, so that its result is ignored.
    pub(crate) is_given_up: bool,
}

/// The runs of one seed and their tasks.
pub(crate) struct Simulation {
    pub(crate) world: Shared,
    pub(crate) dataset: Arc<Dataset>,
    /// Another version of the descriptor.
    pub(crate) other_dataset: Arc<Dataset>,
    pub(crate) jobs: BTreeMap<TaskId, Job>,
    n_tasks: TaskId,
    pub(crate) runs: Vec<Run>,
}

impl Simulation {
    pub(crate) fn new(world: World, other_dataset: Arc<Dataset>) -> Self {
        let dataset = world.dataset.clone();
        let (world, jobs, runs) = (Arc::new(Mutex::new(world)), BTreeMap::new(), Vec::new());
        Self { world, dataset, other_dataset, jobs, n_tasks: 0, runs }
    }

    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        act(&mut self.world.lock().unwrap())
    }

    /// Starts a run with one of the descriptor's versions. Returns its index.
    pub(crate) fn start(&mut self, request: &Value, dataset: &Arc<Dataset>) -> usize {
        let name = format!("r{}", self.runs.len() + 1);
        let width = self.with(|world| {
            world.note(None, "start", name.clone(), request.to_string());
            world.rng.usize(1..=3)
        });
        self.runs.push(Run {
            name,
            dataset: dataset.clone(),
            request: Request::parse(request, dataset).unwrap(),
            phase: Phase::Planning,
            started_at: self.with(|world| world.now()),
            items: Arc::default(),
            not_tried: BTreeSet::new(),
            portal_release: None,
            tries: BTreeMap::new(),
            width,
            summary: None,
        });
        let run = self.runs.len() - 1;
        self.spawn(run, Step::Plan);
        run
    }

    /// Starts a step of a run as a task.
    fn spawn(&mut self, run: usize, step: Step) {
        let task = self.n_tasks;
        self.n_tasks += 1;
        let Run { name, dataset, request, started_at, items, not_tried, portal_release, .. } = &self.runs[run];
        let (name, request, started_at) = (name.clone(), request.clone(), *started_at);
        let (items, not_tried, portal_release) = (items.clone(), not_tried.clone(), portal_release.clone());
        let (dataset, clock) = (dataset.clone(), SimClock(self.world.clone()));
        let schema_id = dataset.schema_id();
        let (portal, store) = (SimPortal::new(&self.world, task), SimStore::new(&self.world, task));
        let catalog = SimCatalog::new(&self.world, task);
        let (force, subject) = (request.force, describe(&name, step, &items));
        let keep = self.with(|world| world.keep.clone());
        let work: Work<Ended> = match step {
            Step::Plan => Box::pin(async move {
                let started_at = clock.now();
                Ended::Planned(match plan_partitions(&portal, &store, &dataset, &request, started_at).await {
                    Ok(plan) => write_plan(&store, &dataset, &name, &plan.items).await.map(|()| (plan, started_at)),
                    Err(error) => Err(error),
                })
            }),
            Step::Fetch(item) => {
                let partition = items[item].partition.clone();
                let facts = RunFacts {
                    run: name.clone(),
                    portal_release,
                    force,
                    in_flight: 2,
                    keep: keep.clone(),
                    max_partition_bytes: None,
                };
                Box::pin(async move {
                    Ended::Fetched(fetch_partition(&portal, &store, &clock, &dataset, &partition, &facts).await)
                })
            }
            Step::Publish => {
                let (name, items, not_tried) = (name.clone(), items.clone(), not_tried.clone());
                Box::pin(async move {
                    let planned = PlannedRun {
                        name: &name,
                        started_at,
                        items: &items,
                        without_receipt: &not_tried.into(),
                        registered: CatalogChanges::default(),
                    };
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
                    world.audit.start_fetch(task, &run_name, schema_id, partition, force, step_now);
                }
                Step::Publish => {
                    let planned = items.iter().filter_map(|item| world.index_of(&item.partition)).collect();
                    let not_tried = not_tried.iter().filter_map(|partition| world.index_of(partition)).collect();
                    world.audit.start_publish(task, &run_name, started_at, planned, not_tried, step_now);
                }
            }
        });
        self.jobs.insert(task, Job { task: Task::new(work), run, step, is_given_up: false });
        self.poll(task);
    }

    fn poll(&mut self, task: TaskId) {
        let Some(job) = self.jobs.get_mut(&task) else { return };
        if let Poll::Ready(ended) = job.task.poll()
            && let Some(job) = self.jobs.remove(&task)
        {
            self.ended(task, &job, ended);
        }
    }

    /// Grants one call, chosen by the seed.
    pub(crate) fn step(&mut self) {
        let granted = self.with(|world| {
            world.advance();
            let step = world.step;
            assert!(step < MAX_STEPS, "the simulation does not end");
            let is_free = |task: &TaskId| self.jobs.get(task).is_some_and(|job| job.task.held_until <= step);
            let calls = world.calls.pending.iter().enumerate();
            let free: Vec<usize> = calls.filter(|(_, call)| is_free(&call.task)).map(|(at, _)| at).collect();
            // If every task is held, only time passes.
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

    /// Applies a task's result to its run.
    fn ended(&mut self, task: TaskId, job: &Job, ended: Ended) {
        let message = match &ended {
            Ended::Planned(planned) => word(planned.as_ref().map(|(plan, _)| format!("{} planned", plan.items.len()))),
            Ended::Fetched(fetched) => word(fetched.as_ref().map(|fetched| match fetched {
                Fetched::Finished(receipt) => receipt.outcome.as_str().to_owned(),
                Fetched::Unfinished { .. } => "unfinished".to_owned(),
            })),
            Ended::Published(published) => word(published.as_ref().map(Summary::outcomes_in_words)),
        };
        self.with(|world| {
            world.note(Some(task), "end", String::new(), message.clone());
            if let Ended::Fetched(_) = &ended {
                world.count(format!("fetch: {message}"));
                if message == Outcome::Written.as_str() && world.audit.fetches[&task].lost_own_write {
                    world.count("own write found after a lost response");
                }
                if job.is_given_up {
                    world.count("a fetch that was given up ended");
                }
                let session = world.audit.fetches[&task].session.as_ref();
                let has_changed = session.is_some_and(|session| matches!(session.again, Some((false, _))));
                let is_mixed = session.is_some_and(|session| session.rows() != sorted(&session.content));
                if has_changed && message == "CountMismatch" {
                    world.count("page 1 changed while other pages were read");
                }
                if is_mixed && message == Outcome::Written.as_str() {
                    world.count("rows of several versions that page 1 did not show");
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
        // The response may be lost.
        if self.with(|world| world.chance(world.rates.crash)) {
            self.with(|world| world.count("response of a step lost"));
            self.died(job.run, job.step);
            return;
        }
        let error = match ended {
            Ended::Planned(Ok((plan, _))) => {
                let run = &mut self.runs[job.run];
                run.items = Arc::new(plan.items);
                run.portal_release = plan.portal_release;
                run.phase = Phase::Fetching { next: 0, active: 0 };
                let n_stale = run.items.iter().filter(|item| item.reason == Reason::OtherSchema).count();
                (0..n_stale).for_each(|_| self.with(|world| world.count("stale partition planned")));
                return self.fetch_next(job.run);
            }
            Ended::Fetched(Ok(Fetched::Unfinished { .. })) => {
                let tries = self.runs[job.run].tries.entry(place(job.step)).or_default();
                tries.unfinished += 1;
                // Each call has tries of its own, as in the state machine.
                (tries.failed, tries.died) = (0, 0);
                if tries.unfinished < CALLS {
                    return self.spawn(job.run, job.step);
                }
                return self.give_up(job.run, job.step);
            }
            Ended::Fetched(Ok(Fetched::Finished(_))) => return self.fetched(job.run),
            Ended::Fetched(Err(Error::Interrupted { partition, .. })) => {
                self.runs[job.run].not_tried.insert(partition);
                return self.fetched(job.run);
            }
            Ended::Published(Ok(summary)) => {
                let run = &mut self.runs[job.run];
                run.summary = Some(summary);
                run.phase = Phase::Over;
                return;
            }
            Ended::Planned(Err(error)) | Ended::Fetched(Err(error)) | Ended::Published(Err(error)) => error,
        };
        let is_dead = matches!(error, Error::DeadlineExceeded { .. }) && !job.step.is_fetch();
        let most = if is_dead { TRIES_OF_DEAD } else { TRIES };
        let tries = self.runs[job.run].tries.entry(place(job.step)).or_default();
        tries.failed += 1;
        let n_tries = tries.n(job.step, tries.failed);
        if error.is_retryable() && n_tries < most {
            self.spawn(job.run, job.step);
        } else {
            self.give_up(job.run, job.step);
        }
    }

    /// Handles a task that died or was given up on.
    pub(crate) fn died(&mut self, run: usize, step: Step) {
        let tries = self.runs[run].tries.entry(place(step)).or_default();
        tries.died += 1;
        let (n_tries, most) = (tries.n(step, tries.died), if step.is_fetch() { TRIES } else { TRIES_OF_DEAD });
        if n_tries < most { self.spawn(run, step) } else { self.give_up(run, step) }
    }

    /// Stops retrying a step.
    fn give_up(&mut self, run: usize, step: Step) {
        match step {
            Step::Plan | Step::Publish => self.runs[run].phase = Phase::Over,
            Step::Fetch(_) => {
                // Too many failures: running fetches are stopped, and no more start.
                if self.with(|world| world.chance(world.rates.crash * 20)) {
                    self.with(|world| world.count("fetching stopped early"));
                    self.stop_starting(run);
                    self.kill(run);
                    self.publish(run);
                } else {
                    self.fetched(run);
                }
            }
        }
    }

    /// Handles a partition whose fetch has ended.
    fn fetched(&mut self, run: usize) {
        if let Phase::Fetching { active, .. } = &mut self.runs[run].phase {
            *active -= 1;
        }
        self.fetch_next(run);
    }

    /// Starts as many partitions as may run at once, and publishes after the last.
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

    /// Stops starting partitions of a run. The remaining ones are not tried.
    pub(crate) fn stop_starting(&mut self, run: usize) {
        let Run { phase: Phase::Fetching { next, .. }, items, not_tried, .. } = &mut self.runs[run] else { return };
        let rest: Vec<PartitionKey> = items[*next..].iter().map(|item| item.partition.clone()).collect();
        *next = items.len();
        let n_rest = rest.len();
        not_tried.extend(rest);
        (0..n_rest).for_each(|_| self.with(|world| world.count("partition not tried")));
    }

    /// Publishes a run, for the first time or again.
    pub(crate) fn publish(&mut self, run: usize) {
        self.runs[run].phase = Phase::Publishing;
        self.spawn(run, Step::Publish);
    }
}

/// Returns the index of a step in its run's list of tries.
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

/// Returns the result, or the name of the error.
fn word(result: Result<String, &Error>) -> String {
    result.unwrap_or_else(|error| error.name().to_owned())
}
