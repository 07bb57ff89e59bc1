//! Many journalled records of one template in one transaction.
//!
//! All or nothing: a record that cannot be applied takes the others back, and the caller looks for it. A record
//! whose key's row stands already has been applied before, or is the repeat of a request that was not journalled
//! here; both are told, neither is applied again.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Instant;

use foldhash::fast::RandomState;

use super::super::BackendError;
use super::super::connection::Purpose;
use super::super::fault::Failure;
use super::super::fold::folded;
use super::super::pool::Pool;
use super::super::switch::Owner;
use super::effect::{self, Params, Place};
use super::event;
use super::fence::{self, Fence};
use super::key::{self, Found, KeyRow, Mark};
use super::transaction::{Phase, Transaction};
use crate::catalog::{Dialect, Kind, Template};
use crate::identity::RequestKey;

/// How often key rows that others write at the same moment may get in the way of one batch.
const KEY_ROUNDS_MAX: u32 = 8;

/// A record to apply.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend) struct Applied<'a, 'b> {
    /// What to run, all of one template.
    pub params: Params<'a, 'b>,
    /// Its key.
    pub key: RequestKey,
    /// Where it stands in the journal.
    pub mark: Mark,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend) enum RecordState {
    /// It is in the database now.
    Done,
    /// It was already: this very record.
    DoneBefore,
    /// The same request was, by another way.
    Repeat,
    /// Its key was used with other parameters: refused, 2020.
    KeyReused,
}

/// What a transaction has to hold before it may write.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::backend) struct Holds<'o> {
    /// What the database has to say of the game's owner; `None`: it is not asked.
    pub owner: Option<&'o Owner>,
    /// Who applies the records; `None`: there is nobody else.
    pub fence: Option<Fence>,
}

/// Why nothing was applied.
#[derive(Debug)]
pub(in crate::backend) enum ApplyError {
    /// The database is not there, takes no writes, or did not answer in time: no record's fault. What was under way may have
    /// been applied after all; applying it again says so.
    Lost(BackendError),
    /// A lock was not to be had: the same may do in a moment.
    Locked(BackendError),
    /// A statement or a guard refused: one of the records, or all of them.
    Refused(BackendError),
    /// The stream that they come from has a newer owner.
    Fenced,
    /// The database does not own the game any more.
    Moved,
}

impl ApplyError {
    fn of(pool: &Pool, failure: Failure, phase: Phase) -> Self {
        match failure {
            Failure::Lost(source) if phase == Phase::Commit => {
                Self::Lost(BackendError::OutcomeUnknown { source: Some(source) })
            }
            Failure::Lost(source) => Self::Lost(pool.unreachable(Some(source))),
            // Somebody stopped the statement, the server's own limit did, or it takes none at all now.
            Failure::Unread(
                error @ (BackendError::Query { .. } | BackendError::NotWritable { .. }),
            )
            | Failure::Refused(error @ BackendError::TimedOut) => Self::Lost(error),
            Failure::Refused(BackendError::OwnerMoved { .. }) => Self::Moved,
            Failure::Refused(error @ BackendError::Locked { .. }) => Self::Locked(error),
            Failure::Refused(error) | Failure::Unread(error) => Self::Refused(error),
        }
    }
}

/// Applies records in their order. Returns what became of each.
///
/// - `now_micros`: from when their keys' time to live is counted.
///
/// # Errors
///
/// [`ApplyError`]; nothing of it was applied, but see [`ApplyError::Lost`].
pub(in crate::backend) async fn apply(
    pool: &Pool,
    template: &Template,
    records: &[Applied<'_, '_>],
    holds: Holds<'_>,
    now_micros: i64,
    deadline: Instant,
) -> Result<Vec<RecordState>, ApplyError> {
    let mut lease = pool.acquire_promised(deadline).await.map_err(ApplyError::Lost)?;
    lease.serve(&Purpose::of(template, "", deadline));
    let mut tx = Transaction::new(lease);
    let work = transact(&mut tx, template, records, holds, now_micros);
    let error = match tokio::time::timeout_at(deadline.into(), work).await {
        Ok(Ok(Some(states))) => return Ok(states),
        Ok(Ok(None)) => ApplyError::Fenced,
        Ok(Err(failure)) => ApplyError::of(pool, failure, tx.phase()),
        Err(_late) if tx.phase() == Phase::Commit => {
            return Err(ApplyError::Lost(BackendError::OutcomeUnknown { source: None }));
        }
        Err(_late) => return Err(ApplyError::Lost(BackendError::TimedOut)),
    };
    tx.end().await;
    Err(error)
}

/// Whether a request has taken effect: its row stands there, with these parameters.
///
/// Waits for a transaction that is writing it at the moment, of whatever connection.
///
/// # Errors
///
/// [`BackendError`]; then nobody knows.
pub(in crate::backend) async fn has_effect(
    pool: &Pool,
    key: &RequestKey,
    deadline: Instant,
) -> Result<bool, BackendError> {
    let lease = pool.acquire_promised(deadline).await?;
    let dialect = lease.dialect();
    let mut tx = Transaction::new(lease);
    let work = async {
        tx.begin(None).await?;
        key::find_all(&mut tx, dialect, &[key.request]).await
    };
    let found = tokio::time::timeout_at(deadline.into(), work).await;
    tx.end().await;
    match found {
        Ok(Ok(rows)) => Ok(rows.iter().any(|row| row.key == *key)),
        Ok(Err(Failure::Lost(source))) => Err(pool.unreachable(Some(source))),
        Ok(Err(Failure::Refused(error) | Failure::Unread(error))) => Err(error),
        Err(_late) => Err(BackendError::TimedOut),
    }
}

async fn transact(
    tx: &mut Transaction,
    template: &Template,
    records: &[Applied<'_, '_>],
    holds: Holds<'_>,
    now_micros: i64,
) -> Result<Option<Vec<RecordState>>, Failure> {
    tx.begin(template.write.isolation).await?;
    let (game, isolation) = (template.game.as_str(), template.write.isolation);
    tx.hold_owner(game, holds.owner, isolation).await?;
    if let Some(fence) = holds.fence
        && !fence::hold(tx, fence).await?
    {
        return Ok(None);
    }
    tx.enter(Phase::Key);
    let mut states = first_of_each(records);
    claim(tx, template, records, now_micros, &mut states).await?;
    tx.enter(Phase::Body);
    let fresh: Vec<Params<'_, '_>> = states
        .iter()
        .zip(records)
        .filter(|(state, _)| **state == RecordState::Done)
        .map(|(_, record)| record.params)
        .collect();
    perform(tx, template, &fresh).await?;
    tx.commit().await?;
    Ok(Some(states))
}

/// Two records of one key in one batch: the first one counts.
fn first_of_each(records: &[Applied<'_, '_>]) -> Vec<RecordState> {
    let mut firsts: HashMap<_, _, RandomState> = HashMap::default();
    firsts.reserve(records.len());
    let state = |record: &Applied<'_, '_>| match firsts.entry(record.key.request) {
        Entry::Vacant(place) => {
            place.insert(record.key.params);
            RecordState::Done
        }
        Entry::Occupied(first) if *first.get() == record.key.params => RecordState::Repeat,
        Entry::Occupied(_) => RecordState::KeyReused,
    };
    records.iter().map(state).collect()
}

/// Writes the keys' rows of the records that are to be applied. Where some stand already, looks which, says so
/// in `states`, and writes the others.
async fn claim(
    tx: &mut Transaction,
    template: &Template,
    records: &[Applied<'_, '_>],
    now_micros: i64,
    states: &mut [RecordState],
) -> Result<(), Failure> {
    let ttl = template.write.idempotent.as_ref().map(|idempotent| idempotent.ttl);
    let expires_at = key::expires_at(now_micros, ttl.unwrap_or_default());
    let mut rounds = 0;
    loop {
        let rows: Vec<KeyRow<'_>> = records
            .iter()
            .zip(&*states)
            .filter(|(_, state)| **state == RecordState::Done)
            .map(|(record, _)| {
                let mark = Some(record.mark);
                KeyRow { key: record.key, reply: None, mark, expires_at }
            })
            .collect();
        let Err(failure) = insert(tx, template, &rows).await else { return Ok(()) };
        rounds += 1;
        if rounds > KEY_ROUNDS_MAX
            || !matches!(failure, Failure::Refused(BackendError::Duplicate { .. }))
        {
            return Err(failure);
        }
        // What was inserted of several statements is undone; only the refused one has undone itself.
        tx.undo_to_savepoint().await?;
        let requests: Vec<[u8; 16]> = rows.iter().map(|row| row.key.request).collect();
        let found = key::find_all(tx, template.dialect, &requests).await?;
        if found.is_empty() && template.dialect == Dialect::Oracle {
            // Committed since this transaction began, which a serializable one does not see: the next one will.
            let Failure::Refused(BackendError::Duplicate { source }) = failure else {
                return Err(failure);
            };
            return Err(Failure::Refused(BackendError::Locked { is_deadlock: true, source }));
        }
        settle(records, &found, states);
    }
}

async fn insert(
    tx: &mut Transaction,
    template: &Template,
    rows: &[KeyRow<'_>],
) -> Result<(), Failure> {
    tx.set_savepoint().await?;
    key::insert(tx, template.dialect, rows).await?;
    tx.release_savepoint().await
}

fn settle(records: &[Applied<'_, '_>], found: &[Found], states: &mut [RecordState]) {
    let by_request: HashMap<[u8; 16], &Found, RandomState> =
        found.iter().map(|found| (found.key.request, found)).collect();
    for (record, state) in records.iter().zip(states) {
        let Some(found) = by_request.get(&record.key.request) else { continue };
        // What stands in the database is first, whichever record of this batch is.
        *state = match found.mark {
            Some(mark) if mark == record.mark => RecordState::DoneBefore,
            _ if found.key.params == record.key.params => RecordState::Repeat,
            _ => RecordState::KeyReused,
        };
    }
}

/// The effects, and the events that tell of them: folded over the records where the template allows, else one after the
/// other.
async fn perform(
    tx: &mut Transaction,
    template: &Template,
    fresh: &[Params<'_, '_>],
) -> Result<(), Failure> {
    let guard = template.write.guard.as_ref();
    let counts_each = template.dialect == Dialect::Oracle;
    // A record that changed nothing is not told of: what counts all of them as one does not say which that is.
    let tells = !template.write.events.is_empty();
    let fold = template.plan.fold.as_ref().filter(|fold| {
        template.kind == Kind::Exec
            && fold.suits(template.dialect, guard)
            && ((guard.is_none() && !tells) || fold.is_plain() || counts_each)
    });
    if let Some(fold) = fold {
        let runs: Vec<_> = fresh.iter().map(|params| params.values(&[])).collect();
        let mut changed = Vec::new();
        for part in folded(fold, template.dialect, &runs) {
            let these = runs.get(part.range.clone()).unwrap_or_default();
            // Which of them it was is found by the caller; of one alone these are the words.
            let place = Place { template, what: "the statement", row: None };
            if counts_each {
                let outcomes = tx.execute_array(&part.statement, part.range.len()).await?;
                for (run, outcome) in these.iter().zip(outcomes) {
                    let refused = |error| Failure::Refused(place.taken(error, None));
                    let count = outcome.map_err(refused)?;
                    place.check(guard, count)?;
                    changed.extend((count > 0).then_some(*run));
                }
                continue;
            }
            let done = tx.execute(&part.statement).await;
            done.map_err(|failure| place.duplicate(failure, None))?;
            changed.extend_from_slice(these);
        }
        return event::put(tx, template, &changed).await;
    }
    for params in fresh {
        effect::run(tx, params).await?;
    }
    Ok(())
}
