//! What the streams count.

use std::sync::Arc;

use super::Streams;
use crate::journal::Outcomes;
use crate::observe::{Counter, Gauge, Metrics};

/// Counts since the start.
#[derive(Debug, Default)]
pub(super) struct Stats {
    pub(super) outcomes: Outcomes,
    pub(super) dead: Counter,
    /// Streams that this instance owns now.
    pub(super) owned: Gauge,
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
}
