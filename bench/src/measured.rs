//! One measurement: load processes side by side on one server, and what they found taken together.
//!
//! Each process connects and says so; when all have, they are told to begin. The server's CPU time and memory are
//! read here, from outside.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Read as _, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde::Deserialize;

use crate::cpu;
use crate::report::{PERCENTILES, histogram};

/// What `gateway-bench load --json` prints, as far as it is used here.
#[derive(Clone, Debug, Deserialize)]
struct Part {
    requests: u64,
    errors_by_code: BTreeMap<String, u64>,
    seconds: f64,
    /// Nanoseconds, and how many answers took so long.
    latency_counts: Vec<(u64, u64)>,
}

/// What all processes of one measurement found.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) errors_by_code: BTreeMap<String, u64>,
    /// Answers of any kind.
    pub(crate) requests_per_s: f64,
    /// Those that were hoped for.
    pub(crate) good_per_s: f64,
    pub(crate) cpu_us_per_request: Option<f64>,
    pub(crate) bytes_per_connection: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) p9999_us: f64,
    pub(crate) percentiles_us: Vec<(f64, f64)>,
}

/// How long a measurement waits for itself, and how long it counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) warm_up: Duration,
    pub(crate) counted: Duration,
}

/// A load process that is connected, or on its way to be.
struct Loader {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Loader {
    fn start(mut command: Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("taskset")?;
        let output = child.stdout.take().context("no output of a load")?;
        Ok(Self { child, output: BufReader::new(output) })
    }

    /// Returns when all of its connections stand.
    fn connected(&mut self) -> anyhow::Result<()> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        anyhow::ensure!(line.trim() == "connected", "a load did not connect");
        Ok(())
    }

    fn begin(&mut self) -> anyhow::Result<()> {
        let input = self.child.stdin.as_mut().context("no input of a load")?;
        input.write_all(b"\n")?;
        Ok(())
    }

    /// What it found. With errors among the answers it ends with 1, and has its figures all the same.
    fn found(mut self) -> anyhow::Result<Part> {
        let mut text = String::new();
        self.output.read_to_string(&mut text)?;
        let _with_or_without_errors = self.child.wait()?;
        serde_json::from_str(&text).context("a load gave no figures")
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        // Of one that has ended nothing is left to end.
        let _ended = self.child.kill().and_then(|()| self.child.wait()).is_ok();
    }
}

/// Runs the load processes.
///
/// - `pids`: the server's.
/// - `connections`: of all together.
pub(crate) fn measure(
    commands: Vec<Command>,
    pids: &[u32],
    connections: u32,
    span: Span,
) -> anyhow::Result<Measured> {
    let before_bytes = cpu::resident_bytes_of(pids)?;
    let mut loaders =
        commands.into_iter().map(Loader::start).collect::<anyhow::Result<Vec<_>>>()?;
    for loader in &mut loaders {
        loader.connected()?;
    }
    for loader in &mut loaders {
        loader.begin()?;
    }
    wait(span.warm_up, "warming up", pids);
    let grown = cpu::resident_bytes_of(pids)?.zip(before_bytes);
    let before = cpu::seconds_of(pids)?;
    wait(span.counted, "counting", pids);
    let spent = cpu::seconds_of(pids)?.zip(before).map(|(after, before)| after - before);
    let parts = loaders.into_iter().map(Loader::found).collect::<anyhow::Result<Vec<_>>>()?;
    let mut told = together(&parts)?;
    let grown = grown.map_or(0, |(after, before)| after.saturating_sub(before));
    told.bytes_per_connection = figure(grown) / f64::from(connections.max(1));
    let per_second = spent.map(|seconds| seconds / span.counted.as_secs_f64());
    told.cpu_us_per_request = per_second.and_then(|share| per_request(share, told.requests_per_s));
    Ok(told)
}

/// Microseconds of CPU for each request; `None`: there were none.
///
/// - `share`: CPUs that were busy.
fn per_request(share: f64, requests_per_s: f64) -> Option<f64> {
    (requests_per_s > 0.0).then(|| share * 1e6 / requests_per_s)
}

/// Waits, and says on a terminal how far it is.
///
/// - `what`: what is waited for.
#[expect(clippy::disallowed_methods, reason = "nothing else runs in this process meanwhile")]
#[expect(clippy::print_stderr, reason = "progress is for the terminal")]
fn wait(span: Duration, what: &str, pids: &[u32]) {
    let is_watched = std::io::stderr().is_terminal();
    let (started, mut before) = (Instant::now(), cpu::seconds_of(pids).ok().flatten());
    loop {
        let left = span.saturating_sub(started.elapsed());
        if left.is_zero() {
            break;
        }
        std::thread::sleep(left.min(Duration::from_secs(1)));
        if is_watched {
            let spent = cpu::seconds_of(pids).ok().flatten();
            let busy = spent.zip(before).map_or(0.0, |(spent, before)| spent - before);
            before = spent;
            let (done, all) = (started.elapsed().as_secs(), span.as_secs());
            eprint!("\r  {what}: {done} of {all} s, server at {busy:.2} CPUs  ");
        }
    }
    if is_watched {
        eprint!("\r\x1b[K");
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people, three digits are shown")]
const fn figure(count: u64) -> f64 {
    count as f64
}

fn together(parts: &[Part]) -> anyhow::Result<Measured> {
    let mut latency: Histogram<u64> = histogram()?;
    let mut errors_by_code: BTreeMap<String, u64> = BTreeMap::new();
    let (mut requests_per_s, mut errors_per_s) = (0.0, 0.0);
    for part in parts {
        for (nanos, count) in &part.latency_counts {
            latency.saturating_record_n(*nanos, *count);
        }
        for (code, count) in &part.errors_by_code {
            *errors_by_code.entry(code.clone()).or_default() += count;
        }
        requests_per_s += figure(part.requests) / part.seconds;
        errors_per_s += figure(part.errors_by_code.values().sum()) / part.seconds;
    }
    let quantile = |q: f64| figure(latency.value_at_quantile(q)) / 1e3;
    Ok(Measured {
        requests: parts.iter().map(|part| part.requests).sum(),
        errors: errors_by_code.values().sum(),
        errors_by_code,
        requests_per_s,
        good_per_s: requests_per_s - errors_per_s,
        cpu_us_per_request: None,
        bytes_per_connection: 0.0,
        p50_us: quantile(0.5),
        p99_us: quantile(0.99),
        p999_us: quantile(0.999),
        p9999_us: quantile(0.9999),
        percentiles_us: PERCENTILES.map(|percent| (percent, quantile(percent / 100.0))).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_ask_for_nothing_have_no_cost_of_a_request() {
        assert_eq!(per_request(0.0, 0.0), None);
        assert_eq!(per_request(0.5, 0.0), None);
        assert_eq!(per_request(0.5, 100_000.0), Some(5.0));
    }

    #[test]
    fn rates_of_processes_add_up_and_their_latencies_are_one_distribution() {
        let part = |requests, error_count: u64, latency_counts| Part {
            requests,
            errors_by_code: [("1001".to_owned(), error_count)].into(),
            seconds: 2.0,
            latency_counts,
        };
        let parts = [part(100, 10, vec![(1_000, 90)]), part(300, 0, vec![(9_000, 300)])];
        let told = together(&parts).unwrap();
        assert_eq!((told.requests, told.errors), (400, 10));
        assert_eq!((told.requests_per_s, told.good_per_s), (200.0, 195.0));
        assert!((1.0..1.01).contains(&told.percentiles_us[0].1), "{told:?}");
        assert!((9.0..9.01).contains(&told.p50_us), "{told:?}");
    }
}
