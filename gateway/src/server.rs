//! Starts the threads, and ends them in order.
//!
//! ```text
//! fe-00 ..   one a core: monoio, own listeners, own connections
//! be-…       tokio: cache level 2, databases, journal's applier
//! control    tokio: admin port, signals, reload
//! journal    tokio-uring: orders to disk (where `journal.path` is set)
//! ```
//! Order of the end: nothing new is begun; connections are told and finish; frontends stop; the
//! backend answers what it has and stops; the journal writes what it took; logs are flushed.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use crate::backend::{
    Applier, BackendError, Dispatch, Fetcher, FetcherParts, IdSource, Job, Keeper, Pools, Purger,
};
use crate::cache::{Background, Cache};
use crate::config::{Config, runtime::cpus};
use crate::control::{Control, LoadFaults, Loaded, Origin, Reloader, Signals, check_queued};
use crate::frontend::{Sharing, Stop};
use crate::journal::Journal;
use crate::observe::{Audit, Counter, Event, Logs, Metrics, emit};
use crate::pipeline::Core;
use crate::queue::{Notice, NoticeBoard, Watch};
use crate::snapshot::Snapshot;
use crate::stream::{Producer, Streams};
use crate::{frontend, queue};

/// How long the backend may take to end after the last frontend has.
const BACKEND_END: Duration = Duration::from_secs(5);

/// What to serve.
#[derive(Debug)]
pub struct Plan {
    /// Where the configuration comes from.
    pub origin: Origin,
    /// Whether the demo's published secrets may be used: in the demo only.
    pub samples_allowed: bool,
}

/// Why the gateway did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Something that was written is wrong.
    #[error("{0}")]
    Faults(#[from] LoadFaults),
    /// The machine refused something.
    #[error("{what}: {source}")]
    Machine {
        /// What was tried.
        what: String,
        /// What the machine said.
        source: io::Error,
    },
    /// Something could not be put together.
    #[error("{0}")]
    Start(String),
}

fn machine(what: impl Into<String>) -> impl FnOnce(io::Error) -> ServerError {
    let what = what.into();
    move |source| ServerError::Machine { what, source }
}

/// What could not be put together, with its causes.
fn started(error: impl std::error::Error) -> ServerError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    ServerError::Start(text)
}

/// Where a started gateway listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Game servers.
    pub tcp: SocketAddr,
    /// Web and admin clients.
    pub http: SocketAddr,
    /// Operators.
    pub admin: SocketAddr,
}

/// Serves until the process is told to stop.
///
/// - `listening`: called once, when every listener is bound and served.
///
/// # Errors
///
/// [`ServerError`] when it cannot start; a running gateway stops with `Ok`.
pub fn run(plan: Plan, listening: impl FnOnce(Addresses)) -> Result<(), ServerError> {
    let loaded = Loaded::read(&plan.origin, plan.samples_allowed)?;
    let logs = Logs::start(&loaded.config.logging).map_err(started)?;
    let logs = Arc::new(logs);
    for text in &loaded.warnings {
        emit(&Event::ConfigWarning { text });
    }
    let server = Server::start(loaded, plan, &logs)?;
    let Addresses { tcp, http, admin } = server.addresses;
    emit(&Event::Started { summary: &format!("tcp={tcp} http={http} admin={admin}") });
    listening(server.addresses);
    // The logs are dropped last: what waits is then written out.
    server.wait()
}

/// A running gateway.
struct Server {
    addresses: Addresses,
    core: Arc<Core>,
    backend: Runtime,
    background: Background,
    pools: Arc<Pools>,
    dispatch: tokio::task::JoinHandle<()>,
    stop_dispatch: queue::Signal<bool>,
    applying: Applying,
    frontends: Vec<Frontend>,
    journal: Option<JoinHandle<io::Result<()>>>,
    control: JoinHandle<io::Result<()>>,
    stop_control: queue::Signal<bool>,
    drain: queue::Signal<bool>,
    heard: std::sync::mpsc::Receiver<(String, Notice)>,
}

impl Server {
    fn start(loaded: Loaded, plan: Plan, logs: &Arc<Logs>) -> Result<Self, ServerError> {
        let config = Arc::new(loaded.config.clone());
        let metrics = Arc::new(Metrics::new());
        let snapshot = loaded.into_snapshot(1, &metrics)?;
        // First of all, so that a signal that comes while the rest starts is not lost.
        let (control, signals) = control_runtime()?;
        let (listeners, admin, addresses) = listen(&config)?;
        let (board, heard) = queue::notices(listeners.len() + 2);
        let (journal, journal_thread) = start_journal(&config, &snapshot, &metrics, &board)?;
        let backend = Builder::new_multi_thread()
            .worker_threads(config.runtime.backend_threads)
            .thread_name("be")
            .enable_all()
            .build()
            .map_err(machine("backend threads"))?;
        let cache = Cache::<BackendError>::new(&config.cache, Box::new(emit));
        let cache = Arc::new(cache.map_err(started)?);
        let (jobs, taken) = queue::bounded::<Job>(config.limits.backend_queue_max as usize);
        let ids = Arc::new(id_source(&config)?);
        let core = Core::new(snapshot, Arc::clone(&cache), jobs, Arc::clone(&metrics), ids);
        let (streams, producer) = open_streams(&config, &metrics)?;
        let core = Arc::new(core.with_journal(journal).with_streams(streams));
        let sink: crate::backend::EventSink = Arc::new(emit);
        let pools = Arc::new(Pools::open(&config.database, backend.handle().clone(), sink));
        let audit = config.logging.audit_file.as_deref().map(Audit::open);
        let parts = FetcherParts {
            snapshot: Arc::clone(&core.snapshot),
            pools: Arc::clone(&pools),
            cache: Arc::clone(&cache),
            metrics: Arc::clone(&metrics),
            ids: Arc::clone(&core.ids),
            audit: audit.transpose().map_err(started)?,
            journal: core.journal.clone(),
            streams: core.streams.clone(),
        };
        let fetcher = Fetcher::new(&config, parts).map_err(ServerError::Start)?;
        let dispatch = Dispatch {
            fetcher: Arc::new(fetcher),
            running_count_max: config.limits.backend_queue_max as usize,
        };
        let background = cache.spawn(backend.handle());
        let (stop_dispatch, stop) = queue::signal(false);
        spawn_purger(&backend, &core, &pools, stop.clone());
        let dispatch = backend.spawn(dispatch.run(taken, stop));
        let applying = Applying::start(&core, &pools, producer, &backend);
        let (drain, watch) = queue::signal(false);
        let stop = Stop { drain: watch, tcp: Arc::default(), http: Arc::default() };
        crate::control::register_metrics(&core, &pools, logs, backend.handle());
        let frontends = start_frontends(&core, &config, listeners, &stop, &board)?;
        let frontends = wait_until_ready(&heard, frontends, core.journal.is_some())?;
        let reloader = Reloader {
            paths: crate::control::watch_paths(&plan.origin, &config),
            origin: plan.origin,
            samples_allowed: plan.samples_allowed,
            logs: Arc::clone(logs),
        };
        let (stop_control, stopped) = queue::signal(false);
        let work = Control { core: Arc::clone(&core), pools: Arc::clone(&pools), reloader };
        let notices = board.of("control");
        let thread = std::thread::Builder::new().name("control".into());
        let control =
            thread.spawn(move || control.block_on(work.run(admin, signals, &notices, stopped)));
        let control = control.map_err(machine("control thread"))?;
        Ok(Self {
            addresses,
            core,
            backend,
            background,
            pools,
            dispatch,
            stop_dispatch,
            applying,
            frontends,
            journal: journal_thread,
            control,
            stop_control,
            drain,
            heard,
        })
    }

    /// Waits for the word to stop, or for a thread that ends without it, and stops.
    fn wait(self) -> Result<(), ServerError> {
        let lost = self.wait_for_the_end();
        if let Some(thread) = &lost {
            emit(&Event::ThreadLost { thread, message: "it ended on its own; the gateway stops" });
        }
        emit(&Event::Draining);
        self.core.drain();
        self.drain.set(true);
        let mut cut_count = 0;
        let mut failed = None;
        for frontend in self.frontends {
            match frontend.join() {
                Ok(Ok(count)) => cut_count += count,
                Ok(Err(source)) => {
                    failed = Some(ServerError::Machine { what: "frontend thread".into(), source });
                }
                Err(_panic) => {
                    failed = Some(ServerError::Start("a frontend thread panicked".into()));
                }
            }
        }
        // Nobody is left to hand anything over; what was taken is still answered.
        self.stop_dispatch.set(true);
        self.backend.block_on(async {
            let ended = tokio::time::timeout(BACKEND_END, self.dispatch).await;
            if let Some(streams) = &self.core.streams {
                streams.stop();
            }
            self.applying.end().await;
            self.pools.close(Instant::now() + BACKEND_END).await;
            drop(ended);
        });
        drop(self.background);
        self.backend.shutdown_timeout(BACKEND_END);
        if let Some(error) = end_journal(self.core.journal.as_deref(), self.journal) {
            failed = Some(error);
        }
        self.stop_control.set(true);
        match self.control.join() {
            Ok(Ok(())) => {}
            Ok(Err(source)) => {
                failed = Some(ServerError::Machine { what: "control thread".into(), source });
            }
            Err(_panic) => failed = Some(ServerError::Start("the control thread panicked".into())),
        }
        emit(&Event::Stopped { cut_count });
        match (failed, lost) {
            (Some(error), _) => Err(error),
            (None, Some(thread)) => Err(ServerError::Start(format!("thread {thread} ended"))),
            (None, None) => Ok(()),
        }
    }

    /// Returns when the process is told to stop: `None`; or the thread that ended without that.
    fn wait_for_the_end(&self) -> Option<String> {
        loop {
            match self.heard.recv() {
                Ok((_, Notice::Ready)) => {}
                Ok((thread, Notice::Ended)) => return Some(thread),
                Ok((_, Notice::Stop)) | Err(_) => return None,
            }
        }
    }
}

/// What sends queued writes to Redis and applies those of journal and streams, on the backend threads.
struct Applying {
    stop: queue::Signal<bool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Applying {
    /// Starts it, as far as there is a journal, or there are streams.
    fn start(
        core: &Arc<Core>,
        pools: &Arc<Pools>,
        producer: Option<Producer>,
        backend: &Runtime,
    ) -> Self {
        let (stop, stopped) = queue::signal(false);
        let mut tasks = Vec::new();
        if let Some(journal) = &core.journal {
            let applier = Applier {
                journal: Arc::clone(journal),
                snapshot: Arc::clone(&core.snapshot),
                pools: Arc::clone(pools),
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
                cache: Arc::clone(&core.cache),
                metrics: Arc::clone(&core.metrics),
            };
            tasks.push(backend.spawn(producer.run()));
            tasks.push(backend.spawn(keeper.run(stopped)));
        }
        Self { stop, tasks }
    }

    /// Has it finish what is under way. What is left is applied after the next start.
    async fn end(self) {
        self.stop.set(true);
        let all = async {
            for task in self.tasks {
                let _ended_or_panicked = task.await.is_ok();
            }
        };
        let _ended_or_late = tokio::time::timeout(BACKEND_END, all).await.is_ok();
    }
}

type Frontend = JoinHandle<io::Result<usize>>;

/// Waits until each of the threads does its work, and so does the journal's where there is one.
///
/// # Errors
///
/// What the machine told the one that ended instead.
fn wait_until_ready(
    heard: &std::sync::mpsc::Receiver<(String, Notice)>,
    mut threads: Vec<Frontend>,
    has_journal: bool,
) -> Result<Vec<Frontend>, ServerError> {
    for _ in 0..threads.len() + usize::from(has_journal) {
        match heard.recv() {
            Ok((_, Notice::Ready)) => {}
            Ok((name, Notice::Ended | Notice::Stop)) => {
                let is_own = |thread: &Frontend| thread.thread().name() == Some(&*name);
                let ended =
                    threads.iter().position(is_own).map(|at| threads.swap_remove(at).join());
                return Err(match ended {
                    Some(Ok(Err(error))) => machine(format!(
                        "thread {name} could not start; does the kernel allow io_uring? \
                         (`runtime.io_uring: preferred` runs without)"
                    ))(error),
                    _ => ServerError::Start(format!("thread {name} ended while it started")),
                });
            }
            Err(_) => break,
        }
    }
    Ok(threads)
}

/// Begins to remove expired keys, until `stop` is true.
fn spawn_purger(backend: &Runtime, core: &Arc<Core>, pools: &Arc<Pools>, stop: Watch<bool>) {
    let count = Counter::default();
    let expired = Purger {
        snapshot: Arc::clone(&core.snapshot),
        pools: Arc::clone(pools),
        journal: core.journal.clone(),
        streams: core.streams.clone(),
        purged: count.clone(),
    };
    let help = "Expired keys of idempotent requests, removed.";
    core.metrics.counter("gateway_keys_purged_total", help, &[], move || count.read());
    backend.spawn(expired.run(stop));
}

/// What gives out `:_id`, under this instance's number.
fn id_source(config: &Config) -> Result<IdSource, ServerError> {
    let node = config.runtime.node;
    IdSource::new(node)
        .ok_or_else(|| ServerError::Start(format!("runtime.node: {node} is too high")))
}

type Listening = (Vec<frontend::BoundListeners>, TcpListener, Addresses);

/// Binds every listener before any thread is started: a port that is taken stops the start.
fn listen(config: &Config) -> Result<Listening, ServerError> {
    let (tcp, http) = (config.server.tcp.address, config.server.http.address);
    let sharing = if config.server.reuse_port { Sharing::Processes } else { Sharing::Own };
    let bound = frontend::bind(tcp, http, config.runtime.frontend_threads, sharing);
    let (listeners, tcp, http) = bound.map_err(|error| {
        let taken = match error.kind() {
            io::ErrorKind::AddrInUse => {
                ": another process listens there (several gateways on purpose: `server.reuse_port: true`)"
            }
            _ => "",
        };
        machine(format!("cannot listen on {tcp} and {http}{taken}"))(error)
    })?;
    let admin = TcpListener::bind(config.admin.address)
        .map_err(machine(format!("cannot listen on {}", config.admin.address)))?;
    let address = admin.local_addr().map_err(machine("admin port"))?;
    Ok((listeners, admin, Addresses { tcp, http, admin: address }))
}

fn start_frontends(
    core: &Arc<Core>,
    config: &Config,
    listeners: Vec<frontend::BoundListeners>,
    stop: &Stop,
    board: &NoticeBoard,
) -> Result<Vec<Frontend>, ServerError> {
    let cpus = cpus();
    let mut threads = Vec::with_capacity(listeners.len());
    for (index, listeners) in listeners.into_iter().enumerate() {
        let cpu = cpus.get(index % cpus.len().max(1)).copied().filter(|_| config.runtime.pin);
        let thread = frontend::spawn(index, cpu, Arc::clone(core), listeners, stop.clone(), board);
        threads.push(thread.map_err(machine("frontend thread"))?);
    }
    Ok(threads)
}

type StartedJournal = (Option<Arc<Journal>>, Option<JoinHandle<io::Result<()>>>);

/// Starts the journal, where one is configured, and sees that what waits in it can be applied.
fn start_journal(
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
    journal.register_metrics(metrics);
    Ok((Some(journal), Some(thread)))
}

type OpenedStreams = (Option<Arc<Streams>>, Option<Producer>);

/// The streams, where there is a section `queue`; connects to nothing yet.
fn open_streams(config: &Config, metrics: &Metrics) -> Result<OpenedStreams, ServerError> {
    let Some(queue) = &config.queue else { return Ok((None, None)) };
    let (streams, producer) = Streams::new(queue).map_err(started)?;
    streams.register_metrics(metrics);
    Ok((Some(streams), Some(producer)))
}

/// Has the journal write what it took over, and waits for that.
fn end_journal(
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

/// The control thread's runtime, and the signals that it hears from now on.
fn control_runtime() -> Result<(Runtime, Signals), ServerError> {
    let control = Builder::new_current_thread().enable_all().build();
    let control = control.map_err(machine("control thread"))?;
    let signals = {
        let _within = control.enter();
        Signals::install().map_err(machine("signals"))?
    };
    Ok((control, signals))
}

/// A tokio runtime for a command that asks databases and then ends.
#[derive(Debug)]
pub struct CommandRuntime(Runtime);

impl CommandRuntime {
    /// Makes it, on the calling thread.
    ///
    /// # Errors
    ///
    /// The machine's.
    pub fn new() -> io::Result<Self> {
        Builder::new_current_thread().enable_all().build().map(Self)
    }

    /// Runs a future to its end.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.0.block_on(future)
    }
}
