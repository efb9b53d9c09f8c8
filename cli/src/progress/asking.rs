//! What the portal is asked for before anything is fetched, while it takes its time to answer.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rollcall_adapters::http_portal::{NextTry, OnRetry};

use crate::bars;
use crate::escape::visible;
use crate::progress::lines::{cells, joined};
use crate::progress::retry::Retry;
use crate::progress::{Progress, Shown};
use crate::words::duration;

/// Time without an answer from which on it is shown: on a terminal, and in a log, where a line stays.
const SHOW_AFTER: Duration = Duration::from_millis(300);
const LOG_AFTER: Duration = Duration::from_secs(1);

/// The last retry of what the portal is asked for, with the time to which its own is relative.
#[derive(Clone)]
pub(crate) struct Retries {
    last: Arc<Mutex<Option<Retry>>>,
    since: Instant,
}

impl Retries {
    pub(crate) fn new() -> Self {
        Self { last: Arc::default(), since: Instant::now() }
    }

    /// Returns what learns of retries.
    pub(crate) fn learn(&self) -> OnRetry {
        let retries = self.clone();
        Arc::new(move |next: NextTry<'_>| retries.set(Some(Retry::new(next, retries.since.elapsed() + next.wait))))
    }

    fn set(&self, retry: Option<Retry>) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = retry;
    }

    fn next_try(&self) -> Option<String> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let retry = last.as_ref()?;
        Some(format!("{}, {}", visible(&retry.reason), retry.in_words(self.since.elapsed())))
    }
}

/// A question to the portal.
struct Asking {
    /// What it asks for, such as `list of endpoints`.
    what: String,
    retries: Retries,
}

impl Asking {
    /// Returns the question, for how long it has been asked, and when it is asked again.
    fn parts(&self, now: Duration, question: &str) -> Vec<String> {
        [format!("{question} {}", duration(now))].into_iter().chain(self.retries.next_try()).collect()
    }
}

impl Shown for Asking {
    const HANDLES_INTERRUPT: bool = false;

    fn lines(&self, now: Duration, width: usize) -> Vec<String> {
        let what = &self.what;
        let questions = [question(what), format!("asking for the {what} ..."), format!("{what} ...")];
        let forms = questions.map(|question| self.parts(now, &question));
        let is_whole = |parts: &&Vec<String>| cells(&joined(parts.to_vec(), ", ", usize::MAX)) <= width;
        let parts = forms.iter().find(is_whole).unwrap_or(&forms[2]).clone();
        vec![joined(parts, ", ", width)]
    }

    fn line(&self, now: Duration) -> String {
        self.parts(now, &question(&self.what)).join(", ")
    }
}

fn question(what: &str) -> String {
    format!("asking the portal for its {what} ...")
}

/// Awaits an answer of the portal. If it takes a moment, says what the portal is asked for until it has come.
///
/// - `what`: what the portal is asked for, such as `list of endpoints`.
pub(crate) async fn saying<T>(what: &str, retries: &Retries, answer: impl Future<Output = T>) -> T {
    retries.set(None);
    let mut answer = pin!(answer);
    let patience = if bars::are_drawn() { SHOW_AFTER } else { LOG_AFTER };
    if let Ok(answer) = tokio::time::timeout(patience, &mut answer).await {
        return answer;
    }
    let asking = Asking { what: what.to_owned(), retries: retries.clone() };
    let _shown = Progress::start(asking, Some(&question(what)));
    answer.await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_says_what_it_asks_for_and_when_it_is_asked_again() {
        let asking = Asking { what: "list of endpoints".to_owned(), retries: Retries::new() };
        let at = Duration::from_secs(12);
        assert_eq!(asking.line(at), "asking the portal for its list of endpoints ... 12 s");
        let next = NextTry {
            what: rollcall_adapters::http_portal::Retried::Request,
            reason: "HTTP 503",
            wait: Duration::from_secs(30),
            number: 2,
            limit: 4,
        };
        (asking.retries.learn())(next);
        let retry = "HTTP 503, try 2 of 4 in 30 s";
        let question = "asking the portal for its list of endpoints ...";
        assert_eq!(asking.lines(at, 100), [format!("{question} 12 s, {retry}")]);
        assert_eq!(asking.lines(at, 80), [format!("asking for the list of endpoints ... 12 s, {retry}")]);
        assert_eq!(asking.lines(at, 60), [format!("list of endpoints ... 12 s, {retry}")]);
        assert_eq!(asking.lines(at, 40), ["list of endpoints ... 12 s"]);
    }
}
