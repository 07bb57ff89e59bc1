//! A connection lent to one request.

use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(test)]
#[cfg(all(feature = "mysql", feature = "sqlite"))]
use super::super::connection::TextRow;
use super::super::connection::{Connection, Statement};
use super::super::encode::Rows;
use super::super::fault::Failure;
use super::Shared;
use super::state::Open;

/// How long an idle connection may take to say that it is there.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection, lent; it goes back when dropped.
///
/// Invariant: one that is dropped in the middle of a statement never goes back. The statement is stopped on
/// the server and the connection closed.
#[derive(Debug)]
pub(in crate::backend) struct Lease {
    shared: Arc<Shared>,
    open: Option<Open>,
    course: Course,
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
    pub(super) const fn new(shared: Arc<Shared>, open: Open) -> Self {
        Self { shared, open: Some(open), course: Course::Untouched }
    }

    /// Runs a statement that returns no rows; see [`Connection::execute`].
    pub(in crate::backend) async fn execute(
        &mut self,
        statement: &Statement<'_>,
    ) -> Result<u64, Failure> {
        let done = self.begin()?.execute(statement).await;
        self.end(done)
    }

    /// Runs a statement and appends its rows; see [`Connection::fetch`].
    pub(in crate::backend) async fn fetch(
        &mut self,
        statement: &Statement<'_>,
        rows: &mut Rows<'_>,
    ) -> Result<(), Failure> {
        let done = self.begin()?.fetch(statement, rows).await;
        self.end(done)
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
        if matches!(self.course, Course::Busy | Course::Lost) { None } else { self.open.take() }
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
            Course::Untouched => {}
            Course::Checked => open.checked_at = now,
            Course::Used => (open.checked_at, open.used_at) = (now, now),
            Course::Busy => return self.shared.abandon(open.connection),
            Course::Lost => {
                drop(open);
                return self.shared.forget();
            }
        }
        self.shared.release(open, now);
    }
}
