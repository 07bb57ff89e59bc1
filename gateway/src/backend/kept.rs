//! The first row of a step's result, kept as values that can be bound again exactly.

use super::BackendError;
use super::cell::Cell;
use super::connection::Sink;
use super::encode::positions;
use super::statement::Left;
use crate::catalog::Scalar;

/// A result of which the first row's columns are kept, each in the form that the database gave it.
#[derive(Debug)]
pub(super) struct Kept<'c> {
    columns: &'c [Box<str>],
    row_count_max: u32,
    left: Left,
}

impl<'c> Kept<'c> {
    /// Begins.
    ///
    /// - `columns`: what is kept, by name in any case.
    /// - `row_count_max`: one row more is refused.
    pub(super) const fn new(columns: &'c [Box<str>], row_count_max: u32) -> Self {
        Self { columns, row_count_max, left: Left { affected: 0, columns: Vec::new() } }
    }

    /// How many rows there were, and the first one's values.
    pub(super) fn finish(self) -> Left {
        self.left
    }
}

impl Sink for Kept<'_> {
    fn positions<'n>(
        &self,
        names: &(impl Iterator<Item = &'n str> + Clone),
    ) -> Result<Vec<usize>, BackendError> {
        positions(self.columns.iter().map(|name| &**name), names)
    }

    fn row_count_max(&self) -> u32 {
        self.row_count_max
    }

    fn push<'r>(
        &mut self,
        read: impl Fn(usize) -> Result<Cell<'r>, Box<str>>,
    ) -> Result<(), BackendError> {
        if self.left.affected == u64::from(self.row_count_max) {
            let limit = format!("{} rows", self.row_count_max).into();
            return Err(BackendError::TooLarge { limit });
        }
        if self.left.affected == 0 {
            for (index, name) in self.columns.iter().enumerate() {
                let cell = read(index)
                    .map_err(|fault| BackendError::Column { column: name.clone(), fault })?;
                self.left.columns.push(natural(cell));
            }
        }
        self.left.affected += 1;
        Ok(())
    }
}

/// A value in the form that the database gave it.
fn natural(cell: Cell<'_>) -> Scalar<'static> {
    match cell {
        Cell::Null => Scalar::Null,
        Cell::Int(value) => Scalar::Int(value),
        // Beyond 63 bits a decimal holds it exactly.
        Cell::UInt(value) => i64::try_from(value)
            .map_or_else(|_large| Scalar::Decimal(value.to_string().into()), Scalar::Int),
        Cell::Float(value) => Scalar::Float(value),
        Cell::Decimal(text) => Scalar::Decimal(text.to_owned().into()),
        Cell::Text(text) => Scalar::Str(text.to_owned().into()),
        Cell::Bytes(bytes) => Scalar::Bytes(bytes.to_vec().into()),
        Cell::Date(days) => Scalar::Date(days),
        Cell::Moment(micros) | Cell::Day { micros, .. } => Scalar::Timestamp(micros),
    }
}

/// The same as a driver's value, for a reply.
pub(super) fn cell<'v>(value: &'v Scalar<'_>) -> Cell<'v> {
    match value {
        Scalar::Null | Scalar::List(_) => Cell::Null,
        Scalar::Bool(value) => Cell::Int(i64::from(*value)),
        Scalar::Int(value) => Cell::Int(*value),
        Scalar::Float(value) => Cell::Float(*value),
        Scalar::Decimal(text) => Cell::Decimal(text),
        Scalar::Str(text) | Scalar::Json(text) => Cell::Text(text),
        Scalar::Bytes(bytes) => Cell::Bytes(bytes),
        Scalar::Date(days) => Cell::Date(*days),
        Scalar::Timestamp(micros) => Cell::Moment(*micros),
    }
}

/// A small result of the gateway's own, whole.
#[derive(Debug)]
pub(super) struct Table<'c> {
    columns: &'c [&'c str],
    rows: Vec<Vec<Scalar<'static>>>,
}

impl<'c> Table<'c> {
    /// Begins.
    pub(super) const fn new(columns: &'c [&'c str]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// The rows, each with the columns' values in their order.
    pub(super) fn finish(self) -> Vec<Vec<Scalar<'static>>> {
        self.rows
    }
}

impl Sink for Table<'_> {
    fn positions<'n>(
        &self,
        names: &(impl Iterator<Item = &'n str> + Clone),
    ) -> Result<Vec<usize>, BackendError> {
        positions(self.columns.iter().copied(), names)
    }

    fn row_count_max(&self) -> u32 {
        u32::MAX
    }

    fn push<'r>(
        &mut self,
        read: impl Fn(usize) -> Result<Cell<'r>, Box<str>>,
    ) -> Result<(), BackendError> {
        let value = |(index, name): (usize, &&str)| {
            let faulty = |fault| BackendError::Column { column: (*name).into(), fault };
            read(index).map(natural).map_err(faulty)
        };
        let row = self.columns.iter().enumerate().map(value).collect::<Result<_, _>>()?;
        self.rows.push(row);
        Ok(())
    }
}
