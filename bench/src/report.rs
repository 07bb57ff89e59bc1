//! One measurement's outcome.

use std::io::Write;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::LoadArgs;
use crate::failure::{Failures, by_name, told};
use crate::load::active;
use crate::machine::{Binary, Machine, cpus_of};
use crate::settings::environment;

/// What was measured.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) answers: u64,
    /// Calls without an answer that was hoped for.
    pub(crate) errors: Failures,
    pub(crate) elapsed: Duration,
    /// CPU time of the server while it counted.
    pub(crate) cpu_seconds: Option<f64>,
    /// Memory that the server took meanwhile.
    pub(crate) grown_bytes: Option<u64>,
    /// Of those that were hoped for, in nanoseconds.
    pub(crate) latency: Histogram<u64>,
}

/// What a plot of the latency is drawn from, in per cent.
pub(crate) const PERCENTILES: [f64; 17] = [
    10.0, 25.0, 50.0, 75.0, 80.0, 90.0, 95.0, 97.5, 99.0, 99.5, 99.75, 99.9, 99.95, 99.975, 99.99,
    99.995, 99.999,
];

/// What latencies are counted in: nanoseconds up to a minute, with three digits.
pub(crate) fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000_000, 3)?)
}

/// Latencies, and how many answers took so long.
fn counts(latency: &Histogram<u64>) -> Vec<(u64, u64)> {
    let recorded = latency.iter_recorded();
    recorded.map(|step| (step.value_iterated_to(), step.count_at_value())).collect()
}

/// What it was measured with: no key, no token.
fn settings(args: &LoadArgs) -> Value {
    json!({
        "mode": args.mode.name(), "operation": args.operation.to_string(), "path": args.path,
        "param": args.param, "first": args.first, "count": args.count,
        "rate": args.rate, "connections": args.connections, "active": active(args),
        "pipeline": args.pipeline, "batch": args.batch, "warm_up_seconds": args.warm_up, "timeout_seconds": args.timeout,
        "load_cpus": cpus_of(std::process::id()),
        "server_cpus": args.pids.first().copied().and_then(cpus_of),
        "environment": environment(std::env::vars()),
    })
}

/// The machine. Who built the server that answers at an address is not known.
///
/// `None`: whoever told the load to wait tells it, once for all processes.
fn machine(args: &LoadArgs) -> Option<Machine> {
    (!args.wait).then(|| Machine::read(false))
}

/// The program of the server's first process.
fn binary(args: &LoadArgs) -> Option<Binary> {
    args.pids.first().copied().and_then(Binary::of)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people, three digits are shown")]
impl Report {
    /// Calls without an answer that was hoped for.
    pub(crate) fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Prints it on standard output.
    pub(crate) fn print(&self, args: &LoadArgs) -> anyhow::Result<()> {
        let rate = self.answers as f64 / self.elapsed.as_secs_f64();
        let cpu_us = self.cpu_seconds.map(|cpu| cpu * 1e6 / self.answers.max(1) as f64);
        let bytes = self.grown_bytes.map(|bytes| bytes as f64 / args.connections as f64);
        let quantile = |q: f64| self.latency.value_at_quantile(q) as f64 / 1e3;
        if args.json {
            let value = json!({
                "label": args.label, "settings": settings(args), "machine": machine(args), "binary": binary(args),
                "requests": self.answers, "errors": self.error_count(), "errors_by_code": by_name(&self.errors),
                "requests_per_s": rate, "cpu_us_per_request": cpu_us, "bytes_per_connection": bytes,
                "p50_us": quantile(0.5), "p90_us": quantile(0.9), "p99_us": quantile(0.99),
                "p999_us": quantile(0.999), "p9999_us": quantile(0.9999),
                "max_us": self.latency.max() as f64 / 1e3,
                "seconds": self.elapsed.as_secs_f64(), "cpu_seconds": self.cpu_seconds,
                "grown_bytes": self.grown_bytes, "latency_counts": counts(&self.latency),
                "percentiles_us": PERCENTILES.map(|percent| (percent, quantile(percent / 100.0))),
            });
            writeln!(std::io::stdout().lock(), "{value}")?;
            return Ok(());
        }
        self.print_line(&args.label)?;
        if let Some(bytes) = bytes.filter(|_| args.mode.is_idle()) {
            writeln!(std::io::stdout().lock(), "{:<28} {bytes:.0} bytes/connection", args.label)?;
        }
        Ok(())
    }

    /// Prints one line of text on standard output.
    pub(crate) fn print_line(&self, label: &str) -> anyhow::Result<()> {
        let rate = self.answers as f64 / self.elapsed.as_secs_f64();
        let quantile = |q: f64| self.latency.value_at_quantile(q) as f64 / 1e3;
        let mut out = std::io::stdout().lock();
        write!(out, "{label:<28} {rate:>9.0}/s")?;
        if let Some(cpu) = self.cpu_seconds {
            write!(out, "  cpu {:.2} us/request", cpu * 1e6 / self.answers.max(1) as f64)?;
        }
        let (p50, p99, p999) = (quantile(0.5), quantile(0.99), quantile(0.999));
        writeln!(
            out,
            "  p50 {p50:.0} p99 {p99:.0} p99.9 {p999:.0} us  errors {}",
            self.error_count()
        )?;
        for (name, count) in by_name(&self.errors) {
            writeln!(out, "{:<28} {}", "", told(&name, count))?;
        }
        Ok(())
    }
}
