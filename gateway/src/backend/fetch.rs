//! What runs jobs, and answers one: a read goes through [`Cache::load`], a write to the database.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;

use super::call::Call;
use super::dispatch::{Asker, Fetched, RefusedAttempt};
use super::params::shown_params;
use super::queued::Queues;
use super::switch::Gates;
use super::switch::verify::Sampler;
use super::write::RunningKeys;
use super::{BackendError, CursorKey, IdSource, Pools};
use crate::bind::Bound;
use crate::cache::{self, Cache, Key, Load, NonceError, Stored, read_tags};
use crate::config::Config;
use crate::journal::Journal;
use crate::observe::{Audit, AuditRecord, CacheOutcome, Event, Metrics, emit};
use crate::snapshot::{Operation, Snapshot};
use crate::stream::Streams;

/// How much later than its own deadline a fetch that others may wait for would end by itself.
const FLIGHT_GRACE: Duration = Duration::from_secs(1);

/// Runs jobs.
#[derive(Debug)]
pub struct Fetcher {
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(super) pools: Arc<Pools>,
    pub(super) gates: Arc<Gates>,
    pub(super) cache: Arc<Cache<BackendError>>,
    pub(super) metrics: Arc<Metrics>,
    audit: Option<Arc<Audit>>,
    pub(super) ids: Arc<IdSource>,
    pub(super) cursor_key: CursorKey,
    pub(super) keys: RunningKeys,
    journal: Option<Arc<Journal>>,
    streams: Option<Arc<Streams>>,
    pub(super) sampler: Arc<Sampler>,
}

/// One job, but for its parameters.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What to run.
    pub operation: &'a Arc<Operation>,
    /// For whom.
    pub asker: &'a Asker,
    /// When it must be answered.
    pub deadline: Instant,
    /// A write is done, answered and undone.
    pub dry_run: bool,
}

/// What a fetcher works with.
#[derive(Debug)]
pub struct FetcherParts {
    /// For limits that reload.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// The databases.
    pub pools: Arc<Pools>,
    /// Who is let to which.
    pub gates: Arc<Gates>,
    /// The cache.
    pub cache: Arc<Cache<BackendError>>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Where `:_id` comes from.
    pub ids: Arc<IdSource>,
    /// The audit log; operations with `@audit` are refused at load without it.
    pub audit: Option<Audit>,
    /// What is queued; operations with `@async` are refused at load without it.
    pub journal: Option<Arc<Journal>>,
    /// The same through Redis.
    pub streams: Option<Arc<Streams>>,
    /// Which reads are compared with a mirror's.
    pub sampler: Arc<Sampler>,
}

impl Fetcher {
    /// Puts a fetcher together.
    ///
    /// # Errors
    ///
    /// A sentence, when there is no randomness for the cursors' key.
    pub fn new(config: &Config, parts: FetcherParts) -> Result<Self, String> {
        let FetcherParts { snapshot, pools, gates, cache, metrics, ids, .. } = parts;
        let FetcherParts { audit, journal, streams, sampler, .. } = parts;
        let cursor_key = if let Some(secret) = &config.auth.cursor_secret {
            // A key is what the secret is for.
            CursorKey::new(secret.expose().as_bytes())
        } else {
            let mut secret = [0; 32];
            getrandom::fill(&mut secret).map_err(|error| format!("no randomness: {error}"))?;
            CursorKey::new(&secret)
        };
        let audit = audit.map(Arc::new);
        let keys = RunningKeys::default();
        Ok(Self {
            snapshot,
            pools,
            gates,
            cache,
            metrics,
            audit,
            ids,
            cursor_key,
            keys,
            journal,
            streams,
            sampler,
        })
    }

    /// Where queued writes may be.
    pub(super) fn queues(&self) -> Queues<'_> {
        Queues { journal: self.journal.as_deref(), streams: self.streams.as_deref() }
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
    pub(super) async fn record(
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
        Err(BackendError::Unrecorded)
    }

    /// Answers one job.
    ///
    /// # Errors
    ///
    /// [`BackendError`]; shared, because several may have waited for the same fetch.
    pub async fn fetch(
        &self,
        asked: Asked<'_>,
        bound: Bound<'static>,
        key: Option<Key>,
    ) -> Result<Fetched, Arc<BackendError>> {
        let Asked { operation, asker, deadline, dry_run } = asked;
        let call = Call { fetcher: self, operation, bound: &bound, asker, deadline, dry_run };
        let template = &operation.template;
        if template.kind.is_write() {
            // Boxed: a write has much to keep, and every task would have room for it.
            return Box::pin(call.write()).await;
        }
        let Some((key, policy)) = key.as_ref().zip(template.cache.as_ref()) else {
            let found = call.read().await.map_err(Arc::new);
            let stored = Box::pin(call.told(found.map(Arc::new))).await?;
            return Ok(Fetched { stored, outcome: CacheOutcome::Bypass, replayed: false });
        };
        let tags = read_tags(&template.game, &policy.tags, &bound);
        let load = Load { key, tags: tags.as_deref(), policy };
        // Others may wait for this fetch, with more time than the one who leads it: what ends it at the
        // leader's deadline is that it is dropped, and then one of them takes over.
        let call = Call { deadline: deadline + FLIGHT_GRACE, ..call };
        let fetch = || call.read();
        let loaded = self.cache.load(load, fetch);
        let loaded = tokio::time::timeout_at(deadline.into(), loaded).await;
        let late = || self.gates.is_closed(operation).unwrap_or(BackendError::Deadline);
        let (found, outcome) = match loaded.map_err(|_late| Arc::new(late()))? {
            Ok((stored, outcome)) => (Ok(stored), outcome),
            Err(error) => (Err(error), cache::Outcome::Miss),
        };
        let stored = Box::pin(call.told(found)).await?;
        let outcome = match outcome {
            _ if matches!(*stored, Stored::Absent) => CacheOutcome::Negative,
            cache::Outcome::L1 => CacheOutcome::L1,
            cache::Outcome::L2 => CacheOutcome::L2,
            cache::Outcome::Miss | cache::Outcome::Joined => CacheOutcome::Miss,
        };
        Ok(Fetched { stored, outcome, replayed: false })
    }
}
