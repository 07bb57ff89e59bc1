//! What is not applied yet, by key, lane and sequence; and which keys were applied lately.
//!
//! In memory, rebuilt from disk at start. One lock, held for the time of a group or a batch.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::payload::Draft;
use super::state::{Backlog, Letter, PendingContract, Seen, State};
use crate::identity::{Lane, RequestKey};
use crate::queue::{self, Answer, Reply};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Pending,
    Applied,
    Dead,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    params: [u8; 16],
    sequence: u64,
    phase: Phase,
}

/// A sequence from the lowest one that waits on. Settled ones are kept until those before them are.
#[derive(Clone, Copy, Debug)]
struct Slot {
    request: [u8; 16],
    lane: Option<Lane>,
    at_micros: i64,
    bytes: u32,
    operation: u32,
    pending: bool,
}

impl Slot {
    const GAP: Self =
        Self { request: [0; 16], lane: None, at_micros: 0, bytes: 0, operation: 0, pending: false };
}

#[derive(Debug)]
struct Waiter {
    until: u64,
    reply: Reply<()>,
}

#[derive(Debug, Default)]
struct LaneState {
    pending: VecDeque<u64>,
    waiters: Vec<Waiter>,
}

type Operation = (Box<str>, Box<str>, u64);

#[derive(Debug, Default)]
struct Inner {
    known: HashMap<[u8; 16], Known, foldhash::fast::RandomState>,
    recent: VecDeque<([u8; 16], u64)>,
    slots: VecDeque<Slot>,
    /// Sequence of the first slot: the lowest that is not settled, or the next to come.
    lowest: u64,
    lanes: HashMap<u64, LaneState, foldhash::fast::RandomState>,
    letters: BTreeMap<u64, Letter>,
    letter_lanes: HashSet<u64>,
    operations: Vec<(Operation, u64)>,
    operation_index: HashMap<Operation, u32>,
    record_count: u64,
    bytes: u64,
}

/// What waits, and what was applied lately. Shared.
#[derive(Debug)]
pub(super) struct Index {
    inner: Mutex<Inner>,
    keys_max: usize,
}

impl Index {
    pub(super) fn new(lowest: u64, keys_max: usize) -> Self {
        let inner = Inner { lowest, ..Inner::default() };
        Self { inner: Mutex::new(inner), keys_max }
    }

    /// No critical section leaves anything half done for the next one to stumble over.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn seen(&self, key: &RequestKey) -> Seen {
        match self.lock().known.get(&key.request) {
            None => Seen::New,
            Some(known) if known.params == key.params => Seen::Repeated(known.sequence),
            Some(known) => Seen::Reused(known.sequence),
        }
    }

    /// The sequence of the next record, when nothing before it waits.
    pub(super) fn advance(&self, next: u64) {
        let mut inner = self.lock();
        if inner.slots.is_empty() {
            inner.lowest = inner.lowest.max(next);
        }
    }

    /// Takes in a record that is on disk.
    pub(super) fn insert(&self, sequence: u64, draft: &Draft, bytes: usize) {
        self.lock().insert(sequence, draft, bytes);
    }

    /// A record that was applied before the start: its key only.
    pub(super) fn insert_applied(&self, sequence: u64, draft: &Draft) {
        let mut inner = self.lock();
        inner.overtake(sequence, draft.lane);
        inner.remember_applied(sequence, &draft.key, self.keys_max);
    }

    /// A dead letter found at the start, or a record that has become one.
    pub(super) fn insert_dead(&self, sequence: u64, draft: &Draft, dead: (u16, &str, i64)) {
        let mut inner = self.lock();
        let (code, message, since_micros) = dead;
        let operation = inner.operation(draft);
        inner.count_operation(operation, true);
        let later = |lane: &Lane| {
            inner.lanes.get(&lane.0).and_then(|lane| lane.pending.back()).copied().unwrap_or(0)
        };
        let overtaken = draft.lane.as_ref().is_some_and(|lane| later(lane) > sequence);
        if let Some(Lane(lane)) = draft.lane {
            inner.letter_lanes.insert(lane);
        }
        let (key, lane) = (draft.key, draft.lane);
        let message = message.into();
        let letter = Letter { key, lane, code, message, since_micros, overtaken, operation };
        inner.letters.insert(sequence, letter);
        inner.settle(sequence);
        let known = Known { params: key.params, sequence, phase: Phase::Dead };
        inner.known.insert(key.request, known);
    }

    /// Everything that a lane's dead letters would come behind is not known any more.
    pub(super) fn overtake_letters_before(&self, sequence: u64) {
        for (_, letter) in self.lock().letters.range_mut(..sequence) {
            letter.overtaken |= letter.lane.is_some();
        }
    }

    /// A dead letter is gone: dropped, or tried again under a sequence of its own.
    pub(super) fn remove_dead(&self, sequence: u64) {
        let mut inner = self.lock();
        let Some(letter) = inner.letters.remove(&sequence) else { return };
        inner.count_operation(letter.operation, false);
        let request = letter.key.request;
        if inner.known.get(&request).is_some_and(|known| known.sequence == sequence) {
            inner.known.remove(&request);
        }
        let lanes = inner.letters.values().filter_map(|letter| letter.lane.map(|lane| lane.0));
        inner.letter_lanes = lanes.collect();
    }

    /// Marks records as applied. Those that are not known to wait are passed over.
    pub(super) fn applied(&self, sequences: &[u64]) {
        let mut inner = self.lock();
        for sequence in sequences {
            let Some(request) = inner.settle(*sequence) else { continue };
            let Some(known) = inner.known.get_mut(&request) else { continue };
            if known.sequence != *sequence {
                continue;
            }
            known.phase = Phase::Applied;
            inner.recent.push_back((request, *sequence));
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

    pub(super) fn letters(&self) -> Vec<(u64, Letter)> {
        self.lock().letters.iter().map(|(at, letter)| (*at, letter.clone())).collect()
    }

    pub(super) fn contracts(&self) -> Vec<PendingContract> {
        let inner = self.lock();
        let waiting = inner.operations.iter().filter(|(_, count)| *count > 0);
        waiting
            .map(|((game, op, contract), count)| PendingContract {
                game: game.clone(),
                op: op.clone(),
                contract: *contract,
                count: *count,
            })
            .collect()
    }

    /// Records and dead letters, and when the oldest record was asked for: what bounds are about.
    pub(super) fn load(&self) -> (u64, Option<i64>) {
        let inner = self.lock();
        (inner.record_count + inner.letters.len() as u64, inner.oldest())
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

impl Inner {
    fn offset(&self, sequence: u64) -> Option<usize> {
        usize::try_from(sequence.checked_sub(self.lowest)?).ok()
    }

    /// The first slot always waits.
    fn oldest(&self) -> Option<i64> {
        self.slots.front().map(|slot| slot.at_micros)
    }

    fn operation(&mut self, draft: &Draft) -> u32 {
        let payload = &draft.payload;
        let key = (payload.game.clone(), payload.op.clone(), payload.contract);
        if let Some(index) = self.operation_index.get(&key) {
            return *index;
        }
        let index = u32::try_from(self.operations.len()).unwrap_or(u32::MAX);
        self.operations.push((key.clone(), 0));
        self.operation_index.insert(key, index);
        index
    }

    fn count_operation(&mut self, operation: u32, more: bool) {
        if let Some((_, count)) = self.operations.get_mut(operation as usize) {
            *count = if more { *count + 1 } else { count.saturating_sub(1) };
        }
    }

    fn insert(&mut self, sequence: u64, draft: &Draft, bytes: usize) {
        let Some(offset) = self.offset(sequence) else { return };
        if self.slots.is_empty() {
            // Nothing waits: what lies between was never acknowledged, or is settled.
            self.lowest = sequence;
        }
        let offset = if self.slots.is_empty() { 0 } else { offset };
        while self.slots.len() < offset {
            self.slots.push_back(Slot::GAP);
        }
        let operation = self.operation(draft);
        self.count_operation(operation, true);
        self.record_count += 1;
        self.bytes += bytes as u64;
        self.slots.push_back(Slot {
            request: draft.key.request,
            lane: draft.lane,
            at_micros: draft.payload.now_micros,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            operation,
            pending: true,
        });
        let known = Known { params: draft.key.params, sequence, phase: Phase::Pending };
        self.known.insert(draft.key.request, known);
        if let Some(Lane(lane)) = draft.lane {
            self.lanes.entry(lane).or_default().pending.push_back(sequence);
            if self.letter_lanes.contains(&lane) {
                self.overtake(sequence, draft.lane);
            }
        }
    }

    /// A record of a lane was taken: the lane's earlier dead letters would come behind it.
    fn overtake(&mut self, sequence: u64, lane: Option<Lane>) {
        for (_, letter) in self.letters.range_mut(..sequence) {
            letter.overtaken |= lane.is_some() && letter.lane == lane;
        }
    }

    /// A record does not wait any more. Returns its request, if it did.
    fn settle(&mut self, sequence: u64) -> Option<[u8; 16]> {
        let offset = self.offset(sequence)?;
        let slot = self.slots.get_mut(offset).filter(|slot| slot.pending)?;
        slot.pending = false;
        let slot = *slot;
        self.record_count -= 1;
        self.bytes -= u64::from(slot.bytes);
        self.count_operation(slot.operation, false);
        if let Some(Lane(lane)) = slot.lane {
            self.settle_in_lane(lane, sequence);
        }
        while self.slots.front().is_some_and(|slot| !slot.pending) {
            self.slots.pop_front();
            self.lowest += 1;
        }
        Some(slot.request)
    }

    fn settle_in_lane(&mut self, lane: u64, sequence: u64) {
        let Some(state) = self.lanes.get_mut(&lane) else { return };
        if let Ok(at) = state.pending.binary_search(&sequence) {
            state.pending.remove(at);
        }
        let first = state.pending.front().copied().unwrap_or(u64::MAX);
        let mut kept = Vec::new();
        for waiter in state.waiters.drain(..) {
            if waiter.until < first {
                // Nobody waits any more, maybe.
                let _heard = waiter.reply.send(());
            } else {
                kept.push(waiter);
            }
        }
        state.waiters = kept;
        if state.pending.is_empty() {
            self.lanes.remove(&lane);
        }
    }

    fn remember_applied(&mut self, sequence: u64, key: &RequestKey, keys_max: usize) {
        let known = Known { params: key.params, sequence, phase: Phase::Applied };
        self.known.insert(key.request, known);
        self.recent.push_back((key.request, sequence));
        self.trim(keys_max);
    }

    fn trim(&mut self, keys_max: usize) {
        while self.recent.len() > keys_max {
            let Some((request, sequence)) = self.recent.pop_front() else { return };
            let is_own =
                |known: &Known| known.sequence == sequence && known.phase == Phase::Applied;
            if self.known.get(&request).is_some_and(is_own) {
                self.known.remove(&request);
            }
        }
    }
}
