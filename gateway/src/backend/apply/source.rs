//! Where records come from and what is told there of what became of them: the local journal, or a stream.

use std::sync::Arc;

use super::super::write::Fence;
use crate::journal::{Cause, Journal, JournalError, OpenError, Record};
use crate::observe::{Event, emit};
use crate::stream::{Owned, StreamError};

/// Where records come from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// This instance's disk.
    Journal(Arc<Journal>),
    /// A stream in Redis that this instance owns for now.
    Stream(Arc<Owned>),
}

/// Why the source did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    /// Records cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A dead letter cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Redis, or another owner.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The task that read panicked.
    #[error("the reading task ended")]
    Task(#[from] tokio::task::JoinError),
}

impl Source {
    /// What marks its records in databases.
    pub(super) fn id(&self) -> i64 {
        match self {
            Self::Journal(journal) => journal.id(),
            Self::Stream(owned) => owned.id(),
        }
    }

    /// What its transactions begin with; `None`: nobody else applies its records.
    pub(super) fn fence(&self) -> Option<Fence> {
        match self {
            Self::Journal(_) => None,
            Self::Stream(owned) => Some(Fence { stream: owned.id(), token: owned.token() }),
        }
    }

    /// Reads records again, as far as they are there, and fewer where they are large.
    pub(super) async fn read(&self, wanted: &[u64]) -> Result<Vec<Record>, SourceError> {
        match self {
            Self::Journal(journal) => {
                let (mut reader, wanted) = (journal.reader(), wanted.to_vec());
                Ok(tokio::task::spawn_blocking(move || reader.read(&wanted)).await??)
            }
            Self::Stream(owned) => owned.read(wanted).await.map_err(|error| self.gave_up(error)),
        }
    }

    /// Whether a record that could not be read waits all the same.
    pub(super) fn is_pending(&self, sequence: u64) -> bool {
        match self {
            Self::Journal(journal) => journal.is_pending(sequence),
            // A read of a stream is complete.
            Self::Stream(_) => false,
        }
    }

    /// Records are in the database.
    pub(super) async fn applied(&self, records: &[&Record]) {
        match self {
            Self::Journal(journal) => {
                let sequences: Vec<u64> = records.iter().map(|record| record.sequence).collect();
                journal.applied(&sequences);
            }
            // Whoever owns the stream next finds their keys' rows.
            Self::Stream(owned) => {
                if let Err(error) = owned.applied(records).await {
                    let error = self.gave_up(error);
                    emit(&Event::JournalFailed {
                        what: "taking applied records out",
                        error: &error,
                    });
                }
            }
        }
    }

    /// Puts a record among the dead letters.
    pub(super) async fn dead(&self, record: &Record, cause: &Cause) -> Result<(), SourceError> {
        match self {
            Self::Journal(journal) => Ok(journal.dead(record, cause.clone()).await?),
            Self::Stream(owned) => {
                let buried = owned.bury(record, cause).await;
                buried.map_err(|error| self.gave_up(error))
            }
        }
    }

    /// A newer owner has written to the database.
    pub(super) fn fenced(&self) {
        if let Self::Stream(owned) = self {
            owned.lose();
            let error = StreamError::NotOwner { stream: owned.name().into() };
            emit(&Event::JournalFailed { what: "applying", error: &error });
        }
    }

    /// After a failure of Redis the stream is read from its beginning, by whoever owns it then.
    fn gave_up(&self, error: StreamError) -> SourceError {
        if let Self::Stream(owned) = self {
            owned.lose();
        }
        error.into()
    }
}
