//! What somebody may expect who comes to the end of the line, for those who ask before they come.
//!
//! Whoever changes what the pool knows posts it when it lets go of the lock ([`Locked`]), so frontends read one
//! atomic, which is written only when it changes. What is posted is true of the moment at which the lock was last
//! given back: for who reads it that may be late, in either direction, and it never stays wrong. Nobody has to come
//! for it to change: a line gets shorter by whoever is served, and by whoever leaves.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{MutexGuard, PoisonError};

use super::super::BackendError;
use super::state::State;
use super::{Pool, Shared};

/// What somebody may expect who comes to the end of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prospect {
    /// To be served in time, or to be told at once that the database cannot be reached.
    Burst,
    /// That the line does not end, but is short.
    Standing,
    /// That there is no place in the line, which may end.
    Full,
    /// That the line does not end, and that there are as many in it as connections already: who comes may be late.
    None,
}

impl Prospect {
    /// Whether who comes is refused (1301).
    pub const fn is_refusal(self) -> bool {
        matches!(self, Self::Full | Self::None)
    }
}

impl State {
    /// Whether one more in line has any prospect.
    fn prospect(&self) -> Prospect {
        if self.is_down() {
            return Prospect::Burst;
        }
        let is_long = self.line.len() >= self.established().max(1) as usize;
        let is_taken = !self.line.is_empty() || self.idle.is_empty();
        if self.patience.is_short() && is_long {
            Prospect::None
        } else if is_taken && self.line.len() >= self.config.acquire_waiting_max as usize {
            Prospect::Full
        } else if self.patience.is_short() {
            Prospect::Standing
        } else {
            Prospect::Burst
        }
    }
}

/// The pool's prospect as it was posted last. On a cache line of its own: the lock beside it is written by everybody.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Posted(AtomicU8);

impl Posted {
    pub(super) const fn new() -> Self {
        Self(AtomicU8::new(Prospect::Burst as u8))
    }

    fn read(&self) -> Prospect {
        let posted = self.0.load(Ordering::Relaxed);
        let all = [Prospect::Standing, Prospect::Full, Prospect::None];
        all.into_iter().find(|one| *one as u8 == posted).unwrap_or(Prospect::Burst)
    }

    fn post(&self, prospect: Prospect) {
        if self.0.load(Ordering::Relaxed) != prospect as u8 {
            self.0.store(prospect as u8, Ordering::Relaxed);
        }
    }
}

/// The state, locked. Posts what has become of the prospect before it lets go.
#[derive(Debug)]
pub(super) struct Locked<'s> {
    state: MutexGuard<'s, State>,
    posted: &'s Posted,
}

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.posted.post(self.state.prospect());
    }
}

impl Shared {
    /// The state. A panic under the lock cannot leave it half-changed in a way that matters more than the
    /// pool's life.
    pub(super) fn lock(&self) -> Locked<'_> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Locked { state, posted: &self.posted }
    }
}

impl Pool {
    /// What a call may expect that is left to the pool's own connections. One read of memory that seldom changes; when
    /// the call gets there, the line decides.
    pub fn prospect(&self) -> Prospect {
        self.shared.posted.read()
    }

    /// Notes that a call was refused for want of a connection before it came to the line. Of a full line nothing is
    /// counted, here as there.
    pub fn count_refused(&self, prospect: Prospect) {
        if prospect == Prospect::None {
            self.shared.counters.timeouts.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What such a call is told.
    pub fn refusal(&self) -> BackendError {
        self.shared.exhausted()
    }
}
