//! Making connections, aside from the requests that need them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::super::connection::Connection;
use super::super::fault::is_login_refused;
use super::Shared;
use super::state::Open;
use crate::config::ConnectionConfig;
use crate::observe::Event;

/// What a pool counts from the start on.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) connects: AtomicU64,
    pub(super) connect_failures: AtomicU64,
    pub(super) timeouts: AtomicU64,
    pub(super) direct_reads: AtomicU64,
}

impl Shared {
    /// Opens connections that were counted in.
    pub(super) fn open_many(self: &Arc<Self>, count: u32) {
        for _ in 0..count {
            self.runtime.spawn(open(Arc::clone(self)));
        }
    }
}

/// A connection that is counted in and not made yet; counted out when dropped, whatever happened.
struct Attempt {
    shared: Arc<Shared>,
    generation: u64,
    settled: bool,
}

impl Attempt {
    fn succeed(mut self, open: Open) {
        self.settled = true;
        let shared = &self.shared;
        shared.counters.connects.fetch_add(1, Ordering::Relaxed);
        let came_back = shared.lock().connected();
        if came_back {
            (shared.sink)(&Event::DatabaseUp { pool: &shared.name });
        }
        let now = open.checked_at;
        shared.release(open, now);
        // Those that could not be opened while it was down.
        shared.changed.notify_one();
    }

    fn fail(mut self, error: sqlx::Error) {
        self.settled = true;
        self.give_up(error);
    }

    fn give_up(&self, error: sqlx::Error) {
        let shared = &self.shared;
        shared.counters.connect_failures.fetch_add(1, Ordering::Relaxed);
        let (went_down, hopeless, empty) = {
            let mut state = shared.lock();
            let is_login = is_login_refused(&error);
            let went_down = state.failed(self.generation, Instant::now(), random(), is_login);
            (went_down, state.hopeless(), state.open == 0)
        };
        if went_down {
            (shared.sink)(&Event::DatabaseDown { pool: &shared.name, error: &error });
        }
        shared.refuse_all(hopeless, Some(error));
        if empty {
            shared.emptied.notify_waiters();
        }
        shared.changed.notify_one();
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.settled {
            self.give_up(sqlx::Error::WorkerCrashed);
        }
    }
}

async fn open(shared: Arc<Shared>) {
    let (config, generation) = {
        let state = shared.lock();
        (Arc::clone(&state.config), state.generation)
    };
    let slot = Attempt { shared, generation, settled: false };
    let attempt = tokio::time::timeout(config.connect_timeout, Connection::open(&config));
    let opened = attempt.await.unwrap_or_else(|_| {
        Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "connect_timeout is over")))
    });
    match opened {
        Ok(connection) => {
            let now = Instant::now();
            let expires_at = now + lifetime(&config);
            slot.succeed(Open {
                connection,
                generation,
                expires_at,
                checked_at: now,
                used_at: now,
            });
        }
        Err(error) => slot.fail(error),
    }
}

/// How long a connection lives: up to a tenth less than configured, so that those that were opened together
/// do not end together.
pub(super) fn lifetime(config: &ConnectionConfig) -> Duration {
    config.lifetime.mul_f64(1.0 - random() / 10.0)
}

/// A number from 0 to 1; 0 where the system has none to give.
fn random() -> f64 {
    getrandom::u32().map_or(0.0, |number| f64::from(number) / f64::from(u32::MAX))
}
