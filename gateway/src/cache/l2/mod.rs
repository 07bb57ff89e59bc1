//! L2: entries in Redis, shared by all instances, and the generations that they are valid under.
//!
//! Nothing here ever fails a request: Redis that does not answer is bypassed without waiting, and one
//! task looks for it. What a write could not tell Redis is owed, and delivered before L2 is used
//! again ([`link`]). Connections are ours to make and to lose, each checked for being to the server
//! that it was before: a server that forgot writes (restored, failed over) gets a new epoch.
//!
//! Invariant: L2 is never read or filled while tags are owed to it.

mod background;
mod connection;
mod entry;
mod link;
mod message;
mod node;
mod queued;
mod script;
mod subscribe;
#[cfg(test)]
pub(in crate::cache) mod testing;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use redis::RedisError;
use redis::aio::MultiplexedConnection;
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, Semaphore};

pub use background::Background;
pub(super) use entry::Stamp;
pub use node::{NodeError, NodeLease};

use super::{EventSink, Hex, KeyRef, Stored, Tag};
use crate::config::RedisConfig;
use crate::observe::Event;
use connection::Server;
use link::Link;
use script::Scripts;

/// Fills on their way to Redis at once; more are not made.
const FILLS_MAX: usize = 256;
/// Round trips in a row that may time out before Redis counts as down.
const TIMEOUTS_MAX: u32 = 3;
/// Shortest life of a generation in Redis; it outlives every entry under it.
const GENERATION_LIFE_MS: u64 = 25 * 60 * 60 * 1000;

/// Why Redis is not used.
#[derive(Debug, thiserror::Error)]
pub enum L2Error {
    /// It refused, or it is gone.
    #[error("redis")]
    Redis(#[from] RedisError),
    /// It did not answer in time.
    #[error("redis did not answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// It is known to be down, or tags are owed to it.
    #[error("redis is down")]
    Down,
    /// The system has no random numbers.
    #[error("no random numbers: {0}")]
    Random(getrandom::Error),
}

/// How Redis is doing, for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct L2Stats {
    /// Whether it is used.
    pub up: bool,
    /// Whether messages of other instances arrive.
    pub subscribed: bool,
    /// Tags owed to it.
    pub pending_tags: usize,
    /// Round trips that failed.
    pub failures: u64,
    /// Entries not written because too many were on their way.
    pub fills_skipped: u64,
    /// Messages of other instances.
    pub messages_heard: u64,
    /// Messages that were no messages of ours, or of another version.
    pub messages_malformed: u64,
}

/// What Redis knows of a key.
pub(super) enum LookUp {
    /// An entry, valid.
    Hit {
        /// The entry.
        stored: Stored,
        /// How long it is good for.
        left: Duration,
    },
    /// None; what is fetched now may be kept under these generations.
    Miss(Stamp),
    /// A writer of one of its tags is in flight: serve nothing, keep nothing.
    Closed,
}

/// Redis, as one instance sees it.
pub(super) struct L2 {
    server: Server,
    names: Names,
    scripts: Scripts,
    /// This instance, in messages: random.
    instance: u64,
    timeout: Duration,
    connection_count: usize,
    connections: ArcSwap<Vec<MultiplexedConnection>>,
    next: AtomicUsize,
    link: Link,
    /// Wakes the task that looks for Redis.
    went_down: Notify,
    timeouts: AtomicU32,
    fills: Arc<Semaphore>,
    subscribed: AtomicBool,
    failures: AtomicU64,
    fills_skipped: AtomicU64,
    messages_heard: AtomicU64,
    messages_malformed: AtomicU64,
    events: EventSink,
}

impl fmt::Debug for L2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the server's address nor the connections: both may show a password.
        f.debug_struct("L2").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl L2 {
    /// Takes the configuration; connects to nothing yet.
    pub(super) fn new(
        config: &RedisConfig,
        pending_tags_max: u32,
        events: EventSink,
    ) -> Result<Self, L2Error> {
        Ok(Self {
            server: Server::open(config)?,
            names: Names { namespace: config.namespace.clone() },
            scripts: Scripts::new(),
            instance: random()?,
            timeout: config.timeout,
            connection_count: config.connection_count.max(1) as usize,
            connections: ArcSwap::default(),
            next: AtomicUsize::new(0),
            link: Link::new(pending_tags_max as usize),
            went_down: Notify::new(),
            timeouts: AtomicU32::new(0),
            fills: Arc::new(Semaphore::new(FILLS_MAX)),
            subscribed: AtomicBool::new(false),
            failures: AtomicU64::new(0),
            fills_skipped: AtomicU64::new(0),
            messages_heard: AtomicU64::new(0),
            messages_malformed: AtomicU64::new(0),
            events,
        })
    }

    pub(super) fn stats(&self) -> L2Stats {
        L2Stats {
            up: self.link.is_up(),
            subscribed: self.subscribed.load(Ordering::Relaxed),
            pending_tags: self.link.owed_count(),
            failures: self.failures.load(Ordering::Relaxed),
            fills_skipped: self.fills_skipped.load(Ordering::Relaxed),
            messages_heard: self.messages_heard.load(Ordering::Relaxed),
            messages_malformed: self.messages_malformed.load(Ordering::Relaxed),
        }
    }

    /// Generations, writers in flight and the entry, in one round trip (two when a generation is
    /// new). `None`: Redis is down, or failed just now.
    pub(super) async fn look_up(&self, key: KeyRef<'_>, tags: &[Tag]) -> Option<LookUp> {
        let mut connection = self.connection()?;
        let looked = entry::look_up(&mut connection, &self.names, key, tags).await;
        // Between the round trip and here tags may have come to be owed: then it told too little.
        self.settle(looked).filter(|_| self.link.is_up())
    }

    /// Writes an entry, in the background. Its stamp is judged when it is read: a late one is dead.
    pub(super) fn fill(
        self: &Arc<Self>,
        key: KeyRef<'_>,
        stored: &Stored,
        stamp: &Stamp,
        ttl_ms: u64,
    ) {
        let permit = Arc::clone(&self.fills).try_acquire_owned();
        let (Ok(permit), Some(mut connection)) = (permit, self.connection()) else {
            self.fills_skipped.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let pipeline = entry::fill(&self.names, key, stored, stamp, ttl_ms);
        let l2 = Arc::clone(self);
        // Detached: the reply does not wait for it, and the permits bound how many there are.
        drop(tokio::spawn(async move {
            let filled = pipeline.exec_async(&mut connection).await;
            l2.settle(filled);
            drop(permit);
        }));
    }

    /// Step 1 of a write: new generations, into the writers in flight, others are told. Returns the
    /// writer's name. What cannot be told now is owed.
    pub(super) async fn begin(&self, tags: &[Tag], window: Duration) -> u64 {
        match self.try_begin(tags, window).await {
            Ok(writer) => writer,
            Err(error) => {
                self.owe_because(tags, &error);
                0
            }
        }
    }

    async fn try_begin(&self, tags: &[Tag], window: Duration) -> Result<u64, L2Error> {
        let mut connection = self.connection().ok_or(L2Error::Down)?;
        let writer = random()?;
        let begin = self.scripts.begin(self, tags, writer, window)?;
        begin.invoke_async::<()>(&mut connection).await?;
        Ok(writer)
    }

    /// Step 3 of a write: new generations, out of the writers in flight, others are told.
    pub(super) async fn end(&self, tags: &[Tag], writer: u64) {
        if let Err(error) = self.try_end(tags, writer).await {
            self.owe_because(tags, &error);
        }
    }

    async fn try_end(&self, tags: &[Tag], writer: u64) -> Result<(), L2Error> {
        let mut connection = self.connection().ok_or(L2Error::Down)?;
        let end = self.scripts.end(self, tags, writer)?;
        end.invoke_async::<()>(&mut connection).await?;
        Ok(())
    }

    /// Tags that Redis has to be told of before it is used again.
    pub(super) fn owe(&self, tags: &[Tag]) {
        self.link.owe(tags);
        self.went_down.notify_one();
    }

    /// Takes a nonce for all instances; false: one has it already.
    pub(super) async fn claim_nonce(&self, nonce: &[u8], ttl: Duration) -> Result<bool, L2Error> {
        let mut connection = self.connection().ok_or(L2Error::Down)?;
        let claimed = redis::cmd("SET")
            .arg(self.names.nonce(nonce))
            .arg(1)
            .arg("NX")
            .arg("PX")
            .arg(super::l1::millis(ttl).max(1))
            .query_async::<Option<String>>(&mut connection)
            .await;
        match claimed {
            Ok(claimed) => Ok(claimed.is_some()),
            Err(error) => {
                let error = L2Error::from(error);
                self.failed(&error);
                Err(error)
            }
        }
    }

    /// The next connection, round robin; `None` while Redis is bypassed.
    fn connection(&self) -> Option<MultiplexedConnection> {
        if !self.link.is_up() {
            return None;
        }
        let connections = self.connections.load();
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        connections.get(next.checked_rem(connections.len())?).cloned()
    }

    /// Takes note of how a read's round trip went.
    fn settle<T>(&self, outcome: Result<T, RedisError>) -> Option<T> {
        match outcome {
            Ok(value) => {
                if self.timeouts.load(Ordering::Relaxed) != 0 {
                    self.timeouts.store(0, Ordering::Relaxed);
                }
                Some(value)
            }
            Err(error) => {
                self.failed(&L2Error::from(error));
                None
            }
        }
    }

    /// A read failed: a lost connection means down, another failure does after the third in a row.
    fn failed(&self, error: &L2Error) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let is_lost =
            matches!(error, L2Error::Redis(error) if error.is_io_error() && !error.is_timeout());
        if is_lost || self.timeouts.fetch_add(1, Ordering::Relaxed) + 1 >= TIMEOUTS_MAX {
            self.go_down(error);
        }
    }

    /// A write could not tell Redis: its tags are owed, and until they are delivered L2 is not used.
    fn owe_because(&self, tags: &[Tag], error: &L2Error) {
        if !matches!(error, L2Error::Down) {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        self.link.owe(tags);
        self.go_down(error);
    }

    fn go_down(&self, error: &L2Error) {
        if self.link.go_down() {
            (self.events)(&Event::RedisDown { error });
        }
        self.went_down.notify_one();
    }
}

/// Redis keys and the channel of one namespace.
#[derive(Debug)]
struct Names {
    namespace: Box<str>,
}

impl Names {
    fn entry(&self, key: KeyRef<'_>) -> String {
        let digest = Sha256::digest(key.bytes);
        let short = digest.first_chunk::<16>().map_or(&[][..], |bytes| bytes);
        format!("{}:e:{}", self.namespace, Hex(short))
    }

    fn generation(&self, tag: Tag) -> String {
        format!("{}:g:{}", self.namespace, Hex(&tag.0))
    }

    fn writers(&self, tag: Tag) -> String {
        format!("{}:w:{}", self.namespace, Hex(&tag.0))
    }

    fn queued(&self, request: &[u8; 16]) -> String {
        format!("{}:q:{}", self.namespace, Hex(request))
    }

    fn nonce(&self, nonce: &[u8]) -> String {
        format!("{}:n:{}", self.namespace, Hex(nonce))
    }

    fn node(&self, node: u16) -> String {
        format!("{}:node:{node}", self.namespace)
    }

    /// Which server the namespace's epoch belongs to.
    fn server(&self) -> String {
        format!("{}:server", self.namespace)
    }

    fn channel(&self) -> String {
        format!("{}:stale", self.namespace)
    }
}

/// 64 random bits.
fn random() -> Result<u64, L2Error> {
    getrandom::u64().map_err(L2Error::Random)
}
