//! One job: the cache's protocol around one run of a template.
//!
//! A read goes through [`Cache::load`]; a write is bracketed by [`Cache::begin_write`] and `finish`, and
//! leaves its audit record before anybody is told. What is kept, and when it is stale, is the cache's.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;

use super::dispatch::{Asker, Fetched, RefusedAttempt};
use super::pool::Pool;
use super::run::{Limits, Outcome, run};
use super::{BackendError, CursorKey, IdSource, Pools, Supplied};
use crate::bind::Bound;
use crate::cache::{
    self, Cache, Key, Load, NonceError, Stored, WRITE_MARGIN, read_tags, write_tags,
};
use crate::catalog::{Scalar, Template};
use crate::config::Config;
use crate::observe::{Audit, AuditRecord, CacheOutcome, Event, Metrics, Stage, emit};
use crate::snapshot::{Operation, Snapshot};

/// Longest rendering of a request's parameters in a log, in bytes.
const PARAMS_BYTES_MAX: usize = 4096;

/// How much later than its own deadline a fetch that others may wait for would end by itself.
const FLIGHT_GRACE: Duration = Duration::from_secs(1);

/// Runs jobs.
#[derive(Debug)]
pub struct Fetcher {
    snapshot: Arc<ArcSwap<Snapshot>>,
    pools: Arc<Pools>,
    cache: Arc<Cache<BackendError>>,
    metrics: Arc<Metrics>,
    audit: Option<Arc<Audit>>,
    ids: Arc<IdSource>,
    cursor_key: CursorKey,
}

/// What a fetcher works with.
#[derive(Debug)]
pub struct FetcherParts {
    /// For limits that reload.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// The databases.
    pub pools: Arc<Pools>,
    /// The cache.
    pub cache: Arc<Cache<BackendError>>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Where `:_id` comes from.
    pub ids: Arc<IdSource>,
    /// The audit log; operations with `@audit` are refused at load without it.
    pub audit: Option<Audit>,
}

impl Fetcher {
    /// Puts a fetcher together.
    ///
    /// # Errors
    ///
    /// A sentence, when there is no randomness for the cursors' key.
    pub fn new(config: &Config, parts: FetcherParts) -> Result<Self, String> {
        let FetcherParts { snapshot, pools, cache, metrics, ids, audit } = parts;
        let cursor_key = if let Some(secret) = &config.auth.cursor_secret {
            // A key is what the secret is for.
            CursorKey::new(secret.expose().as_bytes())
        } else {
            let mut secret = [0; 32];
            getrandom::fill(&mut secret).map_err(|error| format!("no randomness: {error}"))?;
            CursorKey::new(&secret)
        };
        let audit = audit.map(Arc::new);
        Ok(Self { snapshot, pools, cache, metrics, audit, ids, cursor_key })
    }

    /// Claims a nonce for all instances; false: one has it already.
    ///
    /// # Errors
    ///
    /// [`NonceError`] when only this instance could be asked.
    pub(super) async fn claim_nonce(
        &self,
        nonce: &[u8],
        ttl: Duration,
    ) -> Result<bool, NonceError> {
        self.cache.claim_nonce(nonce, ttl).await
    }

    /// Writes down an attempt that was refused.
    pub(super) async fn refused(&self, attempt: RefusedAttempt) {
        let RefusedAttempt { operation, bound, asker, code, time } = attempt;
        let bound = bound.as_ref();
        let params = bound.map(|bound| shown_params(&operation.template, bound));
        // The refusal was answered already; a failure was told to the log.
        let _told = self.record(&operation, &asker, params.unwrap_or_default(), code, time).await;
    }

    /// Appends an audit record, if there is an audit log, and returns when it is durable.
    async fn record(
        &self,
        operation: &Operation,
        asker: &Asker,
        params: String,
        code: u16,
        time: SystemTime,
    ) -> Result<(), BackendError> {
        let Some(audit) = &self.audit else { return Ok(()) };
        let (audit, asker) = (Arc::clone(audit), asker.clone());
        let template = Arc::clone(&operation.template);
        // On a thread that may block: a slow disk must not hold up other requests.
        let appended = tokio::task::spawn_blocking(move || {
            let record = AuditRecord {
                time,
                trace: &asker.trace,
                peer: asker.peer,
                caller: &asker.principal.caller,
                game: template.game.as_str(),
                operation: template.op.as_str(),
                template: template.version,
                params: &params,
                code,
            };
            audit.append(&record)
        });
        match appended.await {
            Ok(Ok(_number)) => return Ok(()),
            Ok(Err(error)) => emit(&Event::AuditFailed { error: &error }),
            Err(error) => emit(&Event::AuditFailed { error: &error }),
        }
        Err(BackendError::OutcomeUnknown { source: None })
    }

    /// Answers one job.
    ///
    /// # Errors
    ///
    /// [`BackendError`]; shared, because several may have waited for the same fetch.
    pub async fn fetch(
        &self,
        operation: &Arc<Operation>,
        bound: Bound<'static>,
        key: Option<Key>,
        asker: &Asker,
        deadline: Instant,
    ) -> Result<Fetched, Arc<BackendError>> {
        let call = Call { fetcher: self, operation, bound: &bound, asker, deadline };
        let template = &operation.template;
        if template.kind.is_write() {
            return call.write().await;
        }
        let Some((key, policy)) = key.as_ref().zip(template.cache.as_ref()) else {
            let stored = Arc::new(call.run().await.map_err(Arc::new)?.stored);
            return Ok(Fetched { stored, outcome: CacheOutcome::Bypass, replayed: false });
        };
        let tags = read_tags(&template.game, &policy.tags, &bound);
        let load = Load { key, tags: tags.as_deref(), policy };
        // Others may wait for this fetch, with more time than the one who leads it: what ends it at the
        // leader's deadline is that it is dropped, and then one of them takes over.
        let call = Call { deadline: deadline + FLIGHT_GRACE, ..call };
        let fetch = || async { call.run().await.map(|outcome| outcome.stored) };
        let loaded = self.cache.load(load, fetch);
        let loaded = tokio::time::timeout_at(deadline.into(), loaded).await;
        let (stored, outcome) = loaded.map_err(|_late| Arc::new(BackendError::Deadline))??;
        let outcome = match outcome {
            _ if matches!(*stored, Stored::Absent) => CacheOutcome::Negative,
            cache::Outcome::L1 => CacheOutcome::L1,
            cache::Outcome::L2 => CacheOutcome::L2,
            cache::Outcome::Miss | cache::Outcome::Joined => CacheOutcome::Miss,
        };
        Ok(Fetched { stored, outcome, replayed: false })
    }
}

/// One job on its way.
#[derive(Clone, Copy)]
struct Call<'a> {
    fetcher: &'a Fetcher,
    operation: &'a Operation,
    bound: &'a Bound<'static>,
    asker: &'a Asker,
    deadline: Instant,
}

impl Call<'_> {
    /// A write: its tags are closed before it begins and opened, with new generations, before its reply.
    async fn write(self) -> Result<Fetched, Arc<BackendError>> {
        let template = &self.operation.template;
        let pool = self.pool().map_err(Arc::new)?;
        let tags = write_tags(&template.game, &template.invalidate, self.bound);
        // Waiting for a connection and for the database both end at the deadline.
        let longest = self.deadline.saturating_duration_since(Instant::now());
        let in_flight = self.fetcher.cache.begin_write(tags, longest + WRITE_MARGIN).await;
        let outcome = self.run_on(&pool).await;
        if matches!(outcome, Err(BackendError::OutcomeUnknown { .. })) {
            // The statement may still be at work: its tags stay closed until it cannot be any more.
            drop(in_flight);
        } else {
            // After a rollback, too: what was closed must open, with nothing kept.
            in_flight.finish().await;
        }
        self.record(outcome.as_ref().err()).await?;
        let stored = Arc::new(outcome.map_err(Arc::new)?.stored);
        Ok(Fetched { stored, outcome: CacheOutcome::Bypass, replayed: false })
    }

    async fn run(self) -> Result<Outcome, BackendError> {
        let outcome = match self.pool() {
            Ok(pool) => self.run_on(&pool).await,
            Err(error) => Err(error),
        };
        self.record(outcome.as_ref().err()).await?;
        outcome
    }

    fn pool(&self) -> Result<Pool, BackendError> {
        let name = &self.operation.pool;
        self.fetcher
            .pools
            .get(name)
            .ok_or_else(|| BackendError::Unreachable { pool: name.clone(), source: None })
    }

    async fn run_on(self, pool: &Pool) -> Result<Outcome, BackendError> {
        let Self { fetcher, operation, asker, .. } = self;
        let template = &operation.template;
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        // Asked for only where it is used: while the clock is wrong everything else goes on.
        let id = if template.plan.uses_id() { fetcher.ids.next(now_ms) } else { Ok(0) };
        let id = id.map_err(|error| BackendError::Supply(error.to_string()))?;
        let supplied = Supplied {
            now_micros: i64::try_from(now.as_micros()).unwrap_or(i64::MAX),
            id,
            caller: &asker.principal.caller,
            claims: &asker.principal.claims,
            trace: &asker.trace,
        };
        let config = Arc::clone(&fetcher.snapshot.load().config);
        let limits = Limits {
            result_bytes_max: config.limits.result_bytes_max,
            cursor_key: &fetcher.cursor_key,
        };
        let outcome = run(pool, template, self.bound, &supplied, &limits, self.deadline).await?;
        fetcher.metrics.stage(Stage::Database, outcome.elapsed);
        if outcome.elapsed >= config.logging.slow_query {
            self.report_slow(outcome.elapsed);
        }
        Ok(outcome)
    }

    fn report_slow(&self, elapsed: Duration) {
        let template = &self.operation.template;
        emit(&Event::SlowQuery {
            operation: &format!("{} {}", template.game, template.op),
            template: template.version,
            trace: &self.asker.trace,
            elapsed,
            params: &shown_params(template, self.bound),
        });
    }

    /// Appends the audit record of an audited operation; what cannot be recorded is not confirmed.
    async fn record(self, error: Option<&BackendError>) -> Result<(), BackendError> {
        let template = &self.operation.template;
        if !template.audit {
            return Ok(());
        }
        let code = error.map_or(0, |error| error.code().number());
        let params = shown_params(template, self.bound);
        self.fetcher.record(self.operation, self.asker, params, code, SystemTime::now()).await
    }
}

/// A request's parameters for a log: `name=value`, masked ones hidden.
fn shown_params(template: &Template, bound: &Bound<'_>) -> String {
    let mut text = String::new();
    for (index, (slot, value)) in template.slots.iter().zip(&bound.values).enumerate() {
        if matches!(value, Scalar::Null) {
            continue;
        }
        let separator = if text.is_empty() { "" } else { " " };
        // Writing to a string does not fail.
        let _written = if template.masked.contains(&index) {
            write!(text, "{separator}{}=***", slot.name)
        } else {
            let mut shown = String::new();
            value.tag_text(&mut shown);
            write!(text, "{separator}{}={shown:?}", slot.name)
        };
        if text.len() > PARAMS_BYTES_MAX {
            let end = text.floor_char_boundary(PARAMS_BYTES_MAX);
            text.truncate(end);
            text.push('…');
            break;
        }
    }
    text
}
