//! A second opinion on a statement's syntax, from a parser that does not know everything.
//!
//! What it cannot read is a warning at most: databases take more than it does.

use sqlparser::dialect::{MySqlDialect, OracleDialect, SQLiteDialect};
use sqlparser::parser::Parser;

use super::combinations;
use crate::catalog::finding::{Findings, Place, Rule};
use crate::catalog::{Dialect, Plan, Template};

/// Parses the fullest and the barest text of one of a template's statements.
pub(crate) fn check(template: &Template, plan: &Plan, place: &Place, findings: &mut Findings) {
    let shapes = combinations(template, plan);
    for shape in [shapes.last(), shapes.first()].into_iter().flatten() {
        let Ok(rendered) = plan.render(template.dialect, shape) else { continue };
        let parsed = match template.dialect {
            Dialect::Oracle => Parser::parse_sql(&OracleDialect {}, &rendered.sql),
            Dialect::Mysql => Parser::parse_sql(&MySqlDialect {}, &rendered.sql),
            Dialect::Sqlite => Parser::parse_sql(&SQLiteDialect {}, &rendered.sql),
        };
        if let Err(error) = parsed {
            let message = format!("the {} text may have a fault: {error}", template.dialect);
            let fix = "try it with `gateway render` in an SQL editor";
            findings.warning(Rule::Syntax, place, message, fix);
            return;
        }
    }
}
