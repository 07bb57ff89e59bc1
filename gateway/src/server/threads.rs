//! Ports and threads: bound before anything is started, and waited for until they work.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Runtime};

use super::{Addresses, ServerError, machine};
use crate::config::{Config, runtime::cpus};
use crate::control::Signals;
use crate::frontend::{self, Sharing, Stop};
use crate::pipeline::Core;
use crate::queue::{Notice, NoticeBoard};

pub(super) type Listening = (frontend::Bound, TcpListener, Addresses);

/// Binds every listener before any thread is started: a port that is taken stops the start.
pub(super) fn listen(config: &Config) -> Result<Listening, ServerError> {
    let (tcp, http) = (config.server.tcp.address, config.server.http.address);
    let sharing = if config.server.reuse_port { Sharing::Processes } else { Sharing::Own };
    let bound = frontend::bind(tcp, http, config.runtime.frontend_threads, sharing);
    let bound = bound.map_err(|error| {
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
    let addresses = Addresses { tcp: bound.tcp, http: bound.http, admin: address };
    Ok((bound, admin, addresses))
}

pub(super) fn start_frontends(
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

pub(super) type Frontend = JoinHandle<io::Result<usize>>;

/// Waits until each of the threads does its work, and so does the journal's where there is one.
///
/// # Errors
///
/// What the machine told the one that ended instead.
pub(super) fn wait_until_ready(
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

/// The backend threads' runtime.
pub(super) fn backend_runtime(config: &Config) -> Result<Runtime, ServerError> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(config.runtime.backend_threads).thread_name("be").enable_all();
    builder.build().map_err(machine("backend threads"))
}

/// The control thread's runtime, and the signals that it hears from now on.
pub(super) fn control_runtime() -> Result<(Runtime, Signals), ServerError> {
    let control = Builder::new_current_thread().enable_all().build();
    let control = control.map_err(machine("control thread"))?;
    let signals = {
        let _within = control.enter();
        Signals::install().map_err(machine("signals"))?
    };
    Ok((control, signals))
}

/// Starts the control thread.
pub(super) fn spawn_control(
    serve: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> Result<JoinHandle<io::Result<()>>, ServerError> {
    let thread = std::thread::Builder::new().name("control".into());
    thread.spawn(serve).map_err(machine("control thread"))
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

    /// Runs a future to its end, or until the process is told to stop: `None`, and the future is dropped. What it
    /// made and owns is then cleaned up, which a signal on its own would not do.
    ///
    /// # Errors
    ///
    /// The system's, when it gives no word of signals.
    pub fn until_told_to_stop<F: Future>(&self, future: F) -> io::Result<Option<F::Output>> {
        self.0.block_on(async {
            let mut signals = Signals::install()?;
            tokio::select! {
                output = future => Ok(Some(output)),
                () = signals.told_to_stop() => Ok(None),
            }
        })
    }

    /// Runs a future to its end.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.0.block_on(future)
    }
}
