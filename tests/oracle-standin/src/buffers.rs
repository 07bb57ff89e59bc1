//! Values in the client's buffers: Oracle's external types.

use crate::datetime::DateTime;
use crate::error::{Failure, OracleError};
use crate::handles;
use crate::memory::{Address, Slot};
use crate::number;
use crate::value::{Kind, Value, hex};

/// `SQLT_*`, the external types that the driver uses.
pub mod external {
    /// Characters, with their length.
    pub const CHARACTERS: u16 = 1;
    /// NUMBER without a length byte.
    pub const NUMBER: u16 = 2;
    /// Signed integer of the buffer's size.
    pub const INTEGER: u16 = 3;
    /// Floating point number of the buffer's size.
    pub const FLOAT: u16 = 4;
    /// NUMBER with a length byte: `OCINumber`.
    pub const VARNUM: u16 = 6;
    /// LONG: characters.
    pub const LONG: u16 = 8;
    /// DATE, seven bytes.
    pub const DATE: u16 = 12;
    /// `float`.
    pub const NATIVE_FLOAT: u16 = 21;
    /// `double`.
    pub const NATIVE_DOUBLE: u16 = 22;
    /// RAW: bytes, with their length.
    pub const BYTES: u16 = 23;
    /// LONG RAW: bytes.
    pub const LONG_BYTES: u16 = 24;
    /// Unsigned integer of the buffer's size.
    pub const UNSIGNED: u16 = 68;
    /// CHAR, filled up with blanks.
    pub const FIXED: u16 = 96;
    /// `BINARY_FLOAT`.
    pub const BINARY_FLOAT: u16 = 100;
    /// `BINARY_DOUBLE`.
    pub const BINARY_DOUBLE: u16 = 101;
    /// A row's address: descriptor.
    pub const ROWID: u16 = 104;
    /// CLOB: locator.
    pub const CLOB: u16 = 112;
    /// BLOB: locator.
    pub const BLOB: u16 = 113;
    /// REF CURSOR: statement handle.
    pub const CURSOR: u16 = 116;
    /// DATE as `OCIDate`: year, month, day, hour, minute, second.
    pub const OCI_DATE: u16 = 156;
    /// TIMESTAMP: descriptor.
    pub const TIMESTAMP: u16 = 187;
    /// TIMESTAMP WITH TIME ZONE: descriptor.
    pub const TIMESTAMP_ZONE: u16 = 188;
    /// TIMESTAMP WITH LOCAL TIME ZONE: descriptor.
    pub const TIMESTAMP_LOCAL: u16 = 232;
    /// BOOLEAN of PL/SQL, an `int`.
    pub const BOOLEAN: u16 = 252;
}

/// One value's place in the client's memory.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// `SQLT_*`.
    pub external: u16,
    /// The value's bytes.
    pub value: Address,
    /// Bytes that there is room for; the value's own length where none is told elsewhere.
    pub room: usize,
    /// -1 for NULL, else 0.
    pub indicator: Address,
    /// The value's length.
    pub len: Address,
    /// 0, or the number of the error of this column.
    pub code: Address,
}

impl Place {
    /// The place that a client's function told.
    pub fn of(external: u16, slot: &Slot) -> Self {
        Self {
            external,
            value: slot.buffer,
            room: usize::try_from(slot.len).unwrap_or(0),
            indicator: slot.indicator,
            len: slot.len_at,
            code: slot.code,
        }
    }

    fn actual_len(&self) -> usize {
        self.len.read::<u32>().map_or(self.room, |len| usize::try_from(len).unwrap_or(0))
    }

    fn handle(&self) -> usize {
        self.value.read::<usize>().unwrap_or(0)
    }

    fn set_null(&self) {
        self.indicator.write(-1_i16);
        self.code.write(0_u16);
        self.len.write(0_u32);
    }

    /// Marks the value as there. `len`: how long it is, where the type does not say.
    fn set_present(&self, len: Option<usize>) {
        self.indicator.write(0_i16);
        self.code.write(0_u16);
        if let Some(len) = len {
            self.len.write(u32::try_from(len).unwrap_or(u32::MAX));
        }
    }
}

/// What a bind of an external type is declared as.
pub const fn kind(external: u16) -> Kind {
    match external {
        external::NUMBER | external::INTEGER | external::VARNUM | external::UNSIGNED => {
            Kind::Number
        }
        external::FLOAT
        | external::NATIVE_FLOAT
        | external::NATIVE_DOUBLE
        | external::BINARY_FLOAT
        | external::BINARY_DOUBLE => Kind::Double,
        external::DATE | external::OCI_DATE | external::TIMESTAMP => Kind::Timestamp,
        external::TIMESTAMP_ZONE | external::TIMESTAMP_LOCAL => Kind::TimestampZone,
        external::BYTES | external::LONG_BYTES | external::BLOB => Kind::Bytes,
        external::BOOLEAN => Kind::Boolean,
        _ => Kind::Text,
    }
}

/// Reads a value that the client bound.
///
/// # Errors
/// The bytes are no value of the type, or the type is not imitated.
pub fn read(place: &Place) -> Result<Value, Failure> {
    if place.indicator.read::<i16>() == Some(-1) || place.value.is_none() {
        return Ok(Value::Null);
    }
    let value = match place.external {
        external::CHARACTERS | external::FIXED | external::LONG => read_text(place)?,
        external::BYTES | external::LONG_BYTES => {
            Value::bytes(place.value.bytes(place.actual_len()))
        }
        external::VARNUM => {
            let bytes = place.value.bytes(number::NUMBER_BYTES);
            Value::Number(number::decode(&bytes).ok_or_else(|| invalid("NUMBER"))?)
        }
        external::INTEGER => Value::Number(read_integer(place)?.to_string()),
        external::UNSIGNED => Value::Number(place.value.read::<u64>().unwrap_or(0).to_string()),
        external::FLOAT | external::NATIVE_DOUBLE | external::BINARY_DOUBLE => {
            Value::Double(place.value.read().unwrap_or(0.0))
        }
        external::NATIVE_FLOAT | external::BINARY_FLOAT => {
            Value::Double(f64::from(place.value.read::<f32>().unwrap_or(0.0)))
        }
        external::OCI_DATE => Value::Moment(read_oci_date(place.value), false),
        external::DATE => Value::Moment(read_date(&place.value.bytes(7))?, false),
        external::TIMESTAMP => Value::Moment(handles::moment(place.handle())?, false),
        external::TIMESTAMP_ZONE | external::TIMESTAMP_LOCAL => {
            Value::Moment(handles::moment(place.handle())?, true)
        }
        external::CLOB | external::BLOB => {
            handles::with_lob(place.handle(), |lob| Ok(lob.value()))?
        }
        external::BOOLEAN => Value::Boolean(place.value.read::<i32>().unwrap_or(0) != 0),
        other => return Err(OracleError::not_imitated(format_args!("bind of type {other}")).into()),
    };
    match value {
        Value::Moment(moment, _) if !moment.is_valid() => {
            Err(OracleError::new(1841, "(full) year must be between -4713 and +9999, and not be 0")
                .into())
        }
        other => Ok(other),
    }
}

fn read_text(place: &Place) -> Result<Value, Failure> {
    let bytes = place.value.bytes(place.actual_len());
    let text = String::from_utf8(bytes).map_err(|error| {
        OracleError::new(
            29275,
            format_args!("partial multibyte character ({})", error.utf8_error()),
        )
    })?;
    Ok(Value::text(text))
}

fn read_integer(place: &Place) -> Result<i64, Failure> {
    Ok(match place.room {
        1 => i64::from(place.value.read::<i8>().unwrap_or(0)),
        2 => i64::from(place.value.read::<i16>().unwrap_or(0)),
        4 => i64::from(place.value.read::<i32>().unwrap_or(0)),
        8 => place.value.read::<i64>().unwrap_or(0),
        other => {
            return Err(OracleError::not_imitated(format_args!("integer of {other} bytes")).into());
        }
    })
}

fn read_oci_date(address: Address) -> DateTime {
    let part = |index| address.offset(index).read::<u8>().unwrap_or(0);
    DateTime {
        year: address.read().unwrap_or(0),
        month: part(2),
        day: part(3),
        hour: part(4),
        minute: part(5),
        second: part(6),
        ..DateTime::default()
    }
}

/// Century and year plus 100, month, day, hour, minute and second plus 1.
fn read_date(bytes: &[u8]) -> Result<DateTime, Failure> {
    let [century, year, month, day, hour, minute, second] = *bytes else {
        return Err(invalid("DATE").into());
    };
    let less_one = |byte: u8| byte.checked_sub(1).ok_or_else(|| invalid("DATE"));
    Ok(DateTime {
        year: (i16::from(century) - 100) * 100 + i16::from(year) - 100,
        month,
        day,
        hour: less_one(hour)?,
        minute: less_one(minute)?,
        second: less_one(second)?,
        ..DateTime::default()
    })
}

fn invalid(what: &str) -> OracleError {
    OracleError::new(1722, format_args!("invalid number ({what})"))
}

/// Writes a value into a buffer.
///
/// # Errors
/// The value is none of the type.
pub fn write(place: &Place, value: &Value) -> Result<(), Failure> {
    if *value == Value::Null {
        place.set_null();
        return Ok(());
    }
    match place.external {
        external::CHARACTERS
        | external::FIXED
        | external::LONG
        | external::BYTES
        | external::LONG_BYTES => {
            let bytes = plain_bytes(place.external, value)?;
            let fits = bytes.get(..place.room.min(bytes.len())).unwrap_or_default();
            place.value.write_bytes(fits);
            place.set_present(Some(fits.len()));
            if fits.len() < bytes.len() {
                // The driver reports the code of the column: ORA-01406, fetched column value was truncated.
                place.code.write(1406_u16);
            }
            return Ok(());
        }
        external::CLOB | external::BLOB => {
            let is_text = place.external == external::CLOB;
            let external = if is_text { external::LONG } else { external::LONG_BYTES };
            let bytes = plain_bytes(external, value)?;
            handles::with_lob(place.handle(), |lob| {
                lob.set(bytes, is_text);
                Ok(())
            })?;
        }
        external::VARNUM
        | external::INTEGER
        | external::UNSIGNED
        | external::FLOAT
        | external::NATIVE_DOUBLE
        | external::BINARY_DOUBLE
        | external::NATIVE_FLOAT
        | external::BINARY_FLOAT => write_number(place, value)?,
        external::BOOLEAN => place.value.write(i32::from(matches!(value, Value::Boolean(true)))),
        _ => write_moment(place, value)?,
    }
    place.set_present(None);
    Ok(())
}

/// Writes a value in pieces: `more` asks the client for the next buffer.
///
/// # Errors
/// The value is none of the type, or the client refused a buffer.
pub fn write_pieces(
    first: Place,
    value: &Value,
    more: &mut dyn FnMut() -> Option<Slot>,
) -> Result<(), Failure> {
    let in_pieces = matches!(
        first.external,
        external::CHARACTERS
            | external::FIXED
            | external::LONG
            | external::BYTES
            | external::LONG_BYTES
    );
    if !in_pieces || *value == Value::Null {
        return write(&first, value);
    }
    let bytes = plain_bytes(first.external, value)?;
    let mut rest = bytes.as_slice();
    let mut place = first;
    loop {
        let (piece, after) = rest.split_at(place.room.min(rest.len()));
        place.value.write_bytes(piece);
        place.set_present(Some(piece.len()));
        rest = after;
        if rest.is_empty() {
            return Ok(());
        }
        let slot =
            more().ok_or_else(|| OracleError::new(1406, "fetched column value was truncated"))?;
        place = Place::of(place.external, &slot);
        if place.room == 0 {
            return Err(OracleError::new(1406, "fetched column value was truncated").into());
        }
    }
}

/// The bytes of a value where characters or bytes are wanted.
fn plain_bytes(external: u16, value: &Value) -> Result<Vec<u8>, Failure> {
    let wants_bytes = matches!(external, external::BYTES | external::LONG_BYTES);
    Ok(match value {
        Value::Bytes(bytes) if wants_bytes => bytes.clone(),
        Value::Bytes(bytes) => hex(bytes).to_uppercase().into(),
        Value::Text(text) => text.clone().into_bytes(),
        Value::Number(text) => {
            text.strip_prefix("0.").map_or(text.clone(), |rest| format!(".{rest}")).into()
        }
        Value::Double(number) => number.to_string().into(),
        // The session's format is left to the client; what it gets is ISO's.
        Value::Moment(moment, with_zone) => moment.text(*with_zone).into(),
        Value::Boolean(_) | Value::Null => {
            return Err(OracleError::new(932, "inconsistent datatypes").into());
        }
    })
}

fn write_number(place: &Place, value: &Value) -> Result<(), Failure> {
    let text = match value {
        Value::Number(text) | Value::Text(text) => text.clone(),
        Value::Double(double) => double.to_string(),
        _ => return Err(OracleError::new(932, "inconsistent datatypes: expected NUMBER").into()),
    };
    let double = || text.trim().parse::<f64>().map_err(|_not_one| invalid(&text));
    match place.external {
        external::VARNUM => {
            place.value.write_bytes(&number::encode(&text).ok_or_else(|| invalid(&text))?);
        }
        external::INTEGER => {
            let whole = text.trim().parse::<i64>().map_err(|_not_one| invalid(&text))?;
            let bytes = whole.to_le_bytes();
            place.value.write_bytes(bytes.get(..place.room.min(8)).unwrap_or_default());
        }
        external::UNSIGNED => {
            place.value.write(text.trim().parse::<u64>().map_err(|_not_one| invalid(&text))?);
        }
        #[expect(clippy::cast_possible_truncation, reason = "a float is what the client asked for")]
        external::NATIVE_FLOAT | external::BINARY_FLOAT => place.value.write(double()? as f32),
        _ => place.value.write(double()?),
    }
    Ok(())
}

fn write_moment(place: &Place, value: &Value) -> Result<(), Failure> {
    let Value::Moment(moment, _) = value else {
        return Err(OracleError::new(932, "inconsistent datatypes: expected DATE").into());
    };
    match place.external {
        external::TIMESTAMP | external::TIMESTAMP_ZONE | external::TIMESTAMP_LOCAL => {
            handles::set_moment(place.handle(), *moment)?;
        }
        external::OCI_DATE => {
            let DateTime { month, day, hour, minute, second, .. } = *moment;
            place.value.write(moment.year);
            place.value.offset(2).write_bytes(&[month, day, hour, minute, second]);
        }
        external::DATE => {
            let part = |number: i16| u8::try_from(number + 100).unwrap_or(100);
            let century = part(moment.year.div_euclid(100));
            let year = part(moment.year.rem_euclid(100));
            let DateTime { month, day, hour, minute, second, .. } = *moment;
            place.value.write_bytes(&[century, year, month, day, hour + 1, minute + 1, second + 1]);
        }
        other => {
            return Err(OracleError::not_imitated(format_args!("column as type {other}")).into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(unsafe_code, reason = "the test is the client")]
    fn address(memory: &mut [u8]) -> Address {
        // SAFETY: the tests keep what they write to.
        unsafe { Address::new(memory.as_mut_ptr()) }
    }

    /// Writes a value as an external type and reads it back.
    #[track_caller]
    fn check(external: u16, room: usize, value: &Value, expected: &Value) {
        let mut memory = vec![0_u8; 64];
        let mut rest = [0_u8; 8];
        let value_at = address(&mut memory);
        let rest_at = address(&mut rest);
        let place = Place {
            external,
            value: value_at,
            room,
            indicator: rest_at,
            len: rest_at.offset(2),
            code: rest_at.offset(6),
        };
        write(&place, value).unwrap();
        assert_eq!(read(&place).unwrap(), *expected, "type {external}");
    }

    #[test]
    fn values_come_back_from_each_external_type() {
        let number = Value::Number("-12.5".to_owned());
        check(external::VARNUM, 22, &number, &number);
        check(
            external::INTEGER,
            8,
            &Value::Number("-7".to_owned()),
            &Value::Number("-7".to_owned()),
        );
        check(
            external::INTEGER,
            4,
            &Value::Number("-7".to_owned()),
            &Value::Number("-7".to_owned()),
        );
        check(external::NATIVE_DOUBLE, 8, &number, &Value::Double(-12.5));
        let text = Value::Text("玩家".to_owned());
        check(external::CHARACTERS, 10, &text, &text);
        check(external::BYTES, 10, &Value::Bytes(vec![0, 1]), &Value::Bytes(vec![0, 1]));
        check(external::CHARACTERS, 10, &Value::Null, &Value::Null);
        check(
            external::CHARACTERS,
            10,
            &Value::Number("0.5".to_owned()),
            &Value::Text(".5".to_owned()),
        );
        let moment = DateTime {
            year: 1969,
            month: 7,
            day: 20,
            hour: 20,
            minute: 17,
            second: 40,
            ..DateTime::default()
        };
        let moment = Value::Moment(moment, false);
        check(external::DATE, 7, &moment, &moment);
        check(external::OCI_DATE, 8, &moment, &moment);
    }
}
