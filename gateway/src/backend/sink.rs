//! Where a result's rows go.

use super::BackendError;
use super::cell::Cell;

/// What takes a result's rows in.
pub(super) trait Sink {
    /// Where the columns that it wants stand, in a result with columns of these names.
    ///
    /// # Errors
    ///
    /// [`BackendError::Column`] for the first one that is not there.
    fn positions<'n>(
        &self,
        names: &(impl Iterator<Item = &'n str> + Clone),
    ) -> Result<Vec<usize>, BackendError>;

    /// How many rows it takes; more are refused, or not looked at.
    fn row_count_max(&self) -> u32;

    /// Takes a row. `read` gives the value of a wanted column, by its index among those.
    ///
    /// # Errors
    ///
    /// What makes the whole result useless.
    fn push<'r>(
        &mut self,
        read: impl Fn(usize) -> Result<Cell<'r>, Box<str>>,
    ) -> Result<(), BackendError>;
}
