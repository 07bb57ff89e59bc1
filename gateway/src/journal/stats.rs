//! What the journal counts, and how metrics read it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::Journal;
use super::outcomes::Outcomes;
use super::writer::now_micros;
use crate::observe::{Counter, Kind, Metrics, Stage};

/// Sizes of groups, each up to and with the next's smallest: the label's value.
const SIZES: [(u64, &str); 6] =
    [(1, "1"), (2, "2-9"), (10, "10-99"), (100, "100-499"), (500, "500-1999"), (2000, "2000-")];

/// Counts since the start.
#[derive(Debug, Default)]
pub(super) struct Stats {
    pub(super) outcomes: Outcomes,
    groups: [Counter; SIZES.len()],
    records: Counter,
    bytes: Counter,
    buried: Counter,
    replayed: AtomicU64,
    metrics: OnceLock<Metrics>,
}

impl Stats {
    /// A group is durable.
    pub(super) fn synced(&self, elapsed: Duration, records: u64, bytes: u64) {
        let larger = SIZES.partition_point(|(least, _)| *least <= records);
        if let Some(counter) = self.groups.get(larger.saturating_sub(1)) {
            counter.add(1);
        }
        self.records.add(records);
        self.bytes.add(bytes);
        if let Some(metrics) = self.metrics.get() {
            metrics.stage(Stage::Journal, elapsed);
        }
    }

    /// Groups made durable since the start.
    pub(super) fn syncs(&self) -> u64 {
        self.groups.iter().map(Counter::read).sum()
    }

    pub(super) fn buried(&self) {
        self.buried.add(1);
    }

    pub(super) fn replayed(&self, count: u64) {
        self.replayed.store(count, Ordering::Relaxed);
    }
}

/// A figure: its name, its help, and where it is read.
type Figure<T, N> = (&'static str, &'static str, fn(&T) -> N);

/// Registers a journal's figures.
pub(super) fn register(journal: &Arc<Journal>, metrics: &Metrics) {
    let stats = Arc::clone(&journal.stats);
    // Only the first of several would hear of syncs; a journal is registered once.
    let _first = stats.metrics.set(metrics.clone()).is_ok();
    stats.outcomes.register(metrics, "gateway_journal_orders_total", "Orders, by outcome.");
    let own = Arc::clone(&stats);
    metrics.family(
        "gateway_journal_groups_total",
        "The same groups, by how many records each had.",
        Kind::Counter,
        move |out| {
            for ((_, size), counter) in SIZES.iter().zip(&own.groups) {
                out.add(&[("records", size)], counter.read());
            }
        },
    );
    let counters: [Figure<Stats, u64>; 5] = [
        ("gateway_journal_syncs_total", "Groups made durable, one sync each.", Stats::syncs),
        ("gateway_journal_records_total", "Records in them.", |it| it.records.read()),
        ("gateway_journal_bytes_total", "Bytes written for them.", |it| it.bytes.read()),
        ("gateway_journal_dead_total", "Records given up.", |it| it.buried.read()),
        ("gateway_journal_replayed_total", "Records that waited at the start.", |it| {
            it.replayed.load(Ordering::Relaxed)
        }),
    ];
    for (name, help, read) in counters {
        let own = Arc::clone(&stats);
        metrics.counter(name, help, &[], move || read(&own));
    }
    register_backlog(journal, metrics);
}

/// What waits, and what lies on disk.
fn register_backlog(journal: &Arc<Journal>, metrics: &Metrics) {
    let gauges: [Figure<Journal, (u64, u64)>; 2] = [
        ("gateway_journal_backlog_records", "Records that wait, and dead letters.", |journal| {
            let backlog = journal.backlog();
            (backlog.record_count, backlog.dead_count)
        }),
        ("gateway_journal_oldest_age_seconds", "Age of the oldest of each.", |journal| {
            let backlog = journal.backlog();
            (age_seconds(backlog.oldest_micros), age_seconds(backlog.dead_oldest_micros))
        }),
    ];
    for (name, help, read) in gauges {
        let weak = Arc::downgrade(journal);
        metrics.family(name, help, Kind::Gauge, move |out| {
            let (journalled, dead) = weak.upgrade().map_or((0, 0), |journal| read(&journal));
            out.add(&[("state", "journalled")], journalled);
            out.add(&[("state", "dead")], dead);
        });
    }
    let weak = Arc::downgrade(journal);
    let labels = [];
    metrics.gauge(
        "gateway_journal_backlog_bytes",
        "Bytes of records that wait.",
        &labels,
        move || weak.upgrade().map_or(0, |journal| journal.backlog().bytes),
    );
    let weak = Arc::downgrade(journal);
    metrics.gauge(
        "gateway_journal_disk_bytes",
        "Bytes written in segments that are kept.",
        &labels,
        move || weak.upgrade().map_or(0, |journal| journal.segments.bytes()),
    );
}

/// Never negative, whatever the clock does.
fn age_seconds(since_micros: Option<i64>) -> u64 {
    let age = since_micros.map_or(0, |since| now_micros().saturating_sub(since));
    u64::try_from(age).unwrap_or(0) / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_is_counted_under_its_size() {
        let stats = Stats::default();
        for records in [1, 2, 9, 10, 499, 500, 1_999, 2_000, 16_384] {
            stats.synced(Duration::ZERO, records, 512);
        }
        let counts: Vec<u64> = stats.groups.iter().map(Counter::read).collect();
        assert_eq!(counts, [1, 2, 1, 1, 2, 2]);
        assert_eq!(stats.syncs(), 9);
    }
}
