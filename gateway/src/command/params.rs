//! Parameters of an operation as they are written on a command line: `name=value` each.

use std::borrow::Cow;

use gateway_protocol::{PayloadError, Value, json};

use crate::bind::Param;
use crate::catalog::{Template, Type};

/// What a command line says to an operation.
#[derive(Clone, Debug, Default)]
pub(super) struct Written<'a> {
    /// The operation's own parameters.
    pub(super) params: Vec<Param<'a>>,
    /// What the gateway itself or an earlier step would supply: names that begin with `_` or have a point.
    pub(super) supplied: Vec<(&'a str, &'a str)>,
}

/// Reads parameters: a list is written `[1,2]` or `1,2`, rows as JSON; a required one that is left out takes its
/// `sample=`.
///
/// # Errors
///
/// A sentence that names what cannot be read.
pub(super) fn written<'a>(
    template: &'a Template,
    texts: &'a [String],
) -> Result<Written<'a>, String> {
    let mut written = Written::default();
    for text in texts {
        let (name, value) =
            text.split_once('=').ok_or_else(|| format!("`{text}` is not written as name=value"))?;
        if name.starts_with('_') || name.contains('.') {
            written.supplied.push((name, value));
            continue;
        }
        let slot = template.slots.iter().find(|slot| *slot.name == *name);
        written.params.push(param(name, slot.map(|slot| &slot.ty), value)?);
    }
    for slot in &template.slots {
        let is_given = written.params.iter().any(|param| param.name == *slot.name);
        if let Some(sample) = slot.sample.as_deref().filter(|_| slot.required && !is_given) {
            written.params.push(param(&slot.name, Some(&slot.ty), sample)?);
        }
    }
    let has_cursor = written.params.iter().any(|param| param.name == "cursor");
    if template.page.is_some() && has_cursor {
        return Err("a cursor is opened by the gateway only: leave it out".to_owned());
    }
    Ok(written)
}

fn param<'a>(name: &'a str, ty: Option<&Type>, value: &'a str) -> Result<Param<'a>, String> {
    let is_rows = matches!(ty, Some(Type::Rows(_)));
    let value = match ty {
        Some(Type::List(_)) => list(value),
        Some(Type::Rows(_)) => rows(value).map_err(|error| format!("`{name}`: {error}"))?,
        _ => Value::Str(Cow::Borrowed(value)),
    };
    Ok(Param { name: Cow::Borrowed(name), value, untyped: !is_rows })
}

fn list(value: &str) -> Value<'_> {
    if value.starts_with('[') {
        let mut bytes = value.as_bytes().to_vec();
        if let Ok(items @ Value::Array(_)) = json::decode(&mut bytes) {
            return items.into_owned();
        }
    }
    let items = value.split(',').filter(|item| !item.is_empty());
    Value::Array(items.map(|item| Value::Str(Cow::Borrowed(item))).collect())
}

fn rows(value: &str) -> Result<Value<'static>, PayloadError> {
    json::decode(&mut value.as_bytes().to_vec()).map(Value::into_owned)
}
