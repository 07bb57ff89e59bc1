//! A template's parameters while it is compiled: found by name, and marked when something uses them.

use std::cell::Cell;

use crate::catalog::contract::{Decl, Key};
use crate::catalog::finding::{Findings, Place, Rule};
use crate::catalog::resolve::Resolved;
use crate::catalog::{Field, Kind, Slot, Type};

/// Most slots of a template: `given` is a mask of 64 bits.
const SLOT_COUNT_MAX: usize = 64;
/// Names that pages give to parameters of their own.
const PAGE_NAMES: [&str; 2] = ["cursor", "limit"];
/// Longest cursor that a page takes, in characters.
const CURSOR_CHARS_MAX: u32 = 4_096;

/// The slots, where each was declared, and which were used.
#[derive(Debug)]
pub(crate) struct Slots {
    pub(crate) list: Vec<Slot>,
    places: Vec<Place>,
    used: Cell<u64>,
    /// Of each slot of rows, the fields that are used.
    fields_used: Vec<Cell<u64>>,
}

impl Slots {
    pub(crate) fn new(resolved: &Resolved, findings: &mut Findings) -> Self {
        let mut slots = Self {
            list: Vec::new(),
            places: Vec::new(),
            used: Cell::new(0),
            fields_used: Vec::new(),
        };
        let has_orders = resolved.one(Key::Order).is_some();
        for entry in resolved.all(Key::Param) {
            let Decl::Param(param) = &*entry.decl else { continue };
            let name = &*param.slot.name;
            let reserved = PAGE_NAMES.contains(&name) || (name == "sort" && !has_orders);
            if reserved || name.starts_with('_') {
                let fix = match name {
                    "sort" => "declare the alternatives with @order, or choose another name",
                    _ if reserved => "remove it (a page has it by itself), or choose another name",
                    _ => "names beginning with `_` are the gateway's: choose another",
                };
                let message = format!("`{name}` is not a parameter's name");
                findings.error(Rule::ParamLimit, &entry.place, message, fix);
            }
            slots.fields_used.push(Cell::new(0));
            slots.list.push(param.slot.clone());
            slots.places.push(entry.place.clone());
        }
        if slots.list.len() > SLOT_COUNT_MAX {
            let message = format!("{} parameters, more than {SLOT_COUNT_MAX}", slots.list.len());
            findings.error(Rule::ParamLimit, &resolved.place, message, "take some of them away");
        }
        slots
    }

    /// Adds a page's own two slots, for which [`SLOT_COUNT_MAX`] must leave room.
    pub(crate) fn add_page(
        &mut self,
        (default_count, count_max): (u32, u32),
        place: &Place,
        findings: &mut Findings,
    ) {
        use crate::catalog::Scalar;
        let slot = |name: &str, ty| Slot { required: false, ..Slot::new(name, ty) };
        if self.list.len() + PAGE_NAMES.len() > SLOT_COUNT_MAX {
            let message =
                format!("a page has at most {} parameters", SLOT_COUNT_MAX - PAGE_NAMES.len());
            findings.error(Rule::ParamLimit, place, message, "take some of them away");
        }
        self.list.push(slot("cursor", Type::Str { chars_max: Some(CURSOR_CHARS_MAX) }));
        self.list.push(Slot {
            default: Some(Scalar::Int(i64::from(default_count))),
            min: Some(Scalar::Int(1)),
            max: Some(Scalar::Int(i64::from(count_max))),
            ..slot("limit", Type::Int)
        });
        self.places.extend([place.clone(), place.clone()]);
    }

    /// The slot of that name, marked as used.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        let index = self.list.iter().position(|slot| &*slot.name == name)?;
        self.used.set(self.used.get() | 1_u64.checked_shl(u32::try_from(index).ok()?).unwrap_or(0));
        Some(index)
    }

    /// The slot of that name, or a finding at `place`.
    pub(crate) fn need(&self, name: &str, place: &Place, findings: &mut Findings) -> Option<usize> {
        let index = self.find(name);
        if index.is_none() {
            let message = format!("there is no parameter `{name}`");
            let fix = format!("declare it: `-- @param {name} …`, or mend the name");
            findings.error(Rule::ParamUndeclared, place, message, fix);
        }
        index
    }

    /// As [`need`](Self::need), and it must always have one value: it decides who may call, or what is
    /// invalidated.
    pub(crate) fn need_single(
        &self,
        name: &str,
        (rule, place): (Rule, &Place),
        findings: &mut Findings,
    ) -> Option<usize> {
        let index = self.need(name, place, findings)?;
        let slot = self.list.get(index)?;
        if !(slot.required || slot.default.is_some()) || !slot.ty.is_single() {
            let message = format!("`{name}` is optional or a list here");
            findings.error(rule, place, message, "make it a required single value");
        }
        Some(index)
    }

    /// The slot of that name if it takes rows, marked as used.
    pub(crate) fn rows(&self, name: &str) -> Option<usize> {
        let is_rows = |slot: &Slot| &*slot.name == name && matches!(slot.ty, Type::Rows(_));
        self.list.iter().any(is_rows).then(|| self.find(name)).flatten()
    }

    /// The field of that name of a slot of rows, marked as used; or a finding at `place`.
    pub(crate) fn need_field(
        &self,
        slot: usize,
        name: &str,
        place: &Place,
        findings: &mut Findings,
    ) -> Option<usize> {
        let Slot { name: rows, ty: Type::Rows(fields), .. } = self.list.get(slot)? else {
            return None;
        };
        let index = fields.iter().position(|field| &*field.name == name);
        if index.is_none() {
            let message = format!("the rows of `{rows}` have no field `{name}`");
            let fix = format!("declare it in `-- @param {rows} rows(…)`, or mend the name");
            findings.error(Rule::ParamUndeclared, place, message, fix);
        }
        let used = self.fields_used.get(slot)?;
        let bit = 1_u64.checked_shl(u32::try_from(index?).ok()?).unwrap_or(0);
        used.set(used.get() | bit);
        index
    }

    /// Findings for the slots that nothing uses, a page's own left out.
    pub(crate) fn unused(&self, kind: Kind, findings: &mut Findings) {
        let own = if kind == Kind::Page { PAGE_NAMES.len() } else { 0 };
        let declared = self.list.len().saturating_sub(own);
        for (index, (slot, place)) in self.list.iter().zip(&self.places).take(declared).enumerate()
        {
            if index < SLOT_COUNT_MAX && self.used.get() >> index & 1 == 0 {
                let message = format!("parameter `{}` is not used", slot.name);
                let fix = format!("bind it as `:{}`, or remove its @param", slot.name);
                findings.error(Rule::ParamUnused, place, message, fix);
            } else if let Type::Rows(fields) = &slot.ty {
                let used = self.fields_used.get(index).map_or(0, Cell::get);
                let is_unused = |(bit, _): &(usize, &Field)| used >> bit & 1 == 0;
                for (_, field) in fields.iter().enumerate().filter(is_unused) {
                    let message = format!("field `{}.{}` is not used", slot.name, field.name);
                    let fix = format!("bind it as `:{}.{}`, or remove it", slot.name, field.name);
                    findings.error(Rule::ParamUnused, place, message, fix);
                }
            }
        }
    }
}
