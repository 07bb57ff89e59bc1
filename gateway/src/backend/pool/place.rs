//! Places of a pool that frontend threads have: each is a connection of their own, counted like the pool's.
//!
//! The pool opens such a connection and gives it away, socket and all. From then on it knows of it only that it is there, until
//! its [`Place`] is dropped. Frontends have at most half of `max_open_conns`, and of `max_idle_conns`, because they keep theirs.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::super::mysql::KillOrder;
use super::super::mysql::wire::{self, Opened, Session};
use super::opener::lifetime;
use super::state::{Open, State};
use super::{CANCEL_TIMEOUT, Pool, Shared};
use crate::config::ConnectionConfig;
use crate::queue::{self, Answer};

/// A place among a pool's connections. Given back when dropped.
#[derive(Debug)]
pub struct Place {
    shared: Arc<Shared>,
    /// Whether there is a connection.
    is_made: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.lock().leave_place(self.is_made);
        self.shared.forget();
    }
}

/// A connection for a frontend thread.
#[derive(Debug)]
pub struct Direct {
    /// Its socket; does not block.
    pub socket: TcpStream,
    /// What is known of it.
    pub session: Session,
    /// It counts as long as this lives.
    pub place: Place,
    /// [`Pool::version`] when it was asked for: under another one it is closed.
    pub version: u64,
    /// When it has lived long enough.
    pub expires_at: Instant,
}

impl State {
    /// Counts a connection in that is a frontend thread's. Where all are open an idle one makes room, and goes to `retired`.
    fn take_place(&mut self, now: Instant, retired: &mut Vec<Open>) -> bool {
        let share = self.config.direct_count_max();
        if self.direct as usize >= share || !self.line.is_empty() || !self.may_open(now) {
            return false;
        }
        if self.open >= self.config.open_count_max {
            if self.idle.is_empty() {
                return false;
            }
            // The one that was used longest ago.
            retired.push(self.idle.remove(0));
            self.open -= 1;
        }
        self.open += 1;
        self.direct += 1;
        true
    }

    /// Counts it out among those; [`State::open`] still has it.
    fn leave_place(&mut self, is_made: bool) {
        self.direct -= 1;
        self.direct_made -= u32::from(is_made);
    }
}

impl Pool {
    /// How often the pool was reconfigured, and closed.
    pub fn version(&self) -> u64 {
        self.shared.version.load(Ordering::Acquire)
    }

    /// Counts a read that was answered on such a connection.
    pub fn count_direct_read(&self) {
        self.shared.counters.direct_reads.fetch_add(1, Ordering::Relaxed);
    }

    /// Has a connection opened for a frontend thread; `None`: there is no place for one, or no reaching the database.
    pub fn open_direct(&self) -> Option<Answer<Direct>> {
        let shared = &self.shared;
        let (retired, config, version) = {
            let mut state = shared.lock();
            let mut retired = Vec::new();
            if !state.take_place(Instant::now(), &mut retired) {
                return None;
            }
            (retired, Arc::clone(&state.config), self.version())
        };
        shared.close_all(retired);
        let place = Place { shared: Arc::clone(shared), is_made: false };
        let (reply, answer) = queue::reply();
        shared.runtime.spawn(async move {
            if let Some(direct) = open(place, &config, version).await {
                // Whoever asked may be gone, and its place with it.
                drop(reply.send(direct));
            }
        });
        Some(answer)
    }

    /// Notes that a connection of a frontend's was lost: the pool's own must answer before they are lent.
    pub fn suspect(&self) {
        self.shared.lock().suspect(Instant::now());
        self.shared.changed.notify_one();
    }

    /// Stops what still runs on a connection whose socket is closed, and then gives its place back.
    pub fn stop_direct(&self, place: Place, session: &Session) {
        let number = session.server_number();
        let config = self.config();
        self.shared.runtime.spawn(async move {
            let stopped = tokio::time::timeout(CANCEL_TIMEOUT, async {
                let Ok(_turn) = place.shared.cancels.acquire().await else { return };
                let order = KillOrder::of(&config, number);
                if let Err(error) = async { Box::pin(order?.run()).await }.await {
                    tracing::debug!(pool = %place.shared.name, %error, "a statement was not stopped");
                }
            });
            if stopped.await.is_err() {
                tracing::debug!(pool = %place.shared.name, "stopping a statement took too long");
            }
        });
    }
}

async fn open(mut place: Place, config: &ConnectionConfig, version: u64) -> Option<Direct> {
    let opened = tokio::time::timeout(config.connect_timeout, wire::open(config)).await;
    let opened = opened.unwrap_or_else(|_| {
        Err(io::Error::new(io::ErrorKind::TimedOut, "connect_timeout is over").into())
    });
    let counters = &place.shared.counters;
    match opened {
        Ok(Opened { socket, session }) => {
            counters.connects.fetch_add(1, Ordering::Relaxed);
            place.shared.lock().direct_made += 1;
            place.is_made = true;
            let expires_at = Instant::now() + lifetime(config);
            Some(Direct { socket, session, place, version, expires_at })
        }
        Err(error) => {
            counters.connect_failures.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(pool = %place.shared.name, %error, "no connection for a frontend");
            None
        }
    }
}
