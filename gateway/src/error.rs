//! The failures that a request can meet, by the stage that refuses it.
//!
//! Each stage has its own enum, in its own file; [`Error`] only gathers them. A failure is told to three
//! readers: [`Error::code`] to the client's program, [`Error::client_message`] to the client's log,
//! `Display` and its sources to ours. Only the last may name a host, a table, or a driver's words. The
//! matches are exhaustive: a new failure must choose.

use std::borrow::Cow;
use std::sync::Arc;

use gateway_protocol::{Code, FrameError, PayloadError};

use crate::auth::AuthError;
use crate::backend::{BackendError, Details};
use crate::bind::BindError;
use crate::catalog::BusinessError;
use crate::journal::JournalError;
use crate::snapshot::RouteError;

/// Why a request was not served.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The bytes were not a request.
    #[error("{message}")]
    Wire {
        /// Which way they were not.
        code: Code,
        /// What is wrong, for the client.
        message: Cow<'static, str>,
    },
    /// Nobody answers to that name or path.
    #[error("route: {0}")]
    Route(#[from] RouteError),
    /// The credential is not good, or not good enough.
    #[error("auth: {0}")]
    Auth(#[from] AuthError),
    /// The parameters do not fit the template.
    #[error("bind: {0}")]
    Bind(#[from] BindError),
    /// The store side failed.
    #[error("backend: {0}")]
    Backend(#[source] Arc<BackendError>),
    /// The journal did not take an order.
    #[error("journal: {0}")]
    Journal(#[from] JournalError),
    /// The template's own answer.
    #[error("{}", .0.name)]
    Business(Box<BusinessError>),
    /// No row where the template needs one, and it has no answer of its own for that.
    #[error("no such row")]
    NoSuchRow,
    /// `If-Match` names no version that the row can have.
    #[error("no version of the row in `If-Match`")]
    ForeignTag,
    /// The queue to the backend threads is full, or they are gone.
    #[error("backend queue is full")]
    Overloaded,
    /// The gateway is shutting down.
    #[error("draining")]
    Draining,
    /// The request's deadline passed.
    #[error("deadline exceeded")]
    Deadline,
    /// A fault of ours.
    #[error("internal: {0}")]
    Internal(&'static str),
}

impl Error {
    /// The answers of a batch are together longer than one reply may be.
    pub fn batch_too_large(bytes_max: usize) -> Self {
        let limit = format!("{bytes_max} bytes in one batch").into();
        Self::Backend(Arc::new(BackendError::TooLarge { limit }))
    }

    /// What a refused write tells besides its code.
    pub fn details(&self) -> Option<&Details> {
        match self {
            Self::Backend(error) => error.details(),
            _ => None,
        }
    }

    /// The code on the wire.
    pub fn code(&self) -> u16 {
        match self {
            Self::Wire { code, .. } => code.number(),
            Self::Route(error) => error.code().number(),
            Self::Auth(error) => error.code().number(),
            Self::Bind(error) => error.code(),
            Self::Backend(error) => error.code(),
            Self::Journal(error) => error.code().number(),
            Self::Business(error) => error.code.number(),
            Self::NoSuchRow => Code::NoSuchRow.number(),
            Self::ForeignTag => Code::VersionConflict.number(),
            Self::Overloaded => Code::Overloaded.number(),
            Self::Draining => Code::Draining.number(),
            Self::Deadline => Code::DeadlineExceeded.number(),
            Self::Internal(_) => Code::Internal.number(),
        }
    }

    /// The HTTP status.
    pub fn http_status(&self) -> u16 {
        match self {
            Self::Business(error) | Self::Bind(BindError::Require(error)) => error.status,
            Self::Backend(error) => error.http_status(),
            other => Code::from_number(other.code()).map_or(500, Code::http_status),
        }
    }

    /// What the client is told: its own mistakes in full, ours in a word.
    pub fn client_message(&self) -> Cow<'_, str> {
        match self {
            Self::Wire { message, .. } => Cow::Borrowed(message),
            Self::Route(error) => error.to_string().into(),
            Self::Auth(error) => error.client_message().into(),
            Self::Bind(error) => error.to_string().into(),
            Self::Backend(error) => error.client_message(),
            Self::Journal(error) => error.client_message(),
            Self::Business(error) => Cow::Borrowed(&error.name),
            Self::NoSuchRow => "no such row".into(),
            Self::ForeignTag => "the row has another version".into(),
            Self::Overloaded => "overloaded, retry later".into(),
            Self::Draining => "draining, use another instance".into(),
            Self::Deadline => "deadline exceeded".into(),
            Self::Internal(_) => "internal error".into(),
        }
    }
}

impl From<&FrameError> for Error {
    fn from(error: &FrameError) -> Self {
        Self::Wire { code: error.code(), message: error.to_string().into() }
    }
}

impl From<PayloadError> for Error {
    fn from(error: PayloadError) -> Self {
        Self::Wire { code: error.code(), message: error.to_string().into() }
    }
}

impl From<Arc<BackendError>> for Error {
    fn from(error: Arc<BackendError>) -> Self {
        Self::Backend(error)
    }
}
