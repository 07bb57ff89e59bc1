//! What the streams count.

use std::sync::Arc;

use gateway_protocol::Code;

use super::Streams;
use crate::observe::{Counter, Gauge, Kind, Metrics};

/// Codes that an order may be refused with.
const CODES: [Code; 6] = [
    Code::KeyReused,
    Code::JournalFull,
    Code::JournalSyncFailed,
    Code::JournalBacklog,
    Code::Overloaded,
    Code::Draining,
];

/// Counts since the start.
#[derive(Debug, Default)]
pub(super) struct Stats {
    accepted: Counter,
    repeated: Counter,
    refused: [Counter; CODES.len()],
    pub(super) dead: Counter,
    /// Streams that this instance owns now.
    pub(super) owned: Gauge,
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
}

/// Registers the figures.
pub(super) fn register(streams: &Arc<Streams>, metrics: &Metrics) {
    let own = Arc::clone(streams);
    let help = "Orders for Redis streams, by outcome.";
    metrics.family("gateway_stream_orders_total", help, Kind::Counter, move |out| {
        let stats = &own.stats;
        out.add(&[("outcome", "accepted")], stats.accepted.read());
        out.add(&[("outcome", "repeated")], stats.repeated.read());
        for (code, counter) in CODES.iter().zip(&stats.refused) {
            out.add(&[("outcome", &code.number().to_string())], counter.read());
        }
    });
    let own = Arc::clone(streams);
    let help = "Orders of streams given up by this instance.";
    metrics.counter("gateway_stream_dead_total", help, &[], move || own.stats.dead.read());
    let own = Arc::clone(streams);
    let help = "Streams that this instance owns.";
    metrics.gauge("gateway_streams_owned", help, &[], move || own.stats.owned.read());
}
