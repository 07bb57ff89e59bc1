//! Starts the threads, and ends them in order.
//!
//! ```text
//! fe-00 ..   one a core: monoio, own listeners, own connections
//! be-…       tokio: cache level 2, databases, journal's applier
//! control    tokio: admin port, signals, reload
//! ```
//! Order of the end: nothing new is begun; connections are told and finish; frontends stop; the
//! backend answers what it has and stops; logs are flushed.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use crate::backend::{
    BackendError, CLAIM_COUNT_MAX, Dispatch, Fetcher, FetcherParts, Job, Pools, run_claims,
};
use crate::cache::{Background, Cache};
use crate::config::{Config, runtime::cpus};
use crate::control::{Control, ControlStop, LoadFaults, Loaded, Origin, Reloader};
use crate::frontend::Stop;
use crate::observe::{Audit, Event, Logs, Metrics, emit};
use crate::pipeline::Core;
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
    frontends: Vec<JoinHandle<io::Result<usize>>>,
    control: ControlThread,
    drain: queue::Signal<bool>,
}

/// The control thread, and the words between it and the server.
struct ControlThread {
    thread: JoinHandle<io::Result<()>>,
    told_to_stop: queue::Answer<()>,
    drained: queue::Signal<bool>,
}

impl Server {
    fn start(loaded: Loaded, plan: Plan, logs: &Arc<Logs>) -> Result<Self, ServerError> {
        let config = Arc::new(loaded.config.clone());
        let metrics = Arc::new(Metrics::new());
        let snapshot = loaded.into_snapshot(1, &metrics)?;
        let (listeners, admin, addresses) = listen(&config)?;
        let backend = Builder::new_multi_thread()
            .worker_threads(config.runtime.backend_threads)
            .thread_name("be")
            .enable_all()
            .build()
            .map_err(machine("backend threads"))?;
        let cache = Cache::<BackendError>::new(&config.cache, Box::new(emit));
        let cache = Arc::new(cache.map_err(started)?);
        let (jobs, taken) = queue::bounded::<Job>(config.limits.backend_queue_max as usize);
        let mut core = Core::new(snapshot, Arc::clone(&cache), jobs, Arc::clone(&metrics));
        if config.cache.redis.is_some() {
            let (claims, taken) = queue::bounded(CLAIM_COUNT_MAX);
            core.claims = Some(claims);
            backend.spawn(run_claims(Arc::clone(&cache), taken));
        }
        let core = Arc::new(core);
        let sink: crate::backend::EventSink = Arc::new(emit);
        let pools = Pools::open(&config.database, backend.handle().clone(), sink);
        let pools = Arc::new(pools);
        let audit = config.logging.audit_file.as_deref().map(Audit::open);
        let parts = FetcherParts {
            snapshot: Arc::clone(&core.snapshot),
            pools: Arc::clone(&pools),
            cache: Arc::clone(&cache),
            metrics: Arc::clone(&metrics),
            audit: audit.transpose().map_err(started)?,
        };
        let fetcher = Fetcher::new(&config, parts).map_err(ServerError::Start)?;
        let dispatch = Dispatch {
            fetcher: Arc::new(fetcher),
            running_count_max: config.limits.backend_queue_max as usize,
        };
        let background = cache.spawn(backend.handle());
        let dispatch = backend.spawn(dispatch.run(taken));
        let (drain, watch) = queue::signal(false);
        let stop = Stop { drain: watch, tcp: Arc::default(), http: Arc::default() };
        let frontends = start_frontends(&core, &config, listeners, &stop)?;
        crate::control::register_metrics(&core, &pools, logs, backend.handle());
        let control = start_control(plan, &config, &core, &pools, (admin, Arc::clone(logs)))?;
        Ok(Self {
            addresses,
            core,
            backend,
            background,
            pools,
            dispatch,
            frontends,
            control,
            drain,
        })
    }

    /// Waits for the word to stop, and stops.
    fn wait(self) -> Result<(), ServerError> {
        let ControlThread { thread: control, told_to_stop, drained } = self.control;
        // An error: the control thread failed, and says why below.
        let _failed = told_to_stop.blocking_recv().is_err();
        emit(&Event::Draining);
        self.core.drain();
        self.drain.set(true);
        let mut cut_count = 0;
        for frontend in self.frontends {
            match frontend.join() {
                Ok(Ok(count)) => cut_count += count,
                Ok(Err(source)) => {
                    return Err(ServerError::Machine { what: "frontend thread".into(), source });
                }
                Err(_panic) => return Err(ServerError::Start("a frontend thread panicked".into())),
            }
        }
        drained.set(true);
        let told = control.join();
        // The last sender goes with the core: the dispatch then ends when every job is answered.
        drop(self.core);
        self.backend.block_on(async {
            let ended = tokio::time::timeout(BACKEND_END, self.dispatch).await;
            self.pools.close(Instant::now() + BACKEND_END).await;
            drop(ended);
        });
        drop(self.background);
        self.backend.shutdown_timeout(BACKEND_END);
        emit(&Event::Stopped { cut_count });
        match told {
            Ok(told) => told.map_err(machine("control thread")),
            Err(_panic) => Err(ServerError::Start("the control thread panicked".into())),
        }
    }
}

type Listening = (Vec<frontend::BoundListeners>, TcpListener, Addresses);

/// Binds every listener before any thread is started: a port that is taken stops the start.
fn listen(config: &Config) -> Result<Listening, ServerError> {
    let (tcp, http) = (config.server.tcp.address, config.server.http.address);
    let (listeners, tcp, http) = frontend::bind(tcp, http, config.runtime.frontend_threads)
        .map_err(machine(format!("cannot listen on {tcp} and {http}")))?;
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
) -> Result<Vec<JoinHandle<io::Result<usize>>>, ServerError> {
    let cpus = cpus();
    let mut threads = Vec::with_capacity(listeners.len());
    for (index, listeners) in listeners.into_iter().enumerate() {
        let cpu = cpus.get(index % cpus.len().max(1)).copied().filter(|_| config.runtime.pin);
        let thread = frontend::spawn(index, cpu, Arc::clone(core), listeners, stop.clone());
        threads.push(thread.map_err(machine("frontend thread"))?);
    }
    Ok(threads)
}

fn start_control(
    plan: Plan,
    config: &Config,
    core: &Arc<Core>,
    pools: &Arc<Pools>,
    (admin, logs): (TcpListener, Arc<Logs>),
) -> Result<ControlThread, ServerError> {
    let reloader = Reloader {
        paths: crate::control::watch_paths(&plan.origin, config),
        origin: plan.origin,
        samples_allowed: plan.samples_allowed,
        logs,
    };
    let (told, told_to_stop) = queue::reply();
    let (drained, watch) = queue::signal(false);
    let stop = ControlStop { told, drained: watch };
    let control = Control { core: Arc::clone(core), pools: Arc::clone(pools), reloader, stop };
    let thread = std::thread::Builder::new().name("control".into()).spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(control.run(admin))
    });
    let thread = thread.map_err(machine("control thread"))?;
    Ok(ControlThread { thread, told_to_stop, drained })
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
