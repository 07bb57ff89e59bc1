//! Stands for `database` in a build without a database whose reads a frontend does itself: the backend does them all.

use std::rc::Rc;
use std::sync::Arc;

use super::worker::Thread;
use crate::pipeline::{Core, Worker};

/// No reads.
#[derive(Clone, Debug)]
pub(super) struct Reads;

#[expect(clippy::unused_self, clippy::unused_async, reason = "what `database` has does something")]
impl Reads {
    pub(super) fn new(_core: &Arc<Core>) -> Self {
        Self
    }

    pub(super) fn give_to(&self, worker: Worker) -> Worker {
        worker
    }

    pub(super) fn belong(&self, _thread: &Rc<Thread>) {}

    pub(super) fn sweep(&self) {}

    pub(super) async fn close(&self) {}
}
