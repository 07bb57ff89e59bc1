//! The game servers' protocol: frames in, frames out.
//!
//! [`serve`] reads a connection; [`login`] takes its HELLO, [`call`] serves its calls,
//! [`batch`] its batches, [`pipelined`] looks calls up that arrived together, [`outbox`] sends the replies, and [`parked`] is
//! what is left of one that is silent for long. A hit is
//! answered while the frames of one receive are gone through, and all of them leave in one send. A miss becomes a task of its own, so replies may
//! come out of order.
//!
//! Invariant: nothing is read while `inflight_max` calls are under way or a megabyte of replies
//! waits: TCP holds the client back.

mod batch;
mod call;
mod connection;
mod identity;
mod inflight;
mod login;
mod outbox;
mod parked;
mod pipelined;
mod reader;

use std::os::fd::AsRawFd;
use std::rc::Rc;

use gateway_protocol::Codec;
use monoio::io::Splitable;
use monoio::net::TcpStream;

use self::connection::Connection;
use self::identity::Identity;
pub(super) use self::parked::{Parked, resume};
pub(super) use self::pipelined::Scratch;
use self::reader::{Ended, Reader};
use super::parking;
use super::registry::{Phase, PhaseLimits, Place, whole_seconds};
use super::worker::Thread;

/// Serves one connection to its end, or until it is to be parked.
///
/// What the future holds is memory of every idle connection: what it begins with stands in a box until it is opened, because
/// a future keeps the room of its arguments to its end.
pub(super) fn serve(
    thread: Rc<Thread>,
    stream: TcpStream,
) -> impl Future<Output = Option<parking::Parked>> {
    let beginning = Box::new((thread, stream));
    async move {
        let opened = {
            let (thread, stream) = *beginning;
            open(&thread, stream)
        };
        match opened {
            Some(opened) => run(opened).await,
            None => None,
        }
    }
}

/// Serves what was opened.
async fn run(opened: Opened) -> Option<parking::Parked> {
    let (mut reader, mut connection, end) = opened;
    while reader.run(&connection).await == Ended::Dormant {
        match Rc::try_unwrap(connection) {
            Ok(connection) => {
                let parked = Parked::new(reader, connection, end)?;
                return Some(parking::Parked::Tcp(Box::new(parked)));
            }
            // The task of a call is about to end.
            Err(shared) => connection = shared,
        }
    }
    drop(end);
    None
}

/// A connection's reading side, its state, and its end.
type Opened = (Reader, Rc<Connection>, End);

/// The end of a connection, also by a panic of its reader: what still runs for it has nobody to answer to.
/// Comes while the socket is certainly still this connection's.
struct End(Option<Place>);

impl End {
    /// It does not end: its socket goes somewhere else.
    fn leave(mut self) {
        self.0.take();
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if let Some(place) = &self.0 {
            place.presence().cut();
        }
    }
}

fn open(thread: &Rc<Thread>, stream: TcpStream) -> Option<Opened> {
    let snapshot = thread.worker.snapshot();
    let config = &snapshot.config.server.tcp;
    let silence = whole_seconds(config.heartbeat * 2);
    let limits = PhaseLimits {
        idle: silence,
        reading: silence,
        writing: whole_seconds(config.write_timeout),
        greeting: whole_seconds(config.hello_timeout),
    };
    let identity = Identity {
        number: thread.worker.core().next_connection(),
        peer: stream.peer_addr().ok()?,
        terms: config.into(),
        login: None,
        codec: Codec::MsgPack,
    };
    let place = thread.tcp.join(stream.as_raw_fd(), limits, Phase::Greeting);
    Some(enter(thread, stream, identity, place))
}

fn enter(thread: &Rc<Thread>, stream: TcpStream, identity: Identity, place: Place) -> Opened {
    let (read_half, write_half) = stream.into_split();
    let presence = Rc::clone(place.presence());
    let connection = Rc::new(Connection::new(Rc::clone(thread), presence, identity, write_half));
    connection.listen_to_nudges();
    (Reader::new(read_half), connection, End(Some(place)))
}
