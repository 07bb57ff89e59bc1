//! The columns of a result: where they are, and how their values are read.
//!
//! Which form a type has is the same as by way of the other driver (`super::super::value`), whose type's names
//! decide there; a test has both read the same table.

use super::Unfit;
use super::fields::Fields;

/// Most columns of a result; servers stop at 4096.
pub(super) const COLUMN_COUNT_MAX: usize = 4096;

const BINARY_COLLATION: u16 = 63;
const UNSIGNED: u16 = 32;
const BINARY: u16 = 128;
const ENUM: u16 = 256;

/// How a column's values are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Native {
    Signed,
    Unsigned,
    /// Bits, the highest first.
    Bits,
    /// 32 bits.
    Single,
    Float,
    Decimal,
    Text,
    Bytes,
    Date,
    Moment,
    /// One that has no form; its name.
    Other(&'static str),
}

/// How many bytes a value has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Fixed(usize),
    /// Behind their number.
    Counted,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: Box<str>,
    pub(super) native: Native,
    pub(super) width: Width,
}

impl Column {
    /// Reads a column definition.
    pub(super) fn read(packet: &[u8]) -> Result<Self, Unfit> {
        Self::parse(packet).ok_or(Unfit::NotHad("a column that is not understood"))
    }

    fn parse(packet: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(packet);
        // Catalog, schema, the table's alias, the table.
        for _ in 0..4 {
            fields.counted()?;
        }
        let (alias, name) = (fields.counted()?, fields.counted()?);
        let _fixed_bytes = fields.number()?;
        let (collation, _bytes_max) = (fields.u16()?, fields.u32()?);
        let (ty, flags) = (fields.u8()?, fields.u16()?);
        let name = if alias.is_empty() { name } else { alias };
        let (native, width) = form(ty, flags, collation)?;
        Some(Self { name: str::from_utf8(name).ok()?.into(), native, width })
    }
}

/// Form and width of a type; `None` for one that is not known.
fn form(ty: u8, flags: u16, collation: u16) -> Option<(Native, Width)> {
    use Width::{Counted, Fixed};
    let whole = if flags & UNSIGNED == 0 { Native::Signed } else { Native::Unsigned };
    let text = if collation == BINARY_COLLATION { Native::Bytes } else { Native::Text };
    Some(match ty {
        0x01 => (whole, Fixed(1)),
        0x02 => (whole, Fixed(2)),
        0x03 | 0x09 => (whole, Fixed(4)),
        0x08 => (whole, Fixed(8)),
        0x04 => (Native::Single, Fixed(4)),
        0x05 => (Native::Float, Fixed(8)),
        0x06 => (Native::Other("NULL"), Fixed(0)),
        // YEAR: servers say that it has no sign.
        0x0d if flags & UNSIGNED == 0 => (Native::Other("YEAR"), Fixed(2)),
        0x0d => (Native::Unsigned, Fixed(2)),
        // Their number is one byte, which is what a small length is.
        0x0a => (Native::Date, Counted),
        0x07 | 0x0c => (Native::Moment, Counted),
        0x0b => (Native::Other("TIME"), Counted),
        0x00 | 0xf6 => (Native::Decimal, Counted),
        0x10 => (Native::Bits, Counted),
        // JSON of MySQL, ENUM, SET; ENUM of a result is a string with a flag.
        0xf5 | 0xf7 | 0xf8 => (Native::Text, Counted),
        0xfe if flags & ENUM != 0 && flags & BINARY == 0 => (Native::Text, Counted),
        0x0f | 0xf9..=0xfe => (text, Counted),
        0xff => (Native::Other("GEOMETRY"), Counted),
        _ => return None,
    })
}
