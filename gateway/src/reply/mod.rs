//! An answer: waited for, put together from its parts, encoded.
//!
//! A part's body stands in the cache as MessagePack, and as JSON once somebody asked for that. An
//! operation with `@include` has several parts, which are joined here without being decoded: a map
//! gets more members.
//!
//! Invariant: both codecs of one answer say the same.

mod journalled;
mod refusal;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use gateway_protocol::{json, msgpack};

use crate::backend::{BackendError, Fetched};
use crate::cache::{Body, Stored};
use crate::catalog::{Form, Kind, Scalar, msgpack_to_json};
use crate::error::Error;
use crate::observe::CacheOutcome;
use crate::queue;
use crate::snapshot::Operation;

pub use journalled::Offered;
pub use refusal::write_refusal;

/// An answer that is still to come.
#[derive(Debug)]
pub struct Waiting {
    first: PartWaiting,
    included: Vec<PartWaiting>,
}

/// One part of it.
#[derive(Debug)]
pub enum PartWaiting {
    /// Found in L1.
    Ready(Part),
    /// On its way.
    Pending(Pending),
    /// On its way to the journal's disk.
    Offered(Offered),
}

/// A job that the backend has.
#[derive(Debug)]
pub struct Pending {
    /// Its operation.
    pub operation: Arc<Operation>,
    /// Where the answer arrives.
    pub answer: queue::Answer<Result<Fetched, Arc<BackendError>>>,
    /// When it must have arrived.
    pub deadline: Instant,
    /// Whether what it does is undone.
    pub dry_run: bool,
}

impl Waiting {
    /// An answer of one part and those that it includes.
    pub fn of(first: PartWaiting, included: Vec<PartWaiting>) -> Self {
        Self { first, included }
    }

    fn pending(&self) -> impl Iterator<Item = &Pending> {
        let parts = std::iter::once(&self.first).chain(&self.included);
        parts.filter_map(|part| match part {
            PartWaiting::Pending(pending) => Some(pending),
            PartWaiting::Ready(_) | PartWaiting::Offered(_) => None,
        })
    }

    /// When it must have arrived; `None`: it is here already.
    pub fn deadline(&self) -> Option<Instant> {
        if let PartWaiting::Offered(offered) = &self.first {
            return Some(offered.deadline);
        }
        self.pending().map(|pending| pending.deadline).max()
    }

    /// Whether it is the journal's: nothing but the disk is waited for then.
    pub fn is_offered(&self) -> bool {
        matches!(self.first, PartWaiting::Offered(_))
    }

    /// Whether it is the answer of a write, which may have been done even if nobody says so.
    pub fn is_write(&self) -> bool {
        self.is_offered() || self.pending().any(Pending::is_write)
    }

    /// What is answered when it does not arrive in time.
    pub fn late(&self) -> Error {
        if self.is_write() { outcome_unknown() } else { Error::Deadline }
    }

    /// Waits for the whole answer. The backend keeps the deadline; a caller that cannot rely on that
    /// bounds it by [`Waiting::deadline`].
    ///
    /// # Errors
    ///
    /// The first failure of its parts.
    pub async fn wait(self) -> Result<Reply, Error> {
        let first = self.first.wait().await?;
        let mut included = Vec::with_capacity(self.included.len());
        for part in self.included {
            included.push(part.wait().await?);
        }
        Ok(Reply { first, included })
    }
}

impl PartWaiting {
    async fn wait(self) -> Result<Part, Error> {
        let pending = match self {
            Self::Ready(part) => return Ok(part),
            Self::Pending(pending) => pending,
            Self::Offered(offered) => return offered.wait().await,
        };
        let is_write = pending.is_write();
        // The job is dropped unanswered only if its task died: nobody knows how far it had come.
        let answered = pending.answer.await.map_err(|_lost| {
            if is_write { outcome_unknown() } else { Error::Internal("the backend dropped a job") }
        })?;
        let fetched = answered.map_err(|error| explain(&pending.operation, error))?;
        let Fetched { stored, outcome, replayed } = fetched;
        Ok(Part { operation: pending.operation, stored, outcome, replayed, key: None })
    }
}

impl Pending {
    /// Whether it may have changed something: a dry run has not, whatever became of it.
    fn is_write(&self) -> bool {
        self.operation.template.kind.is_write() && !self.dry_run
    }
}

fn outcome_unknown() -> Error {
    Error::Backend(Arc::new(BackendError::OutcomeUnknown { source: None }))
}

/// What a stored answer means for an operation: the body, or the template's answer to "no such row".
///
/// # Errors
///
/// The template's `else`, or [`Error::NoSuchRow`], when there is no row and `one` is promised.
pub fn body_of<'a>(operation: &Operation, stored: &'a Stored) -> Result<Option<&'a Body>, Error> {
    match stored {
        Stored::Present(body) => Ok(Some(body)),
        Stored::Absent if operation.template.kind == Kind::One => {
            Err(match &operation.template.not_found {
                Some(error) => Error::Business(Box::new(error.clone())),
                None => Error::NoSuchRow,
            })
        }
        Stored::Absent => Ok(None),
    }
}

/// Turns a failure of the store side into what the template says of it.
fn explain(operation: &Operation, error: Arc<BackendError>) -> Error {
    match (&*error, &operation.template.on_duplicate) {
        (BackendError::Duplicate { .. }, Some(own)) => Error::Business(Box::new(own.clone())),
        (BackendError::Deadline, _) => Error::Deadline,
        _ => Error::Backend(error),
    }
}

/// One operation's part of an answer.
#[derive(Clone, Debug)]
pub struct Part {
    /// The operation.
    pub operation: Arc<Operation>,
    /// What was found.
    pub stored: Arc<Stored>,
    /// Where.
    pub outcome: CacheOutcome,
    /// A write's first answer, given again.
    pub replayed: bool,
    /// The idempotency key's value of a write that is queued.
    pub key: Option<Scalar<'static>>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    /// The operation's own part.
    pub first: Part,
    /// Those that it includes, in the order of `template.includes`.
    pub included: Vec<Part>,
}

/// The later of two places.
const fn slower(one: CacheOutcome, other: CacheOutcome) -> CacheOutcome {
    if matches!(one, CacheOutcome::L1) { other } else { one }
}

impl Reply {
    /// Where it came from: of several parts, the slowest place.
    pub fn outcome(&self) -> CacheOutcome {
        let outcomes = self.included.iter().map(|part| part.outcome);
        outcomes.fold(self.first.outcome, slower)
    }

    /// Appends the answer to `out` as MessagePack.
    ///
    /// # Errors
    ///
    /// As [`body_of`], for any part.
    pub fn write_msgpack(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        let Some(body) = body_of(&self.first.operation, &self.first.stored)? else {
            msgpack::write_nil(out);
            return Ok(());
        };
        if self.included.is_empty() {
            out.extend_from_slice(&body.msgpack);
            return Ok(());
        }
        let mut reader = msgpack::Reader::new(&body.msgpack);
        let member_count = reader.map("body").or(Err(NOT_A_MAP))?;
        let members = reader.rest();
        msgpack::write_map_header(out, member_count + self.included.len());
        out.extend_from_slice(members);
        for (include, part) in self.first.operation.template.includes.iter().zip(&self.included) {
            msgpack::write_str(out, &include.name);
            match body_of(&part.operation, &part.stored)? {
                Some(body) => out.extend_from_slice(&body.msgpack),
                None => msgpack::write_nil(out),
            }
        }
        Ok(())
    }

    /// Appends the answer to `out` as JSON.
    ///
    /// # Errors
    ///
    /// As [`body_of`], for any part.
    pub fn write_json(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        let Some(body) = body_of(&self.first.operation, &self.first.stored)? else {
            out.extend_from_slice(b"null");
            return Ok(());
        };
        out.extend_from_slice(json_of(&self.first.operation, body)?);
        if self.included.is_empty() {
            return Ok(());
        }
        if out.pop() != Some(b'}') {
            return Err(NOT_A_MAP);
        }
        for (include, part) in self.first.operation.template.includes.iter().zip(&self.included) {
            if out.last() != Some(&b'{') {
                out.push(b',');
            }
            json::write_str(out, &include.name);
            out.push(b':');
            match body_of(&part.operation, &part.stored)? {
                Some(body) => out.extend_from_slice(json_of(&part.operation, body)?),
                None => out.extend_from_slice(b"null"),
            }
        }
        out.push(b'}');
        Ok(())
    }
}

const NOT_A_MAP: Error = Error::Internal("an including operation's body is no map");

/// A body as JSON; made on first use and kept with it.
///
/// # Errors
///
/// [`Error::Internal`] when the body is not what its template declares.
pub fn json_of<'a>(operation: &Operation, body: &'a Body) -> Result<&'a Bytes, Error> {
    if let Some(json) = body.json.get() {
        return Ok(json);
    }
    let mut json = Vec::with_capacity(body.msgpack.len() * 2);
    msgpack_to_json(Form::of(&operation.template), &body.msgpack, &mut json)
        .map_err(|_unfit| Error::Internal("a body is not of its declared form"))?;
    Ok(body.json.get_or_init(|| Bytes::from(json)))
}
