//! Rows of a query, on their way to the client's buffers.
//!
//! A query is run to its end when it is executed; a fetch takes from what came.

use crate::error::{Failure, OracleError, Outcome, Status};
use crate::execute::Statement;
use crate::handles::{self, Handle, lock};
use crate::row;

/// `OCI_FETCH_NEXT`.
const NEXT: u16 = 2;

/// `OCIStmtFetch2`: moves at most `count` rows.
///
/// Returns [`Status::NoData`] when fewer came than asked for: there are no more.
///
/// # Errors
/// ORA-01002: nothing was executed; a value that the client's buffers do not take.
pub fn fetch(statement: &mut Statement, count: u32, orientation: u16) -> Outcome {
    if orientation != NEXT {
        return Err(OracleError::not_imitated("scrolling").into());
    }
    statement.rows_fetched = 0;
    for index in 0..count {
        let Some(row) = statement.rows.pop() else { return Ok(Status::NoData) };
        for (column, number) in
            statement.defines.iter().enumerate().filter(|(_, number)| **number != 0)
        {
            let found = handles::find_number(*number)?;
            let Handle::Define(define) = &*found else { return Err(Failure::InvalidHandle) };
            let define = lock(define).clone();
            define.put(index, &row::value(&row, column, statement.offset_minutes)?)?;
        }
        statement.rows_fetched += 1;
        statement.row_count += 1;
    }
    Ok(Status::Success)
}
