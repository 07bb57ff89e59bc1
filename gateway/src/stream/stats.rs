//! What the streams count.

use std::sync::{Arc, Mutex, PoisonError};

use super::{StreamBacklog, Streams};
use crate::journal::Outcomes;
use crate::observe::{Counter, Gauge, Kind, Metrics};

/// Counts since the start.
#[derive(Debug, Default)]
pub(super) struct Stats {
    pub(super) outcomes: Outcomes,
    pub(super) dead: Counter,
    /// Streams that this instance owns now.
    pub(super) owned: Gauge,
    /// What waited in each stream when somebody looked: its game, its number.
    backlog: Mutex<Vec<(Box<str>, u32, StreamBacklog)>>,
}

impl Stats {
    pub(super) fn set_backlog(&self, backlog: Vec<(Box<str>, u32, StreamBacklog)>) {
        *self.backlog.lock().unwrap_or_else(PoisonError::into_inner) = backlog;
    }
}

/// Registers the figures.
pub(super) fn register(streams: &Arc<Streams>, metrics: &Metrics) {
    let help = "Orders for Redis streams, by outcome.";
    streams.stats.outcomes.register(metrics, "gateway_stream_orders_total", help);
    let own = Arc::clone(streams);
    let help = "Orders of streams given up by this instance.";
    metrics.counter("gateway_stream_dead_total", help, &[], move || own.stats.dead.read());
    let own = Arc::clone(streams);
    let help = "Streams that this instance owns.";
    metrics.gauge("gateway_streams_owned", help, &[], move || own.stats.owned.read());
    let own = Arc::clone(streams);
    let help = "Orders that wait in each stream, and its dead letters, as of the last look.";
    metrics.family("gateway_stream_backlog_records", help, Kind::Gauge, move |out| {
        let backlog = own.stats.backlog.lock().unwrap_or_else(PoisonError::into_inner);
        for (game, index, own) in &*backlog {
            let index = index.to_string();
            let states = [("journalled", own.record_count), ("dead", own.dead_count)];
            for (state, count) in states {
                out.add(&[("game", game), ("stream", &index), ("state", state)], count);
            }
        }
    });
}
