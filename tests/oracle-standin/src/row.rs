//! Rows of PostgreSQL's, as values of Oracle's.

use std::error::Error;

use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

use crate::datetime::DateTime;
use crate::error::OracleError;
use crate::number;
use crate::value::Value;

/// Microseconds of a day.
const DAY_MICROS: i64 = 86_400_000_000;

/// A value's bytes, whatever its type.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A column of a row.
///
/// - `offset_minutes`: of the session's time zone, that moments with a zone are told in.
///
/// # Errors
/// ORA-01722 and its likes: the value has no form in Oracle.
pub fn value(row: &Row, index: usize, offset_minutes: i16) -> Result<Value, OracleError> {
    let broken = || OracleError::new(600, "internal error code, arguments: [no such column]");
    let postgres = row.columns().get(index).ok_or_else(broken)?.type_();
    let raw: Option<Raw<'_>> = row.try_get(index).map_err(|error| OracleError::new(600, error))?;
    let Some(Raw(bytes)) = raw else { return Ok(Value::Null) };
    let invalid = || {
        OracleError::new(1722, format_args!("invalid number (a {} of PostgreSQL)", postgres.name()))
    };
    let value = match postgres.name() {
        "numeric" => Value::Number(number::from_postgres(bytes).ok_or_else(invalid)?),
        "int2" | "int4" | "int8" => Value::Number(integer(bytes).ok_or_else(invalid)?.to_string()),
        "oid" => Value::Number((integer(bytes).ok_or_else(invalid)? & 0xFFFF_FFFF).to_string()),
        "bool" => Value::Number(u8::from(bytes != [0]).to_string()),
        "float8" => {
            Value::Double(f64::from_be_bytes(bytes.try_into().map_err(|_too_short| invalid())?))
        }
        "float4" => Value::Double(f64::from(f32::from_be_bytes(
            bytes.try_into().map_err(|_too_short| invalid())?,
        ))),
        "timestamp" => moment(bytes, 0, false)?,
        "timestamptz" => moment(bytes, offset_minutes, true)?,
        "date" => {
            let days = integer(bytes).ok_or_else(invalid)?;
            moment(&days.saturating_mul(DAY_MICROS).to_be_bytes(), 0, false)?
        }
        "bytea" | "raw" | "blob" => Value::bytes(bytes.to_vec()),
        "void" => Value::Null,
        "text" | "varchar" | "bpchar" | "name" | "clob" | "varchar2" | "unknown" | "json"
        | "char" => Value::text(String::from_utf8_lossy(bytes).into_owned()),
        "jsonb" => {
            Value::text(String::from_utf8_lossy(bytes.get(1..).unwrap_or_default()).into_owned())
        }
        other => {
            return Err(OracleError::not_imitated(format_args!(
                "values of PostgreSQL's type {other}"
            )));
        }
    };
    Ok(value)
}

fn moment(bytes: &[u8], offset_minutes: i16, with_zone: bool) -> Result<Value, OracleError> {
    let micros = integer(bytes);
    let moment = micros.and_then(|micros| DateTime::from_postgres(micros, offset_minutes));
    let moment = moment.ok_or_else(|| {
        OracleError::new(1841, "(full) year must be between -4713 and +9999, and not be 0")
    })?;
    Ok(Value::Moment(moment, with_zone))
}

/// An integer of two, four or eight bytes.
fn integer(bytes: &[u8]) -> Option<i64> {
    Some(match bytes.len() {
        2 => i64::from(i16::from_be_bytes(bytes.try_into().ok()?)),
        4 => i64::from(i32::from_be_bytes(bytes.try_into().ok()?)),
        _ => i64::from_be_bytes(bytes.try_into().ok()?),
    })
}
