//! The steps of a `tx`.

use std::ops::Range;

use super::super::BackendError;
use super::super::fault::Failure;
use super::super::fold::folded;
use super::super::kept::Kept;
use super::super::statement::{Left, RunValues, write_statement};
use super::effect::{Effect, Params, Place};
use super::transaction::Transaction;
use super::{reply, returning};
use crate::bind::holds;
use crate::catalog::{Dialect, Fold, Scalar, Step, StepKind, When};

/// Runs them in order.
pub(super) async fn run(tx: &mut Transaction, params: &Params<'_, '_>) -> Result<Effect, Failure> {
    let steps = &params.template.write.steps;
    let mut lefts: Vec<Left> = Vec::with_capacity(steps.len());
    let mut affected = 0;
    for step in steps {
        let left = if step.when.as_ref().is_none_or(|when| is_met(when, &lefts)) {
            one(tx, params, step, &lefts).await?
        } else {
            Left::default()
        };
        affected += if step.kind == StepKind::Exec { left.affected } else { 0 };
        lefts.push(left);
    }
    let body = reply::returned(params, &lefts).map_err(Failure::Refused)?;
    Ok(Effect { body, affected })
}

/// NULL compares with nothing. A column that came as text (a decimal, in SQLite) is compared as text.
fn is_met(when: &When, lefts: &[Left]) -> bool {
    let value = lefts.get(when.step).map_or(Scalar::Null, |left| left.value(when.value));
    value.compare(&when.literal).is_some_and(|order| holds(when.comparison, order))
}

async fn one(
    tx: &mut Transaction,
    params: &Params<'_, '_>,
    step: &Step,
    lefts: &[Left],
) -> Result<Left, Failure> {
    let place = Place { template: params.template, what: &step.name, row: None };
    match step.each {
        None => once(tx, step, &params.values(lefts), place).await,
        Some(slot) => {
            let runs = params.rows(slot, lefts);
            let dialect = params.template.dialect;
            let fold = step.plan.fold.as_ref().filter(|fold| may_fold(step, fold, dialect));
            match fold {
                Some(fold) if runs.len() > 1 => many(tx, step, fold, &runs, place).await,
                _ => {
                    let mut sum = Left::default();
                    singly(tx, step, &runs, 0..runs.len(), (place, &mut sum)).await?;
                    Ok(sum)
                }
            }
        }
    }
}

/// Only where a success says what each row's guard would have said, or the database says it of each row.
fn may_fold(step: &Step, fold: &Fold, dialect: Dialect) -> bool {
    let guard = step.guard.as_ref();
    let is_told = guard.is_none() || fold.is_plain() || dialect == Dialect::Oracle;
    step.kind == StepKind::Exec && fold.suits(dialect, guard) && is_told
}

async fn many(
    tx: &mut Transaction,
    step: &Step,
    fold: &Fold,
    runs: &[RunValues<'_, '_>],
    place: Place<'_>,
) -> Result<Left, Failure> {
    let mut sum = Left::default();
    for part in folded(fold, place.template.dialect, runs) {
        if place.template.dialect == Dialect::Oracle {
            let done = tx.execute_array(&part.statement, part.range.len()).await?;
            for (row, outcome) in part.range.zip(done) {
                let place = Place { row: Some(row), ..place };
                let taken =
                    |error| Failure::Refused(place.taken(error, step.on_duplicate.as_ref()));
                let count = outcome.map_err(taken)?;
                place.check(step.guard.as_ref(), count)?;
                sum.affected += count;
            }
            continue;
        }
        match tx.execute(&part.statement).await {
            // An upsert counts a row that it changed twice, on MySQL.
            Ok(count) => sum.affected += count.min(part.range.len() as u64),
            Err(Failure::Refused(error)) if !matches!(error, BackendError::Locked { .. }) => {
                if tx.has_ended().await? {
                    return Err(Failure::Unread(error));
                }
                // It did nothing: the rows one by one tell which one it is.
                singly(tx, step, runs, part.range, (place, &mut sum)).await?;
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(sum)
}

async fn singly(
    tx: &mut Transaction,
    step: &Step,
    runs: &[RunValues<'_, '_>],
    range: Range<usize>,
    (place, sum): (Place<'_>, &mut Left),
) -> Result<(), Failure> {
    for (index, run) in runs.iter().enumerate().skip(range.start).take(range.len()) {
        let left = once(tx, step, run, Place { row: Some(index), ..place }).await?;
        sum.affected += left.affected;
        if sum.columns.is_empty() {
            sum.columns = left.columns;
        }
    }
    Ok(())
}

/// One run, held against the step's guard.
async fn once(
    tx: &mut Transaction,
    step: &Step,
    values: &RunValues<'_, '_>,
    place: Place<'_>,
) -> Result<Left, Failure> {
    let template = place.template;
    let statement =
        write_statement(&step.plan, template.dialect, values).map_err(Failure::Refused)?;
    let left = if !step.returning.is_empty() {
        let returned = (template.dialect, &*step.returning);
        let done = returning::fetch(tx, &statement, returned, &step.columns).await;
        done.map_err(|failure| place.duplicate(failure, step.on_duplicate.as_ref()))?
    } else if step.kind == StepKind::Exec {
        let done = tx.execute(&statement).await;
        let affected =
            done.map_err(|failure| place.duplicate(failure, step.on_duplicate.as_ref()))?;
        Left { affected, columns: Vec::new() }
    } else {
        let row_count_max = if step.kind == StepKind::Many { template.row_count_max } else { 1 };
        let mut kept = Kept::new(&step.columns, row_count_max);
        tx.fetch(&statement, &mut kept).await?;
        kept.finish()
    };
    if step.kind == StepKind::One && step.guard.is_none() && left.affected == 0 {
        return Err(Failure::Refused(BackendError::NoSuchRow));
    }
    place.check(step.guard.as_ref(), left.affected)?;
    Ok(left)
}
