//! A silent connection, between two tasks.

use std::os::fd::{AsRawFd, RawFd};

use monoio::net::TcpStream;

use crate::frontend::registry::PhaseLimits;

/// What a silent connection keeps while it has no task.
#[derive(Debug)]
pub(in crate::frontend) struct Parked {
    pub(in crate::frontend::http) stream: TcpStream,
    pub(in crate::frontend::http) limits: PhaseLimits,
    pub(in crate::frontend::http) left: u32,
    pub(in crate::frontend::http) head_bytes_max: usize,
}

impl Parked {
    /// The socket's number.
    pub(in crate::frontend) fn fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    /// Seconds that it may still be silent.
    pub(in crate::frontend) const fn left(&self) -> u32 {
        self.left
    }
}
