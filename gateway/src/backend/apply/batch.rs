//! One batch: a transaction, and where it is refused the search for the record at fault.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

use super::Shared;
use super::desk::Work;
use super::outcome::{Ended, Outcome, cause_of};
use super::source::Source;
use super::told::What;
use super::unwound::unwound;
use crate::backend::BackendError;
use crate::backend::write::{ApplyError, RecordState};
use crate::catalog::Template;
use crate::identity::Lane;
use crate::journal::Record;
use crate::observe::{Event, emit};
use crate::snapshot::Operation;
use crate::stream::StreamError;

/// How often a batch that met a lock is tried again at once.
const LOCKED_MAX: u32 = 5;
/// Between those, at least and at most, in milliseconds.
const LOCKED_PAUSE_MS: (u64, u64) = (2, 40);

/// Applies a batch.
pub(super) async fn apply(shared: &Shared, work: Work) -> Ended {
    let Work { mut records, missing, failures } = work;
    let mut outcomes = Vec::with_capacity(records.len() + missing.len());
    if !missing.is_empty() {
        read(shared, missing, &mut records, &mut outcomes).await;
    }
    #[cfg(test)]
    for record in &records {
        super::faults::in_task(record);
    }
    let Some(first) = records.first() else { return Ended { outcomes, ..Ended::default() } };
    let snapshot = shared.applier.snapshot.load_full();
    let game = snapshot.game(&first.payload.game).ok();
    let Some(known) = game.and_then(|game| game.known(&first.payload.op)) else {
        // A reload that takes these away is refused while records wait, so this is a moment's matter.
        outcomes.extend(records.iter().map(|record| (record.sequence, Outcome::Lost)));
        let pool = game.map(|game| game.pool.clone()).unwrap_or_default();
        let lost = Some(BackendError::Unreachable { pool, source: None });
        return Ended { outcomes, lost, ..Ended::default() };
    };
    let template = &known.template;
    if matches!(shared.source, Source::Stream(_)) {
        hold_others(template, &mut records, &mut outcomes);
    }
    let operation = format!("{} {}", template.game, template.op);
    if records.iter().any(|record| record.payload.contract != template.contract) {
        // Nobody knows what its values would mean by another contract: a reload mends it.
        outcomes.extend(records.iter().map(|record| (record.sequence, Outcome::Lost)));
        let lost = Some(BackendError::ContractChanged { operation: operation.into() });
        return Ended { outcomes, lost, ..Ended::default() };
    }
    let ended = Ended { outcomes, ..Ended::default() };
    let mut run = Run { shared, template, known, operation, failures, ended };
    run.all(&records).await;
    run.ended
}

/// Leaves records that were taken under another contract, and what comes behind them in their lanes: instances
/// of several versions share a stream, and another one may know them. (A journal is its instance's own: a
/// reload that could not apply what waits there is refused.)
fn hold_others(
    template: &Template,
    records: &mut Vec<Arc<Record>>,
    outcomes: &mut Vec<(u64, Outcome)>,
) {
    let mut lanes: HashSet<Lane> = HashSet::new();
    let mut other_count = 0;
    records.retain(|record| {
        let is_other = record.payload.contract != template.contract;
        let is_behind = record.lane.is_some_and(|lane| lanes.contains(&lane));
        if is_other {
            other_count += 1;
            lanes.extend(record.lane);
        }
        if is_other || is_behind {
            let outcome = if is_other { Outcome::Unread } else { Outcome::Held };
            outcomes.push((record.sequence, outcome));
        }
        !is_other && !is_behind
    });
    if other_count > 0 {
        let operation = format!("{} {}", template.game, template.op);
        let error = StreamError::OtherContract;
        let (operation, record_count) = (&*operation, other_count);
        emit(&Event::BatchFailed { operation, record_count, error: &error });
    }
}

/// Reads records that are in memory no more, and puts them among those that are. Only what is read without a
/// gap is tried: what comes behind an unread record may be of its lane.
async fn read(
    shared: &Shared,
    missing: Vec<u64>,
    records: &mut Vec<Arc<Record>>,
    outcomes: &mut Vec<(u64, Outcome)>,
) {
    let (found, is_damaged) = match shared.source.read(&missing).await {
        Ok(found) => (found, false),
        Err(error) => {
            shared.journal_failed("reading", &error);
            (Vec::new(), true)
        }
    };
    let known: HashSet<u64, RandomState> = found.iter().map(|record| record.sequence).collect();
    let has_progress = !known.is_empty();
    records.extend(found.into_iter().map(Arc::new));
    records.sort_unstable_by_key(|record| record.sequence);
    let mut gap = None;
    for sequence in missing.into_iter().filter(|sequence| !known.contains(sequence)) {
        let outcome = if !is_damaged && !shared.source.is_pending(sequence) {
            // Somebody settled it meanwhile.
            Outcome::Applied
        } else if has_progress {
            // One look does not read more than so many bytes; this is read at the next one.
            Outcome::Held
        } else {
            Outcome::Unread
        };
        if outcome != Outcome::Applied && gap.is_none() {
            gap = Some(sequence);
        }
        outcomes.push((sequence, outcome));
    }
    let end =
        gap.map_or(records.len(), |gap| records.partition_point(|record| record.sequence < gap));
    outcomes.extend(records.drain(end..).map(|record| (record.sequence, Outcome::Held)));
}

pub(super) struct Run<'a> {
    pub(super) shared: &'a Shared,
    /// The contract; the SQL is that of the game's owner, at each transaction anew.
    pub(super) template: &'a Template,
    pub(super) known: &'a Operation,
    /// Game and operation, for the log.
    operation: String,
    failures: HashMap<u64, u32, RandomState>,
    ended: Ended,
}

impl Run<'_> {
    /// Applies all, in halves where a whole is refused. What follows a failed record in its lane is left.
    async fn all(&mut self, records: &[Arc<Record>]) {
        let mut failed_lanes: HashSet<Lane> = HashSet::new();
        let mut locked_count = 0;
        // The last part is the next one: what comes earlier in the journal stands later in here.
        let mut parts: Vec<Vec<&Record>> = vec![records.iter().map(Arc::as_ref).collect()];
        while let Some(mut part) = parts.pop() {
            part.retain(|record| {
                let is_held = record.lane.is_some_and(|lane| failed_lanes.contains(&lane));
                if is_held {
                    self.ended.outcomes.push((record.sequence, Outcome::Held));
                }
                !is_held
            });
            if part.is_empty() {
                continue;
            }
            if self.shared.is_stopping.load(Ordering::Relaxed) {
                self.put(&part, Outcome::Held);
                continue;
            }
            match self.transact(&part).await {
                Ok(states) => self.applied(&part, &states).await,
                Err(ApplyError::Refused(error)) if part.len() == 1 => {
                    failed_lanes.extend(part.iter().filter_map(|record| record.lane));
                    self.failed(&part, &error).await;
                }
                // One lane's lock is not to keep the others waiting.
                Err(ApplyError::Locked(_)) if part.len() > 1 && locked_count >= LOCKED_MAX => {
                    let later = part.split_off(part.len() / 2);
                    parts.extend([later, part]);
                }
                Err(ApplyError::Refused(_)) => {
                    let later = part.split_off(part.len() / 2);
                    parts.extend([later, part]);
                }
                Err(ApplyError::Locked(_)) if locked_count < LOCKED_MAX => {
                    locked_count += 1;
                    tokio::time::sleep(locked_pause()).await;
                    parts.push(part);
                }
                Err(ApplyError::Locked(error)) => {
                    self.tell(What::Locked, part.len(), &error);
                    self.note(&part, &error);
                    failed_lanes.extend(part.iter().filter_map(|record| record.lane));
                    self.put(&part, Outcome::Locked);
                }
                Err(ApplyError::Lost(error @ BackendError::TimedOut)) => {
                    self.tell(What::Late, part.len(), &error);
                    self.note(&part, &error);
                    failed_lanes.extend(part.iter().filter_map(|record| record.lane));
                    let is_alone = part.len() == 1;
                    self.put(&part, if is_alone { Outcome::Late } else { Outcome::Slow });
                }
                Err(ApplyError::Fenced) => {
                    // Whoever owns the stream now applies them.
                    self.shared.source.fenced();
                    self.put(&part, Outcome::Held);
                    for part in std::mem::take(&mut parts) {
                        self.put(&part, Outcome::Held);
                    }
                }
                // The gateway ends while the game is on its way.
                Err(ApplyError::Moved) => self.put(&part, Outcome::Held),
                Err(ApplyError::Lost(error)) => {
                    self.ended.lost = Some(error);
                    self.put(&part, Outcome::Lost);
                    for part in std::mem::take(&mut parts) {
                        self.put(&part, Outcome::Lost);
                    }
                }
            }
        }
    }

    /// One transaction, with the cache's protocol around it.
    ///
    /// A panic is taken for a refusal: the record that it comes from is found like any other at fault.
    async fn transact(&self, part: &[&Record]) -> Result<Vec<RecordState>, ApplyError> {
        match unwound(Box::pin(self.transact_unguarded(part))).await {
            Ok(done) => done,
            Err(message) => {
                let error = BackendError::Panicked { message };
                self.tell(What::Panicked, part.len(), &error);
                Err(ApplyError::Refused(error))
            }
        }
    }

    async fn applied(&mut self, part: &[&Record], states: &[RecordState]) {
        let mut applied = Vec::with_capacity(part.len());
        let mut reused = Vec::new();
        for (record, state) in part.iter().zip(states) {
            match state {
                RecordState::Done | RecordState::DoneBefore | RecordState::Repeat => {
                    applied.push(*record);
                }
                RecordState::KeyReused => reused.push(*record),
            }
        }
        self.shared.teller.applied(part);
        // Before the others are marked: a dead letter is overtaken by what of its lane waits behind it.
        for record in reused {
            // It will be refused whenever it is tried.
            self.bury(record, &BackendError::KeyReused).await;
        }
        self.shared.source.applied(&applied).await;
        self.shared.figures.committed(part.len());
        self.ended
            .outcomes
            .extend(applied.iter().map(|record| (record.sequence, Outcome::Applied)));
    }

    /// A record was refused on its own: again later, or never more.
    async fn failed(&mut self, part: &[&Record], error: &BackendError) {
        self.tell(What::Refused, part.len(), error);
        let failure_count_max = self
            .template
            .write
            .asynchronous
            .map_or(1, |asynchronous| asynchronous.failure_count_max);
        for record in part {
            let count = self.failures.get(&record.sequence).copied().unwrap_or(0) + 1;
            if count >= failure_count_max {
                self.bury(record, error).await;
            } else {
                self.note(part, error);
                self.ended.outcomes.push((record.sequence, Outcome::Failed));
            }
        }
    }

    async fn bury(&mut self, record: &Record, error: &BackendError) {
        let cause = cause_of(error);
        let buried = self.shared.source.dead(record, &cause).await;
        let outcome = match buried {
            Ok(()) => {
                self.tell_dead(record, error);
                self.shared.teller.dead(record, cause);
                Outcome::Dead
            }
            Err(error) => {
                self.shared.journal_failed("a dead letter", &error);
                Outcome::Failed
            }
        };
        self.ended.outcomes.push((record.sequence, outcome));
    }

    /// Keeps what was said of a record that was tried alone.
    fn note(&mut self, part: &[&Record], error: &BackendError) {
        if let [record] = part {
            self.ended.causes.push((record.sequence, cause_of(error)));
        }
    }

    fn put(&mut self, part: &[&Record], outcome: Outcome) {
        self.ended.outcomes.extend(part.iter().map(|record| (record.sequence, outcome)));
    }

    fn tell(&self, what: What, record_count: usize, error: &BackendError) {
        let told = self.shared.told.count(what, &self.operation, record_count, Instant::now());
        if let Some(record_count) = told {
            emit(&Event::BatchFailed { operation: &self.operation, record_count, error });
        }
    }

    fn tell_dead(&self, record: &Record, error: &BackendError) {
        let told = self.shared.told.count(What::Dead, &self.operation, 1, Instant::now());
        if let Some(record_count) = told {
            let (operation, sequence) = (&*self.operation, record.sequence);
            emit(&Event::RecordsDead { operation, record_count, sequence, error });
        }
    }
}

fn locked_pause() -> Duration {
    let (least, most) = LOCKED_PAUSE_MS;
    let random = getrandom::u64().unwrap_or(0);
    Duration::from_millis(least + random % (most - least))
}
