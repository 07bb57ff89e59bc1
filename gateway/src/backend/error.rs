//! Why a database did not do what a template asks.

use std::borrow::Cow;
use std::sync::Arc;

use gateway_protocol::Code;

use super::fault;
use crate::cache::Stored;
use crate::catalog::{BusinessError, RenderError};
use crate::snapshot::Operation;

/// What a refusal of a write tells besides its code.
#[derive(Clone, Debug, Default)]
pub struct Details {
    /// The row of the `rows(…)` parameter that was refused, from 0.
    pub row: Option<usize>,
    /// What stands in the database, where the template has `@current`.
    pub current: Option<Current>,
}

/// A row that stands in the database.
#[derive(Clone, Debug)]
pub struct Current {
    /// What it was read with: says how it is encoded.
    pub operation: Arc<Operation>,
    /// The row; always [`Stored::Present`].
    pub stored: Arc<Stored>,
}

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
    /// The database is there and does not take the statement from anybody now: it is read-only, full, or not
    /// ready, or the gateway's user lacks a right. Nothing was changed.
    #[error("{}", not_writable(.source))]
    NotWritable {
        /// The driver's words.
        #[source]
        source: sqlx::Error,
    },
    /// Journalled records wait whose template has another contract now; they are not applied by it.
    #[error("journalled records of `{operation}` were made under another contract than it has now")]
    ContractChanged {
        /// Game and operation.
        operation: Box<str>,
    },
    /// The game is on its way from one database to the other, and was for as long as the caller could wait. Nothing
    /// was begun.
    #[error("`{game}` is being switched between its databases")]
    SwitchPaused {
        /// The game.
        game: Box<str>,
    },
    /// The database says that it does not own the game, or under another epoch: nothing was changed, and whoever asked
    /// tries again where the owner is.
    #[error("the game has moved to another database")]
    OwnerMoved {
        /// Whether an attempt before may have taken effect.
        is_unknown: bool,
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
    /// A lock was not to be had: nothing was changed, and a second attempt may do.
    #[error("{}", if *.is_deadlock { "deadlock" } else { "lock wait timed out" })]
    Locked {
        /// Two transactions waited for each other.
        is_deadlock: bool,
        /// The driver's words.
        #[source]
        source: sqlx::Error,
    },
    /// The template's own refusal: a guard did not hold, or a key was taken. Nothing was changed.
    #[error("{}", .error.name)]
    Business {
        /// What it declares.
        error: Box<BusinessError>,
        /// Which row, and what stands there.
        details: Box<Details>,
    },
    /// The row has another version than the caller named. Nothing was changed.
    #[error("version conflict")]
    VersionConflict {
        /// What stands there.
        details: Box<Details>,
    },
    /// A guard without an answer of its own did not hold: the template's fault. Nothing was changed.
    #[error("guard failed: {what}")]
    Guard {
        /// Which, and what was counted.
        what: Box<str>,
    },
    /// A step found no row where it needs one. Nothing was changed.
    #[error("no such row")]
    NoSuchRow,
    /// The idempotency key was used with other parameters.
    #[error("idempotency key was used with other parameters")]
    KeyReused,
    /// The first request with this idempotency key has not ended yet.
    #[error("first request with this idempotency key still runs")]
    KeyRunning,
    /// The connection was lost, or time ran out, while a write was under way.
    #[error("outcome of the write is unknown")]
    OutcomeUnknown {
        /// The driver's words, if there were any.
        #[source]
        source: Option<sqlx::Error>,
    },
    /// What changed nothing is not answered either, where its audit record cannot be written.
    #[error("audit record could not be written")]
    Unrecorded,
    /// The request's deadline passed; nothing was changed.
    #[error("deadline passed")]
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
    /// A fault of ours, met while a journalled write was applied; nothing was changed.
    #[error("panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: Box<str>,
    },
}

/// Why nothing is written now; the driver's words come behind it, and name the right that is missing.
fn not_writable(source: &sqlx::Error) -> &'static str {
    if fault::is_denied(source) {
        "the database denies the gateway's account a right: grant it. A connection of MySQL that was open before the grant may \
         meet this once more, and is replaced then"
    } else {
        "database does not take the statement now"
    }
}

impl BackendError {
    /// What the client is told: never the driver's words.
    pub fn client_message(&self) -> Cow<'_, str> {
        match self {
            Self::PoolExhausted { .. } => "database busy, retry later".into(),
            Self::Unreachable { .. } => "database unreachable, retry later".into(),
            Self::NotWritable { source } if fault::is_denied(source) => {
                "the database denies the gateway a right, retry later".into()
            }
            Self::NotWritable { .. } => {
                "the database does not take such a statement now, retry later".into()
            }
            Self::SwitchPaused { .. } | Self::OwnerMoved { .. } => {
                "the game is being switched between databases, retry later".into()
            }
            Self::Query { .. } | Self::Column { .. } | Self::Guard { .. } => {
                "the statement failed".into()
            }
            Self::Duplicate { .. } => "duplicate row".into(),
            Self::TimedOut | Self::Locked { .. } => "the database took too long".into(),
            Self::Business { error, .. } => Cow::Borrowed(&error.name),
            Self::VersionConflict { .. } => "the row has another version".into(),
            Self::NoSuchRow => "no such row".into(),
            Self::KeyReused => "the key was used with other parameters".into(),
            Self::KeyRunning => "the first request with this key still runs".into(),
            Self::OutcomeUnknown { .. } => "the outcome of the write is unknown".into(),
            Self::Deadline => "deadline exceeded".into(),
            Self::TooLarge { limit } => format!("the result is larger than {limit}").into(),
            Self::BadCursor => "the cursor is not one of this query's".into(),
            Self::List(fault) => fault.to_string().into(),
            Self::Unrecorded
            | Self::Supply(_)
            | Self::Panicked { .. }
            | Self::ContractChanged { .. } => "internal error".into(),
        }
    }

    /// The code on the wire.
    pub fn code(&self) -> u16 {
        match self {
            Self::Business { error, .. } => error.code.number(),
            other => other.own_code().number(),
        }
    }

    /// The HTTP status.
    pub fn http_status(&self) -> u16 {
        match self {
            Self::Business { error, .. } => error.status,
            other => other.own_code().http_status(),
        }
    }

    /// What a refusal tells besides its code.
    pub fn details(&self) -> Option<&Details> {
        match self {
            Self::Business { details, .. } | Self::VersionConflict { details } => Some(details),
            _ => None,
        }
    }

    /// The same, to be added to.
    pub(super) fn details_mut(&mut self) -> Option<&mut Details> {
        match self {
            Self::Business { details, .. } | Self::VersionConflict { details } => Some(details),
            _ => None,
        }
    }

    const fn own_code(&self) -> Code {
        match self {
            Self::PoolExhausted { .. } => Code::PoolExhausted,
            Self::Unreachable { .. } | Self::NotWritable { .. } => Code::DatabaseUnreachable,
            Self::SwitchPaused { .. } | Self::OwnerMoved { .. } => Code::SwitchPaused,
            Self::Query { .. } | Self::Column { .. } | Self::Guard { .. } => Code::QueryFailed,
            Self::VersionConflict { .. } => Code::VersionConflict,
            Self::NoSuchRow => Code::NoSuchRow,
            Self::KeyReused => Code::KeyReused,
            Self::KeyRunning => Code::KeyRunning,
            Self::Duplicate { .. } => Code::DuplicateRow,
            Self::TimedOut | Self::Locked { .. } => Code::QueryTimedOut,
            Self::OutcomeUnknown { .. } => Code::OutcomeUnknown,
            Self::Deadline => Code::DeadlineExceeded,
            Self::TooLarge { .. } => Code::ResultTooLarge,
            Self::BadCursor => Code::BadCursor,
            Self::List(_) => Code::ParamRange,
            // A business error has its own; see `code`.
            Self::Unrecorded
            | Self::Supply(_)
            | Self::Panicked { .. }
            | Self::ContractChanged { .. }
            | Self::Business { .. } => Code::Internal,
        }
    }
}
