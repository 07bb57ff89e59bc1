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

/// The keys that are being worked on.
#[derive(Debug, Default)]
pub struct RunningKeys {
    by_request: Mutex<HashMap<[u8; 16], Lock, RandomState>>,
}

/// The right to run under a key.
#[derive(Debug)]
pub(super) struct Turn<'k> {
    keys: &'k RunningKeys,
    request: [u8; 16],
    lock: Lock,
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
        let lock = {
            let mut by_request = self.by_request.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(by_request.entry(request).or_default())
        };
        let held = Arc::clone(&lock).try_lock_owned().ok();
        let has_waited = held.is_none();
        // From here on dropping it, also when this future is dropped, tidies up.
        let mut turn = Turn { keys: self, request, lock, held, has_waited };
        if has_waited {
            let waited = Arc::clone(&turn.lock).lock_owned();
            let held = tokio::time::timeout_at(deadline.into(), waited).await;
            turn.held = Some(held.map_err(|_late| BackendError::KeyRunning)?);
        }
        Ok(turn)
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
        // The table's and ours: nobody else runs or waits, and nobody can come in while it is locked.
        if Arc::strong_count(&self.lock) == 2 {
            by_request.remove(&self.request);
        }
    }
}
