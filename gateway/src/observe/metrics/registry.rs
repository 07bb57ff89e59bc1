//! Gauges and counters outside the hot path: handles, and closures that are asked at each scrape.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// A count that only grows; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds to it.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// Reads it.
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// Adds to it; negative: takes away.
    pub fn add(&self, amount: i64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// Sets it.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Reads it.
    pub fn read(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A sample's value: whole numbers stay exact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A whole number.
    Whole(i128),
    /// Any other.
    Real(f64),
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(value) => write!(f, "{value}"),
            Self::Real(value) if value.is_infinite() => {
                f.write_str(if *value > 0.0 { "+Inf" } else { "-Inf" })
            }
            Self::Real(value) => write!(f, "{value}"),
        }
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self::Whole(value.into())
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self::Whole(value.into())
    }
}

impl From<u32> for Number {
    fn from(value: u32) -> Self {
        Self::Whole(value.into())
    }
}

impl From<usize> for Number {
    fn from(value: usize) -> Self {
        Self::Whole(value as i128)
    }
}

impl From<bool> for Number {
    /// 1 for true.
    fn from(value: bool) -> Self {
        Self::Whole(value.into())
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

/// The samples that a closure gives of its metric.
#[derive(Debug, Default)]
pub struct Samples {
    pub(super) samples: Vec<(Vec<(&'static str, String)>, Number)>,
}

impl Samples {
    /// Adds a sample.
    ///
    /// - `labels`: names as `pool`, values any text from a closed set; escaped when rendered.
    pub fn add(&mut self, labels: &[(&'static str, &str)], value: impl Into<Number>) {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.samples.push((labels, value.into()));
    }
}

type Collect = Box<dyn Fn(&mut Samples) + Send + Sync>;

/// A metric: its name is the key in [`Registry`].
pub(super) struct Family {
    pub(super) help: &'static str,
    pub(super) kind: Kind,
    /// By source: labels of a single sample, or empty for a closure that gives several.
    sources: BTreeMap<Vec<(&'static str, String)>, Collect>,
}

impl Family {
    /// Asks every source.
    pub(super) fn collect(&self) -> Samples {
        let mut samples = Samples::default();
        for source in self.sources.values() {
            source(&mut samples);
        }
        samples
    }
}

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Family").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Every metric that is not counted by a [`super::Recorder`].
#[derive(Debug, Default)]
pub(super) struct Registry {
    pub(super) families: BTreeMap<&'static str, Family>,
}

impl Registry {
    /// Registers a source, in the place of one of the same name and labels.
    pub(super) fn add(
        &mut self,
        name: &'static str,
        help: &'static str,
        kind: Kind,
        labels: &[(&'static str, &str)],
        collect: Collect,
    ) {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.families
            .entry(name)
            .or_insert_with(|| Family { help, kind, sources: BTreeMap::new() })
            .sources
            .insert(labels, collect);
    }
}
