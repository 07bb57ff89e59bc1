//! Parameters of a request, checked against a template's slots.
//!
//! What a client sends is a name and a [`Value`]; what a template takes is a [`Scalar`] of a declared
//! type in a declared range, one for each slot, in the slots' order.
//!
//! Invariant: pure; after it nothing asks again whether a value fits.

mod in_order;
mod limits;

use std::borrow::Cow;
use std::cmp::Ordering;

use gateway_protocol::{Code, Value};
use smallvec::SmallVec;

use crate::auth::Claim;
use crate::catalog::{
    BusinessError, Comparison, Field, Operand, Require, RowsFault, Scalar, ScalarFault, Slot,
    Template, Type, accept_rows,
};

use self::limits::checked;
pub(crate) use in_order::{fill_in_order, fills_in_order, has_required};

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
    // Not `smallvec![Null; n]`: its clones cost as much as reading a number.
    let mut bound = Bound { values: slots.iter().map(|_| Scalar::Null).collect(), given: 0 };
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
    let mut bound = Bound { values: slots.iter().map(|_| Scalar::Null).collect(), given: 0 };
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
pub(crate) mod testing {
    use std::time::Duration;

    use gateway_protocol::{GameId, OpId};

    use crate::catalog::{Dialect, Kind, Plan, Slot, Template, WriteContract};

    /// A template of these slots, with nothing else in it.
    pub(crate) fn template(slots: Vec<Slot>) -> Template {
        Template {
            game: GameId::new("game1").unwrap(),
            op: OpId::new("x.y").unwrap(),
            dialect: Dialect::Sqlite,
            version: 1,
            desc: "".into(),
            kind: Kind::Many,
            not_found: None,
            slots,
            outputs: Vec::new(),
            procedure: None,
            columns: vec![],
            version_column: None,
            allow: vec![],
            http: None,
            cache: None,
            invalidate: vec![],
            page: None,
            orders: vec![],
            requires: vec![],
            on_duplicate: None,
            write: WriteContract::default(),
            contract: 0,
            includes: vec![],
            timeout: Some(Duration::from_secs(1)),
            row_count_max: 1000,
            masked: vec![],
            audit: false,
            http_cache: None,
            deprecated: None,
            plan: Plan::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use gateway_protocol::message::{Call, write_call};
    use gateway_protocol::{BusinessCode, Codec, PayloadError};
    use smallvec::smallvec;

    use super::testing::template;
    use super::*;
    use crate::catalog::Pattern;

    fn slot(name: &str, ty: Type) -> Slot {
        Slot::new(name, ty)
    }

    fn params<'a>(entries: &[(&'a str, Value<'a>)]) -> Vec<Param<'a>> {
        let param =
            |(name, value): &(&'a str, Value<'a>)| Param::from(((*name).into(), value.clone()));
        entries.iter().map(param).collect()
    }

    fn bound<'a>(
        slots: Vec<Slot>,
        entries: &[(&'a str, Value<'a>)],
    ) -> Result<Bound<'a>, BindError> {
        bind(&template(slots), params(entries))
    }

    fn named(name: &str) -> Box<str> {
        name.into()
    }

    #[test]
    fn values_stand_at_their_slots_in_whatever_order_they_come() {
        let slots = || vec![slot("a", Type::Int), slot("b", Type::Bool), slot("c", Type::Bigint)];
        let expected: SmallVec<[Scalar<'_>; 8]> =
            smallvec![Scalar::Int(1), Scalar::Bool(true), Scalar::Int(3)];
        let (a, b, c) = (("a", Value::Int(1)), ("b", Value::Bool(true)), ("c", Value::Int(3)));
        for order in [[&a, &b, &c], [&c, &b, &a], [&b, &c, &a]] {
            let bound = bound(slots(), &order.map(Clone::clone)).unwrap();
            assert_eq!((bound.values, bound.given), (expected.clone(), 0b111));
        }
    }

    #[test]
    fn missing_unknown_and_doubled_parameters_are_refused_with_their_codes() {
        let slots = || vec![slot("a", Type::Int), slot("b", Type::Int)];
        let (a, b) = (("a", Value::Int(1)), ("b", Value::Int(2)));
        let missing = bound(slots(), std::slice::from_ref(&a)).unwrap_err();
        assert_eq!((&missing, missing.code()), (&BindError::Missing { name: named("b") }, 2010));
        let long = "x".repeat(100);
        let unknown = bound(slots(), &[a.clone(), b.clone(), (&long, Value::Null)]).unwrap_err();
        let name = "x".repeat(64).into();
        assert_eq!((&unknown, unknown.code()), (&BindError::Unknown { name }, 2013));
        let twice = bound(slots(), &[a.clone(), b, a]).unwrap_err();
        assert_eq!((&twice, twice.code()), (&BindError::Twice { name: named("a") }, 2014));
    }

    #[test]
    fn null_is_not_given_but_counts_for_twice() {
        let optional = || Slot { required: false, ..slot("a", Type::Int) };
        let default = || Slot { default: Some(Scalar::Int(20)), ..optional() };
        let null = [("a", Value::Null)];
        let bound_null = bound(vec![optional()], &null).unwrap();
        assert_eq!((bound_null.values[0].clone(), bound_null.given), (Scalar::Null, 0));
        assert_eq!(bound(vec![optional()], &[]), Ok(bound_null));
        let defaulted = bound(vec![default()], &null).unwrap();
        assert_eq!((defaulted.values[0].clone(), defaulted.given), (Scalar::Int(20), 0));
        let required = bound(vec![slot("a", Type::Int)], &null);
        assert_eq!(required, Err(BindError::Missing { name: named("a") }));
        let twice = bound(vec![optional()], &[("a", Value::Null), ("a", Value::Int(1))]);
        assert_eq!(twice, Err(BindError::Twice { name: named("a") }));
    }

    #[test]
    fn types_and_ranges_are_refused_with_their_codes() {
        let wrong = bound(vec![slot("a", Type::Int)], &[("a", Value::Bool(true))]).unwrap_err();
        assert_eq!(wrong.code(), 2011);
        assert_eq!(wrong.to_string(), "parameter `a`: expected int, got a boolean");
        let outside = bound(vec![slot("a", Type::Int)], &[("a", Value::Int(1 << 40))]).unwrap_err();
        assert_eq!(outside.code(), 2012);
    }

    #[test]
    fn first_fault_in_the_order_of_the_parameters_is_told() {
        let slots = vec![slot("a", Type::Int), slot("b", Type::Int)];
        let fault = bound(slots, &[("b", Value::Bool(true)), ("zzz", Value::Null)]).unwrap_err();
        assert_eq!(fault.code(), 2011);
    }

    #[test]
    fn values_at_min_and_max_pass_and_one_beyond_is_refused() {
        let slot = || Slot {
            min: Some(Scalar::Int(1)),
            max: Some(Scalar::Int(99)),
            ..slot("a", Type::Int)
        };
        for good in [1, 99] {
            assert!(bound(vec![slot()], &[("a", Value::Int(good))]).is_ok());
        }
        for (bad, fault) in [(0, "less than 1"), (100, "more than 99")] {
            let refused = bound(vec![slot()], &[("a", Value::Int(bad))]);
            assert_eq!(refused, Err(BindError::Range { name: named("a"), fault: fault.into() }));
        }
    }

    #[test]
    fn list_limits_hold_for_their_length_and_for_each_item() {
        let slot = || Slot {
            item_count_max: Some(2),
            min: Some(Scalar::List(vec![Scalar::Int(1)])),
            max: Some(Scalar::Int(9)),
            ..slot("ids", Type::List(Type::Int.into()))
        };
        let list = |items: &[i64]| Value::Array(items.iter().copied().map(Value::Int).collect());
        for good in [&[][..], &[1], &[1, 9]] {
            assert!(bound(vec![slot()], &[("ids", list(good))]).is_ok(), "{good:?}");
        }
        for bad in [&[1, 2, 3][..], &[0], &[1, 10]] {
            let refused = bound(vec![slot()], &[("ids", list(bad))]);
            assert!(matches!(refused, Err(BindError::Range { .. })), "{bad:?}");
        }
    }

    #[test]
    fn pattern_must_match_the_whole_text() {
        let slot = || Slot {
            pattern: Some(Pattern(regex_lite::Regex::new("[a-z]+").unwrap())),
            ..slot("a", Type::Str { chars_max: None })
        };
        assert!(bound(vec![slot()], &[("a", Value::Str("abc".into()))]).is_ok());
        for bad in ["", "abC", "1abc", "abc\n"] {
            let refused = bound(vec![slot()], &[("a", Value::Str(bad.into()))]).unwrap_err();
            assert_eq!(refused.code(), 2012, "{bad:?}");
        }
    }

    #[test]
    fn like_prefix_escapes_wildcards_and_default_goes_the_same_way() {
        let slot = || Slot {
            like_prefix: true,
            default: Some(Scalar::Str("_".into())),
            ..slot("a", Type::Str { chars_max: Some(5) })
        };
        let value = bound(vec![slot()], &[("a", Value::Str(r"5%_\ü".into()))]).unwrap();
        assert_eq!(value.values[0], Scalar::Str(r"5\%\_\\ü%".into()));
        assert_eq!(bound(vec![slot()], &[]).unwrap().values[0], Scalar::Str(r"\_%".into()));
    }

    #[test]
    fn sixty_four_slots_bind_in_order_and_backwards() {
        let names: Vec<String> = (0..64).map(|index| format!("p{index}")).collect();
        let slots = || names.iter().map(|name| slot(name, Type::Int)).collect::<Vec<_>>();
        let forwards: Vec<_> =
            names.iter().zip(0..).map(|(name, index)| (name.as_str(), Value::Int(index))).collect();
        let backwards: Vec<_> = forwards.iter().rev().cloned().collect();
        let bound_forwards = bound(slots(), &forwards).unwrap();
        assert_eq!(bound_forwards.given, u64::MAX);
        assert_eq!(bound_forwards.values[63], Scalar::Int(63));
        assert_eq!(bound(slots(), &backwards), Ok(bound_forwards));
        let twice: Vec<_> = forwards.iter().chain(forwards.last()).cloned().collect();
        assert_eq!(bound(slots(), &twice), Err(BindError::Twice { name: named("p63") }));
    }

    /// What `left comparison right` does for a pair of integers.
    fn required(comparison: Comparison, right: Operand, values: [Value<'_>; 2]) -> Result<(), u16> {
        let optional = |name| Slot { required: false, ..slot(name, Type::Int) };
        let mut template = template(vec![optional("a"), optional("b")]);
        let code = BusinessCode::new(2102).unwrap();
        let error = BusinessError { code, name: "SAME_PLAYER".into(), status: 422 };
        template.requires = vec![Require { left: 0, comparison, right, error }];
        let [a, b] = values;
        let bound = bind(&template, params(&[("a", a), ("b", b)]));
        bound.map(drop).map_err(|error| error.code())
    }

    #[test]
    fn requires_hold_on_the_right_side_of_each_comparison_only() {
        let int = |value| Value::Int(value);
        for (comparison, less, equal, more) in [
            (Comparison::Eq, false, true, false),
            (Comparison::Ne, true, false, true),
            (Comparison::Lt, true, false, false),
            (Comparison::Le, true, true, false),
            (Comparison::Gt, false, false, true),
            (Comparison::Ge, false, true, true),
        ] {
            for (left, holds) in [(1, less), (2, equal), (3, more)] {
                let expected = if holds { Ok(()) } else { Err(2102) };
                let slots = required(comparison, Operand::Slot(1), [int(left), int(2)]);
                assert_eq!(slots, expected, "{comparison:?} {left}");
                let literal = Operand::Literal(Scalar::Int(2));
                assert_eq!(required(comparison, literal, [int(left), Value::Null]), expected);
            }
        }
    }

    #[test]
    fn requires_hold_where_a_side_was_not_given() {
        for values in [[Value::Null, Value::Int(1)], [Value::Int(1), Value::Null]] {
            assert_eq!(required(Comparison::Ne, Operand::Slot(1), values), Ok(()));
        }
    }

    #[test]
    fn untyped_text_is_read_as_the_slot_s_type() {
        let param = |untyped| Param { name: "a".into(), value: Value::Str("7".into()), untyped };
        let template = template(vec![slot("a", Type::Int)]);
        assert_eq!(bind(&template, vec![param(true)]).unwrap().values[0], Scalar::Int(7));
        assert_eq!(bind(&template, vec![param(false)]).unwrap_err().code(), 2011);
    }

    /// A query's repeated name is a list where one is declared, and a doubled name elsewhere.
    #[test]
    fn untyped_list_for_a_slot_that_takes_one_value_is_given_twice() {
        let values = Value::Array(vec![Value::Str("7".into()), Value::Str("8".into())]);
        let param = |untyped| Param { name: "a".into(), value: values.clone(), untyped };
        let one = template(vec![slot("a", Type::Int)]);
        assert_eq!(bind(&one, vec![param(true)]).unwrap_err().code(), 2014);
        assert_eq!(bind(&one, vec![param(false)]).unwrap_err().code(), 2011);
        let list = template(vec![slot("a", Type::List(Box::new(Type::Int)))]);
        assert!(bind(&list, vec![param(true)]).is_ok());
    }

    /// A slot of rows with two fields, at most two of them.
    fn rows_slot() -> Slot {
        let field = |name: &str, ty| Field { name: name.into(), ty };
        let fields =
            [field("item", Type::Bigint), field("qty", Type::Decimal { precision: 4, scale: 1 })];
        Slot { item_count_max: Some(2), ..slot("items", Type::Rows(fields.into())) }
    }

    fn row<'a>(entries: &[(&'a str, Value<'a>)]) -> Value<'a> {
        Value::Map(entries.iter().map(|(name, value)| ((*name).into(), value.clone())).collect())
    }

    #[test]
    fn rows_come_as_maps_or_as_lists_and_stand_in_the_fields_order() {
        let by_name = row(&[("qty", Value::Str("2".into())), ("item", Value::Int(7))]);
        let in_order = Value::Array(vec![Value::Int(7), Value::Int(2)]);
        let both = Value::Array(vec![by_name, in_order]);
        let fields = || Scalar::List(vec![Scalar::Int(7), Scalar::Decimal("2.0".into())]);
        let given = [("items", both.clone())];
        let taken = bound(vec![rows_slot()], &given).unwrap();
        assert_eq!(taken.values[0], Scalar::List(vec![fields(), fields()]));
        for codec in [Codec::MsgPack, Codec::Json] {
            let mut bytes = Vec::new();
            write_call(&mut bytes, codec, None, "x.y", &[("items", both.clone())]);
            let template = template(vec![rows_slot()]);
            let call = Call::decode(codec, &mut bytes);
            let params = call.unwrap().params.map(|entry| Ok(entry.map(Param::from)?));
            let decoded = bind_each::<Either>(&template, params).unwrap().into_owned();
            assert_eq!(decoded.values, taken.values, "{codec:?}");
        }
    }

    #[test]
    fn faults_of_rows_name_the_row_and_the_field() {
        let (item, qty) = (("item", Value::Int(7)), ("qty", Value::Int(2)));
        let good = || row(&[item.clone(), qty.clone()]);
        let refused = |rows: Value<'_>| {
            let error = bound(vec![rows_slot()], &[("items", rows)]).unwrap_err();
            (error.code(), error.to_string())
        };
        let second = |row: Value<'static>| refused(Value::Array(vec![good(), row]));
        let told = |code, text: &str| (code, text.to_owned());
        let missing = told(2010, "parameter `items[1].qty` is missing");
        assert_eq!(second(row(std::slice::from_ref(&item))), missing);
        assert_eq!(second(row(&[item.clone(), ("qty", Value::Null)])), missing);
        assert_eq!(second(Value::Array(vec![Value::Int(7)])), missing);
        let unknown = told(2013, "parameter `items[1].colour` is not declared");
        assert_eq!(second(row(&[item.clone(), qty.clone(), ("colour", Value::Int(1))])), unknown);
        let twice = told(2014, "parameter `items[1].qty` is given twice");
        assert_eq!(second(row(&[item.clone(), qty.clone(), qty.clone()])), twice);
        let typed = second(row(&[item.clone(), ("qty", Value::Bool(true))]));
        assert!(typed.0 == 2011 && typed.1.starts_with("parameter `items[1].qty`"), "{typed:?}");
        let range = second(row(&[item.clone(), ("qty", Value::Int(1000))]));
        assert!(range.0 == 2012 && range.1.starts_with("parameter `items[1].qty`"), "{range:?}");
        assert_eq!(second(Value::Array(vec![Value::Int(1); 3])).0, 2012);
        assert_eq!(second(Value::Int(1)).0, 2011);
        assert_eq!(refused(good()).0, 2011);
        assert_eq!(refused(Value::Array(vec![])).0, 2012);
        assert_eq!(refused(Value::Array(vec![good(), good(), good()])).0, 2012);
    }

    #[test]
    fn rows_of_a_query_are_refused() {
        let template = template(vec![rows_slot()]);
        let value = Value::Str("[[7,2]]".into());
        let param = Param { name: "items".into(), value, untyped: true };
        assert_eq!(bind(&template, vec![param]).unwrap_err().code(), 2011);
    }

    #[derive(Debug, PartialEq, thiserror::Error)]
    enum Either {
        #[error(transparent)]
        Bind(#[from] BindError),
        #[error(transparent)]
        Payload(#[from] PayloadError),
    }

    #[test]
    fn parameters_bind_while_they_are_decoded_and_a_broken_payload_is_told() {
        let template = template(vec![slot("a", Type::Int), slot("b", Type::Int)]);
        let stream = |bytes: &[u8]| -> Result<u64, Either> {
            let call = Call::from_msgpack(bytes)?;
            let params = call.params.map(|entry| Ok(entry.map(Param::from)?));
            bind_each::<Either>(&template, params).map(|bound| bound.given)
        };
        let mut bytes = Vec::new();
        let entries = [("a", Value::Int(1)), ("b", Value::Int(2))];
        write_call(&mut bytes, Codec::MsgPack, None, "x.y", &entries);
        assert_eq!(stream(&bytes), Ok(0b11));
        let broken = &bytes[..bytes.len() - 1];
        assert_eq!(stream(broken), Err(Either::Payload(PayloadError::Truncated)));
        bytes.push(0xc0);
        assert_eq!(stream(&bytes), Err(Either::Payload(PayloadError::Trailing { bytes: 1 })));
    }

    #[test]
    fn empty_idempotency_key_is_refused_and_one_letter_is_a_key() {
        let mut template = template(vec![slot("request_id", Type::Str { chars_max: Some(8) })]);
        let ttl = std::time::Duration::from_hours(1);
        template.write.idempotent = Some(crate::catalog::Idempotent { key_slot: 0, ttl });
        let fault = "the key is empty".into();
        let refused = BindError::Range { name: "request_id".into(), fault };
        let bound = |text: &'static str| bind(&template, params(&[("request_id", text.into())]));
        assert_eq!(bound("").unwrap_err(), refused);
        assert_eq!(bound("").unwrap_err().code(), 2012);
        assert!(bound("a").is_ok());
    }

    #[test]
    fn owned_copy_is_equal() {
        let given =
            bound(vec![slot("a", Type::Str { chars_max: None })], &[("a", Value::Str("x".into()))])
                .unwrap();
        assert_eq!(given.clone().into_owned(), given);
    }
}
