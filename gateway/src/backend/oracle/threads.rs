//! Which threads of connections live, so that a process that ends need not wait for what they wait for.
//!
//! The client library is one for the whole process, and so is this.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use oracle::Connection;
use tokio::sync::Notify;

/// Between two words to a connection that is at work: what it was at has ended, and the next has begun.
const BREAK_PAUSE: Duration = Duration::from_millis(200);

static LIVING: Mutex<Living> = Mutex::new(Living { last: 0, connections: BTreeMap::new() });
static ENDED: Notify = Notify::const_new();

/// The threads by their numbers.
struct Living {
    last: u64,
    connections: BTreeMap<u64, Known>,
}

/// What is known of a thread.
#[derive(Clone)]
struct Known {
    /// Dead as long as it connects: there is nothing to break off.
    connection: Weak<Connection>,
    /// Whether it runs somebody's statement. An idle one ends when its pool is closed.
    is_busy: Arc<AtomicBool>,
}

/// A thread that lives, until this is dropped.
#[derive(Debug)]
pub(super) struct Thread {
    number: u64,
    is_busy: Arc<AtomicBool>,
}

impl Thread {
    /// A thread begins.
    pub(super) fn begin() -> Self {
        let is_busy = Arc::new(AtomicBool::new(false));
        let mut living = lock();
        living.last += 1;
        let number = living.last;
        let known = Known { connection: Weak::new(), is_busy: Arc::clone(&is_busy) };
        living.connections.insert(number, known);
        Self { number, is_busy }
    }

    /// It has a connection.
    pub(super) fn has(&self, connection: &Weak<Connection>) {
        if let Some(known) = lock().connections.get_mut(&self.number) {
            known.connection = Weak::clone(connection);
        }
    }

    /// It begins or ends a statement.
    pub(super) fn is_busy(&self, is_busy: bool) {
        // A word that comes late is repeated.
        self.is_busy.store(is_busy, Ordering::Relaxed);
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        lock().connections.remove(&self.number);
        ENDED.notify_waiters();
    }
}

/// Breaks off what every connection of the process is at, again and again, until all of their threads have ended: those
/// of idle ones when their pools are closed. Returns how many have not at `deadline`.
///
/// Whoever asked for it is told that it was broken off; a write that was committed in that moment stays so.
pub async fn break_off(deadline: Instant) -> usize {
    loop {
        let ended = ENDED.notified();
        let living: Vec<Known> = lock().connections.values().cloned().collect();
        if living.is_empty() || Instant::now() >= deadline {
            return living.len();
        }
        let busy = living.into_iter().filter(|known| known.is_busy.load(Ordering::Relaxed));
        for Known { connection, .. } in busy {
            // The call may block, so each has a thread; nobody waits for it.
            drop(tokio::task::spawn_blocking(move || {
                let Some(connection) = connection.upgrade() else { return };
                if let Err(error) = connection.break_execution() {
                    tracing::debug!(%error, "a call of Oracle was not broken off");
                }
            }));
        }
        let pause = deadline.min(Instant::now() + BREAK_PAUSE);
        let _ended_or_again = tokio::time::timeout_at(pause.into(), ended).await.is_ok();
    }
}

/// No panic under it can leave it half-changed.
fn lock() -> MutexGuard<'static, Living> {
    LIVING.lock().unwrap_or_else(PoisonError::into_inner)
}
