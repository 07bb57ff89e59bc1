//! `gateway call`: an operation, from the shell, the way a game server calls it.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use gateway_client::{Client, ClientError, Codec, Credential, Options, Request, Value};
use gateway_protocol::json;

use super::output::{Outcome, chain};

/// Exit status when the gateway answered an error.
const EXIT_REFUSED: u8 = 1;
/// Exit status when it could not be asked, or did not answer; also of a command line that is wrong.
const EXIT_UNASKED: u8 = 2;

/// `gateway call`.
#[derive(Args, Clone, Debug)]
pub(super) struct CallArgs {
    /// The gateway's TCP address.
    #[arg(long, default_value = "127.0.0.1:8080")]
    address: String,
    /// An API key.
    #[arg(long, env = "GATEWAY_API_KEY", hide_env_values = true)]
    key: Option<String>,
    /// A JSON Web Token.
    #[arg(long, env = "GATEWAY_TOKEN", hide_env_values = true, conflicts_with = "key")]
    token: Option<String>,
    /// A game server's key id, with its secret.
    #[arg(long, requires = "secret", conflicts_with_all = ["key", "token"])]
    key_id: Option<String>,
    /// The game server's secret.
    #[arg(long, env = "GATEWAY_SERVER_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// Give up after so many milliseconds, 1 at least.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..))]
    deadline_ms: u64,
    /// Payloads in JSON instead of MessagePack.
    #[arg(long)]
    json_codec: bool,
    /// Also print what the gateway says of the reply itself: the template's version, what the cache did,
    /// whether it was a dry run; and whether it is a replay.
    #[arg(long)]
    meta: bool,
    /// Have a write done, answered and undone.
    #[arg(long)]
    dry_run: bool,
    /// The game.
    game: String,
    /// The operation, `player.get`.
    operation: String,
    /// Parameters, `name=value`. A value that is JSON is sent as it (`7`, `[1,2]`, `null`), any other as text;
    /// `name:=text` always sends text.
    params: Vec<String>,
}

/// Calls and prints the result as JSON.
pub(super) fn run(args: &CallArgs) -> Outcome {
    match call(args) {
        Ok(Some(text)) => Outcome::ok(text),
        Ok(None) => Outcome::failed(
            EXIT_UNASKED,
            "gateway call: give --key, --token, or --key-id with --secret\n",
        ),
        Err(ClientError::Refused(refused)) => {
            let mut text = format!("{} {}\n", refused.code, refused.message);
            if let Some(details) = &refused.details {
                text.push_str(&shown(details));
                text.push('\n');
            }
            Outcome::failed(EXIT_REFUSED, text)
        }
        Err(error) => {
            let text = format!("gateway call: {}: {}\n", args.address, chain(&error));
            Outcome::failed(EXIT_UNASKED, text)
        }
    }
}

/// `None`: no credential was given.
fn call(args: &CallArgs) -> Result<Option<String>, ClientError> {
    let credential = match (&args.key, &args.token, &args.key_id, &args.secret) {
        (Some(key), ..) => Credential::ApiKey(key.clone()),
        (None, Some(token), ..) => Credential::Jwt(token.clone()),
        (None, None, Some(key_id), Some(secret)) => {
            Credential::SharedKey { key_id: key_id.clone(), key: secret.clone().into_bytes() }
        }
        _ => return Ok(None),
    };
    let deadline = Duration::from_millis(args.deadline_ms);
    let options = Options {
        codec: if args.json_codec { Codec::Json } else { Codec::MsgPack },
        connect_timeout: deadline,
        call_timeout: deadline,
        ..Options::new("gateway-call", &args.game, credential)
    };
    let params: Vec<(&str, Value<'_>)> = args.params.iter().map(|text| param(text)).collect();
    let mut client = Client::connect(args.address.as_str(), options)?;
    let request = Request {
        deadline: Some(deadline),
        wants_meta: args.meta,
        dry_run: args.dry_run,
        ..Request::new(&args.operation, &params)
    };
    let reply = client.request(&request)?;
    let mut text = String::new();
    if let Some(mut meta) = reply.meta {
        if let Value::Map(members) = &mut meta {
            members.push(("replayed".into(), reply.replayed.into()));
        }
        // Writing to a string does not fail.
        let _written = writeln!(text, "{}", shown(&meta));
    }
    let _written = writeln!(text, "{}", shown(&reply.value));
    Ok(Some(text))
}

/// `name=value` as a parameter.
fn param(text: &str) -> (&str, Value<'static>) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    if let Some(name) = name.strip_suffix(':') {
        return (name, Value::Str(value.to_owned().into()));
    }
    let mut bytes = value.as_bytes().to_vec();
    let parsed = json::decode(&mut bytes).map(Value::into_owned);
    (name, parsed.unwrap_or_else(|_not_json| Value::Str(value.to_owned().into())))
}

fn shown(value: &Value<'_>) -> String {
    let mut out = Vec::new();
    json::write_value(&mut out, value);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_json_are_sent_as_such_and_others_as_text() {
        assert_eq!(param("id=7"), ("id", Value::Int(7)));
        assert_eq!(param("id:=7"), ("id", Value::Str("7".into())));
        assert_eq!(param("name=Zed"), ("name", Value::Str("Zed".into())));
        assert_eq!(param("ids=[1,2]"), ("ids", Value::Array(vec![Value::Int(1), Value::Int(2)])));
        assert_eq!(param("gone=null"), ("gone", Value::Null));
        assert_eq!(param("bare"), ("bare", Value::Str("".into())));
    }
}
