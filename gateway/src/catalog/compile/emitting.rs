//! `@emit`: which events a write tells of, and what they carry.

use super::slots::Slots;
use super::{Compiler, Parts};
use crate::catalog::contract::{Decl, EmitDecl, Entry, Key};
use crate::catalog::finding::Rule;
use crate::catalog::{Emitted, EmittedField, EmittedValue, Kind};

impl Compiler<'_, '_> {
    /// The events of a write. Without a list of fields each carries every parameter that is not masked.
    pub(super) fn events(&mut self, kind: Kind, slots: &Slots, parts: &Parts) -> Vec<Emitted> {
        let entries: Vec<Entry> = self.resolved.all(Key::Emit).cloned().collect();
        let mut events: Vec<Emitted> = Vec::with_capacity(entries.len());
        if entries.is_empty() {
            return events;
        }
        let masked = self.masked_names();
        for entry in &entries {
            let Decl::Emit(decl) = &*entry.decl else { continue };
            let is_same = |other: &Emitted| other.topic == decl.topic && other.event == decl.event;
            if events.iter().any(is_same) {
                let message = format!("the event `{}.{}` is told twice", decl.topic, decl.event);
                self.findings.error(Rule::Write, &entry.place, message, "keep one of the lines");
                continue;
            }
            let fields = if decl.fields.is_empty() {
                let open = slots.list.iter().enumerate();
                let open = open.filter(|(_, slot)| !masked.contains(&slot.name));
                open.map(|(index, slot)| field(&slot.name, EmittedValue::Slot(index))).collect()
            } else {
                self.emitted_fields((entry, decl), kind, &masked, slots, parts)
            };
            events.push(Emitted { topic: decl.topic.clone(), event: decl.event.clone(), fields });
        }
        events
    }

    fn emitted_fields(
        &mut self,
        (entry, decl): (&Entry, &EmitDecl),
        kind: Kind,
        masked: &[Box<str>],
        slots: &Slots,
        parts: &Parts,
    ) -> Vec<EmittedField> {
        let mut fields: Vec<EmittedField> = Vec::with_capacity(decl.fields.len());
        for name in &decl.fields {
            let place = &entry.place;
            if masked.contains(name) {
                let message = format!("`{name}` is masked, and events are read by anybody");
                let fix = "take it out of the event, or out of @mask";
                self.findings.error(Rule::Write, place, message, fix);
                continue;
            }
            if fields.iter().any(|other| other.name == *name) {
                let message = format!("`{name}` stands twice in the event");
                self.findings.error(Rule::Write, place, message, "keep one");
                continue;
            }
            if **name == *"_id" {
                if !has_id(kind, parts) {
                    let message = "`_id` is in the event, and the write is given none";
                    let fix = "use :_id in the body, or take it out of the event";
                    self.findings.error(Rule::Write, place, message, fix);
                }
                fields.push(field("_id", EmittedValue::Id));
                continue;
            }
            // Not `need`: to be told is no use that a parameter is there for.
            if let Some(index) = slots.list.iter().position(|slot| slot.name == *name) {
                fields.push(field(name, EmittedValue::Slot(index)));
            } else {
                let message = format!("there is no parameter `{name}` to tell of");
                let fix = "an event carries parameters, and `_id`: mend the name";
                self.findings.error(Rule::ParamUndeclared, place, message, fix);
            }
        }
        fields
    }

    fn masked_names(&self) -> Vec<Box<str>> {
        let mut names = Vec::new();
        for entry in self.resolved.all(Key::Mask) {
            if let Decl::Names(masked) = &*entry.decl {
                names.extend(masked.iter().cloned());
            }
        }
        names
    }
}

fn field(name: &str, value: EmittedValue) -> EmittedField {
    EmittedField { name: name.into(), value }
}

/// Whether there is one id for what an event tells of: the request's, or the row's of a batch.
fn has_id(kind: Kind, parts: &Parts) -> bool {
    if kind == Kind::Tx {
        return parts.steps.iter().any(|step| step.each.is_none() && step.plan.uses_id())
            || parts.returns.iter().any(|one| one.value == crate::catalog::ReturnedValue::Id);
    }
    parts.plan.uses_id()
}
