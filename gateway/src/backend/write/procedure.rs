//! A call of a procedure that writes, within a write's transaction.
//!
//! A procedure must not end the transaction: its effect and the key's row would not be committed together. Oracle is
//! told so (`ALTER SESSION DISABLE COMMIT IN PROCEDURE`), and refuses. MySQL has no such word; there a savepoint that is
//! gone afterwards says it, and the caller is told the truth: what was done is not known.

use super::super::BackendError;
use super::super::fault::Failure;
use super::super::procedure::{Answer, meaning};
use super::effect::{Effect, Params, Place, render};
use super::transaction::Transaction;
use crate::catalog::Dialect;

/// Most bytes that are taken in; the reply's own limit is less, and holds when all of it is there.
const BYTES_MAX: u32 = 64 << 20;

/// Runs it. After an error the transaction is to be rolled back.
pub(super) async fn run(tx: &mut Transaction, params: &Params<'_, '_>) -> Result<Effect, Failure> {
    let template = params.template;
    let (Some(procedure), Some(mut answer)) =
        (&template.procedure, Answer::new(template, BYTES_MAX))
    else {
        return Err(Failure::Refused(BackendError::Supply("there is no procedure".into())));
    };
    let statement = render(template, &params.values(&[]))?;
    let is_watched = template.dialect == Dialect::Mysql;
    if is_watched {
        tx.set_savepoint().await?;
    }
    let called = tx.call(&statement, &mut answer).await;
    let is_over = matches!(
        called,
        Err(Failure::Lost(_) | Failure::Unread(_) | Failure::Refused(BackendError::Locked { .. }))
    );
    if is_watched && !is_over {
        tx.still_has_savepoint().await?;
    }
    let place = Place { template, what: "the procedure", row: None };
    called.map_err(|failure| place.duplicate(meaning(procedure, failure), None))?;
    answer.check(procedure).map_err(Failure::Refused)?;
    let id = template.uses_id().then_some(params.supplied.id);
    let body = answer.finish(id).map_err(Failure::Refused)?;
    Ok(Effect { body, affected: 1 })
}
