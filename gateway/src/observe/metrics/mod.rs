//! Metrics: counted by each thread in memory of its own, added up when Prometheus asks.
//!
//! A request writes to its thread's block of its operation: plain loads and stores in cache lines
//! that no other thread writes. Blocks outlive reloads and threads, and are bounded: so many operations,
//! then the rest count together as `other`.
//!
//! Invariant: no label's value comes from a client; operations are those that a catalog had.

mod histogram;
mod label;
mod process;
mod recorder;
mod registry;
mod render;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use label::{CacheOutcome, Category, Stage, Transport};
pub use recorder::{ConnectionCounts, Recorder};
pub use registry::{Counter, Gauge, Kind, Number, Samples};

use histogram::SharedHistogram;
use recorder::ThreadTable;
use registry::Registry;

use super::{EventKind, event_count};

/// Most operations counted on their own, over all games and reloads.
const OPERATION_COUNT_MAX: usize = 4096;

/// Where an operation is counted. The same for the same names as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpIndex(u32);

impl OpIndex {
    /// Requests that named no operation there is.
    pub const NONE: Self = Self(0);
    /// Operations beyond the bound.
    pub const OTHER: Self = Self(1);
}

/// The names of what is counted, by [`OpIndex`].
#[derive(Debug)]
struct Operations {
    names: Vec<(Box<str>, Box<str>)>,
    index: HashMap<(Box<str>, Box<str>), u32>,
}

/// All metrics of a process. Clones are the same metrics.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    threads: Mutex<Vec<Arc<ThreadTable>>>,
    operations: Mutex<Operations>,
    stages: [SharedHistogram; Stage::ALL.len()],
    registry: Mutex<Registry>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Makes metrics with those of the process and of the events.
    pub fn new() -> Self {
        let names = vec![("none".into(), "none".into()), ("other".into(), "other".into())];
        let metrics = Self(Arc::new(Inner {
            threads: Mutex::default(),
            operations: Mutex::new(Operations { names, index: HashMap::new() }),
            stages: Default::default(),
            registry: Mutex::default(),
        }));
        metrics.register_process();
        metrics
    }

    fn register_process(&self) {
        self.family(
            "gateway_process_resident_bytes",
            "Resident memory.",
            Kind::Gauge,
            process::resident_bytes,
        );
        self.family("gateway_process_threads", "Threads.", Kind::Gauge, process::threads);
        self.family(
            "gateway_process_open_files",
            "Open file descriptors.",
            Kind::Gauge,
            process::open_files,
        );
        self.family(
            "gateway_process_open_files_max",
            "Most open file descriptors.",
            Kind::Gauge,
            process::open_files_max,
        );
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        self.gauge("gateway_build_info", "The running version.", &version, || true);
        self.family("gateway_events_total", "Events, by kind.", Kind::Counter, |samples| {
            for kind in EventKind::ALL {
                samples.add(&[("event", kind.name())], event_count(kind));
            }
        });
    }

    /// Makes the counts of one thread, or takes over those of a thread that ended.
    ///
    /// Cost: allocates 64 KiB. Once a thread.
    pub fn recorder(&self) -> Recorder {
        let mut threads = lock(&self.0.threads);
        let free = threads.iter().find(|table| table.claim()).map(Arc::clone);
        let table = free.unwrap_or_else(|| {
            let table = Arc::new(ThreadTable::new());
            table.claim();
            threads.push(Arc::clone(&table));
            table
        });
        Recorder::new(table)
    }

    /// Where an operation of a catalog is counted. Called at load, never with a client's words.
    pub fn operation_index(&self, game: &str, operation: &str) -> OpIndex {
        let mut operations = lock(&self.0.operations);
        let key = (Box::from(game), Box::from(operation));
        if let Some(index) = operations.index.get(&key) {
            return OpIndex(*index);
        }
        let next = operations.names.len();
        match u32::try_from(next) {
            Ok(index) if next < OPERATION_COUNT_MAX => {
                operations.names.push(key.clone());
                operations.index.insert(key, index);
                OpIndex(index)
            }
            _ => OpIndex::OTHER,
        }
    }

    /// Counts a stage's time where no thread's [`Recorder`] is at hand: on tokio's threads.
    ///
    /// Cost: two additions to memory that threads share. Not for frontend threads.
    pub fn stage(&self, stage: Stage, elapsed: Duration) {
        if let Some(histogram) = self.0.stages.get(stage as usize) {
            histogram.record(elapsed);
        }
    }

    /// The connections of a transport, over all threads.
    pub fn connections(&self, transport: Transport) -> ConnectionCounts {
        let mut counts = ConnectionCounts::default();
        let (mut closed, mut parked, mut resumed) = (0, 0, 0);
        let read = |cells: &[histogram::OwnedCell]| {
            cells.get(transport as usize).map_or(0, histogram::OwnedCell::read)
        };
        for table in lock(&self.0.threads).iter() {
            // Closed before accepted, and resumed before parked: one that comes and goes meanwhile is never counted as -1.
            closed += read(&table.thread.closed);
            counts.accepted += read(&table.thread.accepted);
            counts.refused += read(&table.thread.refused);
            resumed += read(&table.thread.resumed);
            parked += read(&table.thread.parked);
        }
        counts.parked = parked.saturating_sub(resumed);
        counts.open = counts.accepted.saturating_sub(closed);
        counts
    }

    /// Registers a gauge that is read when asked; one of the same name and labels is replaced.
    ///
    /// - `name`: `gateway_<noun>_<unit>`, in base units.
    /// - `read`: quick, and must not call these metrics.
    pub fn gauge<N: Into<Number>>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        read: impl Fn() -> N + Send + Sync + 'static,
    ) {
        self.single(name, help, Kind::Gauge, labels, read);
    }

    /// The same for a count that only grows; `name` ends in `_total`.
    pub fn counter<N: Into<Number>>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        read: impl Fn() -> N + Send + Sync + 'static,
    ) {
        self.single(name, help, Kind::Counter, labels, read);
    }

    /// Registers a metric whose labels are known only when asked: pools, games.
    ///
    /// - `collect`: gives every sample; must not call these metrics.
    pub fn family(
        &self,
        name: &'static str,
        help: &'static str,
        kind: Kind,
        collect: impl Fn(&mut Samples) + Send + Sync + 'static,
    ) {
        lock(&self.0.registry).add(name, help, kind, &[], Box::new(collect));
    }

    fn single<N: Into<Number>>(
        &self,
        name: &'static str,
        help: &'static str,
        kind: Kind,
        labels: &[(&'static str, &str)],
        read: impl Fn() -> N + Send + Sync + 'static,
    ) {
        let owned: Vec<(&'static str, String)> =
            labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let collect =
            move |samples: &mut Samples| samples.samples.push((owned.clone(), read().into()));
        lock(&self.0.registry).add(name, help, kind, labels, Box::new(collect));
    }

    /// Everything in the Prometheus text format 0.0.4.
    ///
    /// Cost: reads every block and asks every closure; for the control thread.
    pub fn render(&self) -> String {
        render::render(self)
    }
}

/// Locks what a panic cannot leave half done: every critical section here is one insertion.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
