//! The pools by their names in the configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;

use super::pool::{EventSink, Pool, PoolStats};
use crate::config::{ConnectionConfig, DatabaseConfig, Dialect};

type ByName = BTreeMap<Box<str>, Pool>;

/// Every pool of the process. A reload adds, changes and closes them while requests run.
pub struct Pools {
    runtime: Handle,
    sink: EventSink,
    serving: Arc<ArcSwap<Serving>>,
    /// One more with each reload.
    version: AtomicU64,
}

/// The pools of one moment.
#[derive(Clone, Default)]
struct Serving {
    by_name: ByName,
    /// Those that no configuration names any more, while requests that began before are under way.
    leaving: Vec<Pool>,
}

impl Serving {
    fn without(&self, gone: &Pool) -> Self {
        let leaving = self.leaving.iter().filter(|pool| !pool.is(gone)).cloned().collect();
        Self { by_name: self.by_name.clone(), leaving }
    }
}

/// How long pools that a reload leaves out live on.
#[derive(Clone, Copy, Debug)]
pub struct Farewell {
    /// Requests that began before the reload find them until then.
    pub found_until: Instant,
    /// What is still lent then is given up.
    pub closed_by: Instant,
}

impl Pools {
    /// Makes the pools and begins to open their idle connections.
    pub fn open(config: &DatabaseConfig, runtime: Handle, sink: EventSink) -> Self {
        let pools = Self { runtime, sink, serving: Arc::default(), version: AtomicU64::new(0) };
        let opened = config.connections.iter();
        let by_name = opened.map(|one| (one.name.clone(), pools.pool(one))).collect();
        pools.serving.store(Arc::new(Serving { by_name, leaving: Vec::new() }));
        pools
    }

    fn pool(&self, connection: &ConnectionConfig) -> Pool {
        Pool::new(connection.clone(), self.runtime.clone(), Arc::clone(&self.sink))
    }

    /// The pool that the configuration names so now, whatever kind of database it is.
    pub(super) fn named(&self, name: &str) -> Option<Pool> {
        self.serving.load().by_name.get(name).cloned()
    }

    /// The pool of that name for statements of that dialect: after a reload also the one of before, for
    /// requests that began before.
    pub fn get(&self, name: &str, dialect: Dialect) -> Option<Pool> {
        let serving = self.serving.load();
        let named = serving.by_name.get(name).into_iter();
        // The latest of those that leave.
        let mut pools = named.chain(serving.leaving.iter().rev());
        pools.find(|pool| *pool.name() == *name && pool.config().dialect == dialect).cloned()
    }

    /// How often [`Pools::get`] may have come to give another pool under the same name.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Takes a new configuration: new pools are opened, changed ones resized. Those that are no longer named,
    /// or are another kind of database now, serve on for requests that began before, and are then closed.
    pub fn reconfigure(&self, config: &DatabaseConfig, farewell: Farewell) {
        let running = self.serving.load_full();
        let mut by_name = ByName::new();
        for connection in &config.connections {
            let kept = running.by_name.get(&connection.name);
            let kept = kept.filter(|pool| pool.config().dialect == connection.dialect);
            let pool = kept.cloned().unwrap_or_else(|| self.pool(connection));
            if *pool.config() != *connection {
                pool.reconfigure(connection.clone());
            }
            by_name.insert(connection.name.clone(), pool);
        }
        let is_kept = |pool: &Pool| by_name.values().any(|kept| kept.is(pool));
        let left: Vec<Pool> =
            running.by_name.values().filter(|pool| !is_kept(pool)).cloned().collect();
        // Those that left before may be closed at this moment: who still leaves is asked now.
        self.serving.rcu(|now| Serving {
            by_name: by_name.clone(),
            leaving: now.leaving.iter().chain(&left).cloned().collect(),
        });
        self.version.fetch_add(1, Ordering::AcqRel);
        for pool in left {
            self.bid_farewell(pool, farewell);
        }
    }

    fn bid_farewell(&self, pool: Pool, farewell: Farewell) {
        let serving = Arc::clone(&self.serving);
        self.runtime.spawn(async move {
            tokio::time::sleep_until(farewell.found_until.into()).await;
            serving.rcu(|now| now.without(&pool));
            pool.close(farewell.closed_by).await;
        });
    }

    /// The figures of every pool, by name.
    pub fn stats(&self) -> Vec<(Box<str>, PoolStats)> {
        let serving = self.serving.load();
        serving.by_name.iter().map(|(name, pool)| (name.clone(), pool.stats())).collect()
    }

    /// Closes every pool. Returns when all connections are closed, or at `deadline`.
    pub async fn close(&self, deadline: Instant) {
        let serving = self.serving.swap(Arc::default());
        for pool in serving.by_name.values().chain(&serving.leaving) {
            pool.close(deadline).await;
        }
    }
}

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(all(feature = "mysql", feature = "sqlite"))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::backend::testing::{sqlite_config, until};

    /// A request that began before a reload finds its pool as long as it may take, and nobody does after.
    #[tokio::test]
    async fn pool_that_a_reload_leaves_out_serves_those_who_began_before() {
        let folder = tempfile::tempdir().unwrap();
        let connection = sqlite_config(folder.path());
        let name = connection.name.clone();
        let config = DatabaseConfig { connections: vec![connection] };
        let pools = Pools::open(&config, Handle::current(), Arc::new(|_| {}));
        let soon = Instant::now() + Duration::from_millis(300);
        let farewell = Farewell { found_until: soon, closed_by: soon + Duration::from_secs(5) };
        pools.reconfigure(&DatabaseConfig { connections: Vec::new() }, farewell);
        assert_eq!(pools.stats(), [], "it is named no more");
        assert!(pools.get(&name, Dialect::Mysql).is_none(), "of another kind");
        let pool = pools.get(&name, Dialect::Sqlite).expect("still found");
        let lease = pool.acquire(Instant::now() + Duration::from_secs(5)).await;
        drop(lease.expect("still serves"));
        while pools.get(&name, Dialect::Sqlite).is_some() {
            assert!(Instant::now() < soon + Duration::from_secs(10), "it stays for ever");
            tokio::task::yield_now().await;
        }
        assert!(Instant::now() >= soon);
    }

    /// A pool that is closed while the next reload is under way does not come back with it.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn pools_that_reloads_leave_out_are_forgotten_however_fast_these_come() {
        let folder = tempfile::tempdir().unwrap();
        let with = DatabaseConfig { connections: vec![sqlite_config(folder.path())] };
        let without = DatabaseConfig { connections: Vec::new() };
        let pools = Pools::open(&without, Handle::current(), Arc::new(|_| {}));
        for number in 0..5_000 {
            let now = Instant::now();
            let farewell = Farewell { found_until: now, closed_by: now };
            pools.reconfigure(if number % 2 == 0 { &with } else { &without }, farewell);
        }
        until(|| pools.serving.load().leaving.is_empty()).await;
    }
}
