//! A connection's socket as hyper wants it, noting what the connection does.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};

use super::unread;
use crate::frontend::registry::{Phase, Presence};

/// Wraps a stream: the first bytes were read before hyper came, and every read and write tells the
/// sweep how the connection gets on.
#[derive(Debug)]
pub(super) struct NotedIo<T> {
    inner: T,
    /// What was read to tell HTTP/1 from HTTP/2, and how much of it hyper has had.
    prefix: Vec<u8>,
    taken: usize,
    /// What is sent in place of a refusal that is hyper's own, and how much of it has left.
    refusal: Vec<u8>,
    sent: usize,
    presence: Rc<Presence>,
}

impl<T> NotedIo<T> {
    pub(super) const fn new(inner: T, prefix: Vec<u8>, presence: Rc<Presence>) -> Self {
        Self { inner, prefix, taken: 0, refusal: Vec::new(), sent: 0, presence }
    }
}

impl<T: Read + Unpin> Read for NotedIo<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let prefix = this.prefix.get(this.taken..).unwrap_or_default();
        if !prefix.is_empty() {
            let count = prefix.len().min(buffer.remaining());
            buffer.put_slice(prefix.get(..count).unwrap_or_default());
            this.taken += count;
            if this.taken >= this.prefix.len() {
                this.prefix = Vec::new();
                this.taken = 0;
            }
            this.presence.stay(Phase::Reading);
            return Poll::Ready(Ok(()));
        }
        let result = Pin::new(&mut this.inner).poll_read(context, buffer);
        if result.is_ready() && this.presence.phase() == Phase::Idle {
            this.presence.enter(Phase::Reading);
        }
        result
    }
}

impl<T: Write + Unpin> Write for NotedIo<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = match unread::refusal_at(bytes) {
            Some(0) => this.poll_write_refusal(context, bytes),
            Some(at) => {
                let before = bytes.get(..at).unwrap_or(bytes);
                Pin::new(&mut this.inner).poll_write(context, before)
            }
            None => Pin::new(&mut this.inner).poll_write(context, bytes),
        };
        this.note_write(result.is_pending());
        result
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.inner).poll_flush(context);
        this.note_write(result.is_pending());
        result
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

impl<T: Write + Unpin> NotedIo<T> {
    /// Sends a problem in place of `refusal`, hyper's own.
    fn poll_write_refusal(
        &mut self,
        context: &mut Context<'_>,
        refusal: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.refusal.is_empty() {
            self.refusal = unread::problem(refusal);
        }
        while let Some(rest) = self.refusal.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.inner).poll_write(context, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => self.sent += count,
                unfinished => return unfinished,
            }
        }
        (self.refusal, self.sent) = (Vec::new(), 0);
        Poll::Ready(Ok(refusal.len()))
    }
}

impl<T> NotedIo<T> {
    /// A write that waits is timed from its first refusal on.
    fn note_write(&self, is_pending: bool) {
        if is_pending {
            self.presence.continue_write();
        } else {
            self.presence.end_write();
        }
    }
}
