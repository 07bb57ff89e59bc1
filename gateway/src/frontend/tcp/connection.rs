//! One connection: who it is, what it asks, what it is told.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use gateway_protocol::message::GoAway;
use gateway_protocol::{
    Code, Codec, FrameError, FrameHeader, FrameKind, RequestId, begin_frame, begin_reply,
    finish_frame, finish_reply, frame_codec,
};
use monoio::io::{CancelHandle, Canceller};
use monoio::net::TcpStream;
use monoio::net::tcp::{TcpOwnedReadHalf, TcpOwnedWriteHalf};

use super::identity::{Identity, Login, Terms};
use super::inflight::InFlight;
use super::outbox::Outbox;
use super::{batch, call, login};
use crate::auth::AuthError;
use crate::error::Error;
use crate::frontend::registry::{Nudge, Phase, Presence, Serving};
use crate::frontend::worker::Thread;
use crate::observe::{CacheOutcome, Transport};
use crate::pipeline::{Finished, Trace, Worker};
use crate::reply;

/// Whether a connection goes on after a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Continue,
    /// Nothing is served before [`login::finish`] has answered the HELLO.
    Claim,
    /// No further call may begin now.
    Full,
    Close,
}

/// A connection's state. Shared by its reader and by the tasks of its calls, all on one thread.
pub(super) struct Connection {
    pub(super) thread: Rc<Thread>,
    pub(super) presence: Rc<Presence>,
    pub(super) login: RefCell<Option<Login>>,
    /// A HELLO that waits for other instances.
    pub(super) claimed: RefCell<Option<Box<login::Claimed>>>,
    pub(super) inflight: InFlight,
    pub(super) terms: Terms,
    /// Tells connections apart in the log.
    pub(super) number: u64,
    outbox: Outbox,
    /// Of the last frame with a payload of values: what no frame asks for is told in it.
    codec: Cell<Codec>,
    pub(super) peer: SocketAddr,
    /// When the bytes that are being served arrived.
    arrived: Cell<Instant>,
    /// Cancels the read that is waited for, if it can be cancelled.
    watch: RefCell<Option<Canceller>>,
    /// Whether that read has a large buffer.
    has_large_buffer: Cell<bool>,
    told_to_leave: Cell<bool>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) fn new(
        thread: Rc<Thread>,
        presence: Rc<Presence>,
        identity: Identity,
        socket: TcpOwnedWriteHalf,
    ) -> Self {
        let Identity { number, peer, terms, login, codec } = identity;
        Self {
            login: RefCell::new(login),
            claimed: RefCell::new(None),
            inflight: InFlight::new(terms.inflight_max),
            terms,
            number,
            outbox: Outbox::new(socket),
            codec: Cell::new(codec),
            peer,
            arrived: Cell::new(Instant::now()),
            watch: RefCell::new(None),
            has_large_buffer: Cell::new(false),
            told_to_leave: Cell::new(false),
            thread,
            presence,
        }
    }

    /// What is left of it when it is parked.
    pub(super) fn into_parts(self, socket: TcpOwnedReadHalf) -> Option<(TcpStream, Identity)> {
        let Self { number, peer, terms, login, codec, outbox, .. } = self;
        let (login, codec) = (login.into_inner(), codec.get());
        Some((outbox.reunite(socket)?, Identity { number, peer, terms, login, codec }))
    }

    /// Answers the thread's nudges from now on.
    pub(super) fn listen_to_nudges(self: &Rc<Self>) {
        let connection = Rc::downgrade(self);
        self.presence.on_nudge(move |nudge| {
            if let Some(connection) = connection.upgrade() {
                match nudge {
                    Nudge::Second => connection.look_after_read(),
                    Nudge::Drain => Rc::clone(&connection).drain(),
                }
            }
        });
    }

    pub(super) fn worker(&self) -> &Worker {
        &self.thread.worker
    }

    /// The name of a request in logs.
    pub(super) const fn trace(&self, request: RequestId) -> Trace<'static> {
        Trace::Numbered { connection: self.number, request: request.0 }
    }

    /// Seconds since 1970; read once a second, which is as exact as a token's `exp`.
    pub(super) fn unix_seconds(&self) -> u64 {
        self.presence.unix_seconds()
    }

    /// When the bytes that are being served arrived.
    pub(super) fn arrival(&self) -> Instant {
        self.arrived.get()
    }

    /// Bytes arrived. While they are served the client may be held back, which is no silence of its own;
    /// what is waited for then has its own limits.
    pub(super) fn arrived(&self) {
        self.arrived.set(Instant::now());
        self.presence.hears();
        if self.login.borrow().is_some() && self.presence.phase() == Phase::Idle {
            self.presence.enter(Phase::Serving);
        }
    }

    /// What arrived was served.
    ///
    /// - `in_frame`: whether it ended in the middle of a frame, which must then arrive in time as a whole.
    pub(super) fn listens(&self, in_frame: bool) {
        if self.login.borrow().is_none() {
            return;
        }
        if in_frame {
            self.presence.stay(Phase::Reading);
        } else {
            self.presence.enter(Phase::Idle);
        }
    }

    /// Runs the rest of one request of `calls` calls beside the reader, then sends what it wrote.
    pub(super) fn spawn(self: &Rc<Self>, calls: u32, work: impl Future<Output = ()> + 'static) {
        self.inflight.begin(calls);
        let under_way = UnderWay {
            connection: Rc::clone(self),
            calls,
            _serving: self.presence.begin_request(),
        };
        let connection = Rc::clone(self);
        let weak = Rc::downgrade(self);
        let work = async move {
            work.await;
            drop(under_way);
            connection.flush().await;
        };
        self.thread.spawn(work, move || {
            // Its reply is lost, or stands half written in the outbox: nothing more may follow it.
            if let Some(connection) = weak.upgrade() {
                connection.outbox.give_up();
                connection.presence.cut();
            }
        });
    }

    pub(super) const fn frame_bytes_max(&self) -> u32 {
        self.terms.frame_bytes_max
    }

    /// The client sent a payload of values in this codec: it asks for something.
    pub(super) fn speaks(&self, codec: Codec) {
        self.codec.set(codec);
        self.presence.asks();
    }

    /// Serves one frame.
    pub(super) fn serve_frame(self: &Rc<Self>, header: &FrameHeader, payload: &mut [u8]) -> Flow {
        if !matches!(header.kind, FrameKind::Ping | FrameKind::Pong) {
            self.speaks(header.codec);
        }
        match header.kind {
            FrameKind::Hello => return login::serve(self, header, payload),
            FrameKind::Ping => self.pong(header, payload),
            FrameKind::Pong => {}
            _ if self.login.borrow().is_none() => {
                let error = Error::Auth(AuthError::Missing);
                self.refuse(header.request_id, header.codec, &error);
                return Flow::Close;
            }
            FrameKind::Call => call::serve(self, header, payload),
            FrameKind::Batch => batch::serve(self, header, payload),
            FrameKind::Welcome
            | FrameKind::Reply
            | FrameKind::Subscribe
            | FrameKind::Unsubscribe
            | FrameKind::Event
            | FrameKind::GoAway => {
                let message = "this kind of frame is not taken from a client".into();
                let error = Error::Wire { code: Code::UnknownKind, message };
                self.refuse(header.request_id, header.codec, &error);
            }
        }
        Flow::Continue
    }

    fn pong(&self, header: &FrameHeader, payload: &[u8]) {
        let pong = FrameHeader { kind: FrameKind::Pong, ..*header };
        self.send(&pong, |out| out.extend_from_slice(payload));
    }

    /// Appends a frame.
    pub(super) fn send(&self, header: &FrameHeader, write: impl FnOnce(&mut Vec<u8>)) {
        self.outbox.append_small(|out| {
            let start = begin_frame(out, header);
            write(out);
            // Fails for a payload beyond 4 GiB only, which no limit lets through.
            let _finished = finish_frame(out, start);
        });
    }

    /// Lets `write` append to what leaves next.
    pub(super) fn append<R>(&self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        self.outbox.append(&self.thread.buffers, write)
    }

    /// Answers what is no call with a refusal, and tells metrics and log.
    pub(super) fn refuse(&self, id: RequestId, codec: Codec, error: &Error) {
        self.append(|out| write_refusal(out, id, codec, error));
        self.worker().report(error, None, self.trace(id));
        self.worker().finish(&Finished {
            transport: Transport::Tcp,
            peer: self.peer,
            trace: self.trace(id),
            operation: None,
            caller: None,
            code: error.code(),
            outcome: CacheOutcome::Bypass,
            arrived: self.arrived.get(),
        });
    }

    /// Answers a frame that cannot be read. Returns how many of its bytes are to be passed over; `None`: the
    /// stream is lost, and the connection closes after the answer.
    ///
    /// - `bytes`: what has arrived of it.
    pub(super) fn refuse_frame(&self, bytes: &[u8], error: &FrameError) -> Option<usize> {
        let codec = frame_codec(bytes).unwrap_or(self.codec.get());
        let skip = error.skip();
        let id = skip.map_or(RequestId::CONNECTION, |skip| skip.request_id);
        self.refuse(id, codec, &Error::from(error));
        skip.map(|skip| skip.frame_bytes)
    }

    /// Counts the hits of the frames that were served since the last receive or wait.
    pub(super) fn settle(&self) {
        self.worker().settle(self.arrived.get());
    }

    pub(super) async fn flush(&self) {
        self.outbox.flush(&self.thread.buffers, &self.presence).await;
    }

    pub(super) fn is_broken(&self) -> bool {
        self.outbox.is_broken()
    }

    /// Whether no further call may begin now.
    pub(super) fn is_full(&self) -> bool {
        self.inflight.is_full() || self.outbox.is_full()
    }

    /// Whether so many answers wait that no further read's may join them: calls that were taken when there was room
    /// can give more than anybody should keep for a client that does not read.
    pub(super) fn is_flooded(&self) -> bool {
        self.outbox.is_flooded()
    }

    /// Waits until a further call may begin.
    pub(super) async fn wait_for_place(&self) {
        self.inflight.wait_for_place().await;
        self.outbox.wait_for_room().await;
    }

    pub(super) async fn wait_for_room(&self) {
        self.outbox.wait_for_room().await;
    }

    /// Waits until every call is answered and every answer has left.
    pub(super) async fn finish(&self) {
        self.inflight.wait_for_none().await;
        self.flush().await;
        self.outbox.wait_until_empty().await;
    }

    pub(super) fn take_buffer(&self) -> Vec<u8> {
        self.thread.buffers.take()
    }

    pub(super) fn give_back(&self, buffer: Vec<u8>) {
        self.thread.buffers.put(buffer);
    }

    /// What the next read is cancelled with.
    ///
    /// - `is_large`: whether it has a large buffer.
    pub(super) fn watch(&self, is_large: bool) -> CancelHandle {
        self.has_large_buffer.set(is_large);
        self.watch.borrow_mut().get_or_insert_default().handle()
    }

    /// Whether it has been silent for long, and nothing is owed to it: it can do without a task.
    pub(super) fn may_park(&self) -> bool {
        self.presence.is_dormant()
            && self.login.borrow().is_some()
            && self.inflight.count() == 0
            && self.outbox.is_empty()
            && !self.is_broken()
            && !self.told_to_leave.get()
    }

    /// Takes a silent connection's large buffer away, or ends its wait for it to be parked.
    fn look_after_read(&self) {
        let is_needless = || {
            self.has_large_buffer.get() || self.presence.phase() == Phase::Idle && self.may_park()
        };
        if self.presence.is_silent()
            && is_needless()
            && let Some(canceller) = self.watch.take()
        {
            canceller.cancel();
        }
    }

    /// Tells the client once to leave, and lets it go when nothing is owed to it.
    fn drain(self: Rc<Self>) {
        if !self.told_to_leave.replace(true) {
            let header = FrameHeader {
                length: 0,
                kind: FrameKind::GoAway,
                codec: self.codec.get(),
                flags: 0,
                request_id: RequestId::CONNECTION,
                deadline_ms_or_code: 0,
            };
            let reason = GoAway { reason: "the gateway is shutting down".into() };
            self.send(&header, |out| reason.encode(header.codec, out));
            let connection = Rc::clone(&self);
            self.thread.spawn(async move { connection.flush().await }, || {});
        } else if self.inflight.count() == 0 && self.outbox.is_empty() {
            self.presence.cut();
        }
    }
}

/// Places of a request's calls, given back however its task ends.
struct UnderWay {
    connection: Rc<Connection>,
    calls: u32,
    _serving: Serving,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.connection.inflight.end(self.calls);
    }
}

/// Appends a REPLY with a refusal.
pub(super) fn write_refusal(out: &mut Vec<u8>, id: RequestId, codec: Codec, error: &Error) {
    let start = begin_reply(out, id, codec, 0);
    reply::write_refusal(error, codec, out);
    let _finished = finish_reply(out, start, error.code());
}
