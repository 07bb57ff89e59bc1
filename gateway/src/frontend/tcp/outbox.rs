//! Replies on their way out of a connection.
//!
//! Whoever has a reply appends it and flushes; if a write is under way already, the writer takes the
//! new bytes with its next one. So what one receive brought leaves in one send, and no reply waits for
//! another operation's database.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Poll, Waker};

use monoio::io::{AsyncWriteRent, AsyncWriteRentExt};
use monoio::net::TcpStream;
use monoio::net::tcp::{TcpOwnedReadHalf, TcpOwnedWriteHalf};

use crate::frontend::buffer::BufferPool;
use crate::frontend::registry::Presence;

/// Bytes that may wait before the connection takes no further calls.
const WAITING_BYTES_MAX: usize = 1 << 20;
/// Bytes that may wait before what further reads found is not kept for a client that does not take it.
const UNREAD_BYTES_MAX: usize = 64 << 20;

/// A connection's replies.
#[derive(Debug)]
pub(super) struct Outbox {
    waiting: RefCell<Vec<u8>>,
    /// `None` while a flush has it.
    socket: RefCell<Option<TcpOwnedWriteHalf>>,
    broken: Cell<bool>,
    /// Who waits for room.
    room: RefCell<Option<Waker>>,
}

impl Outbox {
    pub(super) fn new(socket: TcpOwnedWriteHalf) -> Self {
        Self {
            waiting: RefCell::new(Vec::new()),
            socket: RefCell::new(Some(socket)),
            broken: Cell::new(false),
            room: RefCell::new(None),
        }
    }

    /// Lets `write` append to what leaves next.
    pub(super) fn append<R>(
        &self,
        buffers: &BufferPool,
        write: impl FnOnce(&mut Vec<u8>) -> R,
    ) -> R {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.capacity() == 0 {
            *waiting = buffers.take();
        }
        write(&mut waiting)
    }

    /// The same for a frame of a few bytes, without a large buffer: a draining thread has one for each of its
    /// connections at once.
    pub(super) fn append_small(&self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.waiting.borrow_mut());
    }

    /// The whole socket again; `None` while something is being sent.
    pub(super) fn reunite(self, reading: TcpOwnedReadHalf) -> Option<TcpStream> {
        self.socket.into_inner()?.reunite(reading).ok()
    }

    /// Whether the socket failed: the connection is over.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.get()
    }

    /// Sends nothing more: what waits cannot be trusted.
    pub(super) fn give_up(&self) {
        self.broken.set(true);
        self.wake();
    }

    /// Whether everything has left.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.borrow().is_empty() && self.socket.borrow().is_some()
    }

    /// Sends what waits, and what comes to wait meanwhile. Returns at once if somebody already does.
    pub(super) async fn flush(&self, buffers: &BufferPool, presence: &Rc<Presence>) {
        let Some(mut socket) = self.socket.take() else { return };
        loop {
            let bytes = self.waiting.take();
            if bytes.is_empty() || self.broken.get() {
                buffers.put(bytes);
                break;
            }
            presence.begin_write();
            let length = bytes.len();
            let (written, mut bytes) = socket.write(bytes).await;
            let is_interrupted = |error: &io::Error| error.kind() == io::ErrorKind::Interrupted;
            let is_broken = match written {
                Err(error) if !is_interrupted(&error) => true,
                Ok(count) if count == length => false,
                partial => {
                    let count = partial.unwrap_or(0);
                    bytes.drain(..count);
                    // Boxed: seldom, and every connection's task would keep the room.
                    let (rest, left) = Box::pin(socket.write_all(bytes)).await;
                    bytes = left;
                    rest.is_err()
                }
            };
            presence.end_write();
            buffers.put(bytes);
            if is_broken {
                self.broken.set(true);
            }
            self.wake();
        }
        self.socket.replace(Some(socket));
        self.wake();
    }

    /// Whether so much waits that no further call should begin.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.borrow().len() >= WAITING_BYTES_MAX
    }

    /// Whether so much waits that no further read's answer should join it.
    pub(super) fn is_flooded(&self) -> bool {
        self.waiting.borrow().len() >= UNREAD_BYTES_MAX
    }

    /// Waits until everything has left, or the socket failed.
    pub(super) async fn wait_until_empty(&self) {
        std::future::poll_fn(|context| {
            if self.broken.get() || self.is_empty() {
                return Poll::Ready(());
            }
            *self.room.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Waits until there is room for further replies, or the socket failed.
    pub(super) async fn wait_for_room(&self) {
        std::future::poll_fn(|context| {
            if self.broken.get() || !self.is_full() {
                return Poll::Ready(());
            }
            *self.room.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn wake(&self) {
        let waker = self.room.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
