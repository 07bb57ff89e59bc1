//! The line: who waits for a connection, first come, first served.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::sync::oneshot;

use super::super::BackendError;
use super::{Lease, Shared};

/// A connection for one in line, or why there is none.
type Granted = Result<Lease, BackendError>;

/// Somebody in line, seen from the pool.
#[derive(Debug)]
pub(super) struct Waiter {
    /// Ascends in the order of coming.
    pub ticket: u64,
    /// Since when it waits.
    pub since: Instant,
    /// Whether it waits out a standing line, too.
    pub stays: bool,
    pub sender: oneshot::Sender<Granted>,
}

/// A place in line, seen from who stands there.
#[derive(Debug)]
pub(super) struct Waiting {
    pub ticket: u64,
    pub receiver: oneshot::Receiver<Granted>,
}

impl Waiter {
    /// Gives a connection or a refusal. Returns it when nobody waits any more.
    pub(super) fn give(self, granted: Granted) -> Option<Granted> {
        self.sender.send(granted).err()
    }
}

/// Leaves the line when dropped; a connection that was on its way goes to the next.
#[derive(Debug)]
struct Place<'s> {
    shared: &'s Arc<Shared>,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.shared.lock().leave(self.ticket);
    }
}

/// Stands in line until a connection is given, or `deadline` or the pool's `acquire_timeout`.
///
/// # Errors
///
/// As [`super::Pool::acquire`].
pub(super) async fn wait(
    shared: &Arc<Shared>,
    waiting: Waiting,
    deadline: Instant,
) -> Result<Lease, BackendError> {
    let Waiting { ticket, mut receiver } = waiting;
    let place = Place { shared, ticket };
    let patience = Instant::now() + shared.lock().config.acquire_timeout;
    let granted = tokio::time::timeout_at(deadline.min(patience).into(), &mut receiver).await;
    drop(place);
    match granted {
        Ok(Ok(granted)) => granted,
        // The pool was closed.
        Ok(Err(_)) => Err(shared.unreachable(None)),
        Err(_) if deadline <= patience => Err(BackendError::Deadline),
        Err(_) => {
            shared.counters.timeouts.fetch_add(1, Ordering::Relaxed);
            let none = shared.lock().established() == 0;
            Err(if none { shared.unreachable(None) } else { shared.exhausted() })
        }
    }
}
