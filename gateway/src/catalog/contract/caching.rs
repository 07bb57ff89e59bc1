//! `@cache`, `@invalidate` and `@http_cache`: how long a reply lives and what ends it.

use std::time::Duration;

use super::Decl;
use super::reader::{Fault, Reader};
use crate::catalog::Scope;

/// Longest life of an entry in Redis or in process.
const TTL_MAX: Duration = Duration::from_hours(30 * 24);
/// Longest life in a CDN, which nothing invalidates.
const HTTP_TTL_MAX: Duration = Duration::from_hours(24);
/// Most tags of a template; each costs a check at every hit.
const TAG_COUNT_MAX: usize = 16;

/// `@cache`.
#[derive(Clone, Debug)]
pub(crate) struct CacheDecl {
    pub(crate) l1_ttl: Duration,
    pub(crate) l2_ttl: Duration,
    pub(crate) negative_ttl: Duration,
    pub(crate) tags: Vec<TagDecl>,
    pub(crate) scope: Scope,
    /// `stale=` was written: parsed, and not built.
    pub(crate) stale: bool,
}

/// `player:{player_id}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TagDecl {
    pub(crate) parts: Vec<TagDeclPart>,
}

/// A part of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TagDeclPart {
    Text(Box<str>),
    /// A parameter.
    Name(Box<str>),
    /// A field of a parameter of rows.
    Field {
        rows: Box<str>,
        field: Box<str>,
    },
}

pub(super) fn cache(reader: &mut Reader<'_>) -> Result<Decl, Fault> {
    let mut decl = CacheDecl {
        l1_ttl: Duration::ZERO,
        l2_ttl: Duration::ZERO,
        negative_ttl: Duration::ZERO,
        tags: Vec::new(),
        scope: Scope::Global,
        stale: false,
    };
    let mut seen: Vec<&str> = Vec::new();
    while !reader.is_empty() {
        let at = reader.at();
        let option = reader.name()?;
        reader.expect("=")?;
        if option != "tag" && seen.contains(&option) {
            return Err(Fault::new(at, format!("`{option}=` stands twice"), "keep one of them"));
        }
        seen.push(option);
        match option {
            "l1" => decl.l1_ttl = ttl(reader, TTL_MAX)?,
            "l2" => decl.l2_ttl = ttl(reader, TTL_MAX)?,
            "negative" => decl.negative_ttl = ttl(reader, TTL_MAX)?,
            "stale" => decl.stale = !ttl(reader, TTL_MAX)?.is_zero(),
            "tag" => decl.tags.extend(reader.list(tag)?),
            "scope" if reader.eat_word("global") => decl.scope = Scope::Global,
            "scope" if reader.eat_word("principal") => decl.scope = Scope::Principal,
            "scope" => return reader.fault("no such scope", "use global or principal"),
            _ => {
                let message = format!("there is no option `{option}=` here");
                return Err(Fault::new(at, message, "use l1, l2, negative, stale, tag, scope"));
            }
        }
    }
    if decl.l1_ttl.is_zero() && decl.l2_ttl.is_zero() {
        return reader.fault("neither `l1=` nor `l2=` is given", "write at least one: `l1=1m`");
    }
    if decl.tags.len() > TAG_COUNT_MAX {
        return reader.fault("too many tags", format!("keep at most {TAG_COUNT_MAX}"));
    }
    Ok(Decl::Cache(decl))
}

pub(super) fn tag(reader: &mut Reader<'_>) -> Result<TagDecl, Fault> {
    let at = {
        reader.rest();
        reader.at()
    };
    let written = reader.until(&[',', ' ', '\t']);
    let bad = |message: &str| {
        let fix = "write letters, digits and `_ : . -`, then `{parameter}` where it varies: `player:{player_id}`";
        Fault::new(at, message, fix)
    };
    let mut parts = Vec::new();
    let mut rest = written;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('{') {
            let (name, after) = inner.split_once('}').ok_or_else(|| bad("a `{` is not closed"))?;
            let is_name =
                |name: &str| Reader::new(name).name().is_ok_and(|read| read.len() == name.len());
            parts.push(match name.split_once('.') {
                None if is_name(name) => TagDeclPart::Name(name.into()),
                Some((rows, field)) if is_name(rows) && is_name(field) => {
                    TagDeclPart::Field { rows: rows.into(), field: field.into() }
                }
                _ => return Err(bad("no parameter's name in braces")),
            });
            rest = after;
            continue;
        }
        let end = rest.find('{').unwrap_or(rest.len());
        let (text, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if !text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.' | '-')) {
            return Err(bad("a tag has a character that tags do not have"));
        }
        parts.push(TagDeclPart::Text(text.into()));
        rest = after;
    }
    if !matches!(parts.first(), Some(TagDeclPart::Text(_))) {
        return Err(bad("a tag begins with text"));
    }
    Ok(TagDecl { parts })
}

pub(super) fn http_cache(reader: &mut Reader<'_>) -> Result<Duration, Fault> {
    reader.expect_word("public")?;
    ttl(reader, HTTP_TTL_MAX)
}

fn ttl(reader: &mut Reader<'_>, max: Duration) -> Result<Duration, Fault> {
    let at = {
        reader.rest();
        reader.at()
    };
    let ttl = reader.duration()?;
    if ttl.is_zero() || ttl > max {
        let fix = format!("write 1ms to {}h", max.as_secs() / 3_600);
        return Err(Fault::new(at, "the time is out of range", fix));
    }
    Ok(ttl)
}
