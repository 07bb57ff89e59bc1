//! What a comparison found: the figures of each side over all rounds, as the JSON has them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::settings::Settings;

/// A figure over all rounds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq)]
pub(crate) struct Spread {
    pub(crate) minimum: f64,
    pub(crate) median: f64,
    pub(crate) maximum: f64,
}

impl Spread {
    /// `None`: of no figures.
    pub(crate) fn of(figures: impl Iterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.collect();
        sorted.sort_by(f64::total_cmp);
        let (minimum, maximum) = (*sorted.first()?, *sorted.last()?);
        let (low, high) = (sorted.get((sorted.len() - 1) / 2)?, sorted.get(sorted.len() / 2)?);
        Some(Self { minimum, median: f64::midpoint(*low, *high), maximum })
    }
}

/// How one side's medians stand to another's.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Ratio {
    /// Above 1: more CPU time a request.
    pub(crate) cpu_us_per_request: Option<f64>,
    /// Above 1: more requests a second.
    pub(crate) requests_per_s: f64,
}

/// A measurement at a fixed rate.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct AtRate {
    pub(crate) requests_per_s: f64,
    /// Those whose answers were hoped for; the latencies are theirs.
    pub(crate) good_per_s: f64,
    pub(crate) cpu_us_per_request: Option<f64>,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
}

/// What became of one side.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SideOutcome {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) settings: Settings,
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) errors_by_code: BTreeMap<String, u64>,
    pub(crate) requests_per_s: Spread,
    pub(crate) cpu_us_per_request: Option<Spread>,
    pub(crate) bytes_per_connection: Option<Spread>,
    pub(crate) p50_us: Spread,
    pub(crate) p99_us: Spread,
    pub(crate) p999_us: Spread,
    pub(crate) p9999_us: Spread,
    /// By the other side's name.
    pub(crate) ratio_to: BTreeMap<String, Ratio>,
    /// Of the round with the median rate: per cent, and microseconds.
    pub(crate) percentiles_us: Vec<(f64, f64)>,
    pub(crate) at_rates: Vec<AtRate>,
}

/// What a comparison found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Comparison {
    pub(crate) scenario: String,
    pub(crate) about: String,
    pub(crate) machine: Machine,
    /// Variables that change what the servers do, where they are set.
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) rounds: u32,
    pub(crate) seconds: u32,
    pub(crate) sides: Vec<SideOutcome>,
    /// What could not be compared, and why.
    pub(crate) absent: BTreeMap<String, String>,
}

/// Fills in how each side stands to each other one.
pub(crate) fn relate(sides: &mut [SideOutcome]) {
    let medians: Vec<_> = sides
        .iter()
        .map(|side| {
            let cpu = side.cpu_us_per_request.map(|cpu| cpu.median);
            (side.name.clone(), cpu, side.requests_per_s.median)
        })
        .collect();
    for side in sides {
        let own = (side.cpu_us_per_request.map(|cpu| cpu.median), side.requests_per_s.median);
        for (name, cpu, rate) in medians.iter().filter(|(name, ..)| *name != side.name) {
            let ratio = Ratio {
                cpu_us_per_request: own.0.zip(*cpu).map(|(own, other)| own / other),
                requests_per_s: own.1 / rate,
            };
            side.ratio_to.insert(name.clone(), ratio);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_an_even_number_of_figures_is_between_the_two_in_the_middle() {
        let spread = |figures: &[f64]| Spread::of(figures.iter().copied());
        let of = |minimum, median, maximum| Some(Spread { minimum, median, maximum });
        assert_eq!(spread(&[3.0, 1.0, 2.0]), of(1.0, 2.0, 3.0));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]), of(1.0, 2.5, 4.0));
        assert_eq!(spread(&[]), None);
    }
}
