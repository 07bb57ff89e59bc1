//! Calls that arrived together, looked up together.
//!
//! What a look-up costs is waiting for memory. Here the keys of several calls are made first, then all are looked
//! up, then all bodies are loaded: the waits run side by side. Only hits in MessagePack are answered here; whatever
//! else a call turns out to be, [`super::call`] serves it from its beginning, and nothing of the attempt shows.
//!
//! Invariant: a call meets the same stages, and its neighbours in the same order, as if it had come alone.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;
use std::sync::Arc;

use gateway_protocol::message::Call;
use gateway_protocol::{Codec, FrameHeader, FrameKind, HEADER_BYTES, decode_header};
use smallvec::SmallVec;

use super::call::{Asked, find, params};
use super::connection::{Connection, Login};
use super::login;
use crate::bind::{Bound, bind_each};
use crate::cache::{Found, Keys};
use crate::catalog::Template;
use crate::observe::CacheOutcome;
use crate::pipeline::{Routed, Shape};
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

impl Ahead<'_> {
    fn operation(&self) -> &Arc<Operation> {
        match &self.way {
            Way::Routed(routed) => routed.operation,
            Way::Learned(shape) => shape.routed().operation,
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
    let worker = connection.worker();
    let learned = &connection.thread.learned;
    let mut bound = Bound::default();
    if let Some(shape) = learned.find(snapshot, login.game.as_deref(), payload, &mut bound) {
        let is_put = worker.put_bound(&request, shape.routed(), &bound, keys);
        return is_put.then_some(Ahead { header, way: Way::Learned(shape) });
    }
    let call = Call::from_msgpack(payload).ok()?;
    let routed = find(snapshot, login, call.game.as_deref(), &call.op).ok()?;
    let bind = |template: &Template| bind_each(template, params(call.params));
    let is_put = worker.put_key(&request, routed, bind, keys);
    if is_put {
        learned.learn(snapshot, login.game.as_deref(), routed, payload);
    }
    is_put.then_some(Ahead { header, way: Way::Routed(routed) })
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
        let operation = call.operation();
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
