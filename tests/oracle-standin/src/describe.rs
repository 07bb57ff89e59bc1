//! Columns of a query, as a description tells them.

use tokio_postgres::types::Type;

use crate::buffers::external;
use crate::rewrite::described_name;

/// Longest VARCHAR2, in bytes.
const VARCHAR_BYTES_MAX: u16 = 4000;

/// Longest RAW, in bytes.
const RAW_BYTES_MAX: u16 = 2000;

/// A column of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// `SQLT_*` of the type in the database.
    pub data_type: u16,
    /// Bytes at most, where the type has a size.
    pub size: u16,
    /// Characters at most, where the type has a size.
    pub characters: u16,
    /// NUMBER: digits; 0 where nothing is said.
    pub precision: i16,
    /// NUMBER: digits after the point, -127 where nothing is said; TIMESTAMP: digits of the second's fraction.
    pub scale: i8,
}

impl Column {
    /// What PostgreSQL says of a column.
    ///
    /// - `modifier`: the type's, -1 for none.
    pub fn new(name: &str, postgres: &Type, modifier: i32) -> Self {
        let size = u16::try_from(modifier.saturating_sub(4)).ok().filter(|_| modifier > 4);
        let plain = |data_type| Self {
            name: described_name(name),
            data_type,
            size: 0,
            characters: 0,
            precision: 0,
            scale: 0,
        };
        let text = |data_type, size: u16, characters| Self { size, characters, ..plain(data_type) };
        let fraction = i8::try_from(modifier).ok().filter(|digits| *digits >= 0).unwrap_or(6);
        match postgres.name() {
            "numeric" if modifier > 4 => number(plain(external::NUMBER), modifier),
            "numeric" | "int2" | "int4" | "int8" | "oid" | "bool" => {
                Self { scale: -127, ..plain(external::NUMBER) }
            }
            "float8" => plain(external::BINARY_DOUBLE),
            "float4" => plain(external::BINARY_FLOAT),
            "timestamp" if modifier == 0 => plain(external::DATE),
            "date" => plain(external::DATE),
            "timestamp" => Self { scale: fraction, ..plain(external::TIMESTAMP) },
            "timestamptz" => Self { scale: fraction, ..plain(external::TIMESTAMP_ZONE) },
            "clob" => plain(external::CLOB),
            "blob" => plain(external::BLOB),
            "raw" | "bytea" => text(external::BYTES, size.unwrap_or(RAW_BYTES_MAX), 0),
            "bpchar" => {
                let characters = size.unwrap_or(1);
                text(external::FIXED, characters.saturating_mul(4), characters)
            }
            "varchar2" => {
                let bytes = size.unwrap_or(VARCHAR_BYTES_MAX);
                text(external::CHARACTERS, bytes, bytes)
            }
            "varchar" if size.is_some() => {
                let characters = size.unwrap_or(VARCHAR_BYTES_MAX);
                text(external::CHARACTERS, characters.saturating_mul(4), characters)
            }
            _ => text(external::CHARACTERS, VARCHAR_BYTES_MAX, VARCHAR_BYTES_MAX),
        }
    }

    /// Whether it is one of the types that a description gives a character set for.
    pub const fn is_text(&self) -> bool {
        matches!(self.data_type, external::CHARACTERS | external::FIXED | external::CLOB)
    }
}

/// Precision and scale out of PostgreSQL's modifier: 16 bits, and 11 with a sign.
fn number(column: Column, modifier: i32) -> Column {
    let packed = modifier - 4;
    let precision = i16::try_from((packed >> 16) & 0xFFFF).unwrap_or(0);
    let scale = ((packed & 0x7FF) ^ 1024) - 1024;
    Column { precision, scale: i8::try_from(scale).unwrap_or(0), ..column }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_tell_their_precision_and_scale() {
        let number = |modifier| {
            let column = Column::new("n", &Type::NUMERIC, modifier);
            (column.data_type, column.precision, column.scale)
        };
        assert_eq!(number((10 << 16 | 2) + 4), (external::NUMBER, 10, 2));
        assert_eq!(number((19 << 16) + 4), (external::NUMBER, 19, 0));
        assert_eq!(number((5 << 16 | (0x7FF & -2)) + 4), (external::NUMBER, 5, -2));
        assert_eq!(number(-1), (external::NUMBER, 0, -127));
    }

    #[test]
    fn moments_without_fractions_are_dates() {
        let kind = |modifier| Column::new("at", &Type::TIMESTAMP, modifier).data_type;
        assert_eq!(kind(0), external::DATE);
        assert_eq!(kind(3), external::TIMESTAMP);
        assert_eq!(Column::new("at", &Type::TIMESTAMP, -1).scale, 6);
    }

    #[test]
    fn characters_are_four_bytes_at_most() {
        let column = Column::new("=Name", &Type::VARCHAR, 24);
        assert_eq!((column.name.as_str(), column.size, column.characters), ("Name", 80, 20));
    }
}
