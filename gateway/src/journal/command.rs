//! What the journal's thread is asked for.

use super::dead::DeadLetter;
use super::payload::{Asked, Draft};
use super::state::{PendingContract, Served};
use super::{JournalError, OpenError};
use crate::identity::{Lane, RequestKey};
use crate::queue::Reply;

/// An order that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its place in the order of all records.
    pub sequence: u64,
    /// The same order had come before.
    pub repeated: bool,
}

/// How an order's sender is told.
pub type AcceptReply = Reply<Result<Accepted, JournalError>>;

/// What the thread is asked for.
#[derive(Debug)]
pub(super) enum Command {
    Append(Order),
    Dead(Box<DeadLetter>, Reply<Result<(), JournalError>>),
    Retry { sequence: u64, force: bool, reply: Reply<Result<u64, OpenError>> },
    Drop(u64, Reply<Result<(), OpenError>>),
    Serve(Vec<Served>, Reply<Result<(), Vec<PendingContract>>>),
    Tidy,
}

/// An order on its way to disk. The draft itself stays with the thread that made it.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) key: RequestKey,
    pub(super) lane: Option<Lane>,
    /// When it was asked for.
    pub(super) at_micros: i64,
    /// The draft, encoded.
    pub(super) bytes: Vec<u8>,
    pub(super) reply: AcceptReply,
}

impl Order {
    pub(super) fn new(draft: &Draft, reply: AcceptReply) -> Self {
        let (key, lane, at_micros) = (draft.key, draft.lane, draft.payload.now_micros);
        Self { key, lane, at_micros, bytes: draft.encode(), reply }
    }

    /// Which operation it asks for.
    pub(super) fn asked(&self) -> Asked<'_> {
        Asked::read(&self.bytes).unwrap_or(Asked::NONE)
    }
}
