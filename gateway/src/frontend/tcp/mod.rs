//! The game servers' protocol: frames in, frames out.
//!
//! [`serve`] reads a connection; [`login`] takes its HELLO, [`call`] serves its calls,
//! [`batch`] its batches, [`pipelined`] looks calls up that arrived together, and [`outbox`] sends the replies. A hit is
//! answered while the frames of one receive are gone through, and all of them leave in one send. A miss becomes a task of its own, so replies may
//! come out of order.
//!
//! Invariant: nothing is read while `inflight_max` calls are under way or a megabyte of replies
//! waits: TCP holds the client back.

mod batch;
mod call;
mod connection;
mod inflight;
mod login;
mod outbox;
mod pipelined;
mod reader;

use std::os::fd::AsRawFd;
use std::rc::Rc;

use monoio::io::Splitable;
use monoio::net::TcpStream;

use self::connection::Connection;
pub(super) use self::pipelined::Scratch;
use self::reader::Reader;
use super::registry::{Phase, PhaseLimits, Place, whole_seconds};
use super::worker::Thread;

/// Serves one connection to its end.
///
/// What the future holds is memory of every idle connection: what it begins with stands in a box until it is opened, because
/// a future keeps the room of its arguments to its end.
pub(super) fn serve(thread: Rc<Thread>, stream: TcpStream) -> impl Future<Output = ()> {
    let beginning = Box::new((thread, stream));
    async move {
        let opened = {
            let (thread, stream) = *beginning;
            open(&thread, stream)
        };
        let Some((mut reader, connection, end)) = opened else { return };
        reader.run(&connection).await;
        drop(end);
    }
}

/// The end of a connection, also by a panic of its reader: what still runs for it has nobody to answer to.
/// Comes while the socket is certainly still this connection's.
struct End(Place);

impl Drop for End {
    fn drop(&mut self) {
        self.0.presence().cut();
    }
}

fn open(thread: &Rc<Thread>, stream: TcpStream) -> Option<(Reader, Rc<Connection>, End)> {
    let config = {
        let snapshot = thread.worker.snapshot();
        snapshot.config.server.tcp.clone()
    };
    let silence = whole_seconds(config.heartbeat * 2);
    let limits = PhaseLimits {
        idle: silence,
        reading: silence,
        writing: whole_seconds(config.write_timeout),
        greeting: whole_seconds(config.hello_timeout),
    };
    let fd = stream.as_raw_fd();
    let peer = stream.peer_addr().ok()?;
    let (read_half, write_half) = stream.into_split();
    let reader = Reader::new(read_half);
    let place = thread.tcp.join(fd, limits, Phase::Greeting);
    let connection = Rc::new(Connection::new(
        Rc::clone(thread),
        Rc::clone(place.presence()),
        peer,
        &config,
        write_half,
    ));
    connection.listen_to_nudges();
    Some((reader, connection, End(place)))
}
