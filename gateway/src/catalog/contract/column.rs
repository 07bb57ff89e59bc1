//! `@result name type [as string] [empty as null]`.
//!
//! '' and NULL: Oracle keeps '' as NULL, the others keep both. A column is told as the database has it,
//! except that `empty as null` makes '' a NULL on every dialect, so that an operation answers the
//! same on Oracle. The other way round does not exist: what was NULL cannot be known to have been ''.

use super::reader::{Fault, Reader};
use crate::catalog::types::{Side, declared};
use crate::catalog::{Column, Type};

pub(super) fn column(reader: &mut Reader<'_>) -> Result<Column, Fault> {
    let name = reader.name()?.to_ascii_lowercase().into_boxed_str();
    let ty = declared(reader, Side::Result)?;
    let at = reader.at();
    let json_string = reader.eat_word("as");
    if json_string {
        reader.expect_word("string")?;
        if ty != Type::Bigint {
            return Err(Fault::new(at, "`as string` goes with bigint", "remove `as string`"));
        }
    }
    let at = reader.at();
    let empty_as_null = reader.eat_word("empty");
    if empty_as_null {
        reader.expect_word("as")?;
        reader.expect_word("null")?;
        if !matches!(ty, Type::Str { .. } | Type::Bytes { .. }) {
            return Err(Fault::new(at, "`empty as null` goes with string and bytes", "remove it"));
        }
    }
    Ok(Column { name, ty, json_string, empty_as_null })
}
