//! Lists of a body: whether they stay where they stand, and fit.

use super::Compiler;
use super::slots::Slots;
use crate::catalog::finding::Rule;
use crate::catalog::tree::Body;
use crate::catalog::{Dialect, Piece, Plan};

impl Compiler<'_, '_> {
    /// An optional list that is not given has no items: on a line that stays it would match nothing.
    pub(super) fn optional_lists(&mut self, slots: &Slots, pieces: &[Piece], body: &Body) {
        for piece in pieces {
            let Piece::List(index) = piece else { continue };
            let Some(slot) = slots.list.get(*index).filter(|slot| !slot.required) else { continue };
            let message = format!("`{}` is optional and stands on a line that is not", slot.name);
            let fix = "end the line with `-- ?`, or make the list required";
            self.findings.error(Rule::List, &body.place(), message, fix);
        }
    }

    /// A request whose lists are as long as they may be still fits into one statement.
    pub(super) fn placeholders(&mut self, plan: &Plan, slots: &Slots, body: &Body) {
        let dialect = self.resolved.dialect;
        let max = match dialect {
            Dialect::Sqlite => 32_766,
            Dialect::Mysql | Dialect::Oracle => 65_535,
        };
        let count = plan.placeholder_count_max(&slots.list, dialect);
        if count > max {
            let message = format!("up to {count} placeholders, and {dialect} takes {max}");
            let fix = "write a smaller `max_items=`: a list is padded to the next power of two";
            self.findings.error(Rule::List, &body.place(), message, fix);
        }
    }
}
