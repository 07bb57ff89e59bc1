//! One game's records: their order, those in memory, their failures, and whether its database is away.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

use super::batch::Outcome;
use super::schedule::{Gathering, Schedule, Settlement, Waiting};
use crate::catalog::Template;
use crate::journal::Record;
use crate::snapshot::Snapshot;

/// Batches of one game at once. Few: live traffic shares the pool.
const RUNNING_MAX: usize = 4;
/// First and longest pause after the database was not there.
const AWAY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// First and longest pause before a record that failed is tried again.
const FAILED: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
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
    /// Of records that failed: how often.
    failures: HashMap<u64, u32, RandomState>,
    batches: usize,
    /// Failures of the database itself, in a row.
    away_count: u32,
    resume_at: Option<Instant>,
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
            failures: HashMap::default(),
            batches: 0,
            away_count: 0,
            resume_at: None,
        }
    }
}

impl Desk {
    /// Records in memory.
    pub(super) fn held_count(&self) -> usize {
        self.held.len()
    }

    /// Records that could be applied as soon as there is time for them.
    pub(super) fn runnable_count(&self, now: Instant) -> usize {
        if self.is_away(now) {
            return 0;
        }
        self.schedule.runnable_count()
    }

    fn is_away(&self, now: Instant) -> bool {
        self.resume_at.is_some_and(|at| at > now)
    }

    /// When there is something to do that is not to be done now.
    pub(super) fn wake_at(&self, now: Instant) -> Option<Instant> {
        if self.batches >= RUNNING_MAX {
            // The end of one wakes.
            return None;
        }
        match self.resume_at.filter(|at| *at > now) {
            Some(at) if self.schedule.waiting_count() > 0 => Some(at),
            Some(_) => None,
            None => self.schedule.wake_at(),
        }
    }

    /// Takes a record in; `is_kept`: in memory.
    pub(super) fn push(&mut self, record: Record, is_kept: bool, snapshot: &Snapshot) {
        let payload = &record.payload;
        let count = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
        let group = match self.groups.get(&payload.op) {
            Some(group) => *group,
            None => *self.groups.entry(payload.op.clone()).or_insert(count),
        };
        let game = snapshot.game(&payload.game).ok();
        let template = game.and_then(|game| game.template(&payload.op));
        let gathering = template.map_or(UNKNOWN, |template| gathering(template));
        let waiting = Waiting {
            sequence: record.sequence,
            group,
            lane: record.lane,
            arrived: Instant::now(),
        };
        self.schedule.push(waiting, gathering);
        if is_kept {
            self.held.insert(record.sequence, Arc::new(record));
        }
    }

    /// The next batch, if one is due and may run.
    pub(super) fn next(&mut self, now: Instant) -> Option<Work> {
        // While the database is away one batch at a time asks for it.
        let running_max = if self.away_count > 0 { 1 } else { RUNNING_MAX };
        if self.is_away(now) || self.batches >= running_max {
            return None;
        }
        let batch = self.schedule.next(now)?;
        self.batches += 1;
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

    /// Takes note of what became of a batch.
    pub(super) fn settle(&mut self, outcomes: Vec<(u64, Outcome)>, now: Instant) {
        self.batches = self.batches.saturating_sub(1);
        let mut settlements = Vec::with_capacity(outcomes.len());
        let (mut is_away, mut is_there) = (false, false);
        for (sequence, outcome) in outcomes {
            let settlement = match outcome {
                Outcome::Applied | Outcome::Dead => {
                    is_there = true;
                    self.held.remove(&sequence);
                    self.failures.remove(&sequence);
                    Settlement::Over
                }
                Outcome::Failed => {
                    is_there = true;
                    let count = self.failures.entry(sequence).or_default();
                    *count += 1;
                    Settlement::Again(now + pause(FAILED, *count))
                }
                Outcome::Held => Settlement::Again(now),
                Outcome::Locked => Settlement::Again(now + FAILED.0),
                Outcome::Lost => {
                    is_away = true;
                    Settlement::Again(now)
                }
            };
            settlements.push((sequence, settlement));
        }
        if is_away {
            // All batches of the moment are lost together: that is one failure.
            if !self.is_away(now) {
                self.away_count = self.away_count.saturating_add(1);
                self.resume_at = Some(now + pause(AWAY, self.away_count));
            }
        } else if is_there {
            (self.away_count, self.resume_at) = (0, None);
        }
        self.schedule.settle(&settlements);
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
