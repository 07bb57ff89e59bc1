//! One job: the cache's protocol around one run of a template.
//!
//! A read goes through [`Cache::load`]; a write is bracketed by [`Cache::begin_write`] and `finish`, and
//! leaves its audit record before anybody is told. What is kept, and when it is stale, is the cache's.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;

use super::dispatch::{Asker, Fetched};
use super::pool::Pool;
use super::run::{Limits, Outcome, run};
use super::{BackendError, CursorKey, IdSource, Pools, Supplied};
use crate::bind::Bound;
use crate::cache::{self, Cache, Key, Load, Stored, WRITE_MARGIN, read_tags, write_tags};
use crate::catalog::{Scalar, Template};
use crate::config::Config;
use crate::observe::{Audit, AuditRecord, CacheOutcome, Event, Metrics, Stage, emit};
use crate::snapshot::{Operation, Snapshot};

/// Longest rendering of a request's parameters in a log, in bytes.
const PARAMS_BYTES_MAX: usize = 4096;

/// Runs jobs.
#[derive(Debug)]
pub struct Fetcher {
    snapshot: Arc<ArcSwap<Snapshot>>,
    pools: Arc<Pools>,
    cache: Arc<Cache<BackendError>>,
    metrics: Arc<Metrics>,
    audit: Option<Audit>,
    ids: IdSource,
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
    /// The audit log; operations with `@audit` are refused at load without it.
    pub audit: Option<Audit>,
}

impl Fetcher {
    /// Puts a fetcher together.
    ///
    /// # Errors
    ///
    /// A sentence, when the node's number is out of range or there is no randomness for the cursors' key.
    pub fn new(config: &Config, parts: FetcherParts) -> Result<Self, String> {
        let FetcherParts { snapshot, pools, cache, metrics, audit } = parts;
        let node = config.runtime.node;
        let ids = IdSource::new(node).ok_or_else(|| format!("runtime.node: {node} is too high"))?;
        let cursor_key = if let Some(secret) = &config.auth.cursor_secret {
            // A key is what the secret is for.
            CursorKey::new(secret.expose().as_bytes())
        } else {
            let mut secret = [0; 32];
            getrandom::fill(&mut secret).map_err(|error| format!("no randomness: {error}"))?;
            CursorKey::new(&secret)
        };
        Ok(Self { snapshot, pools, cache, metrics, audit, ids, cursor_key })
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
            return Ok(Fetched { stored, outcome: CacheOutcome::Bypass });
        };
        let tags = read_tags(&template.game, &policy.tags, &bound);
        let load = Load { key, tags: tags.as_deref(), policy };
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
        Ok(Fetched { stored, outcome })
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
        let patience = template.timeout.unwrap_or_else(|| pool.config().query_timeout);
        let now = Instant::now();
        let longest = self.deadline.saturating_duration_since(now).min(
            // Waiting for a connection comes before the database's own time.
            patience + pool.config().acquire_timeout,
        );
        let in_flight = self.fetcher.cache.begin_write(tags, longest + WRITE_MARGIN).await;
        let outcome = self.run_on(&pool).await;
        // After a rollback and an unknown outcome alike: what was closed must open, with nothing kept.
        in_flight.finish().await;
        if let Some(audit) = self.fetcher.audit.as_ref().filter(|_| template.audit) {
            self.record(audit, outcome.as_ref().err())?;
        }
        let stored = Arc::new(outcome.map_err(Arc::new)?.stored);
        Ok(Fetched { stored, outcome: CacheOutcome::Bypass })
    }

    async fn run(self) -> Result<Outcome, BackendError> {
        let outcome = self.run_on(&self.pool()?).await?;
        let template = &self.operation.template;
        if let Some(audit) = self.fetcher.audit.as_ref().filter(|_| template.audit) {
            self.record(audit, None)?;
        }
        Ok(outcome)
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
        let supplied = Supplied {
            now_micros: i64::try_from(now.as_micros()).unwrap_or(i64::MAX),
            id: fetcher
                .ids
                .next(now_ms)
                .map_err(|error| BackendError::Supply(error.to_string()))?,
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

    /// Appends the audit record; a write whose record cannot be kept is not confirmed.
    fn record(&self, audit: &Audit, error: Option<&BackendError>) -> Result<(), BackendError> {
        let template = &self.operation.template;
        let record = AuditRecord {
            time: SystemTime::now(),
            trace: &self.asker.trace,
            peer: self.asker.peer,
            caller: &self.asker.principal.caller,
            game: template.game.as_str(),
            operation: template.op.as_str(),
            template: template.version,
            params: &shown_params(template, self.bound),
            code: error.map_or(0, |error| error.code().number()),
        };
        match audit.append(&record) {
            Ok(_) => Ok(()),
            Err(error) => {
                emit(&Event::AuditFailed { error: &error });
                Err(BackendError::OutcomeUnknown { source: None })
            }
        }
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
