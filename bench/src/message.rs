//! What a connection sends and what it counts as an answer.

use std::io::Write as _;

use anyhow::Context as _;
use gateway_protocol::message::{Auth, Hello, write_call};
use gateway_protocol::{
    Codec, FrameHeader, FrameKind, RequestId, Value, begin_frame, decode_header, finish_frame,
};

use crate::LoadArgs;
use crate::echo::MESSAGE_BYTES;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// 64 bytes, echoed.
    Echo,
    /// One operation.
    Call,
    /// Orders, each with a number of its own: `order_no`, `player_id`, `item_id`, `amount`, `price_cents`.
    Order,
    /// A transfer of gold between two players: `request_id`, `from_player`, `to_player`, `amount`.
    Transfer,
    /// Connections that log in and then say nothing.
    Idle,
    /// `GET` of a path over HTTP/1.1.
    Http,
    /// `GET` of a key, as Redis takes it.
    Redis,
}

impl Mode {
    /// Whether a connection logs in with a HELLO.
    const fn is_gateway(self) -> bool {
        !matches!(self, Self::Echo | Self::Http | Self::Redis)
    }
}

/// An answer that has come whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Its bytes.
    pub(crate) length: usize,
    /// Why it is none that was hoped for: the gateway's code, the status of HTTP, 1 of Redis.
    pub(crate) error: Option<u16>,
}

/// Largest frame that is taken for one.
const FRAME_BYTES_MAX: u32 = 16 << 20;

fn frame(kind: FrameKind, id: u32, write: impl FnOnce(&mut Vec<u8>)) -> anyhow::Result<Vec<u8>> {
    let header = FrameHeader {
        length: 0,
        kind,
        codec: Codec::MsgPack,
        flags: 0,
        request_id: RequestId(id),
        deadline_ms_or_code: 0,
    };
    let mut out = Vec::new();
    let start = begin_frame(&mut out, &header);
    write(&mut out);
    finish_frame(&mut out, start)?;
    Ok(out)
}

/// The connection's first frame; `None` where there is none.
pub(crate) fn hello(args: &LoadArgs) -> anyhow::Result<Option<Vec<u8>>> {
    if !args.mode.is_gateway() {
        return Ok(None);
    }
    let hello = Hello {
        client: "gateway-bench".into(),
        game: Some(args.game.as_str().into()),
        auth: Auth::ApiKey(args.api_key.as_str().into()),
    };
    frame(FrameKind::Hello, 1, |out| hello.encode(Codec::MsgPack, out)).map(Some)
}

/// Appends one request; `seed` picks the value that varies.
pub(crate) fn request(
    args: &LoadArgs,
    id: u32,
    seed: u64,
    out: &mut Vec<u8>,
) -> anyhow::Result<()> {
    if args.mode == Mode::Echo {
        out.extend_from_slice(&[0x55; MESSAGE_BYTES]);
        return Ok(());
    }
    let count = args.count.unsigned_abs().max(1);
    let value = args.first + i64::try_from(seed % count)?;
    match args.mode {
        Mode::Http => {
            let path = args.path.replacen("{}", &value.to_string(), 1);
            write!(out, "GET {path} HTTP/1.1\r\nHost: localhost\r\n")?;
            if !args.token.is_empty() {
                write!(out, "Authorization: Bearer {}\r\n", args.token)?;
            }
            out.extend_from_slice(b"\r\n");
            return Ok(());
        }
        Mode::Redis => {
            let key = args.path.replacen("{}", &value.to_string(), 1);
            write!(out, "*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len())?;
            return Ok(());
        }
        _ => {}
    }
    if args.mode == Mode::Call {
        return call(args, id, &[(args.param.as_str(), Value::Int(value))], out);
    }
    let number = format!("{}{:08x}{id:08x}", args.prefix, args.connection);
    if args.mode == Mode::Order {
        let params = [
            ("order_no", Value::Str(number.into())),
            ("player_id", Value::Int(value)),
            ("item_id", Value::Int(i64::from(id % 500))),
            ("amount", Value::Int(1)),
            ("price_cents", Value::Int(600)),
        ];
        return call(args, id, &params, out);
    }
    // Never the same player on both sides, and never the lower id first by habit.
    let other = args.first + (value - args.first + 1 + i64::from(id % 97)) % args.count.max(2);
    let params = [
        ("request_id", Value::Str(number.into())),
        ("from_player", Value::Int(value)),
        ("to_player", Value::Int(other)),
        ("amount", Value::Int(1)),
    ];
    call(args, id, &params, out)
}

fn call(
    args: &LoadArgs,
    id: u32,
    params: &[(&str, Value<'_>)],
    out: &mut Vec<u8>,
) -> anyhow::Result<()> {
    out.extend(frame(FrameKind::Call, id, |out| {
        write_call(out, Codec::MsgPack, None, &args.operation, params);
    })?);
    Ok(())
}

/// The first answer in `bytes`. `None`: not whole yet.
pub(crate) fn answer(mode: Mode, bytes: &[u8]) -> anyhow::Result<Option<Answer>> {
    match mode {
        Mode::Echo => {
            let answer = Answer { length: MESSAGE_BYTES, error: None };
            Ok((bytes.len() >= MESSAGE_BYTES).then_some(answer))
        }
        Mode::Http => http_answer(bytes),
        Mode::Redis => redis_answer(bytes),
        _ => {
            let Some(header) = decode_header(bytes, FRAME_BYTES_MAX)? else { return Ok(None) };
            let length = header.frame_bytes();
            let error = match header.kind {
                FrameKind::Welcome => None,
                FrameKind::Reply => Some(header.code()).filter(|code| *code != 0),
                // GOAWAY and the like: not what was asked for.
                _ => Some(u16::MAX),
            };
            Ok((bytes.len() >= length).then_some(Answer { length, error }))
        }
    }
}

/// A response with a `Content-Length` (RFC 9112, section 6).
fn http_answer(bytes: &[u8]) -> anyhow::Result<Option<Answer>> {
    let Some(head_end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(bytes.get(..head_end).unwrap_or_default())?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status line")?;
    let status: u16 = status.parse()?;
    let length = lines.filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    let length = head_end + 4 + length.context("a response without Content-Length")??;
    let error = Some(status).filter(|status| *status != 200);
    Ok((bytes.len() >= length).then_some(Answer { length, error }))
}

/// A bulk string: `$5\r\nhello\r\n`; nil and errors are none that was hoped for.
fn redis_answer(bytes: &[u8]) -> anyhow::Result<Option<Answer>> {
    let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
    let line = std::str::from_utf8(bytes.get(..end).unwrap_or_default())?;
    let Some(count) = line.strip_prefix('$').and_then(|count| count.parse::<usize>().ok()) else {
        return Ok(Some(Answer { length: end + 2, error: Some(1) }));
    };
    let length = end + 2 + count + 2;
    Ok((bytes.len() >= length).then_some(Answer { length, error: None }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(mode: Mode, bytes: &[u8], expected: (usize, Option<u16>)) {
        let (length, error) = expected;
        assert_eq!(answer(mode, bytes).unwrap(), Some(Answer { length, error }));
        let short = bytes.get(..length - 1).unwrap();
        assert_eq!(answer(mode, short).unwrap(), None, "one byte less");
    }

    #[test]
    fn response_ends_where_its_length_says_and_another_status_is_an_error() {
        check(Mode::Http, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP", (40, None));
        let refused = b"HTTP/1.1 503 Busy\r\nA: b\r\nContent-Length:0\r\n\r\n";
        check(Mode::Http, refused, (refused.len(), Some(503)));
        assert!(answer(Mode::Http, b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn bulk_string_is_an_answer_and_nil_an_error() {
        check(Mode::Redis, b"$5\r\nhello\r\n$", (11, None));
        check(Mode::Redis, b"$-1\r\n", (5, Some(1)));
        check(Mode::Redis, b"-ERR no\r\n", (9, Some(1)));
    }
}
