//! HTTP/1.1 and HTTP/2 (prior knowledge), on the same data path as everything else.
//!
//! [`serve`] tells the two apart by their first bytes and drives the connection: [`plain`] reads and answers plain HTTP/1.1
//! requests, hyper all others. [`exchange`] leads a request of either to its answer; [`request`] turns it into parameters,
//! [`response`] an answer into headers and a body, [`fields`] is what both ways' headers have in common, [`cors`] answers for
//! pages of other origins, [`batch`] serves several calls in one request, [`condition`] reads the headers that
//! change what a write does.
//!
//! Invariant: a request's header, body and answer each have a limit in bytes and in time.

mod batch;
mod condition;
mod cors;
mod exchange;
mod fields;
mod io;
mod location;
mod plain;
mod request;
mod response;
mod unread;

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use bytes::Bytes;
use gateway_protocol::Code;
use http_body_util::Full;
use hyper::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use monoio::io::AsyncReadRent;
use monoio::net::TcpStream;
use monoio_compat::StreamWrapper;
use monoio_compat::hyper::{MonoioExecutor, MonoioIo, MonoioTimer};

use self::io::NotedIo;
pub(super) use self::plain::{Dates, Learned, Parked};
use self::plain::{Ended, HandedOver, IDLE_BUFFER_BYTES, Plain};
use super::parking;
use super::registry::{Nudge, Phase, PhaseLimits, Presence, whole_seconds};
use super::worker::Thread;
use crate::config::HttpConfig;
use crate::observe::{CacheOutcome, Transport};
use crate::pipeline::{Finished, Worker};

/// How an HTTP/2 connection begins (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of each of a connection's two buffers between the ring and hyper.
const STREAM_BUFFER_BYTES: usize = 8 << 10;

/// What every exchange of a connection needs.
#[derive(Clone, Debug)]
struct Connection {
    thread: Rc<Thread>,
    presence: Rc<Presence>,
    peer: SocketAddr,
}

/// Serves one connection to its end, or until it is to be parked.
///
/// No `async fn`: what such a function is called with stands in its state twice, for every idle connection.
pub(super) fn serve(
    thread: Rc<Thread>,
    stream: TcpStream,
) -> impl Future<Output = Option<parking::Parked>> {
    // Boxed: it is over before a connection is idle.
    run(Box::pin(begin(thread, stream)))
}

/// Serves a connection that was parked, to its end or until it is parked again.
pub(super) fn resume(
    thread: Rc<Thread>,
    parked: Parked,
) -> impl Future<Output = Option<parking::Parked>> {
    // Boxed, as there is nothing to begin with: it is over at once.
    run(Box::pin(async move {
        let Parked { stream, limits, left, head_bytes_max } = parked;
        let peer = stream.peer_addr().ok()?;
        let place = thread.http.join(stream.as_raw_fd(), limits, Phase::Idle);
        place.presence().comes_back(left);
        let connection = Connection { thread, presence: Rc::clone(place.presence()), peer };
        let bytes = Vec::with_capacity(IDLE_BUFFER_BYTES);
        Some(Plain::new(connection, HandedOver { place, stream, bytes }, head_bytes_max))
    }))
}

async fn run(begun: Pin<Box<impl Future<Output = Option<Plain>>>>) -> Option<parking::Parked> {
    let mut plain = begun.await?;
    match plain.run().await {
        Ended::Over => None,
        Ended::Unusual => {
            Box::pin(serve_unusual(plain)).await;
            None
        }
        Ended::Dormant => Some(parking::Parked::Http(Box::new(plain.park()))),
    }
}

/// Begins a connection; HTTP/2 is served to its end. `None`: nothing is left to serve.
async fn begin(thread: Rc<Thread>, mut stream: TcpStream) -> Option<Plain> {
    let whole = Arc::clone(&thread.worker.snapshot().config);
    let config = &whole.server.http;
    let peer = stream.peer_addr().ok()?;
    let fd = stream.as_raw_fd();
    let registry = Rc::clone(&thread.http);
    let bytes = first_bytes(&registry, config, fd, &mut stream).await?;
    let is_http2 = bytes.starts_with(PREFACE);
    let mut limits = limits(config);
    if is_http2 {
        // Frames arrive at any time there; only silence counts.
        limits.reading = limits.idle;
    }
    let place = registry.join(fd, limits, Phase::Reading);
    let connection = Connection { thread, presence: Rc::clone(place.presence()), peer };
    let over = HandedOver { place, stream, bytes };
    if is_http2 {
        Box::pin(serve_by_hyper(connection, over, config, true)).await;
        return None;
    }
    Some(Plain::new(connection, over, config.header_bytes_max as usize))
}

/// Serves what is not plain any more.
async fn serve_unusual(plain: Plain) {
    let (connection, over) = plain.hand_over();
    let whole = Arc::clone(&connection.thread.worker.snapshot().config);
    serve_by_hyper(connection, over, &whole.server.http, false).await;
}

/// Serves what is HTTP/2, or not plain, to its end.
async fn serve_by_hyper(
    connection: Connection,
    over: HandedOver,
    config: &HttpConfig,
    is_http2: bool,
) {
    let HandedOver { place, stream, bytes } = over;
    let stream =
        StreamWrapper::new_with_buffer_size(stream, STREAM_BUFFER_BYTES, STREAM_BUFFER_BYTES);
    let io = NotedIo::new(MonoioIo::new(stream), bytes, Rc::clone(place.presence()));
    // A connection that fails has nobody left to tell.
    if is_http2 {
        serve_http2(connection, io, config).await;
    } else {
        serve_http1(connection, io, config).await;
    }
    drop(place);
}

fn limits(config: &HttpConfig) -> PhaseLimits {
    PhaseLimits {
        idle: whole_seconds(config.idle_timeout),
        reading: whole_seconds(config.read_timeout),
        writing: whole_seconds(config.write_timeout),
        greeting: whole_seconds(config.read_timeout),
    }
}

/// Reads until the bytes are, or cannot become, the HTTP/2 preface. `None`: the client left.
async fn first_bytes(
    registry: &Rc<super::registry::Registry>,
    config: &HttpConfig,
    fd: std::os::fd::RawFd,
    stream: &mut TcpStream,
) -> Option<Vec<u8>> {
    let place = registry.join(fd, limits(config), Phase::Greeting);
    let presence = Rc::downgrade(place.presence());
    // Nothing was asked yet, so nothing is owed.
    place.presence().on_nudge(move |nudge| {
        if let (Nudge::Drain, Some(presence)) = (nudge, presence.upgrade()) {
            presence.cut();
        }
    });
    let mut bytes = Vec::with_capacity(IDLE_BUFFER_BYTES);
    loop {
        let (read, next) = stream.read(bytes_after(bytes)).await;
        bytes = next.into_inner();
        if !matches!(read, Ok(count) if count > 0) {
            return None;
        }
        let begun = PREFACE.starts_with(&bytes) && bytes.len() < PREFACE.len();
        if !begun {
            return Some(bytes);
        }
    }
}

/// The free space of a buffer, for a read to fill.
fn bytes_after(bytes: Vec<u8>) -> monoio::buf::SliceMut<Vec<u8>> {
    let (filled, capacity) = (bytes.len(), bytes.capacity());
    monoio::buf::SliceMut::new(bytes, filled, capacity)
}

type Answer = Result<Response<Full<Bytes>>, Infallible>;

fn service(
    connection: Connection,
) -> impl Fn(hyper::Request<Incoming>) -> Pin<Box<dyn Future<Output = Answer>>> {
    move |request| {
        let connection = connection.clone();
        Box::pin(async move { Ok(exchange::exchange(&connection, request).await) })
    }
}

/// Lets the connection's task look again when the thread drains.
fn wake_on_drain(presence: &Presence, hooked: &mut bool, context: &Context<'_>) {
    if !std::mem::replace(hooked, true) {
        let waker = context.waker().clone();
        presence.on_nudge(move |nudge| {
            if nudge == Nudge::Drain {
                waker.wake_by_ref();
            }
        });
    }
}

async fn serve_http1<T>(connection: Connection, io: NotedIo<T>, config: &HttpConfig)
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
{
    let (thread, presence) = (Rc::clone(&connection.thread), Rc::clone(&connection.presence));
    let peer = connection.peer;
    let mut builder = hyper::server::conn::http1::Builder::new();
    // No `pipeline_flush`: with it hyper drops its own answer to a broken request (400, 431), because the
    // bytes that it could not parse still wait in its buffer. A client may end its side and still read.
    builder.max_buf_size((config.header_bytes_max as usize).max(8 << 10)).half_close(true);
    let serving = builder.serve_connection(io, service_fn(service(connection)));
    let mut serving = pin!(serving);
    let (mut told, mut hooked) = (false, false);
    let ended = poll_fn(|context| {
        wake_on_drain(&presence, &mut hooked, context);
        if thread.worker.core().is_draining() && !told {
            told = true;
            serving.as_mut().graceful_shutdown();
        }
        serving.as_mut().poll(context)
    });
    if let Err(error) = ended.await
        && error.is_parse()
    {
        // Answered by hyper and `unread`; nothing of ours has seen it.
        let code = if error.is_parse_too_large() { Code::TooLarge } else { Code::Malformed };
        count_unread(&thread.worker, peer, code);
    }
}

/// Counts and logs bytes that were no request.
fn count_unread(worker: &Worker, peer: SocketAddr, code: Code) {
    let arrived = Instant::now();
    worker.begin_request(arrived);
    worker.finish(&Finished {
        transport: Transport::Http,
        peer,
        trace: worker.next_trace(),
        operation: None,
        caller: None,
        code: code.number(),
        outcome: CacheOutcome::Bypass,
        arrived,
    });
}

async fn serve_http2<T>(connection: Connection, io: NotedIo<T>, config: &HttpConfig)
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
{
    let (thread, presence) = (Rc::clone(&connection.thread), Rc::clone(&connection.presence));
    let mut builder = hyper::server::conn::http2::Builder::new(MonoioExecutor);
    builder
        .timer(MonoioTimer)
        .max_concurrent_streams(config.http2_streams_max)
        .max_header_list_size(config.header_bytes_max)
        .max_local_error_reset_streams(Some(64))
        .keep_alive_interval(Some(config.idle_timeout))
        .keep_alive_timeout(config.read_timeout);
    let serving = builder.serve_connection(io, service_fn(service(connection)));
    let mut serving = pin!(serving);
    let (mut told, mut hooked) = (false, false);
    let ended = poll_fn(|context| {
        wake_on_drain(&presence, &mut hooked, context);
        // A stream's limits are its request's own; the connection's is that somebody is there.
        presence.enter(if presence.is_serving() { Phase::Serving } else { Phase::Idle });
        if thread.worker.core().is_draining() && !told {
            told = true;
            serving.as_mut().graceful_shutdown();
        }
        serving.as_mut().poll(context)
    });
    drop(ended.await);
}
