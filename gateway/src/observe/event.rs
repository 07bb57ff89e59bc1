//! Everything worth telling an operator, as one closed list.
//!
//! Stages report an [`Event`]; the log and the metrics decide what to show of it.

use std::time::Duration;

/// Something an operator may want to know.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The gateway listens.
    Started {
        /// What it listens on and with how many threads, in words.
        summary: &'a str,
    },
    /// io_uring is not to be had; frontends run on epoll.
    IoUringUnavailable {
        /// What the kernel said.
        reason: &'a str,
    },
    /// The ring was made without the flags of newer kernels.
    RingFlagsRefused,
    /// A reload took effect.
    Reloaded {
        /// The new snapshot's generation.
        generation: u64,
        /// The catalog's hash.
        catalog: &'a str,
    },
    /// A reload was refused; the last good snapshot stays.
    ReloadRefused {
        /// Every fault.
        faults: &'a str,
    },
    /// A connection task panicked; that connection was closed.
    ConnectionPanicked {
        /// The panic's message.
        message: &'a str,
    },
    /// Accept failed; the loop backs off.
    AcceptFailed {
        /// Why.
        error: &'a std::io::Error,
    },
    /// A database pool lost its database.
    DatabaseDown {
        /// The connection's name in the configuration.
        pool: &'a str,
        /// The driver's words.
        error: &'a (dyn std::error::Error + 'static),
    },
    /// It is back.
    DatabaseUp {
        /// The connection's name in the configuration.
        pool: &'a str,
    },
    /// A statement took longer than `logging.slow_query`.
    SlowQuery {
        /// `game operation`.
        operation: &'a str,
        /// The template's version.
        template: u64,
        /// The request.
        trace: &'a str,
        /// Database time.
        elapsed: Duration,
    },
    /// Redis does not answer; L2 is bypassed.
    RedisDown {
        /// Why.
        error: &'a (dyn std::error::Error + 'static),
    },
    /// Redis answers again.
    RedisUp {
        /// Tags delivered that had waited.
        pending_tags: usize,
    },
    /// Messages of other instances are not known to arrive; L1 serves young entries only.
    SubscriptionLost {
        /// Why.
        reason: &'a str,
    },
    /// They arrive again; the epoch was advanced.
    SubscriptionConfirmed,
    /// Draining began.
    Draining,
    /// Everything in flight finished, or the time was over.
    Stopped {
        /// Connections closed with work still in flight.
        cut_count: usize,
    },
}
