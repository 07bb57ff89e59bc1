//! Removes the keys of idempotent requests that have expired, once a minute, beside everything else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;

use super::{Pools, purge};
use crate::config::{Dialect, QueueKind};
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
        let is_kept = |request: &[u8; 16]| is_kept(self.journal.as_deref(), request);
        for (name, dialect) in self.databases() {
            let Some(pool) = self.pools.get(&name, dialect) else { continue };
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

/// A record that waits may have been applied by a process that ended before it wrote that down, and a dead letter
/// may be tried again.
fn is_kept(journal: Option<&Journal>, request: &[u8; 16]) -> bool {
    let state = journal.and_then(|journal| journal.state_of(request));
    !matches!(state, None | Some(State::Applied { .. }))
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;
    use crate::bind::Bound;
    use crate::catalog::Scalar;
    use crate::config::{IoUring, JournalConfig};
    use crate::identity::RequestKey;
    use crate::journal::{Draft, Payload};
    use crate::queue;

    fn draft(number: u8) -> Draft {
        Draft {
            key: RequestKey { request: [number; 16], params: [number; 16] },
            lane: None,
            payload: Payload {
                game: "game1".into(),
                op: "order.create".into(),
                contract: 1,
                version: 1,
                is_urgent: false,
                now_micros: 1,
                ids: smallvec![],
                caller: "key:shop".into(),
                claims: [].into(),
                trace: "t-1".into(),
                key_text: "a".into(),
                bound: Bound { values: smallvec![Scalar::Int(7)], given: 1 },
            },
        }
    }

    #[tokio::test]
    async fn keys_of_waiting_and_dead_records_are_kept_and_those_of_applied_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let config = JournalConfig {
            path: Some(folder.path().into()),
            segment_bytes: 64 << 10,
            group_bytes_max: 16 << 10,
            bytes_max: 1 << 20,
            records_max: 100,
            age_max: Duration::MAX,
            keys_max: 100,
            queue_max: 100,
        };
        let (board, _heard) = queue::notices(1);
        let begun = Journal::start(&config, IoUring::Off, board.of("journal"));
        let (journal, thread) = begun.unwrap().unwrap();
        for number in 1..=3 {
            let (reply, answer) = queue::reply();
            journal.offer(draft(number), reply);
            answer.await.unwrap().unwrap();
        }
        let dead = journal.reader().next(2, 1).unwrap().remove(0);
        journal.dead(&dead, 2103, "NOT_ENOUGH").await.unwrap();
        journal.applied(&[3]);
        let kept = |number: u8| is_kept(Some(&journal), &[number; 16]);
        assert_eq!([1, 2, 3, 4].map(kept), [true, true, false, false]);
        assert!(!is_kept(None, &[1; 16]));
        journal.stop();
        thread.join().unwrap().unwrap();
    }
}
