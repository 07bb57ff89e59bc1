//! A transaction on a lent connection, and how far it has come: that decides what a failure means.

use std::time::Duration;

use super::super::BackendError;
use super::super::connection::{RowOutcomes, Sink, Statement};
use super::super::fault::Failure;
use super::super::pool::Lease;
use super::super::procedure::Answer;
use super::super::switch::Owner;
use super::owner;
use crate::catalog::{Column, Dialect, Isolation};

/// How long a rollback may take before the connection is closed instead.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(1);

/// A transaction. Dropped before its end, its connection is closed and the database rolls back.
#[derive(Debug)]
pub(super) struct Transaction {
    lease: Lease,
    phase: Phase,
}

/// How far a transaction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is beginning.
    Begin,
    /// It asks whether it writes to the game's owner.
    Owner,
    /// Its key row is being written.
    Key,
    /// Its effects are.
    Body,
    /// COMMIT was sent: from here on a lost connection leaves the outcome unknown.
    Commit,
}

impl Transaction {
    /// A transaction that has not begun.
    pub(super) const fn new(lease: Lease) -> Self {
        Self { lease, phase: Phase::Begin }
    }

    /// Begins; see [`Lease::begin_transaction`].
    pub(super) async fn begin(&mut self, isolation: Option<Isolation>) -> Result<(), Failure> {
        self.lease.begin_transaction(isolation).await
    }

    /// Asks whether the database owns the game; see [`owner::hold`].
    pub(super) async fn hold_owner(
        &mut self,
        game: &str,
        owner: Option<&Owner>,
        isolation: Option<Isolation>,
    ) -> Result<(), Failure> {
        let Some(owner) = owner else { return Ok(()) };
        self.phase = Phase::Owner;
        Box::pin(owner::hold(self, game, owner, isolation)).await
    }

    /// Which dialect its database speaks.
    pub(super) fn dialect(&self) -> Dialect {
        self.lease.dialect()
    }

    /// Runs a text of the gateway's own.
    pub(super) async fn run_text(&mut self, sql: &str) -> Result<(), Failure> {
        self.lease.run_text(sql).await
    }

    /// Says what comes next.
    pub(super) const fn enter(&mut self, phase: Phase) {
        self.phase = phase;
    }

    /// How far it has come.
    pub(super) const fn phase(&self) -> Phase {
        self.phase
    }

    /// Runs a statement that returns no rows.
    pub(super) async fn execute(&mut self, statement: &Statement<'_>) -> Result<u64, Failure> {
        self.lease.execute(statement).await
    }

    /// Runs a statement for each of several rows; see [`Lease::execute_array`].
    pub(super) async fn execute_array(
        &mut self,
        statement: &Statement<'_>,
        runs: usize,
    ) -> Result<RowOutcomes, Failure> {
        self.lease.execute_array(statement, runs).await
    }

    /// Runs a statement and gives its rows to `rows`.
    pub(super) async fn fetch(
        &mut self,
        statement: &Statement<'_>,
        rows: &mut impl Sink,
    ) -> Result<(), Failure> {
        self.lease.fetch(statement, rows).await
    }

    /// Calls a procedure.
    pub(super) async fn call(
        &mut self,
        statement: &Statement<'_>,
        answer: &mut Answer<'_>,
    ) -> Result<(), Failure> {
        self.lease.call(statement, answer).await
    }

    /// Runs a write with a `RETURNING` and gives what it returns to `rows`.
    pub(super) async fn fetch_returned(
        &mut self,
        statement: &Statement<'_>,
        returned: &[(usize, &Column)],
        rows: &mut impl Sink,
    ) -> Result<(), Failure> {
        self.lease.fetch_returned(statement, returned, rows).await
    }

    /// Forgets the place that was marked, which says that the transaction is the one that it was.
    ///
    /// # Errors
    ///
    /// [`BackendError::OutcomeUnknown`] where it has ended meanwhile: somebody committed, or began another one.
    pub(super) async fn still_has_savepoint(&mut self) -> Result<(), Failure> {
        match self.lease.run_text("RELEASE SAVEPOINT gateway_row").await {
            Err(Failure::Refused(BackendError::Query { source })) => {
                Err(Failure::Unread(BackendError::OutcomeUnknown { source: Some(source) }))
            }
            other => other,
        }
    }

    /// Marks a place to go back to.
    pub(super) async fn set_savepoint(&mut self) -> Result<(), Failure> {
        self.lease.run_text("SAVEPOINT gateway_row").await
    }

    /// Forgets the place. MySQL and Oracle do so by themselves when the next one is marked.
    pub(super) async fn release_savepoint(&mut self) -> Result<(), Failure> {
        if matches!(self.lease.dialect(), Dialect::Mysql | Dialect::Oracle) {
            return Ok(());
        }
        self.lease.run_text("RELEASE SAVEPOINT gateway_row").await
    }

    /// Undoes what was done since the place was marked, and forgets it.
    pub(super) async fn undo_to_savepoint(&mut self) -> Result<(), Failure> {
        self.lease.run_text("ROLLBACK TO SAVEPOINT gateway_row").await?;
        self.release_savepoint().await
    }

    /// Whether the database has ended the transaction by itself, with a statement that it refused: what came
    /// next would stand alone. SQLite does so by `RAISE(ROLLBACK)` in a trigger.
    ///
    /// # Errors
    ///
    /// [`Failure`] of the question.
    pub(super) async fn has_ended(&mut self) -> Result<bool, Failure> {
        if self.lease.dialect() != Dialect::Sqlite {
            return Ok(false);
        }
        match self.lease.run_text("BEGIN").await {
            Ok(()) => Ok(true),
            // There is one within which there is no other.
            Err(Failure::Refused(_)) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Commits.
    pub(super) async fn commit(&mut self) -> Result<(), Failure> {
        self.phase = Phase::Commit;
        self.lease.commit().await
    }

    /// Undoes everything.
    pub(super) async fn rollback(&mut self) -> Result<(), Failure> {
        self.lease.rollback().await
    }

    /// Ends what has failed: rolls back if the connection is well enough for that, else closes it.
    pub(super) async fn end(mut self) {
        if self.lease.is_in_transaction_and_well() {
            // Late or refused: dropping the lease closes the connection, which rolls back, too.
            drop(tokio::time::timeout(ROLLBACK_TIMEOUT, self.lease.rollback()).await);
        }
    }
}
