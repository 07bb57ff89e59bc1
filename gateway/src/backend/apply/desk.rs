//! One game's records: their order, those in memory, their failures, and whether its database is away.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

use super::outcome::{Outcome, cause_of};
use super::schedule::{Gathering, Pulled, Schedule, Settlement, Stands, Waiting};
use super::told::Away;
use crate::backend::BackendError;
use crate::catalog::{Scalar, Template};
use crate::identity::Lane;
use crate::journal::{Cause, Record, Standing, Waits};
use crate::snapshot::Snapshot;

/// First and longest pause after the database was not there.
const AWAY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// Failures of the database itself, in a row, after which its records are not kept in memory.
const AWAY_LONG: u32 = 4;
/// First and longest pause before a record that failed is tried again.
const FAILED: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// First and longest pause before a record that took too long, or could not be read, is tried again.
const LATE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How much smaller the next batch is after one that took too long or was lost, as a power of two; a batch that
/// is applied takes as much back.
const SHRINK: u32 = 2;
/// Most of it: a batch is one record then.
const SHRINK_MAX: u32 = 12;
/// What a record costs in memory besides its values, in bytes.
const RECORD_BYTES: usize = 512;
/// How records of an operation that nobody knows any more are gathered.
const UNKNOWN: Gathering =
    Gathering { count_max: 1, linger: Duration::from_secs(1), is_urgent: false };

/// A game's records.
#[derive(Debug)]
pub(super) struct Desk {
    schedule: Schedule<u32>,
    /// Numbers of operations, by name.
    groups: HashMap<Box<str>, u32, RandomState>,
    /// Records in memory; others are read again when it is their turn.
    held: HashMap<u64, Arc<Record>, RandomState>,
    /// What they cost, roughly.
    held_bytes: usize,
    /// Of records that failed: how often.
    failures: HashMap<u64, u32, RandomState>,
    /// Of records that took too long, or could not be read: how often.
    late: HashMap<u64, u32, RandomState>,
    /// What was said of records that were tried alone and wait all the same, and how often.
    causes: HashMap<u64, (u32, Cause), RandomState>,
    /// What was said the last time the database was not there.
    lost: Option<Cause>,
    batch_count: usize,
    /// Batches at once.
    batch_count_max: usize,
    /// How much smaller batches are than their operation allows, as a power of two.
    shrink: u32,
    /// Failures of the database itself, in a row.
    away_count: u32,
    resume_at: Option<Instant>,
    away: Away,
}

/// What a batch said of the game's database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It is away, which is to be told.
    Away,
    /// It is back after so long.
    Back(Duration),
}

/// A batch to apply.
#[derive(Debug)]
pub(super) struct Work {
    /// Those in memory, by sequence.
    pub(super) records: Vec<Arc<Record>>,
    /// Those to be read first.
    pub(super) missing: Vec<u64>,
    /// How often each of them failed before.
    pub(super) failures: HashMap<u64, u32, RandomState>,
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            schedule: Schedule::new(),
            groups: HashMap::default(),
            held: HashMap::default(),
            held_bytes: 0,
            failures: HashMap::default(),
            late: HashMap::default(),
            causes: HashMap::default(),
            lost: None,
            batch_count: 0,
            batch_count_max: 1,
            shrink: 0,
            away_count: 0,
            resume_at: None,
            away: Away::default(),
        }
    }
}

impl Desk {
    /// Records in memory, and what they cost in bytes, roughly.
    pub(super) fn held(&self) -> (usize, usize) {
        (self.held.len(), self.held_bytes)
    }

    /// Says how many batches may run at once.
    pub(super) fn allow(&mut self, batch_count_max: usize) {
        self.batch_count_max = batch_count_max.max(1);
    }

    /// Records that could be applied as soon as there is time for them; or more than `enough`, which costs less.
    pub(super) fn runnable_count(&self, now: Instant, enough: usize) -> usize {
        let waiting_count = self.schedule.waiting_count();
        if self.is_away(now) {
            0
        } else if waiting_count < enough {
            waiting_count
        } else {
            self.schedule.runnable_count()
        }
    }

    /// Whether its database is away.
    pub(super) const fn is_without(&self) -> bool {
        self.away.is_away()
    }

    /// Whether nothing waits.
    pub(super) const fn is_idle(&self) -> bool {
        self.schedule.waiting_count() == 0
    }

    fn is_away(&self, now: Instant) -> bool {
        self.resume_at.is_some_and(|at| at > now)
    }

    /// Whether another batch may begin. While the database is away one at a time asks for it.
    const fn has_place(&self) -> bool {
        self.batch_count < if self.away_count > 0 { 1 } else { self.batch_count_max }
    }

    /// When there is something to do that is not to be done now.
    pub(super) fn wake_at(&self, now: Instant) -> Option<Instant> {
        if !self.has_place() {
            // The end of a batch wakes.
            return None;
        }
        match self.resume_at.filter(|at| *at > now) {
            Some(at) if self.schedule.waiting_count() > 0 => Some(at),
            Some(_) => None,
            None => self.schedule.wake_at(),
        }
    }

    /// What the order of records is made of.
    fn waiting(
        &mut self,
        record: &Record,
        snapshot: &Snapshot,
        now: Instant,
    ) -> (Waiting<u32>, Gathering) {
        let payload = &record.payload;
        let count = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
        let group = match self.groups.get(&payload.op) {
            Some(group) => *group,
            None => *self.groups.entry(payload.op.clone()).or_insert(count),
        };
        let game = snapshot.game(&payload.game).ok();
        let template = game.and_then(|game| game.template(&payload.op));
        let gathering = template.map_or(UNKNOWN, |template| gathering(template));
        let Record { sequence, lane, .. } = *record;
        (Waiting { sequence, group, lane, arrived: now }, gathering)
    }

    /// Takes a record in.
    ///
    /// - `has_room`: it may stay in memory; it does if its turn will come soon.
    pub(super) fn push(
        &mut self,
        record: Record,
        has_room: bool,
        snapshot: &Snapshot,
        now: Instant,
    ) {
        let (waiting, gathering) = self.waiting(&record, snapshot, now);
        self.schedule.push(waiting, gathering);
        let is_soon =
            self.away_count == 0 && record.lane.is_none_or(|lane| !self.schedule.is_held_up(lane));
        if has_room && is_soon {
            self.held_bytes += weight(&record);
            self.held.insert(record.sequence, Arc::new(record));
        }
    }

    /// Takes a record out for its burial, which [`Desk::settle`] ends like a batch.
    pub(super) fn pull(&mut self, record: &Record) -> Pulled {
        let pulled = self.schedule.pull(record.sequence, record.lane);
        self.batch_count += usize::from(pulled == Pulled::Taken);
        pulled
    }

    /// The same of a record that was not read yet.
    pub(super) fn push_pulled(&mut self, record: &Record, snapshot: &Snapshot, now: Instant) {
        let (waiting, gathering) = self.waiting(record, snapshot, now);
        self.schedule.push_pulled(waiting, gathering);
        self.batch_count += 1;
    }

    /// What was said of a record the last time, and how often.
    pub(super) fn cause(&self, sequence: u64) -> Option<(u32, &Cause)> {
        self.causes.get(&sequence).map(|(count, cause)| (*count, cause))
    }

    /// Why a record waits; `None`: it does not wait here.
    pub(super) fn standing(
        &self,
        sequence: u64,
        lane: Option<Lane>,
        now: Instant,
    ) -> Option<Standing> {
        let stands = self.schedule.standing(sequence, lane)?;
        let own = self.causes.get(&sequence);
        let of_all = self.lost.as_ref().filter(|_| self.is_without());
        let last = own.map(|(_, cause)| cause).or(of_all).cloned();
        let left = |at: Instant| at.saturating_duration_since(now);
        let waits = match stands {
            Stands::Running => Waits::Running,
            Stands::Behind(first) => Waits::Behind(first),
            _ if self.is_without() => Waits::Away(self.resume_at.map_or(Duration::ZERO, left)),
            Stands::Later(at) => Waits::Next(left(at)),
            Stands::Ready => Waits::Turn,
        };
        Some(Standing { try_count: own.map_or(0, |(count, _)| *count), last, waits })
    }

    /// Takes note of what was said of records, and of their database.
    pub(super) fn note(&mut self, causes: Vec<(u64, Cause)>, lost: Option<&BackendError>) {
        for (sequence, cause) in causes {
            let count = self.causes.get(&sequence).map_or(0, |(count, _)| *count);
            self.causes.insert(sequence, (count.saturating_add(1), cause));
        }
        if let Some(error) = lost {
            self.lost = Some(cause_of(error));
        }
    }

    /// The next batch, if one is due and may run.
    pub(super) fn next(&mut self, now: Instant) -> Option<Work> {
        if self.is_away(now) || !self.has_place() {
            return None;
        }
        let batch = self.schedule.next(now, self.shrink)?;
        self.batch_count += 1;
        let (mut records, mut missing) = (Vec::with_capacity(batch.sequences.len()), Vec::new());
        let mut failures = HashMap::default();
        for sequence in batch.sequences {
            match self.held.get(&sequence) {
                Some(record) => records.push(Arc::clone(record)),
                None => missing.push(sequence),
            }
            if let Some(count) = self.failures.get(&sequence) {
                failures.insert(sequence, *count);
            }
        }
        Some(Work { records, missing, failures })
    }

    /// Takes note of what became of a batch. Returns what is to be told of the database.
    pub(super) fn settle(&mut self, outcomes: &[(u64, Outcome)], now: Instant) -> Option<Word> {
        self.batch_count = self.batch_count.saturating_sub(1);
        let settled = |(sequence, outcome): &(u64, Outcome)| {
            let again = match outcome {
                Outcome::Applied | Outcome::Dead | Outcome::Buried => {
                    self.forget(*sequence);
                    return (*sequence, Settlement::Over);
                }
                Outcome::Failed => {
                    let count = self.failures.entry(*sequence).or_default();
                    *count += 1;
                    now + pause(FAILED, *count)
                }
                Outcome::Late | Outcome::Unread | Outcome::Panicked => {
                    let count = self.late.entry(*sequence).or_default();
                    *count += 1;
                    now + pause(LATE, *count)
                }
                Outcome::Locked => now + FAILED.0,
                Outcome::Held | Outcome::Slow | Outcome::Lost => now,
            };
            (*sequence, Settlement::Again(again))
        };
        let settlements: Vec<_> = outcomes.iter().map(settled).collect();
        self.schedule.settle(&settlements);
        let has = |wanted: &[Outcome]| outcomes.iter().any(|(_, outcome)| wanted.contains(outcome));
        if has(&[Outcome::Slow]) {
            self.shrink = (self.shrink + SHRINK).min(SHRINK_MAX);
        } else if has(&[Outcome::Applied]) {
            self.shrink = self.shrink.saturating_sub(SHRINK);
        }
        if has(&[Outcome::Lost]) {
            return self.lost(now);
        }
        if has(&[Outcome::Applied, Outcome::Dead, Outcome::Failed, Outcome::Locked]) {
            (self.away_count, self.resume_at) = (0, None);
            return self.away.end(now).map(Word::Back);
        }
        None
    }

    fn lost(&mut self, now: Instant) -> Option<Word> {
        // All batches of the moment are lost together: that is one failure.
        if !self.is_away(now) {
            self.away_count = self.away_count.saturating_add(1);
            self.resume_at = Some(now + pause(AWAY, self.away_count));
            // It asks for the database with little; and what is lost because it is too large, is not any more.
            self.shrink = (self.shrink + SHRINK).min(SHRINK_MAX);
        }
        if self.away_count >= AWAY_LONG {
            // What waits for hours need not wait in memory; it is read again.
            self.held = HashMap::default();
            self.held_bytes = 0;
        }
        self.away.begin(now).then_some(Word::Away)
    }

    fn forget(&mut self, sequence: u64) {
        if let Some(record) = self.held.remove(&sequence) {
            self.held_bytes -= weight(&record);
        }
        self.failures.remove(&sequence);
        self.late.remove(&sequence);
        self.causes.remove(&sequence);
    }
}

/// What a record costs in memory, roughly, in bytes.
fn weight(record: &Record) -> usize {
    RECORD_BYTES + record.payload.bound.values.iter().map(value_bytes).sum::<usize>()
}

fn value_bytes(value: &Scalar<'_>) -> usize {
    match value {
        Scalar::Str(text) => text.len(),
        Scalar::Bytes(bytes) => bytes.len(),
        Scalar::List(items) => items.iter().map(|item| size_of_val(item) + value_bytes(item)).sum(),
        _ => 0,
    }
}

fn gathering(template: &Template) -> Gathering {
    template.write.asynchronous.map_or(UNKNOWN, |asynchronous| Gathering {
        count_max: asynchronous.batch_count_max as usize,
        linger: asynchronous.linger,
        is_urgent: asynchronous.is_urgent,
    })
}

/// Doubles with each failure, up to the longest.
fn pause((first, longest): (Duration, Duration), count: u32) -> Duration {
    first.saturating_mul(1 << count.saturating_sub(1).min(16)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANES: u64 = 1000;

    /// A desk with a record in each of many lanes, which allows batches of 100, four at once.
    fn desk(now: Instant) -> Desk {
        let mut desk = Desk::default();
        desk.allow(4);
        let gathering = Gathering { count_max: 100, linger: Duration::ZERO, is_urgent: false };
        for sequence in 1..=LANES {
            let lane = Some(Lane(sequence));
            desk.schedule.push(Waiting { sequence, group: 0, lane, arrived: now }, gathering);
        }
        desk
    }

    fn next(desk: &mut Desk, now: Instant) -> Option<Vec<u64>> {
        desk.next(now).map(|work| work.missing)
    }

    fn all(sequences: &[u64], outcome: Outcome) -> Vec<(u64, Outcome)> {
        sequences.iter().map(|sequence| (*sequence, outcome)).collect()
    }

    #[test]
    fn desk_at_its_bound_is_woken_by_the_end_of_a_batch_and_by_nothing_else() {
        let now = Instant::now();
        let mut desk = desk(now);
        let batches: Vec<_> = (0..4).map(|_| next(&mut desk, now).unwrap()).collect();
        assert_eq!((next(&mut desk, now), desk.wake_at(now)), (None, None));
        desk.settle(&all(&batches[0], Outcome::Applied), now);
        assert!(desk.wake_at(now).is_some_and(|at| at <= now));
        assert!(next(&mut desk, now).is_some());
    }

    #[test]
    fn away_database_is_asked_by_one_batch_at_a_time_after_a_pause_and_wakes_nobody_meanwhile() {
        let now = Instant::now();
        let mut desk = desk(now);
        let lost: Vec<_> = (0..4).map(|_| next(&mut desk, now).unwrap()).collect();
        assert_eq!(desk.settle(&all(&lost[0], Outcome::Lost), now), Some(Word::Away));
        for batch in &lost[1..] {
            assert_eq!(desk.settle(&all(batch, Outcome::Lost), now), None);
        }
        let resumed = now + AWAY.0;
        assert_eq!((next(&mut desk, now), desk.wake_at(now)), (None, Some(resumed)));
        let asking = next(&mut desk, resumed).unwrap();
        assert_eq!((next(&mut desk, resumed), desk.wake_at(resumed)), (None, None));
        assert_eq!(asking.len(), 25);
        let back = desk.settle(&all(&asking, Outcome::Applied), resumed);
        assert_eq!(back, Some(Word::Back(AWAY.0)));
        assert!(next(&mut desk, resumed).is_some() && next(&mut desk, resumed).is_some());
    }

    #[test]
    fn desk_with_nothing_to_do_wakes_nobody() {
        let now = Instant::now();
        assert_eq!(Desk::default().wake_at(now), None);
        let mut desk = desk(now);
        while let Some(batch) = next(&mut desk, now) {
            desk.settle(&all(&batch, Outcome::Applied), now);
        }
        assert_eq!((desk.wake_at(now), desk.runnable_count(now, 1)), (None, 0));
    }

    #[test]
    fn batches_that_take_too_long_become_smaller_down_to_one_and_large_again_when_they_do_not() {
        let now = Instant::now();
        let mut desk = desk(now);
        for size in [100, 25, 6, 1, 1] {
            let batch = next(&mut desk, now).unwrap();
            assert_eq!(batch.len(), size);
            desk.settle(&all(&batch, Outcome::Slow), now);
        }
        for _ in 0..6 {
            let batch = next(&mut desk, now).unwrap();
            desk.settle(&all(&batch, Outcome::Applied), now);
        }
        assert_eq!(next(&mut desk, now).unwrap().len(), 100);
    }

    #[test]
    fn what_is_late_alone_or_cannot_be_read_waits_longer_each_time_and_is_no_failure() {
        let now = Instant::now();
        let mut desk = desk(now);
        for outcome in [Outcome::Late, Outcome::Unread, Outcome::Panicked] {
            let batch = next(&mut desk, now).unwrap();
            desk.settle(&all(&batch, outcome), now);
            assert_eq!(desk.failures.len(), 0);
            assert_ne!(next(&mut desk, now).unwrap()[0], batch[0]);
        }
        assert_eq!(pause(LATE, 1), LATE.0);
        assert_eq!(pause(LATE, 2), LATE.0 * 2);
        assert_eq!(pause(LATE, 100), LATE.1);
    }
}
