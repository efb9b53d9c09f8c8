//! Whether a run's portal can be reached at all: its first fetches find out together.

use bytes::Bytes;
use rollcall_core::Error;
use rollcall_core::memory::{Memory, Room};
use rollcall_core::ports::{PageRequest, Portal, PortalError, Reading, Response};
use tokio::sync::watch;
use url::Url;

/// What is known of the portal, shared by the fetches of a run.
pub(crate) struct Reach {
    state: watch::Sender<State>,
}

enum State {
    /// Fetches that are still to find no connection before the portal counts as unreachable.
    Unknown { n_left: usize },
    /// Whatever goes wrong from now on is one partition's matter.
    Reached,
    /// The words of the last fetch that found no connection.
    Unreachable(String),
}

impl Reach {
    /// - `n_first`: fetches that begin at once.
    pub(crate) fn new(n_first: usize) -> Self {
        Self { state: watch::Sender::new(State::Unknown { n_left: n_first }) }
    }

    /// A fetch was answered, or came to an end that is no matter of connections.
    pub(crate) fn reached(&self) {
        self.state.send_if_modified(|state| {
            let is_news = matches!(state, State::Unknown { .. });
            if is_news {
                *state = State::Reached;
            }
            is_news
        });
    }

    /// A fetch found no connection. Waits until another was answered or all of the first found none, and gives whether it
    /// makes sense to try again.
    pub(crate) async fn not_connected(&self, error: &Error) -> bool {
        self.state.send_if_modified(|state| {
            let State::Unknown { n_left } = state else { return false };
            *n_left = n_left.saturating_sub(1);
            let is_last = *n_left == 0;
            if is_last {
                *state = State::Unreachable(format!("{}: {}", error.name(), error.chain()));
            }
            is_last
        });
        let mut state = self.state.subscribe();
        let known = state.wait_for(|state| !matches!(state, State::Unknown { .. })).await;
        known.is_ok_and(|state| matches!(*state, State::Reached))
    }

    /// Ends when the portal is known to be unreachable, with why.
    pub(crate) async fn unreachable(&self) -> String {
        let mut state = self.state.subscribe();
        match state.wait_for(|state| matches!(state, State::Unreachable(_))).await.as_deref() {
            Ok(State::Unreachable(why)) => why.clone(),
            _ => std::future::pending().await,
        }
    }
}

/// A portal whose first answer settles that it can be reached.
pub(crate) struct WatchedPortal<'r, P> {
    pub(crate) portal: P,
    pub(crate) reach: &'r Reach,
}

impl<P: Portal> Portal for WatchedPortal<'_, P> {
    fn root(&self) -> &Url {
        self.portal.root()
    }

    async fn get<T: Send>(
        &self,
        path: &str,
        page: u32,
        request: PageRequest,
        read: impl Fn(&Bytes) -> Reading<T> + Send + Sync,
    ) -> Result<Response<T>, PortalError> {
        let response = self.portal.get(path, page, request, read).await;
        if !response.as_ref().is_err_and(PortalError::is_unreachable) {
            self.reach.reached();
        }
        response
    }

    fn page_memory(&self) -> Memory {
        self.portal.page_memory()
    }

    fn partition_memory(&self) -> Memory {
        self.portal.partition_memory()
    }

    async fn hold(&self, room: &mut Room, n_bytes: usize) -> Result<(), PortalError> {
        self.portal.hold(room, n_bytes).await
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, future::join_all};
    use rollcall_core::partition::PartitionKey;

    use super::*;

    fn unreachable() -> Error {
        let source = PortalError::NoAnswer { tries: 4, is_connected: false, source: "connection refused".into() };
        let error = Error::PortalUnavailable { partition: PartitionKey::new(Vec::new()), page: 1, source };
        assert!(error.is_unreachable());
        error
    }

    /// Found by use: B5.
    #[tokio::test]
    async fn a38_a_portal_is_unreachable_when_none_of_the_first_fetches_found_a_connection() {
        let (reach, error) = (Reach::new(3), unreachable());
        assert_eq!(reach.unreachable().now_or_never(), None);
        let all = join_all((0..3).map(|_| reach.not_connected(&error))).await;
        assert_eq!(all, [false; 3]);
        let why = reach.unreachable().now_or_never();
        assert!(why.is_some_and(|why| why.starts_with("PortalUnavailable: fetch page 1 of ")));
    }

    /// Found by use: B5.
    #[tokio::test]
    async fn a38_one_answer_makes_every_missing_connection_a_matter_of_its_partition() {
        let (reach, error) = (Reach::new(3), unreachable());
        let mut waiting = Box::pin(join_all([reach.not_connected(&error), reach.not_connected(&error)]));
        assert_eq!(waiting.as_mut().now_or_never(), None, "a third may still be answered");
        reach.reached();
        assert_eq!(waiting.now_or_never(), Some(vec![true, true]));
        for _ in 0..10 {
            assert_eq!(
                reach.not_connected(&error).now_or_never(),
                Some(true),
                "in the middle of a run that was answered"
            );
        }
        assert_eq!(reach.unreachable().now_or_never(), None);
    }
}
