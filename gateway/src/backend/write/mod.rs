//! Writes that need a transaction: guards, steps, batches, idempotency keys, dry runs.
//!
//! One attempt is one transaction on one connection: begin, the key's row, the effects, commit. Whatever
//! happens, the caller is told the truth: before COMMIT is sent a lost connection has changed nothing; after it
//! the outcome is unknown, unless the request has a key: then it is run again, and the key's row decides. It
//! waits for the first attempt, should the database still be at work on that.
//!
//! Invariant: an effect without its key's row, or a key's row without its effect, is never committed.

mod apply;
mod batch;
mod effect;
mod event;
mod fence;
mod key;
mod owner;
mod procedure;
mod purge;
mod reply;
mod returning;
mod running;
mod steps;
mod transaction;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::connection::Purpose;
use super::fault::Failure;
use super::pool::Pool;
use super::switch::Owner;
use super::{BackendError, Outcome, Supplied};
use crate::bind::Bound;
use crate::cache::{Body, Stored};
use crate::catalog::{Kind, Template};
use crate::identity::RequestKey;
pub(super) use apply::{Applied, ApplyError, Holds, RecordState, apply, has_effect};
use effect::Effect;
pub(super) use fence::Fence;

pub(super) use effect::Params;
use key::KeyRow;
pub(super) use key::Mark;
pub(super) use purge::{Expired, Place, Purged, purge};
pub use running::RunningKeys;
use transaction::{Phase, Transaction};

/// The first pause before another attempt; each next one is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(4);
/// The longest one.
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// A write to run.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a, 'b> {
    /// An `exec`, `tx` or `batch`.
    pub template: &'a Template,
    /// Its slots.
    pub bound: &'a Bound<'b>,
    /// What the gateway supplies: the same for every attempt.
    pub supplied: Supplied<'a>,
    /// Whether everything is undone at the end.
    pub dry_run: bool,
    /// What the database has to say of the game's owner; `None`: it is not asked.
    pub(super) owner: Option<&'a Owner>,
    /// Whether an attempt on another database may have taken effect.
    pub(super) has_unknown: bool,
    /// Most bytes of its answer; `limits.result_bytes_max`.
    pub result_bytes_max: u32,
}

/// What a write gave.
#[derive(Debug)]
pub struct Written {
    /// Its answer, or the first one's.
    pub outcome: Outcome,
    /// The first answer, given again.
    pub replayed: bool,
}

/// Whether a write needs a transaction of its own; otherwise one statement is enough.
pub fn needs_transaction(template: &Template) -> bool {
    let write = &template.write;
    template.kind != Kind::Exec
        || !template.outputs.is_empty()
        || write.guard.is_some()
        || write.idempotent.is_some()
        || write.retry.is_some()
        || !write.events.is_empty()
}

/// Runs a write.
///
/// - `keys`: what this process is working on.
/// - `deadline`: the request's own; the database time is bounded by the template or the pool besides.
///
/// # Errors
///
/// [`BackendError`]; after [`BackendError::OutcomeUnknown`] the write may have been done, after every other
/// one it was not.
pub async fn write(
    pool: &Pool,
    keys: &RunningKeys,
    request: &Write<'_, '_>,
    deadline: Instant,
) -> Result<Written, BackendError> {
    let key = RequestKey::of(request.template, request.bound);
    let turn = match &key {
        Some(key) => Some(keys.enter(key.request, deadline).await?),
        None => None,
    };
    let params =
        Params { template: request.template, bound: request.bound, supplied: request.supplied };
    let mut work = Work {
        pool,
        params,
        key,
        dry_run: request.dry_run,
        owner: request.owner,
        result_bytes_max: request.result_bytes_max,
        deadline,
        limit: deadline,
        started: None,
        attempts: Attempts { has_unknown: request.has_unknown, ..Attempts::default() },
    };
    if turn.as_ref().is_some_and(running::Turn::has_waited)
        && let Some(written) = work.replay().await?
    {
        return Ok(written);
    }
    work.run().await
}

/// A write on its way.
struct Work<'w, 'a, 'b> {
    pool: &'w Pool,
    params: Params<'a, 'b>,
    key: Option<RequestKey>,
    dry_run: bool,
    owner: Option<&'a Owner>,
    result_bytes_max: u32,
    /// The request's own.
    deadline: Instant,
    /// The request's, or the database's once there is a connection.
    limit: Instant,
    started: Option<Instant>,
    attempts: Attempts,
}

/// What earlier attempts came to.
#[derive(Clone, Copy, Debug, Default)]
struct Attempts {
    /// How many there were.
    count: u32,
    /// How often `@retry` was drawn on.
    retry_count: u32,
    /// A connection was lost before COMMIT.
    has_lost: bool,
    /// One was lost in COMMIT.
    has_unknown: bool,
}

/// Why an attempt did not succeed.
#[derive(Debug)]
enum Stop {
    /// The answer; nothing was changed.
    Failed(BackendError),
    /// The database does not own the game any more; nothing was changed.
    Moved,
    /// A lock was not to be had, in that phase; nothing was changed.
    Locked { error: BackendError, phase: Phase },
    /// The connection was lost before COMMIT was sent: nothing was changed.
    Lost(sqlx::Error),
    /// It was lost, or time was over, after that.
    Unknown(Option<sqlx::Error>),
    /// The key's row stands already.
    KeyTaken,
    /// Time was over in that phase, before COMMIT was sent: nothing was changed.
    Late { phase: Phase },
}

impl Stop {
    fn of(failure: Failure, phase: Phase) -> Self {
        match failure {
            Failure::Refused(BackendError::OwnerMoved { .. }) => Self::Moved,
            Failure::Lost(source) if phase == Phase::Commit => Self::Unknown(Some(source)),
            // What a COMMIT answers that is not allowed: it was rolled back.
            Failure::Unread(error @ BackendError::NotWritable { .. }) => Self::Failed(error),
            Failure::Unread(_) | Failure::Refused(BackendError::TimedOut)
                if phase == Phase::Commit =>
            {
                Self::Unknown(None)
            }
            Failure::Lost(source) => Self::Lost(source),
            Failure::Refused(BackendError::Duplicate { .. }) if phase == Phase::Key => {
                Self::KeyTaken
            }
            Failure::Refused(error @ BackendError::Locked { .. }) => Self::Locked { error, phase },
            Failure::Refused(error) | Failure::Unread(error) => Self::Failed(error),
        }
    }
}

impl Work<'_, '_, '_> {
    async fn run(mut self) -> Result<Written, BackendError> {
        loop {
            let stop = match Box::pin(self.attempt()).await {
                Ok(effect) => return Ok(self.written(effect.body, effect.affected, false)),
                Err(stop) => stop,
            };
            let has_time = Instant::now() < self.limit;
            match &stop {
                Stop::KeyTaken if has_time => {
                    if let Some(written) = self.replay().await? {
                        return Ok(written);
                    }
                }
                Stop::Locked { phase: Phase::Owner | Phase::Key, .. } if has_time => {}
                Stop::Locked { error, .. } if has_time && self.may_retry(error) => {
                    self.attempts.retry_count += 1;
                }
                Stop::Lost(_) if has_time && !self.attempts.has_lost => {
                    self.attempts.has_lost = true;
                }
                Stop::Unknown(_) if self.key.is_some() && Instant::now() < self.deadline => {
                    self.attempts.has_unknown = true;
                    self.limit = self.deadline;
                }
                // The truth is in a database that is not back yet.
                Stop::Lost(_)
                | Stop::Failed(
                    BackendError::Unreachable { .. }
                    | BackendError::NotWritable { .. }
                    | BackendError::PoolExhausted { .. },
                ) if has_time && self.attempts.has_unknown => {}
                _ => return Err(self.told(stop)),
            }
            self.pause().await;
        }
    }

    /// One transaction, bounded by the limit, ended in any case.
    async fn attempt(&mut self) -> Result<Effect, Stop> {
        self.attempts.count += 1;
        let mut lease = self.pool.acquire(self.limit).await.map_err(Stop::Failed)?;
        if self.started.is_none() {
            let now = Instant::now();
            let patience = self.params.template.timeout;
            let patience = patience.unwrap_or_else(|| self.pool.config().query_timeout);
            self.started = Some(now);
            self.limit = self.deadline.min(now + patience);
        }
        lease.serve(&self.purpose());
        let mut tx = Transaction::new(lease);
        let done = tokio::time::timeout_at(self.limit.into(), self.transact(&mut tx)).await;
        let stop = match done {
            Ok(Ok(effect)) => return Ok(effect),
            Ok(Err(failure)) => Stop::of(failure, tx.phase()),
            // Dropping it closes the connection, which rolls back.
            Err(_late) if tx.phase() == Phase::Commit => return Err(Stop::Unknown(None)),
            Err(_late) => return Err(Stop::Late { phase: tx.phase() }),
        };
        tx.end().await;
        Err(stop)
    }

    async fn transact(&self, tx: &mut Transaction) -> Result<Effect, Failure> {
        let params = &self.params;
        let write = &params.template.write;
        tx.begin(write.isolation).await?;
        tx.hold_owner(params.template.game.as_str(), self.owner, write.isolation).await?;
        let predicted = reply::predicted(params);
        if let (Some(key), Some(idempotent)) = (self.key, &write.idempotent) {
            tx.enter(Phase::Key);
            let now_micros = params.supplied.now_micros;
            let expires_at = key::expires_at(now_micros, idempotent.ttl);
            let row = KeyRow { key, reply: predicted.as_deref(), mark: None, expires_at };
            key::insert(tx, params.template.dialect, &[row]).await?;
        }
        tx.enter(Phase::Body);
        let effect = effect::run(tx, params).await?;
        if effect.body.len() > self.result_bytes_max as usize {
            let limit = format!("{} bytes", self.result_bytes_max).into();
            return Err(Failure::Refused(BackendError::TooLarge { limit }));
        }
        if let (Some(key), None) = (&self.key, &predicted) {
            key::set_reply(tx, &key.request, &effect.body).await?;
        }
        if self.dry_run {
            tx.rollback().await?;
        } else {
            tx.commit().await?;
        }
        Ok(effect)
    }

    /// The first answer, if the key's row stands.
    ///
    /// # Errors
    ///
    /// [`BackendError::KeyReused`] when it stands with other parameters; why it could not be read.
    async fn replay(&mut self) -> Result<Option<Written>, BackendError> {
        let Some(key) = self.key else { return Ok(None) };
        let mut is_second = false;
        let found = loop {
            let mut lease = self.pool.acquire(self.limit).await.map_err(|e| self.judged(e))?;
            lease.serve(&self.purpose());
            let found = key::find(&mut lease, &key.request);
            match tokio::time::timeout_at(self.limit.into(), found).await {
                Ok(Ok(found)) => break found,
                Ok(Err(Failure::Lost(_))) if !is_second => is_second = true,
                Ok(Err(Failure::Lost(source))) => {
                    return Err(self.judged(self.pool.unreachable(Some(source))));
                }
                Ok(Err(Failure::Refused(error) | Failure::Unread(error))) => {
                    return Err(self.judged(error));
                }
                Err(_late) => return Err(self.told(Stop::Late { phase: Phase::Begin })),
            }
        };
        let Some(found) = found else { return Ok(None) };
        if found.key != key {
            return Err(BackendError::KeyReused);
        }
        let body = found.reply.unwrap_or_else(|| reply::journalled(&self.params));
        // What an attempt of our own has left after all is no repeat.
        Ok(Some(self.written(body, 0, !self.attempts.has_unknown)))
    }

    fn purpose(&self) -> Purpose<'_> {
        Purpose::of(self.params.template, self.params.supplied.trace, self.limit)
    }

    fn written(&self, body: Vec<u8>, row_count: u64, replayed: bool) -> Written {
        let body = Body { msgpack: body.into(), json: OnceLock::new(), etag: "".into() };
        let elapsed = self.started.map_or(Duration::ZERO, |started| started.elapsed());
        let outcome = Outcome { stored: Stored::Present(body), row_count, elapsed };
        Written { outcome, replayed }
    }

    fn may_retry(&self, error: &BackendError) -> bool {
        let Some(retry) = &self.params.template.write.retry else { return false };
        let is_meant = match error {
            BackendError::Locked { is_deadlock: true, .. } => retry.on_deadlock,
            _ => retry.on_lock_timeout,
        };
        is_meant && self.attempts.retry_count < retry.count
    }

    /// Waits a little longer each time, and not as long as others do; not beyond the limit.
    async fn pause(&self) {
        let longest = PAUSE_MIN.saturating_mul(1 << self.attempts.count.min(8)).min(PAUSE_MAX);
        let mut random = [128];
        // Without randomness the pause is what it would be on average.
        let _random_or_not = getrandom::fill(&mut random);
        let [share] = random;
        let pause = longest / 2 + longest / 2 * u32::from(share) / 255;
        let until = (Instant::now() + pause).min(self.limit);
        tokio::time::sleep_until(until.into()).await;
    }

    /// What the caller is told when there is no other attempt.
    fn told(&self, stop: Stop) -> BackendError {
        let error = match stop {
            Stop::KeyTaken
            | Stop::Locked { phase: Phase::Key, .. }
            | Stop::Late { phase: Phase::Key } => BackendError::KeyRunning,
            Stop::Failed(error) | Stop::Locked { error, .. } => error,
            // Where it is now, the key's row or another attempt will tell.
            Stop::Moved => {
                return BackendError::OwnerMoved { is_unknown: self.attempts.has_unknown };
            }
            Stop::Lost(source) => self.pool.unreachable(Some(source)),
            Stop::Unknown(source) => return BackendError::OutcomeUnknown { source },
            // What was shorter: the request's own time, or the database's.
            Stop::Late { .. } if self.limit == self.deadline => BackendError::Deadline,
            Stop::Late { .. } => BackendError::TimedOut,
        };
        self.judged(error)
    }

    /// After a COMMIT that nobody answered only the database's own word counts.
    fn judged(&self, error: BackendError) -> BackendError {
        let is_word = matches!(
            error,
            BackendError::Business { .. }
                | BackendError::VersionConflict { .. }
                | BackendError::Guard { .. }
                | BackendError::Duplicate { .. }
                | BackendError::NoSuchRow
                | BackendError::KeyReused
        );
        if self.attempts.has_unknown && !is_word {
            return BackendError::OutcomeUnknown { source: None };
        }
        error
    }
}
