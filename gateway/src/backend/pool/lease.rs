//! A connection lent to one request.

use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(test)]
#[cfg(all(feature = "mysql", feature = "sqlite"))]
use super::super::connection::TextRow;
use super::super::connection::{Committed, Connection, Purpose, RowOutcomes, Sink, Statement};
use super::super::fault::Failure;
use super::super::procedure::Answer;
use super::Shared;
use super::state::Open;
use crate::catalog::{Column, Dialect, Isolation};

/// How long an idle connection may take to say that it is there.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection, lent; it goes back when dropped.
///
/// Invariant: one that is dropped in the middle of a statement, or of a transaction, never goes back. The
/// statement is stopped on the server and the connection closed, which rolls back.
#[derive(Debug)]
pub(in crate::backend) struct Lease {
    shared: Arc<Shared>,
    open: Option<Open>,
    course: Course,
    in_transaction: bool,
}

/// How it went so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// Nothing was asked of it.
    Untouched,
    /// It was pinged and answered.
    Checked,
    /// Every statement was answered in full.
    Used,
    /// A statement is under way, or its rows are not all read.
    Busy,
    /// The connection is gone or cannot be trusted.
    Lost,
}

impl Lease {
    pub(super) fn new(shared: Arc<Shared>, mut open: Open) -> Self {
        // Whoever had it before is served no more.
        open.connection.serve(None);
        Self { shared, open: Some(open), course: Course::Untouched, in_transaction: false }
    }

    /// Says for whom the next statements are.
    pub(in crate::backend) fn serve(&mut self, purpose: &Purpose<'_>) {
        if let Some(open) = &mut self.open {
            open.connection.serve(Some(purpose));
        }
    }

    /// Runs a statement that returns no rows; see [`Connection::execute`].
    pub(in crate::backend) async fn execute(
        &mut self,
        statement: &Statement<'_>,
    ) -> Result<u64, Failure> {
        let done = self.begin()?.execute(statement).await;
        self.end(done)
    }

    /// Runs a statement for each of several rows; see [`Connection::execute_array`].
    pub(in crate::backend) async fn execute_array(
        &mut self,
        statement: &Statement<'_>,
        runs: usize,
    ) -> Result<RowOutcomes, Failure> {
        let done = self.begin()?.execute_array(statement, runs).await;
        self.end(done)
    }

    /// Runs a statement and appends its rows; see [`Connection::fetch`].
    pub(in crate::backend) async fn fetch(
        &mut self,
        statement: &Statement<'_>,
        rows: &mut impl Sink,
    ) -> Result<(), Failure> {
        let done = self.begin()?.fetch(statement, rows).await;
        self.end(done)
    }

    /// Calls a procedure; see [`Connection::call`].
    pub(in crate::backend) async fn call(
        &mut self,
        statement: &Statement<'_>,
        answer: &mut Answer<'_>,
    ) -> Result<(), Failure> {
        let done = self.begin()?.call(statement, answer).await;
        self.end(done)
    }

    /// Runs a write with a `RETURNING`; see [`Connection::fetch_returned`].
    pub(in crate::backend) async fn fetch_returned(
        &mut self,
        statement: &Statement<'_>,
        returned: &[(usize, &Column)],
        rows: &mut impl Sink,
    ) -> Result<(), Failure> {
        let done = self.begin()?.fetch_returned(statement, returned, rows).await;
        self.end(done)
    }

    /// Begins a transaction that takes no writes; see [`Lease::begin_transaction`].
    pub(in crate::backend) async fn begin_reading(&mut self) -> Result<(), Failure> {
        self.in_transaction = true;
        let begun = self.begin()?.begin_reading().await.map_err(Failure::from);
        self.in_transaction = !matches!(begun, Err(Failure::Refused(_)));
        self.end(begun)
    }

    /// Begins a transaction; see [`Connection::begin`]. Until [`Lease::commit`] or [`Lease::rollback`] has
    /// answered, the connection goes back to nobody.
    pub(in crate::backend) async fn begin_transaction(
        &mut self,
        isolation: Option<Isolation>,
    ) -> Result<(), Failure> {
        self.in_transaction = true;
        let begun = self.begin()?.begin(isolation).await.map_err(Failure::from);
        self.in_transaction = !matches!(begun, Err(Failure::Refused(_)));
        self.end(begun)
    }

    /// Commits. A refusal leaves the transaction open.
    pub(in crate::backend) async fn commit(&mut self) -> Result<(), Failure> {
        let done = self.begin()?.commit().await.map_err(Failure::from);
        let committed = self.end(done)?;
        self.in_transaction = false;
        #[cfg(feature = "mysql")]
        if let Committed::Lost(error) = committed {
            tracing::debug!(%error, "a connection was lost behind a COMMIT");
            self.lose();
        }
        #[cfg(not(feature = "mysql"))]
        let Committed::Well = committed;
        Ok(())
    }

    /// Rolls back. A refusal says that there was nothing to roll back: the database had done it by itself.
    pub(in crate::backend) async fn rollback(&mut self) -> Result<(), Failure> {
        let done = self.begin()?.rollback().await.map_err(Failure::from);
        match self.end(done) {
            Ok(()) | Err(Failure::Refused(_)) => {
                self.in_transaction = false;
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    /// Whether a transaction is open and a rollback can be sent.
    pub(in crate::backend) fn is_in_transaction_and_well(&self) -> bool {
        self.in_transaction && self.course == Course::Used
    }

    /// Runs a text of the gateway's own; see [`Connection::run_text`].
    pub(in crate::backend) async fn run_text(&mut self, sql: &str) -> Result<(), Failure> {
        let done = self.begin()?.run_text(sql).await.map_err(Failure::from);
        self.end(done)
    }

    /// Which dialect the connection speaks.
    pub(in crate::backend) fn dialect(&self) -> Dialect {
        self.open.as_ref().map_or(Dialect::Mysql, |open| open.connection.dialect())
    }

    /// Runs a statement with a small result; see [`Connection::fetch_texts`].
    #[cfg(test)]
    #[cfg(all(feature = "mysql", feature = "sqlite"))]
    pub(in crate::backend) async fn fetch_texts(
        &mut self,
        statement: &Statement<'_>,
    ) -> Result<Vec<TextRow>, Failure> {
        let done = self.begin()?.fetch_texts(statement).await.map_err(Failure::from);
        self.end(done)
    }

    /// Whether the database answers on it, until `deadline` and for [`PING_TIMEOUT`] at most.
    pub(super) async fn answers(&mut self, deadline: Instant) -> bool {
        let limit = deadline.min(Instant::now() + PING_TIMEOUT);
        let Ok(connection) = self.begin() else { return false };
        let answered = tokio::time::timeout_at(limit.into(), connection.ping()).await;
        let answers = matches!(answered, Ok(Ok(())));
        if answers {
            self.course = Course::Checked;
        } else {
            self.lose();
        }
        answers
    }

    /// The connection, unless the lease may not give it back.
    pub(super) fn into_open(mut self) -> Option<Open> {
        let is_well = !self.in_transaction && !matches!(self.course, Course::Busy | Course::Lost);
        if is_well { self.open.take() } else { None }
    }

    fn begin(&mut self) -> Result<&mut Connection, Failure> {
        self.course = Course::Busy;
        match &mut self.open {
            Some(open) => Ok(&mut open.connection),
            None => Err(Failure::Lost(sqlx::Error::PoolClosed)),
        }
    }

    fn end<T>(&mut self, done: Result<T, Failure>) -> Result<T, Failure> {
        match &done {
            Ok(_) | Err(Failure::Refused(_)) => self.course = Course::Used,
            Err(Failure::Unread(_)) => {}
            Err(Failure::Lost(_)) => self.lose(),
        }
        done
    }

    fn lose(&mut self) {
        self.course = Course::Lost;
        self.shared.lock().suspect(Instant::now());
        self.shared.changed.notify_one();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        let now = Instant::now();
        match self.course {
            Course::Lost => {
                drop(open);
                return self.shared.forget();
            }
            Course::Busy => return self.shared.abandon(open.connection),
            _ if self.in_transaction => return self.shared.abandon(open.connection),
            Course::Untouched => {}
            Course::Checked => open.checked_at = now,
            Course::Used => (open.checked_at, open.used_at) = (now, now),
        }
        self.shared.release(open, now);
    }
}
