//! What happens to tasks and the world between two calls: deaths, delays, changes to the source, and manual changes to
//! the bucket.

use crate::runs::{Job, Phase, Simulation, Step};
use crate::schedule::TaskId;
use crate::source;
use crate::store;

impl Simulation {
    /// Lets things happen that no call causes: the source changes; tasks die, are held, or are given up on.
    pub(crate) fn inject_mishaps(&mut self) {
        if self.with(|world| world.chance(world.rates.change)) {
            self.with(|world| {
                let (partition, content) = world.source.change(&mut world.rng);
                world.count("source changed");
                world.note(None, "source changed", source::key_of(partition).to_string(), format!("{content:?}"));
            });
        }
        if self.with(|world| world.chance(world.rates.corrupt)) {
            self.with(|world| {
                let partition = world.rng.usize(0..world.source.n_partitions());
                store::corrupt_by_hand(world, partition);
            });
        }
        if self.with(|world| !world.calls.orphans.is_empty() && world.chance(50)) {
            self.land_orphan();
        }
        if self.with(|world| world.chance(world.rates.hold))
            && let Some(task) = self.any_task()
        {
            self.hold(task, 80);
            self.with(|world| world.count("task held"));
        }
        if self.with(|world| world.chance(world.rates.timeout))
            && let Some(task) = self.any_task()
        {
            self.time_out(task);
        }
        if self.with(|world| world.chance(world.rates.interrupt)) {
            self.interrupt();
        }
        if self.with(|world| world.chance(world.rates.again)) {
            self.publish_again();
        }
        if self.with(|world| world.chance(world.rates.crash))
            && let Some(task) = self.any_task()
        {
            self.crash(task);
        }
    }

    /// Interrupts a run: what has arrived is committed and published; the rest is not tried.
    fn interrupt(&mut self) {
        let fetching = |run: &usize| matches!(self.runs[*run].phase, Phase::Fetching { .. });
        let runs: Vec<usize> = (0..self.runs.len()).filter(fetching).collect();
        let Some(run) = self.with(|world| world.rng.choice(&runs).copied()) else { return };
        let name = self.runs[run].name.clone();
        self.with(|world| {
            if world.interrupted.insert(name.clone()) {
                world.count("run interrupted");
                world.note(None, "interrupted", name, String::new());
            }
        });
        self.stop_starting(run);
    }

    /// Publishes a finished run again.
    fn publish_again(&mut self) {
        let is_over = |run: &usize| matches!(self.runs[*run].phase, Phase::Over) && !self.runs[*run].items.is_empty();
        let runs: Vec<usize> = (0..self.runs.len()).filter(is_over).collect();
        let Some(run) = self.with(|world| world.rng.choice(&runs).copied()) else { return };
        self.with(|world| world.count("run published again"));
        self.publish(run);
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

    /// Gives up on a task: a retry starts, while the original continues late.
    fn time_out(&mut self, task: TaskId) {
        let Some(job) = self.jobs.get_mut(&task).filter(|job| !job.is_given_up && job.step != Step::Plan) else {
            return;
        };
        job.is_given_up = true;
        let (run, step) = (job.run, job.step);
        self.with(|world| {
            world.count("task given up");
            world.note(Some(task), "given up", String::new(), String::new());
        });
        self.hold(task, 150);
        self.died(run, step);
    }

    /// Kills a task or its whole run.
    fn crash(&mut self, task: TaskId) {
        if self.with(|world| world.rng.u32(0..4) > 0) {
            self.with(|world| world.count("task killed"));
            if let Some((run, step)) = self.kill_task(task) {
                self.died(run, step);
            }
        } else if let Some(run) = self.jobs.get(&task).map(|job| job.run) {
            self.with(|world| world.count("run killed"));
            self.kill(run);
            self.runs[run].phase = Phase::Over;
        }
    }

    /// Delivers a write whose sender is gone.
    pub(crate) fn land_orphan(&mut self) {
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

    /// Ends all tasks of a run, wherever they are.
    pub(crate) fn kill(&mut self, run: usize) {
        let tasks: Vec<TaskId> = self.jobs.iter().filter(|(_, job)| job.run == run).map(|(task, _)| *task).collect();
        for task in tasks {
            self.kill_task(task);
        }
    }

    /// Ends a task, wherever it is. Returns its step if someone is waiting for it.
    fn kill_task(&mut self, task: TaskId) -> Option<(usize, Step)> {
        let job = self.jobs.remove(&task)?;
        self.with(|world| world.note(Some(task), "killed", String::new(), String::new()));
        let Job { task: work, run, step, is_given_up } = job;
        // Dropping its calls locks the world.
        drop(work);
        self.with(|world| {
            if !world.calls.orphans.iter().any(|call| call.task == task) {
                world.audit.end_publish(task, world.step);
            }
        });
        (!is_given_up).then_some((run, step))
    }
}
