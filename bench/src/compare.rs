//! One scenario on every server that it names, in alternating rounds.
//!
//! Each measurement is a process of its own, pinned to CPU 1 as the databases are; the servers have CPU 0. Rounds alternate, so
//! that a noisy machine is unkind to all alike; the figure to trust there is the server's CPU time per request.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;

use crate::comparison::{AtRate, Comparison, SideOutcome, Spread, relate};
use crate::machine::Machine;
use crate::measured::{self, Measured, Span};
use crate::open_files;
use crate::scenario::{Scenario, Side};
use crate::servers::{Running, Servers};
use crate::settings::{Settings, environment};

/// The CPU that load has; the servers have CPU 0 (`setup.sh`).
pub(crate) const LOAD_CPU: &str = "1";

/// What to compare, and how long.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The folder `bench`.
    pub(crate) folder: PathBuf,
    /// This program, which is the echo and the load, too.
    pub(crate) own: PathBuf,
    pub(crate) scenario: String,
    pub(crate) rounds: u32,
    /// Seconds of each measurement.
    pub(crate) seconds: u32,
    /// Whether the scenario's rates are measured, too.
    pub(crate) sweeps: bool,
}

/// Compares. Starts what is needed, and ends it.
pub(crate) fn run(plan: &Plan) -> anyhow::Result<Comparison> {
    let scenario = Scenario::read(&plan.folder.join("scenarios"), &plan.scenario)?;
    open_files::ensure_for(&scenario, open_files::raise())?;
    let machine = Machine::read(crate::is_built_here());
    let mut wanted: Vec<_> = scenario.sides.iter().map(|side| side.server).collect();
    wanted.sort_unstable();
    wanted.dedup();
    progress(&format!("{}: starting servers", plan.scenario));
    let servers = Servers::start(&plan.folder, &plan.own, &wanted, scenario.gateways)?;
    let mut absent = BTreeMap::new();
    let mut present: Vec<(&Side, Running, Vec<Measured>)> = Vec::new();
    for side in &scenario.sides {
        if let Some(running) = servers.running.get(&side.server) {
            present.push((side, running.clone(), Vec::new()));
        } else {
            let reason =
                servers.absent.get(&side.server).map_or("it did not start", String::as_str);
            absent.insert(side.name.clone(), reason.to_owned());
        }
    }
    // At a fixed rate a cold cache would be measured, or the refusals that it leads to.
    if let Some((side, running, _)) = present.first().filter(|(side, ..)| side.rate > 0) {
        progress("warming up");
        let side = Side { rate: 0, ..Side::clone(side) };
        let _not_counted = load(&plan.own, plan, &servers, (&side, running), None)?;
    }
    for round in 1..=plan.rounds {
        for (side, running, measured) in &mut present {
            progress(&format!("round {round} of {}: {}", plan.rounds, side.about));
            measured.push(load(&plan.own, plan, &servers, (side, running), None)?);
        }
    }
    let swept = sweep(plan, &scenario, &servers, &present)?;
    let mut sides = Vec::new();
    for ((side, running, measured), at_rates) in present.iter().zip(swept) {
        let pid = running.pids.first().copied();
        let settings = Settings::of(side, scenario.gateways, pid);
        let mut outcome = outcome(side, settings, measured).context("no rounds")?;
        outcome.at_rates = at_rates;
        sides.push(outcome);
    }
    relate(&mut sides);
    let Plan { scenario: name, rounds, seconds, .. } = plan.clone();
    Ok(Comparison {
        scenario: name,
        about: scenario.about,
        machine,
        environment: environment(std::env::vars()),
        rounds,
        seconds,
        sides,
        absent,
    })
}

/// Measures every side at each share of its own peak, in alternating rounds like everything else.
fn sweep(
    plan: &Plan,
    scenario: &Scenario,
    servers: &Servers,
    present: &[(&Side, Running, Vec<Measured>)],
) -> anyhow::Result<Vec<Vec<AtRate>>> {
    let shares: &[f64] = if plan.sweeps { &scenario.rates_of_peak } else { &[] };
    let mut found = vec![vec![Vec::new(); shares.len()]; present.len()];
    for round in 1..=plan.rounds {
        for (place, share) in shares.iter().enumerate() {
            for ((side, running, measured), found) in present.iter().zip(&mut found) {
                let rate = peak(measured).context("no rounds")? * share;
                progress(&format!("round {round} of {}: {}, {rate:.0}/s", plan.rounds, side.about));
                let at = load(&plan.own, plan, servers, (side, running), Some(rate))?;
                found.get_mut(place).context("a share")?.push(at);
            }
        }
    }
    let told = present.iter().zip(&found).map(|((_, _, measured), found)| {
        let at = |(share, rounds): (&f64, &Vec<Measured>)| {
            at_rate(*share, peak(measured)? * share, rounds)
        };
        shares.iter().zip(found).map(at).collect::<Option<Vec<_>>>().context("no rounds")
    });
    told.collect()
}

/// A refusal comes sooner than an answer: what is refused is no peak.
fn peak(measured: &[Measured]) -> Option<f64> {
    Some(Spread::of(measured.iter().map(|round| round.good_per_s))?.median)
}

fn at_rate(share_of_peak: f64, asked_per_s: f64, rounds: &[Measured]) -> Option<AtRate> {
    let spread = |figure: fn(&Measured) -> f64| Spread::of(rounds.iter().map(figure));
    Some(AtRate {
        share_of_peak,
        asked_per_s,
        requests_per_s: spread(|round| round.requests_per_s)?,
        good_per_s: spread(|round| round.good_per_s)?,
        cpu_us_per_request: Spread::of(rounds.iter().filter_map(|round| round.cpu_us_per_request)),
        p50_us: spread(|round| round.p50_us)?,
        p99_us: spread(|round| round.p99_us)?,
        p999_us: spread(|round| round.p999_us)?,
    })
}

/// Puts a side's load on its server once.
fn load(
    own: &Path,
    plan: &Plan,
    servers: &Servers,
    (side, running): (&Side, &Running),
    rate: Option<f64>,
) -> anyhow::Result<Measured> {
    let span = Span {
        warm_up: Duration::from_secs(side.warm_up.into()),
        counted: Duration::from_secs(plan.seconds.into()),
    };
    let beside = side.beside.as_ref().map(|beside| {
        let mut command = loader(own, servers, side, running);
        command.arg(format!("--operation={}", beside.operation));
        command.arg(format!("--connections={}", beside.connections));
        // It is ended before that.
        command.args(["--mode=call", "--seconds=3600"]).stdout(Stdio::null()).spawn()
    });
    let beside = beside.transpose().context("taskset")?.map(Ended);
    let rate = rate.unwrap_or_else(|| side.rate.into()) / f64::from(side.processes);
    let commands = (0..side.processes).map(|place| {
        let mut command = loader(own, servers, side, running);
        let mut option = |name: &str, value: String| {
            command.arg(format!("--{name}={value}"));
        };
        option("mode", side.mode.clone());
        option("seconds", plan.seconds.to_string());
        option("warm-up", span.warm_up.as_secs().to_string());
        option("ramp", side.ramp.to_string());
        option("connections", (side.connections / side.processes).to_string());
        option("active", (side.active / side.processes).to_string());
        option("pipeline", side.pipeline.to_string());
        option("batch", side.batch.to_string());
        option("path", side.path.clone());
        option("body", side.body.clone());
        option("label", side.name.clone());
        option("rate", format!("{rate:.0}"));
        // Keys of their own in each round: a repeat would be answered and not run.
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
        option("prefix", format!("{now:x}{place}"));
        if !side.operation.is_empty() {
            option("operation", side.operation.clone());
        }
        if side.processes > 1 {
            option("source", format!("127.0.1.{}", place + 1));
        }
        command.args(["--json", "--wait"]);
        command
    });
    let commands = commands.collect();
    let measured = measured::measure(commands, &running.pids, side.connections, span);
    drop(beside);
    measured.with_context(|| format!("the load on {}", side.about))
}

/// `gateway-bench load` on a server, with what every load of a side has.
fn loader(own: &Path, servers: &Servers, side: &Side, running: &Running) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", LOAD_CPU]).arg(own).args(["load", "--first=1"]);
    command.arg(format!("--address={}", running.address));
    command.arg(format!("--count={}", side.count)).arg(format!("--param={}", side.param));
    // In the environment, where other users of the machine do not see them.
    command.env("GATEWAY_API_KEY", &servers.key);
    command.env("GATEWAY_BENCH_TOKEN", if side.token { &servers.token } else { "" });
    command.stderr(Stdio::inherit());
    command
}

/// A process that ends with this.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait()).is_ok();
    }
}

fn outcome(side: &Side, settings: Settings, measured: &[Measured]) -> Option<SideOutcome> {
    let spread = |figure: fn(&Measured) -> f64| Spread::of(measured.iter().map(figure));
    let of_some =
        |figure: fn(&Measured) -> Option<f64>| Spread::of(measured.iter().filter_map(figure));
    let mut by_rate: Vec<&Measured> = measured.iter().collect();
    by_rate.sort_by(|one, other| one.requests_per_s.total_cmp(&other.requests_per_s));
    let mut errors_by_code = BTreeMap::new();
    for (code, count) in measured.iter().flat_map(|round| &round.errors_by_code) {
        *errors_by_code.entry(code.clone()).or_default() += count;
    }
    Some(SideOutcome {
        name: side.name.clone(),
        about: side.about.clone(),
        settings,
        requests: measured.iter().map(|round| round.requests).sum(),
        errors: measured.iter().map(|round| round.errors).sum(),
        errors_by_code,
        requests_per_s: spread(|round| round.requests_per_s)?,
        cpu_us_per_request: of_some(|round| round.cpu_us_per_request),
        // Of the first round alone: those after it take what that one has given back.
        bytes_per_connection: (side.mode.starts_with("idle") || side.active > 0)
            .then(|| Spread::of(measured.iter().take(1).map(|round| round.bytes_per_connection)))
            .flatten(),
        p50_us: spread(|round| round.p50_us)?,
        p99_us: spread(|round| round.p99_us)?,
        p999_us: spread(|round| round.p999_us)?,
        p9999_us: spread(|round| round.p9999_us)?,
        ratio_to: BTreeMap::new(),
        percentiles_us: by_rate.get(by_rate.len() / 2)?.percentiles_us.clone(),
        at_rates: Vec::new(),
    })
}

/// Says on standard error what is done now.
#[expect(clippy::print_stderr, reason = "a comparison takes minutes, and says how far it is")]
fn progress(what: &str) {
    eprintln!("{what}");
}
