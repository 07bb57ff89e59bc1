//! A connection to one side, for nobody's requests.

use std::time::Duration;

use super::super::BackendError;
use super::super::connection::{Connection, Sink, Statement, TextRow};
use super::super::fault::Failure;
use super::error::SwitchError;
use crate::catalog::{Isolation, Scalar};
use crate::config::{ConnectionConfig, Dialect, Endpoint, Zone};

/// How long a good-bye may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection of its own, beside the pools: what a switch does takes no request's place.
#[derive(Debug)]
pub(super) struct Side {
    connection: Connection,
    name: Box<str>,
    /// Of columns that say none: Oracle's.
    zone: Option<Zone>,
}

impl Side {
    /// Connects.
    ///
    /// # Errors
    ///
    /// [`SwitchError::Unreachable`], [`SwitchError::Late`].
    pub(super) async fn open(config: &ConnectionConfig) -> Result<Self, SwitchError> {
        let name = config.name.clone();
        let zone = match &config.endpoint {
            Endpoint::Oracle { time_zone, .. } => Some(time_zone.clone()),
            Endpoint::Server { .. } | Endpoint::File(_) => None,
        };
        let opening = Box::pin(Connection::open(config));
        match tokio::time::timeout(config.connect_timeout, opening).await {
            Ok(Ok(connection)) => Ok(Self { connection, name, zone }),
            Ok(Err(source)) => Err(SwitchError::Unreachable { connection: name, source }),
            Err(_late) => Err(SwitchError::Late { connection: name }),
        }
    }

    /// Which dialect it speaks.
    pub(super) const fn dialect(&self) -> Dialect {
        self.connection.dialect()
    }

    /// Whose clocks moments show in columns that say no zone; `None`: there are no such columns.
    pub(super) const fn zone(&self) -> Option<&Zone> {
        self.zone.as_ref()
    }

    /// The connection's name in the configuration.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Begins a transaction that may write; what others commit meanwhile is seen, except on SQLite, where nobody
    /// else writes.
    pub(super) async fn begin(&mut self) -> Result<(), SwitchError> {
        let begun = self.connection.begin(Some(Isolation::ReadCommitted)).await;
        begun.map_err(|source| self.failed(source.into()))
    }

    /// Commits.
    pub(super) async fn commit(&mut self) -> Result<(), SwitchError> {
        match self.connection.commit().await {
            // What was lost behind it is found out by the next statement.
            Ok(_) => Ok(()),
            Err(source) => Err(self.failed(source.into())),
        }
    }

    /// Undoes everything. A connection that is gone has done so.
    pub(super) async fn rollback(&mut self) {
        drop(self.connection.rollback().await);
    }

    /// Runs a text of the gateway's own.
    pub(super) async fn run_text(&mut self, sql: &str) -> Result<(), SwitchError> {
        let done = self.connection.run_text(sql).await;
        done.map_err(|source| self.failed(source.into()))
    }

    /// Runs a statement that returns no rows; how many it matched.
    pub(super) async fn execute(
        &mut self,
        sql: impl Into<std::sync::Arc<str>>,
        binds: Vec<Scalar<'_>>,
    ) -> Result<u64, SwitchError> {
        let done = self.connection.execute(&Statement { sql: sql.into(), binds }).await;
        done.map_err(|failure| self.failed(failure))
    }

    /// Runs a statement for each of several rows, in one round trip: what only Oracle has. Each has an outcome of its own.
    pub(super) async fn execute_rows(
        &mut self,
        sql: String,
        binds: Vec<Scalar<'_>>,
        runs: usize,
    ) -> Result<Vec<Result<u64, SwitchError>>, SwitchError> {
        let statement = Statement { sql: sql.into(), binds };
        let done = self.connection.execute_array(&statement, runs).await;
        let outcomes = done.map_err(|failure| self.failed(failure))?;
        let told = |outcome: Result<u64, BackendError>| {
            outcome.map_err(|error| self.failed(Failure::Refused(error)))
        };
        Ok(outcomes.into_iter().map(told).collect())
    }

    /// Runs a statement and gives its rows to `rows`.
    pub(super) async fn fetch(
        &mut self,
        sql: impl Into<std::sync::Arc<str>>,
        binds: Vec<Scalar<'_>>,
        rows: &mut impl Sink,
    ) -> Result<(), SwitchError> {
        let done = self.connection.fetch(&Statement { sql: sql.into(), binds }, rows).await;
        done.map_err(|failure| self.failed(failure))
    }

    /// Runs a statement with a small result of texts.
    pub(super) async fn texts(
        &mut self,
        sql: &str,
        binds: Vec<Scalar<'_>>,
    ) -> Result<Vec<TextRow>, SwitchError> {
        let done = self.connection.fetch_texts(&Statement { sql: sql.into(), binds }).await;
        done.map_err(|source| self.failed(source.into()))
    }

    /// Says good-bye.
    pub(super) async fn close(self) {
        self.connection.close(CLOSE_TIMEOUT).await;
    }

    fn failed(&self, failure: Failure) -> SwitchError {
        let connection = self.name.clone();
        match failure {
            Failure::Lost(source) => SwitchError::Unreachable { connection, source },
            Failure::Refused(source) | Failure::Unread(source) => {
                SwitchError::Statement { connection, source }
            }
        }
    }
}

/// The end of a `SELECT` that gives so many rows at most.
pub(super) fn limit(dialect: Dialect, count: usize) -> String {
    match dialect {
        Dialect::Mysql | Dialect::Sqlite => format!(" LIMIT {count}"),
        Dialect::Oracle => format!(" FETCH FIRST {count} ROWS ONLY"),
    }
}

/// A name of the database's own dictionary, quoted.
pub(super) fn quoted(dialect: Dialect, name: &str) -> Box<str> {
    match dialect {
        Dialect::Mysql => format!("`{}`", name.replace('`', "``")).into(),
        Dialect::Sqlite | Dialect::Oracle => format!("\"{}\"", name.replace('"', "\"\"")).into(),
    }
}
