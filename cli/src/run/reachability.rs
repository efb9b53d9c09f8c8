//! Finds out whether a run's portal can be reached at all.
//!
//! A run starts several fetches at once. If none of these gets a connection, the portal is unreachable and the run
//! stops. Once any of them does, failing to connect fails only the partition concerned.

use rollcall_core::Error;
use tokio::sync::watch;

/// Whether the portal can be reached, shared by the fetches of a run.
pub(crate) struct SharedReachability {
    state: watch::Sender<State>,
}

enum State {
    /// The portal is unreachable once `n_left` more fetches get no connection.
    Unknown {
        n_left: usize,
    },
    Reached,
    /// Holds the error from the last fetch that got no connection.
    Unreachable(String),
}

impl SharedReachability {
    /// - `n_first`: number of fetches that start at once.
    pub(crate) fn new(n_first: usize) -> Self {
        Self { state: watch::Sender::new(State::Unknown { n_left: n_first }) }
    }

    /// Records that a fetch got a response, or ended for a reason other than failing to connect.
    pub(crate) fn set_reached(&self) {
        self.state.send_if_modified(|state| {
            let is_new = matches!(state, State::Unknown { .. });
            if is_new {
                *state = State::Reached;
            }
            is_new
        });
    }

    /// Records that a fetch got no connection. Returns whether it should be retried.
    ///
    /// Waits until another fetch has got a response, or all of the first fetches have failed to get a connection.
    pub(crate) async fn report_no_connection(&self, error: &Error) -> bool {
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

    /// Waits until the portal is known to be unreachable, and returns the reason.
    pub(crate) async fn unreachable(&self) -> String {
        let mut state = self.state.subscribe();
        match state.wait_for(|state| matches!(state, State::Unreachable(_))).await.as_deref() {
            Ok(State::Unreachable(reason)) => reason.clone(),
            _ => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, future::join_all};
    use rollcall_core::partition::PartitionKey;
    use rollcall_core::ports::PortalError;

    use super::*;

    fn unreachable() -> Error {
        let source = PortalError::NoAnswer { tries: 4, is_connected: false, source: "connection refused".into() };
        let error = Error::PortalUnavailable { partition: PartitionKey::new(Vec::new()), page: 1, source };
        assert!(error.is_unreachable());
        error
    }

    /// Found by use: B5.
    #[tokio::test]
    async fn a38_the_portal_is_unreachable_if_none_of_the_first_fetches_gets_a_connection() {
        let (reachability, error) = (SharedReachability::new(3), unreachable());
        assert_eq!(reachability.unreachable().now_or_never(), None);
        let all = join_all((0..3).map(|_| reachability.report_no_connection(&error))).await;
        assert_eq!(all, [false; 3]);
        let reason = reachability.unreachable().now_or_never();
        assert!(reason.is_some_and(|reason| reason.starts_with("PortalUnavailable: fetch page 1 of ")));
    }

    /// Found by use: B5.
    #[tokio::test]
    async fn a38_after_one_response_a_missing_connection_fails_only_its_partition() {
        let (reachability, error) = (SharedReachability::new(3), unreachable());
        let mut waiting =
            Box::pin(join_all([reachability.report_no_connection(&error), reachability.report_no_connection(&error)]));
        assert_eq!(waiting.as_mut().now_or_never(), None, "the third may still get a response");
        reachability.set_reached();
        assert_eq!(waiting.now_or_never(), Some(vec![true, true]));
        for _ in 0..10 {
            assert_eq!(
                reachability.report_no_connection(&error).now_or_never(),
                Some(true),
                "the portal was reached before"
            );
        }
        assert_eq!(reachability.unreachable().now_or_never(), None);
    }
}
