//! The same call over every transport.

use serde_json::{Value, json};

use crate::credential::Credential;
use crate::gateway::Gateway;
use crate::wire::{CALL, Codec, REPLY};

/// A way to call an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP with MessagePack.
    TcpMsgpack,
    /// TCP with JSON.
    TcpJson,
    /// `POST /v1/{game}/call/{operation}`.
    Http,
}

impl Transport {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::TcpMsgpack, Self::TcpJson, Self::Http];
}

/// What an operation answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// 0, or the code of a refusal.
    pub code: u16,
    /// The result, or the refusal's body.
    pub body: Value,
    /// HTTP's status; `None` on TCP.
    pub status: Option<u16>,
}

impl Transport {
    /// Calls an operation once, over a new connection.
    #[track_caller]
    pub fn call(
        self,
        gateway: &Gateway<'_>,
        credential: &Credential,
        game: &str,
        operation: &str,
        params: &Value,
    ) -> Answer {
        match self {
            Self::TcpMsgpack => tcp(gateway, Codec::Msgpack, credential, game, (operation, params)),
            Self::TcpJson => tcp(gateway, Codec::Json, credential, game, (operation, params)),
            Self::Http => http(gateway, credential, game, operation, params),
        }
    }
}

#[track_caller]
fn tcp(
    gateway: &Gateway<'_>,
    codec: Codec,
    credential: &Credential,
    game: &str,
    call: (&str, &Value),
) -> Answer {
    let mut wire = gateway.tcp();
    wire.codec = codec;
    let welcome = wire.try_hello("game1", credential);
    if welcome.kind == REPLY {
        return Answer { code: welcome.number, body: welcome.value(), status: None };
    }
    let frame = wire.request(CALL, &json!([game, call.0, call.1]));
    let reply = wire.exchange(&frame);
    assert_eq!((reply.kind, reply.id), (REPLY, frame.id), "{}", reply.value());
    Answer { code: reply.number, body: reply.value(), status: None }
}

#[track_caller]
fn http(
    gateway: &Gateway<'_>,
    credential: &Credential,
    game: &str,
    operation: &str,
    params: &Value,
) -> Answer {
    let target = format!("/v1/{game}/call/{operation}");
    let reply = gateway.http().send_json("POST", &target, &credential.headers(), params);
    let code = if reply.status < 300 { 0 } else { reply.code() };
    Answer { code, body: reply.json(), status: Some(reply.status) }
}

/// Calls an operation over every transport; the answers have to agree in code, and results, where there is
/// one, in content up to the form of 64-bit numbers, which JSON carries as strings.
#[track_caller]
pub fn call_everywhere(
    gateway: &Gateway<'_>,
    credential: &Credential,
    game: &str,
    operation: &str,
    params: &Value,
) -> Answer {
    let answers = Transport::ALL.map(|it| it.call(gateway, credential, game, operation, params));
    let [msgpack, json, http] = answers;
    let told = format!("{game} {operation} {params}: {msgpack:?}, {json:?}, {http:?}");
    assert!(msgpack.code == json.code && json.code == http.code, "{told}");
    if http.code == 0 {
        assert_eq!(json.body, http.body, "{told}");
        assert_eq!(with_numbers_as_text(&msgpack.body), with_numbers_as_text(&http.body), "{told}");
    }
    http
}

/// Every number as its text, so that 7 and "7" compare equal.
fn with_numbers_as_text(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.to_string()),
        Value::Array(items) => items.iter().map(with_numbers_as_text).collect(),
        Value::Object(entries) => Value::Object(
            entries
                .iter()
                .map(|(name, value)| (name.clone(), with_numbers_as_text(value)))
                .collect(),
        ),
        other => other.clone(),
    }
}
