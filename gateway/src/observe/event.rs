//! Everything worth telling an operator, as one closed list.
//!
//! Stages report an [`Event`]; the log and the metrics decide what to show of it.

use std::time::Duration;

use super::EventKind;

/// Something an operator may want to know.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The gateway listens.
    Started {
        /// What it listens on and with how many threads, in words.
        summary: &'a str,
    },
    /// `io_uring` is not to be had; frontends run on epoll.
    IoUringUnavailable {
        /// What the kernel said.
        reason: &'a str,
    },
    /// The ring was made without the flags of newer kernels.
    RingFlagsRefused,
    /// Something about the machine will hurt; `gateway doctor` tells more.
    MachineWarning {
        /// The check's name in `kernel-tuning/checks`.
        check: &'a str,
        /// What was found.
        found: &'a str,
        /// What it should be.
        wanted: &'a str,
        /// What goes wrong otherwise.
        why: &'a str,
    },
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
    /// After a refused reload the files are again as what serves.
    ReloadMended {
        /// The snapshot's number.
        generation: u64,
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
    /// A database lacks migrations; `gateway migrate` applies them.
    SchemaPending {
        /// The connection's name in the configuration.
        pool: &'a str,
        /// Which.
        files: &'a str,
    },
    /// A database does not take a template's statement.
    StatementRefused {
        /// The connection's name in the configuration.
        pool: &'a str,
        /// `game operation`, and the step.
        operation: &'a str,
        /// The database's words.
        fault: &'a str,
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
        /// Its parameters, masked ones hidden by the caller; empty: not told.
        params: &'a str,
    },
    /// A request failed by the gateway's or the database's fault.
    RequestFailed {
        /// The request.
        trace: &'a str,
        /// The game named.
        game: &'a str,
        /// The operation named.
        operation: &'a str,
        /// What the client was told.
        code: u16,
        /// Why, with its chain of causes.
        error: &'a (dyn std::error::Error + 'static),
    },
    /// Lines of failed requests that were left out of a second: `logging.failures_per_second`.
    LinesLeftOut {
        /// The lines' own `event`.
        lines: &'a str,
        /// The code that they would have told.
        code: u16,
        /// How many, on one frontend thread.
        count: u32,
    },
    /// The audit log could not be written; the operation was refused.
    AuditFailed {
        /// Why.
        error: &'a (dyn std::error::Error + 'static),
    },
    /// The configuration has something that works and should not stay, or that waits for a restart.
    ConfigWarning {
        /// What.
        text: &'a str,
    },
    /// Files cannot be watched for changes; SIGHUP still reloads.
    WatchFailed {
        /// Why.
        error: &'a (dyn std::error::Error + 'static),
    },
    /// A thread of the gateway panicked or ended on its own.
    ThreadLost {
        /// The thread's name.
        thread: &'a str,
        /// The panic's message, or what is known.
        message: &'a str,
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
    /// Redis throws keys away when its memory is full: a write of another instance may go unnoticed, a nonce pass twice.
    RedisEvicts {
        /// Its `maxmemory-policy`.
        policy: &'a str,
    },
    /// Messages of other instances are not known to arrive; L1 serves young entries only.
    SubscriptionLost {
        /// Why.
        reason: &'a str,
    },
    /// They arrive again; the epoch was advanced.
    SubscriptionConfirmed,
    /// Records of the journal were found that wait to be applied.
    JournalReplayed {
        /// How many.
        count: u64,
    },
    /// A group that was never acknowledged was cut off the journal.
    JournalTorn {
        /// The file.
        file: &'a str,
        /// From which byte on.
        offset: u64,
    },
    /// Records of the journal could not be applied; they are tried again, or become dead letters. Of an
    /// operation it is told once a minute.
    BatchFailed {
        /// Game and operation.
        operation: &'a str,
        /// How many, since it was told last.
        record_count: usize,
        /// Why.
        error: &'a (dyn std::error::Error + 'static),
    },
    /// Records of the journal were given up and stand among the dead letters.
    RecordsDead {
        /// Game and operation.
        operation: &'a str,
        /// How many, since it was told last.
        record_count: usize,
        /// The last one's place in the journal.
        sequence: u64,
        /// Why that one was.
        error: &'a (dyn std::error::Error + 'static),
    },
    /// A game's records wait for its database. Told again every minute.
    ApplyPaused {
        /// The game.
        game: &'a str,
        /// Why.
        error: &'a (dyn std::error::Error + 'static),
    },
    /// They are applied again.
    ApplyResumed {
        /// The game.
        game: &'a str,
        /// How long they waited.
        away: Duration,
    },
    /// The journal could not write or read something.
    JournalFailed {
        /// What.
        what: &'a str,
        /// Why.
        error: &'a (dyn std::error::Error + 'static),
    },
    /// An operator did something to a record of the journal, or tried to.
    JournalHandled {
        /// What.
        action: &'static str,
        /// The record.
        sequence: u64,
        /// The game and number of its stream; empty: it is the journal's.
        stream: &'a str,
        /// Their address, and the name that they gave.
        who: &'a str,
        /// `done`, or why not.
        outcome: &'a str,
    },
    /// Draining began.
    Draining,
    /// Everything in flight finished, or the time was over.
    Stopped {
        /// Connections closed with work still in flight.
        cut_count: usize,
    },
}

impl Event<'_> {
    /// Its kind.
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::Started { .. } => EventKind::Started,
            Self::IoUringUnavailable { .. } => EventKind::IoUringUnavailable,
            Self::RingFlagsRefused => EventKind::RingFlagsRefused,
            Self::MachineWarning { .. } => EventKind::MachineWarning,
            Self::Reloaded { .. } => EventKind::Reloaded,
            Self::ReloadRefused { .. } => EventKind::ReloadRefused,
            Self::ReloadMended { .. } => EventKind::ReloadMended,
            Self::ConnectionPanicked { .. } => EventKind::ConnectionPanicked,
            Self::AcceptFailed { .. } => EventKind::AcceptFailed,
            Self::DatabaseDown { .. } => EventKind::DatabaseDown,
            Self::DatabaseUp { .. } => EventKind::DatabaseUp,
            Self::SchemaPending { .. } => EventKind::SchemaPending,
            Self::StatementRefused { .. } => EventKind::StatementRefused,
            Self::SlowQuery { .. } => EventKind::SlowQuery,
            Self::RequestFailed { .. } => EventKind::RequestFailed,
            Self::LinesLeftOut { .. } => EventKind::LinesLeftOut,
            Self::AuditFailed { .. } => EventKind::AuditFailed,
            Self::ConfigWarning { .. } => EventKind::ConfigWarning,
            Self::WatchFailed { .. } => EventKind::WatchFailed,
            Self::ThreadLost { .. } => EventKind::ThreadLost,
            Self::RedisDown { .. } => EventKind::RedisDown,
            Self::RedisUp { .. } => EventKind::RedisUp,
            Self::RedisEvicts { .. } => EventKind::RedisEvicts,
            Self::SubscriptionLost { .. } => EventKind::SubscriptionLost,
            Self::SubscriptionConfirmed => EventKind::SubscriptionConfirmed,
            Self::JournalReplayed { .. } => EventKind::JournalReplayed,
            Self::JournalTorn { .. } => EventKind::JournalTorn,
            Self::BatchFailed { .. } => EventKind::BatchFailed,
            Self::RecordsDead { .. } => EventKind::RecordsDead,
            Self::ApplyPaused { .. } => EventKind::ApplyPaused,
            Self::ApplyResumed { .. } => EventKind::ApplyResumed,
            Self::JournalFailed { .. } => EventKind::JournalFailed,
            Self::JournalHandled { .. } => EventKind::JournalHandled,
            Self::Draining => EventKind::Draining,
            Self::Stopped { .. } => EventKind::Stopped,
        }
    }
}
