//! One connection of the load: opened, watched, written to and read.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, RawFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::TcpStream;
use nix::sys::socket::{Shutdown, shutdown};
use socket2::{Domain, Socket, Type};

use crate::failure::Failure;
use crate::{LoadArgs, message};

/// A connection.
pub(crate) struct Connection {
    stream: TcpStream,
    /// Bytes that are not taken yet.
    pub(crate) received: Vec<u8>,
    /// What it waits for.
    pub(crate) watch: Rc<Watch>,
}

/// What a connection, and the one that is opened in its place, waits for.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// The socket that waits, and since when.
    waiting: Cell<Option<(RawFd, Instant)>>,
    has_timed_out: Cell<bool>,
    /// Calls that are not answered.
    pub(crate) left: Cell<usize>,
}

impl Watch {
    /// Ends a connection that has waited for so long; whoever reads it hears of that.
    pub(crate) fn expire(&self, limit: Duration) {
        let Some((fd, _)) = self.waiting.get().filter(|(_, since)| since.elapsed() >= limit) else {
            return;
        };
        self.waiting.set(None);
        self.has_timed_out.set(true);
        // The socket is open as long as it waits; one that has been reset meanwhile needs no end.
        let _ended = shutdown(fd, Shutdown::Both);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Its number may soon be another's.
        self.watch.waiting.set(None);
    }
}

/// The first ports that connections come from, where their address is chosen: those of the second row where one of the
/// first is somebody else's.
const PORTS: [u16; 2] = [2_000, 33_000];

/// - `index`: which connection it is.
async fn open(args: &LoadArgs, index: usize) -> anyhow::Result<TcpStream> {
    let Some(source) = args.source else {
        return Ok(TcpStream::connect_addr(args.address).await?);
    };
    // On loopback a connection stands, or does not, before anybody waits for it. The port is named: left to the kernel,
    // each is looked for among all that are taken, which takes seconds for the last thousands.
    let socket = Socket::new(Domain::for_address(args.address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    let bound = PORTS.iter().find_map(|first| {
        let port = first.checked_add(u16::try_from(index).ok()?)?;
        socket.bind(&SocketAddr::new(source, port).into()).ok()
    });
    bound.context("the port is taken, or there are more connections than ports")?;
    socket.connect(&args.address.into())?;
    Ok(TcpStream::from_std(socket.into())?)
}

/// Opens a connection, and says hello where the mode has one.
///
/// - `index`: which connection it is.
pub(crate) async fn connect(
    args: &LoadArgs,
    index: usize,
    watch: Rc<Watch>,
) -> anyhow::Result<Connection> {
    let stream = open(args, index).await?;
    stream.set_nodelay(true)?;
    let mut connection = Connection { stream, received: Vec::with_capacity(64 << 10), watch };
    if let Some(hello) = message::hello(args)? {
        let limit = Duration::from_secs(args.timeout);
        let answered = monoio::time::timeout(limit, async {
            connection.send(hello).await?;
            connection.receive(args).await
        });
        let errors = answered.await.or(Err(Failure::Timeout))??;
        if let Some(code) = errors.first() {
            return Err(anyhow::Error::new(Failure::Code(*code)).context("the hello was refused"));
        }
    }
    Ok(connection)
}

impl Connection {
    /// From now on answers are waited for.
    ///
    /// - `since`: when the first of them was due.
    pub(crate) fn wait(&self, left: usize, since: Instant) {
        self.watch.left.set(left);
        self.watch.waiting.set(Some((self.stream.as_raw_fd(), since)));
    }

    /// So many answers are not there yet.
    pub(crate) fn waits_for(&self, left: usize) {
        self.watch.left.set(left);
        if left == 0 {
            self.watch.waiting.set(None);
        }
    }

    /// Sends bytes; returns the buffer.
    pub(crate) async fn send(&mut self, bytes: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        let (sent, buffer) = self.stream.write_all(bytes).await;
        sent.map_err(|error| self.lost(error))?;
        Ok(buffer)
    }

    /// Takes the next answer, waiting for its bytes. Returns its errors.
    pub(crate) async fn receive(&mut self, args: &LoadArgs) -> anyhow::Result<Vec<u16>> {
        loop {
            if let Some(answer) = message::answer(args.mode, args.batch, &self.received)? {
                self.received.drain(..answer.length);
                return Ok(answer.errors);
            }
            self.read().await?;
        }
    }

    /// Waits for more bytes.
    pub(crate) async fn read(&mut self) -> anyhow::Result<()> {
        let buffer = std::mem::take(&mut self.received);
        let (filled, capacity) = (buffer.len(), buffer.capacity().max(buffer.len() + 4096));
        let mut buffer = buffer;
        buffer.reserve(capacity - filled);
        let slice = monoio::buf::SliceMut::new(buffer, filled, capacity);
        let (read, slice) = self.stream.read(slice).await;
        self.received = slice.into_inner();
        match read {
            Ok(1..) => Ok(()),
            Ok(0) => Err(self.lost(io::ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(self.lost(error)),
        }
    }

    fn lost(&self, error: io::Error) -> anyhow::Error {
        if self.watch.has_timed_out.take() {
            return Failure::Timeout.into();
        }
        Failure::of(&error).map_or_else(|| error.into(), Into::into)
    }
}
