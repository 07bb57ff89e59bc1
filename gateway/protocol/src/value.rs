//! One value as the wire carries it, borrowed from the bytes that it came in where it can be.

use std::borrow::Cow;

/// A decoded MessagePack or JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Nothing: MessagePack nil, JSON null.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number that fits 64 bits with a sign. Every such number is this variant.
    Int(i64),
    /// A whole number above [`i64::MAX`], and only such.
    UInt(u64),
    /// A binary floating point number.
    Float(f64),
    /// Text, UTF-8 checked.
    Str(Cow<'a, str>),
    /// Bytes. JSON has none: there a string takes their place, base64.
    Bytes(Cow<'a, [u8]>),
    /// Values in order.
    Array(Vec<Value<'a>>),
    /// Names and values in the order they came; a name may stand twice, and the reader of the map
    /// decides what that means.
    Map(Vec<(Cow<'a, str>, Value<'a>)>),
}

impl Value<'_> {
    /// Copies what is borrowed, so that the value outlives its bytes.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Bool(value) => Value::Bool(value),
            Value::Int(value) => Value::Int(value),
            Value::UInt(value) => Value::UInt(value),
            Value::Float(value) => Value::Float(value),
            Value::Str(text) => Value::Str(Cow::Owned(text.into_owned())),
            Value::Bytes(bytes) => Value::Bytes(Cow::Owned(bytes.into_owned())),
            Value::Array(items) => Value::Array(items.into_iter().map(Value::into_owned).collect()),
            Value::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(name, value)| (Cow::Owned(name.into_owned()), value.into_owned()))
                    .collect(),
            ),
        }
    }

    /// What kind of value this is, in the words of an error message.
    pub const fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::UInt(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Str(_) => "a string",
            Value::Bytes(_) => "bytes",
            Value::Array(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}
