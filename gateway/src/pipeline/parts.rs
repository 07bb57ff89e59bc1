//! Operations with `@include`: each part is a request of its own, and they run side by side.

use std::sync::Arc;

use super::Request;
use crate::bind::{Bound, bind_scalars};
use crate::catalog::Scalar;
use crate::error::Error;
use crate::observe::CacheOutcome;
use crate::reply::{Part, PartWaiting, Waiting};
use crate::snapshot::{Game, Operation, RouteError};
use crate::worker::Worker;

/// A part that may be begun.
struct Known<'o, 'p> {
    operation: &'o Arc<Operation>,
    bound: Bound<'p>,
    /// What L1 has.
    kept: Option<Part>,
}

impl Worker {
    /// Begins an operation with `@include`: itself and each included one, side by side. None is begun before it is
    /// known that no stage refuses another.
    pub(super) fn begin_parts(
        &self,
        request: &Request<'_>,
        game: &Game,
        operation: &Arc<Operation>,
        bound: Bound<'_>,
    ) -> Result<Waiting, Error> {
        let mut included = Vec::with_capacity(operation.included.len());
        for (include, child) in operation.template.includes.iter().zip(&operation.included) {
            if !child.enabled {
                return Err(RouteError::OperationDisabled.into());
            }
            let admission = self.admit(request, game, child)?;
            let given = include.args.iter().map(|arg| {
                let value = bound.values.get(arg.slot).cloned().unwrap_or(Scalar::Null);
                (arg.param.as_ref(), value)
            });
            let child_bound = bind_scalars(&child.template, given)?;
            self.match_claims(request, child, admission, &child_bound)?;
            included.push(self.known(request, child, child_bound));
        }
        let first = self.known(request, operation, bound);
        // What has to be written down of one of them, the backend does.
        let is_audited = |part: &Arc<Operation>| part.template.audit;
        if !is_audited(operation) && !operation.included.iter().any(is_audited) {
            for part in included.iter().chain([&first]).filter(|part| part.kept.is_none()) {
                self.check_prospect(request, game, part.operation, &part.bound)?;
            }
        }
        let begin = |part| self.begin_part(request, game, part);
        let included = included.into_iter().map(begin).collect::<Result<_, _>>()?;
        Ok(Waiting::of(begin(first)?, included))
    }

    fn known<'o, 'p>(
        &self,
        request: &Request<'_>,
        operation: &'o Arc<Operation>,
        bound: Bound<'p>,
    ) -> Known<'o, 'p> {
        let mut kept = None;
        if operation.template.cache.is_some() {
            let principal = request.principal.map(Arc::as_ref);
            let found = self.with_key(operation, principal, &bound, |key| {
                self.core.cache.l1().get(key, self.core.cache.ms_at(request.arrived))
            });
            kept = found.map(|stored| {
                let (operation, outcome) = (Arc::clone(operation), CacheOutcome::L1);
                Part { operation, stored, outcome, replayed: false, key: None }
            });
        }
        Known { operation, bound, kept }
    }

    fn begin_part(
        &self,
        request: &Request<'_>,
        game: &Game,
        part: Known<'_, '_>,
    ) -> Result<PartWaiting, Error> {
        let Known { operation, bound, kept } = part;
        match kept {
            Some(part) => Ok(PartWaiting::Ready(part)),
            None => Ok(PartWaiting::Pending(self.send(request, game, operation, bound)?)),
        }
    }
}
