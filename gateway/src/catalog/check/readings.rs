//! Operations that a write names: whose row tells why it failed, and who tells what became of it.

use std::collections::{BTreeMap, BTreeSet};

use gateway_protocol::OpId;

use super::relations::fits;
use crate::catalog::compile::Compiled;
use crate::catalog::contract::Key;
use crate::catalog::finding::{Findings, Place, Rule};
use crate::catalog::{Kind, Reading};

/// The member of a reply that tells the state of a queued write.
const STATE: &str = "state";

/// What `@current` and `@status` name exists, reads one row, and takes what it is given.
pub(super) fn check(compiled: &[Compiled], names: &BTreeSet<OpId>, findings: &mut Findings) {
    let by_op: BTreeMap<&OpId, &Compiled> =
        compiled.iter().map(|one| (&one.template.op, one)).collect();
    for one in compiled {
        let write = &one.template.write;
        for (key, reading) in [(Key::Current, &write.current), (Key::Status, &write.status)] {
            let Some(reading) = reading else { continue };
            let place = one.place(key);
            match by_op.get(&reading.op) {
                Some(target) => {
                    reads_one(one, reading, target, (key, place), findings);
                }
                // It has findings of its own.
                None if names.contains(&reading.op) => {}
                None => {
                    let message = format!("the game has no operation `{}`", reading.op);
                    let fix = "name an operation of this game";
                    findings.error(Rule::Write, place, message, fix);
                }
            }
        }
    }
}

fn reads_one(
    one: &Compiled,
    reading: &Reading,
    target: &Compiled,
    (key, place): (Key, &Place),
    findings: &mut Findings,
) {
    let (op, kind) = (&reading.op, target.template.kind);
    fits(one, &reading.args, target, (Rule::Write, place), findings);
    if !kind.is_write() && !matches!(kind, Kind::One | Kind::Optional) {
        let message = format!("`{op}` reads many rows");
        let fix = "name one of @kind one or optional";
        findings.error(Rule::Write, place, message, fix);
    }
    if key == Key::Status {
        tells_state(target, place, findings);
    }
}

/// Its reply has room for the state, and nothing keeps "no such row" for a row that is on its way.
fn tells_state(target: &Compiled, place: &Place, findings: &mut Findings) {
    let read = &target.template;
    let columns = read.columns.iter().map(|column| &*column.name);
    if columns.chain(read.includes.iter().map(|include| &*include.name)).any(|name| name == STATE) {
        let message = format!("the reply of `{}` has a member `{STATE}` already", read.op);
        let fix = "give that another name: `SELECT … AS order_state`";
        findings.error(Rule::Write, place, message, fix);
    }
    let keeps = read.cache.as_ref().is_some_and(|cache| !cache.negative_ttl.is_zero());
    if keeps {
        let message = format!("`{}` would answer \"no such row\" when the row is there", read.op);
        let fix = format!("remove `negative=` from its @cache ({})", target.place(Key::Cache));
        findings.error(Rule::Write, place, message, fix);
    }
}
