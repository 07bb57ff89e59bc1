//! This instance's number in the ids that it gives out, leased where there is a Redis.

use std::net::SocketAddr;

use tokio::runtime::Runtime;

use super::{ServerError, started};
use crate::cache::{NodeError, NodeLease};
use crate::config::{Config, RedisConfig};
use crate::observe::{Event, emit};
use crate::queue::{self, Signal};

/// The lease of the number while the process lives.
pub(super) struct HeldNode {
    stop: Signal<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl HeldNode {
    /// Takes `runtime.node`. `None`: there is no Redis, and whoever configures the gateways sees to it.
    ///
    /// - `admin`: tells this instance from others on its host.
    ///
    /// Blocks: while another instance's lease may still end, a few seconds.
    pub(super) fn take(
        config: &Config,
        admin: SocketAddr,
        backend: &Runtime,
    ) -> Result<Option<Self>, ServerError> {
        let Some(redis) = redis_of(config) else { return Ok(None) };
        let lease = NodeLease::new(&redis, config.runtime.node, &who(admin)).map_err(started)?;
        match backend.block_on(lease.take()) {
            Ok(()) => {}
            Err(error @ NodeError::Taken { .. }) => {
                return Err(ServerError::Start(format!("runtime.node: {error}")));
            }
            Err(error @ NodeError::Untold { .. }) => {
                let text =
                    format!("runtime.node: {error}; it is asked again while the gateway runs");
                emit(&Event::ConfigWarning { text: &text });
            }
        }
        let (stop, stopped) = queue::signal(false);
        let task = backend.spawn(async move { lease.keep(stopped, emit).await });
        Ok(Some(Self { stop, task }))
    }

    /// Gives the number back: no more ids are given out.
    pub(super) async fn give_back(self) {
        self.stop.set(true);
        let _ended_or_panicked = self.task.await.is_ok();
    }
}

/// The Redis that all instances share: the cache's, else the queue's.
fn redis_of(config: &Config) -> Option<RedisConfig> {
    let of_queue = config.queue.as_ref().map(|queue| RedisConfig {
        url: queue.url.clone(),
        namespace: queue.namespace.clone(),
        connection_count: 1,
        timeout: queue.timeout,
    });
    config.cache.redis.clone().or(of_queue)
}

/// The same after a restart, and another one for each process.
fn who(admin: SocketAddr) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{} {admin}", host.trim())
}
