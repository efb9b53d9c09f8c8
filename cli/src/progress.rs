//! Progress on stderr.

pub(crate) mod asking;
#[cfg(feature = "aws")]
pub(crate) mod execution;
mod lines;
mod retry;
pub(crate) mod state;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use rollcall_adapters::http_portal::{NextTry, OnRetry};
use rollcall_core::partition::PartitionKey;
use terminal_size::terminal_size_of;

use crate::bars::{self, BARS, HiddenInterrupt};
use crate::output::{is_quiet, print_message, terminal_width};
use crate::progress::state::RunState;

/// Time between two drawings on a terminal.
const TICK: Duration = Duration::from_millis(200);
/// Time between two lines elsewhere.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// What can be shown of a run while it goes on.
pub(crate) trait Shown: Send + 'static {
    /// Whether Ctrl-C is handled while it is shown. If not, it ends the process at once.
    const HANDLES_INTERRUPT: bool = true;

    /// Returns lines of at most `width` cells each.
    ///
    /// - `now`: time since the start.
    fn lines(&self, now: Duration, width: usize) -> Vec<String>;

    /// Returns one line, for a log.
    fn line(&self, now: Duration) -> String;
}

/// Progress on a terminal, as lines that are drawn again and again, or else in a log, as a line every half minute.
pub(crate) struct Progress<S> {
    state: Arc<Mutex<S>>,
    started: Instant,
    bar: ProgressBar,
    _hidden_interrupt: Option<HiddenInterrupt>,
}

impl<S> Drop for Progress<S> {
    /// Removes what is shown.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Progress of a run on this machine.
pub(crate) type RunProgress = Progress<RunState>;

impl<S: Shown> Progress<S> {
    /// Starts to show progress.
    ///
    /// - `opening`: what is fetched from where, for a log; `None` if there is nothing to show.
    pub(crate) fn start(state: S, opening: Option<&str>) -> Arc<Self> {
        let opening = opening.filter(|_| !is_quiet());
        let bar = if opening.is_some() { BARS.add(ProgressBar::no_length()) } else { ProgressBar::hidden() };
        let (state, started) = (Arc::new(Mutex::new(state)), Instant::now());
        let mut hidden_interrupt = None;
        match opening {
            Some(_) if bars::are_drawn() => {
                hidden_interrupt = S::HANDLES_INTERRUPT.then(HiddenInterrupt::new);
                bar.set_style(style_of(&state, started));
                bar.enable_steady_tick(TICK);
            }
            Some(opening) => {
                print_message(opening);
                tokio::spawn(log(Arc::downgrade(&state), started));
            }
            None => {}
        }
        Arc::new(Self { state, started, bar, _hidden_interrupt: hidden_interrupt })
    }

    /// Returns the state, to be told of events.
    pub(crate) fn state(&self) -> MutexGuard<'_, S> {
        locked(&self.state)
    }

    /// Removes what is shown.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn locked<S>(state: &Mutex<S>) -> MutexGuard<'_, S> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RunProgress {
    /// Returns what learns of the retries of a partition's requests.
    pub(crate) fn on_retry(self: &Arc<Self>, partition: &PartitionKey) -> OnRetry {
        let (progress, partition) = (self.clone(), partition.clone());
        Arc::new(move |next: NextTry<'_>| {
            let at = progress.started.elapsed() + next.wait;
            progress.state().retrying(&partition, next, at);
        })
    }

    /// A page arrived.
    pub(crate) fn received(&self, partition: &PartitionKey, size_bytes: usize) {
        self.state().received(partition, size_bytes, self.started.elapsed());
    }
}

/// Prints a line every half minute, until the run is over.
async fn log<S: Shown>(state: Weak<Mutex<S>>, started: Instant) {
    loop {
        tokio::time::sleep(LOG_EVERY).await;
        let Some(state) = state.upgrade() else { return };
        let line = locked(&state).line(started.elapsed());
        print_message(&line);
    }
}

/// Returns the style of the lines. They are composed each time they are drawn, to the width that the terminal then
/// has.
fn style_of<S: Shown>(state: &Arc<Mutex<S>>, started: Instant) -> ProgressStyle {
    let style = ProgressStyle::with_template("{lines}").unwrap_or_else(|_| ProgressStyle::default_bar());
    let state = state.clone();
    style.with_key("lines", move |_: &ProgressState, to: &mut dyn fmt::Write| {
        let lines = locked(&state).lines(started.elapsed(), terminal_width(terminal_size_of(io::stderr())));
        let _ = to.write_str(&lines.join("\n"));
    })
}
