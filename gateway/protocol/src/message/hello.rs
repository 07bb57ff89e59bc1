//! The first two messages of a connection: HELLO and WELCOME.

use std::borrow::Cow;

use super::members::Members;
use crate::{Codec, PayloadError, Value};

/// Who connects, for which game, and how that is proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// A name for the log: the server's, the program's.
    pub client: Cow<'a, str>,
    /// The game of calls that name none.
    pub game: Option<Cow<'a, str>>,
    /// The proof.
    pub auth: Auth<'a>,
}

/// A credential.
#[derive(Clone, PartialEq, Eq)]
pub enum Auth<'a> {
    /// An API key.
    ApiKey(Cow<'a, str>),
    /// A JSON Web Token.
    Jwt(Cow<'a, str>),
    /// A code made with a shared key; see [`HelloMac`](crate::HelloMac).
    Mac {
        /// Which key.
        key_id: Cow<'a, str>,
        /// Seconds since 1970-01-01T00:00:00Z.
        time: u64,
        /// 16 bytes; the length is checked by who verifies.
        nonce: Cow<'a, [u8]>,
        /// 32 bytes; likewise.
        mac: Cow<'a, [u8]>,
    },
}

/// Shows the kind and never the secret.
impl std::fmt::Debug for Auth<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ApiKey(_) => f.write_str("ApiKey(..)"),
            Self::Jwt(_) => f.write_str("Jwt(..)"),
            Self::Mac { key_id, time, .. } => f
                .debug_struct("Mac")
                .field("key_id", key_id)
                .field("time", time)
                .finish_non_exhaustive(),
        }
    }
}

impl<'a> Hello<'a> {
    /// Decodes a HELLO's payload.
    ///
    /// # Errors
    ///
    /// [`PayloadError`]; a member that is unknown or stands twice is one.
    pub fn decode(codec: Codec, payload: &'a mut [u8]) -> Result<Self, PayloadError> {
        let mut members = Members::open(codec.decode(payload)?, "HELLO")?;
        let client = members.text("client")?;
        let game = members.text_if_any("game")?;
        let auth = members.take("auth").ok_or(PayloadError::Missing("auth"))?;
        members.end()?;
        Ok(Self { client, game, auth: Auth::from_value(auth)? })
    }

    /// Appends the payload to `out`.
    pub fn encode(&self, codec: Codec, out: &mut Vec<u8>) {
        let mut entries = vec![("client".into(), text(&self.client))];
        if let Some(game) = &self.game {
            entries.push(("game".into(), text(game)));
        }
        entries.push(("auth".into(), self.auth.to_value()));
        codec.encode(&Value::Map(entries), out);
    }
}

impl<'a> Auth<'a> {
    fn from_value(value: Value<'a>) -> Result<Self, PayloadError> {
        let mut members = Members::open(value, "auth")?;
        let auth = if let Some(api_key) = members.text_if_any("api_key")? {
            Self::ApiKey(api_key)
        } else if let Some(jwt) = members.text_if_any("jwt")? {
            Self::Jwt(jwt)
        } else if let Some(key_id) = members.text_if_any("key_id")? {
            let (time, nonce) = (members.u64("time")?, members.bytes("nonce")?);
            Self::Mac { key_id, time, nonce, mac: members.bytes("mac")? }
        } else {
            return Err(PayloadError::Missing("api_key, jwt or key_id"));
        };
        members.end()?;
        Ok(auth)
    }

    fn to_value(&self) -> Value<'_> {
        Value::Map(match self {
            Self::ApiKey(key) => vec![("api_key".into(), text(key))],
            Self::Jwt(token) => vec![("jwt".into(), text(token))],
            Self::Mac { key_id, time, nonce, mac } => vec![
                ("key_id".into(), text(key_id)),
                ("time".into(), uint(*time)),
                ("nonce".into(), Value::Bytes(Cow::Borrowed(nonce))),
                ("mac".into(), Value::Bytes(Cow::Borrowed(mac))),
            ],
        })
    }
}

/// The gateway's answer to a good HELLO: what it is, and what it allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome<'a> {
    /// The gateway's name.
    pub server: Cow<'a, str>,
    /// The gateway's version.
    pub version: Cow<'a, str>,
    /// A hash of the catalog in use: equal hashes, equal templates.
    pub catalog: Cow<'a, str>,
    /// Silence longer than two of these, in ms, closes the connection.
    pub heartbeat_ms: u32,
    /// The largest length field that the gateway takes.
    pub frame_bytes_max: u32,
    /// Calls in flight, beyond which the gateway stops reading.
    pub inflight_max: u32,
}

impl<'a> Welcome<'a> {
    /// Decodes a WELCOME's payload.
    ///
    /// # Errors
    ///
    /// [`PayloadError`]; unknown members are not one.
    pub fn decode(codec: Codec, payload: &'a mut [u8]) -> Result<Self, PayloadError> {
        let mut members = Members::open(codec.decode(payload)?, "WELCOME")?;
        Ok(Self {
            server: members.text("server")?,
            version: members.text("version")?,
            catalog: members.text("catalog")?,
            heartbeat_ms: members.u32("heartbeat_ms")?,
            frame_bytes_max: members.u32("frame_bytes_max")?,
            inflight_max: members.u32("inflight_max")?,
        })
    }

    /// Appends the payload to `out`.
    pub fn encode(&self, codec: Codec, out: &mut Vec<u8>) {
        let entries = vec![
            ("server".into(), text(&self.server)),
            ("version".into(), text(&self.version)),
            ("catalog".into(), text(&self.catalog)),
            ("heartbeat_ms".into(), Value::Int(self.heartbeat_ms.into())),
            ("frame_bytes_max".into(), Value::Int(self.frame_bytes_max.into())),
            ("inflight_max".into(), Value::Int(self.inflight_max.into())),
        ];
        codec.encode(&Value::Map(entries), out);
    }

    /// Copies what is borrowed.
    pub fn into_owned(self) -> Welcome<'static> {
        Welcome {
            server: Cow::Owned(self.server.into_owned()),
            version: Cow::Owned(self.version.into_owned()),
            catalog: Cow::Owned(self.catalog.into_owned()),
            heartbeat_ms: self.heartbeat_ms,
            frame_bytes_max: self.frame_bytes_max,
            inflight_max: self.inflight_max,
        }
    }
}

fn text(text: &str) -> Value<'_> {
    Value::Str(Cow::Borrowed(text))
}

fn uint(number: u64) -> Value<'static> {
    i64::try_from(number).map_or(Value::UInt(number), Value::Int)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(auth: Auth<'static>) -> Hello<'static> {
        Hello { client: "arena-1".into(), game: Some("game1".into()), auth }
    }

    fn mac() -> Auth<'static> {
        let (nonce, mac) = (vec![1; 16].into(), vec![2; 32].into());
        Auth::Mac { key_id: "gs1".into(), time: 1_700_000_000, nonce, mac }
    }

    fn welcome() -> Welcome<'static> {
        Welcome {
            server: "gateway".into(),
            version: "0.1.0".into(),
            catalog: "00ff".into(),
            heartbeat_ms: 15_000,
            frame_bytes_max: 1 << 20,
            inflight_max: u32::MAX,
        }
    }

    #[track_caller]
    fn refused(json: &str, expected: &PayloadError) {
        let mut bytes = json.as_bytes().to_vec();
        assert_eq!(Hello::decode(Codec::Json, &mut bytes).as_ref(), Err(expected), "{json}");
    }

    #[test]
    fn hello_reads_back_in_both_codecs_with_each_credential() {
        for codec in [Codec::MsgPack, Codec::Json] {
            for auth in [Auth::ApiKey("k".into()), Auth::Jwt("a.b.c".into()), mac()] {
                let mut bytes = Vec::new();
                hello(auth.clone()).encode(codec, &mut bytes);
                assert_eq!(Hello::decode(codec, &mut bytes), Ok(hello(auth)));
            }
        }
    }

    #[test]
    fn welcome_reads_back_in_both_codecs_and_ignores_what_it_does_not_know() {
        for codec in [Codec::MsgPack, Codec::Json] {
            let mut bytes = Vec::new();
            welcome().encode(codec, &mut bytes);
            assert_eq!(Welcome::decode(codec, &mut bytes), Ok(welcome()));
        }
        let mut bytes = Vec::new();
        welcome().encode(Codec::Json, &mut bytes);
        bytes.pop();
        bytes.extend_from_slice(br#","region":"eu"}"#);
        assert_eq!(Welcome::decode(Codec::Json, &mut bytes), Ok(welcome()));
    }

    #[test]
    fn hello_with_a_member_too_few_or_too_many_is_refused() {
        refused("[]", &PayloadError::Shape { place: "HELLO", expected: "a map", got: "a list" });
        refused(r#"{"auth":{"jwt":"x"}}"#, &PayloadError::Missing("client"));
        refused(r#"{"client":"c"}"#, &PayloadError::Missing("auth"));
        refused(r#"{"client":"c","auth":{}}"#, &PayloadError::Missing("api_key, jwt or key_id"));
        refused(r#"{"client":"c","auth":{"key_id":"k"}}"#, &PayloadError::Missing("time"));
        refused(
            r#"{"client":"c","gmae":"g","auth":{"jwt":"x"}}"#,
            &PayloadError::Unexpected("gmae".into()),
        );
        refused(
            r#"{"client":"c","game":"a","game":"b","auth":{"jwt":"x"}}"#,
            &PayloadError::Unexpected("game".into()),
        );
        refused(
            r#"{"client":"c","auth":{"jwt":"x","api_key":"y"}}"#,
            &PayloadError::Unexpected("jwt".into()),
        );
        let wrong = |got| PayloadError::Shape { place: "game", expected: "a string", got };
        refused(r#"{"client":"c","game":7,"auth":{"jwt":"x"}}"#, &wrong("an integer"));
        refused(
            r#"{"client":"c","auth":{"key_id":"k","time":-1,"nonce":"","mac":""}}"#,
            &PayloadError::Shape {
                place: "time",
                expected: "an integer, not negative",
                got: "an integer",
            },
        );
        refused(
            r#"{"client":"c","auth":{"key_id":"k","time":1,"nonce":"!","mac":""}}"#,
            &PayloadError::Shape { place: "nonce", expected: "base64", got: "another text" },
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?} {:?}", hello(Auth::ApiKey("s3cret".into())), hello(mac()));
        assert!(!shown.contains("s3cret") && !shown.contains("nonce"), "{shown}");
        assert!(shown.contains("gs1"), "{shown}");
    }

    #[test]
    fn every_prefix_is_an_error_and_every_bit_flip_a_message_or_an_error() {
        for codec in [Codec::MsgPack, Codec::Json] {
            let (mut one, mut two) = (Vec::new(), Vec::new());
            hello(mac()).encode(codec, &mut one);
            welcome().encode(codec, &mut two);
            for length in 0..one.len() {
                assert!(Hello::decode(codec, &mut one[..length].to_vec()).is_err(), "{length}");
            }
            for length in 0..two.len() {
                assert!(Welcome::decode(codec, &mut two[..length].to_vec()).is_err(), "{length}");
            }
            let (mut refused, mut read) = (0, 0);
            for bytes in [one, two] {
                for bit in 0..bytes.len() * 8 {
                    let (mut a, mut b) = (bytes.clone(), bytes.clone());
                    a[bit / 8] ^= 1 << (bit % 8);
                    b[bit / 8] ^= 1 << (bit % 8);
                    let readable = Hello::decode(codec, &mut a).is_ok()
                        || Welcome::decode(codec, &mut b).is_ok();
                    *(if readable { &mut read } else { &mut refused }) += 1;
                }
            }
            assert!(refused > 100 && read > 100, "{codec:?}: {refused} refused, {read} read");
        }
    }
}
