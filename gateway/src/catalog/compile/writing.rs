//! What a write declares besides its statements: its key, its lane, its guard, and who is asked about it.

use super::slots::Slots;
use super::steps::{Earlier, value_of};
use super::{Compiler, Parts};
use crate::catalog::contract::{CallDecl, Decl, Entry, Key, KindDecl};
use crate::catalog::finding::{Place, Rule};
use crate::catalog::{
    Asynchronous, Column, Idempotent, IncludeArg, Kind, Reading, Retry, Returned, ReturnedValue,
    Slot, StepValue, Type, WriteContract,
};

impl Compiler<'_, '_> {
    /// The part of the contract that only writes have; `steps` and `returns` come from the body.
    pub(super) fn write(&mut self, decl: &KindDecl, slots: &Slots, parts: &Parts) -> WriteContract {
        if !decl.kind.is_write() {
            return WriteContract::default();
        }
        let idempotent = self.idempotent(slots);
        WriteContract {
            guard: decl.guard.clone(),
            isolation: decl.isolation,
            steps: Vec::new(),
            returns: Vec::new(),
            returning: Vec::new(),
            batch_slot: batch_slot(decl.kind, slots),
            asynchronous: self.asynchronous(decl.kind),
            lane: self.lane(slots),
            retry: self.retry(),
            version_slot: self.version_slot(slots, parts),
            current: self.current(slots, parts),
            events: self.events(decl.kind, slots, parts),
            status: self.status(slots, idempotent),
            idempotent,
        }
    }

    fn wrong(&mut self, place: &Place, message: &str, fix: &str) {
        self.findings.error(Rule::Write, place, message, fix);
    }

    /// Rows stand where something runs for each of them; a `batch` has its one parameter of them.
    pub(super) fn rows_slots(&mut self, kind: Kind, slots: &Slots) {
        let params: Vec<Entry> = self
            .resolved
            .all(Key::Param)
            .filter(|entry| matches!(&*entry.decl, Decl::Param(param) if is_rows(&param.slot)))
            .cloned()
            .collect();
        if kind == Kind::Batch && params.len() != 1 && !self.resolved.faulty.contains(&Key::Param) {
            let message = format!("a batch with {} parameters of rows", params.len());
            let place = self.place(Key::Kind);
            self.wrong(&place, &message, "declare one: `-- @param items rows(item_id bigint, …)`");
        }
        for entry in params.iter().filter(|_| !matches!(kind, Kind::Batch | Kind::Tx)) {
            let message = format!("@{}: nothing runs for each of its rows", entry.title());
            let fix = "declare @kind batch, or a @kind tx with a step `each`";
            self.findings.error(Rule::Write, &entry.place, message, fix);
            slots.find(entry.name.as_deref().unwrap_or_default());
        }
    }

    fn idempotent(&mut self, slots: &Slots) -> Option<Idempotent> {
        let entry = self.resolved.one(Key::Idempotent)?;
        let Decl::Idempotent(decl) = &*entry.decl else { return None };
        let key_slot = slots.need(&decl.key, &entry.place, self.findings)?;
        let slot = slots.list.get(key_slot)?;
        if !slot.required || !matches!(slot.ty, Type::Str { .. } | Type::Int | Type::Bigint) {
            let message = format!("`{}` cannot be a key", decl.key);
            let fix = "make it a required string, int or bigint";
            self.wrong(&entry.place, &message, fix);
        }
        Some(Idempotent { key_slot, ttl: decl.ttl })
    }

    /// What is answered before it is done has nothing to say of its effect.
    fn asynchronous(&mut self, kind: Kind) -> Option<Asynchronous> {
        let entry = self.resolved.one(Key::Async)?;
        let Decl::Async(decl) = &*entry.decl else { return None };
        let place = &entry.place;
        if self.resolved.lacks(Key::Idempotent) {
            let fix = "declare the key that repeats are known by: `-- @idempotent key=request_id`";
            self.wrong(place, "@async without @idempotent", fix);
        }
        if kind == Kind::Batch {
            let fix = "apply all of its rows or none: `@kind tx` with a step `each`";
            self.wrong(
                place,
                "@async with @kind batch: nobody is told which rows are refused",
                fix,
            );
        }
        let contradictions = [
            (Key::Out, "the reply leaves before there is a value"),
            (Key::Audit, "an audit record tells what was done, and nothing is done yet"),
            (Key::Return, "the reply leaves before there is a value to return"),
            (Key::Current, "the reply leaves before a guard can fail"),
            (Key::Version, "the reply leaves before the version is compared"),
        ];
        for (key, message) in contradictions {
            if let Some(other) = self.resolved.one(key) {
                let message = format!("@{} with @async: {message}", key.name());
                let fix = "remove one of the two";
                self.findings.error(Rule::Write, &other.place, message, fix);
            }
        }
        Some(*decl)
    }

    fn lane(&mut self, slots: &Slots) -> Option<usize> {
        let entry = self.resolved.one(Key::Lane)?;
        let Decl::Name(name) = &*entry.decl else { return None };
        let index = slots.need(name, &entry.place, self.findings)?;
        if slots.list.get(index).is_none_or(|slot| !slot.required || !slot.ty.is_single()) {
            let message = format!("`{name}` may be missing or many: it names no lane");
            self.wrong(&entry.place, &message, "make it a required single value");
        }
        Some(index)
    }

    fn retry(&self) -> Option<Retry> {
        match &*self.resolved.one(Key::Retry)?.decl {
            Decl::Retry(retry) => Some(*retry),
            _ => None,
        }
    }

    /// `@version` of a write: the parameter that carries the version that the caller saw.
    fn version_slot(&mut self, slots: &Slots, parts: &Parts) -> Option<usize> {
        let entry = self.resolved.one(Key::Version)?;
        let Decl::Name(name) = &*entry.decl else { return None };
        if !self.has_guard(parts) {
            let fix = "add a condition: `@kind exec affected = 1`";
            self.wrong(&entry.place, "@version, and no guard that a stale one would fail", fix);
        }
        // Not `need`: where the body does not compare it, the version protects nothing.
        let index = slots.list.iter().position(|slot| slot.name == *name);
        match index.and_then(|index| slots.list.get(index)) {
            Some(slot) if slot.ty.is_single() => {}
            Some(_) => self.wrong(&entry.place, "a version is one value", "name another"),
            None => {
                let message = format!("there is no parameter `{name}`");
                let fix = "name the parameter that carries the version that the caller saw";
                self.findings.error(Rule::ParamUndeclared, &entry.place, message, fix);
            }
        }
        index
    }

    fn current(&mut self, slots: &Slots, parts: &Parts) -> Option<Reading> {
        let entry = self.resolved.one(Key::Current)?;
        let Decl::Reading(call) = &*entry.decl else { return None };
        if !self.has_guard(parts) {
            let fix = "add a condition (`@kind exec affected = 1`), or remove it";
            self.wrong(&entry.place, "@current, and no guard that could fail", fix);
        }
        Some(self.reading(call, &entry.place, slots))
    }

    fn status(&mut self, slots: &Slots, idempotent: Option<Idempotent>) -> Option<Reading> {
        let entry = self.resolved.one(Key::Status)?;
        let Decl::Reading(call) = &*entry.decl else { return None };
        if self.resolved.lacks(Key::Async) {
            let message = "@status without @async: what is done needs no asking";
            self.wrong(&entry.place, message, "remove it, or declare @async");
        }
        let reading = self.reading(call, &entry.place, slots);
        let key = idempotent.map(|idempotent| idempotent.key_slot);
        let asks_by_key = reading.args.iter().map(|arg| Some(arg.slot)).eq([key]);
        if key.is_some() && !asks_by_key {
            let message = "a state is asked for by the key, and by nothing else";
            let fix = "write `op(its_parameter = key)` with the parameter of @idempotent";
            self.wrong(&entry.place, message, fix);
        }
        Some(reading)
    }

    fn reading(&mut self, call: &CallDecl, place: &Place, slots: &Slots) -> Reading {
        let args = call.args.iter().filter_map(|(param, own)| {
            let slot = slots.need(own, place, self.findings)?;
            Some(IncludeArg { param: param.clone(), slot })
        });
        Reading { args: args.collect(), op: call.op.clone() }
    }

    /// `@return`, with the form that a `@result` of its name declares.
    pub(super) fn returns(&mut self, steps: &[Earlier], columns: &[Column]) -> Vec<Returned> {
        let mut returns = Vec::new();
        let mut is_whole = true;
        for entry in self.resolved.all(Key::Return) {
            let Decl::Return(decl) = &*entry.decl else { continue };
            let value = match &decl.value {
                None => Ok(ReturnedValue::Id),
                Some((step, member)) => value_of(steps, step, member)
                    .map(|(step, value)| ReturnedValue::Step { step, value }),
            };
            let value = match value {
                Ok(value) => value,
                Err((message, fix)) => {
                    self.findings.error(Rule::Step, &entry.place, message, fix);
                    is_whole = false;
                    continue;
                }
            };
            let column = columns.iter().position(|column| column.name == decl.name);
            let is_column =
                matches!(value, ReturnedValue::Step { value: StepValue::Column(_), .. });
            if is_column && column.is_none() {
                let message = format!("`{}` is returned and has no type", decl.name);
                let fix = format!("declare it: `-- @result {} bigint`", decl.name);
                self.findings.error(Rule::ResultColumns, &entry.place, message, fix);
            }
            let column = column.filter(|_| is_column);
            returns.push(Returned { name: decl.name.clone(), value, column });
        }
        if is_whole {
            self.unreturned(&returns, columns);
        }
        returns
    }

    /// A declared form that no returned value has.
    fn unreturned(&mut self, returns: &[Returned], columns: &[Column]) {
        let is_typed = |index| returns.iter().any(|returned| returned.column == Some(index));
        for (_, column) in columns.iter().enumerate().filter(|(index, _)| !is_typed(*index)) {
            let message = format!("column `{}` is declared, and no step's value", column.name);
            let fix =
                "return it (`-- @return x = step.x`), or remove it: counts and ids have their form";
            let place = self.place(Key::Result);
            self.findings.error(Rule::ResultColumns, &place, message, fix);
        }
    }

    /// Where a key stands, or the file's start.
    pub(super) fn place(&self, key: Key) -> Place {
        self.resolved.one(key).map_or(&self.resolved.place, |entry| &entry.place).clone()
    }
}

fn is_rows(slot: &Slot) -> bool {
    matches!(slot.ty, Type::Rows(_))
}

/// The slot whose rows a `batch` runs for.
pub(super) fn batch_slot(kind: Kind, slots: &Slots) -> Option<usize> {
    let index = slots.list.iter().position(is_rows)?;
    (kind == Kind::Batch).then_some(index)
}
