//! What is not applied yet, by key, lane and sequence; and which keys were applied lately.
//!
//! In memory, rebuilt from disk at start. One lock, held for the time of a group or a batch.

mod book;
mod operations;

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::dead::Cause;
use super::payload::{Asked, Draft};
use super::state::{Backlog, Letter, Load, PendingContract, Seen, Served, State};
use crate::identity::{Lane, RequestKey};
use crate::queue::{self, Answer};
use book::{Book, Known, Phase, Waiter};

pub(super) use book::Ticket;

/// What waits, and what was applied lately. Shared.
#[derive(Debug)]
pub(super) struct Index {
    inner: Mutex<Book>,
    keys_max: usize,
}

impl Index {
    pub(super) fn new(lowest: u64, keys_max: usize) -> Self {
        let inner = Book::new(lowest);
        Self { inner: Mutex::new(inner), keys_max }
    }

    /// No critical section leaves anything half done for the next one to stumble over.
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is said to each order of a round, and how much waits, of one moment.
    pub(super) fn look<'o>(
        &self,
        orders: impl Iterator<Item = (&'o RequestKey, Asked<'o>)>,
        now_micros: i64,
    ) -> (Vec<Seen>, Load) {
        let mut inner = self.lock();
        let seen = orders.map(|(key, asked)| inner.seen(key, asked, now_micros)).collect();
        let count = inner.record_count + inner.letters.len() as u64;
        (seen, Load { count, oldest_micros: inner.oldest() })
    }

    /// Takes what a snapshot serves, if that can apply everything that waits.
    pub(super) fn serve(&self, served: &[Served]) -> Result<(), Vec<PendingContract>> {
        self.lock().operations.serve(served)
    }

    /// The sequence of the next record, when nothing before it waits.
    pub(super) fn advance(&self, next: u64) {
        let mut inner = self.lock();
        if inner.slots.is_empty() {
            inner.lowest = inner.lowest.max(next);
        }
    }

    /// Takes in a record that is on disk.
    ///
    /// - `at_micros`: from when on it is held to wait.
    pub(super) fn insert(&self, sequence: u64, draft: &Draft, at_micros: i64, bytes: usize) {
        let mut inner = self.lock();
        let ticket = Ticket { at_micros, ..inner.ticket(draft) };
        inner.insert(sequence, ticket, bytes);
    }

    /// Takes in a group that is on disk: each record with its bytes.
    pub(super) fn insert_all(&self, first: u64, records: &[(Ticket, usize)]) {
        let mut inner = self.lock();
        for (sequence, (ticket, bytes)) in (first..).zip(records) {
            inner.insert(sequence, *ticket, *bytes);
        }
    }

    /// A record that was applied before the start: its key only.
    pub(super) fn insert_applied(&self, sequence: u64, draft: &Draft) {
        self.lock().insert_applied(sequence, draft, self.keys_max);
    }

    /// A dead letter found at the start, or a record that has become one.
    pub(super) fn insert_dead(&self, sequence: u64, draft: &Draft, cause: &Cause) {
        self.lock().insert_dead(sequence, draft, cause);
    }

    /// Everything that a lane's dead letters would come behind is not known any more.
    pub(super) fn overtake_letters_before(&self, sequence: u64) {
        for (_, letter) in self.lock().letters.range_mut(..sequence) {
            letter.overtaken |= letter.lane.is_some();
        }
    }

    /// A dead letter is gone: dropped, or tried again under a sequence of its own.
    pub(super) fn remove_dead(&self, sequence: u64) {
        self.lock().remove_dead(sequence);
    }

    /// Marks records as applied. Those that are not known to wait are passed over.
    pub(super) fn applied(&self, sequences: &[u64]) {
        let mut inner = self.lock();
        for sequence in sequences {
            inner.applied(*sequence);
        }
        inner.trim(self.keys_max);
    }

    /// Settles a record without an effect: a later one of the same key took its place, or it was dropped.
    pub(super) fn skip(&self, sequence: u64) {
        let mut inner = self.lock();
        let Some(request) = inner.settle(sequence) else { return };
        if inner.known.get(&request).is_some_and(|known| known.sequence == sequence) {
            inner.known.remove(&request);
        }
    }

    /// The lowest sequence that is not settled; the next to come when nothing waits.
    pub(super) fn lowest(&self) -> u64 {
        self.lock().lowest
    }

    /// The lowest sequence as it stands on disk.
    pub(super) fn position(&self) -> u64 {
        self.lock().position
    }

    /// The lowest sequence was written to disk.
    pub(super) fn positioned(&self, position: u64) {
        let mut inner = self.lock();
        inner.position = position;
        inner.trim(self.keys_max);
    }

    /// Whether a restart would hand out a record of this request, or an operator may try one again.
    pub(super) fn needs(&self, request: &[u8; 16], sequence: Option<u64>) -> bool {
        self.lock().needs(request, sequence)
    }

    pub(super) fn is_pending(&self, sequence: u64) -> bool {
        let inner = self.lock();
        inner.offset(sequence).and_then(|at| inner.slots.get(at)).is_some_and(|slot| slot.pending)
    }

    /// Which of the sequences of a range wait, at most `count_max`; the search begins at `from`.
    pub(super) fn pending_from(&self, from: u64, count_max: usize) -> Vec<u64> {
        let inner = self.lock();
        let start = from.max(inner.lowest);
        let skipped = usize::try_from(start - inner.lowest).unwrap_or(usize::MAX);
        let slots = (start..).zip(inner.slots.iter().skip(skipped));
        slots.filter(|(_, slot)| slot.pending).map(|(at, _)| at).take(count_max).collect()
    }

    pub(super) fn state_of(&self, request: &[u8; 16]) -> Option<State> {
        let inner = self.lock();
        let Known { sequence, phase, .. } = *inner.known.get(request)?;
        match phase {
            Phase::Applied => Some(State::Applied { sequence }),
            Phase::Pending => {
                let slot = inner.slots.get(inner.offset(sequence)?)?;
                Some(State::Journalled { sequence, since_micros: slot.at_micros })
            }
            Phase::Dead => {
                let letter = inner.letters.get(&sequence)?;
                let (code, message) = (letter.code, letter.message.clone());
                Some(State::Dead { sequence, code, message, since_micros: letter.since_micros })
            }
        }
    }

    pub(super) fn lane_count(&self, lane: Lane) -> usize {
        self.lock().lanes.get(&lane.0).map_or(0, |lane| lane.pending.len())
    }

    /// `None`: nothing of the lane waits. Otherwise answered when all that waits now is settled.
    pub(super) fn lane_settled(&self, lane: Lane) -> Option<Answer<()>> {
        let mut inner = self.lock();
        let lane = inner.lanes.get_mut(&lane.0)?;
        let until = *lane.pending.back()?;
        let (reply, answer) = queue::reply();
        lane.waiters.retain(|waiter| !waiter.reply.is_closed());
        lane.waiters.push(Waiter { until, reply });
        Some(answer)
    }

    pub(super) fn letter(&self, sequence: u64) -> Option<Letter> {
        self.lock().letters.get(&sequence).cloned()
    }

    /// Dead letters from a sequence on, in order, at most `count_max`.
    pub(super) fn letters_from(&self, from: u64, count_max: usize) -> Vec<(u64, Letter)> {
        let inner = self.lock();
        let letters = inner.letters.range(from..).take(count_max);
        letters.map(|(at, letter)| (*at, letter.clone())).collect()
    }

    /// Dead letters of a game.
    pub(super) fn dead_count(&self, game: &str) -> u64 {
        self.lock().operations.dead_of(game)
    }

    pub(super) fn contracts(&self) -> Vec<PendingContract> {
        self.lock().operations.contracts()
    }

    pub(super) fn backlog(&self) -> Backlog {
        let inner = self.lock();
        Backlog {
            record_count: inner.record_count,
            bytes: inner.bytes,
            oldest_micros: inner.oldest(),
            dead_count: inner.letters.len() as u64,
            dead_oldest_micros: inner.letters.values().map(|letter| letter.since_micros).min(),
        }
    }
}
