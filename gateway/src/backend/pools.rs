//! The pools by their names in the configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;

use super::pool::{EventSink, Pool, PoolStats};
use crate::config::DatabaseConfig;

type ByName = BTreeMap<Box<str>, Pool>;

/// Every pool of the process. A reload adds, changes and closes them while requests run.
pub struct Pools {
    runtime: Handle,
    sink: EventSink,
    by_name: ArcSwap<ByName>,
}

impl Pools {
    /// Makes the pools and begins to open their idle connections.
    pub fn open(config: &DatabaseConfig, runtime: Handle, sink: EventSink) -> Self {
        let pools = Self { runtime, sink, by_name: ArcSwap::default() };
        let opened = config.connections.iter().map(|connection| {
            let pool =
                Pool::new(connection.clone(), pools.runtime.clone(), Arc::clone(&pools.sink));
            (connection.name.clone(), pool)
        });
        pools.by_name.store(Arc::new(opened.collect()));
        pools
    }

    /// The pool of that name.
    pub fn get(&self, name: &str) -> Option<Pool> {
        self.by_name.load().get(name).cloned()
    }

    /// Takes a new configuration: new pools are opened, changed ones resized, those no longer named
    /// closed when their last request is done or at `deadline`.
    pub fn reconfigure(&self, config: &DatabaseConfig, deadline: Instant) {
        let running = self.by_name.load_full();
        let mut next = ByName::new();
        for connection in &config.connections {
            let name = connection.name.clone();
            let kept =
                running.get(&name).filter(|pool| pool.config().dialect == connection.dialect);
            let pool = match kept {
                Some(pool) => {
                    if *pool.config() != *connection {
                        pool.reconfigure(connection.clone());
                    }
                    pool.clone()
                }
                None => Pool::new(connection.clone(), self.runtime.clone(), Arc::clone(&self.sink)),
            };
            next.insert(name, pool);
        }
        self.by_name.store(Arc::new(next));
        let left: Vec<Pool> = {
            let now = self.by_name.load();
            let is_left = |name: &str, pool: &Pool| {
                now.get(name).is_none_or(|kept| kept.config().dialect != pool.config().dialect)
            };
            running
                .iter()
                .filter(|(name, pool)| is_left(name, pool))
                .map(|(_, pool)| pool.clone())
                .collect()
        };
        for pool in left {
            self.runtime.spawn(async move { pool.close(deadline).await });
        }
    }

    /// The figures of every pool, by name.
    pub fn stats(&self) -> Vec<(Box<str>, PoolStats)> {
        let pools = self.by_name.load();
        pools.iter().map(|(name, pool)| (name.clone(), pool.stats())).collect()
    }

    /// Closes every pool. Returns when all connections are closed, or at `deadline`.
    pub async fn close(&self, deadline: Instant) {
        let pools = self.by_name.swap(Arc::default());
        for pool in pools.values() {
            pool.close(deadline).await;
        }
    }
}

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
