//! Headers that change what a write does: `X-Dry-Run`, `Idempotency-Key`, `If-Match`.
//!
//! The last two are parameters by another name: the slots that the template declares for them are filled, and a
//! name that the path, the query or the body gives too is given twice (2014).
//!
//! Invariant: none of them is ever ignored; where it means nothing it is refused (1103).

use std::borrow::Cow;

use gateway_protocol::{Code, Value};
use hyper::header::{HeaderName, IF_MATCH};

use super::exchange::malformed;
use super::fields::{Fields, text};
use super::request::Params;
use crate::bind::{BindError, Param};
use crate::catalog::{Slot, Template, Type, format_timestamp};
use crate::error::Error;

pub(super) const X_DRY_RUN: HeaderName = HeaderName::from_static("x-dry-run");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

static ALL: [HeaderName; 3] = [X_DRY_RUN, IDEMPOTENCY_KEY, IF_MATCH];

/// Whether the write is to be undone.
///
/// # Errors
///
/// 1101 for a value that is neither `true` nor `false`.
pub(super) fn is_dry_run(headers: &impl Fields) -> Result<bool, Error> {
    match headers.first(&X_DRY_RUN) {
        None | Some(b"false") => Ok(false),
        Some(b"true") => Ok(true),
        Some(_) => Err(malformed("X-Dry-Run is `true` or `false`")),
    }
}

/// Refuses all of them: in a batch the calls' parameters say what these would, and a dry run is of one call.
pub(super) fn refuse_all(headers: &impl Fields) -> Result<(), Error> {
    find(headers).map_or(Ok(()), |name| {
        Err(unsupported(format!("header `{name}` is not supported for a batch")))
    })
}

/// The first of them that is there.
pub(super) fn find(headers: &impl Fields) -> Option<&'static HeaderName> {
    ALL.iter().find(|name| headers.has(name))
}

/// Adds the parameters that stand in headers.
///
/// # Errors
///
/// 1103 where the operation has no slot for one, 2014 for a header that stands twice,
/// [`Error::ForeignTag`] for a tag that no version of the row has.
pub(super) fn params<'h>(
    headers: &'h impl Fields,
    template: &Template,
    params: &mut Params<'h>,
) -> Result<(), Error> {
    if headers.has(&IDEMPOTENCY_KEY) {
        let slot = template.write.idempotent.map(|idempotent| idempotent.key_slot);
        let slot = slot_of(template, slot, &IDEMPOTENCY_KEY)?;
        let name = IDEMPOTENCY_KEY;
        let mut values = headers.all(&name);
        let (first, second) = (values.next(), values.next());
        if second.is_some() {
            return Err(BindError::Twice { name: slot.name.clone() }.into());
        }
        let text = first.and_then(text);
        let text = text.ok_or_else(|| malformed("Idempotency-Key is not text"))?;
        params.push(param(slot, unquoted(text)?));
    }
    if headers.has(&IF_MATCH) {
        let slot = slot_of(template, template.write.version_slot, &IF_MATCH)?;
        let version = version(headers, &slot.ty)?;
        params.push(param(slot, version));
    }
    Ok(())
}

fn param<'h>(slot: &Slot, text: Cow<'h, str>) -> Param<'h> {
    Param { name: Cow::Owned(slot.name.to_string()), value: Value::Str(text), untyped: true }
}

fn slot_of<'t>(
    template: &'t Template,
    slot: Option<usize>,
    header: &HeaderName,
) -> Result<&'t Slot, Error> {
    let slot = slot.and_then(|index| template.slots.get(index));
    slot.ok_or_else(|| unsupported(format!("header `{header}` means nothing to this operation")))
}

fn unsupported(message: impl Into<Cow<'static, str>>) -> Error {
    Error::Wire { code: Code::Unsupported, message: message.into() }
}

/// A key as it is, or, where it stands in quotes, as the structured string that it then is (RFC 8941,
/// section 3.3.3): clients send both.
fn unquoted(text: &str) -> Result<Cow<'_, str>, Error> {
    let Some(inner) = text.strip_prefix('"') else { return Ok(Cow::Borrowed(text)) };
    let broken = || malformed("Idempotency-Key begins a string in quotes that it does not end");
    let inner = inner.strip_suffix('"').ok_or_else(broken)?;
    let mut key = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        key.push(match (character, character == '\\') {
            (_, true) => match characters.next() {
                Some(escaped @ ('"' | '\\')) => escaped,
                _ => return Err(broken()),
            },
            ('"', _) => return Err(broken()),
            (plain, _) => plain,
        });
    }
    Ok(Cow::Owned(key))
}

/// The version that `If-Match` names, as the slot's type takes it.
///
/// Of several tags one can be ours; others never match, nor do weak ones (RFC 9110, section 13.1.1: strong
/// comparison). `*` asks for any version, which a write that compares one cannot give.
fn version<'h>(headers: &'h impl Fields, ty: &Type) -> Result<Cow<'h, str>, Error> {
    let mut found = None;
    for value in headers.all(&IF_MATCH) {
        let text = text(value).ok_or_else(|| malformed("If-Match is not text"))?;
        for tag in text.split(',').map(str::trim) {
            if tag == "*" {
                return Err(unsupported("`If-Match: *` is not supported: name a version"));
            }
            let Some(version) = version_of(tag, ty) else { continue };
            if found.as_ref().is_some_and(|earlier| *earlier != version) {
                return Err(unsupported("`If-Match` names two versions: name one"));
            }
            found = Some(version);
        }
    }
    found.ok_or(Error::ForeignTag)
}

/// The version in a tag of ours, `"<template>-<version>"`; `None`: it is not one.
fn version_of<'h>(tag: &'h str, ty: &Type) -> Option<Cow<'h, str>> {
    let (template, version) = tag.strip_prefix('"')?.strip_suffix('"')?.split_once('-')?;
    if template.len() != 16 || !template.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let version = match ty {
        // In a tag a moment is a number: microseconds since 1970.
        Type::Timestamp { .. } => {
            Cow::Owned(format_timestamp(version.parse().ok()?, 6).as_str().to_owned())
        }
        _ => Cow::Borrowed(version),
    };
    let is_one = ty.accept(Value::Str(Cow::Borrowed(&version)), true).is_ok();
    is_one.then_some(version)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::HeaderMap;
    use hyper::header::HeaderValue;

    use super::*;
    use crate::bind::bind;
    use crate::bind::testing::template as template_of;
    use crate::catalog::{Idempotent, Scalar};

    /// A write of `version`, `key`, where the first is of the type `ty`.
    fn template(ty: Type) -> Template {
        let text = Type::Str { chars_max: Some(8) };
        let mut template = template_of(vec![Slot::new("version", ty), Slot::new("key", text)]);
        template.write.version_slot = Some(0);
        template.write.idempotent = Some(Idempotent { key_slot: 1, ttl: Duration::from_hours(1) });
        template
    }

    /// Binds the parameters of these headers.
    fn bound(ty: Type, lines: &[(HeaderName, &'static str)]) -> Result<Vec<Scalar<'static>>, u16> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_static(value));
        }
        let (template, mut given) = (template(ty), Params::new());
        params(&headers, &template, &mut given).map_err(|error| error.code())?;
        let bound = bind(&template, given.into_vec()).map_err(|error| error.code())?;
        Ok(bound.into_owned().values.into_vec())
    }

    #[expect(clippy::needless_pass_by_value, reason = "expected values are written in place")]
    #[track_caller]
    fn check_tag(ty: Type, tag: &'static str, expected: Result<Scalar<'static>, u16>) {
        let bound = bound(ty, &[(IF_MATCH, tag), (IDEMPOTENCY_KEY, "k")]);
        assert_eq!(bound.map(|mut values| values.swap_remove(0)), expected, "{tag}");
    }

    #[test]
    fn version_behind_the_dash_is_bound_in_its_slot_s_type() {
        check_tag(Type::Bigint, "\"0011223344556677-3\"", Ok(Scalar::Int(3)));
        check_tag(Type::Bigint, "\"0011223344556677--3\"", Ok(Scalar::Int(-3)));
        let decimal = Type::Decimal { precision: 5, scale: 2 };
        let expected = Scalar::Decimal("1.50".into());
        check_tag(decimal, "\"0011223344556677-1.50\"", Ok(expected));
        let moment = Type::Timestamp { fraction: 3 };
        check_tag(moment, "\"0011223344556677-1700000000123000\"", {
            Ok(Scalar::Timestamp(1_700_000_000_123_000))
        });
    }

    #[test]
    fn tag_that_is_weak_or_not_ours_names_no_version() {
        for tag in [
            "W/\"0011223344556677-3\"",
            "\"0011223344556677-x\"",
            "\"0011223344556677\"",
            "\"1-3\"",
            "\"3\"",
            "3",
            "",
        ] {
            check_tag(Type::Bigint, tag, Err(2023));
        }
    }

    #[test]
    fn one_of_several_tags_may_be_ours_and_two_versions_or_any_are_refused() {
        let ours = "W/\"0011223344556677-9\", \"x\", \"0011223344556677-3\"";
        check_tag(Type::Bigint, ours, Ok(Scalar::Int(3)));
        let two = "\"0011223344556677-3\", \"0011223344556677-4\"";
        check_tag(Type::Bigint, two, Err(1103));
        check_tag(Type::Bigint, "*", Err(1103));
    }

    #[track_caller]
    fn check_key(key: &'static str, expected: Result<&'static str, u16>) {
        let tag = (IF_MATCH, "\"0011223344556677-3\"");
        let bound = bound(Type::Int, &[tag, (IDEMPOTENCY_KEY, key)]);
        let expected = expected.map(|text| Scalar::Str(text.into()));
        assert_eq!(bound.map(|mut values| values.swap_remove(1)), expected, "{key}");
    }

    #[test]
    fn key_is_taken_bare_or_in_quotes_and_checked_like_a_parameter() {
        check_key("a-1", Ok("a-1"));
        check_key("\"a-1\"", Ok("a-1"));
        check_key(r#""a\"\\""#, Ok(r#"a"\"#));
        for broken in ["\"a", "\"", r#""a\""#, r#""a\b""#, "\"a\"b\""] {
            check_key(broken, Err(1101));
        }
        check_key("123456789", Err(2012));
    }

    #[test]
    fn header_that_stands_twice_or_has_no_slot_is_refused() {
        let twice = [(IDEMPOTENCY_KEY, "a"), (IDEMPOTENCY_KEY, "a")];
        assert_eq!(bound(Type::Int, &twice), Err(2014));
        let reads = template_of(Vec::new());
        for name in [IDEMPOTENCY_KEY, IF_MATCH] {
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static("a"))]);
            let refused = params(&headers, &reads, &mut Params::new());
            assert_eq!(refused.map_err(|error| error.code()), Err(1103));
            assert_eq!(refuse_all(&headers).map_err(|error| error.code()), Err(1103));
        }
    }

    #[test]
    fn dry_run_is_true_or_false_and_nothing_else() {
        let of = |value| {
            let headers = HeaderMap::from_iter([(X_DRY_RUN, HeaderValue::from_static(value))]);
            is_dry_run(&headers).map_err(|error| error.code())
        };
        assert_eq!((of("true"), of("false"), of("1")), (Ok(true), Ok(false), Err(1101)));
        assert!(is_dry_run(&HeaderMap::new()).is_ok_and(|dry_run| !dry_run));
    }
}
