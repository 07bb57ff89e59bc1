//! Blocks of PL/SQL as statements: the client's binds go in and come back, and a block that fails leaves nothing.

use super::Block;
use super::run::{Cell, Run};
use crate::buffers::external;
use crate::error::{Failure, OracleError};
use crate::handles::{self, Handle, lock};
use crate::session::Session;
use crate::statement::Statement;
use crate::value::Value;

/// Runs a block once, with the values of an iteration.
///
/// # Errors
/// What no handler took: what the block changed since its last commit is undone then.
pub fn run(
    statement: &mut Statement,
    session: &mut Session,
    block: &Block,
    iteration: u32,
) -> Result<(), Failure> {
    let names = statement.program.binds.clone();
    let mut binds = Vec::with_capacity(names.len());
    for (occurrence, name) in names.into_iter().enumerate() {
        let bind = statement.bound(occurrence)?;
        let is_cursor = bind.buffers.external == external::CURSOR;
        let value = if is_cursor { Value::Null } else { bind.value(iteration)? };
        binds.push((name, Cell { kind: bind.kind(), value }));
    }
    let before = binds.clone();
    session.savepoint("SAVEPOINT \"block\"")?;
    let mut run = Run::new(session, binds);
    let result = run.block(block);
    let Run { binds, cursors, .. } = run;
    if let Err(error) = result {
        undo(session)?;
        return Err(error.into());
    }
    for (occurrence, ((_, old), (_, new))) in before.iter().zip(&binds).enumerate() {
        if old != new {
            statement.bound(occurrence)?.put(iteration, &new.value)?;
        }
    }
    for (occurrence, (described, rows)) in cursors {
        let place = statement.bound(occurrence)?.buffers.value;
        let cursor = place.read::<usize>().unwrap_or(0);
        match &*handles::find_number(cursor)? {
            Handle::Statement(cursor) => {
                lock(cursor).open(&described, rows, session.offset_minutes);
            }
            _ => return Err(Failure::InvalidHandle),
        }
        statement.bound(occurrence)?.buffers.indicator.write(0_i16);
    }
    statement.row_count = 1;
    Ok(())
}

/// Goes back to where the block began, or to where it committed last.
fn undo(session: &mut Session) -> Result<(), OracleError> {
    if session.is_lost() || !session.in_transaction() {
        return Ok(());
    }
    match session.savepoint("ROLLBACK TO SAVEPOINT \"block\"") {
        // The block ended the transaction that it began in.
        Err(error) if error.code == 1086 => Ok(()),
        other => other,
    }
}
