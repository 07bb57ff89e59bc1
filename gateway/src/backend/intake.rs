//! What a driver answers, taken in as it comes: rows by whoever wants them, counts by whoever counts.

use std::future::poll_fn;
use std::task::{Context, Poll};

use sqlx::Either;

use super::BackendError;
use super::fault::Failure;

/// Rows that are read and dropped after a result turned out to be of no use, so that its connection
/// can be kept. More than that, and closing it is cheaper.
const DRAIN_ROWS_MAX: u32 = 1000;

/// A result on its way: what made it useless, and how many rows were dropped since.
#[derive(Debug, Default)]
pub(super) struct Intake {
    failure: Option<BackendError>,
    dropped: u32,
}

impl Intake {
    /// Takes a whole result in by `push`; rows behind one that it refuses are dropped.
    ///
    /// - `next`: the driver's next row, or count.
    ///
    /// # Errors
    ///
    /// What made the result useless; [`Failure::Unread`] when too many rows were dropped.
    pub(super) async fn all<Q, R>(
        mut next: impl FnMut(&mut Context<'_>) -> Poll<Option<Result<Either<Q, R>, sqlx::Error>>>,
        mut push: impl FnMut(&R) -> Result<(), BackendError>,
    ) -> Result<(), Failure> {
        let mut intake = Self::default();
        while let Some(item) = poll_fn(&mut next).await {
            if let Either::Right(row) = item? {
                intake.row(|| push(&row))?;
            }
        }
        intake.settle()
    }

    /// The result is whole: whether it is of use.
    pub(super) fn settle(self) -> Result<(), Failure> {
        self.failure.map_or(Ok(()), |failure| Err(Failure::Refused(failure)))
    }

    /// Takes a row in by `push`, or drops it.
    pub(super) fn row(
        &mut self,
        push: impl FnOnce() -> Result<(), BackendError>,
    ) -> Result<(), Failure> {
        if self.failure.is_none() {
            self.failure = push().err();
            return Ok(());
        }
        self.dropped += 1;
        match self.failure.take_if(|_| self.dropped > DRAIN_ROWS_MAX) {
            Some(failure) => Err(Failure::Unread(failure)),
            None => Ok(()),
        }
    }
}

/// Reads what statements answered to the end and gives each one's count to `done`; rows are dropped.
///
/// - `next`: the driver's next row, or count. The driver's own ways to run a statement box two futures more.
///
/// # Errors
///
/// The driver's; `done` was called for the statements before.
pub(super) async fn run_all<Q, R>(
    mut next: impl FnMut(&mut Context<'_>) -> Poll<Option<Result<Either<Q, R>, sqlx::Error>>>,
    mut done: impl FnMut(&Q),
) -> Result<(), sqlx::Error> {
    while let Some(item) = poll_fn(&mut next).await {
        if let Either::Left(result) = item? {
            done(&result);
        }
    }
    Ok(())
}
