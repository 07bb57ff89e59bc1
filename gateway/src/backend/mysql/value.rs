//! Values of MySQL's rows, by the type that the server says a column has.

use sqlx::error::BoxDynError;
use sqlx::mysql::{MySqlRow, MySqlTypeInfo, MySqlValueRef};
use sqlx::{Column as _, Decode, MySql, Row, Type, TypeInfo, ValueRef};

use super::super::BackendError;
use super::super::cell::Cell;
use super::super::connection::{Form, Sink};
use super::super::moment;
use crate::catalog::{format_date, format_timestamp};

/// Where a declared column is, and how its values are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    index: usize,
    native: Native,
}

/// How a column's values are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Native {
    Signed,
    Unsigned,
    /// 32 bits.
    Single,
    Float,
    Decimal,
    Text,
    Bytes,
    Date,
    Moment,
    Other,
}

impl Native {
    fn of(ty: &MySqlTypeInfo) -> Self {
        match ty.name() {
            "BIT" => Self::Unsigned,
            "FLOAT" => Self::Single,
            "DOUBLE" => Self::Float,
            "DECIMAL" => Self::Decimal,
            "DATE" => Self::Date,
            "DATETIME" | "TIMESTAMP" => Self::Moment,
            "JSON" | "ENUM" | "SET" => Self::Text,
            "TIME" | "GEOMETRY" | "NULL" => Self::Other,
            // Not by name: TINYINT(1) is `BOOLEAN` with and without a sign, and a text with a binary
            // collation is named as bytes.
            _ if <u64 as Type<MySql>>::compatible(ty) => Self::Unsigned,
            _ if <i64 as Type<MySql>>::compatible(ty) => Self::Signed,
            _ if <str as Type<MySql>>::compatible(ty) => Self::Text,
            _ if <[u8] as Type<MySql>>::compatible(ty) => Self::Bytes,
            _ => Self::Other,
        }
    }
}

pub(super) fn push(
    rows: &mut impl Sink,
    row: &MySqlRow,
    places: &mut Vec<Place>,
) -> Result<(), BackendError> {
    if places.is_empty() {
        let columns = row.columns();
        for index in rows.positions(&columns.iter().map(sqlx::Column::name))? {
            let native =
                columns.get(index).map_or(Native::Other, |column| Native::of(column.type_info()));
            places.push(Place { index, native });
        }
    }
    rows.push(|column| {
        let place = places.get(column).ok_or("no place for the column")?;
        let value = row.try_get_raw(place.index).map_err(|error| error.to_string())?;
        read(value, place.native).map_err(|error| error.to_string().into())
    })
}

/// How many columns a row has.
pub(super) fn width(row: &MySqlRow) -> usize {
    row.columns().len()
}

/// The value of a column by its place.
pub(super) fn read_at(row: &MySqlRow, index: usize) -> Result<Cell<'_>, Box<str>> {
    let column = row.columns().get(index).ok_or("no such column")?;
    let native = Native::of(column.type_info());
    let value = row.try_get_raw(index).map_err(|error| error.to_string())?;
    read(value, native).map_err(|error| error.to_string().into())
}

fn read(value: MySqlValueRef<'_>, native: Native) -> Result<Cell<'_>, BoxDynError> {
    if value.is_null() {
        return Ok(Cell::Null);
    }
    Ok(match native {
        Native::Signed => Cell::Int(Decode::<MySql>::decode(value)?),
        Native::Unsigned => Cell::UInt(Decode::<MySql>::decode(value)?),
        Native::Single => Cell::Float(widen(Decode::<MySql>::decode(value)?)),
        Native::Float => Cell::Float(Decode::<MySql>::decode(value)?),
        Native::Decimal => Cell::Decimal(Decode::<MySql>::decode(value)?),
        Native::Text => Cell::Text(Decode::<MySql>::decode(value)?),
        Native::Bytes => Cell::Bytes(Decode::<MySql>::decode(value)?),
        Native::Date => Cell::Date(moment::days_from_date(Decode::<MySql>::decode(value)?)),
        Native::Moment => Cell::Moment(moment::micros_from_moment(Decode::<MySql>::decode(value)?)),
        Native::Other => {
            return Err(
                format!("the database's type {} has no form here", value.type_info()).into()
            );
        }
    })
}

/// The 64-bit number that is written like the 32-bit one: 0.1 stays 0.1, as it was stored.
pub(super) fn widen(single: f32) -> f64 {
    single.to_string().parse().unwrap_or_else(|_| f64::from(single))
}

/// The form of a prepared column's values.
pub(super) fn form(ty: &MySqlTypeInfo) -> Form {
    match Native::of(ty) {
        Native::Signed | Native::Unsigned => Form::Integer,
        Native::Single | Native::Float => Form::Float,
        Native::Decimal => Form::Decimal,
        Native::Text => Form::Text,
        Native::Bytes => Form::Bytes,
        Native::Date => Form::Date,
        Native::Moment => Form::Moment,
        Native::Other if ty.is_null() => Form::Unknown,
        Native::Other => Form::Other,
    }
}

/// A value of a small result as text.
pub(super) fn text(value: MySqlValueRef<'_>) -> Result<Option<String>, sqlx::Error> {
    let native = Native::of(&value.type_info());
    let cell = read(value, native).map_err(sqlx::Error::Decode)?;
    Ok(match cell {
        Cell::Null => None,
        Cell::Int(value) => Some(value.to_string()),
        Cell::UInt(value) => Some(value.to_string()),
        Cell::Float(value) => Some(value.to_string()),
        Cell::Decimal(text) | Cell::Text(text) => Some(text.to_owned()),
        Cell::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Cell::Date(days) => Some(format_date(days).as_str().to_owned()),
        Cell::Moment(micros) | Cell::Day { micros, .. } => {
            Some(format_timestamp(micros, 6).as_str().to_owned())
        }
    })
}
