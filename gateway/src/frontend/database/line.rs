//! This thread's connections to one database, and the reads that wait for one.
//!
//! A read waits here for moments only: what finds no connection within [`PATIENCE`] goes to the backend, whose pool has
//! at least as many connections of its own, and the limits and codes of waiting. While the pool's own line is one that
//! does not end, nobody waits behind more reads than there are connections here. A read for which there is neither room
//! here nor a prospect there is refused before it comes (`pipeline/prospect.rs`).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::os::fd::RawFd;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::socket::{Shutdown, shutdown};
use slab::Slab;

use super::connection::{Connection, Seats};
use crate::backend::direct::{Ended, Reading, ids};
use crate::backend::{Job, Pool, Prospect, Run};
use crate::catalog::Template;
use crate::config::ConnectionConfig;
use crate::frontend::worker::Thread;
use crate::pipeline::Core;
use crate::queue::Refused;

/// How long a read waits for one of these connections.
const PATIENCE: Duration = Duration::from_millis(20);
/// Most reads that wait.
const WAITING_MAX: usize = 256;
/// How often somebody looks whether anything is late, while there is anything.
const TICK: Duration = Duration::from_millis(10);
/// How long an idle connection may take to say that it is there.
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// After the pool had no place for a connection.
const PLACE_PAUSE: Duration = Duration::from_millis(100);
/// First pause after a connection could not be opened; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// Templates that are remembered as not to be read here.
const UNFIT_MAX: usize = 64;

/// A connection that is at work.
#[derive(Clone, Copy, Debug)]
struct Busy {
    fd: RawFd,
    limit: Instant,
    is_late: bool,
}

/// The connections of a pool that this thread has.
#[derive(Debug)]
pub(super) struct Line {
    pool: Pool,
    core: Arc<Core>,
    thread: Weak<Thread>,
    /// The pool's, under that version of it.
    config: RefCell<Arc<ConnectionConfig>>,
    version: Cell<u64>,
    /// Used last, used first.
    idle: RefCell<Vec<Connection>>,
    seats: Seats,
    is_opening: Cell<bool>,
    waiting: RefCell<VecDeque<(Instant, Box<Run>)>>,
    busy: RefCell<Slab<Busy>>,
    is_watched: Cell<bool>,
    retry_at: Cell<Option<Instant>>,
    pause: Cell<Duration>,
    unfit: RefCell<Vec<Arc<Template>>>,
}

impl Line {
    pub(super) fn new(pool: Pool, core: Arc<Core>, thread: Weak<Thread>) -> Self {
        Self {
            version: Cell::new(pool.version()),
            config: RefCell::new(pool.config()),
            pool,
            core,
            thread,
            idle: RefCell::default(),
            seats: Seats::default(),
            is_opening: Cell::new(false),
            waiting: RefCell::default(),
            busy: RefCell::default(),
            is_watched: Cell::new(false),
            retry_at: Cell::new(None),
            pause: Cell::new(PAUSE_MIN),
            unfit: RefCell::default(),
        }
    }

    pub(super) const fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Whether a read that comes now finds a connection, or a place where it may wait for one.
    ///
    /// - `prospect`: what the pool's own line has for it.
    pub(super) fn has_room(self: &Rc<Self>, template: &Arc<Template>, prospect: Prospect) -> bool {
        self.renew();
        if self.is_unfit(template) {
            return false;
        }
        if !self.idle.borrow().is_empty() {
            return true;
        }
        self.open(Instant::now());
        waiting_max(self.seats.count(), prospect) > self.waiting.borrow().len()
    }

    /// Takes a read, or gives it back.
    pub(super) fn take(self: &Rc<Self>, run: Box<Run>) -> Result<(), Box<Run>> {
        if !self.has_room(&run.operation.template, self.pool.prospect()) {
            return Err(run);
        }
        let idle = self.idle.borrow_mut().pop();
        if let Some(connection) = idle {
            let line = Rc::clone(self);
            self.run(async move { line.work(connection, run).await });
        } else {
            self.waiting.borrow_mut().push_back((Instant::now(), run));
            self.watch();
        }
        Ok(())
    }

    /// Takes the pool's configuration over, if it is another one: connections of the old one are closed.
    fn renew(self: &Rc<Self>) {
        let version = self.pool.version();
        if self.version.replace(version) != version {
            *self.config.borrow_mut() = self.pool.config();
            self.retry_at.set(None);
            self.pause.set(PAUSE_MIN);
            self.unfit.borrow_mut().clear();
            self.close_idle(|_| true);
        }
    }

    fn is_unfit(&self, template: &Arc<Template>) -> bool {
        self.unfit.borrow().iter().any(|own| Arc::ptr_eq(own, template))
    }

    /// Once a second: closes what is old, and pings what has been idle.
    pub(super) fn sweep(self: &Rc<Self>) {
        self.renew();
        let now = Instant::now();
        let (idle_time, health) = {
            let config = self.config.borrow();
            (config.idle_time, config.health_interval)
        };
        self.close_idle(|connection| {
            connection.expires_at <= now || connection.used_at + idle_time <= now
        });
        let due: Vec<Connection> = {
            let mut idle = self.idle.borrow_mut();
            idle.extract_if(.., |connection| connection.checked_at + health <= now).collect()
        };
        for mut connection in due {
            let line = Rc::clone(self);
            self.run(async move {
                let busy = line.begin(connection.fd(), Instant::now() + PING_TIMEOUT);
                let answers = connection.ping().await;
                if line.finish(busy) || !answers {
                    line.lose(connection);
                } else {
                    connection.checked_at = Instant::now();
                    line.go_on(connection).await;
                }
            });
        }
    }

    /// Opens a connection, if there may be one more.
    fn open(self: &Rc<Self>, now: Instant) {
        let is_early = self.retry_at.get().is_some_and(|at| now < at);
        if self.is_opening.get() || is_early || self.seats.count() >= self.share() {
            return;
        }
        let Some(opened) = self.pool.open_direct() else {
            return self.retry_at.set(Some(now + PLACE_PAUSE));
        };
        self.is_opening.set(true);
        let line = Rc::clone(self);
        self.run(async move {
            let opened = opened.await.ok();
            let has_ring = line.thread.upgrade().is_some_and(|thread| thread.has_ring);
            let connection =
                opened.and_then(|direct| Connection::new(direct, &line.seats, has_ring).ok());
            line.is_opening.set(false);
            let Some(connection) = connection else {
                let pause = line.pause.get();
                line.retry_at.set(Some(Instant::now() + pause));
                return line.pause.set((pause * 2).min(PAUSE_MAX));
            };
            line.pause.set(PAUSE_MIN);
            line.go_on(connection).await;
        });
    }

    /// This thread's part of what frontends may have.
    fn share(&self) -> usize {
        let threads = self.core.snapshot.load().config.runtime.frontend_threads;
        self.config.borrow().direct_count_max().div_ceil(threads.max(1))
    }

    /// Does one read after the other, as long as any wait.
    async fn work(self: Rc<Self>, mut connection: Connection, run: Box<Run>) {
        let ended = self.serve(&mut connection, &run).await;
        match ended {
            Ended::Answered(answer) => {
                self.pool.count_direct_read();
                // Who asked may be gone.
                drop(run.reply.send(answer));
                self.go_on(connection).await;
            }
            Ended::Unread(error) => {
                drop(run.reply.send(Err(error)));
                let (place, session) = connection.into_parts();
                self.pool.stop_direct(place, &session);
            }
            Ended::Lost => {
                self.lose(connection);
                self.hand_over(run);
            }
            Ended::Unfit => {
                drop(connection);
                let mut unfit = self.unfit.borrow_mut();
                if unfit.len() < UNFIT_MAX {
                    unfit.push(Arc::clone(&run.operation.template));
                }
                drop(unfit);
                self.hand_over(run);
            }
        }
    }

    /// Gives a connection to the first read in line, or keeps it.
    async fn go_on(self: &Rc<Self>, connection: Connection) {
        let is_over = connection.is_shut
            || connection.version != self.pool.version()
            || connection.expires_at <= connection.used_at
            || self.seats.count() > self.share();
        if is_over {
            return connection.close().await;
        }
        let next = self.waiting.borrow_mut().pop_front();
        match next {
            Some((_, run)) => {
                let line = Rc::clone(self);
                // Beside the others: this one's answer is not held up.
                self.run(async move { line.work(connection, run).await });
            }
            None => self.idle.borrow_mut().push(connection),
        }
    }

    async fn serve(self: &Rc<Self>, connection: &mut Connection, run: &Run) -> Ended {
        let ids = match ids(run, &self.core.ids) {
            Ok(ids) => ids,
            Err(error) => return Ended::Answered(Err(error)),
        };
        let begun = Reading::begin(run, &ids, &self.core.snapshot.load(), &self.config.borrow());
        let mut reading = match begun {
            Ok(reading) => reading,
            Err(error) => return Ended::Answered(Err(error)),
        };
        let busy = self.begin(connection.fd(), reading.limit());
        let read = connection.read(&mut reading).await;
        connection.is_shut = self.finish(busy);
        match read {
            Ok(()) => {
                let ended = reading.finish(&self.core.metrics);
                connection.used_at = Instant::now();
                ended
            }
            Err(Ended::Lost) if connection.is_shut => reading.late(),
            Err(ended) => ended,
        }
    }

    /// A connection is at work.
    fn begin(self: &Rc<Self>, fd: RawFd, limit: Instant) -> usize {
        let busy = self.busy.borrow_mut().insert(Busy { fd, limit, is_late: false });
        self.watch();
        busy
    }

    /// It is not any more. Returns whether it was shut for being late.
    fn finish(&self, busy: usize) -> bool {
        self.busy.borrow_mut().try_remove(busy).is_some_and(|busy| busy.is_late)
    }

    /// Sees to it that somebody looks whether anything is late.
    fn watch(self: &Rc<Self>) {
        if self.is_watched.replace(true) {
            return;
        }
        let line = Rc::clone(self);
        self.run(async move {
            while line.look(Instant::now()) {
                monoio::time::sleep(TICK).await;
            }
            line.is_watched.set(false);
        });
    }

    /// Shuts what is late, and hands over what has waited long enough. False: there is nothing to look at.
    fn look(&self, now: Instant) -> bool {
        let mut busy = self.busy.borrow_mut();
        for (_, busy) in busy.iter_mut() {
            if busy.limit <= now && !busy.is_late {
                busy.is_late = true;
                // Ends the pending receive, too.
                let _closed = shutdown(busy.fd, Shutdown::Both);
            }
        }
        loop {
            let first = {
                let mut waiting = self.waiting.borrow_mut();
                let is_old = waiting.front().is_some_and(|(since, _)| *since + PATIENCE <= now);
                if is_old { waiting.pop_front() } else { None }
            };
            let Some((_, run)) = first else { break };
            match self.pool.prospect() {
                Prospect::Burst | Prospect::Standing => self.hand_over(run),
                lacking @ (Prospect::Full | Prospect::None) => self.refuse(run, lacking),
            }
        }
        !busy.is_empty() || !self.waiting.borrow().is_empty()
    }

    /// Refuses a read that would wait in vain, here as there.
    fn refuse(&self, run: Box<Run>, prospect: Prospect) {
        self.pool.count_refused(prospect);
        // Who asked may be gone.
        drop(run.reply.send(Err(Arc::new(self.pool.refusal()))));
    }

    /// Leaves a read to the backend.
    fn hand_over(&self, run: Box<Run>) {
        if let Err(Refused(Job::Run(run))) = self.core.backend.offer(Job::Run(run)) {
            drop(run.reply.send(Err(Arc::new(self.pool.refusal()))));
        }
    }

    /// A connection is gone, and the others may be.
    fn lose(self: &Rc<Self>, connection: Connection) {
        drop(connection);
        self.pool.suspect();
        self.idle.borrow_mut().clear();
    }

    fn close_idle(self: &Rc<Self>, is_over: impl Fn(&Connection) -> bool) {
        let over: Vec<Connection> = {
            let mut idle = self.idle.borrow_mut();
            idle.extract_if(.., |connection| is_over(connection)).collect()
        };
        for connection in over {
            self.run(connection.close());
        }
    }

    /// Closes what is idle, and waits for that.
    pub(super) async fn close(&self) {
        let idle = std::mem::take(&mut *self.idle.borrow_mut());
        for connection in idle {
            connection.close().await;
        }
    }

    fn run(&self, work: impl Future<Output = ()> + 'static) {
        if let Some(thread) = self.thread.upgrade() {
            thread.spawn(work, || {});
        }
    }
}

/// How many reads may wait for that many connections.
///
/// - `prospect`: of the pool's own line; whether this is a burst only that one knows.
fn waiting_max(seats: usize, prospect: Prospect) -> usize {
    match prospect {
        _ if seats == 0 => 0,
        Prospect::Burst | Prospect::Full => WAITING_MAX,
        Prospect::Standing | Prospect::None => seats.min(WAITING_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_of_reads_is_long_in_a_burst_and_no_longer_than_its_connections_otherwise() {
        for prospect in [Prospect::Burst, Prospect::Full] {
            assert_eq!([0, 1, 300].map(|seats| waiting_max(seats, prospect)), [0, 256, 256]);
        }
        for prospect in [Prospect::Standing, Prospect::None] {
            assert_eq!([0, 1, 300].map(|seats| waiting_max(seats, prospect)), [0, 1, 256]);
        }
    }
}
