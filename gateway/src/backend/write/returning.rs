//! A write that tells what it left of the row that it changed.

use super::super::connection::Statement;
use super::super::fault::Failure;
use super::super::kept::Kept;
use super::super::statement::Left;
use super::transaction::Transaction;
use crate::catalog::{Column, Dialect};

/// Rows that such a write may touch: of several the values of which one?
const ROW_COUNT_MAX: u32 = 1;

/// Runs it. Returns how many rows it touched, 0 or 1, and the values of `names`.
///
/// - `returning`: all that it returns, in the statement's order.
///
/// # Errors
///
/// [`Failure`]; more than one row is refused, and is to be rolled back.
pub(super) async fn fetch(
    tx: &mut Transaction,
    statement: &Statement<'_>,
    (dialect, returning): (Dialect, &[Column]),
    names: &[Box<str>],
) -> Result<Left, Failure> {
    // Oracle's INTO stands at the end of the statement.
    let first = statement.binds.len().saturating_sub(returning.len());
    let binds = if dialect == Dialect::Oracle { returning } else { &[] };
    let returned: Vec<(usize, &Column)> =
        binds.iter().enumerate().map(|(index, column)| (first + index, column)).collect();
    let mut kept = Kept::new(names, ROW_COUNT_MAX);
    tx.fetch_returned(statement, &returned, &mut kept).await?;
    Ok(kept.finish())
}
