//! What a call answers with.

use gateway_protocol::message::{ErrorBody, Welcome};
use gateway_protocol::{PayloadError, Value, flag};

use crate::{ClientError, ProtocolFault, Refused};

/// The result of one call.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The result: a map for a row, a list of maps for rows, and so on; see the protocol's page.
    pub value: Value<'static>,
    /// Whether the effect is of an earlier call with the same idempotency key.
    pub replayed: bool,
    /// What the gateway says of the reply itself, when the request wanted it.
    pub meta: Option<Value<'static>>,
}

/// What answers a request.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Of a CALL or BATCH.
    Reply(Reply),
    /// Of a HELLO.
    Welcome(Welcome<'static>),
    /// Of a PING.
    Pong,
}

impl Reply {
    /// Takes a REPLY's value apart as its flags say.
    pub(crate) fn of_value(value: Value<'static>, flags: u8) -> Result<Self, ProtocolFault> {
        let replayed = flags & flag::REPLAYED != 0;
        if flags & flag::WITH_META == 0 {
            return Ok(Self { value, replayed, meta: None });
        }
        let (meta, value) =
            pair(value).ok_or(ProtocolFault::Unexpected("reply without its meta"))?;
        Ok(Self { value, replayed, meta: Some(meta) })
    }

    /// Reads a BATCH's result: one outcome a call, in the calls' order.
    ///
    /// - `count`: the calls that were sent.
    pub(crate) fn into_batch(
        self,
        count: usize,
    ) -> Result<Vec<Result<Value<'static>, Refused>>, ClientError> {
        let wrong = ProtocolFault::Unexpected("reply to a batch");
        let Value::Array(items) = self.value else { return Err(wrong.into()) };
        if items.len() != count {
            return Err(wrong.into());
        }
        items.into_iter().map(|item| Ok(outcome(item)?)).collect()
    }
}

/// Reads one `[code, body]`.
fn outcome(item: Value<'static>) -> Result<Result<Value<'static>, Refused>, ProtocolFault> {
    match pair(item) {
        Some((Value::Int(0), body)) => Ok(Ok(body)),
        Some((Value::Int(code), body)) => {
            let body = ErrorBody::from_value(body)?;
            if i64::from(body.code) == code {
                Ok(Err(Refused::of_body(body)))
            } else {
                Err(PayloadError::Unexpected("code".into()).into())
            }
        }
        _ => Err(ProtocolFault::Unexpected("outcome in a batch")),
    }
}

fn pair(value: Value<'static>) -> Option<(Value<'static>, Value<'static>)> {
    let Value::Array(items) = value else { return None };
    let [first, second] = <[Value<'static>; 2]>::try_from(items).ok()?;
    Some((first, second))
}

impl Answer {
    /// The reply that a call expects.
    pub(crate) fn reply(self) -> Result<Reply, ClientError> {
        match self {
            Self::Reply(reply) => Ok(reply),
            Self::Welcome(_) => Err(ProtocolFault::Unexpected("WELCOME").into()),
            Self::Pong => Err(ProtocolFault::Unexpected("PONG").into()),
        }
    }

    /// The welcome that a HELLO expects.
    pub(crate) fn welcome(self) -> Result<Welcome<'static>, ClientError> {
        match self {
            Self::Welcome(welcome) => Ok(welcome),
            Self::Reply(_) => Err(ProtocolFault::Unexpected("REPLY to a HELLO").into()),
            Self::Pong => Err(ProtocolFault::Unexpected("PONG").into()),
        }
    }

    /// The pong that a PING expects.
    pub(crate) fn pong(self) -> Result<(), ClientError> {
        match self {
            Self::Pong => Ok(()),
            Self::Reply(_) => Err(ProtocolFault::Unexpected("REPLY to a PING").into()),
            Self::Welcome(_) => Err(ProtocolFault::Unexpected("WELCOME").into()),
        }
    }
}
