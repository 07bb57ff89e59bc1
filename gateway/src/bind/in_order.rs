//! Slots filled from the first to the last, for requests whose shape is known.

use gateway_protocol::Value;

use super::Bound;
use super::limits::checked;
use crate::catalog::{Scalar, Slot, Template, Type};

/// Whether [`fill_in_order`] is all that binding a template's parameters takes: no rule over several of them, and no value made of
/// others.
pub(crate) fn fills_in_order(template: &Template) -> bool {
    let is_plain = |slot: &Slot| !matches!(slot.ty, Type::Rows(_) | Type::List(_));
    template.requires.is_empty()
        && template.write.idempotent.is_none()
        && template.slots.iter().all(is_plain)
}

/// Whether a template's required slots are all among those that are given.
pub(crate) fn has_required(template: &Template, given: u64) -> bool {
    let mut slots = template.slots.iter().enumerate();
    slots.all(|(index, slot)| !slot.required || index < 64 && given >> index & 1 == 1)
}

/// Fills slots from values that are neither null nor missing and come in the slots' order. False: one does not fit, and `bound` is
/// unspecified; [`bind_each`] tells what is wrong.
///
/// For templates that [`fills_in_order`] takes, and slots that [`has_required`] found to be enough.
///
/// - `given`: bit `i`: slot `i` has a value.
/// - `next`: the next value; `None` ends it all.
#[inline]
pub(crate) fn fill_in_order<'a>(
    slots: &[Slot],
    given: u64,
    untyped: bool,
    bound: &mut Bound<'a>,
    mut next: impl FnMut() -> Option<Value<'a>>,
) -> bool {
    bound.values.clear();
    bound.given = given;
    for (index, slot) in slots.iter().enumerate() {
        let value = if bound.is_given(index) {
            let Some(value) = next() else { return false };
            let Ok(value) = slot.ty.accept(value, untyped) else { return false };
            checked(slot, value)
        } else {
            match &slot.default {
                Some(default) => checked(slot, default.clone()),
                None => Ok(Scalar::Null),
            }
        };
        let Ok(value) = value else { return false };
        bound.values.push(value);
    }
    true
}
