//! The command that runs a prepared statement, with its binds.
//!
//! Types and bytes are those that the other driver sends (`super::super::add`): a server compares by them.

use super::super::super::moment;
use super::Unfit;
use super::fields::put_counted;
use crate::catalog::Scalar;

const COM_STMT_EXECUTE: u8 = 0x17;

const TINY: u8 = 0x01;
const DOUBLE: u8 = 0x05;
const LONGLONG: u8 = 0x08;
const DATE: u8 = 0x0a;
const DATETIME: u8 = 0x0c;
const DECIMAL: u8 = 0xf6;
const BLOB: u8 = 0xfc;
const VAR_STRING: u8 = 0xfd;
const UNSIGNED: u8 = 0x80;

/// Appends the command's payload.
///
/// # Errors
///
/// For a value that has no form in the protocol.
pub(super) fn put_execute(
    out: &mut Vec<u8>,
    statement: u32,
    binds: &[Scalar<'_>],
) -> Result<(), Unfit> {
    out.push(COM_STMT_EXECUTE);
    out.extend_from_slice(&statement.to_le_bytes());
    // No cursor; once.
    out.extend_from_slice(&[0, 1, 0, 0, 0]);
    if binds.is_empty() {
        return Ok(());
    }
    for eight in binds.chunks(8) {
        let nulls = eight.iter().rev().map(|bind| u8::from(matches!(bind, Scalar::Null)));
        out.push(nulls.fold(0, |byte, bit| byte << 1 | bit));
    }
    // The types follow.
    out.push(1);
    for bind in binds {
        out.extend_from_slice(&ty(bind)?);
    }
    binds.iter().try_for_each(|bind| put_value(out, bind))
}

const fn ty(bind: &Scalar<'_>) -> Result<[u8; 2], Unfit> {
    Ok(match bind {
        Scalar::Null | Scalar::Int(_) => [LONGLONG, 0],
        Scalar::Bool(_) => [TINY, UNSIGNED],
        Scalar::Float(_) => [DOUBLE, 0],
        Scalar::Decimal(_) => [DECIMAL, 0],
        Scalar::Str(_) | Scalar::Json(_) => [VAR_STRING, 0],
        Scalar::Bytes(_) => [BLOB, 0],
        Scalar::Date(_) => [DATE, 0],
        Scalar::Timestamp(_) => [DATETIME, 0],
        Scalar::List(_) => return Err(Unfit::NotHad("a list is bound item by item")),
    })
}

fn put_value(out: &mut Vec<u8>, bind: &Scalar<'_>) -> Result<(), Unfit> {
    const OUT_OF_RANGE: Unfit = Unfit::OutOfStep("a date is outside the years 0001 to 9999");
    match bind {
        Scalar::Null | Scalar::List(_) => {}
        Scalar::Bool(value) => out.push(u8::from(*value)),
        Scalar::Int(value) => out.extend_from_slice(&value.to_le_bytes()),
        Scalar::Float(value) => out.extend_from_slice(&value.to_le_bytes()),
        Scalar::Decimal(text) | Scalar::Str(text) | Scalar::Json(text) => {
            put_counted(out, text.as_bytes());
        }
        Scalar::Bytes(bytes) => put_counted(out, bytes),
        Scalar::Date(days) => {
            let date = moment::date_from_days(*days).ok_or(OUT_OF_RANGE)?;
            out.push(4);
            put_date(out, date).ok_or(OUT_OF_RANGE)?;
        }
        Scalar::Timestamp(micros) => {
            let moment = moment::moment_from_micros(*micros).ok_or(OUT_OF_RANGE)?;
            let (hour, minute, second, micros) = moment.time().as_hms_micro();
            // What is zero at the end is not sent.
            let bytes = match (hour, minute, second, micros) {
                (0, 0, 0, 0) => 4,
                (.., 0) => 7,
                _ => 11,
            };
            out.push(bytes);
            put_date(out, moment.date()).ok_or(OUT_OF_RANGE)?;
            if bytes > 4 {
                out.extend_from_slice(&[hour, minute, second]);
            }
            if bytes > 7 {
                out.extend_from_slice(&micros.to_le_bytes());
            }
        }
    }
    Ok(())
}

fn put_date(out: &mut Vec<u8>, date: time::Date) -> Option<()> {
    out.extend_from_slice(&u16::try_from(date.year()).ok()?.to_le_bytes());
    out.extend_from_slice(&[date.month().into(), date.day()]);
    Some(())
}
