//! One connection to a database, on this thread's ring.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::time::Instant;

use monoio::buf::SliceMut;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::TcpStream;

use crate::backend::direct::{Direct, Ended, Place, Reading, Session, Step};

/// How many connections a line has.
#[derive(Debug, Default)]
pub(super) struct Seats(Rc<Cell<usize>>);

/// One of them; counted out when dropped.
#[derive(Debug)]
struct Seat(Rc<Cell<usize>>);

impl Seats {
    pub(super) fn count(&self) -> usize {
        self.0.get()
    }

    fn take(&self) -> Seat {
        self.0.set(self.0.get() + 1);
        Seat(Rc::clone(&self.0))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// A connection that is logged in.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    session: Session,
    place: Place,
    _seat: Seat,
    /// Of the pool's configuration.
    pub(super) version: u64,
    pub(super) expires_at: Instant,
    /// When a read last used it.
    pub(super) used_at: Instant,
    /// When the server was last asked whether it is there.
    pub(super) checked_at: Instant,
    /// Somebody shut it while it was at work.
    pub(super) is_shut: bool,
}

impl Connection {
    /// Takes a connection that the pool has opened onto this thread's ring.
    ///
    /// - `has_ring`: whether the thread has one.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(super) fn new(direct: Direct, seats: &Seats, has_ring: bool) -> io::Result<Self> {
        let Direct { socket, session, place, version, expires_at } = direct;
        // A ring waits by itself; without one the thread asks again.
        socket.set_nonblocking(!has_ring)?;
        let stream = TcpStream::from_std(socket)?;
        let now = Instant::now();
        Ok(Self {
            stream,
            session,
            place,
            _seat: seats.take(),
            version,
            expires_at,
            used_at: now,
            checked_at: now,
            is_shut: false,
        })
    }

    /// For who ends it from outside.
    pub(super) fn fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    /// Leads a read to its end.
    ///
    /// # Errors
    ///
    /// How it ended without its result.
    pub(super) async fn read(&mut self, reading: &mut Reading<'_>) -> Result<(), Ended> {
        if !self.session.is_silent() {
            return Err(Ended::Lost);
        }
        loop {
            match reading.lead(&mut self.session)? {
                Step::Done => return Ok(()),
                Step::Send => self.send().await.map_err(|_gone| Ended::Lost)?,
                Step::Receive => {}
            }
            self.receive().await.map_err(|_gone| Ended::Lost)?;
        }
    }

    /// Whether the server answers.
    pub(super) async fn ping(&mut self) -> bool {
        self.session.ping();
        if self.send().await.is_err() {
            return false;
        }
        loop {
            if self.receive().await.is_err() {
                return false;
            }
            if let Some(answers) = self.session.pinged() {
                return answers;
            }
        }
    }

    /// Says good-bye, if the system takes it at once, and closes.
    pub(super) async fn close(mut self) {
        let farewell = self.session.quit();
        let (_sent, _) = self.stream.write_all(farewell).await;
    }

    /// What is left of it when its statement is to be stopped.
    pub(super) fn into_parts(self) -> (Place, Session) {
        (self.place, self.session)
    }

    async fn send(&mut self) -> io::Result<()> {
        let (sent, buffer) = self.stream.write_all(self.session.outbox()).await;
        self.session.sent(buffer);
        sent.map(|_| ())
    }

    async fn receive(&mut self) -> io::Result<()> {
        let buffer = self.session.inbox();
        let (filled, capacity) = (buffer.len(), buffer.capacity());
        let slice = SliceMut::new(buffer, filled, capacity);
        let (read, slice) = self.stream.read(slice).await;
        self.session.received(slice.into_inner());
        match read? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
