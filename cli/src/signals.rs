//! Ctrl-C and SIGTERM, from the start of a run to its end; and the signal of a file that may not grow.

use std::io;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

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

/// The ways in which a process is asked to stop.
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: Signal,
    #[cfg(unix)]
    terminate: Signal,
}

impl Signals {
    /// Listens from now on: a signal no longer ends the process by itself.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            interrupt: signal(SignalKind::interrupt())?,
            #[cfg(unix)]
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Resolves when the process was asked to stop since the last time this resolved.
    pub(crate) async fn asked(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
