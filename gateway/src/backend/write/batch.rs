//! A `batch`: one statement for every row, each row with an outcome of its own.
//!
//! Rows are folded into multi-row statements; where one of those is refused, or its count does not say what
//! each row did, its rows are run one by one. A row that is refused takes no other along.

use super::super::BackendError;
use super::super::fault::Failure;
use super::super::fold::{Folded, folded};
use super::super::statement::RunValues;
use super::effect::{Effect, Params, Place, render};
use super::transaction::Transaction;
use super::{event, reply};
use crate::catalog::{Dialect, Fold};
use crate::observe::{Event, emit};

/// What became of a row.
pub(super) type RowOutcome = Result<u64, BackendError>;

/// Runs it.
pub(super) async fn run(tx: &mut Transaction, params: &Params<'_, '_>) -> Result<Effect, Failure> {
    let template = params.template;
    let slot = template.write.batch_slot.unwrap_or(usize::MAX);
    let runs = params.rows(slot, &[]);
    let mut outcomes: Vec<RowOutcome> = Vec::with_capacity(runs.len());
    let guard = template.write.guard.as_ref();
    let suits = |fold: &&Fold| fold.suits(template.dialect, guard) && runs.len() > 1;
    match template.plan.fold.as_ref().filter(suits) {
        Some(fold) => {
            for part in folded(fold, template.dialect, &runs) {
                let rows = runs.get(part.range.clone()).unwrap_or_default();
                if template.dialect == Dialect::Oracle {
                    array(tx, params, &part, rows, &mut outcomes).await?;
                } else if is_done_at_once(tx, fold, &part).await? {
                    outcomes.extend(rows.iter().map(|_row| Ok(1)));
                } else {
                    singly(tx, params, rows, &mut outcomes).await?;
                }
            }
        }
        None => singly(tx, params, &runs, &mut outcomes).await?,
    }
    let done = runs.iter().zip(&outcomes);
    let changed = done.filter(|(_, outcome)| outcome.as_ref().is_ok_and(|count| *count > 0));
    let changed: Vec<RunValues<'_, '_>> = changed.map(|(run, _)| *run).collect();
    event::put(tx, template, &changed).await?;
    tell_faults(params, &outcomes);
    let affected = outcomes.iter().flatten().sum();
    Ok(Effect { body: reply::batch(affected, &outcomes, ids(params)), affected })
}

/// The ids of the rows, where each is given one.
fn ids<'p>(params: &Params<'p, '_>) -> &'p [i64] {
    if params.template.plan.uses_id() { params.supplied.row_ids } else { &[] }
}

/// Tells the log of rows that were refused by no fault of the caller's. The reply does not say why: of each
/// request the first such row stands for all.
fn tell_faults(params: &Params<'_, '_>, outcomes: &[RowOutcome]) {
    let mut refused = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    let Some(error) = refused.find(|error| error.code() < 2000) else { return };
    emit(&Event::RequestFailed {
        trace: params.supplied.trace,
        game: params.template.game.as_str(),
        operation: params.template.op.as_str(),
        code: error.code(),
        error,
    });
}

/// Runs rows in one statement. False: nothing was done, and they are to be run one by one.
async fn is_done_at_once(
    tx: &mut Transaction,
    fold: &Fold,
    part: &Folded<'_>,
) -> Result<bool, Failure> {
    let row_count = part.range.len() as u64;
    if !fold.is_plain() {
        tx.set_savepoint().await?;
    }
    match tx.execute(&part.statement).await {
        // MySQL counts a row that an upsert changed twice; none counts less than one unless it was skipped.
        Ok(count) if count >= row_count => {}
        Ok(_) => {
            tx.undo_to_savepoint().await?;
            return Ok(false);
        }
        Err(Failure::Refused(error)) if !matches!(error, BackendError::Locked { .. }) => {
            if tx.has_ended().await? {
                return Err(Failure::Unread(error));
            }
            if !fold.is_plain() {
                tx.undo_to_savepoint().await?;
            }
            return Ok(false);
        }
        Err(failure) => return Err(failure),
    }
    if !fold.is_plain() {
        tx.release_savepoint().await?;
    }
    Ok(true)
}

/// All rows at once, each with the database's own word on it. Where a guard does not hold, all of them are undone
/// and run one by one.
async fn array(
    tx: &mut Transaction,
    params: &Params<'_, '_>,
    part: &Folded<'_>,
    rows: &[RunValues<'_, '_>],
    outcomes: &mut Vec<RowOutcome>,
) -> Result<(), Failure> {
    let guard = params.template.write.guard.as_ref();
    if guard.is_some() {
        tx.set_savepoint().await?;
    }
    let done = tx.execute_array(&part.statement, rows.len()).await?;
    let holds = |count: &u64| guard.is_none_or(|guard| guard.holds_for(*count));
    if !done.iter().flatten().all(holds) {
        tx.undo_to_savepoint().await?;
        return singly(tx, params, rows, outcomes).await;
    }
    for outcome in done {
        let place = Place { template: params.template, what: "a row", row: Some(outcomes.len()) };
        outcomes.push(outcome.map_err(|error| place.taken(error, None)));
    }
    Ok(())
}

async fn singly(
    tx: &mut Transaction,
    params: &Params<'_, '_>,
    runs: &[RunValues<'_, '_>],
    outcomes: &mut Vec<RowOutcome>,
) -> Result<(), Failure> {
    for run in runs {
        // The index among all rows, whichever part of them this is.
        let row = Some(outcomes.len());
        let place = Place { template: params.template, what: "a row", row };
        match one(tx, run, place).await {
            Ok(count) => outcomes.push(Ok(count)),
            // A deadlock has taken everything back; to wait for a lock again is for the whole batch to decide.
            Err(Failure::Refused(error)) if !matches!(error, BackendError::Locked { .. }) => {
                outcomes.push(Err(error));
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

/// One row. A statement that is refused has done nothing; one whose guard does not hold is undone.
async fn one(
    tx: &mut Transaction,
    run: &RunValues<'_, '_>,
    place: Place<'_>,
) -> Result<u64, Failure> {
    let guard = place.template.write.guard.as_ref();
    let statement = render(place.template, run)?;
    if guard.is_some() {
        tx.set_savepoint().await?;
    }
    let done = tx.execute(&statement).await;
    let checked = match done {
        Ok(count) => place.check(guard, count).map(|()| count),
        Err(Failure::Refused(error)) if tx.has_ended().await? => Err(Failure::Unread(error)),
        Err(failure) => Err(place.duplicate(failure, None)),
    };
    match &checked {
        Ok(_) if guard.is_some() => tx.release_savepoint().await?,
        Err(Failure::Refused(error))
            if guard.is_some() && !matches!(error, BackendError::Locked { .. }) =>
        {
            tx.undo_to_savepoint().await?;
        }
        _ => {}
    }
    checked
}
