//! The gate against becoming slower: a side's CPU time a request, in units of another side's of the same run.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::compare::Plan;
use crate::comparison::Comparison;
use crate::{GateArgs, build_gateway, compare, own_path};

/// A line of the baseline.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    scenario: String,
    side: String,
    /// The side that it is measured against.
    to: String,
    /// CPU time a request, of `side` over `to`, as it was when the line was written.
    cpu_ratio: f64,
    /// What more of it is still noise: 0.1 is 10 %.
    spread: f64,
}

/// Compares what the baseline names. Status 1: something has become more expensive, or could not be measured.
#[expect(clippy::print_stdout, reason = "the verdict is what was asked for")]
pub(crate) fn run(args: &GateArgs) -> anyhow::Result<ExitCode> {
    let text = std::fs::read_to_string(&args.baseline)
        .with_context(|| args.baseline.display().to_string())?;
    let lines: Vec<Line> = serde_json::from_str(&text)?;
    anyhow::ensure!(!lines.is_empty(), "the baseline is empty");
    let own = own_path()?;
    build_gateway()?;
    let mut found: BTreeMap<String, anyhow::Result<Comparison>> = BTreeMap::new();
    let mut is_worse = false;
    for line in &lines {
        if !found.contains_key(&line.scenario) {
            let plan = Plan {
                folder: args.folder.clone(),
                own: own.clone(),
                scenario: line.scenario.clone(),
                rounds: args.rounds,
                seconds: args.seconds,
                sweeps: false,
            };
            found.insert(line.scenario.clone(), compare::run(&plan));
        }
        let comparison = found.get(&line.scenario);
        if let Some(Err(error)) = comparison {
            println!("{}: FAILED: {error:#}", line.scenario);
        }
        let verdict = comparison.and_then(|found| line.judge(found.as_ref().ok()?));
        let Line { scenario, side, to, cpu_ratio, spread } = line;
        match verdict {
            Some((ratio, true)) => {
                println!("{scenario}: {side} {ratio:.2} x {to}, {cpu_ratio:.2} before: good");
            }
            Some((ratio, false)) => {
                let most = cpu_ratio * (1.0 + spread);
                println!("{scenario}: {side} {ratio:.2} x {to}, {most:.2} at most: WORSE");
                is_worse = true;
            }
            None => {
                println!("{scenario}: {side} or {to} was not measured");
                is_worse = true;
            }
        }
    }
    Ok(if is_worse { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Line {
    /// The ratio now, and whether that is good. `None`: a side is missing.
    fn judge(&self, comparison: &Comparison) -> Option<(f64, bool)> {
        let side = comparison.sides.iter().find(|side| side.name == self.side)?;
        let ratio = side.ratio_to.get(&self.to)?.cpu_us_per_request?;
        Some((ratio, self.allows(ratio)))
    }

    fn allows(&self, ratio: f64) -> bool {
        ratio <= self.cpu_ratio * (1.0 + self.spread)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::scenario::Scenario;

    #[test]
    fn line_allows_its_ratio_and_the_spread_and_no_more() {
        let (scenario, side, to) = (String::new(), String::new(), String::new());
        let line = Line { scenario, side, to, cpu_ratio: 2.0, spread: 0.25 };
        assert!(line.allows(2.5) && !line.allows(2.501));
    }

    #[test]
    fn baseline_names_scenarios_and_sides_that_there_are() -> anyhow::Result<()> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(folder.join("baseline.json"))?;
        let lines: Vec<Line> = serde_json::from_str(&text)?;
        assert!(!lines.is_empty());
        for line in lines {
            let scenario = Scenario::read(&folder.join("scenarios"), &line.scenario)?;
            let has = |name: &str| scenario.sides.iter().any(|side| side.name == name);
            assert!(has(&line.side) && has(&line.to), "{line:?}");
            assert!(line.cpu_ratio > 0.0 && (0.0..1.0).contains(&line.spread), "{line:?}");
        }
        Ok(())
    }
}
