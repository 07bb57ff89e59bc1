//! One batch: a transaction, and where it is refused the search for the record at fault.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use foldhash::fast::RandomState;
use tokio::sync::mpsc;

use super::Applier;
use crate::backend::pool::Pool;
use crate::backend::write::{Applied, ApplyError, Mark, Params, RecordState, apply as transact};
use crate::backend::{BackendError, Supplied};
use crate::cache::{Cache, QueuedState, Tag, WRITE_MARGIN, write_tags};
use crate::catalog::Template;
use crate::identity::Lane;
use crate::journal::Record;
use crate::observe::{Event, Stage, emit};

/// How long a batch may take in the database.
const BATCH_TIMEOUT: Duration = Duration::from_secs(15);
/// How often a batch that met a lock is tried again at once.
const LOCKED_MAX: u32 = 5;
/// Between those, at least and at most, in milliseconds.
const LOCKED_PAUSE_MS: (u64, u64) = (2, 40);
/// How long other instances are told of a record that nobody takes back.
const TOLD_LIFE: Duration = Duration::from_hours(72);
/// Words to other instances that may wait to be told.
const TOLD_MAX: usize = 256;

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Its effect is in the database.
    Applied,
    /// It stands among the dead letters.
    Dead,
    /// The database refused it.
    Failed,
    /// Not tried: an earlier record of its lane failed.
    Held,
    /// A lock was not to be had, several times.
    Locked,
    /// The database was not there.
    Lost,
}

/// Tells other instances of records, behind everything else.
#[derive(Clone, Debug)]
pub(super) struct Teller(Option<mpsc::Sender<Vec<([u8; 16], Option<QueuedState>)>>>);

impl Teller {
    /// Starts the task that tells; without Redis there is nobody to tell.
    pub(super) fn start(cache: Arc<Cache<BackendError>>) -> Self {
        if !cache.has_l2() {
            return Self(None);
        }
        let (sender, mut words) = mpsc::channel::<Vec<_>>(TOLD_MAX);
        drop(tokio::spawn(async move {
            while let Some(states) = words.recv().await {
                cache.tell_queued(&states, TOLD_LIFE).await;
            }
        }));
        Self(Some(sender))
    }

    /// Records that wait from now on.
    pub(super) fn journalled(&self, records: &[Record]) {
        self.tell(records.iter().map(|record| {
            let since_micros = record.payload.now_micros;
            (record.key.request, Some(QueuedState::Journalled { since_micros }))
        }));
    }

    fn tell(&self, states: impl Iterator<Item = ([u8; 16], Option<QueuedState>)>) {
        if let Some(sender) = &self.0 {
            // Too much to tell: others will not know, which the documents allow.
            let _told = sender.try_send(states.collect()).is_ok();
        }
    }
}

/// Applies a batch: what became of each of its records.
///
/// - `missing`: sequences that are read from the journal first.
/// - `failures`: how often records failed before.
pub(super) async fn apply(
    applier: &Arc<Applier>,
    teller: &Teller,
    mut records: Vec<Arc<Record>>,
    missing: Vec<u64>,
    failures: &HashMap<u64, u32, RandomState>,
) -> Vec<(u64, Outcome)> {
    let mut outcomes = Vec::with_capacity(records.len() + missing.len());
    if !missing.is_empty() {
        let (found, lost) = read(applier, missing).await;
        records.extend(found);
        records.sort_unstable_by_key(|record| record.sequence);
        outcomes.extend(lost.into_iter().map(|sequence| (sequence, Outcome::Lost)));
    }
    let Some(first) = records.first() else { return outcomes };
    let snapshot = applier.snapshot.load_full();
    let game = snapshot.game(&first.payload.game).ok();
    let template = game.and_then(|game| game.template(&first.payload.op));
    let pool = game.zip(template);
    let pool = pool.and_then(|(game, one)| applier.pools.get(&game.pool, one.dialect));
    let (Some(template), Some(pool)) = (template, pool) else {
        // A reload that takes these away is refused while records wait, so this is a moment's matter.
        outcomes.extend(records.iter().map(|record| (record.sequence, Outcome::Lost)));
        return outcomes;
    };
    let mut run = Run { applier, teller, template, pool: &pool, failures, outcomes };
    run.all(&records).await;
    run.outcomes
}

/// Reads records again. Those that cannot be read come back as they are.
async fn read(applier: &Arc<Applier>, missing: Vec<u64>) -> (Vec<Arc<Record>>, Vec<u64>) {
    let mut reader = applier.journal.reader();
    let wanted = missing.clone();
    let found = tokio::task::spawn_blocking(move || reader.read(&wanted)).await;
    let found = match found {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            emit(&Event::JournalFailed { what: "reading", error: &error });
            return (Vec::new(), missing);
        }
        Err(error) => {
            emit(&Event::JournalFailed { what: "reading", error: &error });
            return (Vec::new(), missing);
        }
    };
    let known: HashSet<u64> = found.iter().map(|record| record.sequence).collect();
    let lost = missing.into_iter().filter(|sequence| !known.contains(sequence)).collect();
    (found.into_iter().map(Arc::new).collect(), lost)
}

struct Run<'a> {
    applier: &'a Applier,
    teller: &'a Teller,
    template: &'a Template,
    pool: &'a Pool,
    failures: &'a HashMap<u64, u32, RandomState>,
    outcomes: Vec<(u64, Outcome)>,
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
                    self.outcomes.push((record.sequence, Outcome::Held));
                }
                !is_held
            });
            if part.is_empty() {
                continue;
            }
            match self.transact(&part).await {
                Ok(states) => self.applied(&part, &states).await,
                Err(ApplyError::Refused(error)) if part.len() == 1 => {
                    failed_lanes.extend(part.iter().filter_map(|record| record.lane));
                    self.failed(&part, &error).await;
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
                    self.tell_failed(&error, part.len());
                    failed_lanes.extend(part.iter().filter_map(|record| record.lane));
                    self.put(&part, Outcome::Locked);
                }
                Err(ApplyError::Lost(error)) => {
                    self.tell_failed(&error, part.len());
                    self.put(&part, Outcome::Lost);
                    for part in std::mem::take(&mut parts) {
                        self.put(&part, Outcome::Lost);
                    }
                }
            }
        }
    }

    /// One transaction, with the cache's protocol around it.
    async fn transact(&self, part: &[&Record]) -> Result<Vec<RecordState>, ApplyError> {
        let template = self.template;
        let applied: Vec<Applied<'_, '_>> = part
            .iter()
            .map(|record| Applied {
                params: params(template, record),
                key: record.key,
                mark: Mark {
                    journal: self.applier.journal.id(),
                    sequence: i64::try_from(record.sequence).unwrap_or(i64::MAX),
                },
            })
            .collect();
        let tags = self.tags(part);
        let in_flight = self.applier.cache.begin_write(tags, BATCH_TIMEOUT + WRITE_MARGIN).await;
        let started = Instant::now();
        let done =
            transact(self.pool, template, &applied, now_micros(), started + BATCH_TIMEOUT).await;
        self.applier.metrics.stage(Stage::Apply, started.elapsed());
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
        let mut sequences = Vec::with_capacity(part.len());
        let mut reused = Vec::new();
        for (record, state) in part.iter().zip(states) {
            match state {
                RecordState::Done | RecordState::DoneBefore | RecordState::Repeat => {
                    sequences.push(record.sequence);
                }
                RecordState::KeyReused => reused.push(*record),
            }
        }
        self.applier.journal.applied(&sequences);
        self.teller.tell(part.iter().map(|record| (record.key.request, None)));
        self.outcomes.extend(sequences.iter().map(|sequence| (*sequence, Outcome::Applied)));
        for record in reused {
            // It will be refused whenever it is tried.
            self.bury(record, &BackendError::KeyReused).await;
        }
    }

    /// A record was refused on its own: again later, or never more.
    async fn failed(&mut self, part: &[&Record], error: &BackendError) {
        self.tell_failed(error, part.len());
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
                self.outcomes.push((record.sequence, Outcome::Failed));
            }
        }
    }

    async fn bury(&mut self, record: &Record, error: &BackendError) {
        let (code, message) = (error.code(), error.client_message());
        let buried = self.applier.journal.dead(record, code, &message).await;
        let outcome = match buried {
            Ok(()) => {
                let since_micros = now_micros();
                let dead = QueuedState::Dead { since_micros, code, message: message.into() };
                self.teller.tell(std::iter::once((record.key.request, Some(dead))));
                Outcome::Dead
            }
            Err(error) => {
                emit(&Event::JournalFailed { what: "a dead letter", error: &error });
                Outcome::Failed
            }
        };
        self.outcomes.push((record.sequence, outcome));
    }

    fn put(&mut self, part: &[&Record], outcome: Outcome) {
        self.outcomes.extend(part.iter().map(|record| (record.sequence, outcome)));
    }

    fn tell_failed(&self, error: &BackendError, count: usize) {
        let Template { game, op, .. } = self.template;
        emit(&Event::BatchFailed {
            operation: &format!("{game} {op}"),
            record_count: count,
            error,
        });
    }
}

fn params<'r>(template: &'r Template, record: &'r Record) -> Params<'r, 'static> {
    let payload = &record.payload;
    let (id, row_ids) = match payload.ids.split_first() {
        Some((id, rest)) => (*id, rest),
        None => (0, &[][..]),
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

/// The wall clock, in Unix microseconds.
fn now_micros() -> i64 {
    let micros = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros();
    i64::try_from(micros).unwrap_or(i64::MAX)
}
