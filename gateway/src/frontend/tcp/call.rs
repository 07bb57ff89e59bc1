//! CALL: from a payload to a reply.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use gateway_protocol::message::{Call, Params};
use gateway_protocol::{
    Codec, FrameHeader, FrameStart, RequestId, begin_reply, finish_reply, flag, json, msgpack,
};

use super::connection::{Connection, write_refusal};
use super::identity::Login;
use super::login;
use crate::auth::Principal;
use crate::bind::{Bound, Param, bind_each};
use crate::cache::Hit;
use crate::catalog::Template;
use crate::error::Error;
use crate::frontend::wait_for;
use crate::observe::{CacheOutcome, Stage, Transport};
use crate::pipeline::{Finished, Request, Routed, Served, Trace, route};
use crate::reply::{Reply, Waiting, body_of, json_of};
use crate::snapshot::{Operation, RouteError, Snapshot};

/// Room for a frame's header and the meta before a body, in bytes: made with the body's at once.
const ROOM_BYTES: usize = 64;

/// Serves a CALL: answers it, or starts a task that will.
pub(super) fn serve(connection: &Rc<Connection>, header: &FrameHeader, payload: &mut [u8]) {
    let worker = connection.worker();
    worker.begin_request(connection.arrival());
    let asked = Asked::new(connection, header);
    let snapshot = worker.snapshot();
    if let Err(error) = login::renew(connection, &snapshot) {
        return asked.refuse(connection, None, &error);
    }
    let login = connection.login.borrow();
    let Some(login) = login.as_ref() else { return };
    let decoded = match header.codec {
        Codec::MsgPack => {
            let (learned, mut bound) = (&connection.thread.learned, Bound::default());
            let game = login.game.as_deref();
            if let Some(shape) = learned.find(&snapshot, game, payload, &mut bound) {
                worker.lap(Stage::Decode);
                return run(connection, asked, login, shape.routed(), |_| Ok(bound));
            }
            Call::from_msgpack(payload)
        }
        Codec::Json => Call::decode(Codec::Json, payload),
    };
    let routed = match decoded.map_err(Error::from) {
        Ok(call) => {
            worker.lap(Stage::Decode);
            find(&snapshot, login, call.game.as_deref(), &call.op).map(|routed| (routed, call))
        }
        Err(error) => Err(error),
    };
    match routed {
        Ok((routed, call)) => {
            let bind = |template: &Template| bind_each(template, params(call.params));
            run(connection, asked, login, routed, bind);
            if header.codec == Codec::MsgPack {
                connection.thread.learned.learn(&snapshot, login.game.as_deref(), routed, payload);
            }
        }
        Err(error) => asked.refuse(connection, None, &error),
    }
}

/// Serves a call whose operation is known.
fn run<'p>(
    connection: &Rc<Connection>,
    asked: Asked,
    login: &Login,
    routed: Routed<'_>,
    bind: impl FnOnce(&Template) -> Result<Bound<'p>, Error>,
) {
    let worker = connection.worker();
    let request = asked.request(&login.principal);
    let served = worker.serve(&request, routed, bind, |operation, hit| {
        connection.append(|out| asked.write_hit(out, operation, hit))
    });
    match served {
        Ok(Served::Hit(Ok(()))) => {
            worker.lap(Stage::Encode);
            let principal = &login.principal;
            worker.finish_hit(routed.operation, asked.arrived, || {
                asked.finished(connection, routed.operation, principal, CacheOutcome::L1)
            });
        }
        Ok(Served::Wait(waiting)) => spawn(connection, asked, routed.operation, login, waiting),
        Ok(Served::Hit(Err(error))) | Err(error) => {
            asked.refuse(connection, Some((routed.operation, &login.principal)), &error);
        }
    }
}

/// A call's parameters, with their types.
pub(super) fn params(params: Params<'_>) -> impl Iterator<Item = Result<Param<'_>, Error>> {
    params.map(|entry| {
        let (name, value) = entry?;
        Ok(Param { name, value, untyped: false })
    })
}

/// Finds a call's operation, by its own game or the HELLO's.
pub(super) fn find<'s>(
    snapshot: &'s Snapshot,
    login: &Login,
    game: Option<&str>,
    op: &str,
) -> Result<Routed<'s>, Error> {
    let game = game.or(login.game.as_deref()).ok_or(RouteError::NoSuchGame)?;
    Ok(route(snapshot, game, op)?)
}

fn spawn(
    connection: &Rc<Connection>,
    asked: Asked,
    operation: &Arc<Operation>,
    login: &Login,
    waiting: Waiting,
) {
    let (operation, principal) = (Arc::clone(operation), Arc::clone(&login.principal));
    let own = Rc::clone(connection);
    connection.spawn(1, async move {
        let is_write = operation.template.kind.is_write();
        let answered = wait_for(waiting).await.and_then(|reply| {
            if own.is_flooded() && !is_write {
                return Err(Error::Overloaded);
            }
            own.append(|out| asked.write_reply(out, &reply))?;
            Ok(reply.outcome())
        });
        match answered {
            Ok(outcome) => asked.finish(&own, &operation, &principal, outcome),
            Err(error) => asked.refuse(&own, Some((&operation, &principal)), &error),
        }
    });
}

/// What a request's answer depends on, apart from who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) id: RequestId,
    pub(super) codec: Codec,
    wants_meta: bool,
    dry_run: bool,
    trace: Trace<'static>,
    peer: SocketAddr,
    arrived: Instant,
    deadline: Option<Instant>,
}

impl Asked {
    pub(super) fn new(connection: &Connection, header: &FrameHeader) -> Self {
        let arrived = connection.arrival();
        Self {
            id: header.request_id,
            codec: header.codec,
            wants_meta: header.flags & flag::WANTS_META != 0,
            dry_run: header.flags & flag::DRY_RUN != 0,
            trace: connection.trace(header.request_id),
            peer: connection.peer,
            arrived,
            deadline: header.deadline().map(|deadline| arrived + deadline),
        }
    }

    pub(super) const fn request<'a>(&self, principal: &'a Arc<Principal>) -> Request<'a> {
        Request {
            principal: Some(principal),
            trace: self.trace,
            peer: self.peer,
            arrived: self.arrived,
            deadline: self.deadline,
            dry_run: self.dry_run,
        }
    }

    /// Appends the reply to a hit. Called under the cache's guard.
    pub(super) fn write_hit(
        &self,
        out: &mut Vec<u8>,
        operation: &Operation,
        hit: &Hit<'_>,
    ) -> Result<(), Error> {
        if let (Some(body), Codec::MsgPack) = (hit.msgpack(), self.codec) {
            out.reserve(body.len() + ROOM_BYTES);
            let start = self.begin(out, operation, CacheOutcome::L1, false);
            out.extend_from_slice(body);
            return self.end(out, start);
        }
        let body = body_of(operation, hit.stored())?;
        let start = self.begin(out, operation, CacheOutcome::L1, false);
        match (body, self.codec) {
            (Some(body), Codec::MsgPack) => out.extend_from_slice(&body.msgpack),
            (Some(body), Codec::Json) => match json_of(operation, body) {
                Ok(json) => out.extend_from_slice(json),
                Err(error) => {
                    start.abandon(out);
                    return Err(error);
                }
            },
            (None, codec) => out.extend_from_slice(nothing(codec)),
        }
        self.end(out, start)
    }

    /// Appends the reply to an answer that was waited for.
    fn write_reply(&self, out: &mut Vec<u8>, reply: &Reply) -> Result<(), Error> {
        let first = &reply.first;
        let start = self.begin(out, &first.operation, reply.outcome(), first.replayed);
        let written = match self.codec {
            Codec::MsgPack => reply.write_msgpack(out),
            Codec::Json => reply.write_json(out),
        };
        match written {
            Ok(()) => self.end(out, start),
            Err(error) => {
                start.abandon(out);
                Err(error)
            }
        }
    }

    fn begin(
        &self,
        out: &mut Vec<u8>,
        operation: &Operation,
        outcome: CacheOutcome,
        replayed: bool,
    ) -> FrameStart {
        let with_meta = if self.wants_meta { flag::WITH_META } else { 0 };
        let replayed = if replayed { flag::REPLAYED } else { 0 };
        let start = begin_reply(out, self.id, self.codec, with_meta | replayed);
        if self.wants_meta {
            self.write_meta(out, operation, outcome);
        }
        start
    }

    /// Appends the beginning of `[meta, result]`, up to the result.
    fn write_meta(&self, out: &mut Vec<u8>, operation: &Operation, outcome: CacheOutcome) {
        let cache = outcome.name();
        match self.codec {
            Codec::MsgPack => {
                msgpack::write_array_header(out, 2);
                msgpack::write_map_header(out, 2 + usize::from(self.dry_run));
                msgpack::write_str(out, "template");
                msgpack::write_str(out, &operation.version_text);
                msgpack::write_str(out, "cache");
                msgpack::write_str(out, cache);
                if self.dry_run {
                    msgpack::write_str(out, "dry_run");
                    msgpack::write_bool(out, true);
                }
            }
            Codec::Json => {
                out.extend_from_slice(b"[{\"template\":");
                json::write_str(out, &operation.version_text);
                out.extend_from_slice(b",\"cache\":");
                json::write_str(out, cache);
                let dry_run: &[u8] = if self.dry_run { b",\"dry_run\":true" } else { b"" };
                out.extend_from_slice(dry_run);
                out.extend_from_slice(b"},");
            }
        }
    }

    fn end(&self, out: &mut Vec<u8>, start: FrameStart) -> Result<(), Error> {
        if self.wants_meta && self.codec == Codec::Json {
            out.push(b']');
        }
        finish_reply(out, start, 0).map_err(|_too_large| Error::Internal("a reply over 4 GiB"))
    }

    /// Answers with a refusal, and tells metrics and log.
    pub(super) fn refuse(
        &self,
        connection: &Connection,
        of: Option<(&Arc<Operation>, &Arc<Principal>)>,
        error: &Error,
    ) {
        connection.append(|out| write_refusal(out, self.id, self.codec, error));
        self.tell_refused(connection, of, error);
    }

    /// Tells metrics and log of a refusal.
    pub(super) fn tell_refused(
        &self,
        connection: &Connection,
        of: Option<(&Arc<Operation>, &Arc<Principal>)>,
        error: &Error,
    ) {
        let operation = of.map(|(operation, _)| &**operation);
        connection.worker().report(error, operation, self.trace);
        connection.worker().finish(&Finished {
            transport: Transport::Tcp,
            peer: connection.peer,
            trace: self.trace,
            operation,
            caller: of.map(|(_, principal)| &*principal.caller),
            code: error.code(),
            outcome: CacheOutcome::Bypass,
            arrived: self.arrived,
        });
    }

    /// Tells metrics and log of an answer.
    pub(super) fn finish(
        &self,
        connection: &Connection,
        operation: &Operation,
        principal: &Principal,
        outcome: CacheOutcome,
    ) {
        connection.worker().finish(&self.finished(connection, operation, principal, outcome));
    }

    /// What there is to tell of a request that was answered.
    pub(super) fn finished<'a>(
        &self,
        connection: &Connection,
        operation: &'a Operation,
        principal: &'a Principal,
        outcome: CacheOutcome,
    ) -> Finished<'a> {
        Finished {
            transport: Transport::Tcp,
            peer: connection.peer,
            trace: self.trace,
            operation: Some(operation),
            caller: Some(&principal.caller),
            code: 0,
            outcome,
            arrived: self.arrived,
        }
    }
}

/// The body of an answer without a row.
pub(super) const fn nothing(codec: Codec) -> &'static [u8] {
    match codec {
        Codec::MsgPack => &[0xc0],
        Codec::Json => b"null",
    }
}

#[cfg(test)]
#[cfg(all(feature = "mysql", feature = "sqlite"))]
mod tests {
    use gateway_protocol::{FrameKind, decode_header};
    use monoio::io::Splitable;
    use monoio::net::{TcpListener, TcpStream};
    use monoio::{LegacyDriver, RuntimeBuilder};

    use super::*;
    use crate::auth::new_key;
    use crate::backend::testing::Crowd;
    use crate::frontend::registry::{Phase, PhaseLimits, Registry};
    use crate::frontend::tcp::identity::Identity;
    use crate::frontend::worker::Thread;
    use crate::pipeline::Worker;
    use crate::pipeline::testing::core;

    const WRITE: &str = "-- @kind exec\n-- @param id bigint\n-- @allow gm\n\
                         UPDATE t SET a = 1 WHERE id = :id\n";

    /// A connection that is logged in, and the other end of its socket.
    async fn connect(worker: Worker, key: &str) -> (Rc<Connection>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let snapshot = worker.snapshot();
        let principal = worker.api_key(&snapshot, key).unwrap();
        let limits = PhaseLimits { idle: 9, reading: 9, writing: 9, greeting: 9 };
        let place = Rc::new(Registry::default()).join(-1, limits, Phase::Reading);
        let presence = Rc::clone(place.presence());
        let (_reads, writes) = stream.into_split();
        let game = Some("game1".into());
        let login = Login { principal, generation: snapshot.generation, game };
        let terms = (&snapshot.config.server.tcp).into();
        let codec = Codec::Json;
        let identity = Identity { number: 1, peer, terms, login: Some(login), codec };
        let thread = Rc::new(Thread::bare(worker));
        let connection = Connection::new(thread, presence, identity, writes);
        (Rc::new(connection), client)
    }

    #[test]
    fn write_that_finds_a_full_pool_is_answered_at_once_and_no_job_is_made_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let key = new_key("gm").unwrap();
        let sections = format!(
            "auth: {{roles: {{gm: {{}}}}, api_keys: [{{id: gm, hash: '{}', roles: [gm], games: ['*']}}]}}\n",
            key.hash
        );
        let (core, mut jobs) = core(folder.path(), WRITE, &sections, 4);
        let mut crowd = Crowd::new(folder.path());
        let core = Arc::into_inner(core).unwrap().with_pools(Arc::clone(&crowd.pools));
        let worker = Worker::new(Arc::new(core));
        let mut runtime = RuntimeBuilder::<LegacyDriver>::new().enable_timer().build().unwrap();
        runtime.block_on(async {
            let (connection, _client) = connect(worker, key.key.expose()).await;
            let call = || {
                let mut payload = br#"["t.get",{"id":7}]"#.to_vec();
                let header = FrameHeader {
                    length: 12 + u32::try_from(payload.len()).unwrap(),
                    kind: FrameKind::Call,
                    codec: Codec::Json,
                    flags: 0,
                    request_id: RequestId(5),
                    deadline_ms_or_code: 0,
                };
                serve(&connection, &header, &mut payload);
                connection.append(std::mem::take)
            };
            let reply = call();
            let header = decode_header(&reply, 1 << 20).unwrap().unwrap();
            assert_eq!((header.request_id, header.deadline_ms_or_code), (RequestId(5), 1301));
            assert!(jobs.try_take().is_none());
            crowd.leave();
            assert!(call().is_empty(), "this one is waited for");
            assert!(jobs.try_take().is_some());
        });
    }
}
