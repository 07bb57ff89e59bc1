//! Procedures and `RETURNING … INTO`: binds that give values back, and cursors.
//!
//! A bind that gives something back has the type of what is declared, whatever goes in: a buffer is made before the
//! database knows how long a value will be.

use std::sync::Arc;

use oracle::sql_type::{FromSql, OracleType, RefCursor};
use oracle::{Connection, SqlValue, Statement};

use super::super::BackendError;
use super::super::connection::{self, Sink};
use super::super::fault::Failure;
use super::super::procedure::{Answer, push_all};
use super::bind::{Bind, TEXT_CHARS_MAX, joined};
use super::value::{Row, Value};
use super::worker::{Sql, Task};
use super::{OracleFault, Session, late_or, sql};
use crate::catalog::{Column, Output, Scalar, Type};
use crate::config::Zone;

/// A procedure that commits would take its caller's transaction along.
const NO_COMMIT: &str = "ALTER SESSION DISABLE COMMIT IN PROCEDURE";
/// Longest `RAW`.
const RAW_BYTES_MAX: u32 = 32_767;
/// Digits of a moment's fraction.
const FRACTION_DIGITS: u8 = 6;

/// A bind that gives something back.
#[derive(Clone, Debug)]
pub(super) struct Out {
    /// Its place, from 0.
    pub bind: usize,
    /// What it is bound as.
    pub ty: OracleType,
}

/// A procedure to call.
#[derive(Debug)]
pub(super) struct Call {
    pub sql: Sql,
    pub outs: Vec<Out>,
    /// Most rows of a cursor, and most bytes of all.
    pub rows_max: u32,
    pub bytes_max: u32,
}

/// What a bind gave.
#[derive(Debug)]
pub(super) enum Given {
    Value(Value),
    Rows { names: Vec<Box<str>>, rows: Vec<Row> },
}

impl FromSql for Value {
    fn from_sql(value: &SqlValue<'_>) -> oracle::Result<Self> {
        Ok(Self::read(value))
    }
}

impl Session {
    /// Calls a procedure; what it gives goes to `answer`.
    pub(in super::super) async fn call(
        &mut self,
        statement: &connection::Statement<'_>,
        answer: &mut Answer<'_>,
    ) -> Result<(), Failure> {
        let outputs: Vec<(usize, usize, &Output)> = answer.returned().collect();
        let outs = outputs.iter().map(|(bind, _, output)| Out {
            bind: *bind,
            ty: match output {
                Output::Value(column) => out_type(&column.ty),
                Output::Rows { .. } => OracleType::RefCursor,
            },
        });
        let call = Call {
            sql: sql(statement),
            outs: outs.collect(),
            rows_max: answer.row_count_max(),
            bytes_max: answer.bytes_max(),
        };
        let outputs: Vec<usize> = outputs.into_iter().map(|(_, output, _)| output).collect();
        let call = Box::new(call);
        let given = self.ask(|answer| Task::Call { call, answer }).await.map_err(late_or)?;
        for (output, given) in outputs.into_iter().zip(given) {
            let taken = match given {
                Given::Value(value) => answer.value(output, value.cell(&self.zone)),
                Given::Rows { names, rows } => self.rows(answer, output, (&names, &rows)),
            };
            taken.map_err(Failure::Refused)?;
        }
        Ok(())
    }

    fn rows(
        &self,
        answer: &mut Answer<'_>,
        output: usize,
        (names, all): (&[Box<str>], &[Row]),
    ) -> Result<(), BackendError> {
        let mut rows = answer.rows(output);
        let names = names.iter().map(|name| &**name);
        push_all(&mut rows, &names, all, |Row(row), place| {
            row.get(place).ok_or("no such column")?.cell(&self.zone)
        })?;
        answer.take_rows(output, rows);
        Ok(())
    }

    /// Runs a write with `RETURNING … INTO`, and gives the rows that it returns to `rows`.
    pub(in super::super) async fn fetch_returned(
        &mut self,
        statement: &connection::Statement<'_>,
        returned: &[(usize, &Column)],
        rows: &mut impl Sink,
    ) -> Result<(), Failure> {
        let out = |(bind, column): &(usize, &Column)| Out { bind: *bind, ty: out_type(&column.ty) };
        let (sql, outs) = (sql(statement), returned.iter().map(out).collect());
        let all = self.ask(|answer| Task::Returning { sql, outs, answer }).await?;
        let names = returned.iter().map(|(_, column)| &*column.name);
        let places = rows.positions(&names).map_err(Failure::Refused)?;
        for Row(row) in &all {
            let read = |column: usize| {
                let place = *places.get(column).ok_or("no place for the column")?;
                row.get(place).ok_or("no such column")?.cell(&self.zone)
            };
            rows.push(read).map_err(Failure::Refused)?;
        }
        Ok(())
    }

    /// Begins a transaction that takes no writes.
    pub(in super::super) async fn begin_reading(&mut self) -> Result<(), sqlx::Error> {
        self.in_transaction = true;
        self.run_text("SET TRANSACTION READ ONLY").await
    }
}

/// What a value of a declared type comes back as.
fn out_type(ty: &Type) -> OracleType {
    match ty {
        Type::Bool | Type::Int | Type::Bigint | Type::Decimal { .. } => OracleType::Number(0, 0),
        Type::Float => OracleType::BinaryDouble,
        Type::Str { chars_max: Some(max) } if *max as usize > TEXT_CHARS_MAX => OracleType::CLOB,
        Type::Str { chars_max: Some(max) } => OracleType::Varchar2((*max).max(1)),
        Type::Json => OracleType::CLOB,
        Type::Bytes { bytes_max: Some(max) } if *max > RAW_BYTES_MAX => OracleType::BLOB,
        Type::Bytes { bytes_max } => OracleType::Raw(bytes_max.unwrap_or(RAW_BYTES_MAX)),
        Type::Date => OracleType::Date,
        Type::Timestamp { .. } => OracleType::Timestamp(FRACTION_DIGITS),
        Type::Str { chars_max: None } | Type::Enum(_) | Type::List(_) | Type::Rows(_) => {
            OracleType::Varchar2(u32::try_from(TEXT_CHARS_MAX).unwrap_or(u32::MAX))
        }
    }
}

/// Calls a procedure, on the connection's thread.
///
/// - `has_ruled`: whether this session knows already that procedures may not commit.
pub(super) fn call(
    connection: &Connection,
    zone: &Zone,
    call: &Call,
    has_ruled: &mut bool,
) -> Result<Vec<Given>, OracleFault> {
    if !*has_ruled {
        connection.statement(NO_COMMIT).exclude_from_cache().build()?.execute(&[])?;
        *has_ruled = true;
    }
    let mut statement = connection.statement(&call.sql.text).build()?;
    bind(&mut statement, zone, &call.sql.binds, &call.outs)?;
    statement.execute(&[])?;
    let mut bytes_left = call.bytes_max as usize;
    let given = call.outs.iter().map(|out| {
        if out.ty != OracleType::RefCursor {
            return Ok(Given::Value(statement.bind_value(out.bind + 1)?));
        }
        let mut cursor: RefCursor = statement.bind_value(out.bind + 1)?;
        fetched(&mut cursor, call.rows_max, &mut bytes_left)
    });
    given.collect()
}

/// One row, or some bytes, more than are allowed end it: whoever encodes them says so.
fn fetched(
    cursor: &mut RefCursor,
    rows_max: u32,
    bytes_left: &mut usize,
) -> Result<Given, OracleFault> {
    let result = cursor.query_as::<Row>()?;
    let names = result.column_info().iter().map(|column| column.name().into()).collect();
    let mut rows = Vec::new();
    for row in result {
        let row = row?;
        let is_enough = rows.len() > rows_max as usize || row.bytes() > *bytes_left;
        *bytes_left = bytes_left.saturating_sub(row.bytes());
        rows.push(row);
        if is_enough {
            break;
        }
    }
    Ok(Given::Rows { names, rows })
}

/// Runs a write and takes the rows that it returns, on the connection's thread.
pub(super) fn returning(
    connection: &Connection,
    zone: &Zone,
    sql: &Sql,
    outs: &[Out],
) -> Result<Vec<Row>, OracleFault> {
    let text = Arc::clone(&sql.text);
    let mut statement = connection.statement(&text).build()?;
    bind(&mut statement, zone, &sql.binds, outs)?;
    statement.execute(&[])?;
    let mut rows: Vec<Row> = Vec::new();
    for out in outs {
        let values: Vec<Value> = statement.returned_values(out.bind + 1)?;
        rows.resize_with(rows.len().max(values.len()), || Row(Vec::with_capacity(outs.len())));
        for (row, value) in rows.iter_mut().zip(values) {
            row.0.push(value);
        }
    }
    Ok(rows)
}

fn bind(
    statement: &mut Statement,
    zone: &Zone,
    binds: &[Scalar<'_>],
    outs: &[Out],
) -> Result<(), OracleFault> {
    for (index, value) in binds.iter().enumerate() {
        let bind = Bind::of(value, zone)?;
        let out = outs.iter().find(|out| out.bind == index);
        match out {
            None => bind.give(&bind.ty(), |value| statement.bind(index + 1, value))?,
            Some(out) if *value == Scalar::Null => statement.bind(index + 1, &out.ty)?,
            Some(out) => {
                let ty = joined(out.ty.clone(), bind.ty());
                bind.give(&ty, |value| statement.bind(index + 1, value))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_back_has_room_for_all_that_is_declared() {
        let check = |ty: &Type, expected: &str| assert_eq!(out_type(ty).to_string(), expected);
        check(&Type::Bigint, "NUMBER");
        check(&Type::Decimal { precision: 38, scale: 2 }, "NUMBER");
        check(&Type::Str { chars_max: Some(32) }, "VARCHAR2(32)");
        check(&Type::Str { chars_max: Some(8_191) }, "VARCHAR2(8191)");
        check(&Type::Str { chars_max: Some(8_192) }, "CLOB");
        check(&Type::Str { chars_max: None }, "VARCHAR2(8191)");
        check(&Type::Bytes { bytes_max: Some(32_768) }, "BLOB");
        check(&Type::Bytes { bytes_max: None }, "RAW(32767)");
        // Six digits, which the driver does not write out.
        check(&Type::Timestamp { fraction: 3 }, "TIMESTAMP");
    }
}
