//! Ctrl-C and SIGTERM, from the start of a run to its end.

use tokio::sync::watch;

/// Tells how often the process was asked to stop.
#[derive(Debug, Clone)]
pub(crate) struct Signals {
    n_seen: watch::Receiver<u32>,
}

impl Signals {
    /// Listens from now on.
    pub(crate) fn listen() -> Self {
        let (sender, n_seen) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                next().await;
                sender.send_modify(|n| *n += 1);
            }
        });
        Self { n_seen }
    }

    /// Resolves when the process was asked to stop since the last time this resolved.
    pub(crate) async fn asked(&mut self) {
        if self.n_seen.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Resolves at the next Ctrl-C or SIGTERM.
async fn next() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
