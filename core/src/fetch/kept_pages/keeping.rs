//! Keeps pages beside the task that fetches them: they are compressed and written while other pages arrive.

use std::future::{Future, poll_fn};
use std::task::Poll;

use futures::channel::oneshot::{self, Receiver, Sender};
use futures::stream::FuturesUnordered;
use futures::{Stream, StreamExt};

use crate::fetch::kept_pages::KeptPages;
use crate::fetch::kept_pages::to_keep::ToKeep;
use crate::ports::store::Store;

/// Keeps a page once it has been received.
pub(in crate::fetch) async fn keep<'k, S: Store>(kept: &'k KeptPages<'k, S>, received: Receiver<ToKeep<'k>>) {
    // Otherwise it is already kept, is not to be kept, or did not arrive.
    if let Ok(page) = received.await {
        kept.add(page).await;
    }
}

/// The pages of a fetch that are being kept. `K` is the future that [`keep`] returns.
pub(in crate::fetch) struct Keeping<'k, S, K> {
    pub(in crate::fetch) kept: &'k KeptPages<'k, S>,
    keep: fn(&'k KeptPages<'k, S>, Receiver<ToKeep<'k>>) -> K,
    pages: FuturesUnordered<K>,
}

impl<'k, S: Store, K: Future<Output = ()>> Keeping<'k, S, K> {
    pub(in crate::fetch) fn new(
        kept: &'k KeptPages<'k, S>,
        keep: fn(&'k KeptPages<'k, S>, Receiver<ToKeep<'k>>) -> K,
    ) -> Self {
        Self { kept, keep, pages: FuturesUnordered::new() }
    }

    /// Returns where to send a page once it has been received and checked.
    pub(in crate::fetch) fn expect(&mut self) -> Sender<ToKeep<'k>> {
        let (sender, receiver) = oneshot::channel();
        self.pages.push((self.keep)(self.kept, receiver));
        sender
    }

    /// Waits for the next page of `ahead`, while pages are kept.
    pub(in crate::fetch) async fn next_of<T>(&mut self, ahead: &mut (impl Stream<Item = T> + Unpin)) -> Option<T> {
        poll_fn(|context| {
            let next = ahead.poll_next_unpin(context);
            while let Poll::Ready(Some(())) = self.pages.poll_next_unpin(context) {}
            next
        })
        .await
    }

    /// Waits until every page that was received is written.
    pub(in crate::fetch) async fn finish(mut self) {
        while self.pages.next().await.is_some() {}
    }
}
