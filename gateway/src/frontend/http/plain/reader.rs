//! What a plain connection has received, and its wait for more.
//!
//! An idle connection waits with a buffer of [`IDLE_BUFFER_BYTES`]; one whose receives bring more, and
//! whose requests follow each other, has one of [`BUSY_BUFFER_BYTES`], or borrows a large one, until it falls silent: then the
//! thread's nudge cancels the read. One that is silent for long gives up its task, too.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use monoio::buf::SliceMut;
use monoio::io::{AsyncReadRent, CancelHandle, CancelableAsyncReadRent, Canceller};
use monoio::net::TcpStream;

use crate::frontend::buffer::{BUFFER_BYTES, BufferPool};
use crate::frontend::registry::{Nudge, Phase, Presence};

/// What a silent connection keeps to be woken with, in bytes.
pub(in crate::frontend::http) const IDLE_BUFFER_BYTES: usize = 256;

/// What one has whose requests do not fit into that, in bytes: most requests fit.
const BUSY_BUFFER_BYTES: usize = 2 << 10;

/// What a buffer grows to for the sake of fewer receives, in bytes.
const FILLED_BYTES_MAX: usize = 64 << 10;

/// How a wait for bytes ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    Bytes,
    /// None for long, and none waits to be served.
    Nothing,
    End,
}

/// A connection's reading side.
pub(super) struct Reader {
    buffer: Vec<u8>,
    /// Bytes of the buffer that were served.
    served: usize,
    /// Whether the last receive took all the room there was: more is waiting.
    was_filled: bool,
    /// Whether its requests follow each other within a second or two.
    is_busy: bool,
    /// The thread's second in which one was served last.
    asked: Option<u32>,
    watch: Rc<Watch>,
}

impl Reader {
    /// Begins with what has arrived.
    pub(super) fn new(buffer: Vec<u8>, presence: Rc<Presence>) -> Self {
        let (is_asked, has_large_buffer) = (Cell::default(), Cell::default());
        let canceller = RefCell::default();
        let watch = Rc::new(Watch { presence, is_asked, has_large_buffer, canceller });
        watch.listen();
        let was_filled = buffer.len() == buffer.capacity();
        Self { was_filled, buffer, served: 0, is_busy: false, asked: None, watch }
    }

    /// What has arrived and was not served.
    pub(super) fn rest(&self) -> &[u8] {
        self.buffer.get(self.served..).unwrap_or_default()
    }

    /// So much of it was served.
    pub(super) fn skip(&mut self, bytes: usize) {
        self.served += bytes;
        let now = self.watch.presence.now();
        self.is_busy = self.asked.is_some_and(|before| now.wrapping_sub(before) <= 1);
        self.asked = Some(now);
        self.watch.presence.asks();
        self.watch.is_asked.set(false);
    }

    /// A request's head is there, and its body is not: that has as long as the head had, and is owed an answer.
    pub(super) fn await_body(&self) {
        self.watch.is_asked.set(true);
        self.watch.presence.enter(Phase::Reading);
    }

    /// What was not served, for somebody else to go on with.
    pub(super) fn into_rest(mut self) -> Vec<u8> {
        self.buffer.drain(..self.served);
        self.buffer
    }

    /// Gives the buffer back.
    pub(super) fn end(&mut self, buffers: &BufferPool) {
        buffers.put(std::mem::take(&mut self.buffer));
    }

    /// Waits for more.
    pub(super) async fn receive(
        &mut self,
        stream: &mut TcpStream,
        buffers: &BufferPool,
    ) -> Received {
        loop {
            self.make_room(buffers);
            let is_idle = self.buffer.is_empty();
            self.watch.presence.stay(if is_idle { Phase::Idle } else { Phase::Reading });
            let buffer = std::mem::take(&mut self.buffer);
            let (filled, capacity) = (buffer.len(), buffer.capacity());
            let slice = SliceMut::new(buffer, filled, capacity);
            let is_large = capacity > IDLE_BUFFER_BYTES;
            let (read, slice) = if is_large || !self.watch.presence.is_in_full_swing() {
                let handle = self.watch.handle(is_large);
                // Boxed: an idle connection would keep the room.
                Box::pin(stream.cancelable_read(slice, handle)).await
            } else {
                stream.read(slice).await
            };
            self.buffer = slice.into_inner();
            self.was_filled = self.buffer.len() == capacity;
            match read {
                Ok(count) if count > 0 => {
                    self.watch.presence.stay(Phase::Reading);
                    self.watch.presence.hears();
                    return Received::Bytes;
                }
                // The connection fell silent.
                Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => {
                    if is_idle && self.watch.presence.is_dormant() {
                        return Received::Nothing;
                    }
                }
                _ => return Received::End,
            }
        }
    }

    /// Makes free space: drops what was served, and fits the buffer to what is coming.
    fn make_room(&mut self, buffers: &BufferPool) {
        if self.served > 0 {
            self.buffer.drain(..self.served);
            self.served = 0;
        }
        let (kept, capacity) = (self.buffer.len(), self.buffer.capacity());
        if std::mem::take(&mut self.was_filled) {
            let Some(grown) = grown(capacity, kept) else { return };
            let mut larger =
                if grown == BUFFER_BYTES { buffers.take() } else { Vec::with_capacity(grown) };
            larger.extend_from_slice(&self.buffer);
            buffers.put(std::mem::replace(&mut self.buffer, larger));
        } else if kept == 0
            && capacity > IDLE_BUFFER_BYTES
            && (!self.is_busy || self.watch.presence.is_silent())
        {
            let small = Vec::with_capacity(IDLE_BUFFER_BYTES);
            buffers.put(std::mem::replace(&mut self.buffer, small));
        }
    }
}

/// What a buffer grows to that a receive has filled; `None`: it stays. Whoever only sends much stays at
/// [`FILLED_BYTES_MAX`]; beyond that it grows for one request that does not fit, which the limits of head and body bound.
///
/// - `kept`: bytes of a request that has not all arrived.
fn grown(capacity: usize, kept: usize) -> Option<usize> {
    if capacity < BUSY_BUFFER_BYTES {
        return Some(BUSY_BUFFER_BYTES);
    }
    let next = (capacity * 2).max(BUFFER_BYTES);
    (next <= FILLED_BYTES_MAX || kept == capacity).then_some(next)
}

/// What a connection's hook has of it.
struct Watch {
    presence: Rc<Presence>,
    /// Whether a request is known that waits for its body.
    is_asked: Cell<bool>,
    /// Whether what is read into is large.
    has_large_buffer: Cell<bool>,
    /// Cancels the read that is waited for, if it can be cancelled.
    canceller: RefCell<Option<Canceller>>,
}

impl Watch {
    /// Answers the thread's nudges from now on.
    fn listen(self: &Rc<Self>) {
        let watch = Rc::downgrade(self);
        self.presence.on_nudge(move |nudge| {
            let Some(watch) = watch.upgrade() else { return };
            match (nudge, watch.presence.phase()) {
                (Nudge::Second, Phase::Idle) => watch.look_after_read(),
                // Nothing was asked, and nothing is owed: answers leave before the wait.
                (Nudge::Drain, Phase::Idle) => watch.presence.cut(),
                (Nudge::Drain, Phase::Reading) if !watch.is_asked.get() => watch.presence.cut(),
                _ => {}
            }
        });
    }

    /// What the next read is cancelled with.
    fn handle(&self, is_large: bool) -> CancelHandle {
        self.has_large_buffer.set(is_large);
        self.canceller.borrow_mut().get_or_insert_default().handle()
    }

    /// Ends the wait of a silent connection with a large buffer, and of one that is to be parked.
    fn look_after_read(&self) {
        if self.presence.is_silent()
            && (self.has_large_buffer.get() || self.presence.is_dormant())
            && let Some(canceller) = self.canceller.take()
        {
            canceller.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frontend::registry::{PhaseLimits, Registry};

    #[test]
    fn buffer_grows_for_what_arrives_and_goes_back_when_the_connection_is_silent() {
        let registry = Rc::new(Registry::default());
        let limits = PhaseLimits { idle: 9, reading: 9, writing: 9, greeting: 9 };
        let place = registry.join(-1, limits, Phase::Reading);
        let (buffers, full) = (BufferPool::default(), vec![b'a'; IDLE_BUFFER_BYTES]);
        let mut reader = Reader::new(full, Rc::clone(place.presence()));
        for expected in [BUSY_BUFFER_BYTES, BUFFER_BYTES] {
            reader.skip(1);
            assert_eq!(reader.is_busy, expected == BUFFER_BYTES);
            let rest = reader.rest().len();
            reader.make_room(&buffers);
            assert_eq!((reader.buffer.capacity(), reader.rest().len()), (expected, rest));
            reader.buffer.resize(expected, b'a');
            reader.was_filled = true;
        }
        reader.was_filled = false;
        reader.skip(BUFFER_BYTES);
        registry.sweep();
        reader.make_room(&buffers);
        assert_eq!(reader.buffer.capacity(), BUFFER_BYTES, "it is not silent yet");
        registry.sweep();
        reader.make_room(&buffers);
        assert_eq!(reader.buffer.capacity(), IDLE_BUFFER_BYTES);
    }

    #[test]
    fn connection_whose_requests_are_far_apart_has_a_large_buffer_for_one_at_a_time() {
        let registry = Rc::new(Registry::default());
        let limits = PhaseLimits { idle: 9, reading: 9, writing: 9, greeting: 9 };
        let place = registry.join(-1, limits, Phase::Reading);
        let buffers = BufferPool::default();
        let request = vec![b'a'; BUSY_BUFFER_BYTES];
        let mut reader = Reader::new(request.clone(), Rc::clone(place.presence()));
        for (seconds, expected) in
            [(0, IDLE_BUFFER_BYTES), (2, IDLE_BUFFER_BYTES), (1, BUSY_BUFFER_BYTES)]
        {
            for _ in 0..seconds {
                registry.sweep();
            }
            reader.buffer = request.clone();
            reader.was_filled = false;
            reader.watch.presence.hears();
            reader.skip(BUSY_BUFFER_BYTES);
            reader.make_room(&buffers);
            assert_eq!(reader.buffer.capacity(), expected, "{seconds} seconds later");
        }
    }

    #[test]
    fn buffer_of_a_client_that_sends_much_stops_growing_unless_one_request_needs_it() {
        assert_eq!(grown(IDLE_BUFFER_BYTES, 0), Some(BUSY_BUFFER_BYTES));
        assert_eq!(grown(BUSY_BUFFER_BYTES, 0), Some(BUFFER_BYTES));
        assert_eq!(grown(FILLED_BYTES_MAX / 2, 7), Some(FILLED_BYTES_MAX));
        assert_eq!(grown(FILLED_BYTES_MAX, FILLED_BYTES_MAX - 1), None);
        assert_eq!(grown(FILLED_BYTES_MAX, FILLED_BYTES_MAX), Some(2 * FILLED_BYTES_MAX));
    }
}
