//! What the gateway sends, cut out of the byte stream.

use gateway_protocol::message::{ErrorBody, GoAway, Welcome};
use gateway_protocol::{FrameHeader, FrameKind, HEADER_BYTES, RequestId, Value, decode_header};

use crate::reply::Answer;
use crate::{ProtocolFault, Refused, Reply};

/// Bytes for which room is made before each read.
const READ_BYTES: usize = 16 << 10;

/// One frame, read.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// The answer to a request.
    Answer(RequestId, Result<Answer, Refused>),
    /// The gateway refuses the connection as a whole: it closes it.
    ConnectionRefused(Refused),
    /// The gateway asks whether this side lives.
    Ping(RequestId, Vec<u8>),
    /// No new calls.
    GoAway(Box<str>),
    /// Something that this client has no use for.
    Nothing,
}

/// Bytes received and not read yet.
#[derive(Debug)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    /// Where the next frame begins.
    at: usize,
    frame_bytes_max: u32,
}

impl Inbox {
    pub(crate) const fn new(frame_bytes_max: u32) -> Self {
        Self { bytes: Vec::new(), at: 0, frame_bytes_max }
    }

    /// Where a read puts what comes next: it may only append.
    pub(crate) fn space(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.at.min(self.bytes.len()));
        self.at = 0;
        self.bytes.reserve(READ_BYTES);
        &mut self.bytes
    }

    /// Reads the next frame; `None` while it has not all arrived.
    pub(crate) fn next(&mut self) -> Result<Option<Incoming>, ProtocolFault> {
        let rest = self.bytes.get_mut(self.at..).unwrap_or_default();
        let (frame_bytes, header) = match decode_header(rest, self.frame_bytes_max) {
            Ok(None) => return Ok(None),
            Ok(Some(header)) => (header.frame_bytes(), Some(header)),
            // Of a newer gateway: not for this client.
            Err(error) => (error.skip().ok_or(error)?.frame_bytes, None),
        };
        let Some(frame) = rest.get_mut(..frame_bytes) else { return Ok(None) };
        self.at += frame_bytes;
        match (header, frame.get_mut(HEADER_BYTES..)) {
            (Some(header), Some(payload)) => read(&header, payload).map(Some),
            _ => Ok(Some(Incoming::Nothing)),
        }
    }
}

fn read(header: &FrameHeader, payload: &mut [u8]) -> Result<Incoming, ProtocolFault> {
    let (codec, id) = (header.codec, header.request_id);
    Ok(match header.kind {
        FrameKind::Reply if header.code() == 0 => {
            let value = codec.decode(payload)?.into_owned();
            let reply = Reply::of_value(value, header.flags)?;
            Incoming::Answer(id, Ok(Answer::Reply(reply)))
        }
        FrameKind::Reply => {
            let refused = Refused::of_body(ErrorBody::decode(codec, payload)?);
            if id == RequestId::CONNECTION {
                Incoming::ConnectionRefused(refused)
            } else {
                Incoming::Answer(id, Err(refused))
            }
        }
        FrameKind::Welcome => {
            let welcome = Welcome::decode(codec, payload)?.into_owned();
            Incoming::Answer(id, Ok(Answer::Welcome(welcome)))
        }
        FrameKind::Ping => Incoming::Ping(id, payload.to_vec()),
        FrameKind::Pong => Incoming::Answer(id, Ok(Answer::Pong)),
        FrameKind::GoAway => {
            Incoming::GoAway(GoAway::decode(codec, payload)?.reason.into_owned().into())
        }
        FrameKind::Event => {
            let _: Value<'_> = codec.decode(payload)?;
            Incoming::Nothing
        }
        FrameKind::Hello
        | FrameKind::Call
        | FrameKind::Batch
        | FrameKind::Subscribe
        | FrameKind::Unsubscribe => return Err(ProtocolFault::Unexpected("request")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{self, REPLY, json};

    #[test]
    fn frames_that_arrive_byte_by_byte_read_as_those_that_arrive_at_once() {
        let stream = [
            json(REPLY, 1, 0, "[1]"),
            json(REPLY, 2, 2010, r#"{"code":2010,"message":"m"}"#),
            peer::bytes(77, 0, 0, 3, 0, b"xx"),
            json(REPLY, 4, 0, "null"),
        ]
        .concat();
        let read = |chunk_bytes: usize| {
            let mut inbox = Inbox::new(1024);
            let mut seen = Vec::new();
            for chunk in stream.chunks(chunk_bytes) {
                inbox.space().extend_from_slice(chunk);
                while let Some(incoming) = inbox.next().unwrap() {
                    seen.push(format!("{incoming:?}"));
                }
            }
            seen
        };
        let whole = read(stream.len());
        assert_eq!(whole.len(), 4);
        for chunk_bytes in 1..20 {
            assert_eq!(read(chunk_bytes), whole);
        }
    }

    #[test]
    fn reply_at_the_limit_is_taken_and_one_byte_more_is_refused() {
        let frame = json(REPLY, 1, 0, "[1]");
        for (limit, taken) in [(15, true), (14, false)] {
            let mut inbox = Inbox::new(limit);
            inbox.space().extend_from_slice(&frame);
            assert_eq!(inbox.next().is_ok(), taken);
        }
    }

    #[test]
    fn requests_from_the_gateway_are_a_fault() {
        let mut inbox = Inbox::new(1024);
        inbox.space().extend_from_slice(&json(peer::CALL, 1, 0, r#"["x",{}]"#));
        assert!(matches!(inbox.next(), Err(ProtocolFault::Unexpected("request"))));
    }
}
