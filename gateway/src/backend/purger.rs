//! Removes the keys of idempotent requests that have expired, once a minute, beside everything else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;

use super::{Pools, purge};
use crate::config::QueueKind;
use crate::journal::{Journal, State};
use crate::observe::Counter;
use crate::queue::Watch;
use crate::snapshot::Snapshot;
use crate::stream::{StreamError, Streams};

/// Between two rounds.
const PAUSE: Duration = Duration::from_mins(1);

/// How far clocks of instances may be apart, and orders of a stream out of their order in time, in milliseconds.
const SKEW_MS: i64 = 60 * 60 * 1000;

/// Purges every database whose games have idempotent operations.
#[derive(Debug)]
pub struct Purger {
    /// Says which databases those are.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// The databases.
    pub pools: Arc<Pools>,
    /// Whose records still need their keys.
    pub journal: Option<Arc<Journal>>,
    /// The same through Redis.
    pub streams: Option<Arc<Streams>>,
    /// How many keys were removed.
    pub purged: Counter,
}

impl Purger {
    /// Runs until `stop` is true.
    pub async fn run(self, mut stop: Watch<bool>) {
        loop {
            tokio::select! {
                () = stop.until(|stop| *stop) => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
            tokio::select! {
                () = stop.until(|stop| *stop) => return,
                () = self.round() => {}
            }
        }
    }

    async fn round(&self) {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        let is_kept = |request: &[u8; 16]| self.is_kept(request);
        for name in self.names() {
            let Some(pool) = self.pools.get(&name) else { continue };
            let Ok(until_ms) = self.until_ms(&name, now_ms).await else { continue };
            match purge(&pool, until_ms, &is_kept).await {
                Ok(count) => self.purged.add(count),
                // The next round goes on; that the database is away is told by its pool.
                Err(error) => tracing::debug!(pool = %name, %error, "keys were not purged"),
            }
        }
    }

    /// Up to when keys of a database may go: a record that waits in a stream may have been applied already, so
    /// no key goes that is not older than the oldest one.
    ///
    /// # Errors
    ///
    /// [`StreamError`] when Redis does not tell: then none goes.
    async fn until_ms(&self, pool: &str, now_ms: i64) -> Result<i64, StreamError> {
        let Some(streams) = &self.streams else { return Ok(now_ms) };
        let snapshot = self.snapshot.load_full();
        let mut until_ms = now_ms;
        for game in snapshot.config.games.iter().filter(|game| *game.database == *pool) {
            if game.queue == QueueKind::Stream
                && let Some(oldest) = streams.oldest_micros(game.id.as_str()).await?
            {
                until_ms = until_ms.min(oldest / 1000 - SKEW_MS);
            }
        }
        Ok(until_ms)
    }

    /// A record that waits may have been applied by a process that ended before it wrote that down.
    fn is_kept(&self, request: &[u8; 16]) -> bool {
        let state = self.journal.as_ref().and_then(|journal| journal.state_of(request));
        !matches!(state, None | Some(State::Applied { .. }))
    }

    /// The connections of games with idempotent operations.
    fn names(&self) -> BTreeSet<Box<str>> {
        let snapshot = self.snapshot.load();
        let needs = |game: &&crate::snapshot::Game| {
            game.operations().any(|operation| operation.template.write.idempotent.is_some())
        };
        snapshot.games().filter(needs).map(|game| game.pool.clone()).collect()
    }
}
