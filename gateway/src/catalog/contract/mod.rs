//! The contract of one file: each header line read into a declaration.
//!
//! Reading asks only whether a line is well formed. Whether the lines of all files fit together, and
//! fit the body, is asked when a template is compiled.

mod access;
mod caching;
mod column;
mod key;
mod output;
mod param;
mod reader;
mod rules;
mod sorting;
mod unbuilt;
mod writing;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use access::{AllowDecl, PathSegment, path_names, path_segments};
pub(crate) use caching::{CacheDecl, TagDecl, TagDeclPart};
pub(crate) use key::{Key, Merge, distance};
pub(crate) use output::{GuardDecl, OutputDecl};
pub(crate) use param::ParamDecl;
pub(crate) use reader::{Fault, Reader};
pub(crate) use rules::{
    CallDecl, IncludeDecl, KindDecl, RequireDecl, RequireRight, business_error, comparison,
};
pub(crate) use sorting::{OrderColumn, OrderDecl, PageDecl, PageKeyset};
pub(crate) use writing::{EmitDecl, IdempotentDecl, ReturnDecl, guard};

use super::finding::{Findings, Place, Rule};
use super::header::Line;
use super::{Asynchronous, BusinessError, Column, Dialect, HttpRoute, Raised, Retry};

/// A header line, read.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    /// What tells it from other lines of its key, where the key merges by name.
    pub(crate) name: Option<Box<str>>,
    /// As written.
    pub(crate) value: Arc<str>,
    pub(crate) place: Place,
    pub(crate) decl: Arc<Decl>,
}

/// What a header line declares.
#[derive(Clone, Debug)]
pub(crate) enum Decl {
    /// `@desc`, `@deprecated`, `@stale_ok`, `@scan_ok`.
    Text(Box<str>),
    Kind(KindDecl),
    Param(ParamDecl),
    Result(Vec<Column>),
    /// `@version`, `@lane`, `@replace step`.
    Name(Box<str>),
    /// `@mask`.
    Names(Vec<Box<str>>),
    Include(IncludeDecl),
    Allow(Vec<AllowDecl>),
    Http(HttpRoute),
    Cache(CacheDecl),
    Invalidate(Vec<TagDecl>),
    Page(PageDecl),
    Order(OrderDecl),
    Require(RequireDecl),
    OnDuplicate(BusinessError),
    OnRaised(Raised),
    Output(OutputDecl),
    Guard(GuardDecl),
    /// `@timeout`, `@http_cache`.
    Duration(Duration),
    /// `@limit`.
    Count(u32),
    /// `@audit`, `@extends`, `@route primary`.
    Flag,
    Dialects(Vec<Dialect>),
    Return(ReturnDecl),
    Idempotent(IdempotentDecl),
    Async(Asynchronous),
    Retry(Retry),
    /// `@current`, `@status`.
    Reading(CallDecl),
    Emit(EmitDecl),
    /// Well formed, and nothing runs it yet.
    Unbuilt,
}

/// Reads a file's header lines; what is not well formed becomes a finding and is left out.
///
/// - `faulty`: takes the keys of those that were left out.
pub(crate) fn read(
    lines: &[Line<'_>],
    faulty: &mut Vec<Key>,
    findings: &mut Findings,
) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::with_capacity(lines.len());
    for line in lines {
        let mut reader = Reader::new(line.value);
        let decl = declaration(line.key, &mut reader).and_then(|decl| {
            reader.end().map_err(|fault| match line.key {
                Key::Result | Key::Allow | Key::Invalidate | Key::Emit => {
                    Fault { fix: "put a `,` before it, or remove it".to_owned(), ..fault }
                }
                _ => fault,
            })?;
            Ok(decl)
        });
        match decl {
            Err(fault) => {
                let before = line.value.get(..fault.at).unwrap_or(line.value).chars().count();
                let column = line.place.column + u32::try_from(before).unwrap_or(0);
                let place = Place { column, ..line.place.clone() };
                let message = format!("@{}: {}", line.key.name(), fault.message);
                findings.error(Rule::KeyValue, &place, message, fault.fix);
                faulty.push(line.key);
            }
            Ok((name, decl)) => {
                let entry = Entry {
                    key: line.key,
                    name,
                    value: line.value.into(),
                    place: line.place.clone(),
                    decl: Arc::new(decl),
                };
                if let Some(first) = entries.iter().find(|first| first.clashes(&entry)) {
                    let message = format!("@{} stands twice", entry.title());
                    let fix = format!("it stands in line {} already: keep one", first.place.line);
                    findings.error(Rule::KeyDuplicate, &entry.place, message, fix);
                } else {
                    entries.push(entry);
                }
            }
        }
    }
    entries
}

impl Entry {
    /// Key and name, as a finding says them.
    pub(crate) fn title(&self) -> String {
        match &self.name {
            Some(name) => format!("{} {name}", self.key.name()),
            None => self.key.name().to_owned(),
        }
    }

    /// Whether only one of the two can count.
    pub(crate) fn clashes(&self, other: &Self) -> bool {
        self.key == other.key
            && match self.key.merge() {
                Merge::Single => true,
                Merge::Named => self.name == other.name,
                Merge::Group | Merge::Additive => false,
            }
    }
}

type Read = Result<(Option<Box<str>>, Decl), Fault>;

fn declaration(key: Key, reader: &mut Reader<'_>) -> Read {
    let decl = match key {
        Key::Desc | Key::Deprecated | Key::StaleOk | Key::ScanOk => text(reader)?,
        Key::Kind => rules::kind(reader)?,
        Key::Param => {
            let param = param::param(reader)?;
            return Ok((Some(param.slot.name.clone()), Decl::Param(param)));
        }
        Key::Result => Decl::Result(reader.list(column::column)?),
        Key::Version | Key::Lane => Decl::Name(reader.name()?.into()),
        Key::Include => {
            let include = rules::include(reader)?;
            return Ok((Some(include.name.clone()), Decl::Include(include)));
        }
        Key::Allow => Decl::Allow(reader.list(access::allow)?),
        Key::Http => Decl::Http(access::http(reader)?),
        Key::Cache => caching::cache(reader)?,
        Key::Invalidate => Decl::Invalidate(reader.list(caching::tag)?),
        Key::Page => Decl::Page(sorting::page(reader)?),
        Key::Order => {
            let order = sorting::order(reader)?;
            return Ok((Some(order.name.clone()), Decl::Order(order)));
        }
        Key::Require => Decl::Require(rules::require(reader)?),
        Key::On => {
            let (name, decl) = rules::on(reader)?;
            return Ok((Some(name), decl));
        }
        Key::Out => {
            let output = output::output(reader)?;
            return Ok((Some(output.title()), Decl::Output(output)));
        }
        Key::Guard => Decl::Guard(output::guard(reader)?),
        Key::Timeout => Decl::Duration(timeout(reader)?),
        Key::Limit => Decl::Count(limit(reader)?),
        Key::Mask => Decl::Names(reader.list(|reader| reader.name().map(Into::into))?),
        Key::Audit => Decl::Flag,
        Key::Extends => {
            reader.eat("_base");
            Decl::Flag
        }
        Key::HttpCache => Decl::Duration(caching::http_cache(reader)?),
        Key::Dialects => Decl::Dialects(reader.list(dialect)?),
        Key::Route => unbuilt::route(reader)?,
        Key::Return => {
            let returned = writing::returned(reader)?;
            return Ok((Some(returned.name.clone()), Decl::Return(returned)));
        }
        Key::Replace => {
            let step = writing::replace(reader)?;
            return Ok((Some(step.clone()), Decl::Name(step)));
        }
        Key::Idempotent => Decl::Idempotent(writing::idempotent(reader)?),
        Key::Async => Decl::Async(writing::asynchronous(reader)?),
        Key::Retry => Decl::Retry(writing::retry(reader)?),
        Key::Current | Key::Status => Decl::Reading(rules::call(reader)?),
        Key::Shard | Key::Encrypt => unbuilt::names(reader)?,
        Key::Emit => Decl::Emit(writing::emit(reader)?),
    };
    Ok((None, decl))
}

fn text(reader: &mut Reader<'_>) -> Result<Decl, Fault> {
    let text = reader.until(&[]);
    if text.is_empty() {
        return reader.fault("the text is missing", "write one line of text");
    }
    Ok(Decl::Text(text.into()))
}

/// Longest `@timeout`.
const TIMEOUT_MAX: Duration = Duration::from_hours(1);
/// Most rows that `@limit` can allow.
const ROW_COUNT_MAX: u32 = 100_000;

fn timeout(reader: &mut Reader<'_>) -> Result<Duration, Fault> {
    let timeout = reader.duration()?;
    if timeout.is_zero() || timeout > TIMEOUT_MAX {
        return reader.fault("the time is out of range", "write 1ms to 1h");
    }
    Ok(timeout)
}

fn limit(reader: &mut Reader<'_>) -> Result<u32, Fault> {
    let limit = reader.number()?;
    if !(1..=ROW_COUNT_MAX).contains(&limit) {
        return reader.fault("the limit is out of range", format!("write 1 to {ROW_COUNT_MAX}"));
    }
    Ok(limit)
}

fn dialect(reader: &mut Reader<'_>) -> Result<Dialect, Fault> {
    let at = {
        reader.rest();
        reader.at()
    };
    let name = reader.name()?;
    Dialect::from_name(name).ok_or_else(|| {
        Fault::new(at, format!("there is no dialect `{name}`"), "use oracle, mysql, sqlite")
    })
}

#[cfg(test)]
mod tests;
