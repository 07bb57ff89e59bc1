//! Why a database did not do what a template asks.

use gateway_protocol::Code;

use crate::catalog::RenderError;

/// A failure of the store side. `Display` and its sources are for our log; clients see a code and a word.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// Every connection is taken and the wait was too long, or too many wait.
    #[error("pool `{pool}` is exhausted")]
    PoolExhausted {
        /// The connection's name in the configuration.
        pool: Box<str>,
    },
    /// No connection can be made.
    #[error("database `{pool}` is unreachable")]
    Unreachable {
        /// The connection's name in the configuration.
        pool: Box<str>,
        /// The driver's words.
        #[source]
        source: Option<sqlx::Error>,
    },
    /// The statement failed.
    #[error("statement failed")]
    Query {
        /// The driver's words.
        #[source]
        source: sqlx::Error,
    },
    /// A unique key is taken.
    #[error("duplicate key")]
    Duplicate {
        /// The driver's words.
        #[source]
        source: sqlx::Error,
    },
    /// The database took too long; nothing was changed.
    #[error("statement timed out")]
    TimedOut,
    /// The connection was lost, or time ran out, while a write was under way.
    #[error("outcome of the write is unknown")]
    OutcomeUnknown {
        /// The driver's words, if there were any.
        #[source]
        source: Option<sqlx::Error>,
    },
    /// The request's deadline passed before the database was asked.
    #[error("deadline passed before the statement began")]
    Deadline,
    /// More rows than the template's limit, or more bytes than a reply may have.
    #[error("result is larger than {limit}")]
    TooLarge {
        /// The limit, with its unit.
        limit: Box<str>,
    },
    /// A column's value does not have its declared form.
    #[error("column `{column}` does not have its declared form: {fault}")]
    Column {
        /// The column.
        column: Box<str>,
        /// What is wrong.
        fault: Box<str>,
    },
    /// A page's cursor is not ours, or of another query.
    #[error("bad cursor")]
    BadCursor,
    /// A list that is empty or longer than the statement can take.
    #[error("list: {0}")]
    List(#[from] RenderError),
    /// The gateway has no value for what a template asks of it: `:_id` while the clock is wrong.
    #[error("nothing to supply: {0}")]
    Supply(String),
}

impl BackendError {
    /// What the client is told: never the driver's words.
    pub fn client_message(&self) -> String {
        match self {
            Self::PoolExhausted { .. } => "database busy, retry later".into(),
            Self::Unreachable { .. } => "database unreachable, retry later".into(),
            Self::Query { .. } | Self::Column { .. } => "the statement failed".into(),
            Self::Duplicate { .. } => "duplicate row".into(),
            Self::TimedOut => "the database took too long".into(),
            Self::OutcomeUnknown { .. } => "the outcome of the write is unknown".into(),
            Self::Deadline => "deadline exceeded".into(),
            Self::TooLarge { limit } => format!("the result is larger than {limit}"),
            Self::BadCursor => "bad cursor".into(),
            Self::List(fault) => fault.to_string(),
            Self::Supply(_) => "internal error".into(),
        }
    }

    /// The code on the wire.
    pub const fn code(&self) -> Code {
        match self {
            Self::PoolExhausted { .. } => Code::PoolExhausted,
            Self::Unreachable { .. } => Code::DatabaseUnreachable,
            Self::Query { .. } | Self::Column { .. } => Code::QueryFailed,
            Self::Duplicate { .. } => Code::DuplicateRow,
            Self::TimedOut => Code::QueryTimedOut,
            Self::OutcomeUnknown { .. } => Code::OutcomeUnknown,
            Self::Deadline => Code::DeadlineExceeded,
            Self::TooLarge { .. } => Code::ResultTooLarge,
            Self::BadCursor => Code::BadCursor,
            Self::List(_) => Code::ParamRange,
            Self::Supply(_) => Code::Internal,
        }
    }
}
