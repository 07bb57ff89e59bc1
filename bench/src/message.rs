//! What a connection sends and what it counts as an answer.

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
    if args.mode == Mode::Echo {
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

/// The first answer in `bytes`: its length, and whether it is a good one. `None`: not whole yet.
pub(crate) fn answer(mode: Mode, bytes: &[u8]) -> anyhow::Result<Option<(usize, bool)>> {
    if mode == Mode::Echo {
        return Ok((bytes.len() >= MESSAGE_BYTES).then_some((MESSAGE_BYTES, true)));
    }
    let Some(header) = decode_header(bytes, FRAME_BYTES_MAX)? else { return Ok(None) };
    let length = header.frame_bytes();
    if bytes.len() < length {
        return Ok(None);
    }
    let is_good = match header.kind {
        FrameKind::Welcome => true,
        FrameKind::Reply => header.code() == 0,
        _ => false,
    };
    Ok(Some((length, is_good)))
}
