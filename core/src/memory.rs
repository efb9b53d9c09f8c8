//! Limits the memory of everything in flight in a process: bodies, decoded pages and unfinished files.
//!
//! Pages share one limit and partitions another. Each limit has one permit, whose holder may exceed the limit.
//! Deadlock is impossible, because a waiting task holds nothing that the task it waits for needs:
//!
//! - A prefetched page, which is requested before it is due, never waits. It reserves its room first; without room, it
//!   is not requested yet. A page larger than its room is dropped and requested again when it is due.
//! - While its body arrives, the page due next waits for free room or for the permit of the page limit. The permit's
//!   holder needs only the rest of its own body.
//! - A partition waits when there is no room for the rows on a received page. It drops the page first and requests it
//!   again later. A complete partition may wait once more, with its finished file, for room to compare it with the
//!   object that it replaces. It waits for free room or for the permit of the partition limit. The permit's holder
//!   needs only its own pages, which the points above cover.
//!
//! The memory in use is therefore at most the sum of both limits, one body with its rows, and one partition. A partition
//! also counts rows that are held until they are known to have changed; before it waits, it encodes them.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use futures::lock::{Mutex as AsyncMutex, OwnedMutexGuard};

/// A limit in bytes, shared by every [`Room`] created from it. Clones share the same limit.
#[derive(Debug, Clone)]
pub struct Memory {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limit_bytes: usize,
    held: Mutex<Held>,
    /// The permit, whose holder may exceed the limit.
    permit: Arc<AsyncMutex<()>>,
}

/// The bytes held, and the tasks to wake when they decrease.
#[derive(Debug, Default)]
struct Held {
    n_bytes: usize,
    wakers: Vec<Waker>,
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    /// Creates a limit of `limit_bytes`.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        let permit = Arc::new(AsyncMutex::new(()));
        Self { shared: Arc::new(Shared { limit_bytes, held: Mutex::default(), permit }) }
    }

    /// Creates an empty room.
    #[must_use]
    pub fn room(&self) -> Room {
        Room { shared: self.shared.clone(), n_bytes: 0, permit: None }
    }

    /// Returns the bytes currently held.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.shared.held().n_bytes
    }
}

/// The bytes reserved for one page or one partition. Releases them when dropped.
#[derive(Debug)]
pub struct Room {
    shared: Arc<Shared>,
    n_bytes: usize,
    /// With the permit, this room may exceed the limit.
    permit: Option<OwnedMutexGuard<()>>,
}

impl Room {
    /// Returns the size of this room in bytes.
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        self.n_bytes
    }

    /// Resizes this room to `n_bytes` and returns `true`. Leaves it unchanged and returns `false` if it would grow
    /// beyond the limit.
    #[must_use]
    pub fn try_hold(&mut self, n_bytes: usize) -> bool {
        let shared = self.shared.clone();
        let mut held = shared.held();
        self.resize(&mut held, n_bytes)
    }

    /// Resizes this room to `n_bytes`. If it would grow beyond the limit, waits until there is enough room or until no
    /// other room exceeds the limit.
    pub async fn hold(&mut self, n_bytes: usize) {
        let shared = self.shared.clone();
        let mut permit = pin!(shared.permit.clone().lock_owned());
        poll_fn(|context| {
            {
                let mut held = shared.held();
                if self.resize(&mut held, n_bytes) {
                    return Poll::Ready(());
                }
                if !held.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                    held.wakers.push(context.waker().clone());
                }
            }
            match permit.as_mut().poll(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(permit) => {
                    self.permit = Some(permit);
                    let _ = self.resize(&mut shared.held(), n_bytes);
                    Poll::Ready(())
                }
            }
        })
        .await;
    }

    fn resize(&mut self, held: &mut Held, n_bytes: usize) -> bool {
        let others = held.n_bytes - self.n_bytes;
        let is_allowed = n_bytes <= self.n_bytes
            || self.permit.is_some()
            || n_bytes <= self.shared.limit_bytes.saturating_sub(others);
        if is_allowed {
            held.set(others + n_bytes);
            self.n_bytes = n_bytes;
        }
        is_allowed
    }
}

impl Held {
    fn set(&mut self, n_bytes: usize) {
        if n_bytes < self.n_bytes {
            self.wakers.drain(..).for_each(Waker::wake);
        }
        self.n_bytes = n_bytes;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut held = self.shared.held();
        let others = held.n_bytes - self.n_bytes;
        held.set(others);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn rooms_grow_up_to_the_limit_and_release_their_bytes_when_dropped() {
        let memory = Memory::new(100);
        let (mut one, mut other) = (memory.room(), memory.room());
        assert!(one.try_hold(60) && other.try_hold(40));
        assert!(!other.try_hold(41) && !memory.room().try_hold(1));
        assert_eq!((memory.held_bytes(), other.n_bytes()), (100, 40));
        assert!(one.try_hold(10) && other.try_hold(90));
        drop(one);
        assert!(other.try_hold(100) && !other.try_hold(101));
        drop(other);
        assert_eq!(memory.held_bytes(), 0);
    }

    #[test]
    fn one_room_at_a_time_exceeds_the_limit_and_the_others_wait_for_it() {
        let memory = Memory::new(100);
        let (mut one, mut other, mut third) = (memory.room(), memory.room(), memory.room());
        assert_eq!(one.hold(90).now_or_never(), Some(()));
        assert_eq!(other.hold(500).now_or_never(), Some(()), "no other room exceeds the limit");
        assert_eq!(other.hold(700).now_or_never(), Some(()), "this room already has the permit");
        assert_eq!(third.hold(1).now_or_never(), None);
        assert_eq!(one.hold(80).now_or_never(), Some(()), "shrinking never waits");
        assert_eq!(memory.held_bytes(), 780);
        drop(other);
        assert_eq!(third.hold(20).now_or_never(), Some(()));
        assert_eq!(third.hold(21).now_or_never(), Some(()));
        assert_eq!(one.hold(81).now_or_never(), None);
        // A room that stops waiting blocks no other.
        drop(third);
        assert_eq!(one.hold(101).now_or_never(), Some(()));
    }

    #[test]
    fn a_waiting_room_grows_as_soon_as_bytes_are_released_even_while_another_exceeds_the_limit() {
        let memory = Memory::new(100);
        let (mut large, mut one, mut two) = (memory.room(), memory.room(), memory.room());
        let mut other = memory.room();
        assert!(other.try_hold(90));
        assert_eq!(large.hold(20).now_or_never(), Some(()));
        {
            let (wake_one, wake_two) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
            let (mut one, mut two) = (pin!(one.hold(50)), pin!(two.hold(60)));
            let poll = |room: &mut std::pin::Pin<&mut dyn Future<Output = ()>>, woken: &Arc<Woken>| {
                let waker = Waker::from(woken.clone());
                room.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_ready()
            };
            let (mut one, mut two) = (one.as_mut() as _, two.as_mut() as _);
            assert!(!poll(&mut one, &wake_one) && !poll(&mut two, &wake_two));
            assert!(other.try_hold(90), "this releases nothing");
            assert!(!wake_one.is_woken() && !wake_two.is_woken());
            assert!(other.try_hold(10));
            assert!(wake_one.is_woken() && wake_two.is_woken());
            assert!(poll(&mut one, &wake_one) && !poll(&mut two, &wake_two), "only one room fits");
            drop(other);
            assert!(wake_two.is_woken() && !poll(&mut two, &wake_two));
            // The large room releases the permit, which is as good as free bytes.
            drop(large);
            assert!(wake_two.is_woken() && poll(&mut two, &wake_two));
        }
        assert_eq!(memory.held_bytes(), 110);
    }

    /// Records whether it was woken since the last check.
    #[derive(Default)]
    struct Woken(std::sync::atomic::AtomicBool);

    impl Woken {
        fn is_woken(&self) -> bool {
            self.0.swap(false, std::sync::atomic::Ordering::Relaxed)
        }
    }

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }
}
