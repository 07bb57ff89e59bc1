//! Where a connection's thread is handed its orders: room for one, since a connection is asked one thing at a time.
//!
//! A mutex and a condition variable: a channel's queue is not needed here, and costs more (`bench/NOTES.md`).

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What both sides share.
#[derive(Debug)]
struct Mailbox<T> {
    inside: Mutex<Inside<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Inside<T> {
    order: Option<T>,
    /// One of the sides has left.
    is_closed: bool,
}

impl<T> Mailbox<T> {
    /// No panic under it can leave it half-changed.
    fn lock(&self) -> MutexGuard<'_, Inside<T>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The side that gives orders.
#[derive(Debug)]
pub(super) struct Sender<T>(Arc<Mailbox<T>>);

/// The side that takes them.
#[derive(Debug)]
pub(super) struct Receiver<T>(Arc<Mailbox<T>>);

/// A mailbox's two sides.
pub(super) fn mailbox<T>() -> (Sender<T>, Receiver<T>) {
    let inside = Mutex::new(Inside { order: None, is_closed: false });
    let mailbox = Arc::new(Mailbox { inside, changed: Condvar::new() });
    (Sender(Arc::clone(&mailbox)), Receiver(mailbox))
}

impl<T> Sender<T> {
    /// Hands over an order, and does not wait.
    ///
    /// # Errors
    ///
    /// The order: the last one was not taken yet, or nobody is left to take it.
    pub(super) fn send(&self, order: T) -> Result<(), T> {
        let mut inside = self.0.lock();
        if inside.is_closed || inside.order.is_some() {
            return Err(order);
        }
        inside.order = Some(order);
        // Whoever is woken finds it unlocked.
        drop(inside);
        self.0.changed.notify_one();
        Ok(())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.lock().is_closed = true;
        self.0.changed.notify_one();
    }
}

impl<T> Receiver<T> {
    /// Waits for the next order; `None` when nobody is left to give one.
    pub(super) fn take(&self) -> Option<T> {
        let mut inside = self.0.lock();
        loop {
            if let Some(order) = inside.order.take() {
                return Some(order);
            }
            if inside.is_closed {
                return None;
            }
            inside = self.0.changed.wait(inside).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut inside = self.0.lock();
        inside.is_closed = true;
        let untaken = inside.order.take();
        drop(inside);
        // Whoever waits for its answer learns here that none comes.
        drop(untaken);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn order_waits_until_it_is_taken_and_a_second_one_is_refused_meanwhile() {
        let (sender, receiver) = mailbox();
        assert_eq!(sender.send(1), Ok(()));
        assert_eq!(sender.send(2), Err(2));
        assert_eq!(receiver.take(), Some(1));
        assert_eq!(sender.send(3), Ok(()));
        drop(sender);
        assert_eq!((receiver.take(), receiver.take()), (Some(3), None));
    }

    #[test]
    fn thread_that_waits_is_woken_by_every_order_and_by_the_end() {
        let (sender, receiver) = mailbox();
        let (answers, answered) = mailbox();
        let thread = thread::spawn(move || {
            let mut count = 0;
            while let Some(order) = receiver.take() {
                count += 1;
                answers.send(order).expect("it is awaited");
            }
            count
        });
        for order in 0..1000 {
            assert_eq!((sender.send(order), answered.take()), (Ok(()), Some(order)));
        }
        drop(sender);
        assert_eq!(thread.join().expect("no panic"), 1000);
        assert_eq!(answered.take(), None);
    }

    #[test]
    fn order_that_nobody_is_left_to_take_is_dropped_and_the_next_refused() {
        let (sender, receiver) = mailbox();
        let order = Arc::new(());
        assert!(sender.send(Arc::clone(&order)).is_ok());
        drop(receiver);
        assert_eq!(Arc::strong_count(&order), 1);
        assert!(sender.send(order).is_err());
    }
}
