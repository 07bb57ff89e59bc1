//! Removes the keys of idempotent requests that have expired, and events that were kept long enough, beside everything else: once a minute, and round
//! after round while there are more than one round removes. Clients make keys as fast as they write.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;

use super::Pools;
use super::switch::{Gates, Kept, purge_events};
use super::write::{Expired, Mark, Place, Purged, purge};
use crate::config::{GameConfig, QueueKind};
use crate::journal::Journal;
use crate::observe::Counter;
use crate::queue::Watch;
use crate::snapshot::{Operation, Snapshot};
use crate::stream::{StreamError, Streams};

/// Between two rounds.
const PAUSE: Duration = Duration::from_mins(1);
/// The same while a round leaves keys behind: some 10,000 go in a second.
const PAUSE_BEHIND: Duration = Duration::from_secs(1);

/// How long the rows of another gateway's journal are left to it after they have expired, in milliseconds: nobody
/// here knows whether it would apply their records again when it starts. The longest outage it may have.
const FOREIGN_GRACE_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// How far clocks of instances may be apart, and orders of a stream out of their order in time, in milliseconds.
const SKEW_MS: i64 = 60 * 60 * 1000;

/// Purges every database whose games have idempotent operations.
#[derive(Debug)]
pub struct Purger {
    /// Says which databases those are.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// The databases.
    pub pools: Arc<Pools>,
    /// Who is let to which.
    pub gates: Arc<Gates>,
    /// Whose records still need their keys.
    pub journal: Option<Arc<Journal>>,
    /// The same through Redis.
    pub streams: Option<Arc<Streams>>,
    /// How many keys were removed.
    pub purged: Counter,
    /// What is known of events.
    pub events: Arc<EventFigures>,
}

/// Events that are kept, by database, as they were seen last.
#[derive(Debug, Default)]
pub struct EventFigures {
    by_pool: Mutex<BTreeMap<Box<str>, KeptEvents>>,
}

/// Events that a database keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptEvents {
    /// How many, counted up to 100,000.
    pub count: u64,
    /// When the oldest one was written, in Unix milliseconds; `None`: there is none.
    pub oldest: Option<i64>,
    /// How many this gateway has removed.
    pub purged: u64,
}

impl EventFigures {
    /// Of each database that was looked at.
    pub fn shown(&self) -> BTreeMap<Box<str>, KeptEvents> {
        self.by_pool.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, pool: &str, kept: Kept) {
        let mut by_pool = self.by_pool.lock().unwrap_or_else(PoisonError::into_inner);
        let known = by_pool.entry(pool.into()).or_default();
        let purged = known.purged + kept.purged;
        *known = KeptEvents { count: kept.count, oldest: kept.oldest, purged };
    }
}

impl Purger {
    /// Runs until `stop` is true.
    pub async fn run(self, mut stop: Watch<bool>) {
        let mut places = HashMap::new();
        let mut pause = PAUSE;
        loop {
            tokio::select! {
                () = stop.until(|stop| *stop) => return,
                () = tokio::time::sleep(pause) => {}
            }
            tokio::select! {
                () = stop.until(|stop| *stop) => return,
                next = self.round(&mut places) => pause = next,
            }
        }
    }

    /// One round; returns how long to wait for the next.
    ///
    /// - `places`: where the round before ended, by connection.
    pub(super) async fn round(&self, places: &mut HashMap<Box<str>, Place>) -> Duration {
        let mut pause = PAUSE;
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        for operation in self.databases() {
            // In the middle of a flip it is the next round's turn.
            let Ok(entered) = self.gates.enter(&operation, Instant::now()).await else { continue };
            let (name, owner) = (Box::<str>::from(entered.placed.pool), entered.owner().cloned());
            let dialect = entered.placed.template.dialect;
            // A flip is not to wait for a round: each of its transactions asks for the owner.
            drop(entered);
            let Some(pool) = self.pools.get(&name, dialect) else { continue };
            let Ok(until_ms) = self.until_ms(&name, now_ms).await else { continue };
            let Ok(streams) = self.stream_ids(&name).await else { continue };
            let last = places.entry(name.clone()).or_default();
            let journal = self.journal.as_deref();
            let is_kept = |row: &Expired| is_kept(journal, &streams, row, now_ms);
            let game = operation.template.game.as_str();
            let holds = owner.as_ref().map(|owner| (game, owner));
            match purge(&pool, holds, until_ms, last, &is_kept).await {
                Ok(Purged { count, is_complete }) => {
                    self.purged.add(count);
                    // Where all were kept, the next ones may as well wait.
                    if count > 0 && !is_complete {
                        pause = PAUSE_BEHIND;
                    }
                }
                // The next round goes on; that the database is away is told by its pool.
                Err(error) => tracing::debug!(pool = %name, %error, "keys were not purged"),
            }
        }
        if !self.purge_events(now_ms).await {
            pause = PAUSE_BEHIND;
        }
        pause
    }

    /// Removes events that were kept long enough, from every database of a game that has some: also from a mirror, which
    /// was the owner before. False: there are more.
    async fn purge_events(&self, now_ms: i64) -> bool {
        let snapshot = self.snapshot.load_full();
        let keep_ms = i64::try_from(snapshot.config.events.keep.as_millis()).unwrap_or(i64::MAX);
        let mut names = BTreeSet::new();
        for game in &snapshot.config.games {
            let emits = |operation: &Arc<Operation>| !operation.template.write.events.is_empty();
            let found = snapshot.game(game.id.as_str());
            if found.is_ok_and(|game| game.operations().any(emits)) {
                names.extend(std::iter::once(&game.database).chain(&game.mirror));
            }
        }
        let mut is_complete = true;
        for name in names {
            let connection = snapshot.config.database.connection(name);
            let Some(pool) = connection.and_then(|it| self.pools.get(name, it.dialect)) else {
                continue;
            };
            match purge_events(&pool, now_ms.saturating_sub(keep_ms)).await {
                Ok(kept) => {
                    is_complete &= kept.is_complete;
                    self.events.note(name, kept);
                }
                Err(error) => tracing::debug!(pool = %name, %error, "events were not purged"),
            }
        }
        is_complete
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
        for game in snapshot.config.games.iter().filter(|game| is_on(game, pool)) {
            if game.queue == QueueKind::Stream
                && let Some(oldest) = streams.oldest_micros(game.id.as_str()).await?
            {
                until_ms = until_ms.min(oldest / 1000 - SKEW_MS);
            }
        }
        Ok(until_ms)
    }

    /// What marks the orders of streams in a database: their keys are held back by [`Purger::until_ms`].
    ///
    /// # Errors
    ///
    /// [`StreamError`] when Redis does not tell.
    async fn stream_ids(&self, pool: &str) -> Result<BTreeSet<i64>, StreamError> {
        let mut ids = BTreeSet::new();
        let Some(streams) = &self.streams else { return Ok(ids) };
        let snapshot = self.snapshot.load_full();
        for game in snapshot.config.games.iter().filter(|game| is_on(game, pool)) {
            if game.queue == QueueKind::Stream {
                ids.extend(streams.ids(game.id.as_str()).await?);
            }
        }
        Ok(ids)
    }

    /// Of each connection that games with idempotent operations are on one of those operations: of a game with a mirror
    /// its owner is purged, and the mirror is made like it.
    fn databases(&self) -> Vec<Arc<Operation>> {
        let snapshot = self.snapshot.load();
        let operations = snapshot.games().flat_map(crate::snapshot::Game::operations);
        let keyed = operations.filter(|operation| operation.template.write.idempotent.is_some());
        let by_pool: BTreeMap<&str, &Arc<Operation>> =
            keyed.map(|operation| (&*operation.pool, operation)).collect();
        by_pool.into_values().map(Arc::clone).collect()
    }
}

/// Whether a game's data may be in a database.
fn is_on(game: &GameConfig, pool: &str) -> bool {
    *game.database == *pool || game.mirror.as_deref() == Some(pool)
}

/// Whether a row is all that stands between a record and its second effect: a start hands out what is not below the
/// position on disk, applied or not, and a dead letter may be tried again.
///
/// - `streams`: marks that are no journal's.
fn is_kept(journal: Option<&Journal>, streams: &BTreeSet<i64>, row: &Expired, now_ms: i64) -> bool {
    let own = journal.map(Journal::id);
    let is_own = |mark: &Mark| Some(mark.journal) == own;
    let sequence = row.mark.filter(is_own).and_then(|mark| u64::try_from(mark.sequence).ok());
    let is_foreign =
        row.mark.is_some_and(|mark| !is_own(&mark) && !streams.contains(&mark.journal));
    (is_foreign && now_ms.saturating_sub(row.expires_at) < FOREIGN_GRACE_MS)
        || journal.is_some_and(|journal| journal.needs(&row.request, sequence))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use smallvec::smallvec;

    use super::*;
    use crate::bind::Bound;
    use crate::catalog::Scalar;
    use crate::config::{IoUring, JournalConfig};
    use crate::identity::RequestKey;
    use crate::journal::{Cause, Draft, Payload, Running};
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

    /// A row that expired at 0, of a record of a journal.
    fn row(number: u8, mark: Option<(i64, i64)>) -> Expired {
        let mark = mark.map(|(journal, sequence)| Mark { journal, sequence });
        Expired { request: [number; 16], expires_at: 0, mark }
    }

    fn config(folder: &Path) -> JournalConfig {
        JournalConfig {
            path: Some(folder.into()),
            segment_bytes: 64 << 10,
            group_bytes_max: 16 << 10,
            bytes_max: 1 << 20,
            records_max: 100,
            age_max: Duration::MAX,
            keys_max: 1,
            queue_max: 100,
        }
    }

    fn start(folder: &Path) -> Running {
        let (board, _heard) = queue::notices(1);
        let begun = Journal::start(&config(folder), IoUring::Off, board.of("journal"));
        begun.unwrap().unwrap()
    }

    #[tokio::test]
    async fn key_is_kept_as_long_as_its_record_waits_is_dead_or_would_come_again() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, thread) = start(folder.path());
        for number in 1..=5 {
            let (reply, answer) = queue::reply();
            journal.offer(draft(number), reply);
            answer.await.unwrap().unwrap();
        }
        let dead = journal.reader().next(2, 1).unwrap().remove(0);
        journal.dead(&dead, Cause::now(2103, "NOT_ENOUGH")).await.unwrap();
        // More than `keys_max`; the first one still waits, so a start would hand all of them out.
        journal.applied(&[3, 4, 5]);
        let (own, none) = (journal.id(), BTreeSet::new());
        let kept = |journal: &Journal| {
            let kept = |number: u8| is_kept(Some(journal), &none, &row(number, None), 1);
            (1..=6).map(kept).collect::<Vec<_>>()
        };
        assert_eq!(kept(&journal), [true, true, true, true, true, false]);
        // The same by the row's mark, where the journal does not know the key.
        assert!(is_kept(Some(&journal), &none, &row(6, Some((own, 4))), i64::MAX));
        journal.applied(&[1]);
        journal.stop();
        thread.join().unwrap().unwrap();
        assert_eq!(journal.position(), 6);
        assert_eq!(kept(&journal), [false, true, false, false, false, false]);
        assert!(!is_kept(Some(&journal), &none, &row(6, Some((own, 4))), 1));
    }

    #[tokio::test]
    async fn row_of_another_journal_is_left_to_it_for_a_week() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, thread) = start(folder.path());
        let (id, none) = (journal.id().wrapping_add(1), BTreeSet::new());
        let foreign = row(1, Some((id, 1)));
        // Of a stream: what waits there was asked for apart from this.
        assert!(!is_kept(Some(&journal), &BTreeSet::from([id]), &foreign, 1));
        for journal in [Some(&*journal), None] {
            assert!(is_kept(journal, &none, &foreign, FOREIGN_GRACE_MS - 1));
            assert!(!is_kept(journal, &none, &foreign, FOREIGN_GRACE_MS));
            assert!(!is_kept(journal, &none, &row(1, None), 1));
        }
        journal.stop();
        thread.join().unwrap().unwrap();
    }
}
