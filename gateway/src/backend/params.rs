//! A request's parameters, put another way: for a log, or for an operation that it reads with.

use std::fmt::Write as _;

use crate::bind::Bound;
use crate::catalog::{IncludeArg, Scalar, Template};

/// Longest rendering of a request's parameters in a log, in bytes.
const PARAMS_BYTES_MAX: usize = 4096;

/// The parameters of an operation that is read with some of ours.
pub(super) fn reading_params(
    template: &Template,
    args: &[IncludeArg],
    bound: &Bound<'static>,
) -> Bound<'static> {
    let mut params = Bound::default();
    for (index, slot) in template.slots.iter().enumerate() {
        let arg = args.iter().find(|arg| arg.param == slot.name);
        let given = arg.and_then(|arg| bound.values.get(arg.slot));
        if given.is_some() && index < 64 {
            params.given |= 1 << index;
        }
        let value = given.or(slot.default.as_ref()).cloned();
        params.values.push(value.unwrap_or(Scalar::Null));
    }
    params
}

/// A request's parameters for a log: `name=value`, masked ones hidden.
pub(super) fn shown_params(template: &Template, bound: &Bound<'_>) -> String {
    let mut text = String::new();
    for (index, (slot, value)) in template.slots.iter().zip(&bound.values).enumerate() {
        if matches!(value, Scalar::Null) {
            continue;
        }
        let separator = if text.is_empty() { "" } else { " " };
        // Writing to a string does not fail.
        let _written = if template.masked.contains(&index) {
            write!(text, "{separator}{}=***", slot.name)
        } else {
            let mut shown = String::new();
            value.tag_text(&mut shown);
            write!(text, "{separator}{}={shown:?}", slot.name)
        };
        if text.len() > PARAMS_BYTES_MAX {
            let end = text.floor_char_boundary(PARAMS_BYTES_MAX);
            text.truncate(end);
            text.push('…');
            break;
        }
    }
    text
}
