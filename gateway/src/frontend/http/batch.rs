//! Several calls in one request: `[{operation, params}, …]` gives `[{code, body}, …]`, in order.
//!
//! Not a transaction: each call is its own request, with its own checks, run side by side.

use std::sync::Arc;

use bytes::Bytes;
use gateway_protocol::{Code, Codec, Value, json};
use http_body_util::Full;
use hyper::Response;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};

use super::condition;
use super::exchange::{malformed, typed};
use super::request::{self, Head};
use super::response::Context;
use crate::auth::Principal;
use crate::bind::bind_each;
use crate::error::Error;
use crate::frontend::{Room, wait_for};
use crate::observe::CacheOutcome;
use crate::pipeline::{Request, Routed, Served};
use crate::reply::{Waiting, body_of, json_of, write_refusal};
use crate::snapshot::{Game, Operation, Snapshot};

/// One call: what it asked for, and its answer or the way to it.
struct Item {
    operation: Option<Arc<Operation>>,
    answer: Answer,
}

enum Answer {
    /// JSON from L1.
    Ready(Result<Vec<u8>, Error>),
    Waiting(Waiting),
}

/// What an answer has around its body, in bytes.
const AROUND_BYTES: usize = br#"{"code":0,"body":},"#.len();

/// Serves a batch.
///
/// # Errors
///
/// [`Error`] when the batch itself cannot be read; a call's own failure stands in its place.
pub(super) async fn run(
    context: &Context<'_>,
    snapshot: &Snapshot,
    game: &Arc<Game>,
    principal: Option<&Arc<Principal>>,
    head: &Head,
    body: &mut [u8],
) -> Result<Response<Full<Bytes>>, Error> {
    condition::refuse_all(&head.headers)?;
    let value = json::decode(body)?;
    let Value::Array(calls) = value else {
        return Err(malformed("a batch is a JSON array of {operation, params}"));
    };
    let count_max = snapshot.config.limits.batch_items_max;
    if calls.len() > count_max as usize {
        let message = format!("a batch has at most {count_max} calls").into();
        return Err(Error::Wire { code: Code::TooLarge, message });
    }
    let request = Request {
        principal,
        trace: context.trace,
        peer: context.connection.peer,
        arrived: context.arrived,
        deadline: request::deadline(&head.headers, context.arrived)?,
        dry_run: false,
    };
    let mut room = Room::new(snapshot.config.limits.result_bytes_max);
    let begin = |call| begin(context, &request, game, call, &mut room);
    let items: Vec<Item> = calls.into_iter().map(begin).collect();
    let mut out = Vec::with_capacity(items.len() * 256);
    out.push(b'[');
    for Item { operation, answer } in items {
        if out.len() > 1 {
            out.push(b',');
        }
        let answered = write(answer, &mut out, &mut room).await;
        context.tell(operation.as_deref(), answered);
    }
    out.push(b']');
    let mut response = Response::new(Full::new(Bytes::from(out)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn begin(
    context: &Context<'_>,
    request: &Request<'_>,
    game: &Arc<Game>,
    call: Value<'_>,
    room: &mut Room,
) -> Item {
    let mut operation = None;
    let begun = read_call(call).and_then(|(op, params)| {
        let routed = Routed { game, operation: game.operation(&op)? };
        operation = Some(Arc::clone(routed.operation));
        let params = params.into_iter().map(|(name, value)| Ok(typed(name, value)));
        context.worker().serve(
            request,
            routed,
            |template| bind_each(template, params),
            |operation, hit| {
                let body: &[u8] = match body_of(operation, hit.stored())? {
                    Some(body) => json_of(operation, body)?,
                    None => b"null",
                };
                room.take(AROUND_BYTES + body.len())?;
                Ok(body.to_vec())
            },
        )
    });
    let answer = match begun {
        Ok(Served::Hit(body)) => Answer::Ready(body),
        Ok(Served::Wait(waiting)) => Answer::Waiting(waiting),
        Err(error) => Answer::Ready(Err(error)),
    };
    Item { operation, answer }
}

type Members<'a> = Vec<(std::borrow::Cow<'a, str>, Value<'a>)>;

fn read_call(call: Value<'_>) -> Result<(std::borrow::Cow<'_, str>, Members<'_>), Error> {
    let Value::Map(members) = call else {
        return Err(malformed("a batch's call must be {operation, params}"));
    };
    let (mut op, mut params) = (None, None);
    for (name, value) in members {
        match (&*name, value) {
            ("operation", Value::Str(text)) if op.is_none() => op = Some(text),
            ("params", Value::Map(members)) if params.is_none() => params = Some(members),
            _ => return Err(malformed(format!("a batch's call: `{name}` does not fit"))),
        }
    }
    let op = op.ok_or_else(|| malformed("a batch's call needs `operation`"))?;
    Ok((op, params.unwrap_or_default()))
}

/// Appends one answer. What would make the bodies together longer than they may be is refused in its place.
async fn write(answer: Answer, out: &mut Vec<u8>, room: &mut Room) -> Result<CacheOutcome, Error> {
    let start = out.len();
    out.extend_from_slice(b"{\"code\":0,\"body\":");
    let body_start = out.len();
    let answered = match answer {
        Answer::Ready(body) => body.map(|body| {
            out.extend_from_slice(&body);
            CacheOutcome::L1
        }),
        Answer::Waiting(waiting) => wait_for(waiting).await.and_then(|reply| {
            reply.write_json(out)?;
            room.take(AROUND_BYTES + out.len() - body_start)?;
            Ok(reply.outcome())
        }),
    };
    if let Err(error) = &answered {
        out.truncate(start);
        out.extend_from_slice(b"{\"code\":");
        json::write_int(out, error.code().into());
        out.extend_from_slice(b",\"body\":");
        write_refusal(error, Codec::Json, out);
    }
    out.push(b'}');
    answered
}
