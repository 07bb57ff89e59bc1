//! How many calls of a connection are under way.

use std::cell::{Cell, RefCell};
use std::task::{Poll, Waker};

/// Counts calls that wait for the backend, and holds the reader back at the limit.
///
/// Invariant: only the reader waits here, so one waker is enough.
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

    /// Whether no further call may begin.
    pub(super) fn is_full(&self) -> bool {
        self.count.get() >= self.count_max
    }

    /// `calls` more: a batch counts as what it holds.
    pub(super) fn begin(&self, calls: u32) {
        self.count.set(self.count.get().saturating_add(calls));
    }

    /// `calls` are over.
    pub(super) fn end(&self, calls: u32) {
        self.count.set(self.count.get().saturating_sub(calls));
        let waker = self.waiting.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits until one more may begin.
    pub(super) async fn wait_for_place(&self) {
        self.wait_until(|| !self.is_full()).await;
    }

    /// Waits until none is under way.
    pub(super) async fn wait_for_none(&self) {
        self.wait_until(|| self.count.get() == 0).await;
    }

    async fn wait_until(&self, enough: impl Fn() -> bool) {
        std::future::poll_fn(|context| {
            if enough() {
                return Poll::Ready(());
            }
            *self.waiting.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Context;

    use super::*;

    #[test]
    fn reader_waits_at_the_limit_until_a_call_ends() {
        let inflight = InFlight::new(2);
        let mut context = Context::from_waker(Waker::noop());
        inflight.begin(1);
        assert_eq!(pin!(inflight.wait_for_place()).poll(&mut context), Poll::Ready(()));
        inflight.begin(1);
        let mut waits = pin!(inflight.wait_for_place());
        assert_eq!(waits.as_mut().poll(&mut context), Poll::Pending);
        inflight.end(1);
        assert_eq!(waits.as_mut().poll(&mut context), Poll::Ready(()));
    }

    #[test]
    fn batch_takes_as_many_places_as_it_has_calls() {
        let inflight = InFlight::new(8);
        inflight.begin(100);
        assert!(inflight.is_full());
        inflight.end(92);
        assert!(inflight.is_full());
        inflight.end(1);
        assert!(!inflight.is_full());
    }

    #[test]
    fn connection_is_done_when_the_last_call_ends() {
        let inflight = InFlight::new(2);
        let mut context = Context::from_waker(Waker::noop());
        inflight.begin(2);
        let mut waits = pin!(inflight.wait_for_none());
        assert_eq!(waits.as_mut().poll(&mut context), Poll::Pending);
        inflight.end(1);
        assert_eq!(waits.as_mut().poll(&mut context), Poll::Pending);
        inflight.end(1);
        assert_eq!(waits.as_mut().poll(&mut context), Poll::Ready(()));
    }
}
