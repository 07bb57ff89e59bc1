//! What becomes of a batch and of its records.

use crate::backend::BackendError;
use crate::journal::Cause;

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Its effect is in the database.
    Applied,
    /// It stands among the dead letters.
    Dead,
    /// The database refused it.
    Failed,
    /// Not tried: an earlier record of its lane failed, or there was no time for it.
    Held,
    /// A lock was not to be had, several times.
    Locked,
    /// It took the database too long, alone in its transaction.
    Late,
    /// The same, among others.
    Slow,
    /// It could not be read from the journal, and what comes behind it was not tried.
    Unread,
    /// The database was not there.
    Lost,
    /// The task that was to apply it panicked.
    Panicked,
    /// It stands among the dead letters, because an operator gave it up.
    Buried,
}

impl Outcome {
    /// Every outcome, in the order of the discriminants.
    pub(super) const ALL: [Self; 11] = [
        Self::Applied,
        Self::Dead,
        Self::Failed,
        Self::Held,
        Self::Locked,
        Self::Late,
        Self::Slow,
        Self::Unread,
        Self::Lost,
        Self::Panicked,
        Self::Buried,
    ];

    /// Its name in metrics.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Dead => "dead",
            Self::Failed => "failed",
            Self::Held => "held",
            Self::Locked => "locked",
            Self::Late => "late",
            Self::Slow => "slow",
            Self::Unread => "unread",
            Self::Lost => "lost",
            Self::Panicked => "panicked",
            Self::Buried => "buried",
        }
    }
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// Of each of its records.
    pub(super) outcomes: Vec<(u64, Outcome)>,
    /// What was said of those that were tried alone and are tried again.
    pub(super) causes: Vec<(u64, Cause)>,
    /// Why the database is taken for away.
    pub(super) lost: Option<BackendError>,
}

/// What is said of a record that was not applied. Of a guard without an answer of its own also what it counted; the
/// driver's words stay in the log, because they may repeat values that are masked.
pub(super) fn cause_of(error: &BackendError) -> Cause {
    let cause = Cause::now(error.code(), error.client_message());
    match error {
        BackendError::Guard { what } => cause.with_detail(what),
        _ => cause,
    }
}
