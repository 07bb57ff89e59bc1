//! What keeps queued orders: the journal's thread, its applier, and the purge of keys that nothing needs.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::SystemTime;

use tokio::runtime::Runtime;

use super::{BACKEND_END, ServerError, started};
use crate::backend::switch::verify::{Sampler, Shadows};
use crate::backend::switch::{Copiers, Owners};
use crate::backend::{Applier, EventFigures, Keeper, KeptEvents, Pools, Purger};
use crate::config::Config;
use crate::control::{check_queued, served};
use crate::journal::Journal;
use crate::observe::{Counter, Kind, Metrics};
use crate::pipeline::Core;
use crate::queue::{self, NoticeBoard, Watch};
use crate::snapshot::Snapshot;
use crate::stream::{Producer, Streams};

pub(super) type StartedJournal = (Option<Arc<Journal>>, Option<JoinHandle<io::Result<()>>>);

/// Starts the journal, where one is configured, and sees that what waits in it can be applied.
pub(super) fn start_journal(
    config: &Config,
    snapshot: &Snapshot,
    metrics: &Metrics,
    board: &NoticeBoard,
) -> Result<StartedJournal, ServerError> {
    let notices = board.of("journal");
    let begun = Journal::start(&config.journal, config.runtime.io_uring, notices);
    let Some((journal, thread)) = begun.map_err(started)? else { return Ok((None, None)) };
    let checked = check_queued(snapshot, &journal.pending_contracts());
    if let Err(faults) = checked {
        let _ended = end_journal(Some(&journal), Some(thread));
        return Err(faults.into());
    }
    // In the queue before any order. A journal that ended instead says so by its thread's notice.
    let _told = journal.serve(served(snapshot)).is_ok();
    journal.register_metrics(metrics);
    Ok((Some(journal), Some(thread)))
}

/// Has the journal write what it took over, and waits for that.
pub(super) fn end_journal(
    journal: Option<&Journal>,
    thread: Option<JoinHandle<io::Result<()>>>,
) -> Option<ServerError> {
    journal?.stop();
    match thread?.join() {
        Ok(Ok(())) => None,
        Ok(Err(source)) => Some(ServerError::Machine { what: "journal thread".into(), source }),
        Err(_panic) => Some(ServerError::Start("the journal thread panicked".into())),
    }
}

type OpenedStreams = (Option<Arc<Streams>>, Option<Producer>);

/// The streams, where there is a section `queue`; connects to nothing yet.
pub(super) fn open_streams(
    config: &Config,
    metrics: &Metrics,
) -> Result<OpenedStreams, ServerError> {
    let Some(queue) = &config.queue else { return Ok((None, None)) };
    let (streams, producer) = Streams::new(queue).map_err(started)?;
    streams.register_metrics(metrics);
    Ok((Some(streams), Some(producer)))
}

/// What sends queued writes to Redis, applies those of journal and streams, copies to mirrors and compares with them,
/// on the backend threads.
pub(super) struct Applying {
    stop: queue::Signal<bool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Applying {
    /// Starts it, as far as there is a journal, or there are streams.
    pub(super) fn start(
        core: &Arc<Core>,
        (pools, sampler): (&Arc<Pools>, &Arc<Sampler>),
        producer: Option<Producer>,
        backend: &Runtime,
    ) -> Self {
        let (stop, stopped) = queue::signal(false);
        let name = process_name();
        let shadows = Shadows {
            snapshot: Arc::clone(&core.snapshot),
            pools: Arc::clone(pools),
            sampler: Arc::clone(sampler),
            metrics: Arc::clone(&core.metrics),
            name: name.clone(),
        };
        let mut tasks = vec![
            backend.spawn(copiers(core, name.clone()).run(stopped.clone())),
            backend.spawn(shadows.run(stopped.clone())),
            backend.spawn(owners(core, name).run(stopped.clone())),
        ];
        if let Some(journal) = &core.journal {
            let applier = Applier {
                journal: Arc::clone(journal),
                snapshot: Arc::clone(&core.snapshot),
                pools: Arc::clone(pools),
                gates: Arc::clone(&core.gates),
                cache: Arc::clone(&core.cache),
                metrics: Arc::clone(&core.metrics),
            };
            tasks.push(backend.spawn(applier.run(stopped.clone())));
        }
        if let Some((streams, producer)) = core.streams.as_ref().zip(producer) {
            let keeper = Keeper {
                streams: Arc::clone(streams),
                snapshot: Arc::clone(&core.snapshot),
                pools: Arc::clone(pools),
                gates: Arc::clone(&core.gates),
                cache: Arc::clone(&core.cache),
                metrics: Arc::clone(&core.metrics),
            };
            tasks.push(backend.spawn(producer.run()));
            tasks.push(backend.spawn(keeper.run(stopped)));
        }
        Self { stop, tasks }
    }

    /// Has it finish what is under way. What is left is applied after the next start, or by another gateway.
    pub(super) async fn end(self) {
        self.stop.set(true);
        let all = async {
            for task in self.tasks {
                let _ended_or_panicked = task.await.is_ok();
            }
        };
        let _ended_or_late = tokio::time::timeout(BACKEND_END, all).await.is_ok();
    }
}

/// What copies for the games that have a mirror.
fn copiers(core: &Core, name: Box<str>) -> Copiers {
    Copiers { snapshot: Arc::clone(&core.snapshot), metrics: Arc::clone(&core.metrics), name }
}

/// What finds out who owns the games.
fn owners(core: &Core, name: Box<str>) -> Owners {
    core.gates.expect(None, &core.snapshot.load().config);
    Owners {
        snapshot: Arc::clone(&core.snapshot),
        gates: Arc::clone(&core.gates),
        metrics: Arc::clone(&core.metrics),
        name,
        journal: core.journal.clone(),
    }
}

/// A name for this start of the process in the databases' tables. Containers may have one host's name, and each of them a
/// process 1: the random part tells them apart.
fn process_name() -> Box<str> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let since_epoch = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let start = getrandom::u32().unwrap_or_else(|_| since_epoch.subsec_nanos());
    format!("gateway on {} (start {start:08x}), process {}", host.trim(), std::process::id()).into()
}

/// Begins to remove expired keys, until `stop` is true.
pub(super) fn spawn_purger(
    backend: &Runtime,
    core: &Arc<Core>,
    pools: &Arc<Pools>,
    stop: Watch<bool>,
) {
    let count = Counter::default();
    let expired = Purger {
        snapshot: Arc::clone(&core.snapshot),
        pools: Arc::clone(pools),
        gates: Arc::clone(&core.gates),
        journal: core.journal.clone(),
        streams: core.streams.clone(),
        purged: count.clone(),
        events: Arc::default(),
    };
    register_events(&core.metrics, &expired.events);
    let help = "Expired keys of idempotent requests, removed.";
    core.metrics.counter("gateway_keys_purged_total", help, &[], move || count.read());
    backend.spawn(expired.run(stop));
}

/// A figure of events: its name, its help, its kind, and how it is read at a moment in Unix milliseconds.
type EventFamily = (&'static str, &'static str, Kind, fn(&KeptEvents, u64) -> u64);

/// Registers what is known of events.
fn register_events(metrics: &Metrics, events: &Arc<EventFigures>) {
    let families: [EventFamily; 3] = [
        (
            "gateway_events_kept",
            "Events (`@emit`) that can be read, counted up to 100,000.",
            Kind::Gauge,
            |kept, _| kept.count,
        ),
        (
            "gateway_events_oldest_seconds",
            "Age of the oldest event that can be read; 0: there is none.",
            Kind::Gauge,
            |kept, now_ms| {
                let oldest = kept.oldest.and_then(|oldest| u64::try_from(oldest).ok());
                oldest.map_or(0, |oldest| now_ms.saturating_sub(oldest) / 1000)
            },
        ),
        (
            "gateway_events_purged_total",
            "Events that were kept long enough, removed by this gateway.",
            Kind::Counter,
            |kept, _| kept.purged,
        ),
    ];
    for (name, help, kind, read) in families {
        let events = Arc::clone(events);
        metrics.family(name, help, kind, move |samples| {
            let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
            let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
            for (pool, kept) in events.shown() {
                samples.add(&[("pool", &pool)], read(&kept, now_ms));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As two containers with one host's name are, each of which is its first process.
    #[test]
    fn two_starts_with_one_host_and_one_process_number_have_different_names() {
        let (one, other) = (process_name(), process_name());
        let number = format!("), process {}", std::process::id());
        assert!(one.ends_with(&number) && other.ends_with(&number), "{one} {other}");
        assert_ne!(one, other);
        // As long as the tables' column takes, with the longest name that a host may have.
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert!(one.len() - host.trim().len() + 64 <= 200, "{one}");
    }
}
