//! The cache: entries in process (L1) and in Redis (L2), and the generations that keep them true.
//!
//! A frontend builds a key ([`KeySpec::build`]) and reads L1 ([`L1::read`]); what it misses goes to a
//! backend thread, which calls [`Cache::load`]. A write is bracketed by [`Cache::begin_write`] and
//! [`WriteInFlight::finish`]. What keeps a stale row from being served is in three files:
//! `generation.rs` (in process), `l2/script.rs` (in Redis), `l2/link.rs` (while Redis is away).
//!
//! What is promised while Redis answers: on one instance no reader sees an acknowledged write undone;
//! on another not after the message of the write arrived. While Redis is away: the same on one
//! instance; another that still reaches Redis may serve what it had until the tags that are owed are
//! delivered (or, if this instance dies first, until the entry's ttl), and one that lost its
//! subscription serves only entries younger than `cache.l1_blind_ttl`.
//!
//! Invariant: a per-principal result never stands under a global key.

mod body;
mod eviction;
mod flight;
mod generation;
mod key;
mod l1;
mod l2;
mod load;
mod nonce;
mod queued;
mod tag;
#[cfg(test)]
pub(crate) mod testing;
mod write;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use body::{Body, Stored};
pub use generation::{Generations, View};
pub use key::{Key, KeyHasher, KeyRef, KeySpec, Keys};
pub use l1::{Found, Hit, L1, L1Counts, L1Stats, Life, Reading};
pub use l2::{Background, L2Error, L2Stats, NodeError, NodeLease};
pub use load::{Load, Outcome};
pub use nonce::NonceError;
pub use queued::QueuedState;
pub use tag::{TAG_COUNT_MAX, Tag, read_tags, write_tags};
pub use write::{WRITE_MARGIN, WriteInFlight};

use crate::config::CacheConfig;
use crate::observe::Event;
use flight::Flights;
use l2::L2;
use nonce::Nonces;
use write::Abandoned;

/// Who hears of the cache's events.
pub type EventSink = Box<dyn Fn(&Event<'_>) + Send + Sync>;

/// Both levels, of one instance. `E` is why a fetch fails; it is shared by those who waited for it.
#[derive(Debug)]
pub struct Cache<E> {
    shared: Arc<Shared>,
    flights: Flights<Result<Arc<Stored>, Arc<E>>>,
}

/// What the cache, its writes in flight and its background tasks share.
#[derive(Debug)]
struct Shared {
    clock: Clock,
    hasher: KeyHasher,
    generations: Arc<Generations>,
    l1: L1,
    l2: Option<Arc<L2>>,
    /// What L1 may keep without a word from Redis is kept this long.
    blind_ttl: Duration,
    abandoned: Abandoned,
    nonces: Nonces,
}

/// How the cache is doing, for the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheStats {
    /// L1. Hits and misses are counted by who reads.
    pub l1: L1Stats,
    /// How often everything became stale since the start.
    pub epoch: u64,
    /// Fetches in progress.
    pub flight_count: usize,
    /// Whether messages of other instances may be missing.
    pub blind: bool,
    /// Redis; `None`: not configured.
    pub l2: Option<L2Stats>,
}

impl<E> Cache<E> {
    /// Makes an empty cache. Connects to nothing: call [`Cache::spawn`] for that.
    ///
    /// # Errors
    ///
    /// [`L2Error`] when `cache.redis.url` is not a Redis URL or there are no random numbers.
    pub fn new(config: &CacheConfig, events: EventSink) -> Result<Self, L2Error> {
        let generations = Arc::new(Generations::new(config.tag_slots, config.redis.is_none()));
        let l2 = match &config.redis {
            Some(redis) => Some(Arc::new(L2::new(redis, config.pending_tags_max, events)?)),
            None => None,
        };
        let l1 = L1::new(config.l1_bytes_max, config.l1_blind_ttl, Arc::clone(&generations));
        let shared = Arc::new(Shared {
            clock: Clock { origin: Instant::now() },
            hasher: KeyHasher::default(),
            generations,
            l1,
            l2,
            blind_ttl: config.l1_blind_ttl,
            abandoned: Abandoned::default(),
            nonces: Nonces::default(),
        });
        Ok(Self { shared, flights: Flights::new() })
    }

    /// The entries in process: what frontends read.
    pub fn l1(&self) -> &L1 {
        &self.shared.l1
    }

    /// Whether there are other instances to tell of anything.
    pub fn has_l2(&self) -> bool {
        self.shared.l2.is_some()
    }

    /// What hashes keys for L1.
    pub fn hasher(&self) -> &KeyHasher {
        &self.shared.hasher
    }

    /// The cache's clock: milliseconds since it was made, never going back.
    pub fn now_ms(&self) -> u64 {
        self.shared.clock.now_ms()
    }

    /// The same clock at a moment that was read already.
    pub fn ms_at(&self, moment: Instant) -> u64 {
        l1::millis(moment.saturating_duration_since(self.shared.clock.origin))
    }

    /// How it is doing. Takes L1's filling lock for a moment.
    pub fn stats(&self) -> CacheStats {
        CacheStats {
            l1: self.shared.l1.stats(),
            epoch: self.shared.generations.epoch(),
            flight_count: self.flights.count(),
            blind: self.shared.generations.is_blind(self.now_ms()),
            l2: self.shared.l2.as_ref().map(|l2| l2.stats()),
        }
    }

    /// Takes over what of a reloaded configuration needs no restart: the budget of L1.
    pub fn reload(&self, config: &CacheConfig) {
        self.shared.l1.set_bytes_max(config.l1_bytes_max);
    }
}

/// Milliseconds since the cache was made.
#[derive(Clone, Copy, Debug)]
struct Clock {
    origin: Instant,
}

impl Clock {
    fn now_ms(self) -> u64 {
        l1::millis(self.origin.elapsed())
    }
}

/// Bytes as hexadecimal digits, for Redis keys.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
