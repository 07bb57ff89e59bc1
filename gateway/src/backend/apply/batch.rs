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
use crate::backend::switch::Entered;
use crate::backend::write::{
    Applied, ApplyError, Holds, Mark, Params, RecordState, apply as transact,
};
use crate::backend::{BackendError, Supplied};
use crate::cache::{Tag, WRITE_MARGIN, write_tags};
use crate::catalog::Template;
use crate::identity::Lane;
use crate::journal::{Record, now_micros};
use crate::observe::{Event, Stage, emit};
use crate::snapshot::{Operation, Placed};
use crate::stream::StreamError;

/// How long a transaction may take in the database.
const BATCH_TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 15 });
/// How often a batch that waits for the end of a flip looks whether the gateway ends meanwhile.
const GATE_STEP: Duration = Duration::from_millis(100);
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

struct Run<'a> {
    shared: &'a Shared,
    /// The contract; the SQL is that of the game's owner, at each transaction anew.
    template: &'a Template,
    known: &'a Operation,
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

    async fn transact_unguarded(&self, part: &[&Record]) -> Result<Vec<RecordState>, ApplyError> {
        let waits_until = Instant::now() + BATCH_TIMEOUT;
        loop {
            let entered = self.enter(waits_until).await?;
            let done = self.transact_on(&entered, part).await;
            match (&done, &entered.permit) {
                // The owner is asked for anew, and has them next.
                (Err(ApplyError::Moved), Some(permit)) => permit.doubt(),
                _ => return done,
            }
        }
    }

    /// Has a transaction let to the game's owner: in the middle of a flip it waits, as long as one may last.
    async fn enter(&self, until: Instant) -> Result<Entered<'_>, ApplyError> {
        loop {
            let step = until.min(Instant::now() + GATE_STEP);
            match self.shared.applier.gates.enter(self.known, step).await {
                Ok(entered) => return Ok(entered),
                Err(BackendError::SwitchPaused { .. }) if Instant::now() < until => {}
                Err(error) => return Err(ApplyError::Lost(error)),
            }
            if self.shared.is_stopping.load(Ordering::Relaxed) {
                return Err(ApplyError::Moved);
            }
        }
    }

    async fn transact_on(
        &self,
        entered: &Entered<'_>,
        part: &[&Record],
    ) -> Result<Vec<RecordState>, ApplyError> {
        let Placed { pool: name, template } = entered.placed;
        let Some(pool) = self.shared.applier.pools.get(name, template.dialect) else {
            // A reload that takes it away is refused while records wait, so this is a moment's matter.
            return Err(ApplyError::Lost(BackendError::Unreachable {
                pool: name.into(),
                source: None,
            }));
        };
        let applied: Vec<Applied<'_, '_>> = part
            .iter()
            .map(|record| Applied {
                params: params(template, record),
                key: record.key,
                mark: Mark {
                    journal: self.shared.source.id(),
                    sequence: i64::try_from(record.sequence).unwrap_or(i64::MAX),
                },
            })
            .collect();
        let tags = self.tags(part);
        let in_flight =
            self.shared.applier.cache.begin_write(tags, BATCH_TIMEOUT + WRITE_MARGIN).await;
        let started = Instant::now();
        let holds = Holds { owner: entered.owner(), fence: self.shared.source.fence() };
        let deadline = started + BATCH_TIMEOUT;
        let done = transact(&pool, template, &applied, holds, now_micros(), deadline).await;
        self.shared.applier.metrics.stage(Stage::Apply, started.elapsed());
        if matches!(done, Err(ApplyError::Lost(BackendError::OutcomeUnknown { .. }))) {
            // It may still be committed: its tags stay closed until it cannot be any more.
            drop(in_flight);
        } else {
            in_flight.finish().await;
        }
        done
    }

    fn tags(&self, part: &[&Record]) -> Box<[Tag]> {
        let template = self.template;
        let mut tags: Vec<Tag> = Vec::new();
        for record in part {
            let own = write_tags(&template.game, &template.invalidate, &record.payload.bound);
            tags.extend_from_slice(&own);
        }
        tags.sort_unstable();
        tags.dedup();
        tags.into()
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

fn params<'r>(template: &'r Template, record: &'r Record) -> Params<'r, 'static> {
    let payload = &record.payload;
    #[cfg(test)]
    super::faults::in_transaction(record);
    let (id, row_ids) = match payload.ids.split_first() {
        Some((id, rest)) if template.uses_id() => (*id, rest),
        _ => (0, &payload.ids[..]),
    };
    let supplied = Supplied {
        now_micros: payload.now_micros,
        id,
        row_ids,
        caller: &payload.caller,
        claims: &payload.claims,
        trace: &payload.trace,
    };
    Params { template, bound: &payload.bound, supplied }
}

fn locked_pause() -> Duration {
    let (least, most) = LOCKED_PAUSE_MS;
    let random = getrandom::u64().unwrap_or(0);
    Duration::from_millis(least + random % (most - least))
}
