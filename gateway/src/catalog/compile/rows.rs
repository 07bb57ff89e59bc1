//! `@result` and `@version`: what the rows look like, and whether the body selects it.

use super::Compiler;
use crate::catalog::contract::{Decl, Key};
use crate::catalog::finding::{Place, Rule};
use crate::catalog::statement::{Output, Statement};
use crate::catalog::tree::Body;
use crate::catalog::{Column, Kind};

impl Compiler<'_, '_> {
    /// The declared columns, compared with those that the body selects.
    pub(super) fn columns(
        &mut self,
        kind: Kind,
        body: &Body,
        statement: &Statement<'_>,
    ) -> Vec<Column> {
        let columns = self.declared_columns();
        if kind.is_write() {
            return columns;
        }
        if self.resolved.lacks(Key::Result) {
            let fix = "declare every column: `-- @result player_id bigint, nickname string`";
            self.findings.error(Rule::KeyMissing, &self.resolved.place, "@result is missing", fix);
        } else {
            self.agree(&columns, body, statement);
        }
        columns
    }

    /// `@result`.
    pub(super) fn declared_columns(&mut self) -> Vec<Column> {
        let mut columns: Vec<Column> = Vec::new();
        for entry in self.resolved.all(Key::Result) {
            let Decl::Result(declared) = &*entry.decl else { continue };
            for column in declared {
                if columns.iter().any(|one| one.name == column.name) {
                    let message = format!("column `{}` is declared twice", column.name);
                    self.findings.error(
                        Rule::ResultColumns,
                        &entry.place,
                        message,
                        "keep one of them",
                    );
                }
                columns.push(column.clone());
            }
        }
        columns
    }

    fn agree(&mut self, columns: &[Column], body: &Body, statement: &Statement<'_>) {
        let place = statement.verb_index().and_then(|index| statement.code.get(index)).map_or_else(
            || body.place(),
            |code| Place { line: code.token.line, column: code.token.column, ..body.place() },
        );
        let outputs = statement.outputs();
        let mut selected: Vec<&str> = Vec::new();
        for output in &outputs {
            match output {
                Output::Star => {
                    let fix = "name the columns: a new one in the table would change the reply";
                    self.findings.error(Rule::ResultColumns, &place, "`*` in the select list", fix);
                    return;
                }
                Output::Unnamed(sql) => {
                    let short: String = sql.chars().take(40).collect();
                    let message = format!("`{short}` has no name");
                    self.findings.error(Rule::ResultColumns, &place, message, "add `AS name`");
                    return;
                }
                Output::Named { name, .. } if selected.contains(&name.as_str()) => {
                    let message = format!("column `{name}` is selected twice");
                    self.findings.error(
                        Rule::ResultColumns,
                        &place,
                        message,
                        "give one of them another name",
                    );
                }
                Output::Named { name, .. } => selected.push(name),
            }
        }
        for column in columns.iter().filter(|column| !selected.contains(&&*column.name)) {
            let message = format!("column `{}` is declared and not selected", column.name);
            self.findings.error(
                Rule::ResultColumns,
                &place,
                message,
                "select it, or remove it from @result",
            );
        }
        for name in selected.iter().filter(|name| columns.iter().all(|c| *c.name != ***name)) {
            let message = format!("column `{name}` is selected and not declared");
            self.findings.error(
                Rule::ResultColumns,
                &place,
                message,
                "declare it with @result, or remove it",
            );
        }
    }

    /// `@version` of a read. A write's names a parameter.
    pub(super) fn version_column(&mut self, kind: Kind, columns: &[Column]) -> Option<usize> {
        if kind.is_write() {
            return None;
        }
        let entry = self.resolved.one(Key::Version)?;
        let Decl::Name(name) = &*entry.decl else { return None };
        let index = columns.iter().position(|column| column.name.eq_ignore_ascii_case(name));
        if index.is_none() {
            let message = format!("there is no column `{name}`");
            self.findings.error(
                Rule::ResultColumns,
                &entry.place,
                message,
                "name a column of @result",
            );
        }
        index
    }
}
