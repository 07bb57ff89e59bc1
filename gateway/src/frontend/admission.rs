//! Who is let in: connections of a protocol, counted over all threads.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::worker::Thread;
use crate::observe::Transport;

/// Connections that all threads of one protocol hold together, for their common limit. Written when a
/// connection comes and goes, never by a request.
#[derive(Debug, Default)]
pub struct Door {
    open: AtomicUsize,
}

/// A connection's place among those of its protocol, from its accept to its end.
#[derive(Debug)]
pub(super) struct Admission {
    thread: Rc<Thread>,
    door: Arc<Door>,
    transport: Transport,
}

impl Admission {
    /// `None`: there are as many as may be.
    pub(super) fn new(
        thread: Rc<Thread>,
        door: Arc<Door>,
        transport: Transport,
        count_max: usize,
    ) -> Option<Self> {
        if door.open.fetch_add(1, Ordering::Relaxed) >= count_max {
            door.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        thread.worker.recorder.connection_opened(transport);
        Some(Self { thread, door, transport })
    }

    /// It has no task any more.
    pub(super) fn parked(&self) {
        self.thread.worker.recorder.connection_parked(self.transport);
    }

    /// It has one again, or is to be closed.
    pub(super) fn resumed(&self) {
        self.thread.worker.recorder.connection_resumed(self.transport);
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.thread.worker.recorder.connection_closed(self.transport);
        self.door.open.fetch_sub(1, Ordering::Relaxed);
    }
}
