//! One value of a driver's row, whichever driver, and its declared form on the wire.
//!
//! A driver says what it read ([`Cell`]); [`write`] checks it against the declared type and appends
//! it. The rules of "Values on the wire" are here and nowhere else, so that one operation gives the
//! same bytes on every database.
//!
//! Invariant: a fault names types and forms, never a value.

use std::borrow::Cow;

use gateway_protocol::msgpack;

use crate::catalog::{
    Scalar, Type, canonical_decimal, format_date, format_timestamp, has_date, has_timestamp,
    parse_date, parse_timestamp,
};

/// Bytes of a moment in SQLite: `2024-02-29T23:59:59.123456Z`.
const STORED_MOMENT_BYTES: usize = 27;

/// A value as a driver read it; borrowed from the row.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    not(all(feature = "mysql", feature = "oracle")),
    expect(dead_code, reason = "each database has some of these forms only")
)]
pub(super) enum Cell<'r> {
    /// SQL NULL.
    Null,
    /// A whole number with a sign.
    Int(i64),
    /// A whole number without.
    UInt(u64),
    /// A binary floating-point number.
    Float(f64),
    /// A decimal number's text, as the database sends it.
    Decimal(&'r str),
    /// Text.
    Text(&'r str),
    /// Bytes.
    Bytes(&'r [u8]),
    /// A calendar day, in days since 1970-01-01.
    Date(i32),
    /// A moment, in microseconds since 1970-01-01T00:00:00Z.
    Moment(i64),
    /// Oracle's `DATE` at midnight: that day, or the moment at which it begins in the connection's zone.
    Day { days: i32, micros: i64 },
}

impl Cell<'_> {
    /// What it is, in the words of a fault.
    const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Int(_) | Self::UInt(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Decimal(_) => "a decimal",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Date(_) | Self::Day { .. } => "a date",
            Self::Moment(_) => "a timestamp",
        }
    }

    /// Most bytes that it takes in a body.
    pub(super) const fn bytes_max(&self) -> usize {
        match self {
            Self::Text(text) | Self::Decimal(text) => text.len() + 48,
            Self::Bytes(bytes) => bytes.len() + 5,
            _ => 48,
        }
    }

    /// As an integer; a decimal without a fraction is one (MySQL's `SUM` of integers).
    fn integer(&self) -> Option<i64> {
        match *self {
            Self::Int(value) => Some(value),
            Self::UInt(value) => i64::try_from(value).ok(),
            Self::Decimal(text) => canonical_decimal(text.into(), u8::MAX, 0).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// As a decimal's text with exactly `scale` digits after the point.
    fn decimal(&self, precision: u8, scale: u8) -> Option<Cow<'_, str>> {
        let text = match *self {
            Self::Int(value) => value.to_string().into(),
            Self::UInt(value) => value.to_string().into(),
            Self::Decimal(text) | Self::Text(text) => Cow::Borrowed(text),
            _ => return None,
        };
        canonical_decimal(text, precision, scale).ok()
    }

    /// As a finite float. Integers only as far as a float holds them exactly.
    fn float(&self) -> Option<f64> {
        match *self {
            Self::Float(value) => Some(value),
            Self::Decimal(text) => text.parse().ok(),
            Self::Int(_) | Self::UInt(_) => {
                let small = i32::try_from(self.integer()?);
                small.map(f64::from).ok().or_else(|| self.integer().and_then(exact_float))
            }
            _ => None,
        }
        .filter(|value| value.is_finite())
    }

    /// As a day of the calendar.
    fn date(&self) -> Option<i32> {
        match *self {
            Self::Date(days) | Self::Day { days, .. } => Some(days),
            Self::Text(text) => parse_date(text).ok(),
            _ => None,
        }
        .filter(|days| has_date(*days))
    }

    /// As a moment of the calendar.
    fn moment(&self) -> Option<i64> {
        match *self {
            Self::Moment(micros) | Self::Day { micros, .. } => Some(micros),
            Self::Text(text) => stored_moment(text),
            _ => None,
        }
        .filter(|micros| has_timestamp(*micros))
    }
}

/// Reads a moment in the one form that SQLite stores it in. Another form of the same moment is refused: it
/// would not sort with the others.
fn stored_moment(text: &str) -> Option<i64> {
    let is_stored_form = text.len() == STORED_MOMENT_BYTES
        && text.ends_with('Z')
        && text.as_bytes().get(10) == Some(&b'T');
    if is_stored_form { parse_timestamp(text, 6).ok() } else { None }
}

/// Appends a value in the form of its declared type.
///
/// - `empty_as_null`: whether '' is nil.
///
/// # Errors
///
/// What was expected and what the row has. Nothing was appended then.
pub(super) fn write(
    out: &mut Vec<u8>,
    ty: &Type,
    empty_as_null: bool,
    cell: Cell<'_>,
) -> Result<(), Box<str>> {
    match (&cell, ty) {
        (Cell::Null, _) => msgpack::write_nil(out),
        (Cell::Text(""), Type::Str { .. } | Type::Enum(_) | Type::Json) if empty_as_null => {
            msgpack::write_nil(out);
        }
        _ => return write_present(out, ty, cell).ok_or_else(|| fault(ty, &cell)),
    }
    Ok(())
}

/// Takes a value as the declared type, for a cursor; full precision, whatever the wire shows.
///
/// # Errors
///
/// As [`write`].
pub(super) fn scalar(ty: &Type, cell: Cell<'_>) -> Result<Scalar<'static>, Box<str>> {
    if cell == Cell::Null {
        return Ok(Scalar::Null);
    }
    scalar_present(ty, cell).ok_or_else(|| fault(ty, &cell))
}

fn write_present(out: &mut Vec<u8>, ty: &Type, cell: Cell<'_>) -> Option<()> {
    match ty {
        Type::Bool => msgpack::write_bool(out, truth(cell)?),
        Type::Int => msgpack::write_int(out, i32::try_from(cell.integer()?).ok()?.into()),
        Type::Bigint => msgpack::write_int(out, cell.integer()?),
        Type::Decimal { precision, scale } => {
            msgpack::write_str(out, &cell.decimal(*precision, *scale)?);
        }
        Type::Float => msgpack::write_f64(out, cell.float()?),
        Type::Str { .. } | Type::Enum(_) | Type::Json => msgpack::write_str(out, text(ty, cell)?),
        Type::Bytes { bytes_max } => msgpack::write_bin(out, bytes(cell, *bytes_max)?),
        Type::Date => {
            msgpack::write_str(out, format_date(cell.date()?).as_str());
        }
        Type::Timestamp { fraction } => {
            msgpack::write_str(out, format_timestamp(cell.moment()?, *fraction).as_str());
        }
        Type::List(_) | Type::Rows(_) => return None,
    }
    Some(())
}

fn scalar_present(ty: &Type, cell: Cell<'_>) -> Option<Scalar<'static>> {
    Some(match ty {
        Type::Bool => Scalar::Bool(truth(cell)?),
        Type::Int | Type::Bigint => Scalar::Int(cell.integer()?),
        Type::Decimal { precision, scale } => {
            Scalar::Decimal(Cow::Owned(cell.decimal(*precision, *scale)?.into_owned()))
        }
        Type::Float => Scalar::Float(cell.float()?),
        Type::Str { .. } | Type::Enum(_) | Type::Json => {
            Scalar::Str(Cow::Owned(text(ty, cell)?.to_owned()))
        }
        Type::Bytes { bytes_max } => Scalar::Bytes(Cow::Owned(bytes(cell, *bytes_max)?.to_owned())),
        Type::Date => Scalar::Date(cell.date()?),
        Type::Timestamp { .. } => Scalar::Timestamp(cell.moment()?),
        Type::List(_) | Type::Rows(_) => return None,
    })
}

fn truth(cell: Cell<'_>) -> Option<bool> {
    match cell.integer()? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn text<'r>(ty: &Type, cell: Cell<'r>) -> Option<&'r str> {
    let Cell::Text(text) = cell else { return None };
    let fits = match ty {
        Type::Str { chars_max: Some(max) } => {
            let max = *max as usize;
            text.len() <= max || text.chars().count() <= max
        }
        Type::Enum(words) => words.iter().any(|word| &**word == text),
        _ => true,
    };
    fits.then_some(text)
}

fn bytes(cell: Cell<'_>, bytes_max: Option<u32>) -> Option<&[u8]> {
    match cell {
        Cell::Bytes(bytes) if bytes_max.is_none_or(|max| bytes.len() <= max as usize) => {
            Some(bytes)
        }
        _ => None,
    }
}

/// A whole number as a float, if that float is exactly it.
fn exact_float(value: i64) -> Option<f64> {
    const EXACT_MAX: u64 = 1 << f64::MANTISSA_DIGITS;
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, which is checked")]
    (value.unsigned_abs() <= EXACT_MAX).then_some(value as f64)
}

fn fault(ty: &Type, cell: &Cell<'_>) -> Box<str> {
    let expected = match ty {
        Type::Bool => "bool (0 or 1)".into(),
        Type::Int => "int (32 bits)".into(),
        Type::Bigint => "bigint (64 bits)".into(),
        Type::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
        Type::Float => "float (finite)".into(),
        Type::Str { chars_max: Some(max) } => format!("string({max})"),
        Type::Str { chars_max: None } => "string".into(),
        Type::Bytes { bytes_max: Some(max) } => format!("bytes({max})"),
        Type::Bytes { bytes_max: None } => "bytes".into(),
        Type::Date => "date (in SQLite YYYY-MM-DD)".into(),
        Type::Timestamp { .. } => "timestamp (in SQLite YYYY-MM-DDTHH:MM:SS.ffffffZ)".into(),
        Type::Json => "json".into(),
        Type::Enum(words) => format!("one of the enum's {} words", words.len()),
        Type::List(_) | Type::Rows(_) => "no list: a column cannot be one".to_owned(),
    };
    format!("expected {expected}, got {} that does not fit", cell.kind()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ty: &Type, cell: Cell<'_>, expected: Option<&[u8]>) {
        let mut out = Vec::new();
        let written = write(&mut out, ty, false, cell).ok().map(|()| out.as_slice());
        assert_eq!(written, expected, "{ty:?} {cell:?}");
    }

    #[test]
    fn integers_fit_up_to_their_declared_width() {
        check(&Type::Int, Cell::Int(i32::MAX.into()), Some(&[0xce, 0x7f, 0xff, 0xff, 0xff]));
        check(&Type::Int, Cell::Int(i64::from(i32::MAX) + 1), None);
        check(&Type::Int, Cell::Int(i64::from(i32::MIN) - 1), None);
        check(&Type::Bigint, Cell::UInt(7), Some(&[7]));
        check(&Type::Bigint, Cell::UInt(u64::MAX), None);
        check(&Type::Bigint, Cell::Decimal("42"), Some(&[42]));
        check(&Type::Bigint, Cell::Decimal("42.00"), Some(&[42]));
        check(&Type::Bigint, Cell::Decimal("42.01"), None);
        check(&Type::Bigint, Cell::Float(42.0), None);
        check(&Type::Bigint, Cell::Text("42"), None);
    }

    #[test]
    fn truth_is_zero_or_one_and_nothing_else() {
        check(&Type::Bool, Cell::Int(0), Some(&[0xc2]));
        check(&Type::Bool, Cell::UInt(1), Some(&[0xc3]));
        check(&Type::Bool, Cell::Int(2), None);
        check(&Type::Bool, Cell::Text("true"), None);
    }

    #[test]
    fn decimals_are_texts_padded_to_their_scale() {
        let money = Type::Decimal { precision: 6, scale: 2 };
        check(&money, Cell::Decimal("12.5"), Some(b"\xa512.50"));
        check(&money, Cell::Text("12.50"), Some(b"\xa512.50"));
        check(&money, Cell::Int(-3), Some(b"\xa5-3.00"));
        check(&money, Cell::Float(12.5), None);
        check(&money, Cell::Decimal("12.501"), None);
        check(&money, Cell::Decimal("12345.00"), None);
    }

    #[test]
    fn floats_take_exact_integers_and_refuse_infinity() {
        check(&Type::Float, Cell::Float(1.5), Some(&[0xca, 0x3f, 0xc0, 0, 0]));
        check(&Type::Float, Cell::Int(1), Some(&[0xca, 0x3f, 0x80, 0, 0]));
        check(&Type::Float, Cell::Int((1 << 53) + 1), None);
        check(&Type::Float, Cell::Int(1 << 53), Some(&[0xca, 0x5a, 0, 0, 0]));
        check(&Type::Float, Cell::Float(f64::INFINITY), None);
    }

    #[test]
    fn text_at_its_length_passes_and_one_character_more_is_refused() {
        let name = Type::Str { chars_max: Some(2) };
        check(&name, Cell::Text("éé"), Some(b"\xa4\xc3\xa9\xc3\xa9"));
        check(&name, Cell::Text("abc"), None);
        check(&name, Cell::Bytes(b"ab"), None);
        let word = Type::Enum(["a".into(), "b".into()].into());
        check(&word, Cell::Text("b"), Some(b"\xa1b"));
        check(&word, Cell::Text("c"), None);
        let key = Type::Bytes { bytes_max: Some(2) };
        check(&key, Cell::Bytes(&[1, 2]), Some(&[0xc4, 2, 1, 2]));
        check(&key, Cell::Bytes(&[1, 2, 3]), None);
        check(&key, Cell::Text("ab"), None);
    }

    #[test]
    fn null_is_nil_in_every_type_and_empty_text_only_where_declared() {
        for ty in [Type::Bool, Type::Int, Type::Float, Type::Date, Type::Json] {
            check(&ty, Cell::Null, Some(&[0xc0]));
        }
        let name = Type::Str { chars_max: None };
        check(&name, Cell::Text(""), Some(&[0xa0]));
        let mut out = Vec::new();
        assert!(write(&mut out, &name, true, Cell::Text("")).is_ok());
        assert_eq!(out, [0xc0]);
    }

    #[test]
    fn stored_texts_of_days_and_moments_are_read_and_other_forms_refused() {
        check(&Type::Date, Cell::Text("2024-02-29"), Some(b"\xaa2024-02-29"));
        check(&Type::Date, Cell::Text("29.02.2024"), None);
        let ty = Type::Timestamp { fraction: 3 };
        let text = Cell::Text("2024-02-29T12:34:56.789999Z");
        check(&ty, text, Some(b"\xb82024-02-29T12:34:56.789Z"));
        for another in [
            "2024-02-29 12:34:56",
            "2024-02-29T12:34:56Z",
            "2024-02-29t12:34:56.789999Z",
            "2024-02-29T12:34:56.78999+00:00",
            "2024-02-29T12:34:56.7+00:00",
            "2024-02-30T12:34:56.789999Z",
        ] {
            check(&ty, Cell::Text(another), None);
        }
        assert_eq!(scalar(&ty, text), Ok(Scalar::Timestamp(1_709_210_096_789_999)));
    }

    #[test]
    fn days_and_moments_outside_the_calendar_are_refused() {
        let ty = Type::Timestamp { fraction: 0 };
        check(&Type::Date, Cell::Date(-719_162), Some(b"\xaa0001-01-01"));
        check(&Type::Date, Cell::Date(-719_163), None);
        check(&ty, Cell::Moment(-62_135_596_800_000_000), Some(b"\xb40001-01-01T00:00:00Z"));
        check(&ty, Cell::Moment(-62_135_596_800_000_001), None);
        check(&ty, Cell::Moment(i64::MAX), None);
    }

    #[test]
    fn fault_names_types_and_never_the_value() {
        let mut out = vec![1];
        let fault = write(&mut out, &Type::Int, false, Cell::Text("secret")).expect_err("text");
        assert!(fault.contains("int") && fault.contains("text") && !fault.contains("secret"));
        assert_eq!(out, [1]);
    }
}
