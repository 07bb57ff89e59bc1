//! The gateway's wire: frames, values and codes.
//!
//! Everything here is a pure function of its arguments: no socket, no clock, no thread. The gateway,
//! its client, its benchmarks and its tests share this one reading of the protocol.
//!
//! Invariant: every decoder is total. Any bytes give a value or an error, never a panic, and never
//! an allocation larger than the input itself justifies.

pub mod json;
pub mod msgpack;
pub mod message;
mod code;
mod frame;
mod id;
mod mac;
mod payload;
mod value;
#[cfg(test)]
mod vectors;

pub use code::{BusinessCode, Code};
pub use frame::{
    FrameError, FrameHeader, FrameKind, FrameStart, HEADER_BYTES, LENGTH_MIN, Skip, VERSION,
    begin_frame, begin_reply, decode_header, finish_frame, finish_reply, flag, frame_codec,
};
pub use id::{GameId, IdError, OpId, RequestId};
pub use mac::{HelloMac, MAC_BYTES, NONCE_BYTES};
pub use payload::{Codec, DEPTH_MAX, PayloadError};
pub use value::Value;
