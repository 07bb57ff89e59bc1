//! Rule 2: an `UPDATE`, a `DELETE` and a page have a condition that no request can leave out.

use crate::catalog::Kind;
use crate::catalog::finding::{Findings, Place, Rule};
use crate::catalog::statement::Statement;

/// - `place`: where the statement begins.
pub(crate) fn check(kind: Kind, statement: &Statement<'_>, place: &Place, findings: &mut Findings) {
    let verb = statement.verb();
    let needs = kind == Kind::Page || matches!(verb.as_str(), "update" | "delete");
    if !needs || statement.has_firm_predicate() {
        return;
    }
    let message = if kind == Kind::Page {
        "a page whose every condition can be left out reads the whole table".to_owned()
    } else {
        format!("{} without a condition that always stays", verb.to_ascii_uppercase())
    };
    let fix = "add a condition on a column to the WHERE, on a line without `-- ?`";
    findings.error(Rule::Predicate, place, message, fix);
}
