//! One frontend thread: its runtime, its listeners, its connections, its end.

use std::io;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use monoio::net::{TcpListener, TcpStream};
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};
use nix::sys::socket::{Shutdown, shutdown};

use super::admission::{Admission, Door};
use super::buffer::BufferPool;
use super::catch::catch;
use super::database::Reads;
use super::listener::BoundListeners;
use super::parking::{Lot, Parked};
use super::registry::{Nudge, Registry, whole_seconds};
use super::{http, tcp};
use crate::config::IoUring;
use crate::observe::{Event, Transport, emit};
use crate::pipeline::{Core, Learned, Worker};
use crate::queue::{Notice, NoticeBoard, Notices};

/// How the threads are told to stop, and what they count.
#[derive(Clone, Debug)]
pub struct Stop {
    /// `true` from the moment of draining.
    pub drain: crate::queue::Watch<bool>,
    /// Open connections of the TCP protocol.
    pub tcp: Arc<Door>,
    /// Open connections of HTTP.
    pub http: Arc<Door>,
}

/// What a connection needs of its thread.
#[derive(Debug)]
pub(super) struct Thread {
    pub(super) worker: Worker,
    pub(super) buffers: BufferPool,
    pub(super) scratch: tcp::Scratch,
    /// Calls of its clients that look like one before.
    pub(super) learned: Learned,
    /// Requests over HTTP that do.
    pub(super) alike: http::Learned,
    pub(super) dates: http::Dates,
    pub(super) tcp: Rc<Registry>,
    pub(super) http: Rc<Registry>,
    /// Silent connections of both.
    pub(super) lot: Lot,
    /// Whether it waits with a ring, and not with epoll.
    #[cfg_attr(not(feature = "mysql"), expect(dead_code, reason = "only `database` asks"))]
    pub(super) has_ring: bool,
}

impl Thread {
    /// Runs a part of a connection's work beside its own task. A panic ends that part, and is told.
    ///
    /// - `lost`: called after a panic, to end the connection that the part belongs to.
    pub(super) fn spawn(
        self: &Rc<Self>,
        work: impl Future<Output = ()> + 'static,
        lost: impl FnOnce() + 'static,
    ) {
        let thread = Rc::clone(self);
        monoio::spawn(async move {
            if let Err(message) = catch(work).await {
                thread.panicked(&message);
                lost();
            }
        });
    }

    /// Serves a connection until it ends or is parked.
    ///
    /// - `serving`: gives what is to be parked.
    fn serve(
        self: Rc<Self>,
        admission: Admission,
        serving: impl Future<Output = Option<Parked>> + 'static,
    ) {
        // Made out here: the task would keep room for what it is made of.
        let serving = catch(serving);
        monoio::spawn(async move {
            match serving.await {
                Ok(None) => {}
                Ok(Some(parked)) => {
                    if let Err((parked, admission)) = self.lot.park(parked, admission) {
                        self.resume(parked, admission);
                    }
                }
                Err(message) => self.panicked(&message),
            }
        });
    }

    /// Gives a parked connection a task again.
    fn resume(self: Rc<Self>, parked: Parked, admission: Admission) {
        let thread = Rc::clone(&self);
        match parked {
            Parked::Tcp(parked) => self.serve(admission, tcp::resume(thread, *parked)),
            Parked::Http(parked) => self.serve(admission, http::resume(thread, *parked)),
        }
    }

    /// Gives a task to each parked connection that something has arrived for.
    async fn watch_parked(self: Rc<Self>, watch: TcpStream) {
        loop {
            match self.lot.woken(&watch).await {
                Ok(woken) => {
                    for (parked, admission) in woken {
                        Rc::clone(&self).resume(parked, admission);
                    }
                }
                // The kernel has no reason to; whatever it was, it is not to take the CPU.
                Err(_) => monoio::time::sleep(ACCEPT_BACKOFF).await,
            }
        }
    }

    /// A second has passed.
    fn sweep(&self) {
        let park_after = whole_seconds(self.worker.snapshot().config.server.park_after);
        for registry in [&self.tcp, &self.http] {
            registry.park_after(park_after);
            registry.sweep();
            registry.nudge_all(Nudge::Second);
        }
        self.lot.sweep();
        self.worker.sweep();
    }

    /// Counts and tells a panic that was caught.
    pub(super) fn panicked(&self, message: &str) {
        self.worker.recorder.panicked();
        emit(&Event::ConnectionPanicked { message });
    }
}

#[cfg(test)]
impl Thread {
    /// A thread's things without its sockets and its ring.
    pub(super) fn bare(worker: Worker) -> Self {
        Self {
            worker,
            buffers: BufferPool::default(),
            scratch: tcp::Scratch::default(),
            learned: Learned::default(),
            alike: http::Learned::default(),
            dates: http::Dates::default(),
            tcp: Rc::default(),
            http: Rc::default(),
            lot: Lot::new().unwrap(),
            has_ring: false,
        }
    }
}

/// Starts a frontend thread.
///
/// - `cpu`: the CPU that it is pinned to; `None`: not pinned.
/// - `board`: where it says that it serves, and that it ended.
///
/// # Errors
///
/// When the thread cannot be started.
pub fn spawn(
    index: usize,
    cpu: Option<usize>,
    core: Arc<Core>,
    listeners: BoundListeners,
    stop: Stop,
    board: &NoticeBoard,
) -> io::Result<JoinHandle<io::Result<usize>>> {
    let name = format!("fe-{index:02}");
    let notices = board.of(name.as_str());
    std::thread::Builder::new().name(name).spawn(move || {
        if let Some(cpu) = cpu {
            // A CPU that left the process' set in the meantime is no reason not to serve.
            let _unpinned = monoio::utils::bind_to_cpu_set([cpu]);
        }
        run(&core, listeners, stop, &notices)
    })
}

fn run(
    core: &Arc<Core>,
    listeners: BoundListeners,
    stop: Stop,
    notices: &Notices,
) -> io::Result<usize> {
    let runtime = core.snapshot.load().config.runtime.clone();
    let serve = |has_ring| serve(Arc::clone(core), has_ring, listeners, stop, notices);
    if runtime.io_uring != IoUring::Off {
        match uring(runtime.ring_entries) {
            Ok(mut ring) => return ring.block_on(serve(true)),
            Err(error) if runtime.io_uring == IoUring::Required => return Err(error),
            Err(error) => emit(&Event::IoUringUnavailable { reason: &error.to_string() }),
        }
    }
    RuntimeBuilder::<LegacyDriver>::new().enable_timer().build()?.block_on(serve(false))
}

/// A ring's builder with the flags of newer kernels.
pub(super) fn ring_flags() -> io_uring::Builder {
    let mut flags = io_uring::IoUring::builder();
    flags.setup_coop_taskrun().setup_single_issuer();
    flags
}

type Ring = monoio::Runtime<monoio::time::TimeDriver<IoUringDriver>>;

/// Makes a ring with the flags of newer kernels, or without where they are refused.
///
/// `COOP_TASKRUN` (Linux 5.19) and `SINGLE_ISSUER` (6.0) spare interrupts and locks; without them the
/// HTTP rate was 41 % lower. Never SQPOLL: monoio panics when its queue is full.
fn uring(entries: u32) -> io::Result<Ring> {
    let flags = ring_flags();
    let builder = RuntimeBuilder::<IoUringDriver>::new().with_entries(entries).enable_timer();
    match builder.uring_builder(flags).build() {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            emit(&Event::RingFlagsRefused);
            let plain = RuntimeBuilder::<IoUringDriver>::new().with_entries(entries);
            plain.enable_timer().build()
        }
        made => made,
    }
}

/// Accepts and serves until the thread has drained. Returns how many requests were cut off.
async fn serve(
    core: Arc<Core>,
    has_ring: bool,
    listeners: BoundListeners,
    stop: Stop,
    notices: &Notices,
) -> io::Result<usize> {
    let reads = Reads::new(&core);
    let thread = Rc::new(Thread {
        worker: reads.give_to(Worker::new(core)),
        buffers: BufferPool::default(),
        scratch: tcp::Scratch::default(),
        learned: Learned::default(),
        alike: http::Learned::default(),
        dates: http::Dates::default(),
        tcp: Rc::default(),
        http: Rc::default(),
        lot: Lot::new()?,
        has_ring,
    });
    reads.belong(&thread);
    let listening = [listeners.tcp.as_raw_fd(), listeners.http.as_raw_fd()];
    let tcp_listener = TcpListener::from_std(listeners.tcp)?;
    let http_listener = TcpListener::from_std(listeners.http)?;
    let accept = |listener, door, transport| Accept {
        thread: Rc::clone(&thread),
        listener,
        door,
        transport,
    };
    let tcp_door = Arc::clone(&stop.tcp);
    monoio::spawn(accept(tcp_listener, tcp_door, Transport::Tcp).run(tcp::serve));
    let http_door = Arc::clone(&stop.http);
    monoio::spawn(accept(http_listener, http_door, Transport::Http).run(http::serve));
    let sweeper = Rc::clone(&thread);
    let swept = reads.clone();
    monoio::spawn(async move {
        loop {
            monoio::time::sleep(Duration::from_secs(1)).await;
            swept.sweep();
            sweeper.sweep();
        }
    });
    monoio::spawn(Rc::clone(&thread).watch_parked(thread.lot.watch()?));
    notices.say(Notice::Ready);
    let mut drain = stop.drain;
    drain.until(|draining| *draining).await;
    for fd in listening {
        // Ends the pending accept, too: cancelling it could leak a socket.
        let _closed = shutdown(fd, Shutdown::Both);
    }
    let cut_count = finish(&thread).await;
    reads.close().await;
    Ok(cut_count)
}

/// How often a draining thread looks whether everybody has left.
const DRAIN_TICK: Duration = Duration::from_millis(20);

/// Parked connections that a draining thread turns to in each tick.
const DRAINED_MAX: usize = 4096;

/// Lets what is in flight finish, then ends what is left.
async fn finish(thread: &Rc<Thread>) -> usize {
    let timeout = thread.worker.snapshot().config.server.drain_timeout;
    let until = Instant::now() + timeout;
    let count = || thread.tcp.count() + thread.http.count() + thread.lot.count();
    while count() > 0 && Instant::now() < until {
        // They are told to leave like all others, some at a time: each takes the memory of a task meanwhile.
        for (parked, admission) in thread.lot.take(DRAINED_MAX) {
            Rc::clone(thread).resume(parked, admission);
        }
        thread.tcp.nudge_all(Nudge::Drain);
        thread.http.nudge_all(Nudge::Drain);
        monoio::time::sleep(DRAIN_TICK).await;
    }
    drop(thread.lot.take(usize::MAX));
    thread.tcp.cut_all() + thread.http.cut_all()
}

/// One accept loop.
struct Accept {
    thread: Rc<Thread>,
    listener: TcpListener,
    door: Arc<Door>,
    transport: Transport,
}

/// How long an accept loop waits after a failure: out of file descriptors, accept fails at once, and
/// would again.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

impl Accept {
    /// Runs until the thread drains. An accept is never cancelled: that could leak its socket.
    async fn run<F>(self, serve: fn(Rc<Thread>, TcpStream) -> F)
    where
        F: Future<Output = Option<Parked>> + 'static,
    {
        loop {
            let accepted = self.listener.accept().await;
            if self.thread.worker.core().is_draining() {
                return;
            }
            match accepted {
                Ok((stream, _)) => self.admit(stream, serve),
                Err(error) => {
                    emit(&Event::AcceptFailed { error: &error });
                    monoio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }

    /// The limit may have been reloaded.
    fn count_max(&self) -> usize {
        let server = &self.thread.worker.snapshot().config.server;
        match self.transport {
            Transport::Tcp => server.tcp.connection_count_max,
            Transport::Http | Transport::WebSocket => server.http.connection_count_max,
        }
    }

    fn admit<F>(&self, stream: TcpStream, serve: fn(Rc<Thread>, TcpStream) -> F)
    where
        F: Future<Output = Option<Parked>> + 'static,
    {
        let (thread, door) = (Rc::clone(&self.thread), Arc::clone(&self.door));
        let Some(admission) = Admission::new(thread, door, self.transport, self.count_max()) else {
            self.thread.worker.recorder.connection_refused(self.transport);
            return;
        };
        let thread = Rc::clone(&self.thread);
        Rc::clone(&thread).serve(admission, serve(thread, stream));
    }
}
