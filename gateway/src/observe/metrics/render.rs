//! The Prometheus text format, version 0.0.4.
//!
//! Source: <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>.

use std::fmt::{self, Write};
use std::sync::Arc;

use super::histogram::{BOUND_COUNT, OwnedCell, Total, bound_ns};
use super::label::{CacheOutcome, Category, Stage, Transport};
use super::recorder::ThreadTable;
use super::registry::Number;
use super::{Metrics, lock};

type Labels<'l> = &'l [(&'l str, &'l str)];

/// Renders everything.
pub(super) fn render(metrics: &Metrics) -> String {
    let threads: Vec<Arc<ThreadTable>> = lock(&metrics.0.threads).clone();
    let mut page = Page { text: String::with_capacity(64 << 10) };
    operations(&mut page, metrics, &threads);
    stages(&mut page, metrics, &threads);
    connections(&mut page, metrics, &threads);
    let registry = lock(&metrics.0.registry);
    for (name, family) in &registry.families {
        page.head(name, family.help, family.kind.name());
        for (labels, value) in family.collect().samples {
            let labels: Vec<(&str, &str)> =
                labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
            page.sample(name, &labels, value);
        }
    }
    page.text
}

/// One operation, over all threads.
#[derive(Default)]
struct Sum {
    requests: [u64; Category::ALL.len()],
    cache: [u64; CacheOutcome::ALL.len()],
    latency: Total,
}

fn operations(page: &mut Page, metrics: &Metrics, threads: &[Arc<ThreadTable>]) {
    let names = lock(&metrics.0.operations).names.clone();
    let mut sums: Vec<(&str, &str, Sum)> = Vec::new();
    for (index, (game, operation)) in names.iter().enumerate() {
        let mut sum = Sum::default();
        for block in threads.iter().filter_map(|table| table.operations.get(index)?.get()) {
            add(&mut sum.requests, &block.requests);
            add(&mut sum.cache, &block.cache);
            sum.latency.add(&block.latency);
        }
        if sum.latency.count() > 0 {
            sums.push((game, operation, sum));
        }
    }
    page.head("gateway_requests_total", "Requests answered, by what became of them.", "counter");
    for (game, operation, sum) in &sums {
        for (category, count) in Category::ALL.into_iter().zip(sum.requests) {
            if count > 0 {
                let labels =
                    [("game", *game), ("operation", *operation), ("category", category.name())];
                page.count("gateway_requests_total", &labels, count);
            }
        }
    }
    page.head("gateway_cache_lookups_total", "Requests, by what the cache did.", "counter");
    for (game, operation, sum) in &sums {
        for (outcome, count) in CacheOutcome::ALL.into_iter().zip(sum.cache) {
            if count > 0 {
                let labels =
                    [("game", *game), ("operation", *operation), ("outcome", outcome.name())];
                page.count("gateway_cache_lookups_total", &labels, count);
            }
        }
    }
    let name = "gateway_request_duration_seconds";
    page.head(name, "From a request's last byte to its encoded reply.", "histogram");
    for (game, operation, sum) in &sums {
        page.histogram(name, &[("game", game), ("operation", operation)], &sum.latency);
    }
}

fn stages(page: &mut Page, metrics: &Metrics, threads: &[Arc<ThreadTable>]) {
    let name = "gateway_stage_duration_seconds";
    page.head(name, "Time of a stage, for one request in 64.", "histogram");
    for stage in Stage::ALL {
        let mut total = Total::default();
        for histogram in threads.iter().filter_map(|t| t.thread.stages.get(stage as usize)) {
            total.add(histogram);
        }
        if let Some(shared) = metrics.0.stages.get(stage as usize) {
            total.add_shared(shared);
        }
        page.histogram(name, &[("stage", stage.name())], &total);
    }
}

fn connections(page: &mut Page, metrics: &Metrics, threads: &[Arc<ThreadTable>]) {
    let counts = Transport::ALL.map(|transport| (transport, metrics.connections(transport)));
    page.head("gateway_connections_open", "Connections open now.", "gauge");
    for (transport, counts) in &counts {
        page.count("gateway_connections_open", &[("transport", transport.name())], counts.open);
    }
    let name = "gateway_connections_parked";
    page.head(name, "Open connections that are silent and have no task of their own.", "gauge");
    for (transport, counts) in &counts {
        page.count(name, &[("transport", transport.name())], counts.parked);
    }
    let name = "gateway_connections_accepted_total";
    page.head(name, "Connections taken.", "counter");
    for (transport, counts) in &counts {
        page.count(name, &[("transport", transport.name())], counts.accepted);
    }
    let name = "gateway_connections_refused_total";
    page.head(name, "Connections turned away.", "counter");
    for (transport, counts) in &counts {
        page.count(name, &[("transport", transport.name())], counts.refused);
    }
    let name = "gateway_panics_total";
    page.head(name, "Connections closed because their task panicked.", "counter");
    page.count(name, &[], threads.iter().map(|table| table.thread.panics.read()).sum());
}

fn add(totals: &mut [u64], cells: &[OwnedCell]) {
    for (total, cell) in totals.iter_mut().zip(cells) {
        *total += cell.read();
    }
}

/// The text while it grows.
struct Page {
    text: String,
}

impl Page {
    fn write(&mut self, text: fmt::Arguments<'_>) {
        let written = self.text.write_fmt(text);
        debug_assert!(written.is_ok(), "writing to a `String` cannot fail");
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn count(&mut self, name: &str, labels: Labels<'_>, count: u64) {
        self.name(name, labels);
        self.write(format_args!(" {count}\n"));
    }

    fn sample(&mut self, name: &str, labels: Labels<'_>, value: Number) {
        self.name(name, labels);
        self.write(format_args!(" {value}\n"));
    }

    fn name(&mut self, name: &str, labels: Labels<'_>) {
        self.text.push_str(name);
        for (index, (label, value)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            self.write(format_args!("{label}=\""));
            for c in value.chars() {
                match c {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    c => self.text.push(c),
                }
            }
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
    }

    /// Buckets are cumulative, as the format asks for.
    fn histogram(&mut self, name: &str, labels: Labels<'_>, total: &Total) {
        let bucket_name = format!("{name}_bucket");
        let mut below = 0;
        for (bucket, count) in total.buckets.iter().enumerate() {
            below += count;
            let bound = if bucket < BOUND_COUNT {
                seconds(bound_ns(bucket)).to_string()
            } else {
                "+Inf".to_owned()
            };
            let mut labels = labels.to_vec();
            labels.push(("le", &bound));
            self.count(&bucket_name, &labels, below);
        }
        self.sample(&format!("{name}_sum"), labels, Number::Real(seconds(total.sum_ns)));
        self.count(&format!("{name}_count"), labels, below);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a sum of 104 days is exact to the nanosecond")]
fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}
