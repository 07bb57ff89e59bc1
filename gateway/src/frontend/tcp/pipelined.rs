//! Calls that arrived together, looked up together.
//!
//! What a look-up costs is waiting for memory. Here the keys of several calls are made first, then all are looked
//! up, then all bodies are loaded: the waits run side by side. Only hits in MessagePack are answered here; whatever
//! else a call turns out to be, [`super::call`] serves it from its beginning, and nothing of the attempt shows.
//!
//! Invariant: a call meets the same stages, and its neighbours in the same order, as if it had come alone.

use std::cell::{RefCell, RefMut};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use gateway_protocol::message::Call;
use gateway_protocol::msgpack::{self, Reader};
use gateway_protocol::{
    Codec, FrameHeader, FrameKind, HEADER_BYTES, begin_reply, decode_header, finish_reply,
};
use smallvec::SmallVec;

use super::call::{Asked, find, nothing, params};
use super::connection::Connection;
use super::identity::Login;
use super::login;
use crate::bind::{Bound, bind_each};
use crate::cache::{Found, Hit, Keys};
use crate::catalog::Template;
use crate::frontend::Room;
use crate::observe::CacheOutcome;
use crate::pipeline::{Request, Routed, Shape};
use crate::reply::body_of;
use crate::snapshot::{Operation, Snapshot};

/// Calls that are looked up at once: more waits than this run side by side in no CPU.
const CALLS_MAX: usize = 16;

/// How far [`serve`] came, in bytes from the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Frames that were answered end here.
    pub(super) served: usize,
    /// Frames that begin before this are not to be tried again.
    pub(super) tried: usize,
}

/// The keys of the calls that a thread looks up at once.
#[derive(Debug, Default)]
pub(in crate::frontend) struct Scratch(RefCell<Keys>);

impl Scratch {
    /// The keys, until the next await.
    pub(in crate::frontend) fn keys(&self) -> RefMut<'_, Keys> {
        self.0.borrow_mut()
    }
}

/// A call that waits for the others to be looked up. Small: what its header says is put together again for the answer.
struct Ahead<'s> {
    header: FrameHeader,
    way: Way<'s>,
}

/// How a call's operation was found.
enum Way<'s> {
    /// By its name.
    Routed(Routed<'s>),
    /// By its looks.
    Learned(Rc<Shape>),
}

impl Way<'_> {
    fn operation(&self) -> &Arc<Operation> {
        match self {
            Self::Routed(routed) => routed.operation,
            Self::Learned(shape) => shape.routed().operation,
        }
    }
}

/// Answers hits at the beginning of `bytes`, up to the first call that is none.
pub(super) fn serve(connection: &Rc<Connection>, bytes: &[u8]) -> Progress {
    let worker = connection.worker();
    // One whose stages are timed is served alone.
    let count_max = CALLS_MAX.min(worker.recorder.unsampled_next() as usize);
    if count_max < 2 || !is_followed(bytes) {
        return Progress::default();
    }
    let none = Progress { served: 0, tried: bytes.len() };
    let snapshot = worker.snapshot();
    if login::renew(connection, &snapshot).is_err() {
        return none;
    }
    let login = connection.login.borrow();
    let Some(login) = login.as_ref() else { return none };
    let mut keys = connection.thread.scratch.keys();
    keys.clear();
    let mut calls: SmallVec<[Ahead<'_>; CALLS_MAX]> = SmallVec::new();
    let mut tried = 0;
    while calls.len() < count_max {
        let rest = bytes.get(tried..).unwrap_or_default();
        let Some(ahead) = look_ahead(connection, &snapshot, login, rest, &mut keys) else { break };
        tried += ahead.header.frame_bytes();
        calls.push(ahead);
    }
    if calls.len() < 2 {
        return none;
    }
    Progress { served: answer(connection, login, &calls, &keys), tried }
}

/// Whether there is more than one frame.
fn is_followed(bytes: &[u8]) -> bool {
    let length = bytes.first_chunk().map(|length| u32::from_be_bytes(*length) as usize);
    length.is_some_and(|length| bytes.len() >= length + 2 * HEADER_BYTES)
}

/// Leads the call at the beginning of `bytes` to its key. `None`: it is to be served alone.
fn look_ahead<'s>(
    connection: &Connection,
    snapshot: &'s Snapshot,
    login: &Login,
    bytes: &[u8],
    keys: &mut Keys,
) -> Option<Ahead<'s>> {
    let header = decode_header(bytes, connection.frame_bytes_max()).ok()??;
    if header.kind != FrameKind::Call || header.codec != Codec::MsgPack {
        return None;
    }
    let payload = bytes.get(HEADER_BYTES..header.frame_bytes())?;
    let request = Asked::new(connection, &header).request(&login.principal);
    let way = lead(connection, (snapshot, login), &request, payload, keys)?;
    Some(Ahead { header, way })
}

/// Leads a call in MessagePack to its key. `None`: it has none, or is refused.
fn lead<'s>(
    connection: &Connection,
    (snapshot, login): (&'s Snapshot, &Login),
    request: &Request<'_>,
    payload: &[u8],
    keys: &mut Keys,
) -> Option<Way<'s>> {
    let worker = connection.worker();
    let learned = &connection.thread.learned;
    let mut bound = Bound::default();
    if let Some(shape) = learned.find(snapshot, login.game.as_deref(), payload, &mut bound) {
        let is_put = worker.put_bound(request, shape.routed(), &bound, keys);
        return is_put.then_some(Way::Learned(shape));
    }
    let call = Call::from_msgpack(payload).ok()?;
    let routed = find(snapshot, login, call.game.as_deref(), &call.op).ok()?;
    let bind = |template: &Template| bind_each(template, params(call.params));
    let is_put = worker.put_key(request, routed, bind, keys);
    if is_put {
        learned.learn(snapshot, login.game.as_deref(), routed, payload);
    }
    is_put.then_some(Way::Routed(routed))
}

/// Looks the calls up and answers them, up to the first that is no hit. Returns where that one begins.
fn answer(connection: &Connection, login: &Login, calls: &[Ahead<'_>], keys: &Keys) -> usize {
    let worker = connection.worker();
    let cache = &worker.core().cache;
    let now_ms = cache.ms_at(connection.arrival());
    let reading = cache.l1().reading();
    let found: SmallVec<[Option<Found<'_>>; CALLS_MAX]> =
        keys.iter().map(|key| reading.find(key)).collect();
    for found in found.iter().flatten() {
        found.fetch_ahead();
    }
    let mut served = 0;
    connection.speaks(Codec::MsgPack);
    for (call, found) in calls.iter().zip(found) {
        let operation = call.way.operation();
        let asked = Asked::new(connection, &call.header);
        let hit = found.and_then(|found| {
            reading.serve(found, now_ms, |hit| {
                connection.append(|out| asked.write_hit(out, operation, hit))
            })
        });
        // No hit, or an answer that is a refusal: told from the beginning.
        let Some(Ok(())) = hit else { break };
        worker.begin_request(connection.arrival());
        worker.finish_hit(operation, connection.arrival(), || {
            asked.finished(connection, operation, &login.principal, CacheOutcome::L1)
        });
        served += call.header.frame_bytes();
        if connection.is_full() {
            break;
        }
    }
    served
}

/// How a call of a BATCH begins: a list of two.
const PAIR: u8 = 0x92;

/// A BATCH in MessagePack, and what bounds it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batched<'b> {
    pub(super) payload: &'b [u8],
    /// The most calls.
    pub(super) count_max: usize,
    /// The most bytes of all answers.
    pub(super) bytes_max: u32,
}

/// What the first calls of a BATCH are answered with.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) hits: Vec<(Arc<Operation>, Vec<u8>)>,
    /// What they leave for the others' bodies.
    pub(super) room: Room,
}

/// The answers to the first calls of a BATCH, as far as they are hits, in a buffer.
struct Hits<'s> {
    /// The operations of those that were led to their keys.
    ways: SmallVec<[Way<'s>; CALLS_MAX]>,
    /// Where the bodies of those that are hits are.
    bodies: SmallVec<[Range<usize>; CALLS_MAX]>,
    room: Room,
}

/// Answers a BATCH of which every call is a hit.
///
/// # Errors
///
/// Something else follows its first hits, which are the answer's beginning; nothing was sent or told of them.
pub(super) fn serve_batch(
    connection: &Connection,
    asked: &Asked,
    (snapshot, login): (&Snapshot, &Login),
    batched: Batched<'_>,
) -> Result<(), Begun> {
    let room = Room::new(batched.bytes_max);
    let mut hits = Hits { ways: SmallVec::new(), bodies: SmallVec::new(), room };
    let kept = connection.append(|out| {
        let begun = out.len();
        let written = write_batch(connection, asked, (snapshot, login), batched, &mut hits, out);
        if written.is_some() {
            return None;
        }
        let keep = |(way, body): (&Way<'_>, &Range<usize>)| {
            let body = out.get(body.clone()).unwrap_or_default().to_vec();
            (Arc::clone(way.operation()), body)
        };
        let kept = hits.ways.iter().zip(&hits.bodies).map(keep).collect();
        out.truncate(begun);
        Some(kept)
    });
    if let Some(kept) = kept {
        return Err(Begun { hits: kept, room: hits.room });
    }
    let worker = connection.worker();
    for way in &hits.ways {
        let operation = way.operation();
        worker.finish_hit(operation, connection.arrival(), || {
            asked.finished(connection, operation, &login.principal, CacheOutcome::L1)
        });
    }
    Ok(())
}

/// Appends the REPLY to a BATCH: `[[code, body], …]`. `None`: one of its calls is no hit, or the payload is not in order.
fn write_batch<'s>(
    connection: &Connection,
    asked: &Asked,
    (snapshot, login): (&'s Snapshot, &Login),
    batched: Batched<'_>,
    hits: &mut Hits<'s>,
    out: &mut Vec<u8>,
) -> Option<()> {
    let request = asked.request(&login.principal);
    let cache = &connection.worker().core().cache;
    let now_ms = cache.ms_at(connection.arrival());
    let reading = cache.l1().reading();
    let mut keys = connection.thread.scratch.keys();
    let mut reader = Reader::new(batched.payload);
    let count = reader.array("BATCH").ok()?;
    if count == 0 || count > batched.count_max {
        return None;
    }
    let start = begin_reply(out, asked.id, Codec::MsgPack, 0);
    msgpack::write_array_header(out, count);
    let mut is_whole = true;
    while is_whole && hits.ways.len() < count {
        keys.clear();
        let first = hits.ways.len();
        for _ in 0..CALLS_MAX.min(count - first) {
            let led = next_call(&mut reader)
                .and_then(|call| lead(connection, (snapshot, login), &request, call, &mut keys));
            // Those before it may be hits.
            let Some(way) = led else {
                is_whole = false;
                break;
            };
            hits.ways.push(way);
        }
        let found: SmallVec<[Option<Found<'_>>; CALLS_MAX]> =
            keys.iter().map(|key| reading.find(key)).collect();
        for found in found.iter().flatten() {
            found.fetch_ahead();
        }
        for (way, found) in hits.ways.iter().skip(first).zip(found) {
            let write = |hit: &Hit<'_>| write_item(out, way.operation(), hit, &mut hits.room);
            hits.bodies.push(reading.serve(found?, now_ms, write)??);
        }
    }
    if !is_whole {
        return None;
    }
    reader.finish().ok()?;
    finish_reply(out, start, 0).ok()
}

/// The next call of a BATCH. `None`: it is none.
fn next_call<'p>(reader: &mut Reader<'p>) -> Option<&'p [u8]> {
    let from = reader.rest();
    reader.skip().ok()?;
    let call = from.get(..from.len() - reader.rest().len())?;
    (call.first() == Some(&PAIR)).then_some(call)
}

/// Appends `[0, body]`, and says where the body is. `None`: there is none, or no room for it.
fn write_item(
    out: &mut Vec<u8>,
    operation: &Operation,
    hit: &Hit<'_>,
    room: &mut Room,
) -> Option<Range<usize>> {
    let body = match hit.msgpack() {
        Some(body) => body,
        None => match body_of(operation, hit.stored()).ok()? {
            Some(body) => &body.msgpack,
            None => nothing(Codec::MsgPack),
        },
    };
    room.take(body.len()).ok()?;
    msgpack::write_array_header(out, 2);
    msgpack::write_int(out, 0);
    let start = out.len();
    out.extend_from_slice(body);
    Some(start..out.len())
}
