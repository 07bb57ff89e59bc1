//! What a slot allows of its type: `min=`, `max=`, `pattern=`, the number of a list's items.

use std::cmp::Ordering;

use super::BindError;
use crate::catalog::{Scalar, Slot};

/// Holds a value of the slot's type against the slot's own limits, and escapes a `like=prefix`.
pub(super) fn checked<'a>(slot: &Slot, value: Scalar<'a>) -> Result<Scalar<'a>, BindError> {
    let outside = |fault: String| BindError::Range { name: slot.name.clone(), fault: fault.into() };
    if let Scalar::List(items) = &value {
        if let Some(max) = slot.item_count_max
            && items.len() > max as usize
        {
            return Err(outside(format!("{} items, {max} at most", items.len())));
        }
        for item in items {
            check_limits(slot, item).map_err(outside)?;
        }
        return Ok(value);
    }
    check_limits(slot, &value).map_err(outside)?;
    Ok(match value {
        Scalar::Str(text) if slot.like_prefix => Scalar::Str(like_prefix(&text).into()),
        other => other,
    })
}

/// `min=`, `max=` and `pattern=`, of one value or one item of a list.
fn check_limits(slot: &Slot, value: &Scalar<'_>) -> Result<(), String> {
    if let Some(min) = slot.min.as_ref().map(one)
        && value.compare(min).is_some_and(Ordering::is_lt)
    {
        return Err(format!("less than {}", shown(min)));
    }
    if let Some(max) = slot.max.as_ref().map(one)
        && value.compare(max).is_some_and(Ordering::is_gt)
    {
        return Err(format!("more than {}", shown(max)));
    }
    if let (Some(pattern), Scalar::Str(text)) = (&slot.pattern, value)
        && !pattern.matches(text)
    {
        return Err(format!("does not match {}", pattern.0.as_str()));
    }
    Ok(())
}

/// A list's `min=` and `max=` are of its items; they are kept as a list of one.
fn one<'t>(limit: &'t Scalar<'static>) -> &'t Scalar<'static> {
    match limit {
        Scalar::List(items) => items.first().unwrap_or(&Scalar::Null),
        other => other,
    }
}

fn shown(limit: &Scalar<'_>) -> String {
    let mut text = String::new();
    limit.tag_text(&mut text);
    text
}

/// A text as the prefix of a LIKE: wildcards escaped by a backslash, `%` behind.
fn like_prefix(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 1);
    for character in text.chars() {
        if matches!(character, '\\' | '%' | '_') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}
