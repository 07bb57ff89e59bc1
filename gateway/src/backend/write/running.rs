//! The idempotency keys that this process is working on.
//!
//! Repeats of a request whose first run has not ended wait here, before they take a connection: in the
//! database they would wait, too, but each on a connection of its own, and the pool would be empty.
//!
//! Invariant: an entry exists exactly as long as somebody runs or waits under its key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use foldhash::fast::RandomState;
use tokio::sync::OwnedMutexGuard;

use super::super::BackendError;

type Lock = Arc<tokio::sync::Mutex<()>>;

/// A key that is being worked on.
#[derive(Debug, Default)]
struct Running {
    lock: Lock,
    /// Who runs or waits.
    turn_count: usize,
}

/// The keys that are being worked on.
#[derive(Debug, Default)]
pub struct RunningKeys {
    by_request: Mutex<HashMap<[u8; 16], Running, RandomState>>,
}

/// The right to run under a key.
#[derive(Debug)]
pub(super) struct Turn<'k> {
    keys: &'k RunningKeys,
    request: [u8; 16],
    held: Option<OwnedMutexGuard<()>>,
    has_waited: bool,
}

impl RunningKeys {
    /// Waits for the turn under a key.
    ///
    /// # Errors
    ///
    /// [`BackendError::KeyRunning`] when somebody else still has it at `deadline`.
    pub(super) async fn enter(
        &self,
        request: [u8; 16],
        deadline: Instant,
    ) -> Result<Turn<'_>, BackendError> {
        // From here on dropping it, also when this future is dropped, tidies up.
        let (mut turn, lock) = self.join(request);
        if turn.has_waited {
            let held = tokio::time::timeout_at(deadline.into(), lock.lock_owned()).await;
            turn.held = Some(held.map_err(|_late| BackendError::KeyRunning)?);
        }
        Ok(turn)
    }

    /// Takes a key's turn, or a place behind it.
    fn join(&self, request: [u8; 16]) -> (Turn<'_>, Lock) {
        let lock = {
            let mut by_request = self.by_request.lock().unwrap_or_else(PoisonError::into_inner);
            let running = by_request.entry(request).or_default();
            running.turn_count += 1;
            Arc::clone(&running.lock)
        };
        let held = Arc::clone(&lock).try_lock_owned().ok();
        let has_waited = held.is_none();
        (Turn { keys: self, request, held, has_waited }, lock)
    }

    /// How many keys are being worked on.
    #[cfg(test)]
    #[cfg(all(feature = "mysql", feature = "sqlite"))]
    pub(in crate::backend) fn count(&self) -> usize {
        self.by_request.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Turn<'_> {
    /// Whether somebody had the turn before: then the answer may be there already.
    pub(super) const fn has_waited(&self) -> bool {
        self.has_waited
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.held = None;
        let mut by_request = self.keys.by_request.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(running) = by_request.get_mut(&self.request) else { return };
        running.turn_count -= 1;
        if running.turn_count == 0 {
            by_request.remove(&self.request);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    /// A key that was left behind would stay for ever, and clients make as many keys as they like.
    #[test]
    fn key_is_forgotten_when_the_last_two_leave_it_at_the_same_moment() {
        let (keys, barrier) = (RunningKeys::default(), Barrier::new(2));
        for number in 0..20_000_u128 {
            let request = number.to_be_bytes();
            let turns = [keys.join(request).0, keys.join(request).0];
            assert_eq!(turns.each_ref().map(Turn::has_waited), [false, true]);
            std::thread::scope(|scope| {
                for turn in turns {
                    scope.spawn(|| {
                        barrier.wait();
                        drop(turn);
                    });
                }
            });
        }
        assert_eq!(keys.by_request.lock().unwrap().len(), 0);
    }
}
