//! LOB locators: the value itself, kept in the client library.
//!
//! A locator that was fetched holds a copy of the row's value; what is written to it reaches the row only when it
//! is bound again. Oracle's own locators of rows that are locked would write through.

use crate::error::{Failure, OracleError};
use crate::value::Value;

/// A large object.
#[derive(Debug, Default, Clone)]
pub struct Lob {
    /// Characters (UTF-8) or bytes.
    pub content: Vec<u8>,
    /// Offsets and lengths count characters.
    pub is_text: bool,
    /// Made by `OCILobCreateTemporary`, and not freed since.
    pub is_temporary: bool,
    /// It has a value: a locator that has none is refused.
    pub is_set: bool,
}

impl Lob {
    /// The LOB as a value to bind.
    pub fn value(&self) -> Value {
        if !self.is_set {
            return Value::Null;
        }
        if self.is_text {
            return Value::text(String::from_utf8_lossy(&self.content).into_owned());
        }
        Value::bytes(self.content.clone())
    }

    /// Fills a locator with what a row has.
    pub fn set(&mut self, content: Vec<u8>, is_text: bool) {
        *self = Self { content, is_text, is_temporary: false, is_set: true };
    }

    /// Length, in characters or bytes.
    ///
    /// # Errors
    /// ORA-22275: the locator has no value.
    pub fn length(&self) -> Result<u64, Failure> {
        self.check()?;
        Ok(to_u64(if self.is_text { characters(&self.content) } else { self.content.len() }))
    }

    /// Reads from an offset (the first is 1) at most `amount` characters or bytes, and at most `room` bytes.
    ///
    /// Returns the bytes and how many characters they are.
    ///
    /// # Errors
    /// ORA-22275: the locator has no value.
    pub fn read(&self, offset: u64, amount: u64, room: usize) -> Result<(Vec<u8>, u64), Failure> {
        self.check()?;
        let skipped = usize::try_from(offset.saturating_sub(1)).unwrap_or(usize::MAX);
        let amount = usize::try_from(amount).unwrap_or(usize::MAX);
        if !self.is_text {
            let bytes: Vec<u8> =
                self.content.iter().skip(skipped).take(amount.min(room)).copied().collect();
            let count = to_u64(bytes.len());
            return Ok((bytes, count));
        }
        let text = String::from_utf8_lossy(&self.content);
        let mut bytes = Vec::new();
        let mut count = 0;
        for character in text.chars().skip(skipped).take(amount) {
            if bytes.len() + character.len_utf8() > room {
                break;
            }
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            count += 1;
        }
        Ok((bytes, count))
    }

    /// Writes at an offset (the first is 1), over what is there and beyond its end.
    ///
    /// # Errors
    /// ORA-22275: the locator has no value.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        self.check()?;
        let index = usize::try_from(offset.saturating_sub(1)).unwrap_or(usize::MAX);
        let (start, end) = if self.is_text {
            (self.byte_of(index), self.byte_of(index + characters(bytes)))
        } else {
            (index.min(self.content.len()), (index + bytes.len()).min(self.content.len()))
        };
        self.content.splice(start..end.max(start), bytes.iter().copied());
        Ok(())
    }

    /// Cuts it to a length, in characters or bytes.
    ///
    /// # Errors
    /// [`Failure::InvalidHandle`]: the locator has no value; the driver makes it temporary then.
    pub fn trim(&mut self, len: u64) -> Result<(), Failure> {
        if !self.is_set {
            return Err(Failure::InvalidHandle);
        }
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let end = if self.is_text { self.byte_of(len) } else { len.min(self.content.len()) };
        self.content.truncate(end);
        Ok(())
    }

    fn check(&self) -> Result<(), Failure> {
        if self.is_set {
            return Ok(());
        }
        Err(OracleError::new(22275, "invalid LOB locator specified").into())
    }

    /// Where the n-th character starts, or the end.
    fn byte_of(&self, character: usize) -> usize {
        let starts = self.content.iter().enumerate().filter(|(_, byte)| is_start(**byte));
        starts.map(|(index, _)| index).nth(character).unwrap_or(self.content.len())
    }
}

fn to_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// Whether a character of UTF-8 starts with this byte.
const fn is_start(byte: u8) -> bool {
    byte & 0xC0 != 0x80
}

fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| is_start(**byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_counted_in_characters_and_bytes_in_bytes() {
        let mut lob = Lob::default();
        lob.set("中文abc".into(), true);
        assert_eq!(lob.length().unwrap(), 5);
        assert_eq!(lob.read(2, 2, 100).unwrap(), ("文a".into(), 2));
        assert_eq!(lob.read(1, 9, 4).unwrap(), ("中".into(), 1));
        lob.write(2, "é".as_bytes()).unwrap();
        lob.write(6, b"!").unwrap();
        assert_eq!(lob.content, "中éabc!".as_bytes());
        lob.trim(2).unwrap();
        assert_eq!(lob.content, "中é".as_bytes());
        lob.set(vec![1, 2, 3], false);
        assert_eq!(lob.read(2, 9, 9).unwrap(), (vec![2, 3], 2));
    }

    #[test]
    fn locator_without_a_value_is_refused() {
        let mut lob = Lob::default();
        assert!(lob.length().is_err());
        assert_eq!(lob.trim(0), Err(Failure::InvalidHandle));
        assert_eq!(lob.value(), Value::Null);
    }
}
