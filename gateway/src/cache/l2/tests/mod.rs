//! Whole caches over a fake database, alone and as two instances over one private Redis.

mod alone;
mod faults;
mod model;
mod node;
mod queued;
mod steps;

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gateway_protocol::GameId;
use tokio::runtime::Handle;

use super::testing::RedisServer;
use super::{Background, L2Stats};
use crate::cache::testing::{bytes_of, key_of, policy, present};
use crate::cache::{Cache, CacheStats, Load, Outcome, Stored, Tag, WriteInFlight};
use crate::catalog::{CachePolicy, Scope};
use crate::config::{CacheConfig, RedisConfig, Secret};
use crate::observe::Event;

/// Longer than anything waited for takes, on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// A write's window where nothing depends on its end.
const WINDOW: Duration = Duration::from_mins(1);

/// Why a fetch fails here.
#[derive(Debug, PartialEq, Eq)]
struct Broken;

/// Rows by name, each with a version; a version of 0 is no row.
#[derive(Clone, Debug, Default)]
struct Database(Arc<Mutex<HashMap<String, u64>>>);

impl Database {
    fn get(&self, row: &str) -> u64 {
        self.0.lock().unwrap().get(row).copied().unwrap_or(0)
    }

    fn set(&self, row: &str, version: u64) {
        self.0.lock().unwrap().insert(row.into(), version);
    }
}

/// A gateway, as far as its cache goes.
struct Instance {
    cache: Cache<Broken>,
    policy: CachePolicy,
    events: Arc<Mutex<Vec<String>>>,
    background: Option<Background>,
}

/// A configuration without Redis; a blind instance serves nothing.
fn config() -> CacheConfig {
    CacheConfig {
        l1_bytes_max: 1 << 20,
        l1_blind_ttl: Duration::ZERO,
        tag_slots: 1024,
        pending_tags_max: 8,
        redis: None,
    }
}

impl Instance {
    fn start(config: &CacheConfig) -> Self {
        let events = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&events);
        let sink = move |event: &Event<'_>| heard.lock().unwrap().push(format!("{event:?}"));
        let cache = Cache::new(config, Box::new(sink)).unwrap();
        let background = Some(cache.spawn(&Handle::current()));
        Self { cache, policy: policy(Scope::Global), events, background }
    }

    fn alone() -> Self {
        Self::start(&config())
    }

    /// An instance on this Redis, connected and subscribed.
    async fn on(server: &RedisServer) -> Self {
        let redis = RedisConfig {
            url: Secret::new(server.url()),
            namespace: "gw".into(),
            connection_count: 2,
            timeout: Duration::from_millis(200),
        };
        let instance = Self::start(&CacheConfig { redis: Some(redis), ..config() });
        instance.ready().await;
        instance
    }

    async fn ready(&self) {
        eventually("connected and subscribed", || {
            let l2 = self.l2();
            l2.up && l2.subscribed && !self.stats().blind
        })
        .await;
    }

    fn stats(&self) -> CacheStats {
        self.cache.stats()
    }

    fn l2(&self) -> L2Stats {
        self.stats().l2.unwrap()
    }

    /// How often an event of this name was reported.
    fn count_of(&self, event: &str) -> usize {
        self.events.lock().unwrap().iter().filter(|told| told.starts_with(event)).count()
    }

    /// Reads a row as a frontend and a backend together do.
    async fn read(&self, database: &Database, row: &str) -> (u64, Outcome) {
        let (database, name) = (database.clone(), row.to_owned());
        self.read_by(row, move || async move { Ok(stored(database.get(&name))) }).await.unwrap()
    }

    async fn read_by<F, Fut>(&self, row: &str, fetch: F) -> Result<(u64, Outcome), Arc<Broken>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Stored, Broken>>,
    {
        let key = key_of(self.cache.hasher(), row);
        if let Some(found) = self.cache.l1().get(key.as_ref(), self.cache.now_ms()) {
            return Ok((version(&found), Outcome::L1));
        }
        let tags = [tag(row)];
        let request = Load { key: &key, tags: Some(&tags), policy: &self.policy };
        let (found, outcome) = self.cache.load(request, fetch).await?;
        Ok((version(&found), outcome))
    }

    async fn begin(&self, row: &str, window: Duration) -> WriteInFlight {
        self.cache.begin_write(Box::new([tag(row)]), window).await
    }

    /// A whole write.
    async fn write(&self, database: &Database, row: &str, version: u64) {
        let write = self.begin(row, WINDOW).await;
        database.set(row, version);
        write.finish().await;
    }

    /// Waits until every fill has reached Redis.
    async fn filled(&self) {
        let l2 = self.cache.shared.l2.as_ref().unwrap();
        drop(l2.fills.acquire_many(super::FILLS_MAX.try_into().unwrap()).await.unwrap());
    }

    /// The process dies: its tasks end, its writes in flight are never finished.
    fn die(mut self, write: WriteInFlight) {
        self.background = None;
        drop(write);
    }
}

fn tag(row: &str) -> Tag {
    Tag::new(&GameId::new("game1").unwrap(), row)
}

fn stored(version: u64) -> Stored {
    if version == 0 { Stored::Absent } else { present(&version.to_be_bytes()) }
}

fn version(stored: &Stored) -> u64 {
    bytes_of(stored).try_into().map_or(0, u64::from_be_bytes)
}

/// Waits until something is so; fails when it never is.
#[track_caller]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    let what = what.to_owned();
    async move {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !is_so() {
            assert!(tokio::time::Instant::now() < deadline, "{place}: never: {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Reads until the row has this version; fails when it never does.
async fn eventually_reads(instance: &Instance, database: &Database, row: &str, expected: u64) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while instance.read(database, row).await.0 != expected {
        assert!(tokio::time::Instant::now() < deadline, "version {expected} is never read");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Reads until the row is kept in process; fails when it never is, or when it is another version
/// meanwhile.
async fn eventually_keeps(instance: &Instance, database: &Database, row: &str, expected: u64) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let (version, outcome) = instance.read(database, row).await;
        assert_eq!(version, expected);
        if outcome == Outcome::L1 {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{row} is never kept");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
