//! One transaction of a batch, let to the owner of its game, with the cache's protocol around it.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::batch::Run;
use crate::backend::switch::Entered;
use crate::backend::write::{
    Applied, ApplyError, Holds, Mark, Params, RecordState, apply as transact,
};
use crate::backend::{BackendError, Supplied};
use crate::cache::{Tag, WRITE_MARGIN, write_tags};
use crate::catalog::Template;
use crate::journal::{Record, now_micros};
use crate::observe::Stage;
use crate::snapshot::Placed;

/// How long a transaction may take in the database.
const BATCH_TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 15 });
/// How often a batch that waits for the end of a flip looks whether the gateway ends meanwhile.
const GATE_STEP: Duration = Duration::from_millis(100);

impl Run<'_> {
    pub(super) async fn transact_unguarded(
        &self,
        part: &[&Record],
    ) -> Result<Vec<RecordState>, ApplyError> {
        let waits_until = Instant::now() + BATCH_TIMEOUT;
        loop {
            let entered = self.enter(waits_until).await?;
            let done = self.transact_on(&entered, part).await;
            match (&done, &entered.permit) {
                // The owner is asked for anew, and has them next.
                (Err(ApplyError::Moved), Some(permit)) => permit.doubt(),
                _ => return done,
            }
        }
    }

    /// Has a transaction let to the game's owner: in the middle of a flip it waits, as long as one may last.
    async fn enter(&self, until: Instant) -> Result<Entered<'_>, ApplyError> {
        loop {
            let step = until.min(Instant::now() + GATE_STEP);
            match self.shared.applier.gates.enter(self.known, step).await {
                Ok(entered) => return Ok(entered),
                Err(BackendError::SwitchPaused { .. }) if Instant::now() < until => {
                    // Also where it is known at once that it is to wait.
                    tokio::time::sleep_until(step.into()).await;
                }
                Err(error) => return Err(ApplyError::Lost(error)),
            }
            if self.shared.is_stopping.load(Ordering::Relaxed) {
                return Err(ApplyError::Moved);
            }
        }
    }

    async fn transact_on(
        &self,
        entered: &Entered<'_>,
        part: &[&Record],
    ) -> Result<Vec<RecordState>, ApplyError> {
        let Placed { pool: name, template, .. } = entered.placed;
        let Some(pool) = self.shared.applier.pools.get(name, template.dialect) else {
            // A reload that takes it away is refused while records wait, so this is a moment's matter.
            return Err(ApplyError::Lost(BackendError::Unreachable {
                pool: name.into(),
                source: None,
            }));
        };
        let applied: Vec<Applied<'_, '_>> = part
            .iter()
            .map(|record| Applied {
                params: params(template, record),
                key: record.key,
                mark: Mark {
                    journal: self.shared.source.id(),
                    sequence: i64::try_from(record.sequence).unwrap_or(i64::MAX),
                },
            })
            .collect();
        let tags = self.tags(part);
        let in_flight =
            self.shared.applier.cache.begin_write(tags, BATCH_TIMEOUT + WRITE_MARGIN).await;
        let started = Instant::now();
        let holds = Holds { owner: entered.owner(), fence: self.shared.source.fence() };
        let deadline = started + BATCH_TIMEOUT;
        let done = transact(&pool, template, &applied, holds, now_micros(), deadline).await;
        self.shared.applier.metrics.stage(Stage::Apply, started.elapsed());
        if matches!(done, Err(ApplyError::Lost(BackendError::OutcomeUnknown { .. }))) {
            // It may still be committed: its tags stay closed until it cannot be any more.
            drop(in_flight);
        } else {
            in_flight.finish().await;
        }
        done
    }

    fn tags(&self, part: &[&Record]) -> Box<[Tag]> {
        let template = self.template;
        let mut tags: Vec<Tag> = Vec::new();
        for record in part {
            let own = write_tags(&template.game, &template.invalidate, &record.payload.bound);
            tags.extend_from_slice(&own);
        }
        tags.sort_unstable();
        tags.dedup();
        tags.into()
    }
}

fn params<'r>(template: &'r Template, record: &'r Record) -> Params<'r, 'static> {
    let payload = &record.payload;
    #[cfg(test)]
    super::faults::in_transaction(record);
    let (id, row_ids) = match payload.ids.split_first() {
        Some((id, rest)) if template.uses_id() => (*id, rest),
        _ => (0, &payload.ids[..]),
    };
    let supplied = Supplied {
        now_micros: payload.now_micros,
        id,
        row_ids,
        caller: &payload.caller,
        claims: &payload.claims,
        trace: &payload.trace,
    };
    Params { template, bound: &payload.bound, supplied }
}
