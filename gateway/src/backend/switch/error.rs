//! Why a step of a switch was not done.

use super::super::{BackendError, DriverError};

/// Why a step was not done, or not to its end. Every step can be repeated.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// The state or the schemas do not allow it; says what to do.
    #[error("{0}")]
    Refused(Box<str>),
    /// A database is not there, or went away.
    #[error("database `{connection}` is unreachable")]
    Unreachable {
        /// The connection's name in the configuration.
        connection: Box<str>,
        /// The driver's words.
        #[source]
        source: DriverError,
    },
    /// A connection did not answer in time.
    #[error("database `{connection}` does not answer")]
    Late {
        /// The connection's name in the configuration.
        connection: Box<str>,
    },
    /// A database did not take a statement.
    #[error("database `{connection}` refused a statement")]
    Statement {
        /// The connection's name in the configuration.
        connection: Box<str>,
        /// Why.
        #[source]
        source: BackendError,
    },
    /// Somebody else copies.
    #[error("`{copier}` copies {group}; it is left to it, or taken over with `--takeover`")]
    Held {
        /// The group.
        group: Box<str>,
        /// Who.
        copier: Box<str>,
    },
    /// A value does not have the form that both sides have.
    #[error("table `{table}` of `{connection}`, column `{column}`: {fault}")]
    Value {
        /// The connection's name in the configuration.
        connection: Box<str>,
        /// The table.
        table: Box<str>,
        /// The column.
        column: Box<str>,
        /// What is wrong; never the value.
        fault: Box<str>,
    },
}

impl SwitchError {
    /// A refusal with its sentence.
    pub(super) fn refused(text: impl Into<Box<str>>) -> Self {
        Self::Refused(text.into())
    }

    /// Whether a repeat a little later may do: a lock was not to be had, or two transactions waited for each other.
    pub(super) const fn is_locked(&self) -> bool {
        matches!(self, Self::Statement { source: BackendError::Locked { .. }, .. })
    }
}
