//! One job on its way: the cache's protocol around one run of a template.
//!
//! A write is bracketed by [`Cache::begin_write`](crate::cache::Cache::begin_write) and `finish`, and leaves its
//! audit record before anybody is told.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::dispatch::{Asker, Fetched};
use super::fetch::Fetcher;
use super::params::{reading_params, shown_params};
use super::pool::Pool;
use super::queued::{self, Queued};
use super::run::{Limits, Outcome, run};
use super::supply::Ids;
use super::switch::Entered;
use super::switch::verify::Answered;
use super::write::{self, Write, Written};
use super::{BackendError, Current, Supplied};
use crate::auth::{Admission, Claim, Credential, Principal};
use crate::bind::Bound;
use crate::cache::{Stored, WRITE_MARGIN, write_tags};
use crate::catalog::Template;
use crate::observe::{CacheOutcome, Event, Stage, emit};
use crate::snapshot::{Operation, Placed};

/// One job on its way.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    /// What it works with.
    pub(super) fetcher: &'a Fetcher,
    /// What to run.
    pub(super) operation: &'a Arc<Operation>,
    /// With which parameters.
    pub(super) bound: &'a Bound<'static>,
    /// For whom.
    pub(super) asker: &'a Asker,
    /// When it must be answered.
    pub(super) deadline: Instant,
    /// A write is done, answered and undone.
    pub(super) dry_run: bool,
}

impl Call<'_> {
    /// A write: its tags are closed before it begins and opened, with new generations, before its reply.
    pub(super) async fn write(self) -> Result<Fetched, Arc<BackendError>> {
        let free =
            queued::lane_is_free(self.fetcher.queues(), self.operation, self.bound, self.deadline);
        if let Err(error) = free.await {
            // What it waits for may itself wait for the end of a flip.
            return Err(Arc::new(self.fetcher.gates.is_closed(self.operation).unwrap_or(error)));
        }
        let mut has_unknown = false;
        loop {
            let entered = match self.enter(self.deadline).await {
                Err(_) if has_unknown => Err(BackendError::OutcomeUnknown { source: None }),
                entered => entered,
            };
            let Entry { entered, pool } = match entered {
                Ok(entry) => entry,
                Err(error) => {
                    self.record(Some(&error)).await?;
                    return Err(Arc::new(error));
                }
            };
            let written = self.write_to(&entered, &pool, has_unknown).await;
            if let Err(BackendError::OwnerMoved { is_unknown }) = &written {
                has_unknown |= is_unknown;
                // The owner is asked for anew, and the write is tried there.
                if let Some(permit) = &entered.permit {
                    permit.doubt();
                    continue;
                }
            }
            self.record(written.as_ref().err()).await?;
            let Written { outcome, replayed } = match written {
                Ok(written) => written,
                Err(error) => {
                    return Err(Arc::new(self.with_current(&entered, &pool, error).await));
                }
            };
            let stored = Arc::new(outcome.stored);
            return Ok(Fetched { stored, outcome: CacheOutcome::Bypass, replayed });
        }
    }

    /// One attempt on one database, with the cache's protocol around it.
    async fn write_to(
        self,
        entered: &Entered<'_>,
        pool: &Pool,
        has_unknown: bool,
    ) -> Result<Written, BackendError> {
        let template = &self.operation.template;
        // A dry run changes nothing, so nothing becomes stale.
        let invalidate = if self.dry_run { &[][..] } else { &template.invalidate };
        let tags = write_tags(&template.game, invalidate, self.bound);
        // Waiting for a connection and for the database both end at the deadline.
        let longest = self.deadline.saturating_duration_since(Instant::now());
        let in_flight = self.fetcher.cache.begin_write(tags, longest + WRITE_MARGIN).await;
        let written = self.write_on(entered, pool, has_unknown).await;
        if matches!(written, Err(BackendError::OutcomeUnknown { .. })) {
            // The statement may still be at work: its tags stay closed until it cannot be any more.
            drop(in_flight);
        } else {
            // After a rollback, too: what was closed must open, with nothing kept.
            in_flight.finish().await;
        }
        written
    }

    /// Runs a write, in a transaction where it needs one. That it has to find its game's owner needs one.
    async fn write_on(
        self,
        entered: &Entered<'_>,
        pool: &Pool,
        has_unknown: bool,
    ) -> Result<Written, BackendError> {
        let (template, owner) = (entered.placed.template, entered.owner());
        if !self.dry_run && owner.is_none() && !write::needs_transaction(template) {
            let outcome = self.run_on(entered.placed, pool).await?;
            return Ok(Written { outcome, replayed: false });
        }
        let ids = self.ids()?;
        let request = Write {
            template,
            bound: self.bound,
            supplied: self.supplied(&ids),
            dry_run: self.dry_run,
            owner,
            has_unknown,
            result_bytes_max: self.fetcher.snapshot.load().config.limits.result_bytes_max,
        };
        let written = write::write(pool, &self.fetcher.keys, &request, self.deadline).await?;
        self.observe(&written.outcome);
        Ok(written)
    }

    /// Adds the row that stands in the database to a refusal, where the template has `@current`; where none
    /// stands, that is the answer. Who may not read the row is not told of it.
    async fn with_current(
        self,
        entered: &Entered<'_>,
        pool: &Pool,
        error: BackendError,
    ) -> BackendError {
        let mut error = error;
        let Some(reading) = &self.operation.template.write.current else { return error };
        if error.details_mut().is_none() {
            return error;
        }
        let snapshot = self.fetcher.snapshot.load_full();
        let game = snapshot.game(self.operation.template.game.as_str());
        let Ok(operation) = game.and_then(|game| game.operation(reading.op.as_str())) else {
            return error;
        };
        let bound = reading_params(&operation.template, &reading.args, self.bound);
        if !may_read(operation, &self.asker.principal, &bound) {
            return error;
        }
        let call = Call { operation, bound: &bound, dry_run: false, ..self };
        // The refusal stands, whether the row can be read or not.
        let Some(placed) = operation.on(entered.placed.pool) else { return error };
        let Ok(outcome) = call.run_on(placed, pool).await else { return error };
        match (outcome.stored, &operation.template.not_found) {
            (Stored::Present(body), _) => {
                let stored = Arc::new(Stored::Present(body));
                let current = Current { operation: Arc::clone(operation), stored };
                if let Some(details) = error.details_mut() {
                    details.current = Some(current);
                }
                error
            }
            (Stored::Absent, Some(not_found)) => BackendError::Business {
                error: Box::new(not_found.clone()),
                details: Box::default(),
            },
            (Stored::Absent, None) => BackendError::NoSuchRow,
        }
    }

    /// A read's row, with its state where the read speaks for queued writes, too.
    pub(super) async fn read(self) -> Result<Stored, BackendError> {
        let stored = self.run().await?.stored;
        Ok(match stored {
            Stored::Present(body) if !self.operation.status_of.is_empty() => {
                Stored::Present(queued::committed(&body).unwrap_or(body))
            }
            other => other,
        })
    }

    /// What was found, or the state of what is queued: where no row is there, or the database is away, and
    /// the read speaks for queued writes.
    pub(super) async fn told(
        self,
        found: Result<Arc<Stored>, Arc<BackendError>>,
    ) -> Result<Arc<Stored>, Arc<BackendError>> {
        let is_there = matches!(found.as_deref(), Ok(Stored::Present(_)));
        let Self { fetcher, operation, bound, .. } = self;
        if is_there || operation.status_of.is_empty() {
            return found;
        }
        match queued::look(fetcher.queues(), &fetcher.cache, operation, bound).await {
            None => found,
            Some(Queued::Waits(body)) => Ok(Arc::new(Stored::Present(body))),
            // Between the look at the database and the one at the journal: now it is there.
            Some(Queued::WasApplied) => self.read().await.map(Arc::new).or(found),
        }
    }

    async fn run(self) -> Result<Outcome, BackendError> {
        let outcome = match self.enter(self.deadline).await {
            Ok(Entry { entered, pool }) => self.run_on(entered.placed, &pool).await,
            Err(error) => Err(error),
        };
        self.record(outcome.as_ref().err()).await?;
        outcome
    }

    /// Has the call let to its game's database.
    async fn enter(&self, deadline: Instant) -> Result<Entry<'_>, BackendError> {
        let entered = self.fetcher.gates.enter(self.operation, deadline).await?;
        let Placed { pool: name, template, .. } = entered.placed;
        match self.fetcher.pools.get(name, template.dialect) {
            Some(pool) => Ok(Entry { entered, pool }),
            None => Err(BackendError::Unreachable { pool: name.into(), source: None }),
        }
    }

    /// - `placed`: the operation on the database of `pool`.
    async fn run_on(self, placed: Placed<'_>, pool: &Pool) -> Result<Outcome, BackendError> {
        let template = placed.template;
        let ids = self.ids()?;
        let config = Arc::clone(&self.fetcher.snapshot.load().config);
        let limits = Limits {
            result_bytes_max: config.limits.result_bytes_max,
            cursor_key: &self.fetcher.cursor_key,
        };
        let supplied = self.supplied(&ids);
        let outcome = run(pool, template, self.bound, &supplied, &limits, self.deadline).await?;
        self.observe(&outcome);
        if !template.kind.is_write() {
            self.fetcher.sampler.offer(Answered {
                operation: self.operation,
                which: placed.which,
                bound: self.bound,
                supplied: &supplied,
                asker: self.asker,
                stored: &outcome.stored,
                cursor_key: &self.fetcher.cursor_key,
                result_bytes_max: limits.result_bytes_max,
            });
        }
        Ok(outcome)
    }

    fn ids(self) -> Result<Ids, BackendError> {
        Ids::take(&self.fetcher.ids, &self.operation.template, self.bound)
    }

    fn supplied<'s>(&'s self, ids: &'s Ids) -> Supplied<'s> {
        ids.supplied(self.asker)
    }

    fn observe(self, outcome: &Outcome) {
        let fetcher = self.fetcher;
        fetcher.metrics.stage(Stage::Database, outcome.elapsed);
        if outcome.elapsed >= fetcher.snapshot.load().config.logging.slow_query {
            report_slow(&self.operation.template, self.bound, &self.asker.trace, outcome.elapsed);
        }
    }

    /// Appends the audit record of an audited operation; what cannot be recorded is not confirmed.
    async fn record(self, error: Option<&BackendError>) -> Result<(), BackendError> {
        let template = &self.operation.template;
        if !template.audit {
            return Ok(());
        }
        let code = error.map_or(0, BackendError::code);
        let mut params = shown_params(template, self.bound);
        if self.dry_run {
            params.push_str(" (dry run)");
        }
        let (operation, asker) = (self.operation, self.asker);
        let recorded = self.fetcher.record(operation, asker, params, code, SystemTime::now()).await;
        // What a write did stays done: its caller knows neither that nor the opposite.
        let changes = template.kind.is_write() && !self.dry_run;
        recorded.map_err(|error| match error {
            BackendError::Unrecorded if changes => BackendError::OutcomeUnknown { source: None },
            other => other,
        })
    }
}

/// Tells of a statement that took long.
pub(super) fn report_slow(template: &Template, bound: &Bound<'_>, trace: &str, elapsed: Duration) {
    emit(&Event::SlowQuery {
        operation: &format!("{} {}", template.game, template.op),
        template: template.version,
        trace,
        elapsed,
        params: &shown_params(template, bound),
    });
}

/// Whether who may call a write may also call the read that it answers with.
fn may_read(operation: &Operation, principal: &Principal, bound: &Bound<'_>) -> bool {
    let known = (principal.credential != Credential::None).then_some(principal);
    match (operation.access.admits(known, &operation.template.game), known) {
        (Ok(Admission::Yes), _) => true,
        (Ok(Admission::IfClaims), Some(principal)) => {
            let says = |slot: usize, claim: &Claim| bound.says(slot, claim);
            operation.access.claims_match(principal, says).is_ok()
        }
        _ => false,
    }
}

/// A call at its game's database.
struct Entry<'o> {
    entered: Entered<'o>,
    pool: Pool,
}
