//! What the journal tells of requests and of what waits.

use std::time::Duration;

use crate::identity::{Lane, RequestKey};

/// What is known of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits to be applied.
    Journalled {
        /// Its sequence.
        sequence: u64,
        /// When it was asked for, or tried again, in Unix microseconds.
        since_micros: i64,
    },
    /// It was applied, lately.
    Applied {
        /// Its sequence.
        sequence: u64,
    },
    /// It could not be applied.
    Dead {
        /// Its sequence.
        sequence: u64,
        /// Why: the code.
        code: u16,
        /// Why, in words.
        message: Box<str>,
        /// When it was given up, in Unix microseconds.
        since_micros: i64,
    },
}

/// An operation that records wait for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PendingContract {
    /// The game.
    pub game: Box<str>,
    /// The operation.
    pub op: Box<str>,
    /// The contract it was taken under.
    pub contract: u64,
    /// How many records wait, dead letters included.
    pub count: u64,
}

/// An operation that a snapshot takes orders for and applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The game.
    pub game: Box<str>,
    /// The operation.
    pub op: Box<str>,
    /// [`crate::catalog::Template::contract`].
    pub contract: u64,
    /// How long its keys are remembered; `@idempotent`'s `ttl`.
    pub ttl: Duration,
}

/// Figures of what waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Records not applied yet.
    pub record_count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the oldest was asked for, or tried again, in Unix microseconds.
    pub oldest_micros: Option<i64>,
    /// Dead letters.
    pub dead_count: u64,
    /// When the oldest of them was given up, in Unix microseconds.
    pub dead_oldest_micros: Option<i64>,
}

/// What the index keeps of a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) key: RequestKey,
    pub(super) lane: Option<Lane>,
    pub(super) code: u16,
    pub(super) message: Box<str>,
    pub(super) since_micros: i64,
    /// A later record of its lane was taken.
    pub(super) overtaken: bool,
    /// Its operation, by the index's own number.
    pub(super) operation: u32,
}

/// What the index says to a key that comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    New {
        /// Its operation's number.
        operation: u32,
    },
    Repeated(u64),
    Reused(u64),
    /// New, but taken under a contract that is not in effect any more.
    Superseded,
}

/// What bounds are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    /// Records and dead letters.
    pub(super) count: u64,
    /// When the oldest record was asked for, or tried again.
    pub(super) oldest_micros: Option<i64>,
}
