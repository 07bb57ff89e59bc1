//! The index's inside, under its lock: each record's place, its key, its lane.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use foldhash::fast::RandomState;

use super::operations::Operations;
use crate::identity::{Lane, RequestKey};
use crate::journal::dead::Cause;
use crate::journal::payload::{Asked, Draft};
use crate::journal::state::{Letter, Seen};
use crate::queue::Reply;

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Pending,
    Applied,
    Dead,
}

/// What is known of a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) params: [u8; 16],
    pub(super) sequence: u64,
    pub(super) phase: Phase,
    operation: u32,
    /// When it was asked for.
    at_micros: i64,
}

/// A sequence from the lowest one that waits on. Settled ones are kept until those before them are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    request: [u8; 16],
    lane: Option<Lane>,
    pub(super) at_micros: i64,
    bytes: u32,
    operation: u32,
    pub(super) pending: bool,
}

impl Slot {
    const GAP: Self =
        Self { request: [0; 16], lane: None, at_micros: 0, bytes: 0, operation: 0, pending: false };
}

/// What is kept of a record.
#[derive(Clone, Copy, Debug)]
pub(in crate::journal) struct Ticket {
    pub(in crate::journal) key: RequestKey,
    pub(in crate::journal) lane: Option<Lane>,
    /// When it was asked for, or tried again.
    pub(in crate::journal) at_micros: i64,
    /// Its operation's number.
    pub(in crate::journal) operation: u32,
}

/// Who waits for a lane.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) until: u64,
    pub(super) reply: Reply<()>,
}

/// Records of a lane that wait.
#[derive(Debug, Default)]
pub(super) struct LaneState {
    pub(super) pending: VecDeque<u64>,
    pub(super) waiters: Vec<Waiter>,
}

/// All that the index knows.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) known: HashMap<[u8; 16], Known, RandomState>,
    recent: VecDeque<([u8; 16], u64)>,
    pub(super) slots: VecDeque<Slot>,
    /// Sequence of the first slot: the lowest that is not settled, or the next to come.
    pub(super) lowest: u64,
    /// The lowest sequence as it stands on disk: a restart hands out what is not below it, applied or not.
    pub(super) position: u64,
    pub(super) lanes: HashMap<u64, LaneState, RandomState>,
    pub(super) letters: BTreeMap<u64, Letter>,
    /// Dead letters that nothing of their lane came behind, by lane.
    letter_lanes: HashMap<u64, BTreeSet<u64>, RandomState>,
    pub(super) operations: Operations,
    pub(super) record_count: u64,
    pub(super) bytes: u64,
}

impl Book {
    pub(super) fn new(lowest: u64) -> Self {
        Self { lowest, position: lowest, ..Self::default() }
    }

    /// Where a sequence's slot stands.
    pub(super) fn offset(&self, sequence: u64) -> Option<usize> {
        usize::try_from(sequence.checked_sub(self.lowest)?).ok()
    }

    /// When the oldest record was asked for, or tried again. The first slot always waits.
    pub(super) fn oldest(&self) -> Option<i64> {
        self.slots.front().map(|slot| slot.at_micros)
    }

    /// What is said to a key that comes. One that was applied is forgotten after its operation's time.
    pub(super) fn seen(&mut self, key: &RequestKey, asked: Asked<'_>, now_micros: i64) -> Seen {
        match self.known.get(&key.request) {
            Some(known) if !self.is_forgotten(known, now_micros) => {
                let (is_same, sequence) = (known.params == key.params, known.sequence);
                return if is_same { Seen::Repeated(sequence) } else { Seen::Reused(sequence) };
            }
            _ => {}
        }
        let operation = self.operations.number(asked);
        if self.operations.serves(operation) { Seen::New { operation } } else { Seen::Superseded }
    }

    /// By the time when it was asked for, so never later than the key's row in the database, which stays until a
    /// restart does not hand out the record any more.
    fn is_forgotten(&self, known: &Known, now_micros: i64) -> bool {
        let age = u64::try_from(now_micros.saturating_sub(known.at_micros)).unwrap_or(0);
        let ttl = self.operations.ttl(known.operation);
        known.phase == Phase::Applied
            && known.sequence < self.position
            && ttl.is_some_and(|ttl| u128::from(age) >= ttl.as_micros())
    }

    /// Takes in a record that is on disk.
    pub(super) fn insert(&mut self, sequence: u64, ticket: Ticket, bytes: usize) {
        let Some(offset) = self.offset(sequence) else { return };
        if self.slots.is_empty() {
            // Nothing waits: what lies between was never acknowledged, or is settled.
            self.lowest = sequence;
        }
        let offset = if self.slots.is_empty() { 0 } else { offset };
        while self.slots.len() < offset {
            self.slots.push_back(Slot::GAP);
        }
        let Ticket { key, lane, at_micros, operation } = ticket;
        self.operations.count(operation, true);
        self.record_count += 1;
        self.bytes += bytes as u64;
        self.slots.push_back(Slot {
            request: key.request,
            lane,
            at_micros,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            operation,
            pending: true,
        });
        self.know(sequence, ticket, Phase::Pending);
        if let Some(Lane(own)) = lane {
            self.lanes.entry(own).or_default().pending.push_back(sequence);
            self.overtake(sequence, lane);
        }
    }

    /// A record of a lane was taken: the lane's earlier dead letters would come behind it.
    pub(super) fn overtake(&mut self, sequence: u64, lane: Option<Lane>) {
        let Some(Lane(lane)) = lane else { return };
        let Some(own) = self.letter_lanes.get_mut(&lane) else { return };
        let later = own.split_off(&sequence);
        for earlier in std::mem::replace(own, later) {
            if let Some(letter) = self.letters.get_mut(&earlier) {
                letter.overtaken = true;
            }
        }
        if own.is_empty() {
            self.letter_lanes.remove(&lane);
        }
    }

    /// A record does not wait any more. Returns its request, if it did.
    pub(super) fn settle(&mut self, sequence: u64) -> Option<[u8; 16]> {
        let offset = self.offset(sequence)?;
        let slot = self.slots.get_mut(offset).filter(|slot| slot.pending)?;
        slot.pending = false;
        let slot = *slot;
        self.record_count -= 1;
        self.bytes -= u64::from(slot.bytes);
        self.operations.count(slot.operation, false);
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

    /// What the index keeps of a draft.
    pub(super) fn ticket(&mut self, draft: &Draft) -> Ticket {
        let operation = self.operations.number(draft.payload.asked());
        let (key, lane, at_micros) = (draft.key, draft.lane, draft.payload.now_micros);
        Ticket { key, lane, at_micros, operation }
    }

    fn know(&mut self, sequence: u64, ticket: Ticket, phase: Phase) {
        let Ticket { key, at_micros, operation, .. } = ticket;
        let known = Known { params: key.params, sequence, phase, operation, at_micros };
        self.known.insert(key.request, known);
    }

    /// A record that was applied before the start: its key only.
    pub(super) fn insert_applied(&mut self, sequence: u64, draft: &Draft, keys_max: usize) {
        self.overtake(sequence, draft.lane);
        let ticket = self.ticket(draft);
        self.know(sequence, ticket, Phase::Applied);
        self.recent.push_back((draft.key.request, sequence));
        self.trim(keys_max);
    }

    /// A record is applied; one that is not known to wait is passed over.
    pub(super) fn applied(&mut self, sequence: u64) {
        let Some(request) = self.settle(sequence) else { return };
        let Some(known) = self.known.get_mut(&request) else { return };
        if known.sequence == sequence {
            known.phase = Phase::Applied;
            self.recent.push_back((request, sequence));
        }
    }

    /// A dead letter found at the start, or a record that has become one.
    pub(super) fn insert_dead(&mut self, sequence: u64, draft: &Draft, cause: &Cause) {
        let ticket = self.ticket(draft);
        let operation = ticket.operation;
        self.operations.count(operation, true);
        let later = |lane: &Lane| {
            self.lanes.get(&lane.0).and_then(|lane| lane.pending.back()).copied().unwrap_or(0)
        };
        let overtaken = draft.lane.as_ref().is_some_and(|lane| later(lane) > sequence);
        if let (Some(Lane(lane)), false) = (draft.lane, overtaken) {
            self.letter_lanes.entry(lane).or_default().insert(sequence);
        }
        let (key, lane) = (draft.key, draft.lane);
        let Cause { code, since_micros, .. } = *cause;
        let message = cause.message.clone();
        let letter = Letter { key, lane, code, message, since_micros, overtaken, operation };
        if self.letters.insert(sequence, letter).is_none() {
            self.operations.count_dead(operation, true);
        }
        self.settle(sequence);
        self.know(sequence, ticket, Phase::Dead);
    }

    /// A dead letter is gone: dropped, or tried again under a sequence of its own.
    pub(super) fn remove_dead(&mut self, sequence: u64) {
        let Some(letter) = self.letters.remove(&sequence) else { return };
        self.operations.count(letter.operation, false);
        self.operations.count_dead(letter.operation, false);
        let request = letter.key.request;
        if self.known.get(&request).is_some_and(|known| known.sequence == sequence) {
            self.known.remove(&request);
        }
        let Some(Lane(lane)) = letter.lane else { return };
        let Some(own) = self.letter_lanes.get_mut(&lane) else { return };
        own.remove(&sequence);
        if own.is_empty() {
            self.letter_lanes.remove(&lane);
        }
    }

    /// Whether a restart would hand out a record of this request, or an operator may try one again.
    pub(super) fn needs(&self, request: &[u8; 16], sequence: Option<u64>) -> bool {
        sequence.is_some_and(|sequence| sequence >= self.position)
            || self.known.get(request).is_some_and(|known| {
                known.phase != Phase::Applied || known.sequence >= self.position
            })
    }

    /// Forgets the oldest applied keys beyond the bound, but none that a restart hands out again.
    pub(super) fn trim(&mut self, keys_max: usize) {
        while self.recent.len() > keys_max {
            let position = self.position;
            let Some((request, sequence)) =
                self.recent.pop_front_if(|(_, sequence)| *sequence < position)
            else {
                return;
            };
            let is_own =
                |known: &Known| known.sequence == sequence && known.phase == Phase::Applied;
            if self.known.get(&request).is_some_and(is_own) {
                self.known.remove(&request);
            }
        }
    }
}
