//! Removes the keys of idempotent requests that have expired, once a minute, beside everything else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;

use super::{Pools, purge};
use crate::config::Dialect;
use crate::journal::{Journal, State};
use crate::observe::Counter;
use crate::queue::Watch;
use crate::snapshot::Snapshot;

/// Between two rounds.
const PAUSE: Duration = Duration::from_mins(1);

/// Purges every database whose games have idempotent operations.
#[derive(Debug)]
pub struct Purger {
    /// Says which databases those are.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// The databases.
    pub pools: Arc<Pools>,
    /// Whose records still need their keys.
    pub journal: Option<Arc<Journal>>,
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
        for (name, dialect) in self.databases() {
            let Some(pool) = self.pools.get(&name, dialect) else { continue };
            match purge(&pool, now_ms, &is_kept).await {
                Ok(count) => self.purged.add(count),
                // The next round goes on; that the database is away is told by its pool.
                Err(error) => tracing::debug!(pool = %name, %error, "keys were not purged"),
            }
        }
    }

    /// A record that waits may have been applied by a process that ended before it wrote that down.
    fn is_kept(&self, request: &[u8; 16]) -> bool {
        let state = self.journal.as_ref().and_then(|journal| journal.state_of(request));
        !matches!(state, None | Some(State::Applied { .. }))
    }

    /// The connections of games with idempotent operations.
    fn databases(&self) -> BTreeSet<(Box<str>, Dialect)> {
        let snapshot = self.snapshot.load();
        let operations = snapshot.games().flat_map(crate::snapshot::Game::operations);
        operations
            .filter(|operation| operation.template.write.idempotent.is_some())
            .map(|operation| (operation.pool.clone(), operation.template.dialect))
            .collect()
    }
}
