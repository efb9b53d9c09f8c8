//! Ctrl-C, SIGTERM and SIGHUP, from the start of a run to its end; and the signal of a file that may not grow.

use std::io;
use std::time::Duration;

use tokio::runtime::Builder;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::{exit, output};

/// The time in which a process that was asked to stop ends, whatever hangs.
const STOP_WITHIN: Duration = Duration::from_secs(4);
/// The time that its last words may take.
const TELL_WITHIN: Duration = Duration::from_millis(500);

/// Makes a write past the size that a file may have (`ulimit -f`) an error that names the file, where the signal that comes
/// with it would end the process without a word.
pub(crate) fn outlive_file_size_limit() -> io::Result<()> {
    /// SIGXFSZ of Linux and macOS.
    #[cfg(unix)]
    const FILE_SIZE_LIMIT: i32 = 25;
    // Whoever listens once has taken the signal from then on.
    #[cfg(unix)]
    let _ = signal(SignalKind::from_raw(FILE_SIZE_LIMIT))?;
    Ok(())
}

/// Whether the process was asked to stop.
pub(crate) struct Signals {
    asked: watch::Receiver<bool>,
}

impl Signals {
    /// Listens from now on: a signal no longer ends the process by itself.
    ///
    /// The first one is told by [`Signals::asked`]. A second one ends the process at once, and so does the time after the
    /// first. A thread of its own sees to that, since nothing else of the process may hold it up.
    pub(crate) fn listen() -> io::Result<Self> {
        let (tell, asked) = watch::channel(false);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let mut sources = {
            let _entered = runtime.enter();
            Sources::listen()?
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async move {
                sources.next().await;
                let _ = tell.send(true);
                if timeout(STOP_WITHIN, sources.next()).await.is_err() {
                    let words = "interrupted: what is committed stays; the next run registers it for queries";
                    // Whoever reads stderr may have stopped to.
                    let told = tokio::task::spawn_blocking(|| output::complain(words));
                    let _ = timeout(TELL_WITHIN, told).await;
                }
                std::process::exit(exit::INTERRUPTED.into());
            });
        })?;
        Ok(Self { asked })
    }

    /// Resolves when the process was asked to stop since the last time this resolved.
    pub(crate) async fn asked(&mut self) {
        if self.asked.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The ways in which a process is asked to stop.
struct Sources {
    #[cfg(unix)]
    interrupt: Signal,
    #[cfg(unix)]
    terminate: Signal,
    /// `None` for a process that is to outlive its terminal (`nohup`).
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

/// Whether whoever started the process had it ignore a signal. Where that cannot be told it counts as ignored, since to
/// listen would undo it.
#[cfg(unix)]
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores(&status, kind.as_raw_value()).unwrap_or(true)
}

/// What the lines of `/proc/PID/status` say of a signal: `SigIgn` is a mask in hex, the first signal its last bit.
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
    fn an_ignored_signal_is_told_from_the_mask_of_the_process() {
        let status =
            "Name:\trollcall\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n";
        for (signal, expected) in [(1, true), (2, false), (13, true), (15, false)] {
            assert_eq!(ignores(status, signal), Some(expected), "{signal}");
        }
        assert_eq!(ignores("", 1), None);
    }
}
