//! The rows of a request: a list of maps, or of lists in the fields' order, as a `rows(…)` parameter takes them.

use gateway_protocol::Value;

use super::{Field, Scalar, ScalarFault};

/// What is wrong with a row, and where: `[3].qty` behind the parameter's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RowsFault {
    /// A field has no value. All of them are required.
    Missing(String),
    /// There is no field of that name.
    Unknown(String),
    /// A field is given twice.
    Twice(String),
    /// A value, a row, or the whole is of another type, or out of range.
    Value(String, ScalarFault),
}

/// Takes a request's value as rows of these fields: a list of lists, each in the fields' order.
///
/// # Errors
///
/// [`RowsFault`], for the first row that does not fit. It repeats no value, and of an unknown field's name
/// at most `name_chars_max` characters.
pub(crate) fn accept<'a>(
    fields: &[Field],
    value: Value<'a>,
    name_chars_max: usize,
) -> Result<Scalar<'a>, RowsFault> {
    let rows = match value {
        Value::Array(rows) => rows,
        other => return Err(wrong(String::new(), "a list of rows", other.kind())),
    };
    let mut accepted = Vec::with_capacity(rows.len());
    for (index, row) in rows.into_iter().enumerate() {
        accepted.push(match row {
            Value::Map(entries) => named(fields, entries, index, name_chars_max)?,
            Value::Array(values) => ordered(fields, values, index)?,
            other => return Err(wrong(format!("[{index}]"), "a map or a list", other.kind())),
        });
    }
    Ok(Scalar::List(accepted))
}

fn wrong(path: String, expected: &str, got: &str) -> RowsFault {
    RowsFault::Value(path, ScalarFault::Type { expected: expected.into(), got: got.into() })
}

fn named<'a>(
    fields: &[Field],
    entries: Vec<(std::borrow::Cow<'a, str>, Value<'a>)>,
    index: usize,
    name_chars_max: usize,
) -> Result<Scalar<'a>, RowsFault> {
    let mut row: Vec<Option<Scalar<'a>>> = vec![None; fields.len()];
    for (name, value) in entries {
        let known = fields.iter().zip(&mut row).find(|(field, _)| *field.name == *name);
        let Some((field, place)) = known else {
            let shown: String = name.chars().take(name_chars_max).collect();
            return Err(RowsFault::Unknown(format!("[{index}].{shown}")));
        };
        if place.is_some() {
            return Err(RowsFault::Twice(format!("[{index}].{name}")));
        }
        *place = Some(one(field, value, index)?);
    }
    let given = row.into_iter().zip(fields).map(|(value, field)| {
        value.ok_or_else(|| RowsFault::Missing(format!("[{index}].{}", field.name)))
    });
    given.collect::<Result<_, _>>().map(Scalar::List)
}

fn ordered<'a>(
    fields: &[Field],
    values: Vec<Value<'a>>,
    index: usize,
) -> Result<Scalar<'a>, RowsFault> {
    if let Some(missing) = fields.get(values.len()) {
        return Err(RowsFault::Missing(format!("[{index}].{}", missing.name)));
    }
    if values.len() > fields.len() {
        let fault = format!("{} values, {} fields", values.len(), fields.len());
        return Err(RowsFault::Value(format!("[{index}]"), ScalarFault::Range(fault.into())));
    }
    let row = fields.iter().zip(values).map(|(field, value)| one(field, value, index));
    row.collect::<Result<_, _>>().map(Scalar::List)
}

fn one<'a>(field: &Field, value: Value<'a>, index: usize) -> Result<Scalar<'a>, RowsFault> {
    let path = || format!("[{index}].{}", field.name);
    if value == Value::Null {
        return Err(RowsFault::Missing(path()));
    }
    field.ty.accept(value, false).map_err(|fault| RowsFault::Value(path(), fault))
}
