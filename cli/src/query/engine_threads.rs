//! The threads on which the SQL engine computes a query.

use std::future::Future;

use anyhow::Context;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// Threads of their own for one query. A join may compute for hours without a pause: on the threads of everything else,
/// neither a time limit nor Ctrl-C would be served meanwhile.
///
/// What still computes when this is dropped goes on until it pauses, but nobody waits for it.
pub(super) struct EngineThreads(Option<Runtime>);

impl EngineThreads {
    pub(super) fn start() -> anyhow::Result<Self> {
        let threads = Builder::new_multi_thread().thread_name("sql").enable_all().build();
        Ok(Self(Some(threads.context("run query: start the threads of the SQL engine")?)))
    }

    /// Starts what begins tasks of its own, such as the execution of a plan.
    pub(super) fn enter<T>(&self, start: impl FnOnce() -> T) -> T {
        let _on_these_threads = self.0.as_ref().map(Runtime::enter);
        start()
    }

    pub(super) fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        match &self.0 {
            Some(threads) => threads.spawn(task),
            // Cannot happen: only dropping this takes the threads.
            None => tokio::spawn(task),
        }
    }
}

impl Drop for EngineThreads {
    fn drop(&mut self) {
        let Some(threads) = self.0.take() else { return };
        match Handle::try_current() {
            // Another thread waits for them to end. Detaching threads that are about to end may crash in glibc (bug 19951).
            Ok(others) => drop(others.spawn_blocking(|| drop(threads))),
            Err(_) => drop(threads),
        }
    }
}
