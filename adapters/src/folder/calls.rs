//! Calls to a folder's disk, each on a thread of its own with a time in which it must answer.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rollcall_core::ports::StoreError;
use tokio::sync::Notify;
use tokio::time::timeout;

/// Calls under way, and those that nobody waits for any more. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Calls {
    /// The time in which a call must answer.
    within: Duration,
    state: Arc<Mutex<State>>,
    /// Told of every call that ends or is given up.
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    n_under_way: usize,
    /// Keys whose call did not answer in time and still has not returned.
    silent: BTreeSet<String>,
}

/// The cause of a call that did not answer in time: a mount that is gone, a disk that hangs.
#[derive(Debug)]
pub(super) struct NoAnswer {
    within: Duration,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected an answer of the disk within {} s, found none", self.within.as_secs())
    }
}

impl std::error::Error for NoAnswer {}

impl Calls {
    pub(super) fn new(within: Duration) -> Self {
        Self { within, state: Arc::default(), changed: Arc::default() }
    }

    /// Does blocking work on a thread of its own. One that does not answer in time is left behind, since no thread can be
    /// stopped; until it returns, further calls for its key are refused at once.
    ///
    /// Every silent call shortens the time of the others, so that a command ends soon however many files are on a mount
    /// that is gone, while one bad file leaves the others most of their time.
    ///
    /// - `key`: what is worked on, as it is named to people.
    ///
    /// # Errors
    /// What the work says; [`NoAnswer`] as the source when it says nothing.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        key: &str,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let no_answer =
            || StoreError { message: format!("wait for `{key}`"), source: NoAnswer { within: self.within }.into() };
        let (call, n_silent) = {
            let mut state = self.state();
            if state.silent.contains(key) {
                return Err(no_answer());
            }
            state.n_under_way += 1;
            (Call { calls: self.clone(), key: key.to_owned(), is_silent: Arc::default() }, state.silent.len())
        };
        let is_silent = call.is_silent.clone();
        let patience = self.within / u32::try_from(n_silent + 1).unwrap_or(u32::MAX);
        let answer = tokio::task::spawn_blocking(move || {
            let _call = call;
            work()
        });
        match timeout(patience, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(StoreError { message: "work on folder".to_owned(), source: error.into() }),
            Err(_) => {
                self.give_up(key, &is_silent);
                Err(no_answer())
            }
        }
    }

    /// Waits until no call is under way, such as a write whose caller was stopped; no longer than a call may take.
    pub(super) async fn settle(&self) {
        let settled = async {
            loop {
                let changed = self.changed.notified();
                let n_under_way = self.state().n_under_way;
                if n_under_way == 0 {
                    return;
                }
                tracing::debug!(n_under_way, "waiting for calls under way");
                changed.await;
            }
        };
        let _ = timeout(self.within, settled).await;
    }

    fn give_up(&self, key: &str, is_silent: &Mutex<CallState>) {
        let mut state = self.state();
        let mut call = is_silent.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have ended since.
        if *call == CallState::UnderWay {
            *call = CallState::Silent;
            state.n_under_way -= 1;
            state.silent.insert(key.to_owned());
            self.changed.notify_waiters();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of a call.
#[derive(Debug, Default, PartialEq, Eq)]
enum CallState {
    #[default]
    UnderWay,
    Silent,
    Ended,
}

/// A call under way, held by its thread: dropped when the work ends, however it ends.
struct Call {
    calls: Calls,
    key: String,
    is_silent: Arc<Mutex<CallState>>,
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut state = self.calls.state();
        let mut call = self.is_silent.lock().unwrap_or_else(PoisonError::into_inner);
        match *call {
            CallState::Silent => {
                state.silent.remove(&self.key);
            }
            CallState::UnderWay | CallState::Ended => state.n_under_way -= 1,
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

    /// Work that does not return before the sender is dropped.
    fn hang() -> (mpsc::Sender<()>, impl FnOnce() -> Result<u32, StoreError> + Send) {
        let (release, wait) = mpsc::channel::<()>();
        (release, move || {
            let _ = wait.recv();
            Ok(1)
        })
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn d11_a_call_that_never_answers_is_left_behind_and_its_key_refused_until_it_returns() {
        let calls = Calls::new(SHORT);
        let (release, work) = hang();
        let error = calls.run("a", work).await.unwrap_err();
        assert!(error.source.is::<NoAnswer>());
        assert_eq!(error.source.to_string(), "expected an answer of the disk within 0 s, found none");
        let refused = calls.run("a", || -> Result<u32, StoreError> { panic!("the key is refused") }).await.unwrap_err();
        assert_eq!(refused.to_string(), "wait for `a`");
        assert_eq!(calls.run("b", || Ok(2)).await.unwrap(), 2);
        // Nobody waits for what was given up.
        calls.settle().await;
        let returned = calls.changed.notified();
        drop(release);
        returned.await;
        assert_eq!(calls.run("a", || Ok(3)).await.unwrap(), 3);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn d11_what_a_stopped_caller_left_under_way_is_waited_for_within_bounds() {
        let calls = Calls::new(SHORT);
        let (release, work) = hang();
        let mut call = Box::pin(calls.run("a", work));
        assert!(std::future::poll_fn(|context| std::task::Poll::Ready(call.as_mut().poll(context))).await.is_pending());
        drop(call);
        calls.settle().await;
        assert_eq!(calls.state().n_under_way, 1);
        drop(release);
        Calls { within: Duration::from_secs(60), ..calls.clone() }.settle().await;
        assert_eq!(calls.state().n_under_way, 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn d11_many_silent_calls_are_together_waited_for_little_longer_than_one() {
        let calls = Calls::new(Duration::from_millis(400));
        let begun = std::time::Instant::now();
        let mut held = Vec::new();
        for n in 0..20 {
            let (release, work) = hang();
            held.push(release);
            calls.run(&n.to_string(), work).await.unwrap_err();
        }
        // 400 ms × (1 + 1/2 + … + 1/20), where each by itself would take 8 s.
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    }
}
