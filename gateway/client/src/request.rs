//! What a client asks, and its frames.

use std::time::Duration;

use gateway_protocol::message::{Hello, write_batch, write_call};
use gateway_protocol::{
    Codec, FrameHeader, FrameKind, LENGTH_MIN, RequestId, Value, begin_frame, finish_frame, flag,
};

use crate::{ClientError, ProtocolFault};

/// How much longer than its deadline a request is waited for, so that the gateway's own answer to a
/// missed deadline (1003) still arrives.
const DEADLINE_GRACE: Duration = Duration::from_millis(500);

/// One call, with everything that can be said of it.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The game; `None`: the connection's.
    pub game: Option<&'a str>,
    /// The operation.
    pub op: &'a str,
    /// Names and values.
    pub params: &'a [(&'a str, Value<'a>)],
    /// How long the gateway may take, 1 ms to 65.535 s; cut to whole milliseconds, and to that range.
    /// `None`: the operation's own.
    pub deadline: Option<Duration>,
    /// Do everything, answer, and undo it: only for writes.
    pub dry_run: bool,
    /// Whether [`Reply::meta`](crate::Reply::meta) is wanted.
    pub wants_meta: bool,
}

impl<'a> Request<'a> {
    /// A call of the connection's game, with the operation's own deadline.
    pub const fn new(op: &'a str, params: &'a [(&'a str, Value<'a>)]) -> Self {
        Self { game: None, op, params, deadline: None, dry_run: false, wants_meta: false }
    }

    /// In another game than the connection's.
    #[must_use]
    pub const fn game(self, game: &'a str) -> Self {
        Self { game: Some(game), ..self }
    }

    /// With a deadline of its own.
    #[must_use]
    pub const fn deadline(self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// As a dry run: a write happens, answers and is undone. A read is refused (1103).
    #[must_use]
    pub const fn dry_run(self) -> Self {
        Self { dry_run: true, ..self }
    }

    /// With [`Reply::meta`](crate::Reply::meta).
    #[must_use]
    pub const fn with_meta(self) -> Self {
        Self { wants_meta: true, ..self }
    }

    /// How long to wait for the reply.
    pub(crate) fn patience(&self, call_timeout: Duration) -> Duration {
        match self.deadline {
            Some(_) => Duration::from_millis(self.deadline_ms().into()) + DEADLINE_GRACE,
            None => call_timeout,
        }
    }

    fn deadline_ms(&self) -> u16 {
        match self.deadline {
            Some(deadline) => u16::try_from(deadline.as_millis()).unwrap_or(u16::MAX).max(1),
            None => 0,
        }
    }
}

/// A call within a batch: operation and parameters.
pub type BatchCall<'a> = (&'a str, &'a [(&'a str, Value<'a>)]);

/// Everything that a client sends.
pub(crate) enum Outgoing<'a> {
    Hello(&'a Hello<'a>),
    Call(&'a Request<'a>),
    Batch(&'a [BatchCall<'a>]),
    Ping,
    Pong(&'a [u8]),
}

impl Outgoing<'_> {
    /// Appends the frame to `out`; on an error `out` is as it was.
    ///
    /// - `frame_bytes_max`: the gateway's.
    pub(crate) fn encode(
        &self,
        out: &mut Vec<u8>,
        codec: Codec,
        request_id: RequestId,
        frame_bytes_max: u32,
    ) -> Result<(), ClientError> {
        let from = out.len();
        let (kind, flags, deadline_ms_or_code) = match self {
            Self::Hello(_) => (FrameKind::Hello, 0, 0),
            Self::Call(request) => {
                let dry_run = if request.dry_run { flag::DRY_RUN } else { 0 };
                let wants_meta = if request.wants_meta { flag::WANTS_META } else { 0 };
                (FrameKind::Call, dry_run | wants_meta, request.deadline_ms())
            }
            Self::Batch(_) => (FrameKind::Batch, 0, 0),
            Self::Ping => (FrameKind::Ping, 0, 0),
            Self::Pong(_) => (FrameKind::Pong, 0, 0),
        };
        let header =
            FrameHeader { length: LENGTH_MIN, kind, codec, flags, request_id, deadline_ms_or_code };
        let start = begin_frame(out, &header);
        match self {
            Self::Hello(hello) => hello.encode(codec, out),
            Self::Call(request) => {
                write_call(out, codec, request.game, request.op, request.params);
            }
            Self::Batch(calls) => write_batch(out, codec, calls),
            Self::Ping => {}
            Self::Pong(bytes) => out.extend_from_slice(bytes),
        }
        finish_frame(out, start).map_err(ProtocolFault::from)?;
        let bytes = (out.len() - from - 4) as u64;
        if bytes > u64::from(frame_bytes_max) {
            out.truncate(from);
            return Err(ClientError::TooLarge { bytes, bytes_max: frame_bytes_max });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadline_is_cut_to_what_the_header_can_say() {
        let ms = |deadline| Request { deadline, ..Request::new("x", &[]) }.deadline_ms();
        assert_eq!(ms(None), 0);
        assert_eq!(ms(Some(Duration::ZERO)), 1);
        assert_eq!(ms(Some(Duration::from_micros(1900))), 1);
        assert_eq!(ms(Some(Duration::from_millis(65_535))), 65_535);
        assert_eq!(ms(Some(Duration::from_secs(66))), 65_535);
    }

    #[test]
    fn frame_at_the_gateway_s_limit_is_written_and_one_byte_more_is_refused() {
        let mut out = vec![9];
        let ping = Outgoing::Pong(&[0; 8]);
        ping.encode(&mut out, Codec::MsgPack, RequestId(1), 20).unwrap();
        assert_eq!(out.len(), 1 + 24);
        let refused = ping.encode(&mut out, Codec::MsgPack, RequestId(1), 19);
        assert!(matches!(refused, Err(ClientError::TooLarge { bytes: 20, bytes_max: 19 })));
        assert_eq!(out.len(), 1 + 24);
    }
}
