//! What a write does within its transaction: one statement, or steps, or one statement for every row.

use super::super::connection::Statement;
use super::super::fault::Failure;
use super::super::statement::{Left, RunValues, row_count, write_statement};
use super::super::{BackendError, Details, Supplied};
use super::transaction::Transaction;
use super::{batch, event, procedure, reply, returning, steps};
use crate::bind::{Bound, holds};
use crate::catalog::{BusinessError, Guard, Kind, Scalar, Template};

/// A write's parameters: what it needs to be run, and run again.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend) struct Params<'a, 'b> {
    /// What to run.
    pub template: &'a Template,
    /// Its slots.
    pub bound: &'a Bound<'b>,
    /// What the gateway supplies.
    pub supplied: Supplied<'a>,
}

/// What a write did.
#[derive(Debug)]
pub(in crate::backend) struct Effect {
    /// What it answers, MessagePack.
    pub body: Vec<u8>,
    /// Rows matched by its statements.
    pub affected: u64,
}

impl<'a, 'b> Params<'a, 'b> {
    /// The values of a run.
    ///
    /// - `steps`: what was left by those before.
    pub(super) const fn values<'s>(&self, steps: &'s [Left]) -> RunValues<'s, 'b>
    where
        'a: 's,
    {
        RunValues { bound: self.bound, supplied: self.supplied, row: None, steps }
    }

    /// The values of a run for each row of a slot.
    pub(super) fn rows<'s>(&self, slot: usize, steps: &'s [Left]) -> Vec<RunValues<'s, 'b>>
    where
        'a: 's,
    {
        let Some(Scalar::List(rows)) = self.bound.values.get(slot) else { return Vec::new() };
        let first = row_count(self.template, self.bound, slot);
        let run = |(index, row)| {
            let id = self.supplied.row_ids.get(first + index).copied();
            let supplied = Supplied { id: id.unwrap_or(self.supplied.id), ..self.supplied };
            RunValues { bound: self.bound, supplied, row: Some(row), steps }
        };
        rows.iter().enumerate().map(run).collect()
    }
}

/// Runs it. After an error the transaction is to be rolled back.
pub(in crate::backend) async fn run(
    tx: &mut Transaction,
    params: &Params<'_, '_>,
) -> Result<Effect, Failure> {
    let template = params.template;
    let effect = match template.kind {
        Kind::Tx => steps::run(tx, params).await?,
        // Its rows have events of their own.
        Kind::Batch => return batch::run(tx, params).await,
        Kind::Call { .. } => procedure::run(tx, params).await?,
        _ => exec(tx, params).await?,
    };
    if effect.affected > 0 {
        event::put(tx, template, &[params.values(&[])]).await?;
    }
    Ok(effect)
}

async fn exec(tx: &mut Transaction, params: &Params<'_, '_>) -> Result<Effect, Failure> {
    let template = params.template;
    let statement = render(template, &params.values(&[]))?;
    let place = Place { template, what: "the statement", row: None };
    if !template.outputs.is_empty() {
        let names: Vec<Box<str>> = template.outputs.iter().map(|one| one.name().into()).collect();
        let returned = (template.dialect, &*template.write.returning);
        let done = returning::fetch(tx, &statement, returned, &names).await;
        let left = done.map_err(|failure| place.duplicate(failure, None))?;
        place.check(template.write.guard.as_ref(), left.affected)?;
        let body = reply::left(params, &left).map_err(Failure::Refused)?;
        return Ok(Effect { body, affected: left.affected });
    }
    let done = tx.execute(&statement).await;
    let affected = done.map_err(|failure| place.duplicate(failure, None))?;
    place.check(template.write.guard.as_ref(), affected)?;
    Ok(Effect { body: reply::affected(params, affected), affected })
}

/// The template's own statement for one run.
pub(super) fn render<'s>(
    template: &Template,
    values: &RunValues<'s, '_>,
) -> Result<Statement<'s>, Failure> {
    write_statement(&template.plan, template.dialect, values).map_err(Failure::Refused)
}

impl Guard {
    /// Whether it holds for a statement that counted so many rows.
    pub(super) fn holds_for(&self, count: u64) -> bool {
        holds(self.comparison, count.cmp(&self.count))
    }
}

/// Where something was refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// In which template.
    pub template: &'a Template,
    /// By which of its statements.
    pub what: &'a str,
    /// For which row.
    pub row: Option<usize>,
}

impl Place<'_> {
    /// Holds a count against a guard.
    ///
    /// # Errors
    ///
    /// What the guard, or the template's version, says to that.
    pub(super) fn check(&self, guard: Option<&Guard>, count: u64) -> Result<(), Failure> {
        let Some(guard) = guard else { return Ok(()) };
        if guard.holds_for(count) {
            return Ok(());
        }
        Err(Failure::Refused(match &guard.error {
            Some(error) => self.business(error),
            None if self.template.write.version_slot.is_some() => {
                BackendError::VersionConflict { details: Box::new(self.details()) }
            }
            None => BackendError::Guard { what: self.counted(guard, count).into() },
        }))
    }

    /// What a guard wants, and what was counted.
    fn counted(&self, guard: &Guard, count: u64) -> String {
        let (sign, wanted) = (guard.comparison.sign(), guard.count);
        format!("{} counted {count}, its guard wants {sign} {wanted}", self.what)
    }

    /// Says in the template's words that a key was taken.
    ///
    /// - `own`: the statement's answer; the template's holds besides.
    pub(super) fn duplicate(&self, failure: Failure, own: Option<&BusinessError>) -> Failure {
        match failure {
            Failure::Refused(error) => Failure::Refused(self.taken(error, own)),
            failure => failure,
        }
    }

    /// The same of a refusal.
    pub(super) fn taken(&self, error: BackendError, own: Option<&BusinessError>) -> BackendError {
        match (error, own.or(self.template.on_duplicate.as_ref())) {
            (BackendError::Duplicate { .. }, Some(error)) => self.business(error),
            (error, _) => error,
        }
    }

    fn business(&self, error: &BusinessError) -> BackendError {
        BackendError::Business { error: Box::new(error.clone()), details: Box::new(self.details()) }
    }

    fn details(&self) -> Details {
        Details { row: self.row, current: None }
    }
}
