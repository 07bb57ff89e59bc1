//! `runtime`: threads and rings. Nothing here reloads.

/// `runtime`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// Whether the frontends use io_uring.
    pub io_uring: IoUring,
    /// Frontend threads; 0 in the file (the default) is one for each CPU this process may use.
    pub frontend_threads: usize,
    /// Backend threads; default: half the CPUs, at least one.
    pub backend_threads: usize,
    /// Entries of a frontend's submission ring, 256 to 32768.
    pub ring_entries: u32,
    /// Whether each frontend thread is pinned to its CPU.
    pub pin: bool,
}

/// Whether the frontends use io_uring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoUring {
    /// Refuse to start without it.
    Required,
    /// Fall back to epoll, loudly. The default.
    Preferred,
    /// Use epoll.
    Off,
}
