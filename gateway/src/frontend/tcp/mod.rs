//! The game servers' protocol: frames in, frames out.
//!
//! [`serve`] reads a connection; [`login`] takes its HELLO, [`call`] serves its CALLs,
//! [`batch`] its BATCHes, and [`outbox`] sends the replies. A hit is answered while the frames of one receive are
//! gone through, and all of them leave in one send. A miss becomes a task of its own, so replies may
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
mod reader;

use std::os::fd::AsRawFd;
use std::rc::Rc;

use monoio::io::Splitable;
use monoio::net::TcpStream;

use self::connection::Connection;
use self::reader::Reader;
use super::registry::{Phase, PhaseLimits, Place};
use super::worker::Thread;

/// Serves one connection to its end.
pub(super) async fn serve(thread: Rc<Thread>, stream: TcpStream) {
    let config = {
        let snapshot = thread.worker.snapshot();
        snapshot.config.server.tcp.clone()
    };
    let seconds = |duration: std::time::Duration| {
        u32::try_from(duration.as_secs()).unwrap_or(u32::MAX).max(1)
    };
    let silence = seconds(config.heartbeat * 2);
    let limits = PhaseLimits {
        idle: silence,
        reading: silence,
        writing: seconds(config.write_timeout),
        greeting: seconds(config.hello_timeout),
    };
    let fd = stream.as_raw_fd();
    let Ok(peer) = stream.peer_addr() else { return };
    let (read_half, write_half) = stream.into_split();
    let reader = Reader::new(read_half);
    // After the reader, so that it is left before the socket closes.
    let place = thread.tcp.join(fd, limits, Phase::Greeting);
    let presence = Rc::clone(place.presence());
    let connection =
        Rc::new(Connection::new(Rc::clone(&thread), presence, peer, &config, write_half));
    // After the connection, so that it ends while the socket is certainly still this connection's.
    let _end = End(place);
    connection.listen_to_nudges();
    reader.run(&connection).await;
}

/// The end of a connection, also by a panic of its reader: what still runs for it has nobody to answer to.
struct End(Place);

impl Drop for End {
    fn drop(&mut self) {
        self.0.presence().cut();
    }
}
