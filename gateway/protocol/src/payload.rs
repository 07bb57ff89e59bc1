//! The two codecs of a payload, and why bytes are not one.

use crate::{Code, Value, json, msgpack};

/// Most containers inside each other that a decoder enters. A payload is at most `[game, op, {…}]`
/// around a `json` parameter, so this leaves about sixty levels to the document.
pub const DEPTH_MAX: usize = 64;

/// How a payload is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// MessagePack.
    #[default]
    MsgPack = 0,
    /// JSON: bytes are base64 strings.
    Json = 1,
}

impl Codec {
    /// Every codec.
    pub const ALL: &'static [Self] = &[Self::MsgPack, Self::Json];

    /// The codec of that number in a header; `None` for a number that this version does not know.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::MsgPack),
            1 => Some(Self::Json),
            _ => None,
        }
    }

    /// The number in a header.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Decodes one whole value.
    ///
    /// - `payload`: exactly one value. JSON is unescaped in place, so the bytes are not the same after.
    ///
    /// # Errors
    ///
    /// [`PayloadError`] when the bytes are not one value of this codec, or something follows it.
    pub fn decode(self, payload: &mut [u8]) -> Result<Value<'_>, PayloadError> {
        match self {
            Self::MsgPack => msgpack::decode(payload),
            Self::Json => json::decode(payload),
        }
    }

    /// Appends `value` to `out`. Allocates only what `out` needs to grow.
    pub fn encode(self, value: &Value<'_>, out: &mut Vec<u8>) {
        match self {
            Self::MsgPack => msgpack::write_value(out, value),
            Self::Json => json::write_value(out, value),
        }
    }
}

/// Why a payload could not be read. The frame around it is sound, so the connection lives.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// The bytes end inside a value.
    #[error("the payload ends inside a value")]
    Truncated,
    /// Bytes follow the value.
    #[error("{bytes} bytes follow the value")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// Containers inside each other, deeper than [`DEPTH_MAX`].
    #[error("more than {DEPTH_MAX} levels of lists and maps")]
    Depth,
    /// A MessagePack extension type, or the byte that MessagePack never uses.
    #[error("type byte {0:#04x} is not used by this protocol")]
    TypeByte(u8),
    /// A string that is not UTF-8.
    #[error("a string is not UTF-8")]
    Utf8(#[source] std::str::Utf8Error),
    /// A map's key is not a string.
    #[error("a map has {0} for a key")]
    Key(&'static str),
    /// Not JSON.
    #[error("not JSON: {0}")]
    Json(Box<str>),
    /// A value where another is needed.
    #[error("{place} must be {expected}, got {got}")]
    Shape {
        /// Where.
        place: &'static str,
        /// What belongs there.
        expected: &'static str,
        /// What stands there.
        got: &'static str,
    },
    /// A member that must be there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A member that must not be there, or stands twice; its name, cut at 64 characters.
    #[error("`{0}` is unknown or given twice")]
    Unexpected(Box<str>),
    /// More calls in one BATCH than the reader takes.
    #[error("{count} calls in a batch, {count_max} at most")]
    BatchTooLong {
        /// How many were announced.
        count: usize,
        /// The bound.
        count_max: usize,
    },
}

impl PayloadError {
    /// The code on the wire.
    pub const fn code(&self) -> Code {
        match self {
            Self::Truncated
            | Self::Trailing { .. }
            | Self::Depth
            | Self::TypeByte(_)
            | Self::Utf8(_)
            | Self::Key(_)
            | Self::Json(_)
            | Self::Shape { .. }
            | Self::Missing(_)
            | Self::Unexpected(_) => Code::Malformed,
            Self::BatchTooLong { .. } => Code::TooLarge,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_have_the_numbers_of_the_protocol_and_no_other_exists() {
        assert_eq!(Codec::from_number(0), Some(Codec::MsgPack));
        assert_eq!(Codec::from_number(1), Some(Codec::Json));
        assert!((2..=255).all(|number| Codec::from_number(number).is_none()));
        assert_eq!((Codec::MsgPack.number(), Codec::Json.number()), (0, 1));
    }

    #[test]
    fn payload_faults_are_malformed_but_a_long_batch_is_too_large() {
        assert_eq!(PayloadError::Truncated.code(), Code::Malformed);
        let long = PayloadError::BatchTooLong { count: 2, count_max: 1 };
        assert_eq!(long.code(), Code::TooLarge);
    }
}
