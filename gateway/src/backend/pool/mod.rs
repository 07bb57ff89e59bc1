//! Connections of one database: kept, lent, and made anew when they are gone.
//!
//! Why not the driver's own pool: it pings at every return of a connection, which costs more than a
//! point query. Here the way of a request is one short lock: take the connection that was used last, lend
//! it, put it back. Nothing is asked of the database then; [`upkeep`] does that aside, to connections that
//! have been idle for a while.
//!
//! A request that finds none waits in a line, first come, first served. Connections are opened by tasks of
//! the pool's own, never by the request that needs one: a request whose time is short does not throw away a
//! connection that was almost there. While the database cannot be reached, requests are refused at once and
//! one probe at a time looks whether it is back.
//!
//! Invariant: `open` in [`state::State`] counts every connection from before it is made until after it is
//! closed, and is never over the configured number, but while a shrunk pool's leases come back.
//! Invariant: no lock is held over an await, nor while a [`Lease`] is dropped.

mod lease;
mod opener;
mod patience;
#[cfg(feature = "mysql")]
mod place;
mod prospect;
mod state;
mod upkeep;
mod wait;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};

pub(super) use lease::Lease;
use opener::Counters;
#[cfg(feature = "mysql")]
pub use place::{Direct, Place};
use prospect::Posted;
pub use prospect::Prospect;
use state::{Admission, Open, State};

use super::BackendError;
use super::connection::Connection;
use crate::config::ConnectionConfig;
use crate::observe::Event;

/// Who hears of a pool's events. Called outside every lock, on a backend thread; must not block.
pub type EventSink = Arc<dyn Fn(&Event<'_>) + Send + Sync>;

/// How long a good-bye may take before the connection is just dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a connection whose statement was given up may count as open while it is being stopped.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);
/// Statements being stopped at once, each over a connection of its own.
const CANCEL_COUNT_MAX: usize = 4;

/// A pool. Clones are the same pool.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

/// A pool's figures at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Connections, also those being opened.
    pub open: u32,
    /// Of those, idle ones.
    pub idle: u32,
    /// Of those, ones lent to a request or being stopped.
    pub leased: u32,
    /// Of those, ones that frontend threads read with.
    pub direct: u32,
    /// Requests in line.
    pub waiting: u32,
    /// Whether the database answers, as far as the pool knows.
    pub up: bool,
    /// Connections made since the start.
    pub connects_total: u64,
    /// Attempts to connect that failed.
    pub connect_failures_total: u64,
    /// Requests that waited too long for a connection.
    pub timeouts_total: u64,
    /// Reads that frontend threads did themselves.
    pub direct_reads_total: u64,
}

/// What the pool, its leases and its tasks share.
pub(super) struct Shared {
    name: Box<str>,
    runtime: Handle,
    sink: EventSink,
    /// Changed through [`Shared::lock`] alone.
    state: Mutex<State>,
    posted: Posted,
    /// Wakes [`upkeep`]: something changed that it may have to act on.
    changed: Arc<Notify>,
    /// Wakes who waits for the last connection to close.
    emptied: Notify,
    cancels: Semaphore,
    counters: Counters,
    /// One more whenever the configuration changes, and when the pool is closed.
    version: AtomicU64,
}

impl Pool {
    /// Makes a pool and begins to open its idle connections.
    ///
    /// - `runtime`: where its tasks run and its connections live.
    /// - `sink`: hears of [`Event::DatabaseDown`] and [`Event::DatabaseUp`], once a change.
    pub fn new(config: ConnectionConfig, runtime: Handle, sink: EventSink) -> Self {
        let shared = Arc::new(Shared {
            name: config.name.clone(),
            runtime,
            sink,
            state: Mutex::new(State::new(Arc::new(config))),
            posted: Posted::new(),
            changed: Arc::new(Notify::new()),
            emptied: Notify::new(),
            cancels: Semaphore::new(CANCEL_COUNT_MAX),
            counters: Counters::default(),
            version: AtomicU64::new(0),
        });
        upkeep::start(&shared);
        Self { shared }
    }

    /// Lends a connection.
    ///
    /// - `deadline`: the request's own; the pool's `acquire_timeout` holds besides.
    ///
    /// Cost: one lock when one is idle. A dropped future leaves nothing behind.
    ///
    /// # Errors
    ///
    /// [`BackendError::PoolExhausted`] when too many wait, or the wait was too long (in a standing line
    /// sooner: [`patience`]);
    /// [`BackendError::Unreachable`] while the database cannot be reached, or the pool is closed;
    /// [`BackendError::Deadline`] when the request's own time is over.
    pub(super) fn acquire(
        &self,
        deadline: Instant,
    ) -> impl Future<Output = Result<Lease, BackendError>> + Send {
        self.stand(deadline, false)
    }

    /// The same for work that was promised, such as orders that a journal holds: a line that does not end makes it wait,
    /// and does not send it away.
    ///
    /// # Errors
    ///
    /// As [`Self::acquire`].
    pub(super) fn acquire_promised(
        &self,
        deadline: Instant,
    ) -> impl Future<Output = Result<Lease, BackendError>> + Send {
        self.stand(deadline, true)
    }

    async fn stand(&self, deadline: Instant, stays: bool) -> Result<Lease, BackendError> {
        loop {
            let now = Instant::now();
            if deadline <= now {
                return Err(BackendError::Deadline);
            }
            match self.shared.admit(now, stays) {
                Admission::Ready(open) => return Ok(self.lease(open)),
                Admission::Suspect(open) => {
                    let mut lease = self.lease(open);
                    if lease.answers(deadline).await {
                        return Ok(lease);
                    }
                }
                Admission::Wait(waiter) => {
                    return wait::wait(&self.shared, waiter, deadline).await;
                }
                Admission::Full => return Err(self.shared.exhausted()),
                Admission::Down => return Err(self.shared.unreachable(None)),
            }
        }
    }

    /// Takes a new configuration. What can change at once does: a smaller pool closes idle connections now
    /// and lent ones when they come back; another endpoint, or other settings of a session, replace every
    /// connection the same way.
    ///
    /// - `config`: of the same name.
    pub fn reconfigure(&self, config: ConnectionConfig) {
        let retired = self.shared.lock().reconfigure(Arc::new(config));
        self.shared.version.fetch_add(1, Ordering::AcqRel);
        self.shared.close_all(retired);
        self.shared.refill();
        self.shared.changed.notify_one();
    }

    /// Closes it: idle connections now, lent ones when they come back; who waits is refused.
    /// Returns when all are closed, or at `deadline`.
    pub async fn close(&self, deadline: Instant) {
        let (idle, waiters) = self.shared.lock().close();
        self.shared.version.fetch_add(1, Ordering::AcqRel);
        drop(waiters);
        self.shared.close_all(idle);
        self.shared.changed.notify_one();
        let emptied = async {
            loop {
                let notified = self.shared.emptied.notified();
                if self.shared.lock().open == 0 {
                    return;
                }
                notified.await;
            }
        };
        if tokio::time::timeout_at(deadline.into(), emptied).await.is_err() {
            tracing::warn!(pool = %self.shared.name, "connections were still lent at the deadline");
        }
    }

    /// Its connection's name in the configuration.
    pub(super) fn name(&self) -> &str {
        &self.shared.name
    }

    /// Whether both are the same pool.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Its figures now.
    pub fn stats(&self) -> PoolStats {
        let counters = &self.shared.counters;
        PoolStats {
            connects_total: counters.connects.load(Ordering::Relaxed),
            connect_failures_total: counters.connect_failures.load(Ordering::Relaxed),
            timeouts_total: counters.timeouts.load(Ordering::Relaxed),
            direct_reads_total: counters.direct_reads.load(Ordering::Relaxed),
            ..self.shared.lock().stats()
        }
    }

    /// Its configuration now.
    pub fn config(&self) -> Arc<ConnectionConfig> {
        Arc::clone(&self.shared.lock().config)
    }

    /// What a request is told that could not be served for lack of a connection.
    pub(super) fn unreachable(&self, source: Option<sqlx::Error>) -> BackendError {
        self.shared.unreachable(source)
    }

    fn lease(&self, open: Open) -> Lease {
        Lease::new(Arc::clone(&self.shared), open)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("name", &self.shared.name)
            .field("stats", &self.stats())
            .finish()
    }
}

impl Shared {
    fn admit(self: &Arc<Self>, now: Instant, stays: bool) -> Admission {
        let (admission, retired, opening) = {
            let mut state = self.lock();
            let mut retired = Vec::new();
            let admission = state.admit(now, stays, &mut retired);
            (admission, retired, state.reserve(now))
        };
        // Both are empty on the way that is fast.
        self.close_all(retired);
        self.open_many(opening);
        admission
    }

    /// Takes a connection back: to the first in line, to the idle ones, or to its end.
    fn release(self: &Arc<Self>, open: Open, now: Instant) {
        let mut open = open;
        loop {
            let (waiter, late) = {
                let mut state = self.lock();
                match state.take_back(open, now) {
                    state::Return::Kept => return,
                    state::Return::Retired(retired) => {
                        drop(state);
                        self.close_all(vec![retired]);
                        return self.refill();
                    }
                    state::Return::Handed { waiter, open: back, late } => {
                        open = back;
                        (waiter, late)
                    }
                }
            };
            self.send_away(late);
            match waiter.give(Ok(Lease::new(Arc::clone(self), open))) {
                None | Some(Err(_)) => return,
                // The one in line has left: the next.
                Some(Ok(lease)) => match lease.into_open() {
                    Some(back) => open = back,
                    None => return,
                },
            }
        }
    }

    /// Counts a connection out that is closed, or was never made.
    fn forget(self: &Arc<Self>) {
        let empty = {
            let mut state = self.lock();
            state.open = state.open.saturating_sub(1);
            state.open == 0
        };
        if empty {
            self.emptied.notify_waiters();
        }
        self.refill();
    }

    /// Opens connections for those in line, or tells them that there is no use in waiting.
    fn refill(self: &Arc<Self>) {
        let (opening, hopeless) = {
            let mut state = self.lock();
            (state.reserve(Instant::now()), state.hopeless())
        };
        self.open_many(opening);
        self.refuse_all(hopeless, None);
    }

    /// Refuses those who have waited too long in a line that does not end.
    fn send_away(&self, late: Vec<wait::Waiter>) {
        for waiter in late {
            self.counters.timeouts.fetch_add(1, Ordering::Relaxed);
            // Who has left needs no refusal.
            drop(waiter.give(Err(self.exhausted())));
        }
    }

    fn refuse_all(&self, waiters: Vec<wait::Waiter>, source: Option<sqlx::Error>) {
        let mut source = source;
        for waiter in waiters {
            // Who has left needs no refusal.
            drop(waiter.give(Err(self.unreachable(source.take()))));
        }
    }

    /// Closes connections that were counted out already.
    fn close_all(self: &Arc<Self>, retired: Vec<Open>) {
        if retired.is_empty() {
            return;
        }
        if self.lock().open == 0 {
            self.emptied.notify_waiters();
        }
        self.runtime.spawn(async move {
            for open in retired {
                open.connection.close(CLOSE_TIMEOUT).await;
            }
        });
    }

    /// Stops what still runs on a connection, then closes it. It counts as open until then, so that a
    /// database in trouble is not given more to do.
    fn abandon(self: &Arc<Self>, connection: Connection) {
        let shared = Arc::clone(self);
        self.runtime.spawn(async move {
            let stopped = tokio::time::timeout(CANCEL_TIMEOUT, async {
                let Ok(_turn) = shared.cancels.acquire().await else { return };
                if let Err(error) = connection.cancel().run().await {
                    tracing::debug!(pool = %shared.name, %error, "a statement was not stopped");
                }
            });
            if stopped.await.is_err() {
                tracing::debug!(pool = %shared.name, "stopping a statement took too long");
            }
            drop(connection);
            shared.forget();
        });
    }

    fn exhausted(&self) -> BackendError {
        BackendError::PoolExhausted { pool: self.name.clone() }
    }

    fn unreachable(&self, source: Option<sqlx::Error>) -> BackendError {
        BackendError::Unreachable { pool: self.name.clone(), source }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("name", &self.name).finish_non_exhaustive()
    }
}
