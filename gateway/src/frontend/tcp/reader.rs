//! Reads a connection: bytes to frames.
//!
//! An idle connection waits with a buffer of [`IDLE_BUFFER_BYTES`]. One whose receives bring more than
//! that borrows a large one until it falls silent; then the sweep cancels the read and the large
//! buffer goes back. One that is silent for long is parked ([`super::parked`]).

use std::rc::Rc;

use gateway_protocol::{HEADER_BYTES, decode_header};
use monoio::buf::SliceMut;
use monoio::io::{AsyncReadRent, CancelableAsyncReadRent};
use monoio::net::tcp::TcpOwnedReadHalf;

use super::connection::{Connection, Flow};
use super::{login, pipelined};
use crate::frontend::buffer::BUFFER_BYTES;

/// What an idle connection keeps to be woken with, in bytes: most calls fit.
const IDLE_BUFFER_BYTES: usize = 128;

/// What a buffer grows to for the sake of fewer receives, in bytes.
const FILLED_BYTES_MAX: usize = 64 << 10;

/// A connection's reading side.
#[derive(Debug)]
pub(super) struct Reader {
    socket: TcpOwnedReadHalf,
    buffer: Vec<u8>,
    /// Bytes of the buffer that were served.
    served: usize,
    /// Bytes of a refused frame that are still to be passed over.
    skip: usize,
    /// Whether the last receive took all the room there was: more is waiting.
    was_filled: bool,
}

impl Reader {
    pub(super) fn new(socket: TcpOwnedReadHalf) -> Self {
        Self {
            socket,
            buffer: Vec::with_capacity(IDLE_BUFFER_BYTES),
            served: 0,
            skip: 0,
            was_filled: false,
        }
    }

    /// The socket, when nothing of it is waiting here.
    pub(super) fn into_socket(self) -> TcpOwnedReadHalf {
        self.socket
    }

    /// Serves frames until the connection ends, from either side, or is to be parked.
    pub(super) async fn run(&mut self, connection: &Rc<Connection>) -> Ended {
        loop {
            match self.receive(connection).await {
                Received::Bytes => {}
                Received::Nothing if self.may_park(connection) => return Ended::Dormant,
                Received::Nothing => continue,
                Received::End => break,
            }
            connection.arrived();
            let flow = loop {
                // Boxed: what comes seldom is not to stand in every connection's task.
                match self.serve_frames(connection) {
                    Flow::Claim => {
                        if matches!(Box::pin(login::finish(connection)).await, Flow::Close) {
                            break Flow::Close;
                        }
                    }
                    Flow::Full => Box::pin(hold_back(connection)).await,
                    flow => break flow,
                }
            };
            connection.settle();
            connection.flush().await;
            connection.wait_for_room().await;
            connection.listens(self.skip > 0 || self.served < self.buffer.len());
            if flow == Flow::Close || connection.is_broken() {
                break;
            }
            // Only a sign of life, from one that was parked before it.
            if self.may_park(connection) {
                return Ended::Dormant;
            }
        }
        if !connection.is_broken() {
            // Answers that were promised leave first.
            Box::pin(connection.finish()).await;
        }
        connection.give_back(std::mem::take(&mut self.buffer));
        Ended::Over
    }

    fn may_park(&self, connection: &Connection) -> bool {
        self.served == self.buffer.len() && self.skip == 0 && connection.may_park()
    }

    /// Waits for bytes.
    async fn receive(&mut self, connection: &Rc<Connection>) -> Received {
        self.make_room(connection);
        let buffer = std::mem::take(&mut self.buffer);
        let (filled, capacity) = (buffer.len(), buffer.capacity());
        let slice = SliceMut::new(buffer, filled, capacity);
        let is_large = capacity > IDLE_BUFFER_BYTES;
        let (read, slice) = if is_large || !connection.presence.is_in_full_swing() {
            let handle = connection.watch(is_large);
            Box::pin(self.socket.cancelable_read(slice, handle)).await
        } else {
            self.socket.read(slice).await
        };
        self.buffer = slice.into_inner();
        self.was_filled = self.buffer.len() == capacity;
        match read {
            Ok(0) => Received::End,
            Ok(_) => Received::Bytes,
            Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => Received::Nothing,
            Err(_) => Received::End,
        }
    }

    /// Makes free space: drops what was served, and fits the buffer to what is coming.
    fn make_room(&mut self, connection: &Rc<Connection>) {
        let kept = self.buffer.len() - self.served;
        if self.served > 0 {
            self.buffer.copy_within(self.served.., 0);
            self.buffer.truncate(kept);
            self.served = 0;
        }
        if self.was_filled {
            self.was_filled = false;
            let Some(grown) = grown(self.buffer.capacity(), kept) else { return };
            let mut larger = if grown == BUFFER_BYTES {
                connection.take_buffer()
            } else {
                Vec::with_capacity(grown)
            };
            larger.extend_from_slice(&self.buffer);
            connection.give_back(std::mem::replace(&mut self.buffer, larger));
        } else if kept == 0
            && connection.presence.is_silent()
            && self.buffer.capacity() > IDLE_BUFFER_BYTES
        {
            let small = Vec::with_capacity(IDLE_BUFFER_BYTES);
            connection.give_back(std::mem::replace(&mut self.buffer, small));
        }
    }

    /// Serves every whole frame of the buffer, or up to one that something must be waited for after.
    fn serve_frames(&mut self, connection: &Rc<Connection>) -> Flow {
        // Frames that begin before this are served one by one.
        let mut alone_until = 0;
        loop {
            let skipped = self.skip.min(self.buffer.len() - self.served);
            self.served += skipped;
            self.skip -= skipped;
            let rest = self.buffer.get_mut(self.served..).unwrap_or_default();
            if self.served >= alone_until {
                let progress = pipelined::serve(connection, rest);
                alone_until = self.served + progress.tried;
                if progress.served > 0 {
                    self.served += progress.served;
                    if connection.is_full() {
                        return Flow::Full;
                    }
                    continue;
                }
            }
            let header = match decode_header(rest, connection.frame_bytes_max()) {
                Ok(Some(header)) => header,
                Ok(None) => return Flow::Continue,
                Err(error) => match connection.refuse_frame(rest, &error) {
                    Some(skip) => {
                        self.skip = skip;
                        continue;
                    }
                    None => return Flow::Close,
                },
            };
            let Some(payload) = rest.get_mut(HEADER_BYTES..header.frame_bytes()) else {
                return Flow::Continue;
            };
            let flow = connection.serve_frame(&header, payload);
            self.served += header.frame_bytes();
            if flow != Flow::Continue {
                return flow;
            }
            if connection.is_full() {
                return Flow::Full;
            }
        }
    }
}

/// Answers what was served, then waits for a place for the next call.
async fn hold_back(connection: &Connection) {
    connection.settle();
    connection.flush().await;
    connection.wait_for_place().await;
}

/// What a buffer grows to that a receive has filled; `None`: it stays.
///
/// Doubled as bytes really arrive: an announced length alone takes no memory. Whoever only sends much stays at
/// [`FILLED_BYTES_MAX`]; beyond that it grows for one frame that does not fit, which the limit of a frame bounds.
///
/// - `kept`: bytes of a frame that has not all arrived.
fn grown(capacity: usize, kept: usize) -> Option<usize> {
    let next = (capacity * 2).max(BUFFER_BYTES);
    (next <= FILLED_BYTES_MAX || kept == capacity).then_some(next)
}

/// How [`Reader::run`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Over,
    /// Silent for long, with nothing that is owed to it.
    Dormant,
}

enum Received {
    Bytes,
    /// The read was cancelled: the connection fell silent.
    Nothing,
    End,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffer_of_a_client_that_sends_much_stops_growing_unless_one_frame_needs_it() {
        assert_eq!(grown(IDLE_BUFFER_BYTES, 0), Some(BUFFER_BYTES));
        assert_eq!(grown(FILLED_BYTES_MAX / 2, 7), Some(FILLED_BYTES_MAX));
        assert_eq!(grown(FILLED_BYTES_MAX, FILLED_BYTES_MAX - 1), None);
        assert_eq!(grown(FILLED_BYTES_MAX, FILLED_BYTES_MAX), Some(2 * FILLED_BYTES_MAX));
    }
}
