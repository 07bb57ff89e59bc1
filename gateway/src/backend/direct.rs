//! Reads that a frontend thread does itself, on connections of its own to MySQL or MariaDB.
//!
//! [`is_plain`] says which reads these are; a [`Reading`] leads one of them over a [`Session`], with the statement, the limits, the encoding and
//! the errors of every other read (`run`). Sockets and waiting are `frontend/database`'s. What is not plain, or comes to no answer here, is
//! a job for [`super::Dispatch`] as ever.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::call::report_slow;
use super::connection::Statement;
use super::dispatch::{Fetched, Run};
use super::encode::{Rows, Shape};
use super::fault::Failure;
use super::mysql::wire::Query;
pub use super::mysql::wire::{Session, Step};
pub use super::pool::{Direct, Place};
use super::run::stored;
use super::supply::Ids;
use super::{BackendError, IdSource, statement};
use crate::catalog::{Dialect, Kind};
use crate::config::ConnectionConfig;
use crate::observe::{CacheOutcome, Metrics, Stage};
use crate::snapshot::{Operation, Snapshot};

/// Whether a read may be done by a frontend: one statement of a game with one MySQL database, whose answer is kept nowhere, compared with
/// nothing, written down nowhere and put together with nothing.
pub fn is_plain(operation: &Operation) -> bool {
    let template = &operation.template;
    matches!(template.kind, Kind::One | Kind::Optional | Kind::Many)
        && template.dialect == Dialect::Mysql
        && template.cache.is_none()
        && template.procedure.is_none()
        && !template.audit
        && operation.mirror.is_none()
        && operation.status_of.is_empty()
}

/// How a reading ended.
#[derive(Debug)]
pub enum Ended {
    /// With an answer; the connection is free.
    Answered(Result<Fetched, Arc<BackendError>>),
    /// With an answer; the statement is to be stopped, and the connection closed.
    Unread(Arc<BackendError>),
    /// Without one: the connection is gone. The read is tried the other way.
    Lost,
    /// Without one, because the server sends what is not taken here; the connection is closed. The read goes the other way.
    Unfit,
}

/// One read under way.
#[derive(Debug)]
pub struct Reading<'r> {
    run: &'r Run,
    statement: Statement<'r>,
    rows: Rows<'r>,
    query: Query,
    started: Instant,
    limit: Instant,
    slow: Duration,
}

/// What a read is given by the gateway.
///
/// # Errors
///
/// [`BackendError::Supply`] while the clock is wrong.
pub fn ids(run: &Run, source: &IdSource) -> Result<Ids, Arc<BackendError>> {
    Ids::take(source, &run.operation.template, &run.bound).map_err(Arc::new)
}

impl<'r> Reading<'r> {
    /// Begins a read, on a connection that is free.
    ///
    /// # Errors
    ///
    /// [`BackendError`], which is the answer.
    pub fn begin(
        run: &'r Run,
        ids: &'r Ids,
        snapshot: &Snapshot,
        config: &ConnectionConfig,
    ) -> Result<Self, Arc<BackendError>> {
        let started = Instant::now();
        if started >= run.deadline {
            return Err(Arc::new(BackendError::Deadline));
        }
        let template = &run.operation.template;
        let supplied = ids.supplied(&run.asker);
        let statement = statement::unpaged(template, &run.bound, &supplied).map_err(Arc::new)?;
        let rows = Rows::new(Shape {
            kind: template.kind,
            columns: &template.columns,
            version_column: template.version_column,
            row_count_max: template.row_count_max,
            bytes_max: snapshot.config.limits.result_bytes_max,
            keyset: &[],
        });
        let query = Query::new(Arc::clone(&statement.sql), Arc::clone(template));
        let patience = template.timeout.unwrap_or(config.query_timeout);
        let limit = run.deadline.min(started + patience);
        let slow = snapshot.config.logging.slow_query;
        Ok(Self { run, statement, rows, query, started, limit, slow })
    }

    /// Until when the database is waited for.
    pub const fn limit(&self) -> Instant {
        self.limit
    }

    /// Leads the read on, with what the session has received.
    ///
    /// # Errors
    ///
    /// How it ended without its result.
    pub fn lead(&mut self, session: &mut Session) -> Result<Step, Ended> {
        let led = session.lead(&mut self.query, &self.statement.binds, &mut self.rows);
        led.map_err(|failure| match failure {
            Failure::Refused(error) => Ended::Answered(Err(Arc::new(error))),
            Failure::Unread(error) => Ended::Unread(Arc::new(error)),
            Failure::Lost(error) => {
                tracing::debug!(%error, "a frontend's connection was lost");
                if matches!(error, sqlx::Error::InvalidArgument(_)) {
                    Ended::Unfit
                } else {
                    Ended::Lost
                }
            }
        })
    }

    /// What is answered when the time is over.
    pub fn late(&self) -> Ended {
        let deadline = self.limit == self.run.deadline;
        let error = if deadline { BackendError::Deadline } else { BackendError::TimedOut };
        Ended::Unread(Arc::new(error))
    }

    /// Takes the whole result.
    pub fn finish(self, metrics: &Metrics) -> Ended {
        let elapsed = self.started.elapsed();
        let template = &self.run.operation.template;
        metrics.stage(Stage::Database, elapsed);
        if elapsed >= self.slow {
            report_slow(template, &self.run.bound, &self.run.asker.trace, elapsed);
        }
        let stored = Arc::new(stored(template, self.rows.finish()));
        Ended::Answered(Ok(Fetched { stored, outcome: CacheOutcome::Bypass, replayed: false }))
    }
}
