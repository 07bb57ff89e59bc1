//! The members of a map, taken out one by one.

use std::borrow::Cow;

use crate::{PayloadError, Value};

/// Characters of a foreign name that a message repeats.
const NAME_CHARS_SHOWN: usize = 64;

/// A map's members that have not been taken yet.
pub(super) struct Members<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

impl<'a> Members<'a> {
    /// Opens a map; `place` is its name in an error.
    pub(super) fn open(value: Value<'a>, place: &'static str) -> Result<Self, PayloadError> {
        match value {
            Value::Map(entries) => Ok(Self(entries)),
            other => Err(PayloadError::Shape { place, expected: "a map", got: other.kind() }),
        }
    }

    /// All members, in their order.
    pub(super) fn into_entries(self) -> Vec<(Cow<'a, str>, Value<'a>)> {
        self.0
    }

    /// Takes a member out; null counts as absent.
    pub(super) fn take(&mut self, name: &str) -> Option<Value<'a>> {
        let index = self.0.iter().position(|(own, _)| own == name)?;
        let (_, value) = self.0.swap_remove(index);
        if value == Value::Null { None } else { Some(value) }
    }

    pub(super) fn text(&mut self, name: &'static str) -> Result<Cow<'a, str>, PayloadError> {
        self.text_if_any(name)?.ok_or(PayloadError::Missing(name))
    }

    pub(super) fn text_if_any(
        &mut self,
        name: &'static str,
    ) -> Result<Option<Cow<'a, str>>, PayloadError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Str(text)) => Ok(Some(text)),
            Some(other) => Err(shape(name, "a string", &other)),
        }
    }

    pub(super) fn u64(&mut self, name: &'static str) -> Result<u64, PayloadError> {
        let value = self.take(name).ok_or(PayloadError::Missing(name))?;
        let number = match value {
            Value::UInt(number) => Some(number),
            Value::Int(number) => u64::try_from(number).ok(),
            _ => None,
        };
        number.ok_or_else(|| shape(name, "an integer, not negative", &value))
    }

    pub(super) fn u32(&mut self, name: &'static str) -> Result<u32, PayloadError> {
        let number = self.u64(name)?;
        u32::try_from(number).or(Err(PayloadError::Shape {
            place: name,
            expected: "an integer of 32 bits",
            got: "a larger one",
        }))
    }

    /// Bytes: bin in MessagePack, base64 in a text.
    pub(super) fn bytes(&mut self, name: &'static str) -> Result<Cow<'a, [u8]>, PayloadError> {
        use base64::Engine as _;
        let place = name;
        match self.take(name).ok_or(PayloadError::Missing(name))? {
            Value::Bytes(bytes) => Ok(bytes),
            Value::Str(text) => {
                let bytes = base64::engine::general_purpose::STANDARD.decode(text.as_bytes());
                let wrong = PayloadError::Shape { place, expected: "base64", got: "another text" };
                bytes.or(Err(wrong)).map(Cow::Owned)
            }
            other => Err(shape(name, "bytes", &other)),
        }
    }

    /// Refuses what has not been taken.
    pub(super) fn end(&self) -> Result<(), PayloadError> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => {
                let shown: String = name.chars().take(NAME_CHARS_SHOWN).collect();
                Err(PayloadError::Unexpected(shown.into_boxed_str()))
            }
        }
    }
}

fn shape(place: &'static str, expected: &'static str, value: &Value<'_>) -> PayloadError {
    PayloadError::Shape { place, expected, got: value.kind() }
}
