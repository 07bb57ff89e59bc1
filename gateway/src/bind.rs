//! Parameters of a request, checked against a template's slots.
//!
//! What a client sends is a name and a [`Value`]; what a template takes is a [`Scalar`] of a declared
//! type in a declared range, one for each slot, in the slots' order.
//!
//! Invariant: pure; after it nothing asks again whether a value fits.

use std::borrow::Cow;
use std::cmp::Ordering;

use gateway_protocol::{Code, Value};
use smallvec::{SmallVec, smallvec};

use crate::auth::Claim;
use crate::catalog::{
    BusinessError, Comparison, Field, Operand, Require, RowsFault, Scalar, ScalarFault, Slot,
    Template, Type, accept_rows,
};

/// Characters of an undeclared name that a message repeats.
const NAME_CHARS_SHOWN: usize = 64;

/// One parameter as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Param<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its value.
    pub value: Value<'a>,
    /// Whether it came as text without a type (path, query): then `"7"` is also a number.
    pub untyped: bool,
}

impl<'a> From<(Cow<'a, str>, Value<'a>)> for Param<'a> {
    /// A parameter whose codec said what its value is.
    fn from((name, value): (Cow<'a, str>, Value<'a>)) -> Self {
        Self { name, value, untyped: false }
    }
}

/// A template's slots, filled: `bound[i]` belongs to `template.slots[i]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bound<'a> {
    /// A value for each slot; [`Scalar::Null`] where an optional one was not given.
    pub values: SmallVec<[Scalar<'a>; 8]>,
    /// Bit `i`: slot `i` was given by the caller (defaults are not). Templates have at most 64 slots.
    pub given: u64,
}

impl Bound<'_> {
    /// Whether the caller gave slot `index`.
    pub const fn is_given(&self, index: usize) -> bool {
        index < 64 && self.given >> index & 1 == 1
    }

    /// Whether slot `index` says the same as a claim. `sub` is text by RFC 7519, also where it holds a number:
    /// then the number's canonical text counts.
    pub fn says(&self, index: usize, claim: &Claim) -> bool {
        match (self.values.get(index), claim) {
            (Some(Scalar::Int(value)), Claim::Int(claim)) => value == claim,
            (Some(Scalar::Bool(value)), Claim::Bool(claim)) => value == claim,
            (Some(Scalar::Str(value)), Claim::Str(claim)) => **value == **claim,
            (Some(Scalar::Int(value)), Claim::Str(claim)) => {
                claim.parse() == Ok(*value) && *value.to_string() == **claim
            }
            _ => false,
        }
    }

    /// Copies what is borrowed.
    pub fn into_owned(self) -> Bound<'static> {
        Bound {
            values: self.values.into_iter().map(Scalar::into_owned).collect(),
            given: self.given,
        }
    }
}

/// Why parameters do not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// A required one is missing.
    #[error("parameter `{name}` is missing")]
    Missing {
        /// Its name.
        name: Box<str>,
    },
    /// Of another type.
    #[error("parameter `{name}`: {fault}")]
    Type {
        /// Its name.
        name: Box<str>,
        /// What was expected and what came.
        fault: Box<str>,
    },
    /// Outside its range.
    #[error("parameter `{name}`: {fault}")]
    Range {
        /// Its name.
        name: Box<str>,
        /// The range.
        fault: Box<str>,
    },
    /// Not declared.
    #[error("parameter `{name}` is not declared")]
    Unknown {
        /// Its name, cut at 64 characters.
        name: Box<str>,
    },
    /// Given twice.
    #[error("parameter `{name}` is given twice")]
    Twice {
        /// Its name.
        name: Box<str>,
    },
    /// A `@require` does not hold.
    #[error("{}", .0.name)]
    Require(Box<BusinessError>),
}

impl BindError {
    fn of_fault(slot: &Slot, fault: ScalarFault) -> Self {
        let name = slot.name.clone();
        match fault {
            ScalarFault::Type { .. } => Self::Type { name, fault: fault.to_string().into() },
            ScalarFault::Range(fault) => Self::Range { name, fault },
        }
    }

    /// The code on the wire.
    pub fn code(&self) -> u16 {
        match self {
            Self::Missing { .. } => Code::ParamMissing.number(),
            Self::Type { .. } => Code::ParamType.number(),
            Self::Range { .. } => Code::ParamRange.number(),
            Self::Unknown { .. } => Code::ParamUnknown.number(),
            Self::Twice { .. } => Code::ParamTwice.number(),
            Self::Require(error) => error.code.number(),
        }
    }
}

/// Fills a template's slots from a request's parameters. As [`bind_each`], of parameters at hand.
///
/// # Errors
///
/// As [`bind_each`].
pub fn bind<'a>(template: &Template, params: Vec<Param<'a>>) -> Result<Bound<'a>, BindError> {
    bind_each(template, params.into_iter().map(Ok))
}

/// Fills a template's slots from parameters that are still being decoded.
///
/// Null is the same as not given, for every slot: a required one is then missing, a default is taken,
/// an optional line is left out. What a default gives is checked and escaped like a caller's value.
///
/// Allocates nothing for scalars of up to eight slots, but for a `like=prefix` and a text's default.
///
/// # Errors
///
/// [`BindError`], for the first parameter that does not fit, in the order they came; then the first
/// required slot that is still empty, in declared order; then the first `@require` that fails. An error
/// that `params` yields is returned at its place.
pub fn bind_each<'a, E: From<BindError>>(
    template: &Template,
    params: impl IntoIterator<Item = Result<Param<'a>, E>>,
) -> Result<Bound<'a>, E> {
    let slots = template.slots.as_slice();
    let mut bound = Bound { values: smallvec![Scalar::Null; slots.len()], given: 0 };
    let mut seen = 0_u64;
    let mut expected = 0;
    for param in params {
        let param = param?;
        let (index, slot) = find(slots, &param.name, expected)?;
        expected = index + 1;
        let bit = 1_u64.checked_shl(u32::try_from(index).unwrap_or(u32::MAX)).unwrap_or(0);
        if seen & bit != 0 {
            return Err(BindError::Twice { name: slot.name.clone() }.into());
        }
        seen |= bit;
        if param.value == Value::Null {
            continue;
        }
        let is_repeated = param.untyped && matches!(param.value, Value::Array(_));
        if is_repeated && !matches!(slot.ty, Type::List(_)) {
            return Err(BindError::Twice { name: slot.name.clone() }.into());
        }
        let value = match &slot.ty {
            Type::Rows(fields) => rows(slot, fields, param)?,
            ty => ty
                .accept(param.value, param.untyped)
                .map_err(|fault| BindError::of_fault(slot, fault))?,
        };
        put(&mut bound, index, checked(slot, value)?);
        bound.given |= bit;
    }
    fill_missing(slots, &mut bound)?;
    check_key(template, &bound)?;
    check_requires(&template.requires, &bound.values)?;
    Ok(bound)
}

/// Fills a template's slots from values of the right types: an `@include`'s arguments.
///
/// # Errors
///
/// As [`bind_each`], but for types, which are equal by the catalog's checks.
pub fn bind_scalars<'a, 'n>(
    template: &Template,
    given: impl IntoIterator<Item = (&'n str, Scalar<'a>)>,
) -> Result<Bound<'a>, BindError> {
    let slots = template.slots.as_slice();
    let mut bound = Bound { values: smallvec![Scalar::Null; slots.len()], given: 0 };
    for (name, value) in given {
        let (index, slot) = find(slots, name, 0)?;
        if value != Scalar::Null {
            put(&mut bound, index, checked(slot, value)?);
            bound.given |= 1_u64.checked_shl(u32::try_from(index).unwrap_or(u32::MAX)).unwrap_or(0);
        }
    }
    fill_missing(slots, &mut bound)?;
    check_key(template, &bound)?;
    check_requires(&template.requires, &bound.values)?;
    Ok(bound)
}

/// Takes the rows of a `rows(…)` slot. A path or a query, which are text without a type, have none.
fn rows<'a>(slot: &Slot, fields: &[Field], param: Param<'a>) -> Result<Scalar<'a>, BindError> {
    if param.untyped {
        let fault = "rows come in a body, not in a path or a query".into();
        return Err(BindError::Type { name: slot.name.clone(), fault });
    }
    let named = |path: String| format!("{}{path}", slot.name).into();
    let taken =
        accept_rows(fields, param.value, NAME_CHARS_SHOWN).map_err(|fault| match fault {
            RowsFault::Missing(path) => BindError::Missing { name: named(path) },
            RowsFault::Unknown(path) => BindError::Unknown { name: named(path) },
            RowsFault::Twice(path) => BindError::Twice { name: named(path) },
            RowsFault::Value(path, ScalarFault::Range(fault)) => {
                BindError::Range { name: named(path), fault }
            }
            RowsFault::Value(path, fault) => {
                BindError::Type { name: named(path), fault: fault.to_string().into() }
            }
        })?;
    if taken == Scalar::List(Vec::new()) {
        return Err(BindError::Range { name: slot.name.clone(), fault: "no rows".into() });
    }
    Ok(taken)
}

/// An empty text is no idempotency key: it is a client's variable that nobody set, and all such requests would be
/// one.
fn check_key(template: &Template, bound: &Bound<'_>) -> Result<(), BindError> {
    let Some(idempotent) = &template.write.idempotent else { return Ok(()) };
    let is_empty =
        matches!(bound.values.get(idempotent.key_slot), Some(Scalar::Str(key)) if key.is_empty());
    match template.slots.get(idempotent.key_slot).filter(|_| is_empty) {
        Some(slot) => {
            Err(BindError::Range { name: slot.name.clone(), fault: "the key is empty".into() })
        }
        None => Ok(()),
    }
}

/// Puts defaults into the slots that nobody filled.
fn fill_missing(slots: &[Slot], bound: &mut Bound<'_>) -> Result<(), BindError> {
    for (index, slot) in slots.iter().enumerate() {
        if bound.is_given(index) {
            continue;
        }
        if let Some(default) = &slot.default {
            put(bound, index, checked(slot, default.clone())?);
        } else if slot.required {
            return Err(BindError::Missing { name: slot.name.clone() });
        }
    }
    Ok(())
}

/// The slot of a name, with its index.
///
/// - `expected`: where it stands if the parameters come in the slots' order, as they mostly do.
fn find<'t>(
    slots: &'t [Slot],
    name: &str,
    expected: usize,
) -> Result<(usize, &'t Slot), BindError> {
    if let Some(slot) = slots.get(expected).filter(|slot| *slot.name == *name) {
        return Ok((expected, slot));
    }
    slots.iter().enumerate().find(|(_, slot)| *slot.name == *name).ok_or_else(|| {
        BindError::Unknown { name: name.chars().take(NAME_CHARS_SHOWN).collect::<String>().into() }
    })
}

fn put<'a>(bound: &mut Bound<'a>, index: usize, value: Scalar<'a>) {
    if let Some(place) = bound.values.get_mut(index) {
        *place = value;
    }
}

/// Holds a value of the slot's type against the slot's own limits, and escapes a `like=prefix`.
fn checked<'a>(slot: &Slot, value: Scalar<'a>) -> Result<Scalar<'a>, BindError> {
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
    if let (Some(pattern), Scalar::Str(text)) = (&slot.pattern, value) {
        let whole = 0..text.len();
        if pattern.0.find(text).is_none_or(|found| found.range() != whole) {
            return Err(format!("does not match {}", pattern.0.as_str()));
        }
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

/// A comparison with null holds, as in an SQL CHECK: what was not given breaks no rule. One of values
/// that do not compare fails.
fn check_requires(requires: &[Require], values: &[Scalar<'_>]) -> Result<(), BindError> {
    for require in requires {
        let left = values.get(require.left).unwrap_or(&Scalar::Null);
        let right = match &require.right {
            Operand::Slot(index) => values.get(*index).unwrap_or(&Scalar::Null),
            Operand::Literal(literal) => literal,
        };
        let unknown = matches!(left, Scalar::Null) || matches!(right, Scalar::Null);
        if !unknown && !left.compare(right).is_some_and(|order| holds(require.comparison, order)) {
            return Err(BindError::Require(Box::new(require.error.clone())));
        }
    }
    Ok(())
}

/// Whether two values that stand in `order` compare so.
pub(crate) const fn holds(comparison: Comparison, order: Ordering) -> bool {
    match comparison {
        Comparison::Eq => order.is_eq(),
        Comparison::Ne => order.is_ne(),
        Comparison::Lt => order.is_lt(),
        Comparison::Le => order.is_le(),
        Comparison::Gt => order.is_gt(),
        Comparison::Ge => order.is_ge(),
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
