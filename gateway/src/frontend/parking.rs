//! Connections that are open and silent, without a task.
//!
//! A connection's task, buffers and place in the sweep take some two kilobytes, which a thread of a hundred thousand silent
//! connections need not have. One that has asked for nothing for `server.park_after`, and is owed nothing, leaves what it
//! must keep in the [`Lot`] and ends its task. The lot watches its socket with epoll: a ring of monoio's can wait for one socket
//! an operation only, but for an epoll instance as a whole. What arrives gives the connection a task again.
//!
//! Invariant: a parked connection has no byte of a request or an answer anywhere but in its socket.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use monoio::net::TcpStream;
use nix::sys::epoll::{
    EpollCreateFlags, EpollEvent, EpollFlags, EpollOp, epoll_create1, epoll_ctl, epoll_wait,
};
use slab::Slab;

use super::admission::Admission;
use super::{http, tcp};

/// Connections that one wait gives, at most: others of the thread have their turn in between.
const WOKEN_MAX: usize = 256;

/// A connection without a task.
#[derive(Debug)]
pub(super) enum Parked {
    Tcp(Box<tcp::Parked>),
    Http(Box<http::Parked>),
}

impl Parked {
    fn fd(&self) -> RawFd {
        match self {
            Self::Tcp(parked) => parked.fd(),
            Self::Http(parked) => parked.fd(),
        }
    }

    /// Seconds that it may still be silent.
    fn left(&self) -> u32 {
        match self {
            Self::Tcp(parked) => parked.left(),
            Self::Http(parked) => parked.left(),
        }
    }
}

/// A place in the lot. The socket goes before the count of open ones.
struct Entry {
    parked: Parked,
    /// The last second of the lot in which it may be silent.
    until: u32,
    admission: Admission,
}

/// The parked connections of one thread.
pub(super) struct Lot {
    entries: RefCell<Slab<Entry>>,
    second: Cell<u32>,
    epoll: OwnedFd,
}

impl fmt::Debug for Lot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lot").field("count", &self.count()).finish_non_exhaustive()
    }
}

impl Lot {
    /// # Errors
    ///
    /// When the process may have no further file.
    #[expect(unsafe_code, reason = "the system's interface gives a number only; argued below")]
    pub(super) fn new() -> io::Result<Self> {
        let fd = epoll_create1(EpollCreateFlags::EPOLL_CLOEXEC)?;
        // SAFETY: the kernel has just opened it for this call, and nobody else knows its number.
        let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { entries: RefCell::default(), second: Cell::new(0), epoll })
    }

    /// What [`Self::woken`] waits for. monoio takes the epoll instance for a stream; nothing is read from it or written to it.
    ///
    /// # Errors
    ///
    /// When the process may have no further file.
    pub(super) fn watch(&self) -> io::Result<TcpStream> {
        TcpStream::from_std(self.epoll.try_clone()?.into())
    }

    /// Connections now.
    pub(super) fn count(&self) -> usize {
        self.entries.borrow().len()
    }

    /// Takes a connection in.
    ///
    /// # Errors
    ///
    /// The connection, when the kernel watches no further socket for this user (`fs.epoll.max_user_watches`).
    pub(super) fn park(
        &self,
        parked: Parked,
        admission: Admission,
    ) -> Result<(), (Parked, Admission)> {
        let mut entries = self.entries.borrow_mut();
        let place = entries.vacant_entry();
        let readable = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLONESHOT;
        let mut event = EpollEvent::new(readable, place.key() as u64);
        let watched =
            epoll_ctl(self.epoll.as_raw_fd(), EpollOp::EpollCtlAdd, parked.fd(), &mut event);
        if watched.is_err() {
            return Err((parked, admission));
        }
        admission.parked();
        let until = self.second.get().saturating_add(parked.left());
        place.insert(Entry { parked, until, admission });
        Ok(())
    }

    /// Waits until some of them have something to read, or have ended, and gives those.
    ///
    /// # Errors
    ///
    /// When the epoll instance cannot be waited for.
    pub(super) async fn woken(&self, watch: &TcpStream) -> io::Result<Vec<(Parked, Admission)>> {
        watch.readable(false).await?;
        let mut events = [EpollEvent::empty(); WOKEN_MAX];
        let count = epoll_wait(self.epoll.as_raw_fd(), &mut events, 0)?;
        let events = events.iter().take(count);
        let key = |event: &EpollEvent| usize::try_from(event.data()).ok();
        Ok(events.filter_map(key).filter_map(|key| self.remove(key)).collect())
    }

    /// Gives some of them, whatever they do.
    pub(super) fn take(&self, count_max: usize) -> Vec<(Parked, Admission)> {
        let keys: Vec<usize> = {
            let entries = self.entries.borrow();
            entries.iter().take(count_max).map(|(key, _)| key).collect()
        };
        keys.into_iter().filter_map(|key| self.remove(key)).collect()
    }

    /// A second has passed: closes those that were silent for too long.
    pub(super) fn sweep(&self) {
        let now = self.second.get().saturating_add(1);
        self.second.set(now);
        let over: Vec<usize> = {
            let entries = self.entries.borrow();
            entries.iter().filter(|(_, entry)| now > entry.until).map(|(key, _)| key).collect()
        };
        for key in over {
            drop(self.remove(key));
        }
    }

    fn remove(&self, key: usize) -> Option<(Parked, Admission)> {
        let Entry { parked, admission, .. } = self.entries.borrow_mut().try_remove(key)?;
        // Fails for no socket that was added. The kernel forgets a closed one by itself, but the ring may close it later.
        let _forgotten = epoll_ctl(self.epoll.as_raw_fd(), EpollOp::EpollCtlDel, parked.fd(), None);
        admission.resumed();
        Some((parked, admission))
    }
}
