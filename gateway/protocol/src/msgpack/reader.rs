//! Reading MessagePack from a slice, token by token or value by value.

use std::borrow::Cow;

use crate::{DEPTH_MAX, PayloadError, Value};

/// Items for which a list's or map's vector is allocated before the first one is read.
const PREALLOCATED_ITEMS_MAX: usize = 32;

/// What stands at one place: a scalar, or the head of a container whose items follow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token<'a> {
    /// nil.
    Nil,
    /// A truth value.
    Bool(bool),
    /// A whole number that fits 64 bits with a sign, however it was written.
    Int(i64),
    /// A whole number above [`i64::MAX`].
    UInt(u64),
    /// A float; 32 bits are widened.
    Float(f64),
    /// Text, UTF-8 checked.
    Str(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A list: so many values follow.
    Array(u32),
    /// A map: so many pairs of key and value follow.
    Map(u32),
}

impl Token<'_> {
    /// What kind of value it is, in the words of an error message.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::UInt(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Str(_) => "a string",
            Self::Bytes(_) => "bytes",
            Self::Array(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

/// A token whose text is not checked yet.
enum Head<'a> {
    Text(&'a [u8]),
    Token(Token<'a>),
}

/// A place in a slice of MessagePack. After an error the place is unspecified: drop the reader.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Begins at the start of `input`.
    pub const fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    /// What has not been read.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// [`PayloadError::Trailing`] when bytes are left.
    pub const fn finish(&self) -> Result<(), PayloadError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(PayloadError::Trailing { bytes: self.rest.len() })
        }
    }

    /// Reads the next token. A container's count is at most what the rest could hold.
    ///
    /// # Errors
    ///
    /// [`PayloadError`]: truncated, an unused type byte, or not UTF-8.
    pub fn token(&mut self) -> Result<Token<'a>, PayloadError> {
        match self.head()? {
            Head::Text(bytes) => Ok(Token::Str(text(bytes)?)),
            Head::Token(token) => Ok(token),
        }
    }

    /// Reads the head of a list and returns its length.
    ///
    /// # Errors
    ///
    /// [`PayloadError::Shape`] with `place` when another value stands there; as [`Reader::token`].
    pub fn array(&mut self, place: &'static str) -> Result<usize, PayloadError> {
        match self.token()? {
            Token::Array(count) => Ok(count as usize),
            other => Err(shape(place, "a list", &other)),
        }
    }

    /// Reads the head of a map and returns its count of pairs.
    ///
    /// # Errors
    ///
    /// As [`Reader::array`].
    pub fn map(&mut self, place: &'static str) -> Result<usize, PayloadError> {
        match self.token()? {
            Token::Map(count) => Ok(count as usize),
            other => Err(shape(place, "a map", &other)),
        }
    }

    /// Reads a text.
    ///
    /// # Errors
    ///
    /// As [`Reader::array`].
    pub fn str(&mut self, place: &'static str) -> Result<&'a str, PayloadError> {
        match self.token()? {
            Token::Str(text) => Ok(text),
            other => Err(shape(place, "a string", &other)),
        }
    }

    /// Reads a map's key.
    ///
    /// # Errors
    ///
    /// [`PayloadError::Key`] when it is not text; as [`Reader::token`].
    pub fn key(&mut self) -> Result<&'a str, PayloadError> {
        match self.token()? {
            Token::Str(text) => Ok(text),
            other => Err(PayloadError::Key(other.kind())),
        }
    }

    /// Reads one value, whatever it is.
    ///
    /// # Errors
    ///
    /// As [`decode`](super::decode), but what follows is left for the next read.
    pub fn value(&mut self) -> Result<Value<'a>, PayloadError> {
        self.value_within(DEPTH_MAX)
    }

    fn value_within(&mut self, depth_left: usize) -> Result<Value<'a>, PayloadError> {
        Ok(match self.token()? {
            Token::Nil => Value::Null,
            Token::Bool(value) => Value::Bool(value),
            Token::Int(value) => Value::Int(value),
            Token::UInt(value) => Value::UInt(value),
            Token::Float(value) => Value::Float(value),
            Token::Str(text) => Value::Str(Cow::Borrowed(text)),
            Token::Bytes(bytes) => Value::Bytes(Cow::Borrowed(bytes)),
            Token::Array(count) => {
                let within = depth_left.checked_sub(1).ok_or(PayloadError::Depth)?;
                let mut items = Vec::with_capacity(PREALLOCATED_ITEMS_MAX.min(count as usize));
                for _ in 0..count {
                    items.push(self.value_within(within)?);
                }
                Value::Array(items)
            }
            Token::Map(count) => {
                let within = depth_left.checked_sub(1).ok_or(PayloadError::Depth)?;
                let mut entries = Vec::with_capacity(PREALLOCATED_ITEMS_MAX.min(count as usize));
                for _ in 0..count {
                    let key = Cow::Borrowed(self.key()?);
                    entries.push((key, self.value_within(within)?));
                }
                Value::Map(entries)
            }
        })
    }

    /// Passes over one value, however deep, in one loop. Texts and keys are not checked.
    ///
    /// # Errors
    ///
    /// [`PayloadError`]: truncated, or an unused type byte.
    pub fn skip(&mut self) -> Result<(), PayloadError> {
        let mut pending: u64 = 1;
        while pending > 0 {
            pending -= 1;
            match self.head()? {
                Head::Token(Token::Array(count)) => pending += u64::from(count),
                Head::Token(Token::Map(count)) => pending += 2 * u64::from(count),
                _ => {}
            }
        }
        Ok(())
    }

    #[inline]
    fn head(&mut self) -> Result<Head<'a>, PayloadError> {
        let [byte] = self.chunk()?;
        let token = match byte {
            0x00..=0x7f => Token::Int(i64::from(byte)),
            0x80..=0x8f => self.map_of(u32::from(byte & 0x0f))?,
            0x90..=0x9f => self.array_of(u32::from(byte & 0x0f))?,
            0xa0..=0xbf => return Ok(Head::Text(self.take(usize::from(byte & 0x1f))?)),
            0xc0 => Token::Nil,
            0xc2 => Token::Bool(false),
            0xc3 => Token::Bool(true),
            0xc4 => {
                let bytes = self.length8()?;
                Token::Bytes(self.take(bytes as usize)?)
            }
            0xc5 => {
                let bytes = self.length16()?;
                Token::Bytes(self.take(bytes as usize)?)
            }
            0xc6 => {
                let bytes = self.length32()?;
                Token::Bytes(self.take(bytes as usize)?)
            }
            0xca => Token::Float(f64::from(f32::from_be_bytes(self.chunk()?))),
            0xcb => Token::Float(f64::from_be_bytes(self.chunk()?)),
            0xcc => Token::Int(i64::from(u8::from_be_bytes(self.chunk()?))),
            0xcd => Token::Int(i64::from(u16::from_be_bytes(self.chunk()?))),
            0xce => Token::Int(i64::from(u32::from_be_bytes(self.chunk()?))),
            0xcf => {
                let value = u64::from_be_bytes(self.chunk()?);
                i64::try_from(value).map_or(Token::UInt(value), Token::Int)
            }
            0xd0 => Token::Int(i64::from(i8::from_be_bytes(self.chunk()?))),
            0xd1 => Token::Int(i64::from(i16::from_be_bytes(self.chunk()?))),
            0xd2 => Token::Int(i64::from(i32::from_be_bytes(self.chunk()?))),
            0xd3 => Token::Int(i64::from_be_bytes(self.chunk()?)),
            0xd9..=0xdb => {
                let bytes = match byte {
                    0xd9 => self.length8()?,
                    0xda => self.length16()?,
                    _ => self.length32()?,
                };
                return Ok(Head::Text(self.take(bytes as usize)?));
            }
            0xdc => {
                let count = self.length16()?;
                self.array_of(count)?
            }
            0xdd => {
                let count = self.length32()?;
                self.array_of(count)?
            }
            0xde => {
                let count = self.length16()?;
                self.map_of(count)?
            }
            0xdf => {
                let count = self.length32()?;
                self.map_of(count)?
            }
            0xe0..=0xff => Token::Int(i64::from(i8::from_be_bytes([byte]))),
            0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => return Err(PayloadError::TypeByte(byte)),
        };
        Ok(Head::Token(token))
    }

    /// A list of `count` values, each of at least one byte.
    fn array_of(&self, count: u32) -> Result<Token<'a>, PayloadError> {
        if count as usize <= self.rest.len() {
            Ok(Token::Array(count))
        } else {
            Err(PayloadError::Truncated)
        }
    }

    /// A map of `count` pairs, each of at least two bytes.
    fn map_of(&self, count: u32) -> Result<Token<'a>, PayloadError> {
        if count as usize <= self.rest.len() / 2 {
            Ok(Token::Map(count))
        } else {
            Err(PayloadError::Truncated)
        }
    }

    fn length8(&mut self) -> Result<u32, PayloadError> {
        Ok(u32::from(u8::from_be_bytes(self.chunk()?)))
    }

    fn length16(&mut self) -> Result<u32, PayloadError> {
        Ok(u32::from(u16::from_be_bytes(self.chunk()?)))
    }

    fn length32(&mut self) -> Result<u32, PayloadError> {
        Ok(u32::from_be_bytes(self.chunk()?))
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], PayloadError> {
        let (chunk, rest) = self.rest.split_first_chunk::<N>().ok_or(PayloadError::Truncated)?;
        self.rest = rest;
        Ok(*chunk)
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], PayloadError> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(PayloadError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}

/// The pairs of a map, read one at a time: no vector is made for them.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    reader: Reader<'a>,
    left: usize,
    /// Whether to look, once, for bytes behind the last pair.
    closes: bool,
}

impl<'a> Entries<'a> {
    /// Takes over the reader's rest, which must be a map and nothing behind it.
    ///
    /// # Errors
    ///
    /// [`PayloadError`] when no map begins there. What is wrong further on, the iterator yields, as its
    /// last item.
    pub fn last(reader: &mut Reader<'a>) -> Result<Self, PayloadError> {
        let left = reader.map("params")?;
        Ok(Self { reader: reader.clone(), left, closes: true })
    }

    /// Pairs still to come.
    pub const fn left(&self) -> usize {
        self.left
    }

    fn entry(&mut self) -> Result<(Cow<'a, str>, Value<'a>), PayloadError> {
        let key = Cow::Borrowed(self.reader.key()?);
        Ok((key, self.reader.value_within(DEPTH_MAX - 1)?))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<(Cow<'a, str>, Value<'a>), PayloadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            let closes = std::mem::take(&mut self.closes);
            return if closes { self.reader.finish().err().map(Err) } else { None };
        }
        self.left -= 1;
        let entry = self.entry();
        if entry.is_err() {
            (self.left, self.closes) = (0, false);
        }
        Some(entry)
    }
}

const fn shape(place: &'static str, expected: &'static str, got: &Token<'_>) -> PayloadError {
    PayloadError::Shape { place, expected, got: got.kind() }
}

fn text(bytes: &[u8]) -> Result<&str, PayloadError> {
    std::str::from_utf8(bytes).map_err(PayloadError::Utf8)
}
