//! What the client said about its buffers: binds (values that go in, or come back) and defines (columns).

use crate::buffers::{self, Place};
use crate::error::{Failure, OracleError};
use crate::memory::{
    Address, DefineCallback, InCallback, OutCallback, Slot, call_define, call_in, call_out,
};
use crate::value::{Kind, Value};

/// Where a client's values are: an array of buffers of one size.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// First value.
    pub value: Address,
    /// Bytes from one value to the next.
    pub size: usize,
    /// `SQLT_*`: the external type.
    pub external: u16,
    /// Indicators, two bytes each.
    pub indicator: Address,
    /// Actual lengths, four bytes each.
    pub len: Address,
    /// Return codes, two bytes each.
    pub code: Address,
}

impl Buffers {
    fn place(&self, index: u32) -> Place {
        let index = usize::try_from(index).unwrap_or(0);
        Place {
            external: self.external,
            value: self.value.offset(index * self.size),
            room: self.size,
            indicator: self.indicator.offset(index * 2),
            len: self.len.offset(index * 4),
            code: self.code.offset(index * 2),
        }
    }
}

/// A bind: its buffers, or the functions that give and take values.
#[derive(Debug, Clone)]
pub struct Bind {
    /// Where values are, if not asked for.
    pub buffers: Buffers,
    /// The handle's own number, told to the functions.
    pub number: usize,
    /// Gives values.
    pub input: Option<(InCallback, Address)>,
    /// Takes values.
    pub output: Option<(OutCallback, Address)>,
    /// `OCI_ATTR_ROWS_RETURNED` of the iteration that is given back now.
    pub rows_returned: u32,
}

impl Bind {
    /// What the bind is declared as.
    pub const fn kind(&self) -> Kind {
        buffers::kind(self.buffers.external)
    }

    /// The value of an iteration.
    ///
    /// # Errors
    /// The client's function refused, or the bytes are no value of the type.
    pub fn value(&self, iteration: u32) -> Result<Value, Failure> {
        let Some((callback, context)) = self.input else {
            return buffers::read(&self.buffers.place(iteration));
        };
        let slot = call_in(callback, context, self.number, iteration).ok_or_else(refused)?;
        let mut place = self.place(&slot);
        place.len = Address::NONE;
        buffers::read(&place)
    }

    /// Whether an array of values is bound, not asked for.
    pub const fn has_buffers(&self) -> bool {
        self.output.is_none()
    }

    /// Gives a value back into the buffer of an iteration: an OUT parameter.
    ///
    /// # Errors
    /// The value does not fit.
    pub fn put(&self, iteration: u32, value: &Value) -> Result<(), Failure> {
        if let Some((callback, context)) = self.output {
            return self.put_pieces(callback, context, (iteration, 0), value);
        }
        buffers::write(&self.buffers.place(iteration), value)
    }

    /// Gives the value of a returned row back. The rows returned are to be set before.
    ///
    /// # Errors
    /// The client's function refused, or the value does not fit.
    pub fn put_returned(&self, iteration: u32, row: u32, value: &Value) -> Result<(), Failure> {
        match self.output {
            Some((callback, context)) => {
                self.put_pieces(callback, context, (iteration, row), value)
            }
            None => buffers::write(&self.buffers.place(row), value),
        }
    }

    /// Gives a value as one piece where it fits, in several where it does not.
    fn put_pieces(
        &self,
        callback: OutCallback,
        context: Address,
        (iteration, row): (u32, u32),
        value: &Value,
    ) -> Result<(), Failure> {
        let first =
            call_out(callback, context, self.number, (iteration, row, 0)).ok_or_else(refused)?;
        let ask = |piece| call_out(callback, context, self.number, (iteration, row, piece));
        buffers::write_pieces(self.place(&first), value, &mut || ask(2))
    }

    fn place(&self, slot: &Slot) -> Place {
        Place::of(self.buffers.external, slot)
    }
}

/// A define: where a column's values go.
#[derive(Debug, Clone)]
pub struct Define {
    /// Where values go, if not asked for.
    pub buffers: Buffers,
    /// The handle's own number, told to the function.
    pub number: usize,
    /// Takes values in pieces.
    pub callback: Option<(DefineCallback, Address)>,
}

impl Define {
    /// Puts a column's value into the n-th row of the client's buffers.
    ///
    /// # Errors
    /// The client's function refused, or the value is none of the type.
    pub fn put(&self, row: u32, value: &Value) -> Result<(), Failure> {
        let Some((callback, context)) = self.callback else {
            return buffers::write(&self.buffers.place(row), value);
        };
        let mut ask = || call_define(callback, context, self.number, row);
        let first = ask().ok_or_else(refused)?;
        buffers::write_pieces(Place::of(self.buffers.external, &first), value, &mut ask)
    }
}

fn refused() -> Failure {
    OracleError::new(1013, "user requested cancel of current operation").into()
}
