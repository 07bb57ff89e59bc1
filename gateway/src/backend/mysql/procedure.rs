//! `CALL` on MySQL: result sets are the declared rows, in order, and the last set the values of OUT parameters.
//!
//! The server sends OUT and INOUT parameters of a prepared CALL as a result set of one row behind all others, a column
//! for each placeholder that stands at such a parameter. How many sets there are is known when all have come.

use std::future::poll_fn;
use std::task::{Context, Poll};

use sqlx::Either;
use sqlx::mysql::{MySqlQueryResult, MySqlRow};

use super::super::BackendError;
use super::super::encode::Rows;
use super::super::fault::Failure;
use super::super::procedure::Answer;
use super::value::{Place, push, read_at, width};

/// Rows that are read and dropped after a result turned out to be of no use; more, and the connection is closed.
const DRAIN_ROWS_MAX: u32 = 1000;

/// The sets of one call.
struct Sets<'a, 't> {
    answer: &'a mut Answer<'t>,
    cursors: Vec<usize>,
    /// Outputs that are values, in the order of their binds.
    values: Vec<usize>,
    /// Sets that have ended.
    ended: usize,
    rows: Option<(usize, Rows<'t>, Vec<Place>)>,
}

/// Takes in what a call gives.
///
/// # Errors
///
/// The driver's; [`BackendError::Column`] for sets that are not as declared.
pub(super) async fn take(
    mut next: impl FnMut(
        &mut Context<'_>,
    ) -> Poll<Option<Result<Either<MySqlQueryResult, MySqlRow>, sqlx::Error>>>,
    answer: &mut Answer<'_>,
) -> Result<(), Failure> {
    let cursors = answer.cursors();
    let values = answer.returned().map(|(_, output, _)| output).collect();
    let mut sets = Sets { answer, cursors, values, ended: 0, rows: None };
    let (mut failure, mut dropped) = (None, 0);
    while let Some(item) = poll_fn(&mut next).await {
        let item = item?;
        if failure.is_some() {
            dropped += u32::from(item.is_right());
            if dropped > DRAIN_ROWS_MAX {
                break;
            }
            continue;
        }
        failure = match &item {
            Either::Right(row) => sets.row(row),
            Either::Left(_) => {
                sets.end();
                Ok(())
            }
        }
        .err();
    }
    match failure {
        Some(failure) if dropped > DRAIN_ROWS_MAX => Err(Failure::Unread(failure)),
        Some(failure) => Err(Failure::Refused(failure)),
        None => sets.finish().map_err(Failure::Refused),
    }
}

impl Sets<'_, '_> {
    fn row(&mut self, row: &MySqlRow) -> Result<(), BackendError> {
        if let Some(output) = self.cursors.get(self.ended).copied() {
            let rows =
                self.rows.get_or_insert_with(|| (output, self.answer.rows(output), Vec::new()));
            return push(&mut rows.1, row, &mut rows.2);
        }
        if self.ended > self.cursors.len() || self.values.is_empty() {
            return Err(differs(format!("it gives more than {} result sets", self.cursors.len())));
        }
        if width(row) != self.values.len() {
            return Err(differs(format!(
                "it gives {} values where {} are passed as OUT",
                width(row),
                self.values.len()
            )));
        }
        for (index, output) in self.values.iter().enumerate() {
            self.answer.value(*output, read_at(row, index))?;
        }
        Ok(())
    }

    /// A set has ended, or the whole call.
    fn end(&mut self) {
        if let Some((output, rows, _)) = self.rows.take() {
            self.answer.take_rows(output, rows);
        } else if let Some(output) = self.cursors.get(self.ended).copied() {
            // Without rows, if it is a set; if there was none, that shows at the end.
            let rows = self.answer.rows(output);
            self.answer.take_rows(output, rows);
        }
        self.ended += 1;
    }

    /// The last end is that of the call itself.
    fn finish(self) -> Result<(), BackendError> {
        let wanted = self.cursors.len() + usize::from(!self.values.is_empty());
        let found = self.ended.saturating_sub(1);
        if found != wanted {
            return Err(differs(format!(
                "it gives {found} result sets where {wanted} are declared"
            )));
        }
        Ok(())
    }
}

fn differs(fault: String) -> BackendError {
    BackendError::Column { column: "the procedure".into(), fault: fault.into() }
}
