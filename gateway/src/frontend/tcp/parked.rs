//! A silent connection, between two tasks.

use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;

use monoio::net::TcpStream;

use super::connection::Connection;
use super::identity::Identity;
use super::reader::Reader;
use super::{End, enter, run};
use crate::frontend::parking;
use crate::frontend::registry::{Phase, PhaseLimits};
use crate::frontend::worker::Thread;

/// What a connection keeps while it has no task: its socket, and what was agreed on with whom.
#[derive(Debug)]
pub(in crate::frontend) struct Parked {
    stream: TcpStream,
    identity: Identity,
    limits: PhaseLimits,
    left: u32,
}

impl Parked {
    /// `None`: it cannot be, and has ended.
    pub(super) fn new(reader: Reader, connection: Connection, end: End) -> Option<Self> {
        let (limits, left) = connection.presence.left();
        end.leave();
        let (stream, identity) = connection.into_parts(reader.into_socket())?;
        Some(Self { stream, identity, limits, left })
    }

    /// The socket's number.
    pub(in crate::frontend) fn fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    /// Seconds that it may still be silent.
    pub(in crate::frontend) const fn left(&self) -> u32 {
        self.left
    }
}

/// Serves a connection that was parked, to its end or until it is parked again.
pub(in crate::frontend) fn resume(
    thread: Rc<Thread>,
    parked: Parked,
) -> impl Future<Output = Option<parking::Parked>> {
    let beginning = Box::new((thread, parked));
    async move {
        let opened = {
            let (thread, Parked { stream, identity, limits, left }) = *beginning;
            let place = thread.tcp.join(stream.as_raw_fd(), limits, Phase::Idle);
            place.presence().comes_back(left);
            enter(&thread, stream, identity, place)
        };
        run(opened).await
    }
}
