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

mod machine;
mod node;
mod orders;
mod threads;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::backend::switch::verify::Sampler;
use crate::backend::{BackendError, Dispatch, Fetcher, FetcherParts, IdSource, Job, Pools};
use crate::cache::{Background, Cache};
use crate::config::Config;
use crate::control::{Control, LoadFaults, Loaded, Origin, Reloader};
use crate::frontend::{self, Stop};
use crate::observe::{Audit, Event, Logs, Metrics, emit};
use crate::pipeline::Core;
use crate::queue;
use crate::queue::Notice;
use node::HeldNode;
use orders::{Applying, end_journal, open_streams, spawn_purger, start_journal};
use threads::{
    Frontend, backend_runtime, control_runtime, listen, spawn_control, start_frontends,
    wait_until_ready,
};

pub use threads::CommandRuntime;

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
    machine::prepare(&loaded.config);
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
    claims: [frontend::Claim; 2],
    core: Arc<Core>,
    backend: Runtime,
    background: Background,
    pools: Arc<Pools>,
    dispatch: tokio::task::JoinHandle<()>,
    stop_dispatch: queue::Signal<bool>,
    applying: Applying,
    node: Option<HeldNode>,
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
        let warnings = loaded.warnings.clone();
        let metrics = Arc::new(Metrics::new());
        let snapshot = loaded.into_snapshot(1, &metrics)?;
        // First of all, so that a signal that comes while the rest starts is not lost.
        let (control, signals) = control_runtime()?;
        let (frontend::Bound { threads, claims, .. }, admin, addresses) = listen(&config)?;
        let (board, heard) = queue::notices(threads.len() + 2);
        let (journal, journal_thread) = start_journal(&config, &snapshot, &metrics, &board)?;
        let backend = backend_runtime(&config)?;
        let node = HeldNode::take(&config, addresses.admin, &backend)?;
        let cache = Cache::<BackendError>::new(&config.cache, Box::new(emit));
        let cache = Arc::new(cache.map_err(started)?);
        let (jobs, taken) = queue::bounded::<Job>(config.limits.backend_queue_max as usize);
        let ids = Arc::new(id_source(&config)?);
        let core = Core::new(snapshot, Arc::clone(&cache), jobs, Arc::clone(&metrics), ids);
        let (streams, producer) = open_streams(&config, &metrics)?;
        let pools = Pools::open(&config.database, backend.handle().clone(), Arc::new(emit));
        let pools = Arc::new(pools);
        let core = core.with_journal(journal).with_streams(streams);
        let core = Arc::new(core.with_pools(Arc::clone(&pools)));
        let sampler = Arc::<Sampler>::default();
        let dispatch = dispatch(&config, &core, &pools, &sampler)?;
        let background = cache.spawn(backend.handle());
        let (stop_dispatch, stop) = queue::signal(false);
        spawn_purger(&backend, &core, &pools, stop.clone());
        let dispatch = backend.spawn(dispatch.run(taken, stop));
        let applying = Applying::start(&core, (&pools, &sampler), producer, &backend);
        let (drain, watch) = queue::signal(false);
        let stop = Stop { drain: watch, tcp: Arc::default(), http: Arc::default() };
        crate::control::register_metrics(&core, &pools, logs, backend.handle());
        let frontends = start_frontends(&core, &config, threads, &stop, &board)?;
        let frontends = wait_until_ready(&heard, frontends, core.journal.is_some())?;
        let reloader = Reloader {
            paths: crate::control::watch_paths(&plan.origin, &config),
            origin: plan.origin,
            samples_allowed: plan.samples_allowed,
            logs: Arc::clone(logs),
            warnings,
        };
        let (stop_control, stopped) = queue::signal(false);
        let work = Control { core: Arc::clone(&core), pools: Arc::clone(&pools), reloader };
        let notices = board.of("control");
        let serve = move || control.block_on(work.run(admin, signals, &notices, stopped));
        let control = spawn_control(serve)?;
        Ok(Self {
            addresses,
            claims,
            core,
            backend,
            background,
            pools,
            dispatch,
            stop_dispatch,
            applying,
            node,
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
        // The next gateway may listen from here on, whichever way it wants to.
        drop(self.claims);
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
            tokio::join!(self.pools.close(Instant::now() + BACKEND_END), break_off());
            if let Some(node) = self.node {
                node.give_back().await;
            }
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

/// Ends what Oracle is still at: everybody had their time, and its threads end with their calls only.
#[cfg(feature = "oracle")]
async fn break_off() {
    let left = crate::backend::break_off(Instant::now() + BACKEND_END).await;
    if left > 0 {
        tracing::warn!(left, "calls of Oracle are not answered and go with the process");
    }
}

#[cfg(not(feature = "oracle"))]
async fn break_off() {}

/// What takes jobs and does them.
fn dispatch(
    config: &Config,
    core: &Core,
    pools: &Arc<Pools>,
    sampler: &Arc<Sampler>,
) -> Result<Dispatch, ServerError> {
    let audit = config.logging.audit_file.as_deref().map(Audit::open);
    let parts = FetcherParts {
        snapshot: Arc::clone(&core.snapshot),
        pools: Arc::clone(pools),
        gates: Arc::clone(&core.gates),
        cache: Arc::clone(&core.cache),
        metrics: Arc::clone(&core.metrics),
        ids: Arc::clone(&core.ids),
        audit: audit.transpose().map_err(started)?,
        journal: core.journal.clone(),
        streams: core.streams.clone(),
        sampler: Arc::clone(sampler),
    };
    let fetcher = Fetcher::new(config, parts).map_err(ServerError::Start)?;
    let running_count_max = config.limits.backend_queue_max as usize;
    Ok(Dispatch { fetcher: Arc::new(fetcher), running_count_max })
}

/// What gives out `:_id`, under this instance's number.
fn id_source(config: &Config) -> Result<IdSource, ServerError> {
    let node = config.runtime.node;
    IdSource::new(node)
        .ok_or_else(|| ServerError::Start(format!("runtime.node: {node} is too high")))
}
