//! What a connection sends and what it counts as an answer.

use std::fmt;
use std::io::Write as _;
use std::str::FromStr;

use anyhow::Context as _;
use clap::ValueEnum as _;
use gateway_protocol::message::{Auth, Hello, write_call};
use gateway_protocol::{
    Codec, FrameHeader, FrameKind, HEADER_BYTES, RequestId, Value, begin_frame, decode_header,
    finish_frame, msgpack,
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
    /// A connection, a HELLO and eight calls, over and over.
    Login,
    /// Connections that log in and then say nothing.
    Idle,
    /// Connections that ask for a path over HTTP/1.1 once, and then say nothing.
    IdleHttp,
    /// `GET` of a path over HTTP/1.1, or `POST` where there is a body.
    Http,
    /// `GET` of a key, as Redis takes it.
    Redis,
}

impl Mode {
    /// As the option has it.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Whether a connection logs in with a HELLO.
    const fn is_gateway(self) -> bool {
        !matches!(self, Self::Echo | Self::Http | Self::IdleHttp | Self::Redis)
    }

    /// Whether connections say nothing once they stand.
    pub(crate) const fn is_idle(self) -> bool {
        matches!(self, Self::Idle | Self::IdleHttp)
    }
}

/// An answer that has come whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Its bytes.
    pub(crate) length: usize,
    /// Why calls in it are none that were hoped for: the gateway's code, the status of HTTP, 1 of Redis.
    pub(crate) errors: Vec<u16>,
}

impl Answer {
    fn new(length: usize, error: Option<u16>) -> Self {
        Self { length, errors: error.into_iter().collect() }
    }
}

/// Operations, and how often each is called: `player.get=80,player.read=20`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mix {
    /// Each with the sum of the weights up to it.
    operations: Vec<(Box<str>, u64)>,
}

impl FromStr for Mix {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (mut operations, mut sum) = (Vec::new(), 0_u64);
        for part in text.split(',') {
            let (name, weight) = part.split_once('=').unwrap_or((part, "1"));
            let weight: u32 = weight.parse().with_context(|| format!("the weight of {name}"))?;
            anyhow::ensure!(weight > 0, "{name} has no weight");
            sum += u64::from(weight);
            operations.push((name.into(), sum));
        }
        Ok(Self { operations })
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = 0;
        for (name, up_to) in &self.operations {
            let comma = if before == 0 { "" } else { "," };
            write!(f, "{comma}{name}={}", up_to - before)?;
            before = *up_to;
        }
        Ok(())
    }
}

impl Mix {
    /// One of them.
    fn pick(&self, seed: u64) -> &str {
        let sum = self.operations.last().map_or(1, |(_, sum)| *sum);
        let place = seed % sum;
        let found = self.operations.iter().find(|(_, up_to)| place < *up_to);
        found.map_or("", |(name, _)| name)
    }
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

/// What a connection sends first, to be answered before anything is measured; `None`: nothing.
pub(crate) fn hello(args: &LoadArgs) -> anyhow::Result<Option<Vec<u8>>> {
    if args.mode == Mode::IdleHttp {
        let mut out = Vec::new();
        request(args, 1, 0, &mut out)?;
        return Ok(Some(out));
    }
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
        Mode::Http | Mode::IdleHttp => {
            return http(args, id, value, out);
        }
        Mode::Redis => {
            let key = args.path.replacen("{}", &value.to_string(), 1);
            write!(out, "*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len())?;
            return Ok(());
        }
        _ => {}
    }
    if args.mode == Mode::Call && args.batch > 1 {
        return batch(args, id, seed, out);
    }
    if matches!(args.mode, Mode::Call | Mode::Login) {
        return call(args, (id, seed), &[(args.param.as_str(), Value::Int(value))], out);
    }
    let number = number(args, id);
    if args.mode == Mode::Order {
        let params = [
            ("order_no", Value::Str(number.into())),
            ("player_id", Value::Int(value)),
            ("item_id", Value::Int(i64::from(id % 500))),
            ("amount", Value::Int(1)),
            ("price_cents", Value::Int(600)),
        ];
        return call(args, (id, 0), &params, out);
    }
    // Never the same player on both sides, and never the lower id first by habit.
    let other = args.first + (value - args.first + 1 + i64::from(id % 97)) % args.count.max(2);
    let params = [
        ("request_id", Value::Str(number.into())),
        ("from_player", Value::Int(value)),
        ("to_player", Value::Int(other)),
        ("amount", Value::Int(1)),
    ];
    call(args, (id, 0), &params, out)
}

/// What no other request of this run is called.
fn number(args: &LoadArgs, id: u32) -> String {
    format!("{}{:08x}{id:08x}", args.prefix, args.connection)
}

fn http(args: &LoadArgs, id: u32, value: i64, out: &mut Vec<u8>) -> anyhow::Result<()> {
    let method = if args.body.is_empty() { "GET" } else { "POST" };
    let path = args.path.replacen("{}", &value.to_string(), 1);
    write!(out, "{method} {path} HTTP/1.1\r\nHost: localhost\r\n")?;
    if !args.token.is_empty() {
        write!(out, "Authorization: Bearer {}\r\n", args.token)?;
    }
    if !args.body.is_empty() {
        let body = args.body.replace("{}", &value.to_string()).replace("{n}", &number(args, id));
        let length = body.len();
        write!(out, "Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")?;
        return Ok(());
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

fn call(
    args: &LoadArgs,
    (id, seed): (u32, u64),
    params: &[(&str, Value<'_>)],
    out: &mut Vec<u8>,
) -> anyhow::Result<()> {
    out.extend(frame(FrameKind::Call, id, |out| {
        write_call(out, Codec::MsgPack, None, operation(args, seed), params);
    })?);
    Ok(())
}

/// Many calls in one frame, each of another row.
fn batch(args: &LoadArgs, id: u32, seed: u64, out: &mut Vec<u8>) -> anyhow::Result<()> {
    let count = args.count.unsigned_abs().max(1);
    let rows = (0..args.batch as u64)
        .map(|place| seed.wrapping_add(place.wrapping_mul(7919)))
        .map(|seed| Ok((seed, args.first + i64::try_from(seed % count)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    out.extend(frame(FrameKind::Batch, id, |out| {
        msgpack::write_array_header(out, rows.len());
        for (seed, row) in rows {
            let params = [(args.param.as_str(), Value::Int(row))];
            write_call(out, Codec::MsgPack, None, operation(args, seed), &params);
        }
    })?);
    Ok(())
}

/// Which operation is called: other bits decide than those that pick the row.
fn operation(args: &LoadArgs, seed: u64) -> &str {
    args.operation.pick(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40)
}

/// The first answer in `bytes`. `None`: not whole yet.
///
/// - `batch`: how many calls a frame of ours has.
pub(crate) fn answer(mode: Mode, batch: usize, bytes: &[u8]) -> anyhow::Result<Option<Answer>> {
    match mode {
        Mode::Echo => {
            Ok((bytes.len() >= MESSAGE_BYTES).then_some(Answer::new(MESSAGE_BYTES, None)))
        }
        Mode::Http | Mode::IdleHttp => http_answer(bytes),
        Mode::Redis => redis_answer(bytes),
        _ => {
            let Some(header) = decode_header(bytes, FRAME_BYTES_MAX)? else { return Ok(None) };
            let length = header.frame_bytes();
            let Some(frame) = bytes.get(..length) else { return Ok(None) };
            let error = match header.kind {
                FrameKind::Welcome => None,
                FrameKind::Reply => Some(header.code()).filter(|code| *code != 0),
                // GOAWAY and the like: not what was asked for.
                _ => Some(u16::MAX),
            };
            let errors = match error {
                None if batch > 1 && header.kind == FrameKind::Reply => {
                    batch_errors(frame.get(HEADER_BYTES..).unwrap_or_default())?
                }
                None => Vec::new(),
                // All of its calls.
                Some(code) => vec![code; batch],
            };
            Ok(Some(Answer { length, errors }))
        }
    }
}

/// The codes other than 0 of `[[code, body], …]`.
fn batch_errors(payload: &[u8]) -> anyhow::Result<Vec<u16>> {
    let mut reader = msgpack::Reader::new(payload);
    let mut errors = Vec::new();
    for _ in 0..reader.array("batch")? {
        anyhow::ensure!(reader.array("item")? == 2, "an item of a batch has a code and a body");
        match reader.value()? {
            Value::Int(0) => {}
            Value::Int(code) => errors.push(u16::try_from(code)?),
            other => anyhow::bail!("a code that is {}", other.kind()),
        }
        reader.skip()?;
    }
    Ok(errors)
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
    let error = Some(status).filter(|status| !(200..=299).contains(status));
    Ok((bytes.len() >= length).then(|| Answer::new(length, error)))
}

/// A bulk string: `$5\r\nhello\r\n`; nil and errors are none that was hoped for.
fn redis_answer(bytes: &[u8]) -> anyhow::Result<Option<Answer>> {
    let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
    let line = std::str::from_utf8(bytes.get(..end).unwrap_or_default())?;
    let Some(count) = line.strip_prefix('$').and_then(|count| count.parse::<usize>().ok()) else {
        return Ok(Some(Answer::new(end + 2, Some(1))));
    };
    let length = end + 2 + count + 2;
    Ok((bytes.len() >= length).then(|| Answer::new(length, None)))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::{Command, Line};

    #[track_caller]
    fn check(mode: Mode, bytes: &[u8], expected: (usize, Option<u16>)) {
        let (length, error) = expected;
        assert_eq!(answer(mode, 1, bytes).unwrap(), Some(Answer::new(length, error)));
        let short = bytes.get(..length - 1).unwrap();
        assert_eq!(answer(mode, 1, short).unwrap(), None, "one byte less");
    }

    #[test]
    fn response_ends_where_its_length_says_and_another_status_is_an_error() {
        check(Mode::Http, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP", (40, None));
        let refused = b"HTTP/1.1 503 Busy\r\nA: b\r\nContent-Length:0\r\n\r\n";
        check(Mode::Http, refused, (refused.len(), Some(503)));
        assert!(answer(Mode::Http, 1, b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn body_makes_a_post_whose_length_is_told_and_whose_number_no_other_request_has() {
        let line = [
            "gateway-bench",
            "load",
            "--address=127.0.0.1:1",
            "--mode=http",
            "--path=/orders",
            "--prefix=r",
            r#"--body={"no":"{n}","player":{}}"#,
            "--first=7",
            "--count=1",
        ];
        let Command::Load(args) = Line::try_parse_from(line).unwrap().command else { panic!() };
        let sent = |id| {
            let mut out = Vec::new();
            request(&args, id, 0, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let body = r#"{"no":"r0000000000000001","player":7}"#;
        let (head, sent_body) =
            sent(1).split_once("\r\n\r\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        assert_eq!(sent_body, body);
        assert!(head.starts_with("POST /orders HTTP/1.1\r\n"), "{head}");
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
        assert_ne!(sent(1), sent(2));
        check(Mode::Http, b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", (43, None));
        check(Mode::Http, b"HTTP/1.1 300 Many\r\nContent-Length: 0\r\n\r\n", (40, Some(300)));
    }

    #[test]
    fn bulk_string_is_an_answer_and_nil_an_error() {
        check(Mode::Redis, b"$5\r\nhello\r\n$", (11, None));
        check(Mode::Redis, b"$-1\r\n", (5, Some(1)));
        check(Mode::Redis, b"-ERR no\r\n", (9, Some(1)));
    }

    #[test]
    fn failed_calls_of_a_batch_are_counted_each_and_a_refused_batch_fails_all() {
        let reply = |code: u16, payload: &[u8]| {
            let mut out = Vec::new();
            let start = gateway_protocol::begin_reply(&mut out, RequestId(1), Codec::MsgPack, 0);
            out.extend_from_slice(payload);
            gateway_protocol::finish_reply(&mut out, start, code).unwrap();
            out
        };
        // [[0, nil], [1301, {}], [0, 7]]
        let mixed = reply(0, &[0x93, 0x92, 0, 0xc0, 0x92, 0xcd, 0x05, 0x15, 0x80, 0x92, 0, 7]);
        let told = answer(Mode::Call, 3, &mixed).unwrap().unwrap();
        assert_eq!(told, Answer { length: mixed.len(), errors: vec![1301] });
        let refused = reply(1001, &[]);
        let told = answer(Mode::Call, 3, &refused).unwrap().unwrap();
        assert_eq!(told.errors, [1001, 1001, 1001]);
    }

    #[test]
    fn operations_are_picked_by_their_weights_and_a_mix_without_one_is_refused() {
        let mix: Mix = "a=3,b=1".parse().unwrap();
        let picked: Vec<&str> = (0..8).map(|seed| mix.pick(seed)).collect();
        assert_eq!(picked, ["a", "a", "a", "b", "a", "a", "a", "b"]);
        assert_eq!(mix.to_string(), "a=3,b=1");
        assert_eq!("a".parse::<Mix>().unwrap().pick(7), "a");
        assert!("a=0".parse::<Mix>().is_err());
        assert!("a=x".parse::<Mix>().is_err());
    }
}
