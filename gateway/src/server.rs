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

use crate::backend::{BackendError, Dispatch, Fetcher, Job, Pools};
use crate::cache::Cache;
use crate::config::{Config, runtime::cpus};
use crate::control::{Control, Loaded, LoadFaults, Origin, Reloader};
use crate::frontend::{Door, Stop};
use crate::observe::{Audit, Event, Logging, Metrics, emit};
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
    let logging = Logging::start(&loaded.config.logging).map_err(machine("logging"))?;
    for warning in &loaded.warnings {
        emit(&Event::ConfigWarning { warning });
    }
    let metrics = Arc::new(Metrics::new());
    let server = Server::start(loaded, plan, metrics, &logging)?;
    listening(server.addresses);
    let ended = server.wait();
    logging.finish();
    ended
}

/// A running gateway.
struct Server {
    addresses: Addresses,
    core: Arc<Core>,
    backend: Runtime,
    pools: Arc<Pools>,
    dispatch: tokio::task::JoinHandle<()>,
    frontends: Vec<JoinHandle<io::Result<usize>>>,
    control: JoinHandle<io::Result<()>>,
    drain: queue::Signal<bool>,
}

impl Server {
    fn start(
        loaded: Loaded,
        plan: Plan,
        metrics: Arc<Metrics>,
        logging: &Logging,
    ) -> Result<Self, ServerError> {
        let config = Arc::new(loaded.config.clone());
        let snapshot = loaded.into_snapshot(1, &metrics)?;
        let runtime = &config.runtime;
        let bound = frontend::bind(
            config.server.tcp.address,
            config.server.http.address,
            runtime.frontend_threads,
        );
        let (listeners, tcp, http) = bound.map_err(machine(format!(
            "cannot listen on {} and {}",
            config.server.tcp.address, config.server.http.address
        )))?;
        let admin = TcpListener::bind(config.admin.address)
            .map_err(machine(format!("cannot listen on {}", config.admin.address)))?;
        let addresses =
            Addresses { tcp, http, admin: admin.local_addr().map_err(machine("admin port"))? };
        let backend = Builder::new_multi_thread()
            .worker_threads(runtime.backend_threads)
            .thread_name("be")
            .enable_all()
            .build()
            .map_err(machine("backend threads"))?;

        let cache = Cache::<BackendError>::new(&config.cache, Box::new(|event| emit(event)));
        let cache = Arc::new(cache.map_err(|error| ServerError::Start(error.to_string()))?);
        let (jobs, taken) = queue::bounded::<Job>(config.limits.backend_queue_max as usize);
        let core = Core::new(snapshot, Arc::clone(&cache), jobs, Arc::clone(&metrics));
        let core = Arc::new(core.map_err(|error| ServerError::Start(error.to_string()))?);
        let pools = backend.block_on(Pools::open(&config.database));
        let audit = match &config.logging.audit_file {
            Some(path) => Some(Audit::open(path).map_err(machine("logging.audit_file"))?),
            None => None,
        };
        let fetcher = Fetcher::new(&config, Arc::clone(&core.snapshot), &pools, &cache, audit)
            .map_err(|error| ServerError::Start(error.to_string()))?;
        let dispatch = Dispatch {
            fetcher: Arc::new(fetcher),
            running_count_max: config.limits.backend_queue_max as usize,
        };
        cache.spawn(backend.handle());
        let dispatch = backend.spawn(dispatch.run(taken));

        let (drain, watch) = queue::signal(false);
        let stop = Stop { drain: watch, tcp: Arc::default(), http: Arc::default() };
        let frontends = start_frontends(&core, &config, listeners, &stop)?;
        register_gauges(&metrics, &core, &pools, &stop, logging);
        let control = start_control(plan, &config, &core, &pools, (admin, metrics))?;
        Ok(Self { addresses, core, backend, pools, dispatch, frontends, control, drain })
    }

    /// Waits for the word to stop, and stops.
    fn wait(self) -> Result<(), ServerError> {
        let told = self.control.join();
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
        // The last sender goes with the core: the dispatch then ends when every job is answered.
        drop(self.core);
        self.backend.block_on(async {
            let ended = tokio::time::timeout(BACKEND_END, self.dispatch).await;
            self.pools.close().await;
            drop(ended);
        });
        self.backend.shutdown_timeout(BACKEND_END);
        emit(&Event::Stopped { cut_count });
        match told {
            Ok(told) => told.map_err(machine("control thread")),
            Err(_panic) => Err(ServerError::Start("the control thread panicked".into())),
        }
    }
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
    (admin, metrics): (TcpListener, Arc<Metrics>),
) -> Result<JoinHandle<io::Result<()>>, ServerError> {
    let reloader = Reloader {
        paths: crate::control::watch_paths(&plan.origin, config),
        origin: plan.origin,
        samples_allowed: plan.samples_allowed,
        metrics,
        apply_logging: Logging::apply,
    };
    let control = Control { core: Arc::clone(core), pools: Arc::clone(pools), reloader };
    let thread = std::thread::Builder::new().name("control".into()).spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(control.run(admin))
    });
    thread.map_err(machine("control thread"))
}
