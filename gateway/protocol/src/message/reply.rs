//! What the gateway sends when something did not go well: the body of a refusal, and GOAWAY.

use std::borrow::Cow;

use super::members::Members;
use crate::{Codec, PayloadError, Value, json, msgpack};

/// The payload of a REPLY whose code is not 0.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorBody<'a> {
    /// The code, the same as in the header: [`Code`](crate::Code) or a template's own.
    pub code: u16,
    /// For people; not to be matched on, but a template's own code has its name here.
    pub message: Cow<'a, str>,
    /// For programs, where the code alone does not say enough.
    pub details: Option<Value<'a>>,
}

impl<'a> ErrorBody<'a> {
    /// Decodes the payload.
    ///
    /// # Errors
    ///
    /// [`PayloadError`]; unknown members are not one.
    pub fn decode(codec: Codec, payload: &'a mut [u8]) -> Result<Self, PayloadError> {
        Self::from_value(codec.decode(payload)?)
    }

    /// Reads it from a decoded value: the body of a call in a batch's reply.
    ///
    /// # Errors
    ///
    /// As [`ErrorBody::decode`].
    pub fn from_value(value: Value<'a>) -> Result<Self, PayloadError> {
        let mut members = Members::open(value, "an error")?;
        let code = members.u64("code")?;
        let got = "a larger one";
        let wrong = PayloadError::Shape { place: "code", expected: "an integer of 16 bits", got };
        let code = u16::try_from(code).or(Err(wrong))?;
        Ok(Self { code, message: members.text("message")?, details: members.take("details") })
    }

    /// Appends the payload to `out`. Allocates only what `out` needs to grow.
    pub fn encode(&self, codec: Codec, out: &mut Vec<u8>) {
        match codec {
            Codec::MsgPack => {
                msgpack::write_map_header(out, 2 + usize::from(self.details.is_some()));
                msgpack::write_str(out, "code");
                msgpack::write_uint(out, self.code.into());
                msgpack::write_str(out, "message");
                msgpack::write_str(out, &self.message);
                if let Some(details) = &self.details {
                    msgpack::write_str(out, "details");
                    msgpack::write_value(out, details);
                }
            }
            Codec::Json => {
                out.extend_from_slice(br#"{"code":"#);
                json::write_uint(out, self.code.into());
                out.extend_from_slice(br#","message":"#);
                json::write_str(out, &self.message);
                if let Some(details) = &self.details {
                    out.extend_from_slice(br#","details":"#);
                    json::write_value(out, details);
                }
                out.push(b'}');
            }
        }
    }

    /// Copies what is borrowed.
    pub fn into_owned(self) -> ErrorBody<'static> {
        ErrorBody {
            code: self.code,
            message: Cow::Owned(self.message.into_owned()),
            details: self.details.map(Value::into_owned),
        }
    }
}

/// The payload of a GOAWAY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoAway<'a> {
    /// Why, for people.
    pub reason: Cow<'a, str>,
}

impl<'a> GoAway<'a> {
    /// Decodes the payload.
    ///
    /// # Errors
    ///
    /// [`PayloadError`]; unknown members are not one.
    pub fn decode(codec: Codec, payload: &'a mut [u8]) -> Result<Self, PayloadError> {
        let mut members = Members::open(codec.decode(payload)?, "GOAWAY")?;
        Ok(Self { reason: members.text("reason")? })
    }

    /// Appends the payload to `out`.
    pub fn encode(&self, codec: Codec, out: &mut Vec<u8>) {
        let reason = Value::Str(Cow::Borrowed(&self.reason));
        codec.encode(&Value::Map(vec![("reason".into(), reason)]), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error() -> ErrorBody<'static> {
        let details = Value::Map(vec![("param".into(), Value::Str("player_id".into()))]);
        ErrorBody { code: 2010, message: "parameter \"x\"".into(), details: Some(details) }
    }

    #[test]
    fn errors_and_goaways_read_back_in_both_codecs() {
        let plain = ErrorBody { details: None, ..error() };
        let goaway = GoAway { reason: "draining".into() };
        for codec in [Codec::MsgPack, Codec::Json] {
            for body in [error(), plain.clone()] {
                let mut bytes = Vec::new();
                body.encode(codec, &mut bytes);
                assert_eq!(ErrorBody::decode(codec, &mut bytes), Ok(body));
            }
            let mut bytes = Vec::new();
            goaway.encode(codec, &mut bytes);
            assert_eq!(GoAway::decode(codec, &mut bytes), Ok(goaway.clone()));
        }
    }

    #[test]
    fn error_code_at_16_bits_reads_and_one_more_is_refused() {
        let read = |json: &str| {
            ErrorBody::decode(Codec::Json, &mut json.as_bytes().to_vec()).map(|body| body.code)
        };
        assert_eq!(read(r#"{"code":65535,"message":""}"#), Ok(65535));
        assert!(read(r#"{"code":65536,"message":""}"#).is_err());
        assert_eq!(read(r#"{"message":""}"#), Err(PayloadError::Missing("code")));
        assert_eq!(read(r#"{"code":1}"#), Err(PayloadError::Missing("message")));
    }

    #[test]
    fn every_prefix_is_an_error_and_every_bit_flip_a_message_or_an_error() {
        for codec in [Codec::MsgPack, Codec::Json] {
            let mut bytes = Vec::new();
            error().encode(codec, &mut bytes);
            for length in 0..bytes.len() {
                assert!(ErrorBody::decode(codec, &mut bytes[..length].to_vec()).is_err());
                assert!(GoAway::decode(codec, &mut bytes[..length].to_vec()).is_err());
            }
            let (mut refused, mut read) = (0, 0);
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let readable = ErrorBody::decode(codec, &mut flipped).is_ok();
                *(if readable { &mut read } else { &mut refused }) += 1;
            }
            assert!(refused > 20 && read > 20, "{codec:?}: {refused} refused, {read} read");
        }
    }
}
