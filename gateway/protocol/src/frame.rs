//! Frames: the sixteen bytes before every payload.
//!
//! A fault in a frame is of one of two classes. Where the frame's end is still known, the frame can be
//! skipped, answered, and the connection lives: [`FrameError::skip`] says so. Where it is not, the
//! stream is lost and the connection has to go.

use std::time::Duration;

use crate::{Code, Codec, RequestId};

/// Bytes of a header, the length field included.
pub const HEADER_BYTES: usize = 16;

/// What the length field counts at least: the twelve bytes of the header that follow it.
pub const LENGTH_MIN: u32 = 12;

/// Bytes of the length field.
const LENGTH_BYTES: usize = 4;

/// The protocol's version.
pub const VERSION: u8 = 1;

/// Bits of a CALL's and of a REPLY's flags.
pub mod flag {
    /// CALL: check everything, change nothing.
    pub const DRY_RUN: u8 = 1;
    /// CALL: the reply shall be `[meta, result]`.
    pub const WANTS_META: u8 = 2;
    /// REPLY: the effect is of an earlier call with the same idempotency key.
    pub const REPLAYED: u8 = 1;
    /// REPLY: the payload is `[meta, result]`.
    pub const WITH_META: u8 = 2;
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// The client says who it is.
    Hello = 1,
    /// The gateway's answer to a good HELLO.
    Welcome = 2,
    /// One operation.
    Call = 3,
    /// The answer to a CALL or a BATCH, and every refusal.
    Reply = 4,
    /// Is the other side alive?
    Ping = 5,
    /// The answer to a PING, with its bytes.
    Pong = 6,
    /// The client wants a topic's events.
    Subscribe = 7,
    /// The client wants them no longer.
    Unsubscribe = 8,
    /// Something happened in a topic.
    Event = 9,
    /// No new calls are taken on this connection.
    GoAway = 10,
    /// Several operations, one reply.
    Batch = 11,
}

impl FrameKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: &'static [Self] = &[
        Self::Hello,
        Self::Welcome,
        Self::Call,
        Self::Reply,
        Self::Ping,
        Self::Pong,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Event,
        Self::GoAway,
        Self::Batch,
    ];

    /// The kind of that number in a header.
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Hello,
            2 => Self::Welcome,
            3 => Self::Call,
            4 => Self::Reply,
            5 => Self::Ping,
            6 => Self::Pong,
            7 => Self::Subscribe,
            8 => Self::Unsubscribe,
            9 => Self::Event,
            10 => Self::GoAway,
            11 => Self::Batch,
            _ => return None,
        })
    }

    /// The number in a header.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The flag bits that this kind knows.
    pub const fn flags_known(self) -> u8 {
        match self {
            Self::Call => flag::DRY_RUN | flag::WANTS_META,
            Self::Reply => flag::REPLAYED | flag::WITH_META,
            _ => 0,
        }
    }

    /// Whether a client asks with it and gets an answer of the same id, which then may not be 0.
    const fn needs_id(self) -> bool {
        matches!(self, Self::Hello | Self::Call | Self::Subscribe | Self::Unsubscribe | Self::Batch)
    }
}

/// A checked header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes after the length field: 12 and the payload's.
    pub length: u32,
    /// What the frame is.
    pub kind: FrameKind,
    /// How the payload is written.
    pub codec: Codec,
    /// Bits of [`flag`], only such as the kind knows.
    pub flags: u8,
    /// Which request.
    pub request_id: RequestId,
    /// In a request the deadline in ms from arrival, 0 = the operation's own; in a reply the code, 0 = ok.
    pub deadline_ms_or_code: u16,
}

impl FrameHeader {
    /// Bytes of the payload.
    pub const fn payload_bytes(&self) -> usize {
        self.length.saturating_sub(LENGTH_MIN) as usize
    }

    /// Bytes of the whole frame, from its first byte on.
    pub const fn frame_bytes(&self) -> usize {
        LENGTH_BYTES + self.length as usize
    }

    /// A request's deadline, from its arrival on; `None`: the operation's own.
    pub fn deadline(&self) -> Option<Duration> {
        (self.deadline_ms_or_code != 0)
            .then(|| Duration::from_millis(self.deadline_ms_or_code.into()))
    }

    /// A reply's code; 0 = ok.
    pub const fn code(&self) -> u16 {
        self.deadline_ms_or_code
    }
}

/// A frame that can be left out: its end is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skip {
    /// Whom to tell.
    pub request_id: RequestId,
    /// Bytes to leave out, from the frame's first byte on; some may not have arrived yet.
    pub frame_bytes: usize,
}

/// Why a header is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A length that does not hold the header itself.
    #[error("frame length {length}, {LENGTH_MIN} at least")]
    TooShort {
        /// The length field.
        length: u32,
    },
    /// Over the receiver's limit.
    #[error("frame length {length}, {frame_bytes_max} at most")]
    TooLarge {
        /// The length field.
        length: u64,
        /// The limit, in bytes after the length field.
        frame_bytes_max: u32,
    },
    /// Another version of the protocol, or another protocol.
    #[error("protocol version {version}, only {VERSION} is known")]
    Version {
        /// The version field.
        version: u8,
    },
    /// The reserved field is not 0.
    #[error("reserved field is {reserved:#06x}, not 0")]
    Reserved {
        /// The field.
        reserved: u16,
    },
    /// A request with the id that belongs to the gateway.
    #[error("request id 0 belongs to the gateway")]
    ZeroId,
    /// A kind that this version does not know.
    #[error("frame kind {kind} is unknown")]
    UnknownKind {
        /// The kind field.
        kind: u8,
        /// How to go on.
        skip: Skip,
    },
    /// A codec that this version does not know.
    #[error("codec {codec} is unknown")]
    UnknownCodec {
        /// The codec field.
        codec: u8,
        /// How to go on.
        skip: Skip,
    },
    /// Flag bits that the kind does not know.
    #[error("flags {flags:#04x} are unknown for this kind")]
    UnknownFlags {
        /// The unknown bits.
        flags: u8,
        /// How to go on.
        skip: Skip,
    },
}

impl FrameError {
    /// The code on the wire.
    pub const fn code(&self) -> Code {
        match self {
            Self::TooShort { .. } | Self::Reserved { .. } | Self::ZeroId => Code::Malformed,
            Self::TooLarge { .. } => Code::TooLarge,
            Self::Version { .. } | Self::UnknownCodec { .. } | Self::UnknownFlags { .. } => {
                Code::Unsupported
            }
            Self::UnknownKind { .. } => Code::UnknownKind,
        }
    }

    /// How to go on after the frame; `None`: answer with id 0 and close the connection.
    pub const fn skip(&self) -> Option<Skip> {
        match self {
            Self::UnknownKind { skip, .. }
            | Self::UnknownCodec { skip, .. }
            | Self::UnknownFlags { skip, .. } => Some(*skip),
            Self::TooShort { .. }
            | Self::TooLarge { .. }
            | Self::Version { .. }
            | Self::Reserved { .. }
            | Self::ZeroId => None,
        }
    }
}

/// Decodes the header at the start of `input`; `None` while it has not all arrived.
///
/// - `input`: bytes from a frame boundary on, as received; may run into the payload.
/// - `frame_bytes_max`: the largest length field accepted; from `server.tcp.frame_bytes_max`.
///
/// A wrong length or version is refused as soon as its bytes are there. Allocates nothing.
///
/// # Errors
///
/// [`FrameError`]; one with a [`FrameError::skip`] leaves the stream usable.
pub fn decode_header(
    input: &[u8],
    frame_bytes_max: u32,
) -> Result<Option<FrameHeader>, FrameError> {
    let Some(header) = input.first_chunk::<HEADER_BYTES>() else {
        return refuse_early(input, frame_bytes_max).map(|()| None);
    };
    let [l0, l1, l2, l3, version, kind, codec, flags, i0, i1, i2, i3, d0, d1, r0, r1] = *header;
    let length = u32::from_be_bytes([l0, l1, l2, l3]);
    check_length(length, frame_bytes_max)?;
    check_version(version)?;
    let reserved = u16::from_be_bytes([r0, r1]);
    if reserved != 0 {
        return Err(FrameError::Reserved { reserved });
    }
    let request_id = RequestId(u32::from_be_bytes([i0, i1, i2, i3]));
    let skip = Skip { request_id, frame_bytes: LENGTH_BYTES + length as usize };
    let kind = FrameKind::from_number(kind).ok_or(FrameError::UnknownKind { kind, skip })?;
    if kind.needs_id() && request_id == RequestId::CONNECTION {
        return Err(FrameError::ZeroId);
    }
    let codec = Codec::from_number(codec).ok_or(FrameError::UnknownCodec { codec, skip })?;
    let unknown = flags & !kind.flags_known();
    if unknown != 0 {
        return Err(FrameError::UnknownFlags { flags: unknown, skip });
    }
    let deadline_ms_or_code = u16::from_be_bytes([d0, d1]);
    Ok(Some(FrameHeader { length, kind, codec, flags, request_id, deadline_ms_or_code }))
}

/// The codec that the frame at the start of `input` says it is in, as far as that can be read: its version is ours,
/// the byte is there and known. For the answer to a frame that [`decode_header`] refused.
pub fn frame_codec(input: &[u8]) -> Option<Codec> {
    let [version, _kind, codec] = input.get(LENGTH_BYTES..)?.first_chunk()?;
    check_version(*version).ok()?;
    Codec::from_number(*codec)
}

/// Judges what a cut header already shows, so that a peer which sends a foreign protocol, or a length
/// that announces no more bytes, is answered and not waited for.
fn refuse_early(input: &[u8], frame_bytes_max: u32) -> Result<(), FrameError> {
    if let Some((length, rest)) = input.split_first_chunk::<LENGTH_BYTES>() {
        check_length(u32::from_be_bytes(*length), frame_bytes_max)?;
        rest.first().map_or(Ok(()), |version| check_version(*version))?;
    }
    Ok(())
}

const fn check_length(length: u32, frame_bytes_max: u32) -> Result<(), FrameError> {
    if length < LENGTH_MIN {
        return Err(FrameError::TooShort { length });
    }
    if length > frame_bytes_max {
        return Err(FrameError::TooLarge { length: length as u64, frame_bytes_max });
    }
    Ok(())
}

const fn check_version(version: u8) -> Result<(), FrameError> {
    if version == VERSION { Ok(()) } else { Err(FrameError::Version { version }) }
}

/// A frame under construction: where it began in its buffer.
#[derive(Debug)]
#[must_use = "a frame that is not finished has no length"]
pub struct FrameStart(usize);

impl FrameStart {
    /// Drops what was written of the frame, header included.
    pub fn abandon(self, out: &mut Vec<u8>) {
        out.truncate(self.0);
    }
}

/// Appends a header without its length to `out`; the payload is appended next, by the caller.
///
/// - `header`: its `length` is not looked at.
///
/// Allocates only what `out` needs to grow.
pub fn begin_frame(out: &mut Vec<u8>, header: &FrameHeader) -> FrameStart {
    let start = FrameStart(out.len());
    let [i0, i1, i2, i3] = header.request_id.0.to_be_bytes();
    let [d0, d1] = header.deadline_ms_or_code.to_be_bytes();
    let (kind, codec) = (header.kind.number(), header.codec.number());
    let bytes: [u8; HEADER_BYTES] =
        [0, 0, 0, 0, VERSION, kind, codec, header.flags, i0, i1, i2, i3, d0, d1, 0, 0];
    out.extend_from_slice(&bytes);
    start
}

/// Writes the length of the frame that began at `start` and ends where `out` ends.
///
/// # Errors
///
/// [`FrameError::TooLarge`] when the payload is over what the length field can say; the frame is then
/// taken out of `out` again.
pub fn finish_frame(out: &mut Vec<u8>, start: FrameStart) -> Result<(), FrameError> {
    let follows = out.len().saturating_sub(start.0 + LENGTH_BYTES);
    let Ok(length) = u32::try_from(follows) else {
        start.abandon(out);
        return Err(FrameError::TooLarge { length: follows as u64, frame_bytes_max: u32::MAX });
    };
    if let Some(field) = out.get_mut(start.0..start.0 + LENGTH_BYTES) {
        field.copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

/// Appends the header of a REPLY with code 0 to `out`; its payload is appended next.
pub fn begin_reply(out: &mut Vec<u8>, id: RequestId, codec: Codec, flags: u8) -> FrameStart {
    let kind = FrameKind::Reply;
    let header =
        FrameHeader { length: 0, kind, codec, flags, request_id: id, deadline_ms_or_code: 0 };
    begin_frame(out, &header)
}

/// Writes code and length of the REPLY that began at `start` and ends where `out` ends.
///
/// - `code`: 0 = ok; what the payload says otherwise.
///
/// # Errors
///
/// As [`finish_frame`].
pub fn finish_reply(out: &mut Vec<u8>, start: FrameStart, code: u16) -> Result<(), FrameError> {
    if let Some(field) = out.get_mut(start.0 + 12..start.0 + 14) {
        field.copy_from_slice(&code.to_be_bytes());
    }
    finish_frame(out, start)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u32 = 1024;

    #[track_caller]
    fn check(input: &[u8], expected: Result<Option<FrameHeader>, FrameError>) {
        assert_eq!(decode_header(input, LIMIT), expected);
    }

    /// A CALL's header announcing `length`.
    fn header(length: u32) -> Vec<u8> {
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend([1, 3, 0, 2, 0, 0, 0, 7, 0x01, 0x00, 0, 0]);
        bytes
    }

    /// What [`header`] means.
    fn call(length: u32) -> FrameHeader {
        FrameHeader {
            length,
            kind: FrameKind::Call,
            codec: Codec::MsgPack,
            flags: flag::WANTS_META,
            request_id: RequestId(7),
            deadline_ms_or_code: 256,
        }
    }

    /// [`header`] of no payload with one byte changed.
    fn with(index: usize, byte: u8) -> Vec<u8> {
        let mut bytes = header(LENGTH_MIN);
        bytes[index] = byte;
        bytes
    }

    #[test]
    fn header_cut_at_every_byte_asks_for_more() {
        for length in 0..HEADER_BYTES {
            check(&header(16)[..length], Ok(None));
        }
        check(&header(16), Ok(Some(call(16))));
    }

    #[test]
    fn length_at_both_limits_passes_and_one_beyond_is_refused() {
        check(&header(12), Ok(Some(call(12))));
        check(&header(11), Err(FrameError::TooShort { length: 11 }));
        check(&header(1024), Ok(Some(call(1024))));
        let refused = FrameError::TooLarge { length: 1025, frame_bytes_max: 1024 };
        check(&header(1025), Err(refused));
        assert_eq!((refused.code(), refused.skip()), (Code::TooLarge, None));
    }

    #[test]
    fn wrong_length_and_version_are_refused_before_the_header_is_whole() {
        check(&[0, 0, 0, 11], Err(FrameError::TooShort { length: 11 }));
        check(&[0, 0, 0, 12, 2], Err(FrameError::Version { version: 2 }));
        let get = FrameError::TooLarge { length: 0x4745_5420, frame_bytes_max: 1024 };
        check(b"GET /", Err(get));
    }

    #[test]
    fn foreign_version_and_reserved_bits_lose_the_connection() {
        check(&with(4, 0), Err(FrameError::Version { version: 0 }));
        check(&with(4, 2), Err(FrameError::Version { version: 2 }));
        assert_eq!(FrameError::Version { version: 2 }.code(), Code::Unsupported);
        check(&with(14, 1), Err(FrameError::Reserved { reserved: 256 }));
        check(&with(15, 1), Err(FrameError::Reserved { reserved: 1 }));
        assert_eq!(FrameError::Reserved { reserved: 1 }.code(), Code::Malformed);
        assert_eq!(FrameError::Reserved { reserved: 1 }.skip(), None);
    }

    #[test]
    fn unknown_kind_codec_and_flags_can_be_skipped_and_answered() {
        let skip = Skip { request_id: RequestId(7), frame_bytes: 16 };
        for kind in [0, 12, 255] {
            let error = FrameError::UnknownKind { kind, skip };
            check(&with(5, kind), Err(error));
            assert_eq!((error.code(), error.skip()), (Code::UnknownKind, Some(skip)));
        }
        let codec = FrameError::UnknownCodec { codec: 2, skip };
        check(&with(6, 2), Err(codec));
        assert_eq!((codec.code(), codec.skip()), (Code::Unsupported, Some(skip)));
        let flags = FrameError::UnknownFlags { flags: 4, skip };
        check(&with(7, 7), Err(flags));
        assert_eq!((flags.code(), flags.skip()), (Code::Unsupported, Some(skip)));
    }

    #[test]
    fn refused_frame_tells_its_codec_where_its_version_and_codec_are_known() {
        let json = |index: usize, byte: u8| {
            let mut bytes = with(6, 1);
            bytes[index] = byte;
            frame_codec(&bytes)
        };
        for (index, byte) in [(3, 11), (5, 77), (7, 255), (11, 0), (14, 1)] {
            assert_eq!(
                json(index, byte),
                Some(Codec::Json),
                "byte {index} says nothing of the codec"
            );
        }
        assert_eq!(json(6, 0), Some(Codec::MsgPack));
        assert_eq!((json(6, 2), json(4, 2)), (None, None));
        assert_eq!((frame_codec(&header(12)[..6]), frame_codec(&[])), (None, None));
        assert_eq!(frame_codec(&header(12)[..7]), Some(Codec::MsgPack));
    }

    #[test]
    fn each_kind_takes_its_own_flags_and_no_others() {
        for kind in FrameKind::ALL {
            assert_eq!(FrameKind::from_number(kind.number()), Some(*kind));
            for flags in 0..=u8::MAX {
                let mut bytes = with(5, kind.number());
                bytes[7] = flags;
                let takes = decode_header(&bytes, LIMIT).is_ok();
                let two = matches!(kind, FrameKind::Call | FrameKind::Reply);
                assert_eq!(takes, flags <= if two { 3 } else { 0 }, "{kind:?} {flags}");
            }
        }
    }

    #[test]
    fn requests_with_id_0_are_refused_and_pings_are_not() {
        for kind in FrameKind::ALL {
            let mut bytes = with(5, kind.number());
            bytes[7] = 0;
            bytes[11] = 0;
            let refused = decode_header(&bytes, LIMIT) == Err(FrameError::ZeroId);
            assert_eq!(refused, kind.needs_id(), "{kind:?}");
        }
        assert_eq!(FrameError::ZeroId.code(), Code::Malformed);
    }

    #[test]
    fn every_one_bit_flip_of_a_header_decodes_without_panic() {
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = header(16);
            bytes[bit / 8] ^= 1 << (bit % 8);
            let flipped = decode_header(&bytes, LIMIT);
            assert_ne!(flipped, Ok(Some(call(16))), "bit {bit} carries no meaning");
        }
    }

    #[test]
    fn frames_written_behind_each_other_read_back_with_their_lengths_and_codes() {
        let mut out = vec![0xff];
        let first = begin_reply(&mut out, RequestId(9), Codec::Json, flag::REPLAYED);
        out.extend_from_slice(b"{}");
        finish_reply(&mut out, first, 2101).unwrap();
        let second = begin_frame(&mut out, &call(0));
        finish_frame(&mut out, second).unwrap();

        let reply = decode_header(&out[1..], LIMIT).unwrap().unwrap();
        assert_eq!((reply.payload_bytes(), reply.frame_bytes()), (2, 18));
        assert_eq!((reply.code(), reply.flags, reply.codec), (2101, 1, Codec::Json));
        assert_eq!(decode_header(&out[19..], LIMIT), Ok(Some(call(12))));
        assert_eq!(call(12).deadline(), Some(Duration::from_millis(256)));
    }

    #[test]
    fn abandoned_frame_leaves_the_buffer_as_it_was() {
        let mut out = vec![1, 2, 3];
        let start = begin_reply(&mut out, RequestId(9), Codec::Json, 0);
        out.push(9);
        start.abandon(&mut out);
        assert_eq!(out, [1, 2, 3]);
    }
}
