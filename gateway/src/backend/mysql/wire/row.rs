//! A row of the binary protocol: where its values are, and what they say.

use std::ops::Range;

use time::{Date, Month, Time};

use super::super::super::cell::Cell;
use super::super::super::moment;
use super::super::value::widen;
use super::Unfit;
use super::column::{Column, Native, Width};
use super::fields::Fields;

/// Where a value is in its row; `None`: NULL.
pub(super) type Span = Option<Range<usize>>;

/// Finds every value of a row.
///
/// - `row`: the packet.
/// - `spans`: filled anew, one for each column.
pub(super) fn split(row: &[u8], columns: &[Column], spans: &mut Vec<Span>) -> Result<(), Unfit> {
    spans.clear();
    let cut = Unfit::OutOfStep("a row that ends early");
    let mut fields = Fields::new(row);
    if fields.u8() != Some(0) {
        return Err(Unfit::OutOfStep("no row where one is expected"));
    }
    let nulls = fields.take((columns.len() + 9) / 8).ok_or(cut)?;
    for (index, column) in columns.iter().enumerate() {
        let bit = index + 2;
        if nulls.get(bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1) {
            spans.push(None);
            continue;
        }
        let value = match column.width {
            Width::Fixed(0) => return Err(Unfit::OutOfStep("a value of the type NULL")),
            Width::Fixed(bytes) => fields.take(bytes),
            Width::Counted => fields.counted(),
        };
        let value = value.ok_or(cut)?;
        let end = row.len() - fields.rest().len();
        spans.push(Some(end - value.len()..end));
    }
    Ok(())
}

/// Reads a value.
pub(super) fn cell<'r>(row: &'r [u8], span: &Span, native: Native) -> Result<Cell<'r>, Box<str>> {
    let Some(span) = span else { return Ok(Cell::Null) };
    let value = row.get(span.clone()).ok_or("no such value")?;
    Ok(match native {
        Native::Signed => Cell::Int(signed(value)),
        Native::Unsigned => Cell::UInt(unsigned(value)),
        Native::Bits => Cell::UInt(bits(value)?),
        Native::Single => {
            let bytes = value.first_chunk().ok_or("a float without its bytes")?;
            Cell::Float(widen(f32::from_le_bytes(*bytes)))
        }
        Native::Float => {
            let bytes = value.first_chunk().ok_or("a float without its bytes")?;
            Cell::Float(f64::from_le_bytes(*bytes))
        }
        Native::Decimal => Cell::Decimal(text(value)?),
        Native::Text => Cell::Text(text(value)?),
        Native::Bytes => Cell::Bytes(value),
        // A date of zeros is sent without bytes.
        Native::Date | Native::Moment if value.is_empty() => Cell::Null,
        Native::Date => Cell::Date(moment::days_from_date(date(value)?)),
        Native::Moment => Cell::Moment(moment(value)?),
        Native::Other(name) => {
            return Err(format!("the database's type {name} has no form here").into());
        }
    })
}

fn text(value: &[u8]) -> Result<&str, Box<str>> {
    str::from_utf8(value).map_err(|error| error.to_string().into())
}

fn signed(value: &[u8]) -> i64 {
    match value {
        [a] => i8::from_le_bytes([*a]).into(),
        [a, b] => i16::from_le_bytes([*a, *b]).into(),
        [a, b, c, d] => i32::from_le_bytes([*a, *b, *c, *d]).into(),
        _ => value.first_chunk().map_or(0, |bytes| i64::from_le_bytes(*bytes)),
    }
}

fn unsigned(value: &[u8]) -> u64 {
    match value {
        [a] => u64::from(*a),
        [a, b] => u16::from_le_bytes([*a, *b]).into(),
        [a, b, c, d] => u32::from_le_bytes([*a, *b, *c, *d]).into(),
        _ => value.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)),
    }
}

fn bits(value: &[u8]) -> Result<u64, Box<str>> {
    if value.len() > 8 {
        return Err("more than 64 bits".into());
    }
    Ok(value.iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte)))
}

/// A day of the calendar; a month or a day of zero is none.
fn date(value: &[u8]) -> Result<Date, Box<str>> {
    let [low, high, month, day, ..] = value else { return Err("a date without its bytes".into()) };
    let month = Month::try_from(*month).map_err(|error| error.to_string())?;
    let date = Date::from_calendar_date(u16::from_le_bytes([*low, *high]).into(), month, *day);
    date.map_err(|error| error.to_string().into())
}

/// Microseconds since 1970. What is zero at the end is not sent.
fn moment(value: &[u8]) -> Result<i64, Box<str>> {
    let (hour, minute, second, micros) = match value.get(4..).unwrap_or_default() {
        [] => (0, 0, 0, 0),
        [hour, minute, second] => (*hour, *minute, *second, 0),
        [hour, minute, second, a, b, c, d] => {
            (*hour, *minute, *second, u32::from_le_bytes([*a, *b, *c, *d]))
        }
        _ => return Err("a time of day without its bytes".into()),
    };
    let time = Time::from_hms_micro(hour, minute, second, micros);
    let time = time.map_err(|error| format!("Time out of range for MySQL: {error}"))?;
    Ok(moment::micros_from_moment(date(value)?.with_time(time)))
}
