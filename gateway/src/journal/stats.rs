//! What the journal counts, and how metrics read it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gateway_protocol::Code;

use super::Journal;
use super::writer::now_micros;
use crate::observe::{Counter, Kind, Metrics, Stage};

/// Codes that an order may be refused with.
const CODES: [Code; 8] = [
    Code::KeyReused,
    Code::JournalFull,
    Code::JournalSyncFailed,
    Code::JournalBacklog,
    Code::Overloaded,
    Code::TooLarge,
    Code::OperationDisabled,
    Code::Draining,
];

/// Counts since the start.
#[derive(Debug, Default)]
pub(super) struct Stats {
    accepted: Counter,
    repeated: Counter,
    refused: [Counter; CODES.len()],
    groups: Counter,
    records: Counter,
    bytes: Counter,
    buried: Counter,
    replayed: AtomicU64,
    metrics: OnceLock<Metrics>,
}

impl Stats {
    /// An order was answered: taken (true: it had come before), or refused.
    pub(super) fn answered(&self, answer: Result<bool, Code>) {
        match answer {
            Ok(false) => self.accepted.add(1),
            Ok(true) => self.repeated.add(1),
            Err(code) => {
                let counters = CODES.iter().zip(&self.refused);
                let of_code = counters.filter(|(own, _)| own.number() == code.number());
                of_code.for_each(|(_, counter)| counter.add(1));
            }
        }
    }

    /// A group is durable.
    pub(super) fn synced(&self, elapsed: Duration, records: u64, bytes: u64) {
        self.groups.add(1);
        self.records.add(records);
        self.bytes.add(bytes);
        if let Some(metrics) = self.metrics.get() {
            metrics.stage(Stage::Journal, elapsed);
        }
    }

    /// Groups made durable since the start.
    #[cfg(test)]
    pub(super) fn syncs(&self) -> u64 {
        self.groups.read()
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
    let own = Arc::clone(&stats);
    metrics.family(
        "gateway_journal_orders_total",
        "Orders, by outcome.",
        Kind::Counter,
        move |out| {
            out.add(&[("outcome", "accepted")], own.accepted.read());
            out.add(&[("outcome", "repeated")], own.repeated.read());
            for (code, counter) in CODES.iter().zip(&own.refused) {
                out.add(&[("outcome", &code.number().to_string())], counter.read());
            }
        },
    );
    let counters: [Figure<Stats, u64>; 5] = [
        ("gateway_journal_syncs_total", "Groups that one sync each made durable.", |it| {
            it.groups.read()
        }),
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
