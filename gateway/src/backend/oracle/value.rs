//! Rows of the driver to values that leave its thread.
//!
//! | Oracle | cell |
//! |---|---|
//! | `NUMBER` | an integer where it is one and fits 64 bits, else its exact decimal text |
//! | `FLOAT`, `BINARY_FLOAT`, `BINARY_DOUBLE` | a float |
//! | `VARCHAR2`, `CLOB`, `LONG` and their `N` kinds | text |
//! | `CHAR`, `NCHAR` | text, without the spaces that it is filled up with: as MySQL gives it |
//! | `RAW`, `BLOB`, `LONG RAW` | bytes |
//! | `DATE` | a moment of the connection's zone; at midnight also a day |
//! | `TIMESTAMP` | a moment of the connection's zone |
//! | `TIMESTAMP WITH [LOCAL] TIME ZONE` | a moment |
//!
//! A fraction beyond microseconds is cut, as on the other databases.

use oracle::sql_type::{OracleType, Timestamp};
use oracle::{ColumnInfo, RowValue, SqlValue};
use time::{Date, Month, PrimitiveDateTime, Time};

use super::super::cell::Cell;
use super::super::connection::Form;
use super::super::moment::micros_from_moment;
use crate::config::Zone;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
const NANOS_PER_MICRO: u32 = 1_000;
const OUTSIDE: &str = "a moment outside the years 0001 to 9999";

/// A value of a row, owned.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Int(i64),
    Float(f64),
    Decimal(Box<str>),
    Text(Box<str>),
    Bytes(Box<[u8]>),
    /// A `DATE`: what clocks of some zone show, in microseconds as if they showed UTC.
    Date(i64),
    /// A `TIMESTAMP`, likewise.
    Local(i64),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Moment(i64),
    /// What has no form here, and why.
    Strange(Box<str>),
}

impl Value {
    /// Takes a value out of the driver's row.
    pub(super) fn read(value: &SqlValue<'_>) -> Self {
        read(value).unwrap_or_else(|error| Self::Strange(error.to_string().into()))
    }

    /// As the encoder knows values.
    ///
    /// - `zone`: whose clocks columns without a zone show.
    ///
    /// # Errors
    ///
    /// Why it has no form.
    pub(super) fn cell(&self, zone: &Zone) -> Result<Cell<'_>, Box<str>> {
        let moment = |local: i64| zone.moment(local).ok_or(OUTSIDE);
        Ok(match self {
            Self::Null => Cell::Null,
            Self::Int(value) => Cell::Int(*value),
            Self::Float(value) => Cell::Float(*value),
            Self::Decimal(text) => Cell::Decimal(text),
            Self::Text(text) => Cell::Text(text),
            Self::Bytes(bytes) => Cell::Bytes(bytes),
            Self::Date(local) => match midnight_of(*local) {
                Some(days) => Cell::Day { days, micros: moment(*local)? },
                None => Cell::Moment(moment(*local)?),
            },
            Self::Local(local) => Cell::Moment(moment(*local)?),
            Self::Moment(micros) => Cell::Moment(*micros),
            Self::Strange(fault) => return Err(fault.clone()),
        })
    }

    /// Bytes that it keeps in memory beside itself.
    fn bytes(&self) -> usize {
        match self {
            Self::Decimal(text) | Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            _ => 0,
        }
    }
}

/// A row: a value for each column of the statement.
#[derive(Clone, Debug)]
pub(super) struct Row(pub Vec<Value>);

impl RowValue for Row {
    fn get(row: &oracle::Row) -> oracle::Result<Self> {
        Ok(Self(row.sql_values().iter().map(Value::read).collect()))
    }
}

impl Row {
    /// Bytes that it takes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|value| size_of::<Value>() + value.bytes()).sum()
    }
}

fn read(value: &SqlValue<'_>) -> oracle::Result<Value> {
    if value.is_null()? {
        return Ok(Value::Null);
    }
    Ok(match value.oracle_type()? {
        OracleType::Number(..) => number(value.get::<String>()?),
        OracleType::Int64 | OracleType::UInt64 => Value::Int(value.get()?),
        OracleType::Float(_) | OracleType::BinaryFloat | OracleType::BinaryDouble => {
            // Its text first: what was stored as 0.1 stays 0.1.
            Value::Float(value.get::<String>()?.parse().or_else(|_| value.get())?)
        }
        OracleType::Boolean => Value::Int(i64::from(value.get::<bool>()?)),
        OracleType::Char(_) | OracleType::NChar(_) => {
            let text: String = value.get()?;
            Value::Text(text.trim_end_matches(' ').into())
        }
        OracleType::Raw(_) | OracleType::LongRaw | OracleType::BLOB => {
            Value::Bytes(value.get::<Vec<u8>>()?.into())
        }
        OracleType::Date => local(&value.get()?).map_or_else(outside, Value::Date),
        OracleType::Timestamp(_) => local(&value.get()?).map_or_else(outside, Value::Local),
        OracleType::TimestampTZ(_) | OracleType::TimestampLTZ(_) => with_zone(&value.get()?),
        _ => Value::Text(value.get::<String>()?.into()),
    })
}

/// A `NUMBER` by its text, which has no exponent.
fn number(text: String) -> Value {
    text.parse().map_or_else(|_| Value::Decimal(text.into()), Value::Int)
}

fn with_zone(stamp: &Timestamp) -> Value {
    let ahead = i64::from(stamp.tz_offset()) * MICROS_PER_SECOND;
    local(stamp).map_or_else(outside, |local| Value::Moment(local - ahead))
}

/// The calendar's fields, counted as if they were UTC; `None` outside the years that it has here.
fn local(stamp: &Timestamp) -> Option<i64> {
    let field = |value: u32| u8::try_from(value).ok();
    let month = Month::try_from(field(stamp.month())?).ok()?;
    let date = Date::from_calendar_date(stamp.year(), month, field(stamp.day())?).ok()?;
    let micros = stamp.nanosecond() / NANOS_PER_MICRO;
    let (hour, minute) = (field(stamp.hour())?, field(stamp.minute())?);
    let time = Time::from_hms_micro(hour, minute, field(stamp.second())?, micros).ok()?;
    Some(micros_from_moment(PrimitiveDateTime::new(date, time)))
}

/// Days since 1970-01-01 when clocks show midnight.
fn midnight_of(local: i64) -> Option<i32> {
    if local % MICROS_PER_DAY == 0 { i32::try_from(local / MICROS_PER_DAY).ok() } else { None }
}

fn outside() -> Value {
    Value::Strange(OUTSIDE.into())
}

/// The form of a column's values.
pub(super) fn form(column: &ColumnInfo) -> Form {
    match column.oracle_type() {
        OracleType::Number(precision, 0) if *precision > 0 => Form::Integer,
        OracleType::Int64 | OracleType::UInt64 | OracleType::Boolean => Form::Integer,
        OracleType::Number(..) => Form::Decimal,
        OracleType::Float(_) | OracleType::BinaryFloat | OracleType::BinaryDouble => Form::Float,
        OracleType::Raw(_) | OracleType::LongRaw | OracleType::BLOB => Form::Bytes,
        // What it is depends on the time of day.
        OracleType::Date => Form::Unknown,
        OracleType::Timestamp(_) | OracleType::TimestampTZ(_) | OracleType::TimestampLTZ(_) => {
            Form::Moment
        }
        OracleType::Varchar2(_)
        | OracleType::NVarchar2(_)
        | OracleType::Char(_)
        | OracleType::NChar(_)
        | OracleType::CLOB
        | OracleType::NCLOB
        | OracleType::Long => Form::Text,
        _ => Form::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::has_timestamp;

    fn stamp(text: &str) -> Timestamp {
        text.parse().expect("a timestamp")
    }

    #[test]
    fn number_is_an_integer_where_it_is_one_and_its_exact_text_elsewhere() {
        assert_eq!(number("9223372036854775807".into()), Value::Int(i64::MAX));
        let larger = "9223372036854775808";
        assert_eq!(number(larger.into()), Value::Decimal(larger.into()));
        assert_eq!(number("-0.10".into()), Value::Decimal("-0.10".into()));
        assert_eq!(number("0".into()), Value::Int(0));
    }

    #[test]
    fn date_at_midnight_is_a_day_and_a_moment_and_at_any_other_time_only_a_moment() {
        let beijing = Zone::parse("Asia/Shanghai").expect("a zone");
        let midnight = Value::Date(local(&stamp("2024-02-29 00:00:00")).expect("a date"));
        let day = Cell::Day { days: 19_782, micros: 1_709_136_000_000_000 };
        assert_eq!(midnight.cell(&beijing), Ok(day));
        let later = Value::Date(local(&stamp("2024-02-29 00:00:01")).expect("a date"));
        assert_eq!(later.cell(&Zone::default()), Ok(Cell::Moment(1_709_164_801_000_000)));
        // What the calendar of replies does not have is the encoder's to refuse.
        assert!(local(&stamp("-4712-01-01 00:00:00")).is_some_and(|local| !has_timestamp(local)));
    }

    #[test]
    fn moment_with_a_zone_of_its_own_is_the_same_moment_in_every_zone() {
        let east = with_zone(&stamp("2024-02-29 08:00:00.123456789 +08:00"));
        let west = with_zone(&stamp("2024-02-28 20:30:00.123456 -03:30"));
        assert_eq!((&east, &west), (&Value::Moment(1_709_164_800_123_456), &east));
    }
}
