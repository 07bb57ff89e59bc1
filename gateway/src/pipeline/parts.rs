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

impl Worker {
    /// Begins an operation with `@include`: itself and each included one, side by side.
    pub(super) fn begin_parts(
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
            let admission = self.admit(request, game, child)?;
            let given = include.args.iter().map(|arg| {
                let value = bound.values.get(arg.slot).cloned().unwrap_or(Scalar::Null);
                (arg.param.as_ref(), value)
            });
            let child_bound = bind_scalars(&child.template, given)?;
            self.match_claims(request, child, admission, &child_bound)?;
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
                let outcome = CacheOutcome::L1;
                let part = Part { operation, stored, outcome, replayed: false, key: None };
                return Ok(PartWaiting::Ready(part));
            }
        }
        Ok(PartWaiting::Pending(self.send(request, game, operation, bound)?))
    }
}
