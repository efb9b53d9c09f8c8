//! Memory that what is in flight may take: bodies, decoded pages and half-written files of all partitions of a process.
//!
//! Nothing waits in a circle, because of what waits and while it holds what:
//!
//! - A page that is asked for ahead of the one due next has its room before it is asked for, or is not asked for. It never
//!   waits for room, and one that turns out larger is given up and asked for again when it is due.
//! - The page that is due next of a partition waits while its body arrives, for room that comes back or for the one place of
//!   a body that exceeds the limit. Whoever has that place needs nothing more than the rest of its own body.
//! - A partition waits for room when there is none for the rows of the page that came, and gives that page up first, to ask
//!   for it again. It waits at the door of one place for a partition that exceeds the limit. Whoever has that place needs
//!   only its own pages, for which the above holds.
//!
//! So what is held is at most both limits, one body and its rows, and one partition.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use futures::lock::{Mutex as AsyncMutex, OwnedMutexGuard};

/// A limit in bytes that everything shares whose [`Room`] is of it. Clones are the same limit.
#[derive(Debug, Clone)]
pub struct Memory {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limit_bytes: usize,
    held: Mutex<Held>,
    /// The place of whoever may exceed the limit.
    place: Arc<AsyncMutex<()>>,
}

/// What is held, and who is told when it is less.
#[derive(Debug, Default)]
struct Held {
    n_bytes: usize,
    waiting: Vec<Waker>,
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    /// A limit of so many bytes.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        let place = Arc::new(AsyncMutex::new(()));
        Self { shared: Arc::new(Shared { limit_bytes, held: Mutex::default(), place }) }
    }

    /// No room yet.
    #[must_use]
    pub fn room(&self) -> Room {
        Room { shared: self.shared.clone(), n_bytes: 0, place: None }
    }

    /// Bytes held at this moment.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.shared.held().n_bytes
    }
}

/// The bytes that one page or one partition takes. Gives them back when it is dropped.
#[derive(Debug)]
pub struct Room {
    shared: Arc<Shared>,
    n_bytes: usize,
    /// Whether this one may exceed the limit.
    place: Option<OwnedMutexGuard<()>>,
}

impl Room {
    /// Bytes that this holds.
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        self.n_bytes
    }

    /// Holds so many bytes instead of those before, unless they are more and exceed the limit. Gives whether it does.
    #[must_use]
    pub fn try_hold(&mut self, n_bytes: usize) -> bool {
        let shared = self.shared.clone();
        let mut held = shared.held();
        self.hold_of(&mut held, n_bytes)
    }

    /// Holds so many bytes instead of those before. Where they exceed the limit, it waits until there is room for them or no
    /// other exceeds it.
    pub async fn hold(&mut self, n_bytes: usize) {
        let shared = self.shared.clone();
        let mut place = pin!(shared.place.clone().lock_owned());
        poll_fn(|context| {
            {
                let mut held = shared.held();
                if self.hold_of(&mut held, n_bytes) {
                    return Poll::Ready(());
                }
                if !held.waiting.iter().any(|waiting| waiting.will_wake(context.waker())) {
                    held.waiting.push(context.waker().clone());
                }
            }
            match place.as_mut().poll(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(place) => {
                    self.place = Some(place);
                    let _ = self.hold_of(&mut shared.held(), n_bytes);
                    Poll::Ready(())
                }
            }
        })
        .await;
    }

    fn hold_of(&mut self, held: &mut Held, n_bytes: usize) -> bool {
        let others = held.n_bytes - self.n_bytes;
        let may = n_bytes <= self.n_bytes
            || self.place.is_some()
            || n_bytes <= self.shared.limit_bytes.saturating_sub(others);
        if may {
            held.set(others + n_bytes);
            self.n_bytes = n_bytes;
        }
        may
    }
}

impl Held {
    fn set(&mut self, n_bytes: usize) {
        if n_bytes < self.n_bytes {
            self.waiting.drain(..).for_each(Waker::wake);
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
    fn room_is_had_up_to_the_limit_and_comes_back() {
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
    fn one_at_a_time_exceeds_the_limit_and_the_others_wait_for_it() {
        let memory = Memory::new(100);
        let (mut one, mut other, mut third) = (memory.room(), memory.room(), memory.room());
        assert_eq!(one.hold(90).now_or_never(), Some(()));
        assert_eq!(other.hold(500).now_or_never(), Some(()), "nobody else exceeds it");
        assert_eq!(other.hold(700).now_or_never(), Some(()), "it has the place already");
        assert_eq!(third.hold(1).now_or_never(), None);
        assert_eq!(one.hold(80).now_or_never(), Some(()), "less is never waited for");
        assert_eq!(memory.held_bytes(), 780);
        drop(other);
        assert_eq!(third.hold(20).now_or_never(), Some(()));
        assert_eq!(third.hold(21).now_or_never(), Some(()));
        assert_eq!(one.hold(81).now_or_never(), None);
        // One that does not wait any more is in nobody's way.
        drop(third);
        assert_eq!(one.hold(101).now_or_never(), Some(()));
    }

    #[test]
    fn whoever_waits_has_room_as_soon_as_it_comes_back_although_another_exceeds_the_limit() {
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
            assert!(other.try_hold(90), "nothing comes back");
            assert!(!wake_one.is_woken() && !wake_two.is_woken());
            assert!(other.try_hold(10));
            assert!(wake_one.is_woken() && wake_two.is_woken());
            assert!(poll(&mut one, &wake_one) && !poll(&mut two, &wake_two), "there is room for one");
            drop(other);
            assert!(wake_two.is_woken() && !poll(&mut two, &wake_two));
            // The place that the large one gives up is as good as room.
            drop(large);
            assert!(wake_two.is_woken() && poll(&mut two, &wake_two));
        }
        assert_eq!(memory.held_bytes(), 110);
    }

    /// Whether it was woken since it was last asked.
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
