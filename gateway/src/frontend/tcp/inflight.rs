//! How many calls of a connection are under way.

use std::cell::{Cell, RefCell};
use std::task::{Poll, Waker};

/// Counts calls that wait for the backend, and holds the reader back at the limit.
#[derive(Debug)]
pub(super) struct InFlight {
    count: Cell<u32>,
    count_max: u32,
    waiting: RefCell<Option<Waker>>,
}

impl InFlight {
    pub(super) const fn new(count_max: u32) -> Self {
        Self { count: Cell::new(0), count_max, waiting: RefCell::new(None) }
    }

    /// Calls under way.
    pub(super) fn count(&self) -> u32 {
        self.count.get()
    }

    /// One more.
    pub(super) fn begin(&self) {
        self.count.set(self.count.get().saturating_add(1));
    }

    /// One is answered.
    pub(super) fn end(&self) {
        self.count.set(self.count.get().saturating_sub(1));
        self.wake();
    }

    /// Lets whoever waits look again.
    pub(super) fn wake(&self) {
        let waker = self.waiting.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits until one more may begin.
    pub(super) async fn wait_for_place(&self) {
        self.wait_until(|count| count < self.count_max).await;
    }

    /// Waits until none is under way.
    pub(super) async fn wait_for_none(&self) {
        self.wait_until(|count| count == 0).await;
    }

    async fn wait_until(&self, enough: impl Fn(u32) -> bool) {
        std::future::poll_fn(|context| {
            if enough(self.count.get()) {
                return Poll::Ready(());
            }
            *self.waiting.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
