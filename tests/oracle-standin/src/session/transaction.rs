//! Transactions: begun with the first change, and each statement behind a savepoint.

use std::fmt::Write as _;

use super::{Command, Effect, Session};
use crate::error::OracleError;
use crate::sqlstate;

/// Where a session's transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transaction {
    /// There is none.
    None,
    /// Begun; nothing happened before its first statement.
    Fresh,
    /// Begun; the savepoint of the last statement stands.
    Saved,
}

impl Session {
    /// Commits, if there is something to commit.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub fn commit(&mut self) -> Result<(), OracleError> {
        self.end_transaction("COMMIT")
    }

    /// Rolls back, if there is something to roll back.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn rollback(&mut self) -> Result<(), OracleError> {
        self.end_transaction("ROLLBACK")
    }

    /// Asks the server for an answer.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn ping(&mut self) -> Result<(), OracleError> {
        self.simple("").map(drop)
    }

    /// Begins a transaction with an isolation of its own, in place of the next statement.
    ///
    /// # Errors
    /// ORA-01453: one is open already.
    pub fn begin(&mut self, modes: &str) -> Result<(), OracleError> {
        if self.in_transaction() {
            return Err(OracleError::new(
                1453,
                "SET TRANSACTION must be first statement of transaction",
            ));
        }
        self.simple(&format!("BEGIN {modes}"))?;
        self.transaction = Transaction::Fresh;
        Ok(())
    }

    /// Runs `SAVEPOINT x` or `ROLLBACK TO x` of the client's own.
    ///
    /// # Errors
    /// ORA-01086: no such savepoint.
    pub fn savepoint(&mut self, sql: &str) -> Result<(), OracleError> {
        let begin = match self.transaction {
            Transaction::None => "BEGIN; ",
            Transaction::Fresh => "",
            // It would be released together with the one below it.
            Transaction::Saved => "RELEASE SAVEPOINT standin; ",
        };
        if sql.starts_with("SAVEPOINT") {
            self.simple(&format!("{begin}{sql}"))?;
            self.transaction = Transaction::Fresh;
            return Ok(());
        }
        self.simple(&format!("{begin}SAVEPOINT standin"))?;
        self.transaction = Transaction::Saved;
        if let Err(error) = self.simple(sql) {
            self.simple("ROLLBACK TO SAVEPOINT standin")?;
            return Err(if error.has_state(&["3B001"]) {
                OracleError::new(1086, "savepoint never established in this session or is invalid")
            } else {
                error
            });
        }
        // The statement's own savepoint was above the client's, and is gone with what was undone.
        self.transaction = Transaction::Fresh;
        Ok(())
    }

    fn end_transaction(&mut self, sql: &str) -> Result<(), OracleError> {
        if self.lost {
            return Err(sqlstate::not_connected());
        }
        if !self.in_transaction() {
            return Ok(());
        }
        self.transaction = Transaction::None;
        self.has_lock_timeout = false;
        if std::mem::take(&mut self.told_in_transaction) && sql != "COMMIT" {
            self.told.clear();
        }
        self.simple(sql).map(drop)
    }

    /// Runs `run` so that its failure leaves the transaction as it was. It is given what is to be run before.
    pub(super) fn guarded<T>(
        &mut self,
        command: &Command<'_>,
        run: impl FnOnce(&mut Self, &str) -> Result<T, OracleError>,
    ) -> Result<T, OracleError> {
        if self.lost {
            return Err(sqlstate::not_connected());
        }
        let before = self.transaction;
        let mut prefix = match (before, command.effect) {
            (Transaction::None, Effect::Write) => "BEGIN".to_owned(),
            (Transaction::None, _) => String::new(),
            (Transaction::Fresh, _) => "SAVEPOINT standin".to_owned(),
            (Transaction::Saved, _) => "RELEASE SAVEPOINT standin; SAVEPOINT standin".to_owned(),
        };
        if !prefix.is_empty() {
            self.transaction =
                if before == Transaction::None { Transaction::Fresh } else { Transaction::Saved };
            match command.wait_seconds {
                Some(seconds) => {
                    // Writing to a String does not fail.
                    let _written =
                        write!(prefix, "; SET LOCAL lock_timeout = {}", seconds.max(1) * 1000);
                    self.has_lock_timeout = true;
                }
                None if self.has_lock_timeout => {
                    prefix.push_str("; SET LOCAL lock_timeout = 0");
                    self.has_lock_timeout = false;
                }
                None => {}
            }
        }
        let result = run(self, &prefix);
        if result.is_err() && !self.lost {
            match (before, self.transaction) {
                (_, Transaction::None) => {}
                (Transaction::None, _) => self.rollback()?,
                _ => {
                    self.simple("ROLLBACK TO SAVEPOINT standin")?;
                }
            }
        }
        result
    }
}
