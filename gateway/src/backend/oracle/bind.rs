//! Values to what the driver binds.
//!
//! | value | bound as | why |
//! |---|---|---|
//! | text | `VARCHAR2` | the driver's own choice, `NVARCHAR2`, would keep the server from using an index |
//! | longer text, bytes | `CLOB`, `BLOB` | beyond 32,767 bytes there is nothing else |
//! | decimal | `NUMBER`, from its text; one with more than 19 digits in a row as `VARCHAR2` | exact; the driver's check of a number's text counts in 64 bits |
//! | moment | `TIMESTAMP`, as clocks of the connection's zone show it | what a column without a zone holds |
//! | NULL | `VARCHAR2` | it converts to every type |

use oracle::sql_type::{OracleType, Timestamp, ToSql};

use super::super::moment::moment_from_micros;
use super::OracleFault;
use crate::catalog::Scalar;
use crate::config::Zone;

/// Characters of a text that is bound as one: as many as fit into 32,767 bytes at four bytes each.
pub(super) const TEXT_CHARS_MAX: usize = 8_191;
/// Bytes that are bound as such.
const RAW_BYTES_MAX: usize = 32_767;
/// Digits in a row that the driver can check.
const DIGITS_MAX: usize = 19;
/// Characters of the longest number.
const NUMBER_CHARS: u32 = 42;
/// Digits of a moment's fraction.
const FRACTION_DIGITS: u8 = 6;

const MICROS_PER_DAY: i64 = 86_400_000_000;
const NANOS_PER_MICRO: u32 = 1_000;

/// A value as the driver takes it.
#[derive(Debug)]
pub(super) enum Bind<'v> {
    Null,
    Int(i64),
    Float(f64),
    Decimal(&'v str),
    Text(&'v str),
    Bytes(&'v [u8]),
    Date(Timestamp),
    Moment(Timestamp),
}

impl<'v> Bind<'v> {
    /// The value in the forms that Oracle has.
    ///
    /// # Errors
    ///
    /// A fault of the value: a moment outside the years 0001 to 9999, a list.
    pub(super) fn of(value: &'v Scalar<'_>, zone: &Zone) -> Result<Self, OracleFault> {
        Ok(match value {
            Scalar::Null => Self::Null,
            Scalar::Bool(value) => Self::Int(i64::from(*value)),
            Scalar::Int(value) => Self::Int(*value),
            Scalar::Float(value) => Self::Float(*value),
            Scalar::Decimal(text) if text.split('.').any(|part| part.len() > DIGITS_MAX) => {
                Self::Text(text)
            }
            Scalar::Decimal(text) => Self::Decimal(text),
            Scalar::Str(text) | Scalar::Json(text) => Self::Text(text),
            Scalar::Bytes(bytes) => Self::Bytes(bytes),
            Scalar::Date(days) => Self::Date(timestamp(i64::from(*days) * MICROS_PER_DAY)?),
            Scalar::Timestamp(micros) => {
                Self::Moment(timestamp(zone.local(*micros).ok_or_else(outside)?)?)
            }
            Scalar::List(_) => {
                return Err(OracleFault::of_value("a list is bound item by item"));
            }
        })
    }

    /// The type that it is bound as.
    pub(super) fn ty(&self) -> OracleType {
        match self {
            Self::Null => OracleType::Varchar2(1),
            Self::Int(_) => OracleType::Int64,
            Self::Float(_) => OracleType::BinaryDouble,
            Self::Decimal(_) => OracleType::Number(0, 0),
            Self::Text(text) => match text.chars().count() {
                count if count > TEXT_CHARS_MAX => OracleType::CLOB,
                count => OracleType::Varchar2(size(count)),
            },
            Self::Bytes(bytes) if bytes.len() > RAW_BYTES_MAX => OracleType::BLOB,
            Self::Bytes(bytes) => OracleType::Raw(size(bytes.len())),
            Self::Date(_) => OracleType::Date,
            Self::Moment(_) => OracleType::Timestamp(FRACTION_DIGITS),
        }
    }

    /// Gives it to the driver in that type.
    pub(super) fn give<R>(&self, ty: &OracleType, take: impl FnOnce(&dyn ToSql) -> R) -> R {
        match self {
            Self::Null => take(ty),
            Self::Int(value) => take(&(value, ty)),
            Self::Float(value) => take(&(value, ty)),
            Self::Decimal(text) | Self::Text(text) => take(&(text, ty)),
            Self::Bytes(bytes) => take(&(bytes, ty)),
            Self::Date(value) | Self::Moment(value) => take(&(value, ty)),
        }
    }
}

/// A type that holds the values of both, of one bind in several rows.
pub(super) fn joined(one: OracleType, other: OracleType) -> OracleType {
    use OracleType::{BLOB, BinaryDouble, CLOB, Date, Int64, Number, Raw, Timestamp, Varchar2};
    match (one, other) {
        (Varchar2(one), Varchar2(other)) => Varchar2(one.max(other)),
        (Raw(one), Raw(other)) => Raw(one.max(other)),
        // A NULL takes whatever the others are.
        (Varchar2(1), other) => other,
        (one, Varchar2(1)) => one,
        (CLOB, _) | (_, CLOB) => CLOB,
        (BLOB, _) | (_, BLOB) => BLOB,
        (BinaryDouble, Int64 | Number(..)) | (Int64 | Number(..), BinaryDouble) => BinaryDouble,
        (Int64, Number(..)) | (Number(..), Int64) => Number(0, 0),
        (Int64 | Number(..), Varchar2(size)) | (Varchar2(size), Int64 | Number(..)) => {
            Varchar2(size.max(NUMBER_CHARS))
        }
        (Date, Timestamp(digits)) | (Timestamp(digits), Date) => Timestamp(digits),
        (one, _) => one,
    }
}

fn size(count: usize) -> u32 {
    u32::try_from(count.max(1)).unwrap_or(u32::MAX)
}

/// The fields of a moment that is counted in UTC.
fn timestamp(micros: i64) -> Result<Timestamp, OracleFault> {
    let moment = moment_from_micros(micros).ok_or_else(outside)?;
    let (hour, minute, second, fraction) = moment.time().as_hms_micro();
    let stamp = Timestamp::new(
        moment.year(),
        u32::from(u8::from(moment.month())),
        u32::from(moment.day()),
        u32::from(hour),
        u32::from(minute),
        u32::from(second),
        fraction * NANOS_PER_MICRO,
    );
    Ok(stamp?)
}

fn outside() -> OracleFault {
    OracleFault::of_value("a date is outside the years 0001 to 9999")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::parse_timestamp;

    #[track_caller]
    fn check(value: &Scalar<'_>, zone: &str, expected: &str) {
        let zone = Zone::parse(zone).expect("a zone");
        let shown = match Bind::of(value, &zone).expect("a value") {
            Bind::Date(stamp) | Bind::Moment(stamp) => stamp.to_string(),
            other => other.ty().to_string(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn moments_are_bound_as_clocks_of_the_zone_show_them_and_days_as_they_are() {
        let micros = parse_timestamp("2024-02-29T20:30:00.123456Z", 6).expect("a moment");
        let moment = Scalar::Timestamp(micros);
        check(&moment, "UTC", "2024-02-29 20:30:00.123456000");
        check(&moment, "Asia/Shanghai", "2024-03-01 04:30:00.123456000");
        check(&Scalar::Date(19_782), "Asia/Shanghai", "2024-02-29 00:00:00.000000000");
    }

    #[test]
    fn values_are_bound_in_types_that_lose_nothing_and_spoil_no_index() {
        check(&Scalar::Int(i64::MIN), "UTC", "INT64 used internally");
        check(&Scalar::Bool(true), "UTC", "INT64 used internally");
        check(&Scalar::Decimal("0.10".into()), "UTC", "NUMBER");
        check(&Scalar::Decimal("-999999999999999999.9999999999".into()), "UTC", "NUMBER");
        check(&Scalar::Decimal("12345678901234567890.5".into()), "UTC", "VARCHAR2(22)");
        check(&Scalar::Str("名字".into()), "UTC", "VARCHAR2(2)");
        check(&Scalar::Str("".into()), "UTC", "VARCHAR2(1)");
        check(&Scalar::Str("x".repeat(8_191).into()), "UTC", "VARCHAR2(8191)");
        check(&Scalar::Str("x".repeat(8_192).into()), "UTC", "CLOB");
        check(&Scalar::Bytes(vec![0; 16].into()), "UTC", "RAW(16)");
        check(&Scalar::Bytes(vec![0; 32_768].into()), "UTC", "BLOB");
    }

    #[test]
    fn moment_beyond_the_calendar_is_refused() {
        assert!(Bind::of(&Scalar::Timestamp(i64::MAX), &Zone::default()).is_err());
        let last = parse_timestamp("9999-12-31T23:59:59.000000Z", 6).expect("a moment");
        let east = Zone::parse("+08:00").expect("a zone");
        assert!(Bind::of(&Scalar::Timestamp(last), &east).is_err());
        assert!(Bind::of(&Scalar::Timestamp(last), &Zone::default()).is_ok());
    }

    #[test]
    fn bind_of_several_rows_has_a_type_that_holds_them_all() {
        let text = |size| OracleType::Varchar2(size);
        assert_eq!(joined(text(3), text(20)), text(20));
        assert_eq!(joined(text(1), OracleType::Int64), OracleType::Int64);
        assert_eq!(joined(OracleType::Raw(4), text(1)), OracleType::Raw(4));
        assert_eq!(joined(OracleType::Int64, OracleType::Number(0, 0)), OracleType::Number(0, 0));
        assert_eq!(joined(OracleType::Number(0, 0), text(22)), text(42));
        assert_eq!(joined(text(9), OracleType::CLOB), OracleType::CLOB);
        assert_eq!(joined(OracleType::Date, OracleType::Timestamp(6)), OracleType::Timestamp(6));
    }
}
