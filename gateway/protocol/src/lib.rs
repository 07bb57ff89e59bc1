//! The gateway's wire: frames, values and codes.
//!
//! Everything here is a pure function of its arguments: no socket, no clock, no thread. The gateway,
//! its client, its benchmarks and its tests share this one reading of the protocol.
//!
//! Invariant: every decoder is total. Any bytes give a value or an error, never a panic, and never
//! an allocation larger than the input itself justifies.

mod code;
mod id;
mod value;

pub use code::{BusinessCode, Code};
pub use id::{GameId, IdError, OpId, RequestId};
pub use value::Value;
