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

impl<'a> Value<'a> {
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

    /// The member of that name; `None`: not a map, or it has none. Of a name that stands twice the first.
    ///
    /// ```
    /// use gateway_protocol::Value;
    ///
    /// let row = Value::Map(vec![("gold".into(), 5.into()), ("guild".into(), Value::Null)]);
    /// assert_eq!(row.get("gold").and_then(Value::as_i64), Some(5));
    /// assert!(row.get("guild").is_some_and(Value::is_null));
    /// assert_eq!(row.get("level"), None);
    /// ```
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        let members = self.as_map()?;
        members.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    /// The item at `index`; `None`: not a list, or a shorter one.
    pub fn at(&self, index: usize) -> Option<&Value<'a>> {
        self.as_list()?.get(index)
    }

    /// Whether it is [`Value::Null`].
    pub const fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The truth value.
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The whole number, if it fits 64 bits with a sign. A number that came as text, as JSON's large ones
    /// do, is no number here: parse [`Value::as_str`].
    pub const fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The whole number, if it is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Value::Int(value) => u64::try_from(*value).ok(),
            Value::UInt(value) => Some(*value),
            _ => None,
        }
    }

    /// The number; of a whole one the nearest float.
    #[expect(clippy::cast_precision_loss, reason = "who asks for a float gets the nearest")]
    pub const fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Int(value) => Some(*value as f64),
            Value::UInt(value) => Some(*value as f64),
            Value::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// The text: also of decimals, dates and timestamps, which travel as text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes. In JSON they are text, base64: [`Value::as_str`].
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The items of a list.
    pub fn as_list(&self) -> Option<&[Value<'a>]> {
        match self {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The members of a map, in the order they came.
    pub fn as_map(&self) -> Option<&[(Cow<'a, str>, Value<'a>)]> {
        match self {
            Value::Map(members) => Some(members),
            _ => None,
        }
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i32> for Value<'_> {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<u32> for Value<'_> {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u64> for Value<'_> {
    /// Every number that fits is a [`Value::Int`], as on the wire.
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or(Self::UInt(value), Self::Int)
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Str(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Str(Cow::Owned(text))
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(Cow::Borrowed(bytes))
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    /// `None` is [`Value::Null`]: the same as a parameter that is not given.
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<'a, T: Into<Value<'a>>> FromIterator<T> for Value<'a> {
    /// A list.
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::Array(items.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accessor_answers_for_its_own_kind_alone() {
        let values = [
            Value::Null,
            true.into(),
            (-7).into(),
            u64::MAX.into(),
            0.5.into(),
            "a".into(),
            (&b"b"[..]).into(),
            [1, 2].into_iter().collect(),
            Value::Map(vec![("n".into(), 1.into())]),
        ];
        for value in &values {
            let answers = [
                value.is_null(),
                value.as_bool().is_some(),
                value.as_i64().is_some(),
                value.as_i64().is_none() && value.as_u64().is_some(),
                value.as_u64().is_none() && value.as_i64().is_none() && value.as_f64().is_some(),
                value.as_str().is_some(),
                value.as_bytes().is_some(),
                value.as_list().is_some(),
                value.as_map().is_some(),
            ];
            assert_eq!(answers.iter().filter(|answer| **answer).count(), 1, "{value:?}");
        }
        assert_eq!(values[7].at(1), Some(&Value::Int(2)));
        assert_eq!((values[7].at(2), values[8].at(0)), (None, None));
    }

    #[test]
    fn number_is_the_variant_that_the_wire_would_give() {
        assert_eq!(Value::from(i64::MAX.unsigned_abs()), Value::Int(i64::MAX));
        assert_eq!(Value::from(i64::MAX.unsigned_abs() + 1), Value::UInt(1 << 63));
        assert_eq!((Value::from(7_u64).as_i64(), Value::from(-7).as_u64()), (Some(7), None));
        assert_eq!(Value::from(None::<i64>), Value::Null);
    }

    #[test]
    fn member_that_stands_twice_is_the_first() {
        let map = Value::Map(vec![("a".into(), 1.into()), ("a".into(), 2.into())]);
        assert_eq!(map.get("a"), Some(&Value::Int(1)));
    }
}
