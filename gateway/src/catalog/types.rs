//! Declared types as they are written: `bigint`, `decimal(10,2)`, `list(string(8))`.

use super::contract::{Fault, Reader};
use super::{Field, Type};

/// Longest declared `string(n)`, in characters, and `bytes(n)`, in bytes.
const LENGTH_MAX: u32 = 1 << 20;
/// Most digits of a `decimal`: what every database holds.
const PRECISION_MAX: u8 = 38;
/// Most words of an `enum`.
const WORD_COUNT_MAX: usize = 256;
/// Most fields of `rows(…)`: which are used is a mask of 64 bits.
const FIELD_COUNT_MAX: usize = 64;

/// Where a type stands: what comes in has a bound, what goes out need not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Param,
    Result,
}

/// Reads a type.
pub(crate) fn declared(reader: &mut Reader<'_>, side: Side) -> Result<Type, Fault> {
    if side == Side::Param && reader.eat_word("rows") {
        return rows(reader);
    }
    if side == Side::Param && reader.eat_word("list") {
        reader.expect("(")?;
        let item = plain(reader, side)?;
        reader.expect(")")?;
        return Ok(Type::List(Box::new(item)));
    }
    plain(reader, side)
}

fn rows(reader: &mut Reader<'_>) -> Result<Type, Fault> {
    let at = reader.at();
    reader.expect("(")?;
    let fields = reader.list(|reader| {
        let name = reader.name()?.into();
        Ok(Field { name, ty: plain(reader, Side::Param)? })
    })?;
    reader.expect(")")?;
    let is_twice = |(index, field): (usize, &Field)| {
        fields.iter().take(index).any(|other| other.name == field.name)
    };
    if fields.iter().enumerate().any(is_twice) || fields.len() > FIELD_COUNT_MAX {
        let fix = format!("name each field once, at most {FIELD_COUNT_MAX}");
        return Err(Fault::new(at, "the fields are not distinct or too many", fix));
    }
    Ok(Type::Rows(fields.into_boxed_slice()))
}

fn plain(reader: &mut Reader<'_>, side: Side) -> Result<Type, Fault> {
    reader.rest();
    let at = reader.at();
    let name = reader.name()?;
    Ok(match name {
        "bool" => Type::Bool,
        "int" => Type::Int,
        "bigint" => Type::Bigint,
        "float" => Type::Float,
        "date" => Type::Date,
        "json" => Type::Json,
        "decimal" => decimal(reader)?,
        "string" => Type::Str { chars_max: length(reader, side)? },
        "bytes" => Type::Bytes { bytes_max: length(reader, side)? },
        "timestamp" => timestamp(reader)?,
        "enum" => words(reader)?,
        _ => {
            return Err(Fault::new(
                at,
                format!("there is no type `{name}` here"),
                "use bool, int, bigint, decimal(p,s), float, string(n), bytes(n), date, timestamp, \
                 json, enum(a,b); for parameters also list(T), rows(name T, …)",
            ));
        }
    })
}

fn decimal(reader: &mut Reader<'_>) -> Result<Type, Fault> {
    let at = reader.at();
    reader.expect("(")?;
    let precision = reader.number()?;
    let scale = if reader.eat(",") { reader.number()? } else { 0 };
    reader.expect(")")?;
    if !(1..=PRECISION_MAX).contains(&precision) || scale > precision {
        return Err(Fault::new(
            at,
            format!("decimal({precision},{scale}) does not exist"),
            format!("precision is 1 to {PRECISION_MAX}, scale 0 to precision"),
        ));
    }
    Ok(Type::Decimal { precision, scale })
}

fn length(reader: &mut Reader<'_>, side: Side) -> Result<Option<u32>, Fault> {
    let at = reader.at();
    if !reader.eat("(") {
        if side == Side::Result {
            return Ok(None);
        }
        return Err(Fault::new(at, "a parameter's length is missing", "write it: `string(64)`"));
    }
    let length = reader.number()?;
    reader.expect(")")?;
    if !(1..=LENGTH_MAX).contains(&length) {
        return Err(Fault::new(
            at,
            format!("{length} is not a length"),
            format!("write 1 to {LENGTH_MAX}"),
        ));
    }
    Ok(Some(length))
}

fn timestamp(reader: &mut Reader<'_>) -> Result<Type, Fault> {
    let at = reader.at();
    if !reader.eat("(") {
        return Ok(Type::Timestamp { fraction: 3 });
    }
    let fraction: u8 = reader.number()?;
    reader.expect(")")?;
    if fraction > 6 {
        let message = format!("a timestamp has no {fraction} digits after the second");
        return Err(Fault::new(at, message, "write 0 to 6"));
    }
    Ok(Type::Timestamp { fraction })
}

fn words(reader: &mut Reader<'_>) -> Result<Type, Fault> {
    let at = reader.at();
    reader.expect("(")?;
    let words = reader.list(|reader| {
        if reader.rest().starts_with(['\'', '"']) {
            return reader.text().map(String::into_boxed_str);
        }
        let word = reader.until(&[',', ')', ' ', '\t']);
        if word.is_empty() {
            return reader.fault("a word is missing", "write words between commas");
        }
        Ok(word.into())
    })?;
    reader.expect(")")?;
    let twice =
        words.iter().enumerate().any(|(i, word)| words.iter().take(i).any(|one| one == word));
    if twice || words.len() > WORD_COUNT_MAX {
        let fix = format!("name each word once, at most {WORD_COUNT_MAX}");
        return Err(Fault::new(at, "the words of an enum are not distinct or too many", fix));
    }
    Ok(Type::Enum(words.into_boxed_slice()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, side: Side, expected: Option<&str>) {
        let mut reader = Reader::new(text);
        let found = declared(&mut reader, side).and_then(|ty| reader.end().map(|()| ty));
        let shown = found.ok().map(|ty| ty.as_written());
        assert_eq!(shown.as_deref(), expected, "{text}");
    }

    #[test]
    fn types_are_read_with_their_sizes() {
        for text in ["bool", "int", "bigint", "float", "date", "json", "string(64)", "bytes(16)"] {
            check(text, Side::Param, Some(text));
        }
        check("decimal( 10 , 2 )", Side::Param, Some("decimal(10,2)"));
        check("decimal(5)", Side::Param, Some("decimal(5,0)"));
        check("timestamp", Side::Param, Some("timestamp(3)"));
        check("enum(a, 'b c')", Side::Param, Some("enum(a,b c)"));
        check("list(string(8))", Side::Param, Some("list(string(8))"));
        check("rows(id bigint,qty int)", Side::Param, Some("rows(id bigint, qty int)"));
    }

    #[test]
    fn sizes_at_their_limits_pass_and_one_more_is_refused() {
        check("decimal(38,38)", Side::Param, Some("decimal(38,38)"));
        check("decimal(39,0)", Side::Param, None);
        check("decimal(0,0)", Side::Param, None);
        check("decimal(2,3)", Side::Param, None);
        check("timestamp(6)", Side::Param, Some("timestamp(6)"));
        check("timestamp(7)", Side::Param, None);
        check("string(1048576)", Side::Param, Some("string(1048576)"));
        check("string(1048577)", Side::Param, None);
        check("string(0)", Side::Param, None);
    }

    #[test]
    fn lists_and_unbounded_lengths_stand_on_one_side_only() {
        check("string", Side::Result, Some("string"));
        check("string", Side::Param, None);
        check("list(int)", Side::Result, None);
        check("rows(a int)", Side::Result, None);
        check("list(list(int))", Side::Param, None);
        check("rows(a list(int))", Side::Param, None);
        check("rows(a rows(b int))", Side::Param, None);
        check("rows(a int, a int)", Side::Param, None);
        check("rows()", Side::Param, None);
        check("varchar(10)", Side::Param, None);
        check("enum()", Side::Param, None);
        check("enum(a,a)", Side::Param, None);
    }
}
