//! Calls to a folder's disk, each on its own thread and with a time limit.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rollcall_core::ports::StoreError;
use tokio::sync::Notify;
use tokio::time::timeout;

/// The calls in progress, including abandoned ones. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Calls {
    /// Time limit of a call.
    time_limit: Duration,
    state: Arc<Mutex<State>>,
    /// Notified when a call ends or is abandoned.
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    n_running: usize,
    /// Keys of calls that exceeded the time limit and have not returned yet.
    hung: BTreeSet<String>,
}

/// Error for a call that exceeded its time limit, for example because a mount is gone or a disk hangs.
#[derive(Debug)]
pub(super) struct CallTimeout {
    time_limit: Duration,
}

impl fmt::Display for CallTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected a response from the disk within {} s, found none", self.time_limit.as_secs())
    }
}

impl std::error::Error for CallTimeout {}

impl Calls {
    pub(super) fn new(time_limit: Duration) -> Self {
        Self { time_limit, state: Arc::default(), changed: Arc::default() }
    }

    /// Runs blocking work on its own thread. A call that exceeds its time limit is abandoned, because a thread cannot be
    /// stopped. Until it returns, further calls for its key are refused at once.
    ///
    /// Each hung call shortens the time limit of the others. A command therefore ends soon even if many files are on a
    /// mount that is gone, while a single bad file leaves the others most of their time.
    ///
    /// - `key`: the file or folder, as shown to users.
    ///
    /// # Errors
    /// Returns the errors of `work`. If the call exceeds its time limit, the source of the error is [`CallTimeout`].
    pub(super) async fn run<T: Send + 'static>(
        &self,
        key: &str,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let timed_out = || StoreError {
            message: format!("wait for `{key}`"),
            source: CallTimeout { time_limit: self.time_limit }.into(),
        };
        let (call, n_hung) = {
            let mut state = self.state();
            if state.hung.contains(key) {
                return Err(timed_out());
            }
            state.n_running += 1;
            (Call { calls: self.clone(), key: key.to_owned(), state: Arc::default() }, state.hung.len())
        };
        let call_state = call.state.clone();
        let time_limit = self.time_limit / u32::try_from(n_hung + 1).unwrap_or(u32::MAX);
        let response = tokio::task::spawn_blocking(move || {
            let _call = call;
            work()
        });
        match timeout(time_limit, response).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(StoreError { message: format!("access `{key}`"), source: error.into() }),
            Err(_) => {
                self.abandon(key, &call_state);
                Err(timed_out())
            }
        }
    }

    /// Waits until no call is running, such as a write whose caller was cancelled, but no longer than the time limit.
    pub(super) async fn settle(&self) {
        let settled = async {
            loop {
                let changed = self.changed.notified();
                let n_running = self.state().n_running;
                if n_running == 0 {
                    return;
                }
                tracing::debug!(n_running, "waiting for running calls");
                changed.await;
            }
        };
        let _ = timeout(self.time_limit, settled).await;
    }

    fn abandon(&self, key: &str, call_state: &Mutex<CallState>) {
        let mut state = self.state();
        let mut call = call_state.lock().unwrap_or_else(PoisonError::into_inner);
        // The call may have ended in the meantime.
        if *call == CallState::Running {
            *call = CallState::Hung;
            state.n_running -= 1;
            state.hung.insert(key.to_owned());
            self.changed.notify_waiters();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// State of a call.
#[derive(Debug, Default, PartialEq, Eq)]
enum CallState {
    #[default]
    Running,
    Hung,
    Ended,
}

/// A running call. Its thread owns this value, and drops it when the work returns or panics.
struct Call {
    calls: Calls,
    key: String,
    state: Arc<Mutex<CallState>>,
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut state = self.calls.state();
        let mut call = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match *call {
            CallState::Hung => {
                state.hung.remove(&self.key);
            }
            CallState::Running | CallState::Ended => state.n_running -= 1,
        }
        *call = CallState::Ended;
        self.calls.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const SHORT: Duration = Duration::from_millis(50);

    /// Returns work that does not end before the sender is dropped.
    fn hang() -> (mpsc::Sender<()>, impl FnOnce() -> Result<u32, StoreError> + Send) {
        let (release, wait) = mpsc::channel::<()>();
        (release, move || {
            let _ = wait.recv();
            Ok(1)
        })
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn d11_a_hung_call_is_abandoned_and_its_key_is_refused_until_it_returns() {
        let calls = Calls::new(SHORT);
        let (release, work) = hang();
        let error = calls.run("a", work).await.unwrap_err();
        assert!(error.source.is::<CallTimeout>());
        assert_eq!(error.source.to_string(), "expected a response from the disk within 0 s, found none");
        let refused = calls.run("a", || -> Result<u32, StoreError> { panic!("the key is refused") }).await.unwrap_err();
        assert_eq!(refused.to_string(), "wait for `a`");
        assert_eq!(calls.run("b", || Ok(2)).await.unwrap(), 2);
        // Abandoned calls are not awaited.
        assert_eq!(calls.state().n_running, 0);
        calls.settle().await;
        let returned = calls.changed.notified();
        drop(release);
        timeout(Duration::from_secs(5), returned).await.expect("the end of the call is notified");
        assert_eq!(calls.run("a", || Ok(3)).await.unwrap(), 3);
        let state = calls.state();
        assert_eq!((state.n_running, state.hung.len()), (0, 0));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn d11_a_call_whose_caller_was_cancelled_is_waited_for_within_the_time_limit() {
        let calls = Calls::new(SHORT);
        let (release, work) = hang();
        let mut call = Box::pin(calls.run("a", work));
        assert!(std::future::poll_fn(|context| std::task::Poll::Ready(call.as_mut().poll(context))).await.is_pending());
        drop(call);
        calls.settle().await;
        assert_eq!(calls.state().n_running, 1);
        drop(release);
        Calls { time_limit: Duration::from_secs(5), ..calls.clone() }.settle().await;
        assert_eq!(calls.state().n_running, 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn d11_many_hung_calls_together_take_little_longer_than_one() {
        let calls = Calls::new(Duration::from_millis(200));
        let started = std::time::Instant::now();
        let mut held = Vec::new();
        for n in 0..12 {
            let (release, work) = hang();
            held.push(release);
            calls.run(&n.to_string(), work).await.unwrap_err();
        }
        // 200 ms × (1 + 1/2 + … + 1/12) = 620 ms. With the full time limit for each call, it would be 2.4 s.
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    }
}
