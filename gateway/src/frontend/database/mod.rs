//! Reads that a frontend thread does itself: no hand-over to the backend's thread and back, no wake-up of either.
//!
//! [`Reads`] takes the reads that are plain (`backend/direct`) and gives each to the [`Line`] of its pool, which has this thread's connections to that
//! database. What finds no connection and no use in waiting for one is given back, and goes to the backend.
//!
//! Invariant: a read that is taken is answered here, or handed to the backend; a connection is used by one read at a time and goes
//! back only when its result was read to the end.

mod line;
mod connection;

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use crate::backend::direct::is_plain;
use crate::backend::{DirectReads, Pools, Prospect, Run, is_gated};
use crate::catalog::Dialect;
use crate::pipeline::{Core, Worker};
use crate::snapshot::Operation;
use line::Line;

use super::worker::Thread;

/// One thread's own reads.
#[derive(Clone, Debug)]
pub(super) struct Reads(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    core: Arc<Core>,
    lines: RefCell<Vec<(Box<str>, Rc<Line>)>>,
    /// [`Pools::version`] of `lines`.
    version: Cell<u64>,
    thread: OnceCell<Weak<Thread>>,
}

impl Reads {
    /// Those of the calling thread.
    pub(super) fn new(core: &Arc<Core>) -> Self {
        Self(Rc::new(Inner {
            core: Arc::clone(core),
            lines: RefCell::default(),
            version: Cell::new(0),
            thread: OnceCell::new(),
        }))
    }

    /// Has a worker leave its reads to them.
    pub(super) fn give_to(&self, mut worker: Worker) -> Worker {
        worker.direct = Some(Rc::clone(&self.0) as Rc<dyn DirectReads>);
        worker
    }

    /// Says whose they are; before that all go to the backend.
    pub(super) fn belong(&self, thread: &Rc<Thread>) {
        // Said once.
        let _first = self.0.thread.set(Rc::downgrade(thread)).is_ok();
    }

    /// Once a second: what is too old, or not to be used any more, is closed.
    pub(super) fn sweep(&self) {
        if let Some(pools) = &self.0.core.pools {
            self.0.renew(pools);
        }
        let lines = self.0.lines.borrow().clone();
        for (_, line) in lines {
            line.sweep();
        }
    }

    /// Closes every connection that is idle.
    pub(super) async fn close(&self) {
        let lines = std::mem::take(&mut *self.0.lines.borrow_mut());
        for (_, line) in lines {
            line.close().await;
        }
    }
}

impl Inner {
    /// Looks the pools up anew after a reload.
    fn renew(&self, pools: &Pools) {
        let version = pools.version();
        if self.version.replace(version) == version {
            return;
        }
        self.lines.borrow_mut().retain(|(name, line)| {
            let pool = pools.get(name, Dialect::Mysql);
            pool.is_some_and(|pool| pool.is(line.pool()))
        });
    }

    fn line(&self, name: &str) -> Option<Rc<Line>> {
        let pools = self.core.pools.as_ref()?;
        self.renew(pools);
        let mut lines = self.lines.borrow_mut();
        if let Some((_, line)) = lines.iter().find(|(own, _)| **own == *name) {
            return Some(Rc::clone(line));
        }
        let pool = pools.get(name, Dialect::Mysql)?;
        let thread = Weak::clone(self.thread.get()?);
        let line = Rc::new(Line::new(pool, Arc::clone(&self.core), thread));
        lines.push((name.into(), Rc::clone(&line)));
        Some(line)
    }

    /// The line of a read that is for this thread.
    fn line_of(&self, operation: &Operation) -> Option<Rc<Line>> {
        let is_ours = is_plain(operation) && !is_gated(&self.core.gates, operation);
        if is_ours { self.line(&operation.pool) } else { None }
    }
}

impl DirectReads for Inner {
    fn has_room(&self, operation: &Operation, prospect: Prospect) -> bool {
        let line = self.line_of(operation);
        line.is_some_and(|line| line.has_room(&operation.template, prospect))
    }

    fn take(&self, run: Box<Run>) -> Result<(), Box<Run>> {
        match self.line_of(&run.operation) {
            Some(line) => line.take(run),
            None => Err(run),
        }
    }
}
