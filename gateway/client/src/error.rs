//! Why a call did not succeed.

use std::io;
use std::time::Duration;

use gateway_protocol::message::ErrorBody;
use gateway_protocol::{Code, FrameError, PayloadError, Value};

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The gateway answered, and said no. The connection lives, but after a refused HELLO.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The socket failed. The connection is lost; whether a write happened is not known.
    #[error("connection: {0}")]
    Io(#[from] io::Error),
    /// The gateway sent what the protocol does not have. The connection is lost.
    #[error("the gateway broke the protocol: {0}")]
    Protocol(#[from] ProtocolFault),
    /// No reply in time. The connection lives; a reply that still comes is dropped.
    #[error("no reply within {waited:?}")]
    Timeout {
        /// How long was waited.
        waited: Duration,
    },
    /// As many requests are in flight as may be. Nothing was sent: receive replies first.
    #[error("{count_max} requests are in flight, which is the most")]
    Busy {
        /// The bound.
        count_max: usize,
    },
    /// A request larger than the gateway takes. Nothing was sent.
    #[error("a request of {bytes} bytes, the gateway takes {bytes_max}")]
    TooLarge {
        /// The frame's length field.
        bytes: u64,
        /// The gateway's `frame_bytes_max`.
        bytes_max: u32,
    },
    /// The gateway takes no new calls on this connection: connect anew. Nothing was sent.
    #[error("the gateway is going away: {reason}")]
    GoingAway {
        /// In the gateway's words.
        reason: Box<str>,
    },
    /// The connection was lost before: connect anew.
    #[error("the connection is closed: {reason}")]
    Closed {
        /// What ended it.
        reason: Box<str>,
    },
}

/// What the gateway said no with.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{code} {message}")]
pub struct Refused {
    /// A [`Code`] or a template's own, 2100 to 2999.
    pub code: u16,
    /// For people; of a template's own code, its name.
    pub message: Box<str>,
    /// For programs, where the code alone does not say enough.
    pub details: Option<Box<Value<'static>>>,
}

impl Refused {
    /// The gateway's own code; `None` for a template's, or one newer than this client.
    pub fn known(&self) -> Option<Code> {
        Code::from_number(self.code)
    }

    /// Whether the same request may be sent again, unchanged; see [`Code::retryable`].
    pub fn retryable(&self) -> bool {
        self.known().is_some_and(Code::retryable)
    }

    pub(crate) fn of_body(body: ErrorBody<'_>) -> Self {
        let body = body.into_owned();
        Self {
            code: body.code,
            message: body.message.into_owned().into_boxed_str(),
            details: body.details.map(Box::new),
        }
    }
}

/// What the gateway sent that the protocol does not have.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolFault {
    /// A frame that cannot be read.
    #[error("frame: {0}")]
    Frame(#[from] FrameError),
    /// A payload that cannot be read.
    #[error("payload: {0}")]
    Payload(#[from] PayloadError),
    /// A frame of a kind that a gateway does not send, or of a shape that does not answer the request.
    #[error("unexpected {0}")]
    Unexpected(&'static str),
}

impl From<PayloadError> for ClientError {
    fn from(error: PayloadError) -> Self {
        Self::Protocol(error.into())
    }
}
