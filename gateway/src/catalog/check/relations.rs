//! What must be unique, and what must exist, among the templates of a game or of all games.

use std::collections::{BTreeMap, BTreeSet};

use gateway_protocol::{BusinessCode, OpId};

use crate::catalog::compile::Compiled;
use crate::catalog::contract::{Decl, Key, distance};
use crate::catalog::finding::{Findings, Place, Rule};
use crate::catalog::{BusinessError, HttpMethod, IncludeArg, Type};

/// Two routes of a game must not match the same request.
pub(super) fn routes(compiled: &[Compiled], findings: &mut Findings) {
    let mut seen: BTreeMap<(HttpMethod, String), &Compiled> = BTreeMap::new();
    for one in compiled {
        let Some(route) = &one.template.http else { continue };
        if let Some(first) = seen.insert((route.method, path_shape(&route.path)), one) {
            let message = format!("`{}` has the same route", first.template.op);
            let fix = format!(
                "give one of them another path (the other is at {})",
                first.place(Key::Http)
            );
            findings.error(Rule::Http, one.place(Key::Http), message, fix);
        }
    }
}

/// A path with its parameters' names left out: they do not tell routes apart.
fn path_shape(path: &str) -> String {
    let mut shape = String::with_capacity(path.len());
    let mut in_braces = false;
    for character in path.chars() {
        in_braces = (in_braces || character == '{') && character != '}';
        if !in_braces {
            shape.push(character);
        }
    }
    shape
}

/// A code has one name and one status, and a name one code, in all templates.
pub(crate) fn codes<'c>(compiled: impl Iterator<Item = &'c Compiled>, findings: &mut Findings) {
    let mut by_code: BTreeMap<BusinessCode, (&BusinessError, &Place)> = BTreeMap::new();
    let mut by_name: BTreeMap<&str, (&BusinessError, &Place)> = BTreeMap::new();
    for (error, told) in compiled.flat_map(errors) {
        let (first, place) = *by_code.entry(error.code).or_insert((error, told));
        let number = error.code.number();
        if first.name != error.name {
            let message = format!("code {number} is `{}` at {place}", first.name);
            let fix = format!("write `{}`, or take a number of its own", first.name);
            findings.error(Rule::Code, told, message, fix);
        } else if first.status != error.status {
            let message = format!("code {number} has status {} at {place}", first.status);
            let fix = format!("write `[{}]` in both", first.status);
            findings.error(Rule::Code, told, message, fix);
        }
        let (first, place) = *by_name.entry(&error.name).or_insert((error, told));
        if first.code != error.code {
            let message = format!("`{}` is code {} at {place}", error.name, first.code.number());
            findings.error(Rule::Code, told, message, "take a name of its own");
        }
    }
}

/// Operations that name a role which another one may be meant for.
const KNOWN_ROLE_COUNT_MIN: usize = 3;

/// A role that one operation alone names, and that looks like one that others name: nobody may have it.
pub(crate) fn roles<'c>(compiled: impl Iterator<Item = &'c Compiled>, findings: &mut Findings) {
    let mut ops_by_role: BTreeMap<&str, (BTreeSet<&OpId>, &Place)> = BTreeMap::new();
    for one in compiled {
        for rule in &one.template.allow {
            let entry = ops_by_role.entry(&rule.role);
            let entry = entry.or_insert_with(|| (BTreeSet::new(), one.place(Key::Allow)));
            entry.0.insert(&one.template.op);
        }
    }
    let known = ops_by_role.iter().filter(|(_, (ops, _))| ops.len() >= KNOWN_ROLE_COUNT_MIN);
    let known: Vec<&str> = known.map(|(role, _)| *role).collect();
    for (role, (ops, place)) in &ops_by_role {
        let meant = known.iter().find(|known| distance(known, role) <= 2);
        if let Some(meant) = meant.filter(|_| ops.len() == 1) {
            let message = format!("no other operation names the role `{role}`");
            let fix = format!("did you mean `{meant}`?");
            findings.warning(Rule::Allow, place, message, fix);
        }
    }
}

/// The errors that a template answers with, and where each is declared.
fn errors(one: &Compiled) -> Vec<(&BusinessError, &Place)> {
    let mut errors = Vec::new();
    for entry in &one.resolved.entries {
        let place = &entry.place;
        match &*entry.decl {
            Decl::Kind(kind) => {
                errors.extend(kind.not_found.as_ref().map(|error| (error, place)));
                let guard = kind.guard.as_ref().and_then(|guard| guard.error.as_ref());
                errors.extend(guard.map(|error| (error, place)));
            }
            Decl::OnDuplicate(error) => errors.push((error, place)),
            Decl::OnRaised(raised) => errors.push((&raised.error, place)),
            Decl::Guard(guard) => errors.push((&guard.error, place)),
            Decl::Require(require) => errors.push((&require.error, place)),
            _ => {}
        }
    }
    for (step, place) in one.template.write.steps.iter().zip(&one.step_places) {
        let guard = step.guard.as_ref().and_then(|guard| guard.error.as_ref());
        errors.extend(guard.into_iter().chain(&step.on_duplicate).map(|error| (error, place)));
    }
    errors
}

/// An included operation exists, reads, takes what it is given, and does not come back to the first.
pub(super) fn includes(compiled: &[Compiled], names: &BTreeSet<OpId>, findings: &mut Findings) {
    let by_op: BTreeMap<&OpId, &Compiled> =
        compiled.iter().map(|one| (&one.template.op, one)).collect();
    for one in compiled {
        for include in &one.template.includes {
            let line =
                one.resolved.all(Key::Include).find(|e| e.name.as_ref() == Some(&include.name));
            let place = line.map_or(&one.resolved.place, |entry| &entry.place);
            match by_op.get(&include.op) {
                Some(target) => {
                    let args = &include.args;
                    fits(one, args, target, (Rule::Include, place), findings);
                }
                // It has findings of its own.
                None if names.contains(&include.op) => {}
                None => {
                    let message = format!("the game has no operation `{}`", include.op);
                    findings.error(Rule::Include, place, message, "name an operation of this game");
                }
            }
        }
        if let Some(place) = one.resolved.one(Key::Include).map(|entry| &entry.place)
            && comes_back(one, &by_op)
        {
            let message =
                format!("`{}` includes itself, through others or directly", one.template.op);
            findings.error(Rule::Include, place, message, "break the circle");
        }
    }
}

/// Whether an operation reads, and takes the arguments that another gives it.
pub(super) fn fits(
    one: &Compiled,
    args: &[IncludeArg],
    target: &Compiled,
    (rule, place): (Rule, &Place),
    findings: &mut Findings,
) {
    let target = &target.template;
    let op = &target.op;
    let mut error = |message: String, fix: &str| findings.error(rule, place, message, fix);
    if target.kind.is_write() {
        error(format!("`{op}` writes"), "name an operation that reads");
        return;
    }
    for arg in args {
        let Some(taken) = target.slots.iter().find(|slot| slot.name == arg.param) else {
            error(
                format!("`{op}` has no parameter `{}`", arg.param),
                "name one: `op(its_name = our_name)`",
            );
            continue;
        };
        let Some(given) = one.template.slots.get(arg.slot) else { continue };
        let alike = taken.ty == given.ty
            || matches!((&taken.ty, &given.ty), (Type::Bigint, Type::Int))
            || matches!((&taken.ty, &given.ty), (Type::Str { .. }, Type::Str { .. }));
        if !alike {
            error(
                format!("`{}` and `{}` differ in type", arg.param, given.name),
                "give it a value of its type",
            );
        }
    }
    let is_given = |name: &str| args.iter().any(|arg| &*arg.param == name);
    for slot in target.slots.iter().filter(|slot| slot.required && !is_given(&slot.name)) {
        error(format!("`{op}` needs `{}`", slot.name), "give it in the parentheses");
    }
}

fn comes_back(start: &Compiled, by_op: &BTreeMap<&OpId, &Compiled>) -> bool {
    let mut open: Vec<&OpId> = start.template.includes.iter().map(|include| &include.op).collect();
    let mut seen = BTreeSet::new();
    while let Some(op) = open.pop() {
        if *op == start.template.op {
            return true;
        }
        if seen.insert(op)
            && let Some(next) = by_op.get(op)
        {
            open.extend(next.template.includes.iter().map(|include| &include.op));
        }
    }
    false
}
