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
mod tests {
    #![expect(clippy::needless_pass_by_value, reason = "values are made where they are passed")]

    use super::*;
    use crate::catalog::Type;

    fn text(text: &str) -> Value<'_> {
        Value::Str(Cow::Borrowed(text))
    }

    fn words(words: &[&str]) -> Type {
        Type::Enum(words.iter().map(|word| Box::from(*word)).collect())
    }

    const DECIMAL: Type = Type::Decimal { precision: 6, scale: 2 };
    const TIMESTAMP: Type = Type::Timestamp { fraction: 3 };

    #[track_caller]
    fn takes(ty: &Type, value: Value<'_>, untyped: bool, expected: Scalar<'_>) {
        assert_eq!(ty.accept(value.clone(), untyped), Ok(expected), "{ty:?} {value:?}");
    }

    #[track_caller]
    fn wrong_type(ty: &Type, value: Value<'_>, untyped: bool) {
        let fault = ty.accept(value.clone(), untyped);
        assert!(matches!(fault, Err(ScalarFault::Type { .. })), "{ty:?} {value:?}: {fault:?}");
    }

    #[track_caller]
    fn out_of_range(ty: &Type, value: Value<'_>) {
        let fault = ty.accept(value.clone(), false);
        assert!(matches!(fault, Err(ScalarFault::Range(_))), "{ty:?} {value:?}: {fault:?}");
    }

    #[test]
    fn each_type_refuses_every_other_kind_of_value_and_null() {
        let list = || Value::Array(vec![Value::Array(vec![])]);
        let map = || Value::Map(vec![]);
        let bytes = || Value::Bytes(Cow::Borrowed(b"x"));
        let (int, float, bool, str) =
            (Value::Int(1), Value::Float(1.0), Value::Bool(true), text("?"));
        let table: [(Type, Vec<Value<'_>>); 11] = [
            (Type::Bool, vec![int.clone(), float.clone(), str.clone(), bytes(), list(), map()]),
            (Type::Int, vec![bool.clone(), float.clone(), text("1"), bytes(), list(), map()]),
            (Type::Bigint, vec![bool.clone(), float.clone(), str.clone(), bytes(), list(), map()]),
            (DECIMAL, vec![bool.clone(), float.clone(), str.clone(), bytes(), list(), map()]),
            (Type::Float, vec![bool.clone(), text("1.5"), bytes(), list(), map()]),
            (
                Type::Str { chars_max: None },
                vec![int.clone(), float.clone(), bool.clone(), bytes(), list(), map()],
            ),
            (
                Type::Bytes { bytes_max: None },
                vec![int.clone(), float.clone(), bool.clone(), str.clone(), list(), map()],
            ),
            (
                Type::Date,
                vec![int.clone(), float.clone(), bool.clone(), str.clone(), bytes(), list(), map()],
            ),
            (
                TIMESTAMP,
                vec![int.clone(), float.clone(), bool.clone(), str.clone(), bytes(), list(), map()],
            ),
            (words(&["a"]), vec![int.clone(), float.clone(), bool.clone(), bytes(), list(), map()]),
            (Type::List(Type::Int.into()), vec![int, float, bool, str, bytes(), list(), map()]),
        ];
        for (ty, values) in table {
            wrong_type(&ty, Value::Null, false);
            wrong_type(&ty, Value::Null, true);
            for value in values {
                wrong_type(&ty, value, false);
            }
        }
        wrong_type(&Type::Json, Value::Null, false);
        wrong_type(&Type::Json, text("{"), false);
    }

    #[test]
    fn truth_values_are_booleans_and_where_untyped_their_words() {
        takes(&Type::Bool, Value::Bool(true), false, Scalar::Bool(true));
        for (word, value) in [("true", true), ("1", true), ("false", false), ("0", false)] {
            takes(&Type::Bool, text(word), true, Scalar::Bool(value));
        }
        for word in ["", "TRUE", "yes", "2"] {
            wrong_type(&Type::Bool, text(word), true);
        }
    }

    #[test]
    fn integers_at_the_ends_of_their_type_pass_and_one_beyond_is_out_of_range() {
        for end in [i32::MIN, i32::MAX] {
            takes(&Type::Int, Value::Int(end.into()), false, Scalar::Int(end.into()));
        }
        out_of_range(&Type::Int, Value::Int(i64::from(i32::MAX) + 1));
        out_of_range(&Type::Int, Value::Int(i64::from(i32::MIN) - 1));
        out_of_range(&Type::Int, Value::UInt(u64::MAX));
        for end in [i64::MIN, i64::MAX] {
            takes(&Type::Bigint, Value::Int(end), false, Scalar::Int(end));
            takes(&Type::Bigint, text(&end.to_string()), false, Scalar::Int(end));
        }
        out_of_range(&Type::Bigint, Value::UInt(1 << 63));
        out_of_range(&Type::Bigint, text("9223372036854775808"));
        out_of_range(&Type::Bigint, text("-9223372036854775809"));
    }

    #[test]
    fn texts_of_digits_are_integers_where_untyped_and_bigints_always() {
        takes(&Type::Int, text("-7"), true, Scalar::Int(-7));
        takes(&Type::Bigint, text("007"), false, Scalar::Int(7));
        takes(&Type::Bigint, text("-0"), false, Scalar::Int(0));
        for broken in ["", "-", "+7", "7.0", "1e3", " 7", "7 ", "0x7", "--7", "٧"] {
            wrong_type(&Type::Int, text(broken), true);
            wrong_type(&Type::Bigint, text(broken), true);
        }
        wrong_type(&Type::Bigint, Value::Float(7.0), false);
    }

    #[test]
    fn decimals_come_from_texts_and_integers_in_one_form() {
        takes(&DECIMAL, text("7.5"), false, Scalar::Decimal("7.50".into()));
        takes(&DECIMAL, Value::Int(-7), false, Scalar::Decimal("-7.00".into()));
        takes(&DECIMAL, text("-0.00"), true, Scalar::Decimal("0.00".into()));
        takes(&DECIMAL, Value::Int(9999), false, Scalar::Decimal("9999.00".into()));
        out_of_range(&DECIMAL, Value::Int(10_000));
        out_of_range(&DECIMAL, Value::UInt(u64::MAX));
        out_of_range(&DECIMAL, text("0.001"));
        wrong_type(&DECIMAL, text("1e2"), false);
    }

    #[test]
    fn floats_are_finite_and_have_one_zero() {
        takes(&Type::Float, Value::Float(1.5), false, Scalar::Float(1.5));
        takes(&Type::Float, Value::Int(3), false, Scalar::Float(3.0));
        takes(&Type::Float, text("-2.5e3"), true, Scalar::Float(-2500.0));
        let zero = Type::Float.accept(Value::Float(-0.0), false);
        assert!(matches!(zero, Ok(Scalar::Float(zero)) if zero.is_sign_positive()));
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            out_of_range(&Type::Float, Value::Float(value));
        }
        for word in ["NaN", "inf", "1e400"] {
            let fault = Type::Float.accept(text(word), true);
            assert!(matches!(fault, Err(ScalarFault::Range(_))), "{word}");
        }
    }

    #[test]
    fn texts_are_counted_in_characters_and_may_not_hold_a_zero_character() {
        let ty = Type::Str { chars_max: Some(3) };
        takes(&ty, text("äöü"), false, Scalar::Str("äöü".into()));
        takes(&ty, text(""), false, Scalar::Str("".into()));
        out_of_range(&ty, text("äöüx"));
        out_of_range(&ty, text("abcd"));
        out_of_range(&ty, text("a\0"));
    }

    #[test]
    fn bytes_come_as_bytes_or_base64_and_are_counted_decoded() {
        let ty = Type::Bytes { bytes_max: Some(3) };
        takes(
            &ty,
            Value::Bytes(Cow::Borrowed(&[1, 2, 3])),
            false,
            Scalar::Bytes(Cow::Borrowed(&[1, 2, 3])),
        );
        takes(&ty, text("AQID"), false, Scalar::Bytes(vec![1, 2, 3].into()));
        takes(&ty, text(""), true, Scalar::Bytes(vec![].into()));
        out_of_range(&ty, text("AQIDBA=="));
        out_of_range(&ty, Value::Bytes(Cow::Borrowed(&[0; 4])));
        wrong_type(&ty, text("AQI"), false);
        wrong_type(&ty, text("_-=="), false);
    }

    #[test]
    fn moments_come_as_text_and_become_numbers() {
        takes(&Type::Date, text("1970-01-02"), false, Scalar::Date(1));
        takes(&TIMESTAMP, text("1970-01-01T01:00:00.001+01:00"), true, Scalar::Timestamp(1000));
        out_of_range(&Type::Date, text("2023-02-29"));
        out_of_range(&TIMESTAMP, text("1970-01-01T00:00:00.0001Z"));
        wrong_type(&TIMESTAMP, text("1970-01-01"), false);
    }

    #[test]
    fn json_is_text_that_is_json_or_any_value_written_as_it() {
        takes(&Type::Json, text(r#"{"a": 1}"#), false, Scalar::Json(r#"{"a": 1}"#.into()));
        let value =
            Value::Map(vec![("a".into(), Value::Array(vec![Value::Null, Value::Bool(true)]))]);
        takes(&Type::Json, value, false, Scalar::Json(r#"{"a":[null,true]}"#.into()));
        takes(&Type::Json, Value::Int(5), false, Scalar::Json("5".into()));
        out_of_range(&Type::Json, Value::Array(vec![Value::Float(f64::NAN)]));
        for broken in ["", "{", "hello", "{'a':1}", "1 2"] {
            wrong_type(&Type::Json, text(broken), true);
        }
    }

    #[test]
    fn enums_take_their_words_and_no_other() {
        let ty = words(&["newest", "level"]);
        takes(&ty, text("level"), false, Scalar::Str("level".into()));
        out_of_range(&ty, text("Level"));
        out_of_range(&ty, text(""));
        assert_eq!(
            ty.accept(text("x"), false).unwrap_err().to_string(),
            "not one of newest, level"
        );
    }

    #[test]
    fn lists_take_lists_and_where_untyped_one_value_as_a_list_of_one() {
        let ty = Type::List(Type::Int.into());
        let two = Scalar::List(vec![Scalar::Int(1), Scalar::Int(2)]);
        takes(&ty, Value::Array(vec![Value::Int(1), Value::Int(2)]), false, two.clone());
        takes(&ty, Value::Array(vec![text("1"), text("2")]), true, two);
        takes(&ty, text("1"), true, Scalar::List(vec![Scalar::Int(1)]));
        takes(&ty, Value::Array(vec![]), false, Scalar::List(vec![]));
        wrong_type(&ty, Value::Array(vec![Value::Null]), false);
        let fault = ty.accept(Value::Array(vec![Value::Int(1), text("x")]), false).unwrap_err();
        assert_eq!(fault.to_string(), "expected int, got a string as item 2");
        let fault = ty.accept(Value::Array(vec![Value::Int(1 << 40)]), false).unwrap_err();
        assert_eq!(fault.to_string(), "item 1: not within -2147483648 to 2147483647");
    }

    #[test]
    fn header_texts_parse_as_their_type_and_lists_at_commas() {
        assert_eq!(Type::Int.parse("20"), Ok(Scalar::Int(20)));
        assert_eq!(Type::Bool.parse("true"), Ok(Scalar::Bool(true)));
        let list = Type::List(Type::Int.into());
        assert_eq!(list.parse("1, 2"), Ok(Scalar::List(vec![Scalar::Int(1), Scalar::Int(2)])));
        assert_eq!(list.parse(" "), Ok(Scalar::List(vec![])));
        assert!(list.parse("1,").is_err());
        assert!(Type::Int.parse("x").is_err());
    }

    #[test]
    fn faults_name_the_type_as_written_and_never_the_value() {
        for (ty, written) in [
            (DECIMAL, "decimal(6,2)"),
            (TIMESTAMP, "timestamp(3)"),
            (Type::Str { chars_max: Some(8) }, "string(8)"),
            (Type::Bytes { bytes_max: None }, "bytes"),
            (words(&["a", "b"]), "enum(a,b)"),
            (Type::List(Type::Bigint.into()), "list(bigint)"),
        ] {
            assert_eq!(ty.as_written(), written);
            let fault =
                ty.accept(Value::Map(vec![("s3cret".into(), Value::Null)]), false).unwrap_err();
            assert_eq!(fault.to_string(), format!("expected {written}, got a map"));
        }
        assert!(
            !Type::Bigint.accept(text("s3cret"), false).unwrap_err().to_string().contains("s3cret")
        );
    }

    #[test]
    fn values_compare_within_their_type_and_null_compares_with_nothing() {
        use Ordering::{Equal, Greater, Less};
        let decimal = |text: &'static str| Scalar::Decimal(text.into());
        for (left, right, expected) in [
            (Scalar::Int(-1), Scalar::Int(1), Some(Less)),
            (Scalar::Bool(true), Scalar::Bool(false), Some(Greater)),
            (Scalar::Float(1.5), Scalar::Float(1.5), Some(Equal)),
            (decimal("9.50"), decimal("10.00"), Some(Less)),
            (Scalar::Int(10), decimal("9.50"), Some(Greater)),
            (decimal("10.00"), Scalar::Int(10), Some(Equal)),
            (Scalar::Str("a".into()), Scalar::Str("b".into()), Some(Less)),
            (Scalar::Bytes(vec![2].into()), Scalar::Bytes(vec![1, 9].into()), Some(Greater)),
            (Scalar::Date(1), Scalar::Date(2), Some(Less)),
            (Scalar::Timestamp(1), Scalar::Timestamp(1), Some(Equal)),
            (Scalar::Null, Scalar::Null, None),
            (Scalar::Int(1), Scalar::Null, None),
            (Scalar::Int(1), Scalar::Str("1".into()), None),
            (Scalar::Date(1), Scalar::Timestamp(1), None),
        ] {
            assert_eq!(left.compare(&right), expected, "{left:?} {right:?}");
            assert_eq!(right.compare(&left), expected.map(Ordering::reverse));
        }
    }

    #[test]
    fn tag_texts_are_one_for_each_value() {
        for (value, expected) in [
            (Scalar::Null, "null"),
            (Scalar::Bool(true), "true"),
            (Scalar::Int(i64::MIN), "-9223372036854775808"),
            (Scalar::Float(0.1), "0.1"),
            (Scalar::Decimal("1.50".into()), "1.50"),
            (Scalar::Str("a b".into()), "a b"),
            (Scalar::Bytes(vec![0, 0xaf].into()), "00af"),
            (Scalar::Date(0), "1970-01-01"),
            (Scalar::Timestamp(1), "1970-01-01T00:00:00.000001Z"),
            (Scalar::Json("{}".into()), "{}"),
            (Scalar::List(vec![Scalar::Int(1), Scalar::Int(2)]), "1,2"),
        ] {
            let mut out = String::from("x:");
            value.tag_text(&mut out);
            assert_eq!(out, format!("x:{expected}"));
        }
    }
}
