//! A value of a declared type: what is bound, compared and put into cache keys.

use std::borrow::Cow;
use std::cmp::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway_protocol::{Value, json};

use super::Field;
use super::decimal::{self, DecimalFault};
use super::moment::{MomentFault, format_date, format_timestamp, parse_date, parse_timestamp};

/// A value after its type was checked. `Value` is what a client sent; this is what a template takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar<'a> {
    /// SQL NULL: an optional parameter given as null.
    Null,
    /// `bool`.
    Bool(bool),
    /// `int`, `bigint`.
    Int(i64),
    /// `float`.
    Float(f64),
    /// `decimal(p,s)`: canonical text, padded to its scale, no exponent, no `+`.
    Decimal(Cow<'a, str>),
    /// `string(n)`, `enum(…)`.
    Str(Cow<'a, str>),
    /// `bytes(n)`.
    Bytes(Cow<'a, [u8]>),
    /// `date`: days since 1970-01-01.
    Date(i32),
    /// `timestamp(f)`: microseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
    /// `json`: text, checked to be JSON.
    Json(Cow<'a, str>),
    /// `list(T)`: no lists within.
    List(Vec<Scalar<'a>>),
}

impl Scalar<'_> {
    /// Copies what is borrowed, so that the value outlives the request's bytes.
    pub fn into_owned(self) -> Scalar<'static> {
        match self {
            Scalar::Null => Scalar::Null,
            Scalar::Bool(value) => Scalar::Bool(value),
            Scalar::Int(value) => Scalar::Int(value),
            Scalar::Float(value) => Scalar::Float(value),
            Scalar::Decimal(text) => Scalar::Decimal(Cow::Owned(text.into_owned())),
            Scalar::Str(text) => Scalar::Str(Cow::Owned(text.into_owned())),
            Scalar::Bytes(bytes) => Scalar::Bytes(Cow::Owned(bytes.into_owned())),
            Scalar::Date(days) => Scalar::Date(days),
            Scalar::Timestamp(micros) => Scalar::Timestamp(micros),
            Scalar::Json(text) => Scalar::Json(Cow::Owned(text.into_owned())),
            Scalar::List(items) => {
                Scalar::List(items.into_iter().map(Scalar::into_owned).collect())
            }
        }
    }
}

impl Scalar<'_> {
    /// Compares two values of one type, or an integer with a decimal.
    ///
    /// `None` when one is null or a list, when one float is not a number, or when their types do not
    /// compare. Texts compare by their code points.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(left), Self::Bool(right)) => Some(left.cmp(right)),
            (Self::Int(left), Self::Int(right))
            | (Self::Timestamp(left), Self::Timestamp(right)) => Some(left.cmp(right)),
            (Self::Float(left), Self::Float(right)) => left.partial_cmp(right),
            (Self::Decimal(left), Self::Decimal(right)) => decimal::compare(left, right),
            (Self::Int(left), Self::Decimal(right)) => decimal::compare(&left.to_string(), right),
            (Self::Decimal(left), Self::Int(right)) => decimal::compare(left, &right.to_string()),
            (Self::Str(left), Self::Str(right)) => Some(left.cmp(right)),
            (Self::Bytes(left), Self::Bytes(right)) => Some(left.cmp(right)),
            (Self::Date(left), Self::Date(right)) => Some(left.cmp(right)),
            _ => None,
        }
    }

    /// Appends the value's one text, as it stands in a tag: equal values, equal texts.
    ///
    /// Bytes are hexadecimal, a timestamp has six digits after the second, a list has commas.
    /// Allocates only what `out` needs to grow.
    pub fn tag_text(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Int(value) => out.push_str(itoa::Buffer::new().format(*value)),
            Self::Float(value) => out.push_str(ryu::Buffer::new().format(*value)),
            Self::Decimal(text) | Self::Str(text) | Self::Json(text) => out.push_str(text),
            Self::Bytes(bytes) => {
                for byte in bytes.iter() {
                    for nibble in [byte >> 4, byte & 0x0f] {
                        out.extend(char::from_digit(nibble.into(), 16));
                    }
                }
            }
            Self::Date(days) => out.push_str(format_date(*days).as_str()),
            Self::Timestamp(micros) => out.push_str(format_timestamp(*micros, 6).as_str()),
            Self::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.tag_text(out);
                }
            }
        }
    }
}

impl super::Type {
    /// Takes a request's value as this type.
    ///
    /// What each type takes, beside its own kind of value: `bigint` a text of digits, because a JSON
    /// client has it as one; `decimal` a text or an integer, never a float, which is not exact;
    /// `float` an integer; `bytes` a base64 text; `json` a text that is JSON, or any list, map, number
    /// or truth value, which is written as JSON. Null is a value of no type.
    ///
    /// - `untyped`: whether it came as text without a type (path, query): then a text that reads as the
    ///   type is taken, and one value is a list of one.
    ///
    /// Allocates for lists, base64, JSON that was not text, and a decimal that is not in its one form.
    ///
    /// # Errors
    ///
    /// [`ScalarFault`] when it is of another type or outside what the type itself allows. It never
    /// repeats the value, which may be one that logs must not show.
    pub fn accept<'a>(&self, value: Value<'a>, untyped: bool) -> Result<Scalar<'a>, ScalarFault> {
        match (self, value) {
            (Self::Bool, Value::Bool(value)) => Ok(Scalar::Bool(value)),
            (Self::Bool, Value::Str(text)) if untyped => match text.as_ref() {
                "true" | "1" => Ok(Scalar::Bool(true)),
                "false" | "0" => Ok(Scalar::Bool(false)),
                _ => Err(self.wrong("a text that is neither `true` nor `false`")),
            },
            (Self::Int | Self::Bigint, Value::Int(value)) => self.whole(value),
            (Self::Int | Self::Bigint, Value::UInt(_)) => Err(self.outside()),
            (Self::Int, Value::Str(text)) if untyped => self.whole_text(&text),
            (Self::Bigint, Value::Str(text)) => self.whole_text(&text),
            (Self::Decimal { .. }, Value::Str(text)) => self.decimal(text),
            (Self::Decimal { .. }, Value::Int(value)) => self.decimal(value.to_string().into()),
            (Self::Decimal { .. }, Value::UInt(value)) => self.decimal(value.to_string().into()),
            (Self::Decimal { .. }, Value::Float(_)) => {
                Err(self.wrong("a float, which is not exact: send it as a text, \"6.00\""))
            }
            (Self::Float, Value::Float(value)) => finite(value),
            #[expect(clippy::cast_precision_loss, reason = "the declared type is a float")]
            (Self::Float, Value::Int(value)) => finite(value as f64),
            #[expect(clippy::cast_precision_loss, reason = "the declared type is a float")]
            (Self::Float, Value::UInt(value)) => finite(value as f64),
            (Self::Float, Value::Str(text)) if untyped => match text.parse() {
                Ok(value) => finite(value),
                Err(_) => Err(self.wrong("a text that is not a number")),
            },
            (Self::Str { chars_max }, Value::Str(text)) => checked_text(text, *chars_max),
            (Self::Bytes { bytes_max }, Value::Bytes(bytes)) => checked_bytes(bytes, *bytes_max),
            (Self::Bytes { bytes_max }, Value::Str(text)) => match STANDARD.decode(text.as_bytes())
            {
                Ok(bytes) => checked_bytes(bytes.into(), *bytes_max),
                Err(_) => Err(self.wrong("a text that is not base64")),
            },
            (Self::Date, Value::Str(text)) => {
                parse_date(&text).map(Scalar::Date).map_err(|fault| self.moment(fault))
            }
            (Self::Timestamp { fraction }, Value::Str(text)) => parse_timestamp(&text, *fraction)
                .map(Scalar::Timestamp)
                .map_err(|fault| self.moment(fault)),
            (Self::Json, value) if value != Value::Null => self.json(value),
            (Self::Enum(words), Value::Str(text)) => {
                if words.iter().any(|word| **word == *text) {
                    Ok(Scalar::Str(text))
                } else {
                    Err(ScalarFault::Range(format!("not one of {}", words.join(", ")).into()))
                }
            }
            (Self::List(item), Value::Array(values)) => accept_items(item, values, untyped),
            (Self::List(item), value @ Value::Str(_)) if untyped => {
                accept_items(item, vec![value], untyped)
            }
            (_, other) => Err(self.wrong(other.kind())),
        }
    }

    /// Takes a text of a template's header (`default=`, `min=`, a `@require` literal) as this type. A
    /// list's items stand between commas; the empty text is the empty list.
    ///
    /// # Errors
    ///
    /// As [`Type::accept`](super::Type::accept).
    pub fn parse(&self, text: &str) -> Result<Scalar<'static>, ScalarFault> {
        let value = match self {
            Self::List(_) if text.trim().is_empty() => Value::Array(Vec::new()),
            Self::List(_) => Value::Array(
                text.split(',').map(|item| Value::Str(Cow::Borrowed(item.trim()))).collect(),
            ),
            _ => Value::Str(Cow::Borrowed(text)),
        };
        self.accept(value, true).map(Scalar::into_owned)
    }

    /// The type as a template writes it: `decimal(10,2)`.
    pub fn as_written(&self) -> String {
        match self {
            Self::Bool => "bool".into(),
            Self::Int => "int".into(),
            Self::Bigint => "bigint".into(),
            Self::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
            Self::Float => "float".into(),
            Self::Str { chars_max: Some(max) } => format!("string({max})"),
            Self::Str { chars_max: None } => "string".into(),
            Self::Bytes { bytes_max: Some(max) } => format!("bytes({max})"),
            Self::Bytes { bytes_max: None } => "bytes".into(),
            Self::Date => "date".into(),
            Self::Timestamp { fraction } => format!("timestamp({fraction})"),
            Self::Json => "json".into(),
            Self::Enum(words) => format!("enum({})", words.join(",")),
            Self::List(item) => format!("list({})", item.as_written()),
            Self::Rows(fields) => {
                let field = |field: &Field| format!("{} {}", field.name, field.ty.as_written());
                format!("rows({})", fields.iter().map(field).collect::<Vec<_>>().join(", "))
            }
        }
    }

    fn whole<'a>(&self, value: i64) -> Result<Scalar<'a>, ScalarFault> {
        if matches!(self, Self::Int) && i32::try_from(value).is_err() {
            return Err(self.outside());
        }
        Ok(Scalar::Int(value))
    }

    fn whole_text<'a>(&self, text: &str) -> Result<Scalar<'a>, ScalarFault> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(self.wrong("a text that is not a whole number"));
        }
        // Only digits, so what does not parse is too large.
        text.parse().map_or_else(|_| Err(self.outside()), |value| self.whole(value))
    }

    fn decimal<'a>(&self, text: Cow<'a, str>) -> Result<Scalar<'a>, ScalarFault> {
        let Self::Decimal { precision, scale } = *self else { return Err(self.wrong("a decimal")) };
        match decimal::canonical(text, precision, scale) {
            Ok(text) => Ok(Scalar::Decimal(text)),
            Err(DecimalFault::Form) => Err(self.wrong("a text that is not a decimal number")),
            Err(DecimalFault::Whole) => {
                let max = precision.saturating_sub(scale);
                Err(ScalarFault::Range(format!("more than {max} digits before the point").into()))
            }
            Err(DecimalFault::Fraction) => {
                Err(ScalarFault::Range(format!("more than {scale} digits after the point").into()))
            }
        }
    }

    fn json<'a>(&self, value: Value<'a>) -> Result<Scalar<'a>, ScalarFault> {
        if let Value::Str(text) = value {
            return match json::decode(&mut text.as_bytes().to_vec()) {
                Ok(_) => Ok(Scalar::Json(text)),
                Err(_) => Err(self.wrong("a text that is not JSON")),
            };
        }
        if !is_finite(&value) {
            return Err(ScalarFault::Range("a float in it is not finite".into()));
        }
        let mut out = Vec::new();
        json::write_value(&mut out, &value);
        match String::from_utf8(out) {
            Ok(text) => Ok(Scalar::Json(text.into())),
            Err(_) => Err(self.wrong("a text that is not UTF-8")),
        }
    }

    fn moment(&self, fault: MomentFault) -> ScalarFault {
        match (fault, self) {
            (MomentFault::Form, Self::Date) => self.wrong("a text that is not YYYY-MM-DD"),
            (MomentFault::Form, _) => self.wrong("a text that is not RFC 3339 with an offset"),
            (MomentFault::Calendar, _) => {
                ScalarFault::Range("no such day or time in the years 0001 to 9999".into())
            }
            (MomentFault::Fraction, _) => {
                let expected = self.as_written();
                ScalarFault::Range(format!("more digits after the second than {expected}").into())
            }
        }
    }

    fn wrong(&self, got: &str) -> ScalarFault {
        ScalarFault::Type { expected: self.as_written().into(), got: got.into() }
    }

    fn outside(&self) -> ScalarFault {
        let (min, max) = match self {
            Self::Int => (i64::from(i32::MIN), i64::from(i32::MAX)),
            _ => (i64::MIN, i64::MAX),
        };
        ScalarFault::Range(format!("not within {min} to {max}").into())
    }
}

fn accept_items<'a>(
    item: &super::Type,
    values: Vec<Value<'a>>,
    untyped: bool,
) -> Result<Scalar<'a>, ScalarFault> {
    let mut items = Vec::with_capacity(values.len());
    for (index, value) in values.into_iter().enumerate() {
        items.push(item.accept(value, untyped).map_err(|fault| fault.of_item(index))?);
    }
    Ok(Scalar::List(items))
}

/// A float that databases have; minus zero becomes zero, so that equal numbers are equal bits.
fn finite<'a>(value: f64) -> Result<Scalar<'a>, ScalarFault> {
    if value.is_finite() {
        Ok(Scalar::Float(value + 0.0))
    } else {
        Err(ScalarFault::Range("not a finite number".into()))
    }
}

fn is_finite(value: &Value<'_>) -> bool {
    match value {
        Value::Float(value) => value.is_finite(),
        Value::Array(items) => items.iter().all(is_finite),
        Value::Map(entries) => entries.iter().all(|(_, value)| is_finite(value)),
        _ => true,
    }
}

/// U+0000 is refused: Oracle and PostgreSQL cut or refuse the text there.
fn checked_text(text: Cow<'_, str>, chars_max: Option<u32>) -> Result<Scalar<'_>, ScalarFault> {
    if text.as_bytes().contains(&0) {
        return Err(ScalarFault::Range("a text may not hold U+0000".into()));
    }
    let max = chars_max.map_or(usize::MAX, |max| max as usize);
    // A character has at least one byte: most texts are short enough without counting.
    if text.len() > max && text.chars().count() > max {
        return Err(ScalarFault::Range(format!("longer than {max} characters").into()));
    }
    Ok(Scalar::Str(text))
}

fn checked_bytes(bytes: Cow<'_, [u8]>, bytes_max: Option<u32>) -> Result<Scalar<'_>, ScalarFault> {
    match bytes_max {
        Some(max) if bytes.len() > max as usize => {
            Err(ScalarFault::Range(format!("longer than {max} bytes").into()))
        }
        _ => Ok(Scalar::Bytes(bytes)),
    }
}

/// Why a value does not fit a declared type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScalarFault {
    /// Of another type: code 2011.
    #[error("expected {expected}, got {got}")]
    Type {
        /// The declared type, as written in the template.
        expected: Box<str>,
        /// What came instead.
        got: Box<str>,
    },
    /// Of the type, outside its range, length, pattern or set: code 2012.
    #[error("{0}")]
    Range(Box<str>),
}

impl ScalarFault {
    /// The fault of a list: says which item, counted from 1.
    fn of_item(self, index: usize) -> Self {
        let place = index + 1;
        match self {
            Self::Type { expected, got } => {
                Self::Type { expected, got: format!("{got} as item {place}").into() }
            }
            Self::Range(text) => Self::Range(format!("item {place}: {text}").into()),
        }
    }
}

#[cfg(test)]
mod tests;
