//! Why an order was not taken, and why a journal does not open.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use gateway_protocol::Code;

/// Why an order was not taken. Of the same key it may be sent again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// The key is known, with other parameters.
    #[error("the key was used with other parameters, by record {sequence}")]
    KeyReused {
        /// The record that has the key.
        sequence: u64,
    },
    /// The disk has no room for another segment.
    #[error("no room on the journal's disk: {0}")]
    DiskFull(Arc<io::Error>),
    /// A write or sync failed; whether the order is on disk nobody knows.
    #[error("the journal could not be written: {0}")]
    SyncFailed(Arc<io::Error>),
    /// As much is waiting as may wait.
    #[error("the journal's backlog is at its bound: {bound}")]
    BacklogFull {
        /// The setting that says so.
        bound: &'static str,
    },
    /// The queue's Redis is not there; nothing was sent to it.
    #[error("the queue's redis is away")]
    Away,
    /// The queue to the journal's thread is full.
    #[error("the journal's queue is full")]
    QueueFull,
    /// The order is larger than a group.
    #[error("an order of {bytes} bytes is larger than `journal.group_bytes_max`")]
    TooLarge {
        /// Its size, encoded.
        bytes: usize,
    },
    /// A reload came between the order's checks and the journal.
    #[error("the operation was reloaded under the order, with another contract")]
    Superseded,
    /// The journal has ended.
    #[error("the journal has ended")]
    Ended,
}

impl JournalError {
    /// There is no new segment to write to.
    pub(super) fn no_segment(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::DiskFull(Arc::new(error)),
            _ => Self::failed(error),
        }
    }

    /// A write or sync failed.
    pub(super) fn failed(error: io::Error) -> Self {
        Self::SyncFailed(Arc::new(error))
    }

    /// The code on the wire.
    pub const fn code(&self) -> Code {
        match self {
            Self::KeyReused { .. } => Code::KeyReused,
            Self::DiskFull(_) => Code::JournalFull,
            Self::SyncFailed(_) => Code::JournalSyncFailed,
            Self::BacklogFull { .. } | Self::Away => Code::JournalBacklog,
            Self::QueueFull => Code::Overloaded,
            Self::TooLarge { .. } => Code::TooLarge,
            Self::Superseded => Code::OperationDisabled,
            Self::Ended => Code::Draining,
        }
    }

    /// What the client is told.
    pub fn client_message(&self) -> Cow<'static, str> {
        match self {
            Self::KeyReused { .. } => "the key was used with other parameters".into(),
            Self::DiskFull(_) => "no room to keep the order, retry later with the same key".into(),
            Self::SyncFailed(_) => "the order may be lost, retry with the same key".into(),
            Self::BacklogFull { .. } => "too many orders wait, retry later".into(),
            Self::Away => "orders cannot be kept now, retry later".into(),
            Self::QueueFull => "overloaded, retry later".into(),
            Self::TooLarge { .. } => "the order is too large".into(),
            Self::Superseded => "the operation was reloaded just now, retry".into(),
            Self::Ended => "draining, retry elsewhere with the same key".into(),
        }
    }
}

/// Why a journal does not open, or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{}: another process has this journal; a running gateway's is handled through its admin port", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The machine refused something.
    #[error("{}: {source}", path.display())]
    Machine {
        /// The file.
        path: PathBuf,
        /// What the machine said.
        source: io::Error,
    },
    /// A file is of a version that this build does not read.
    #[error("{}: version {found} of the journal's format is not known to this build", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version.
        found: u32,
    },
    /// Bytes that were once right are not any more.
    #[error(
        "{}: damaged at byte {offset}: {what}; see `gateway journal repair`", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// From where on.
        offset: u64,
        /// What is wrong.
        what: Cow<'static, str>,
    },
    /// A file is damaged, and nothing tells what stood in it.
    #[error(
        "{}: not readable, and no segment with a good header tells what stood there; put a good copy in its place, \
         or keep the folder and name a new one in `journal.path`", path.display()
    )]
    Unrecoverable {
        /// The file.
        path: PathBuf,
    },
    /// No such record waits, or no such dead letter lies there.
    #[error("no record {sequence}")]
    NoRecord {
        /// Its sequence.
        sequence: u64,
    },
    /// It is no dead letter: it waits.
    #[error(
        "record {sequence} waits to be applied; only dead letters are tried again or dropped (see `gateway journal bury`)"
    )]
    NotDead {
        /// Its sequence.
        sequence: u64,
    },
    /// Later records of its lane were there before it.
    #[error("record {sequence} would come behind later ones of its lane: say `--force`")]
    Overtaken {
        /// Its sequence.
        sequence: u64,
    },
    /// It waits no more: it was applied, or given up, meanwhile.
    #[error("record {sequence} waits no more: it was applied, or is a dead letter")]
    Settled {
        /// Its sequence.
        sequence: u64,
    },
    /// Nobody knows whether it was applied.
    #[error(
        "its database does not tell whether record {sequence} was applied ({why}): ask again when it does, or say \
         `--force` if that does no harm"
    )]
    Untold {
        /// Its sequence.
        sequence: u64,
        /// Why it does not tell.
        why: Box<str>,
    },
    /// It could not be written.
    #[error("{0}")]
    Journal(#[from] JournalError),
}

impl OpenError {
    /// The machine's refusal at a file.
    pub(super) fn machine(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Machine { path, source }
    }

    /// The thread that should have read ended.
    pub(crate) fn interrupted(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Journal(JournalError::failed(io::Error::other(error)))
    }

    pub(super) fn damaged(
        path: impl Into<PathBuf>,
        offset: u64,
        what: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::Damaged { path: path.into(), offset, what: what.into() }
    }
}
