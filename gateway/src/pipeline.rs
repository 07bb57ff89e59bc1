//! The way of one request, top to bottom. Start reading here.
//!
//! [`Worker::serve`] takes a request that a frontend decoded and leads it through the stages, one
//! after the other: route, admit, bind, match claims, look up. A hit is answered on the spot,
//! under the cache's guard, on the thread that received it. Everything else becomes a job for the
//! backend, and the caller gets a [`Waiting`] to await.
//!
//! Invariant: no stage after a refusal runs; credential, role and claims are checked before the cache
//! is asked, hit or not. Nothing here blocks, and nothing allocates before a miss is known.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::auth::{Admission, AuthError, Claim, Principal};
use crate::backend::{Asker, Job};
use crate::bind::{Bound, Param, bind_each, bind_scalars};
use crate::cache::{KeyRef, Stored};
use crate::catalog::Scalar;
use crate::error::Error;
use crate::observe::{CacheOutcome, Stage};
use crate::queue;
use crate::reply::{Part, PartWaiting, Pending, Waiting};
use crate::snapshot::{Game, Operation, RouteError, Snapshot};
pub use crate::worker::{Core, Finished, LocalSnapshot, Trace, Worker, unix_seconds};

/// A request, as far as every transport has the same.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who asks; `None` without a credential.
    pub principal: Option<&'a Arc<Principal>>,
    /// The request's id in logs and replies.
    pub trace: Trace<'a>,
    /// The client's address.
    pub peer: SocketAddr,
    /// When its last byte arrived.
    pub arrived: Instant,
    /// When it must be answered; `None`: the game's own deadline.
    pub deadline: Option<Instant>,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub struct Routed<'s> {
    /// The game.
    pub game: &'s Game,
    /// The operation.
    pub operation: &'s Arc<Operation>,
}

/// What became of a request at once.
#[derive(Debug)]
pub enum Served<R> {
    /// A hit: what the caller made of it.
    Hit(R),
    /// The backend works on it.
    Wait(Waiting),
}

/// Finds the operation of a call by name.
///
/// # Errors
///
/// [`RouteError`]: no such game or operation, or switched off.
pub fn route<'s>(snapshot: &'s Snapshot, game: &str, op: &str) -> Result<Routed<'s>, RouteError> {
    let game = snapshot.game(game)?;
    let operation = game.operation(op)?;
    Ok(Routed { game, operation })
}

impl Worker {
    /// Serves one request up to its answer or its job.
    ///
    /// - `params`: as they are decoded, one after the other.
    /// - `hit`: called with a cached answer, under the cache's guard: copy, do not keep.
    ///
    /// # Errors
    ///
    /// [`Error`] of the first stage that refuses.
    pub fn serve<'p, R>(
        &self,
        request: &Request<'_>,
        routed: Routed<'_>,
        params: impl IntoIterator<Item = Result<Param<'p>, Error>>,
        hit: impl FnOnce(&Operation, &Stored) -> R,
    ) -> Result<Served<R>, Error> {
        let Routed { game, operation } = routed;
        let admission = operation.access.admits(request.principal.map(Arc::as_ref), &game.id)?;
        let bound = bind_each(&operation.template, params)?;
        check_claims(operation, request.principal, admission, &bound)?;
        self.lap(Stage::Bind);
        if !operation.included.is_empty() {
            return Ok(Served::Wait(self.begin_parts(request, game, operation, bound)?));
        }
        let found = self.look_up(operation, request, &bound, |stored| hit(operation, stored));
        if let Some(answer) = found {
            return Ok(Served::Hit(answer));
        }
        let pending = self.send(request, game, operation, bound)?;
        Ok(Served::Wait(Waiting::of(PartWaiting::Pending(pending), Vec::new())))
    }

    /// Asks L1. `None`: a miss, or an operation that is not cached.
    fn look_up<R>(
        &self,
        operation: &Operation,
        request: &Request<'_>,
        bound: &Bound<'_>,
        read: impl FnOnce(&Stored) -> R,
    ) -> Option<R> {
        operation.template.cache.as_ref()?;
        self.with_key(operation, request.principal.map(Arc::as_ref), bound, |key: KeyRef<'_>| {
            self.core.cache.l1().read(
                key,
                self.core.cache.ms_at(request.arrived),
                |stored, _life| read(stored),
            )
        })
    }

    /// Hands a request to the backend.
    fn send(
        &self,
        request: &Request<'_>,
        game: &Game,
        operation: &Arc<Operation>,
        bound: Bound<'_>,
    ) -> Result<Pending, Error> {
        if self.core.is_draining() {
            return Err(Error::Draining);
        }
        #[expect(
            clippy::redundant_closure_for_method_calls,
            reason = "the method's path is not general over the key's lifetime"
        )]
        let key = operation.template.cache.is_some().then(|| {
            let principal = request.principal.map(Arc::as_ref);
            self.with_key(operation, principal, &bound, |key| key.to_key())
        });
        let limit = request.arrived + game.deadline;
        let deadline = request.deadline.map_or(limit, |own| own.min(limit));
        let (reply, answer) = queue::reply();
        let job = Job {
            operation: Arc::clone(operation),
            bound: bound.into_owned(),
            key,
            asker: Asker {
                principal: Arc::clone(request.principal.unwrap_or(&self.nobody)),
                trace: request.trace.to_string().into(),
                peer: request.peer,
            },
            deadline,
            reply,
        };
        self.core.backend.offer(job).map_err(|_refused| Error::Overloaded)?;
        Ok(Pending { operation: Arc::clone(operation), answer, deadline })
    }

    /// Begins an operation with `@include`: itself and each included one, side by side.
    fn begin_parts(
        &self,
        request: &Request<'_>,
        game: &Game,
        operation: &Arc<Operation>,
        bound: Bound<'_>,
    ) -> Result<Waiting, Error> {
        let mut parts = Vec::with_capacity(operation.included.len() + 1);
        for (include, child) in operation.template.includes.iter().zip(&operation.included) {
            if !child.enabled {
                return Err(RouteError::OperationDisabled.into());
            }
            let admission = child.access.admits(request.principal.map(Arc::as_ref), &game.id)?;
            let given = include.args.iter().map(|arg| {
                let value = bound.values.get(arg.slot).cloned().unwrap_or(Scalar::Null);
                (arg.param.as_ref(), value)
            });
            let child_bound = bind_scalars(&child.template, given)?;
            check_claims(child, request.principal, admission, &child_bound)?;
            parts.push(self.begin_part(request, game, child, child_bound)?);
        }
        let first = self.begin_part(request, game, operation, bound)?;
        Ok(Waiting::of(first, parts))
    }

    fn begin_part(
        &self,
        request: &Request<'_>,
        game: &Game,
        operation: &Arc<Operation>,
        bound: Bound<'_>,
    ) -> Result<PartWaiting, Error> {
        if operation.template.cache.is_some() {
            let principal = request.principal.map(Arc::as_ref);
            let found = self.with_key(operation, principal, &bound, |key| {
                self.core.cache.l1().get(key, self.core.cache.ms_at(request.arrived))
            });
            if let Some(stored) = found {
                let operation = Arc::clone(operation);
                return Ok(PartWaiting::Ready(Part {
                    operation,
                    stored,
                    outcome: CacheOutcome::L1,
                }));
            }
        }
        Ok(PartWaiting::Pending(self.send(request, game, operation, bound)?))
    }
}

/// Checks the claims that an admission depends on.
fn check_claims(
    operation: &Operation,
    principal: Option<&Arc<Principal>>,
    admission: Admission,
    bound: &Bound<'_>,
) -> Result<(), AuthError> {
    if admission == Admission::Yes {
        return Ok(());
    }
    let Some(principal) = principal else { return Err(AuthError::Missing) };
    operation.access.claims_match(principal, |slot, claim| {
        bound.values.get(slot).is_some_and(|value| equals(value, claim))
    })
}

/// Whether a bound value says the same as a claim. `sub` is text by RFC 7519, also where it holds a
/// number: then the number's canonical text counts.
fn equals(value: &Scalar<'_>, claim: &Claim) -> bool {
    match (value, claim) {
        (Scalar::Int(value), Claim::Int(claim)) => value == claim,
        (Scalar::Bool(value), Claim::Bool(claim)) => value == claim,
        (Scalar::Str(value), Claim::Str(claim)) => **value == **claim,
        (Scalar::Int(value), Claim::Str(claim)) => {
            claim.parse() == Ok(*value) && *value.to_string() == **claim
        }
        _ => false,
    }
}
