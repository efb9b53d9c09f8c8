//! One thread, many tasks: every call to the world waits until the scheduler grants it, so the seed decides the order
//! of effects across all tasks.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use crate::world::{Shared, World};

/// Task number.
pub(crate) type TaskId = usize;

/// The effect of a call on the world when it is granted.
type Effect = Box<dyn FnOnce(&mut World) + Send>;

/// A call that is waiting to be granted.
pub(crate) struct Pending {
    id: u64,
    pub(crate) task: TaskId,
    pub(crate) is_write: bool,
    effect: Effect,
    waker: Waker,
}

impl Pending {
    /// Applies the effect and resumes the caller.
    pub(crate) fn grant(self, world: &mut World) {
        (self.effect)(world);
        self.waker.wake();
    }

    /// Applies the effect of a call whose caller is gone.
    pub(crate) fn land(self, world: &mut World) {
        (self.effect)(world);
    }
}

/// Pending calls, and writes in transit whose sender is gone.
#[derive(Default)]
pub(crate) struct Calls {
    next_id: u64,
    pub(crate) pending: Vec<Pending>,
    pub(crate) orphans: Vec<Pending>,
}

/// One call to the world.
pub(crate) struct Call<T> {
    shared: Shared,
    task: TaskId,
    is_write: bool,
    id: Option<u64>,
    effect: Option<Effect>,
    answer: Arc<Mutex<Option<T>>>,
}

/// Calls the world on behalf of `task`. A write may still arrive after its caller is gone.
pub(crate) fn call<T: Send + 'static>(
    shared: &Shared,
    task: TaskId,
    is_write: bool,
    effect: impl FnOnce(&mut World) -> T + Send + 'static,
) -> Call<T> {
    let answer = Arc::new(Mutex::new(None));
    let slot = answer.clone();
    let effect: Effect = Box::new(move |world| {
        let answer = effect(world);
        *slot.lock().unwrap() = Some(answer);
    });
    Call { shared: shared.clone(), task, is_write, id: None, effect: Some(effect), answer }
}

impl<T> Future for Call<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        if let Some(answer) = self.answer.lock().unwrap().take() {
            return Poll::Ready(answer);
        }
        let shared = self.shared.clone();
        let calls = &mut shared.lock().unwrap().calls;
        match self.effect.take() {
            Some(effect) => {
                let id = calls.next_id;
                calls.next_id += 1;
                self.id = Some(id);
                let waker = context.waker().clone();
                calls.pending.push(Pending { id, task: self.task, is_write: self.is_write, effect, waker });
            }
            None => {
                if let Some(pending) = calls.pending.iter_mut().find(|pending| Some(pending.id) == self.id) {
                    pending.waker.clone_from(context.waker());
                }
            }
        }
        Poll::Pending
    }
}

impl<T> Drop for Call<T> {
    fn drop(&mut self) {
        // After a panic, the state does not matter.
        let Ok(mut world) = self.shared.lock() else { return };
        let Some(at) = world.calls.pending.iter().position(|pending| Some(pending.id) == self.id) else { return };
        let pending = world.calls.pending.remove(at);
        // The request may have been sent before its sender died.
        if pending.is_write && world.rng.bool() {
            world.note(Some(pending.task), "left in transit", String::new(), String::new());
            world.calls.orphans.push(pending);
        }
    }
}

/// Wakes a task.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A future that the scheduler polls.
pub(crate) type Work<T> = Pin<Box<dyn Future<Output = T>>>;

/// A running task.
pub(crate) struct Task<T> {
    work: Work<T>,
    flag: Arc<Flag>,
    /// Its calls are not granted before this step.
    pub(crate) held_until: u32,
}

impl<T> Task<T> {
    pub(crate) fn new(work: Work<T>) -> Self {
        Self { work, flag: Arc::default(), held_until: 0 }
    }

    /// Polls until the task waits for the world or ends.
    pub(crate) fn poll(&mut self) -> Poll<T> {
        let waker = Waker::from(self.flag.clone());
        loop {
            self.flag.0.store(false, Ordering::Relaxed);
            match self.work.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Pending if self.flag.0.load(Ordering::Relaxed) => {}
                ended => return ended,
            }
        }
    }
}
