//! What the metrics read when they are asked: queues, pools, the cache, the logs.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::backend::{BackendError, PoolStats, Pools};
use crate::cache::{Cache, CacheStats};
use crate::observe::{Kind, Logs, Metrics, Samples};
use crate::pipeline::Core;

/// Registers the figures of queues, pools, cache and logs; what requests count is registered by themselves.
pub fn register_metrics(core: &Arc<Core>, pools: &Arc<Pools>, logs: &Logs, backend: &Handle) {
    let metrics = &*core.metrics;
    let queue = Arc::clone(core.backend.gauge());
    let depth = Arc::clone(&queue);
    let labels = [("queue", "backend")];
    metrics.gauge("gateway_queue_jobs", "Jobs waiting.", &labels, move || depth.depth());
    metrics
        .counter("gateway_queue_refused_total", "Jobs refused.", &labels, move || queue.refused());
    // Weak: the metrics belong to the core, and would keep it alive.
    let weak = Arc::downgrade(core);
    metrics.gauge(
        "gateway_snapshot_generation",
        "Reloads that took effect, and 1.",
        &[],
        move || weak.upgrade().map_or(0, |core| core.snapshot.load().generation),
    );
    let backend = backend.metrics();
    let labels = [("threads", "backend")];
    metrics.gauge("gateway_tasks", "Tasks alive.", &labels, move || backend.num_alive_tasks());
    let lost = logs.lost_lines();
    metrics.family("gateway_log_lines_lost_total", "Log lines lost.", Kind::Counter, move |out| {
        let (dropped, failed) = lost();
        out.add(&[("reason", "queue_full")], dropped);
        out.add(&[("reason", "write_failed")], failed);
    });
    register_pools(metrics, pools);
    register_cache(metrics, &core.cache);
}

/// One family over all pools.
fn pool_family(
    metrics: &Metrics,
    pools: &Arc<Pools>,
    (name, help, kind): (&'static str, &'static str, Kind),
    read: fn(&PoolStats, &str, &mut Samples),
) {
    let pools = Arc::downgrade(pools);
    metrics.family(name, help, kind, move |samples| {
        let stats = pools.upgrade().map(|pools| pools.stats()).unwrap_or_default();
        for (pool, stats) in stats {
            read(&stats, &pool, samples);
        }
    });
}

fn register_pools(metrics: &Metrics, pools: &Arc<Pools>) {
    let connections = ("gateway_pool_connections", "Connections.", Kind::Gauge);
    pool_family(metrics, pools, connections, |stats, pool, out| {
        out.add(&[("pool", pool), ("state", "idle")], stats.idle);
        out.add(&[("pool", pool), ("state", "leased")], stats.leased);
        out.add(&[("pool", pool), ("state", "frontend")], stats.direct);
    });
    let waiting = ("gateway_pool_waiting", "Requests in line for a connection.", Kind::Gauge);
    pool_family(metrics, pools, waiting, |stats, pool, out| {
        out.add(&[("pool", pool)], stats.waiting);
    });
    let up = ("gateway_pool_up", "Whether the database answers.", Kind::Gauge);
    pool_family(metrics, pools, up, |stats, pool, out| {
        out.add(&[("pool", pool)], stats.up);
    });
    let connects = ("gateway_pool_connects_total", "Connection attempts.", Kind::Counter);
    pool_family(metrics, pools, connects, |stats, pool, out| {
        out.add(&[("pool", pool), ("result", "made")], stats.connects_total);
        out.add(&[("pool", pool), ("result", "failed")], stats.connect_failures_total);
    });
    let reads = (
        "gateway_pool_frontend_reads_total",
        "Reads that were done by the thread that received them.",
        Kind::Counter,
    );
    pool_family(metrics, pools, reads, |stats, pool, out| {
        out.add(&[("pool", pool)], stats.direct_reads_total);
    });
    let timeouts = ("gateway_pool_timeouts_total", "Waits that were too long.", Kind::Counter);
    pool_family(metrics, pools, timeouts, |stats, pool, out| {
        out.add(&[("pool", pool)], stats.timeouts_total);
    });
}

/// A figure of the cache: its name, its help, and where it is read.
type CacheGauge = (&'static str, &'static str, fn(&CacheStats) -> u64);

fn register_cache(metrics: &Metrics, cache: &Arc<Cache<BackendError>>) {
    let cache = Arc::downgrade(cache);
    let stats = move || cache.upgrade().map(|cache| cache.stats());
    let gauges: [CacheGauge; 6] = [
        ("gateway_l1_bytes", "Memory of the cache in process.", |stats| stats.l1.bytes),
        ("gateway_l1_entries", "Its entries.", |stats| stats.l1.entry_count as u64),
        ("gateway_cache_epoch", "How often everything became stale.", |stats| stats.epoch),
        ("gateway_cache_flights", "Fetches in progress.", |stats| stats.flight_count as u64),
        ("gateway_cache_blind", "1 while other instances' writes may go unheard.", |stats| {
            stats.blind.into()
        }),
        ("gateway_redis_up", "Whether Redis answers; 0 also without one.", |stats| {
            stats.l2.as_ref().is_some_and(|l2| l2.up).into()
        }),
    ];
    for (name, help, read) in gauges {
        let stats = stats.clone();
        metrics.gauge(name, help, &[], move || stats().map_or(0, |stats| read(&stats)));
    }
    metrics.counter("gateway_l1_evictions_total", "Entries evicted for room.", &[], move || {
        stats().map_or(0, |stats| stats.l1.counts.evicted)
    });
}
