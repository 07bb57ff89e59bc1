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
    pub(crate) requests_per_s: Option<f64>,
    pub(crate) bytes_per_connection: Option<f64>,
}

/// Measurements at a fixed rate, one in each round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AtRate {
    pub(crate) share_of_peak: f64,
    pub(crate) asked_per_s: f64,
    pub(crate) requests_per_s: Spread,
    /// Those whose answers were hoped for; the latencies are theirs.
    pub(crate) good_per_s: Spread,
    pub(crate) cpu_us_per_request: Option<Spread>,
    pub(crate) p50_us: Spread,
    pub(crate) p99_us: Spread,
    pub(crate) p999_us: Spread,
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
    let figures = |side: &SideOutcome| {
        let cpu = side.cpu_us_per_request.map(|cpu| cpu.median);
        let bytes = side.bytes_per_connection.map(|bytes| bytes.median);
        (cpu, Some(side.requests_per_s.median), bytes)
    };
    let ratio = |own: Option<f64>, other: Option<f64>| {
        own.zip(other).filter(|(_, other)| *other > 0.0).map(|(own, other)| own / other)
    };
    let all: Vec<_> = sides.iter().map(|side| (side.name.clone(), figures(side))).collect();
    for side in sides {
        let own = figures(side);
        for (name, other) in all.iter().filter(|(name, _)| *name != side.name) {
            let ratios = Ratio {
                cpu_us_per_request: ratio(own.0, other.0),
                requests_per_s: ratio(own.1, other.1),
                bytes_per_connection: ratio(own.2, other.2),
            };
            side.ratio_to.insert(name.clone(), ratios);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::scenario::Scenario;

    /// A comparison that nobody measured, of two sides.
    pub(crate) fn made_up() -> Comparison {
        let text = "about: x\nsides: [{ name: echo, about: the echo, server: echo, mode: echo }, { name: a, about: a <side>, server: gateway, mode: call }]";
        let scenario = Scenario::parse(text).unwrap();
        let around = |middle: f64, by: f64| Spread {
            minimum: middle - by,
            median: middle,
            maximum: middle + by,
        };
        let at_rate = |share: f64| AtRate {
            share_of_peak: share,
            asked_per_s: share * 12_345.0,
            requests_per_s: around(share * 12_345.0, 1.0),
            good_per_s: around(share.min(1.0) * 12_345.0, 50.0),
            cpu_us_per_request: Some(around(4.0, 0.5)),
            p50_us: around(100.0, 10.0),
            p99_us: around(1_000.0, 100.0),
            p999_us: around(9_000.0, 100.0),
        };
        let mut sides: Vec<_> = scenario
            .sides
            .iter()
            .zip([6.5, 3.25])
            .map(|(side, cpu)| SideOutcome {
                name: side.name.clone(),
                about: side.about.clone(),
                settings: Settings::of(side, 1, None),
                requests: 100,
                errors: 12,
                errors_by_code: [("timeout".to_owned(), 7), ("1301".to_owned(), 5)].into(),
                requests_per_s: around(12_345.0, 100.0),
                cpu_us_per_request: Some(around(cpu, 0.25)),
                bytes_per_connection: Some(around(1008.0, 0.0)),
                p50_us: around(100.0, 1.0),
                p99_us: around(300.0, 1.0),
                p999_us: around(500.0, 1.0),
                p9999_us: around(777.0, 1.0),
                ratio_to: BTreeMap::new(),
                percentiles_us: vec![(50.0, 100.0), (99.0, 300.0)],
                at_rates: [0.5, 1.0, 2.0].map(at_rate).into(),
            })
            .collect();
        relate(&mut sides);
        Comparison {
            scenario: "made-up".into(),
            about: scenario.about,
            machine: Machine::read(false),
            environment: [("STANDING_AFTER".to_owned(), "500ms".to_owned())].into(),
            rounds: 3,
            seconds: 4,
            sides,
            absent: [("gin".to_owned(), "it is not installed".to_owned())].into(),
        }
    }

    #[test]
    fn json_has_each_figure_with_its_spread_and_how_it_stands_to_the_others() {
        let told = serde_json::to_value(made_up()).unwrap();
        let side = &told["sides"][1];
        for key in
            ["requests_per_s", "cpu_us_per_request", "p50_us", "p99_us", "p999_us", "p9999_us"]
        {
            for part in ["minimum", "median", "maximum"] {
                assert!(side[key][part].is_f64(), "{key}.{part}");
            }
        }
        assert_eq!(side["cpu_us_per_request"]["maximum"], 3.5);
        assert_eq!(side["ratio_to"]["echo"]["cpu_us_per_request"], 0.5);
        assert_eq!(side["ratio_to"]["echo"]["requests_per_s"], 1.0);
        assert_eq!(side["ratio_to"]["echo"]["bytes_per_connection"], 1.0);
        assert_eq!(side["at_rates"][2]["good_per_s"]["median"], 12_345.0);
        assert!(told["machine"]["kernel"].is_string() && side["settings"]["mode"] == "call");
    }

    #[test]
    fn median_of_an_even_number_of_figures_is_between_the_two_in_the_middle() {
        let spread = |figures: &[f64]| Spread::of(figures.iter().copied());
        let of = |minimum, median, maximum| Some(Spread { minimum, median, maximum });
        assert_eq!(spread(&[3.0, 1.0, 2.0]), of(1.0, 2.0, 3.0));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]), of(1.0, 2.5, 4.0));
        assert_eq!(spread(&[]), None);
    }
}
