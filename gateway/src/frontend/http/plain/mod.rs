//! Plain HTTP/1.1 requests without hyper.
//!
//! [`Plain::run`] drives a connection: [`reader`] receives, [`parse`] says whether a request is plain, [`hit`] answers what L1 has,
//! without reading it anew where [`learned`] knows what it looks like, `exchange` everything else, as it does behind hyper, and
//! [`write`] makes bytes of it. Requests that arrived together are answered in order and leave in one send.
//!
//! Invariant: a request is answered here as a whole, or not touched: at the first that is not plain, all bytes from its beginning
//! on go to hyper, for the rest of the connection's life.

mod hit;
mod learned;
mod parked;
mod parse;
mod reader;
mod write;

#[cfg(test)]
mod differ;
#[cfg(test)]
mod testing;

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, Uri};
use monoio::buf::IoBuf;
use monoio::io::AsyncWriteRent;
use monoio::net::TcpStream;

pub(in crate::frontend) use self::learned::Learned;
use self::learned::SectionIndex;
pub(in crate::frontend) use self::parked::Parked;
use self::parse::{Stop, parse};
pub(super) use self::reader::IDLE_BUFFER_BYTES;
use self::reader::{Reader, Received};
pub(in crate::frontend) use self::write::Dates;
use self::write::Moment;
use super::Connection;
use super::exchange::exchange;
use crate::frontend::catch::catch_sync;
use crate::frontend::registry::{Phase, Place};

/// Bytes of answers that leave before further requests are served.
const WAITING_BYTES_MAX: usize = 64 << 10;

/// A connection that is not to be served here any further, and what has arrived and was not served.
#[derive(Debug)]
pub(super) struct HandedOver {
    pub(super) place: Place,
    pub(super) stream: TcpStream,
    pub(super) bytes: Vec<u8>,
}

/// How [`Plain::run`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Over,
    /// What comes next is not plain: it is to be handed over.
    Unusual,
    /// Silent for long, with nothing that is owed to it.
    Dormant,
}

/// What is known of a request that has not all arrived.
#[derive(Clone, Copy, Debug, Default)]
struct Incomplete {
    /// Bytes in which its head does not end.
    headless: usize,
    /// Bytes of the whole, once its head is there.
    wanted: usize,
}

impl Incomplete {
    /// Whether it can be whole now: a head is read again only when it has an end, which is looked for once in each byte; also
    /// one that is an end for hyper only, for that will never be plain.
    fn may_be_whole(&mut self, bytes: &[u8]) -> bool {
        if bytes.len() < self.wanted {
            return false;
        }
        if self.headless == 0 {
            return true;
        }
        let from = self.headless.saturating_sub(3);
        self.headless = bytes.len();
        let ends =
            |window: &[u8]| matches!(window, [b'\n', b'\n', _] | [_, b'\n', b'\n'] | b"\n\r\n");
        bytes.get(from..).unwrap_or_default().windows(3).any(ends)
    }
}

/// What comes after the requests of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Receive,
    HandOver,
    Close,
}

/// What comes after some hits.
enum Next {
    /// Nothing more has arrived, or nothing more is to be served.
    Done(Flow),
    /// No further request is whole, or plain.
    Stop(Stop),
    /// Enough waits.
    Send,
    /// A plain request that is no hit.
    Exchange(Bytes),
}

/// One connection. The place goes first: it must be left before the socket is closed.
pub(super) struct Plain {
    place: Place,
    connection: Connection,
    stream: TcpStream,
    reader: Reader,
    incomplete: Incomplete,
    /// Answers that have not left.
    out: Vec<u8>,
    /// Where its header section may be remembered.
    section: SectionIndex,
    head_bytes_max: usize,
}

impl Plain {
    /// A connection with what has arrived.
    ///
    /// - `head_bytes_max`: longest head.
    pub(super) fn new(connection: Connection, from: HandedOver, head_bytes_max: usize) -> Self {
        let HandedOver { place, stream, bytes } = from;
        Self {
            reader: Reader::new(bytes, Rc::clone(place.presence())),
            place,
            connection,
            stream,
            incomplete: Incomplete::default(),
            out: Vec::new(),
            section: 0,
            head_bytes_max,
        }
    }

    /// What is to be served otherwise.
    pub(super) fn hand_over(self) -> (Connection, HandedOver) {
        let Self { place, connection, stream, reader, .. } = self;
        (connection, HandedOver { place, stream, bytes: reader.into_rest() })
    }

    /// What is left of it when it is dormant.
    pub(super) fn park(self) -> Parked {
        let Self { place, stream, head_bytes_max, .. } = self;
        let (limits, left) = place.presence().left();
        Parked { stream, limits, left, head_bytes_max }
    }

    /// Serves it to its end, to its first request that is not plain, or until it has been silent for long.
    ///
    /// An idle connection keeps the room of everything that this awaits: what is not waited for then is boxed.
    pub(super) async fn run(&mut self) -> Ended {
        loop {
            let mut flow = self.serve_requests().await;
            if self.send().await.is_err() {
                flow = Flow::Close;
            }
            if flow == Flow::Receive {
                let buffers = &self.connection.thread.buffers;
                let received = self.reader.receive(&mut self.stream, buffers).await;
                if received == Received::Nothing {
                    return Ended::Dormant;
                }
                if received == Received::End {
                    // What the client did not finish is for hyper to answer.
                    let is_over = self.reader.rest().is_empty();
                    flow = if is_over { Flow::Close } else { Flow::HandOver };
                }
            }
            match flow {
                Flow::Receive => {}
                Flow::HandOver => return Ended::Unusual,
                Flow::Close => {
                    self.reader.end(&self.connection.thread.buffers);
                    return Ended::Over;
                }
            }
        }
    }

    /// Serves every whole request of the buffer, or up to the first that is not plain.
    async fn serve_requests(&mut self) -> Flow {
        let mut arrived = Instant::now();
        loop {
            let next = self.serve_hits(arrived);
            self.connection.thread.worker.settle(arrived);
            let waiting = match next {
                Next::Done(flow) => return flow,
                Next::Stop(stop) => return self.stop(stop),
                Next::Send => Box::pin(self.serve_waiting(None)),
                Next::Exchange(whole) => Box::pin(self.serve_waiting(Some(whole))),
            };
            if let Some(flow) = waiting.await {
                return flow;
            }
            arrived = Instant::now();
        }
    }

    /// Serves a request that is no hit, and sends what waits if it is enough. `None`: more may be served.
    async fn serve_waiting(&mut self, whole: Option<Bytes>) -> Option<Flow> {
        if let Some(whole) = whole {
            let Some(request) = request_of(&whole, self.head_bytes_max) else {
                return Some(Flow::HandOver);
            };
            let is_last = self.exchange(request).await;
            self.reader.skip(whole.len());
            if is_last.unwrap_or(true) {
                return Some(Flow::Close);
            }
        }
        let is_enough = self.out.len() >= WAITING_BYTES_MAX;
        (is_enough && self.send().await.is_err()).then_some(Flow::Close)
    }

    /// Answers hits, up to the first request that is none.
    fn serve_hits(&mut self, arrived: Instant) -> Next {
        loop {
            let rest = self.reader.rest();
            if rest.is_empty() || !self.incomplete.may_be_whole(rest) {
                let is_long = rest.len() >= self.head_bytes_max && self.incomplete.wanted == 0;
                return Next::Done(if is_long { Flow::HandOver } else { Flow::Receive });
            }
            let (length, is_last) = match self.serve_hit(arrived) {
                Ok(served) => served,
                Err(next) => return next,
            };
            self.reader.skip(length);
            if is_last {
                return Next::Done(Flow::Close);
            }
            if self.out.len() >= WAITING_BYTES_MAX {
                return Next::Send;
            }
        }
    }

    /// Answers the first request that is there, if it is a hit. Returns its length, and whether it is the connection's last.
    fn serve_hit(&mut self, arrived: Instant) -> Result<(usize, bool), Next> {
        let Self { connection, reader, section, out, .. } = self;
        if out.capacity() == 0 {
            *out = connection.thread.buffers.take();
        }
        let (connection, rest) = (&*connection, reader.rest());
        let moment = connection.moment();
        let when = (arrived, moment);
        let begun = rest.get(..self.head_bytes_max).unwrap_or(rest);
        let alike =
            connection.catch(out, |out| hit::serve_alike(connection, when, begun, *section, out));
        if let Some(length) = alike {
            self.incomplete = Incomplete::default();
            return Ok((length, moment.is_last));
        }
        let request = parse(rest, self.head_bytes_max).map_err(Next::Stop)?;
        self.incomplete = Incomplete::default();
        let is_hit = connection.catch(out, |out| {
            hit::serve(connection, &request, when, rest, section, out).then_some(())
        });
        if is_hit.is_none() {
            let whole = rest.get(..request.length).unwrap_or_default();
            return Err(Next::Exchange(Bytes::copy_from_slice(whole)));
        }
        Ok((request.length, moment.is_last))
    }

    /// What to do about bytes that are no plain request, or not yet.
    fn stop(&mut self, stop: Stop) -> Flow {
        let bytes = self.reader.rest().len();
        if self.out.is_empty() {
            // It may be long until there is an answer.
            self.connection.thread.buffers.put(std::mem::take(&mut self.out));
        }
        match stop {
            Stop::InHead if bytes < self.head_bytes_max => self.incomplete.headless = bytes,
            Stop::InBody(wanted) => {
                self.incomplete = Incomplete { headless: 0, wanted };
                self.reader.await_body();
            }
            Stop::InHead | Stop::Unusual => return Flow::HandOver,
        }
        Flow::Receive
    }

    /// Answers a request as hyper's are. Answers that wait leave first if this one takes long. Returns whether it is
    /// the connection's last.
    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> io::Result<bool> {
        let is_head = request.method() == Method::HEAD;
        let connection = self.connection.clone();
        let mut answering = Box::pin(exchange(&connection, request));
        let at_once = poll_fn(|context| Poll::Ready(answering.as_mut().poll(context))).await;
        let answer = match at_once {
            Poll::Ready(answer) => answer,
            Poll::Pending => {
                let sent = self.send().await;
                // Not dropped when the client has gone: what was begun is told of.
                let answer = answering.await;
                sent?;
                answer
            }
        };
        // It says that the connection is idle, which is not so before the answer has left.
        self.place.presence().enter(Phase::Serving);
        if self.out.capacity() == 0 {
            self.out = self.connection.thread.buffers.take();
        }
        let moment = self.connection.moment();
        write::response(answer, is_head, moment, &mut self.out);
        Ok(moment.is_last)
    }

    /// Sends what waits.
    async fn send(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let presence = Rc::clone(self.place.presence());
        presence.enter(Phase::Serving);
        let mut bytes = std::mem::take(&mut self.out);
        let (mut sent, mut result) = (0, Ok(()));
        while sent < bytes.len() && result.is_ok() {
            // Whoever takes some of it has time for the rest.
            presence.begin_write();
            let (written, slice) = self.stream.write(bytes.slice(sent..)).await;
            bytes = slice.into_inner();
            match written {
                Ok(0) => result = Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => result = Err(error),
            }
        }
        presence.end_write();
        self.connection.thread.buffers.put(bytes);
        result
    }
}

impl Connection {
    /// Runs what appends an answer. After a panic there is none of it.
    fn catch<T>(
        &self,
        out: &mut Vec<u8>,
        append: impl FnOnce(&mut Vec<u8>) -> Option<T>,
    ) -> Option<T> {
        let begin = out.len();
        catch_sync(|| append(out)).unwrap_or_else(|message| {
            self.thread.panicked(&message);
            out.truncate(begin);
            None
        })
    }

    fn is_draining(&self) -> bool {
        self.thread.worker.core().is_draining()
    }

    fn moment(&self) -> Moment<'_> {
        Moment {
            dates: &self.thread.dates,
            unix_seconds: self.presence.unix_seconds(),
            is_last: self.is_draining(),
        }
    }
}

/// A plain request as hyper would give it. `None`: it cannot be said so.
fn request_of(bytes: &Bytes, head_bytes_max: usize) -> Option<Request<Full<Bytes>>> {
    let plain = parse(bytes, head_bytes_max).ok()?;
    let mut headers = HeaderMap::with_capacity(plain.fields.len());
    for (name, value) in &plain.fields {
        let name = HeaderName::from_bytes(name).ok()?;
        headers.append(name, HeaderValue::from_maybe_shared(bytes.slice_ref(value)).ok()?);
    }
    let body = Full::new(bytes.slice_ref(plain.body));
    let mut request = Request::new(body);
    *request.method_mut() = plain.method.clone();
    *request.uri_mut() = Uri::from_maybe_shared(bytes.slice_ref(plain.target.as_bytes())).ok()?;
    *request.headers_mut() = headers;
    Some(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_is_read_again_when_it_has_an_end_of_any_kind_and_not_before() {
        for end in ["\r\n\r\n", "\n\n", "\n\r\n", "\r\n\n"] {
            let whole = format!("GET / HTTP/1.1\r\nHost: a{end}");
            for first in 1..whole.len() {
                let mut incomplete = Incomplete { headless: first, wanted: 0 };
                for length in first..whole.len() {
                    assert!(
                        !incomplete.may_be_whole(&whole.as_bytes()[..length]),
                        "{end:?} {length}"
                    );
                }
                assert!(incomplete.may_be_whole(whole.as_bytes()), "{end:?} {first}");
            }
        }
        let mut incomplete = Incomplete { headless: 0, wanted: 9 };
        assert!(!incomplete.may_be_whole(&[0; 8]) && incomplete.may_be_whole(&[0; 9]));
    }
}
