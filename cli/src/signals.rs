//! Handles Ctrl-C, SIGTERM and SIGHUP during a command, and the signal for exceeding the file size limit.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Builder;
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::{bars, exit, output};

/// Time from the first signal until the process is forced to end, even if something hangs.
const STOP_WITHIN: Duration = Duration::from_secs(4);
/// Time allowed for printing the last message.
const PRINT_WITHIN: Duration = Duration::from_millis(500);

/// Catches the signal for exceeding the file size limit (`ulimit -f`), which would end the process without a message.
///
/// A write beyond the limit then fails with an error that names the file.
pub(crate) fn catch_file_size_limit() -> io::Result<()> {
    /// SIGXFSZ on Linux and macOS.
    #[cfg(unix)]
    const FILE_SIZE_LIMIT: i32 = 25;
    // The handler stays installed after the stream is dropped.
    #[cfg(unix)]
    let _ = signal(SignalKind::from_raw(FILE_SIZE_LIMIT))?;
    Ok(())
}

/// Whether the user was told that the run was interrupted.
static HAS_TOLD: AtomicBool = AtomicBool::new(false);

/// Says that the run was interrupted, and what follows from that. After the first time, says only the latter.
pub(crate) fn tell_interrupted(consequence: &str) {
    let what = if HAS_TOLD.swap(true, Ordering::Relaxed) { "stopped" } else { "interrupted" };
    output::print_message(&format!("{what}: {consequence}"));
}

/// Notifies a command of signals that tell the process to stop.
pub(crate) struct Signals {
    stop_requested: watch::Receiver<bool>,
}

impl Signals {
    /// Installs handlers, so that a signal no longer ends the process by itself.
    ///
    /// The first signal resolves [`Signals::stop_requested`]. A second signal ends the process at once, and so does a
    /// timeout after the first. A separate thread waits for both, so that nothing in the process can block it.
    pub(crate) fn listen() -> io::Result<Self> {
        let (sender, stop_requested) = watch::channel(false);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let mut sources = {
            let _entered = runtime.enter();
            Sources::listen()?
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async move {
                sources.next().await;
                let _ = sender.send(true);
                if timeout(STOP_WITHIN, sources.next()).await.is_err() {
                    let text = "committed partitions are kept; the next run registers them for queries";
                    // Whatever reads stderr may hang too.
                    let printed = tokio::task::spawn_blocking(|| tell_interrupted(text));
                    let _ = timeout(PRINT_WITHIN, printed).await;
                }
                let _ = timeout(PRINT_WITHIN, tokio::task::spawn_blocking(bars::clear)).await;
                std::process::exit(exit::INTERRUPTED.into());
            });
        })?;
        Ok(Self { stop_requested })
    }

    /// Waits until the process is told to stop. Resolves once per signal.
    pub(crate) async fn stop_requested(&mut self) {
        if self.stop_requested.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The signals that tell a process to stop.
struct Sources {
    #[cfg(unix)]
    interrupt: Signal,
    #[cfg(unix)]
    terminate: Signal,
    /// `None` if the process was started to outlive its terminal (`nohup`).
    #[cfg(unix)]
    hang_up: Option<Signal>,
}

impl Sources {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            interrupt: signal(SignalKind::interrupt())?,
            #[cfg(unix)]
            terminate: signal(SignalKind::terminate())?,
            #[cfg(unix)]
            hang_up: if is_ignored(SignalKind::hangup()) { None } else { Some(signal(SignalKind::hangup())?) },
        })
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        {
            let hang_up = async {
                match &mut self.hang_up {
                    Some(hang_up) => {
                        hang_up.recv().await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
                () = hang_up => {}
            }
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Checks whether the parent process set a signal to be ignored.
///
/// Returns true if that cannot be determined, because installing a handler would undo such a setting.
#[cfg(unix)]
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores(&status, kind.as_raw_value()).unwrap_or(true)
}

/// Reads from `/proc/PID/status` whether a signal is ignored. `SigIgn` is a mask in hex, whose lowest bit is signal 1.
#[cfg(unix)]
fn ignores(status: &str, signal: i32) -> Option<bool> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
    Some(mask & (1 << (signal - 1)) != 0)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_signal_is_read_from_the_mask_in_proc_status() {
        let status =
            "Name:\trollcall\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n";
        for (signal, expected) in [(1, true), (2, false), (13, true), (15, false)] {
            assert_eq!(ignores(status, signal), Some(expected), "{signal}");
        }
        assert_eq!(ignores("", 1), None);
    }
}
