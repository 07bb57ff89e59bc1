//! BATCH: several calls in one frame, answered in one, in order. Not a transaction.
//!
//! Each call is its own request, with its own checks, its own line in the log, and a place of its own
//! among those that a connection may have under way.

use std::rc::Rc;
use std::sync::Arc;

use gateway_protocol::message::{Batch, Call};
use gateway_protocol::{Codec, FrameHeader, begin_reply, finish_reply, json, msgpack};

use super::call::{Asked, find, nothing, params};
use super::connection::Connection;
use super::identity::Login;
use super::login;
use super::pipelined::{Batched, Begun, serve_batch};
use crate::auth::Principal;
use crate::bind::bind_each;
use crate::catalog::Template;
use crate::error::Error;
use crate::frontend::{Room, wait_for};
use crate::observe::CacheOutcome;
use crate::pipeline::Served;
use crate::reply::{Waiting, body_of, json_of, write_refusal};
use crate::snapshot::{Operation, Snapshot};

/// One call: what it asked for, and its answer or the way to it.
struct Item {
    operation: Option<Arc<Operation>>,
    answer: ItemAnswer,
}

enum ItemAnswer {
    Ready(Finished),
    Waiting(Waiting),
}

impl Item {
    fn of_hit((operation, body): (Arc<Operation>, Vec<u8>)) -> Self {
        let answer = ItemAnswer::Ready(Ok((body, CacheOutcome::L1)));
        Self { operation: Some(operation), answer }
    }
}

/// Serves a BATCH: every call begins at once, and one REPLY has all answers, in order. One that waits for nothing is
/// answered at once: what it answers then counts as a reply that waits, before the next frame is served.
pub(super) fn serve(connection: &Rc<Connection>, header: &FrameHeader, payload: &mut [u8]) {
    let worker = connection.worker();
    // One whose stages are timed goes the way that has them.
    let is_timed = worker.recorder.unsampled_next() == 0;
    worker.begin_request(connection.arrival());
    let asked = Asked::new(connection, header);
    let snapshot = worker.snapshot();
    if let Err(error) = login::renew(connection, &snapshot) {
        return asked.refuse(connection, None, &error);
    }
    let login = connection.login.borrow();
    let Some(login) = login.as_ref() else { return };
    let count_max = snapshot.config.limits.batch_items_max as usize;
    let bytes_max = snapshot.config.limits.result_bytes_max;
    let is_quick = header.codec == Codec::MsgPack && !is_timed;
    let tried = is_quick.then(|| {
        let batched = Batched { payload, count_max, bytes_max };
        serve_batch(connection, &asked, (&snapshot, login), batched)
    });
    let (hits, mut room) = match tried {
        Some(Ok(())) => return,
        Some(Err(Begun { hits, room })) => (hits, room),
        None => (Vec::new(), Room::new(bytes_max)),
    };
    let mut calls = Vec::new();
    let read = Batch::decode(header.codec, payload, count_max).and_then(|batch| {
        // All are read before the first begins: a batch that cannot be read does nothing.
        for call in batch {
            calls.push(call?);
        }
        Ok(())
    });
    if let Err(error) = read {
        return asked.refuse(connection, None, &Error::from(error));
    }
    let begin = |call| begin(connection, &asked, &snapshot, login, call, &mut room);
    let others = calls.into_iter().skip(hits.len()).map(begin);
    let items: Vec<Item> = hits.into_iter().map(Item::of_hit).chain(others).collect();
    let waiting = items.iter().filter(|item| matches!(item.answer, ItemAnswer::Waiting(_)));
    let waiting_count = u32::try_from(waiting.count()).unwrap_or(u32::MAX);
    let principal = Arc::clone(&login.principal);
    if waiting_count == 0 {
        let mut bodies = Vec::with_capacity(items.len());
        for Item { operation, answer } in items {
            let ItemAnswer::Ready(finished) = answer else { continue };
            tell(connection, &asked, &principal, operation.as_ref(), &finished);
            bodies.push(finished.map(|(body, _)| body));
        }
        return connection.append(|out| write(out, &asked, &bodies));
    }
    let own = Rc::clone(connection);
    connection.spawn(waiting_count, async move {
        let mut bodies = Vec::with_capacity(items.len());
        for Item { operation, answer } in items {
            let finished = match answer {
                ItemAnswer::Ready(finished) => finished,
                ItemAnswer::Waiting(waiting) => wait(waiting, asked.codec, &mut room).await,
            };
            let is_write = operation.as_ref().is_some_and(|it| it.template.kind.is_write());
            let finished =
                if own.is_flooded() && !is_write { Err(Error::Overloaded) } else { finished };
            tell(&own, &asked, &principal, operation.as_ref(), &finished);
            bodies.push(finished.map(|(body, _)| body));
        }
        own.append(|out| write(out, &asked, &bodies));
    });
}

fn begin(
    connection: &Connection,
    asked: &Asked,
    snapshot: &Snapshot,
    login: &Login,
    call: Call<'_>,
    room: &mut Room,
) -> Item {
    let routed = match find(snapshot, login, None, &call.op) {
        Ok(routed) => routed,
        Err(error) => return Item { operation: None, answer: ItemAnswer::Ready(Err(error)) },
    };
    let request = asked.request(&login.principal);
    let bind = |template: &Template| bind_each(template, params(call.params));
    let served = connection.worker().serve(&request, routed, bind, |operation, hit| {
        let body: &[u8] = match (body_of(operation, hit.stored())?, asked.codec) {
            (Some(body), Codec::MsgPack) => &body.msgpack,
            (Some(body), Codec::Json) => json_of(operation, body)?,
            (None, codec) => nothing(codec),
        };
        room.take(body.len())?;
        Ok((body.to_vec(), CacheOutcome::L1))
    });
    let answer = match served {
        Ok(Served::Hit(finished)) => ItemAnswer::Ready(finished),
        Ok(Served::Wait(waiting)) => ItemAnswer::Waiting(waiting),
        Err(error) => ItemAnswer::Ready(Err(error)),
    };
    Item { operation: Some(Arc::clone(routed.operation)), answer }
}

type Finished = Result<(Vec<u8>, CacheOutcome), Error>;

async fn wait(waiting: Waiting, codec: Codec, room: &mut Room) -> Finished {
    let reply = wait_for(waiting).await?;
    let mut out = Vec::new();
    match codec {
        Codec::MsgPack => reply.write_msgpack(&mut out)?,
        Codec::Json => reply.write_json(&mut out)?,
    }
    room.take(out.len())?;
    Ok((out, reply.outcome()))
}

/// Tells metrics and log of one call.
fn tell(
    connection: &Connection,
    asked: &Asked,
    principal: &Arc<Principal>,
    operation: Option<&Arc<Operation>>,
    finished: &Finished,
) {
    match (finished, operation) {
        (Ok((_, outcome)), Some(operation)) => {
            asked.finish(connection, operation, principal, *outcome);
        }
        (Ok(_), None) => {}
        (Err(error), operation) => {
            let of = operation.map(|operation| (operation, principal));
            asked.tell_refused(connection, of, error);
        }
    }
}

/// Appends the REPLY: `[[code, body], …]`.
fn write(out: &mut Vec<u8>, asked: &Asked, bodies: &[Result<Vec<u8>, Error>]) {
    let start = begin_reply(out, asked.id, asked.codec, 0);
    match asked.codec {
        Codec::MsgPack => {
            msgpack::write_array_header(out, bodies.len());
            for body in bodies {
                msgpack::write_array_header(out, 2);
                msgpack::write_int(out, body.as_ref().map_or_else(Error::code, |_| 0).into());
                write_item(out, asked.codec, body);
            }
        }
        Codec::Json => {
            out.push(b'[');
            for (index, body) in bodies.iter().enumerate() {
                out.extend_from_slice(if index == 0 { b"[" } else { b",[" });
                json::write_int(out, body.as_ref().map_or_else(Error::code, |_| 0).into());
                out.push(b',');
                write_item(out, asked.codec, body);
                out.push(b']');
            }
            out.push(b']');
        }
    }
    let _finished = finish_reply(out, start, 0);
}

fn write_item(out: &mut Vec<u8>, codec: Codec, body: &Result<Vec<u8>, Error>) {
    match body {
        Ok(body) => out.extend_from_slice(body),
        Err(error) => write_refusal(error, codec, out),
    }
}
