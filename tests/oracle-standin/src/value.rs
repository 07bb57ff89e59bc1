//! A value on its way between the client's buffers and PostgreSQL, and how it is sent there.

use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};

use crate::datetime::DateTime;

/// A value, in the form that both sides understand.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL; the empty string is it too.
    Null,
    /// Characters, UTF-8.
    Text(String),
    /// A decimal number, as canonical text.
    Number(String),
    /// A binary floating point number.
    Double(f64),
    /// A moment; `true` when its zone belongs to it.
    Moment(DateTime, bool),
    /// Bytes.
    Bytes(Vec<u8>),
    /// True or false: of PL/SQL only.
    Boolean(bool),
}

/// What a bind is declared as to PostgreSQL, so that it converts as Oracle would.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Left to PostgreSQL: characters convert to whatever they meet.
    Text,
    /// `text`, where PostgreSQL finds no type to convert to.
    DeclaredText,
    /// `numeric`.
    Number,
    /// `float8`.
    Double,
    /// `timestamp`.
    Timestamp,
    /// `timestamptz`.
    TimestampZone,
    /// `bytea`.
    Bytes,
    /// `boolean`.
    Boolean,
}

impl Kind {
    /// The type to declare a parameter with.
    pub const fn postgres(self) -> Type {
        match self {
            Self::Text => Type::UNKNOWN,
            Self::DeclaredText => Type::TEXT,
            Self::Number => Type::NUMERIC,
            Self::Double => Type::FLOAT8,
            Self::Timestamp => Type::TIMESTAMP,
            Self::TimestampZone => Type::TIMESTAMPTZ,
            Self::Bytes => Type::BYTEA,
            Self::Boolean => Type::BOOL,
        }
    }
}

impl Value {
    /// Characters; none of them is NULL, as in Oracle.
    pub fn text(text: String) -> Self {
        if text.is_empty() { Self::Null } else { Self::Text(text) }
    }

    /// Bytes; none of them is NULL, as in Oracle.
    pub fn bytes(bytes: Vec<u8>) -> Self {
        if bytes.is_empty() { Self::Null } else { Self::Bytes(bytes) }
    }

    /// The text that PostgreSQL reads. `None`: NULL.
    pub fn postgres_text(&self) -> Option<String> {
        Some(match self {
            Self::Null => return None,
            Self::Text(text) | Self::Number(text) => text.clone(),
            Self::Double(number) => number.to_string(),
            Self::Moment(moment, with_zone) => moment.text(*with_zone),
            Self::Bytes(bytes) => {
                format!("\\x{}", hex(bytes))
            }
            Self::Boolean(truth) => truth.to_string(),
        })
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Sent as text, so that PostgreSQL converts it to whatever type the place has.
impl ToSql for Value {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        Ok(self.postgres_text().map_or(IsNull::Yes, |text| {
            out.extend_from_slice(text.as_bytes());
            IsNull::No
        }))
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_sent_as_the_text_that_postgres_reads() {
        assert_eq!(Value::text(String::new()), Value::Null);
        assert_eq!(Value::bytes(vec![0, 255]).postgres_text().unwrap(), "\\x00ff");
        assert_eq!(Value::Double(1.5).postgres_text().unwrap(), "1.5");
        assert_eq!(Value::Null.postgres_text(), None);
    }
}
