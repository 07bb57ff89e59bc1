//! What the applier counts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::outcome::Outcome;
use crate::observe::{Counter, Gauge, Kind, Metrics};

/// Sizes of transactions that are told apart: up to so many records.
const SIZES: [(usize, &str); 5] =
    [(1, "1"), (9, "2-9"), (99, "10-99"), (499, "100-499"), (usize::MAX, "500-")];

/// Names of the figures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names {
    records: &'static str,
    transactions: &'static str,
    /// Games that are held up.
    away: &'static str,
    /// Records in memory, where one loop has them all.
    held: Option<&'static str>,
}

/// Those of the local journal.
pub(super) const JOURNAL_NAMES: Names = Names {
    records: "gateway_apply_records_total",
    transactions: "gateway_apply_transactions_total",
    away: "gateway_apply_away",
    held: Some("gateway_apply_held_records"),
};
/// Those of all streams.
pub(super) const STREAM_NAMES: Names = Names {
    records: "gateway_stream_apply_records_total",
    transactions: "gateway_stream_apply_transactions_total",
    away: "gateway_stream_apply_away",
    held: None,
};

/// Counts since the start. Clones count together.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    records: [Counter; Outcome::ALL.len()],
    transactions: [Counter; SIZES.len()],
    held: Gauge,
    /// Whether each game's database is away.
    away: Mutex<BTreeMap<Box<str>, bool>>,
}

impl Figures {
    /// What became of records. All but the applied and the dead ones are tried again.
    pub(super) fn ended(&self, outcomes: &[(u64, Outcome)]) {
        let mut counts = [0; Outcome::ALL.len()];
        for (_, outcome) in outcomes {
            if let Some(count) = counts.get_mut(*outcome as usize) {
                *count += 1;
            }
        }
        for (counter, count) in self.0.records.iter().zip(counts) {
            if count > 0 {
                counter.add(count);
            }
        }
    }

    /// A transaction of so many records was committed.
    pub(super) fn committed(&self, record_count: usize) {
        let class = SIZES.iter().position(|(most, _)| record_count <= *most);
        if let Some(counter) = class.and_then(|class| self.0.transactions.get(class)) {
            counter.add(1);
        }
    }

    /// So many records are in memory.
    pub(super) fn held(&self, count: usize) {
        self.0.held.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Whether a game's database is away.
    pub(super) fn away(&self, game: &str, is_away: bool) {
        let mut away = self.0.away.lock().unwrap_or_else(PoisonError::into_inner);
        match away.get_mut(game) {
            Some(own) => *own = is_away,
            None => drop(away.insert(game.into(), is_away)),
        }
    }

    /// Registers them.
    pub(super) fn register(&self, metrics: &Metrics, names: Names) {
        let Names { records, transactions, away, held } = names;
        let own = Arc::clone(&self.0);
        metrics.family(
            records,
            "Queued records that were in a batch, by what became of them.",
            Kind::Counter,
            move |out| {
                for (outcome, counter) in Outcome::ALL.iter().zip(&own.records) {
                    out.add(&[("outcome", outcome.name())], counter.read());
                }
            },
        );
        let own = Arc::clone(&self.0);
        metrics.family(
            transactions,
            "Committed transactions of the applier, by how many records each had.",
            Kind::Counter,
            move |out| {
                for ((_, size), counter) in SIZES.iter().zip(&own.transactions) {
                    out.add(&[("records", size)], counter.read());
                }
            },
        );
        if let Some(held) = held {
            let own = Arc::clone(&self.0);
            let help = "Records of the journal that are in memory for their turn.";
            metrics.gauge(held, help, &[], move || own.held.read());
        }
        let own = Arc::clone(&self.0);
        metrics.family(
            away,
            "1 while a game's records wait for its database.",
            Kind::Gauge,
            move |out| {
                for (game, is_away) in &*own.away.lock().unwrap_or_else(PoisonError::into_inner) {
                    out.add(&[("game", game)], *is_away);
                }
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_transactions_and_games_that_are_away_are_told_apart() {
        let (figures, metrics) = (Figures::default(), Metrics::new());
        figures.register(&metrics, JOURNAL_NAMES);
        // An instance may have both, and the figures of one are not in the place of the other's.
        let of_streams = Figures::default();
        of_streams.register(&metrics, STREAM_NAMES);
        of_streams.ended(&[(1, Outcome::Applied)]);
        of_streams.held(9);
        figures.held(2);
        figures.ended(&[(1, Outcome::Applied), (2, Outcome::Applied), (3, Outcome::Failed)]);
        for size in [1, 9, 10, 500, 501] {
            figures.committed(size);
        }
        figures.away("game1", true);
        figures.away("game2", true);
        figures.away("game2", false);
        let text = metrics.render();
        for line in [
            r#"gateway_apply_records_total{outcome="applied"} 2"#,
            r#"gateway_apply_records_total{outcome="failed"} 1"#,
            r#"gateway_apply_records_total{outcome="lost"} 0"#,
            r#"gateway_apply_transactions_total{records="2-9"} 1"#,
            r#"gateway_apply_transactions_total{records="500-"} 2"#,
            r#"gateway_stream_apply_records_total{outcome="applied"} 1"#,
            "gateway_apply_held_records 2\n",
            r#"gateway_apply_away{game="game1"} 1"#,
            r#"gateway_apply_away{game="game2"} 0"#,
        ] {
            assert!(text.contains(line), "{line}");
        }
    }
}
