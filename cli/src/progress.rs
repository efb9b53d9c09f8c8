//! Progress on stderr.

mod lines;
mod state;

use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use rollcall_adapters::http_portal::OnRetry;
use rollcall_core::partition::PartitionKey;

use crate::bars::BARS;
use crate::output::{is_quiet, print_message};
use crate::progress::state::RunState;

/// Time between two drawings on a terminal.
const TICK: Duration = Duration::from_millis(200);
/// Time between two lines elsewhere.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// Progress of a run on this machine: on a terminal three lines that are drawn again and again, and otherwise a line every
/// half minute.
pub(crate) struct RunProgress {
    state: Mutex<RunState>,
    started: Instant,
    bar: ProgressBar,
}

impl RunProgress {
    /// Starts to show the progress of a run.
    ///
    /// - `planned`: partitions, each with its rows in an earlier run if they are known.
    /// - `opening`: what is fetched from where, for a log.
    pub(crate) fn start(planned: Vec<(PartitionKey, Option<u64>)>, opening: &str) -> Arc<Self> {
        let is_shown = !is_quiet() && !planned.is_empty();
        let bar = if is_shown { BARS.add(ProgressBar::no_length()) } else { ProgressBar::hidden() };
        let state = Mutex::new(RunState::new(planned));
        let progress = Arc::new(Self { state, started: Instant::now(), bar });
        if is_shown && io::stderr().is_terminal() {
            progress.bar.set_style(style_of(&progress));
            progress.bar.enable_steady_tick(TICK);
        } else if is_shown {
            print_message(opening);
            tokio::spawn(log(Arc::downgrade(&progress)));
        }
        progress
    }

    fn state(&self) -> MutexGuard<'_, RunState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what learns of the retries of a partition's requests.
    pub(crate) fn on_retry(self: &Arc<Self>, partition: &PartitionKey) -> OnRetry {
        let (progress, partition) = (self.clone(), partition.clone());
        Arc::new(move |reason, wait| {
            let at = progress.started.elapsed() + wait;
            progress.state().retrying(&partition, reason, at);
        })
    }

    /// A partition is fetched from now on.
    pub(crate) fn partition_started(&self, partition: &PartitionKey) {
        self.state().start(partition);
    }

    /// Page 1 says how many pages and rows a partition has.
    pub(crate) fn pages_known(&self, partition: &PartitionKey, n_pages: u32, n_rows: u64) {
        self.state().pages_known(partition, n_pages, n_rows);
    }

    /// A page arrived.
    pub(crate) fn received(&self, partition: &PartitionKey, size_bytes: usize) {
        self.state().received(partition, size_bytes, self.started.elapsed());
    }

    /// A partition is done.
    ///
    /// - `n_rows`: its rows; `None` if it failed.
    pub(crate) fn partition_ended(&self, partition: &PartitionKey, n_rows: Option<u64>) {
        self.state().end(partition, n_rows);
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Prints a line every half minute, until the run is over.
async fn log(progress: Weak<RunProgress>) {
    loop {
        tokio::time::sleep(LOG_EVERY).await;
        let Some(progress) = progress.upgrade() else { return };
        if progress.bar.is_finished() {
            return;
        }
        let line = progress.state().at(progress.started.elapsed()).line();
        print_message(&line);
    }
}

/// Returns the style of the three lines. They are composed each time they are drawn, to the width that the terminal then
/// has.
fn style_of(progress: &Arc<RunProgress>) -> ProgressStyle {
    let style =
        ProgressStyle::with_template("{first}\n{second}\n{third}").unwrap_or_else(|_| ProgressStyle::default_bar());
    let line = |i: usize| {
        // The bar has the style, and the progress has the bar.
        let progress = Arc::downgrade(progress);
        move |_: &ProgressState, to: &mut dyn fmt::Write| {
            let Some(progress) = progress.upgrade() else { return };
            let lines = progress.state().at(progress.started.elapsed()).lines(width());
            let _ = to.write_str(lines.get(i).map_or("", String::as_str));
        }
    };
    style.with_key("first", line(0)).with_key("second", line(1)).with_key("third", line(2))
}

/// Returns the width of the terminal that stderr is, in cells.
fn width() -> usize {
    let width = terminal_size::terminal_size_of(io::stderr()).map(|(width, _)| usize::from(width.0));
    width.filter(|width| *width > 0).unwrap_or(80)
}

/// Progress of a run on AWS: partitions done, partitions failed, time left.
#[cfg(feature = "aws")]
pub(crate) struct ExecutionBar {
    bar: ProgressBar,
}

#[cfg(feature = "aws")]
impl ExecutionBar {
    /// Shows a spinner while the execution is planning.
    pub(crate) fn new() -> Self {
        let bar = BARS.add(ProgressBar::new_spinner());
        bar.set_message("planning");
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    /// Updates the bar.
    pub(crate) fn show(&self, counts: rollcall_aws::execution::Counts) {
        if self.bar.length().is_none() {
            self.bar.set_style(style());
        }
        self.bar.set_length(counts.n_planned);
        self.bar.set_position(counts.n_done);
        self.bar.set_message(match counts {
            _ if counts.n_planned == 0 => "planning".to_owned(),
            _ if counts.n_done == counts.n_planned => "publishing".to_owned(),
            _ => format!("{} failed", counts.n_failed),
        });
    }
}

#[cfg(feature = "aws")]
impl Drop for ExecutionBar {
    /// Removes the bar.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(feature = "aws")]
fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len} partitions  {msg}  {elapsed} elapsed, {eta} left");
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}
