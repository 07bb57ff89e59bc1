//! What became of orders that were offered: to the journal, or to streams.

use gateway_protocol::Code;

use crate::observe::{Counter, Kind, Metrics};

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

/// Counts of answers since the start. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Outcomes {
    accepted: Counter,
    repeated: Counter,
    refused: [Counter; CODES.len()],
}

impl Outcomes {
    /// An order was answered: taken (true: it had come before), or refused.
    pub fn answered(&self, answer: Result<bool, Code>) {
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

    /// Registers them under a name.
    pub fn register(&self, metrics: &Metrics, name: &'static str, help: &'static str) {
        let own = self.clone();
        metrics.family(name, help, Kind::Counter, move |out| {
            out.add(&[("outcome", "accepted")], own.accepted.read());
            out.add(&[("outcome", "repeated")], own.repeated.read());
            for (code, counter) in CODES.iter().zip(&own.refused) {
                out.add(&[("outcome", &code.number().to_string())], counter.read());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_is_counted_under_what_it_said() {
        let (outcomes, metrics) = (Outcomes::default(), Metrics::new());
        outcomes.register(&metrics, "orders", "A test.");
        let refused = [Code::KeyReused, Code::Overloaded, Code::Overloaded].map(Err);
        [Ok(false), Ok(false), Ok(true)]
            .into_iter()
            .chain(refused)
            .for_each(|it| outcomes.answered(it));
        let text = metrics.render();
        for line in ["accepted\"} 2", "repeated\"} 1", "2020\"} 1", "1001\"} 2", "1503\"} 0"] {
            assert!(text.contains(&format!("orders{{outcome=\"{line}")), "{line}: {text}");
        }
    }
}
