//! What an override may change: it narrows, it does not widen.
//!
//! A client written against the base, and an operator who read the base's rules, must find both to
//! hold in every game.

use super::contract::{AllowDecl, CacheDecl, Decl, Entry, Key, KindDecl, ParamDecl};
use super::finding::{Findings, Rule};
use super::{Column, Guard, Output, Scope};

/// Compares an override's line with the line that it replaces.
pub(crate) fn check(base: &Entry, over: &Entry, findings: &mut Findings) {
    for (message, fix) in widenings(base, over) {
        let message = format!("@{}: {message}", over.title());
        let fix = format!("{fix} ({} line {})", base.place.file, base.place.line);
        findings.error(Rule::Override, &over.place, message, fix);
    }
}

/// Compares an override's columns with those of the same names below.
pub(crate) fn check_group(below: &[Entry], over: &Entry, findings: &mut Findings) {
    let Decl::Result(columns) = &*over.decl else { return };
    for column in columns {
        let same = |entry: &Entry| match &*entry.decl {
            Decl::Result(columns) => columns
                .iter()
                .find(|base| base.name == column.name)
                .map(|base| differs(base, column)),
            _ => None,
        };
        if below.iter().rev().find_map(same) == Some(true) {
            let message = format!("@result {}: an override cannot change a type", column.name);
            findings.error(Rule::Override, &over.place, message, "write the base's type and form");
        }
    }
}

/// A line that nothing below has: what clients of the base do not expect.
pub(crate) fn check_added(below: &[Entry], over: &Entry, findings: &mut Findings) {
    if !below.is_empty() && over.key == Key::Async {
        let message =
            "@async: the base answers with the effect, an override cannot answer before it";
        let fix = "declare it in the base, or give the operation another name";
        findings.error(Rule::Override, &over.place, message, fix);
    }
}

fn is_same_output(base: &Output, over: &Output) -> bool {
    match (base, over) {
        (Output::Value(base), Output::Value(over)) => !differs(base, over),
        (Output::Rows { columns: base, .. }, Output::Rows { columns: over, .. }) => {
            base.len() == over.len()
                && base.iter().zip(over).all(|(a, b)| a.name == b.name && !differs(a, b))
        }
        _ => false,
    }
}

fn differs(base: &Column, over: &Column) -> bool {
    base.ty != over.ty || base.json_string != over.json_string
}

type Widening = (String, String);

fn widenings(base: &Entry, over: &Entry) -> Vec<Widening> {
    let one = |widens: bool, message: &str, fix: &str| {
        if widens { vec![(message.to_owned(), fix.to_owned())] } else { Vec::new() }
    };
    match (&*base.decl, &*over.decl) {
        (Decl::Param(base), Decl::Param(over)) => params(base, over),
        (Decl::Allow(base), Decl::Allow(over)) => over
            .iter()
            .filter(|rule| !is_covered(base, rule))
            .map(|rule| {
                let message = format!("`{}` may call it here and not in the base", rule.role);
                (message, "name only roles of the base, with at least its claims".to_owned())
            })
            .collect(),
        (Decl::Kind(base), Decl::Kind(over)) => kinds(base, over),
        (Decl::Output(base), Decl::Output(over)) => one(
            !is_same_output(&base.output, &over.output),
            "an override cannot change a type",
            "write the base's type and form",
        ),
        (Decl::Idempotent(base), Decl::Idempotent(over)) => {
            let mut found =
                one(base.key != over.key, "the key is not the base's", "write the base's key");
            let message = "repeats are recognised for a shorter time than in the base";
            found.extend(one(over.ttl < base.ttl, message, "write at least the base's ttl"));
            found
        }
        (Decl::Cache(base), Decl::Cache(over)) => caches(base, over),
        (Decl::Page(base), Decl::Page(over)) => one(
            over.count_max > base.count_max,
            "max is above the base's",
            "write at most the base's",
        ),
        (Decl::Name(old), Decl::Name(new)) if base.key == Key::Lane => {
            one(old != new, "the lane is not the base's", "write the base's parameter")
        }
        (Decl::Count(base), Decl::Count(over)) => {
            one(over > base, "the limit is above the base's", "write at most the base's")
        }
        _ => Vec::new(),
    }
}

/// The same kind, with at least the guard and the isolation of the base.
fn kinds(base: &KindDecl, over: &KindDecl) -> Vec<Widening> {
    let mut found = Vec::new();
    let mut add = |widens: bool, message: &str, fix: &str| {
        if widens {
            found.push((message.to_owned(), fix.to_owned()));
        }
    };
    let kind_fix = "write the base's kind, or another name";
    add(base.kind != over.kind, "an override cannot change the kind", kind_fix);
    let keeps = keeps_guard(base.guard.as_ref(), over.guard.as_ref());
    add(!keeps, "the guard is not the base's", "write the base's condition");
    let is_weaker = base.isolation > over.isolation;
    add(is_weaker, "the isolation is weaker than the base's", "write at least the base's");
    found
}

/// Whether a guard asks for what the one below asks for; what a failure answers may differ.
pub(crate) fn keeps_guard(base: Option<&Guard>, over: Option<&Guard>) -> bool {
    let condition = |guard: &Guard| (guard.comparison, guard.count);
    base.is_none() || base.map(condition) == over.map(condition)
}

fn params(base: &ParamDecl, over: &ParamDecl) -> Vec<Widening> {
    use std::cmp::Ordering;
    let (old, new) = (&base.slot, &over.slot);
    let mut found = Vec::new();
    let mut add = |widens: bool, message: String, fix: &str| {
        if widens {
            found.push((message, fix.to_owned()));
        }
    };
    let changed = old.ty != new.ty;
    let (new_ty, old_ty) = (new.ty.as_written(), old.ty.as_written());
    let message = format!("an override cannot change a type: {new_ty} is {old_ty}");
    add(changed, message, "write the base's type");
    add(old.required && !new.required, "required in the base".to_owned(), "keep it required");
    let passes = |bound: &Option<super::Scalar<'_>>,
                  by: &Option<super::Scalar<'_>>,
                  side: Ordering| match (bound, by) {
        (Some(bound), Some(by)) => by.compare(bound) == Some(side),
        (Some(_), None) => true,
        (None, _) => false,
    };
    add(
        passes(&old.min, &new.min, Ordering::Less),
        "min is below the base's".to_owned(),
        "write at least the base's",
    );
    add(
        passes(&old.max, &new.max, Ordering::Greater),
        "max is above the base's".to_owned(),
        "write at most the base's",
    );
    add(
        old.item_count_max < new.item_count_max,
        "max_items is above the base's".to_owned(),
        "write at most the base's",
    );
    add(
        old.pattern.is_some() && old.pattern != new.pattern,
        "the pattern is not the base's".to_owned(),
        "keep the base's pattern: whether another is narrower cannot be seen",
    );
    add(
        old.like_prefix != new.like_prefix,
        "like= is not the base's".to_owned(),
        "write it as in the base",
    );
    found
}

fn caches(base: &CacheDecl, over: &CacheDecl) -> Vec<Widening> {
    let mut found = Vec::new();
    for (name, base, over) in [
        ("l1", base.l1_ttl, over.l1_ttl),
        ("l2", base.l2_ttl, over.l2_ttl),
        ("negative", base.negative_ttl, over.negative_ttl),
    ] {
        if over > base {
            found.push((
                format!("{name} is longer than the base's"),
                "write at most the base's".to_owned(),
            ));
        }
    }
    if base.scope == Scope::Principal && over.scope == Scope::Global {
        let fix = "keep scope=principal: one principal would see another's rows".to_owned();
        found.push(("the scope is wider than the base's".to_owned(), fix));
    }
    found
}

/// Whether the base lets everyone in whom `rule` lets in.
fn is_covered(base: &[AllowDecl], rule: &AllowDecl) -> bool {
    base.iter().any(|old| {
        &*old.role == "public"
            || (old.role == rule.role && old.claims.iter().all(|claim| rule.claims.contains(claim)))
    })
}
