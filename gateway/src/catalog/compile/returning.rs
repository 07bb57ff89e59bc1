//! `RETURNING`: what a write tells of the row that it changed.
//!
//! Written `RETURNING gold` for every dialect that has it; for Oracle the gateway adds `INTO` and the binds that take
//! the values, or takes the names from an `INTO :gold` that is written there.

use super::body::{Around, CutBody};
use super::{Compiler, Parts};
use crate::catalog::contract::{Decl, Entry, Key};
use crate::catalog::finding::{Findings, Place, Rule};
use crate::catalog::lexer::{Token, TokenKind};
use crate::catalog::statement::{Output as Selected, output};
use crate::catalog::{Column, Dialect, Output, Piece, Source};

/// Members that an `exec` answers with anyway.
const OWN_MEMBERS: [&str; 2] = ["affected", "id"];

/// A statement's `RETURNING`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Returning {
    /// The names of its values, lower case, in order; none where there is no `RETURNING`.
    pub(crate) names: Vec<Box<str>>,
    /// Where it stands.
    pub(crate) place: Option<Place>,
}

impl Returning {
    /// Oracle's `INTO`, with a bind for each value.
    pub(super) fn push_into(&self, pieces: &mut Vec<Piece>) {
        for index in 0..self.names.len() {
            super::body::push_text(pieces, if index == 0 { "\nINTO " } else { ", " });
            pieces.push(Piece::Bind(Source::Out(index)));
        }
    }
}

/// Reads the `RETURNING` of a write; its `INTO`, and what is behind that, is taken away.
pub(super) fn take(
    tokens: &mut Vec<Token<'_>>,
    around: &Around<'_, '_>,
    findings: &mut Findings,
) -> Returning {
    let Some(start) = top(tokens, 0, &["returning", "return"]).filter(|_| around.writes) else {
        return Returning::default();
    };
    let place = tokens.get(start).map(|token| Place {
        line: token.line,
        column: token.column,
        ..around.body.place()
    });
    let Some(place) = place else { return Returning::default() };
    let into = top(tokens, start, &["into"]);
    let end = into.unwrap_or(tokens.len());
    let list: Vec<Token<'_>> = tokens
        .get(start + 1..end)
        .unwrap_or_default()
        .iter()
        .copied()
        .filter(Token::is_code)
        .collect();
    let items = split(&list);
    let binds: Vec<Box<str>> = tokens
        .get(end..)
        .unwrap_or_default()
        .iter()
        .filter(|token| token.kind == TokenKind::Bind)
        .map(|token| token.text.trim_start_matches(':').to_ascii_lowercase().into())
        .collect();
    tokens.truncate(end);
    let mut told = Told { findings, place: &place };
    told.dialect(tokens, around, into.is_some());
    let names = if into.is_some() {
        if binds.len() != items.len() {
            let message = format!("RETURNING has {} values, INTO {}", items.len(), binds.len());
            told.error(&message, "name a bind for each value");
        }
        binds
    } else {
        items.iter().filter_map(|item| told.name(item, around.dialect)).collect()
    };
    for (index, name) in names.iter().enumerate() {
        if names.iter().take(index).any(|other| other == name) {
            told.error(&format!("`{name}` is returned twice"), "give one of them another name");
        }
    }
    Returning { names, place: Some(place) }
}

/// The first of these words at the top of a statement, from `from` on.
fn top(tokens: &[Token<'_>], from: usize, words: &[&str]) -> Option<usize> {
    let mut depth = 0_u32;
    for (index, token) in tokens.iter().enumerate() {
        if token.is_punct("(") {
            depth += 1;
        } else if token.is_punct(")") {
            depth = depth.saturating_sub(1);
        } else if depth == 0 && index >= from && words.iter().any(|word| token.is_word(word)) {
            return Some(index);
        }
    }
    None
}

/// Cuts a list at its commas.
fn split<'a>(list: &[Token<'a>]) -> Vec<Vec<Token<'a>>> {
    let (mut items, mut depth) = (vec![Vec::new()], 0_u32);
    for token in list {
        if depth == 0 && token.is_punct(",") {
            items.push(Vec::new());
            continue;
        }
        depth =
            (depth + u32::from(token.is_punct("("))).saturating_sub(u32::from(token.is_punct(")")));
        if let Some(item) = items.last_mut() {
            item.push(*token);
        }
    }
    items
}

struct Told<'f, 'p> {
    findings: &'f mut Findings,
    place: &'p Place,
}

impl Told<'_, '_> {
    fn error(&mut self, message: &str, fix: &str) {
        self.findings.error(Rule::Statement, self.place, message, fix);
    }

    /// What the database does not have.
    fn dialect(&mut self, tokens: &[Token<'_>], around: &Around<'_, '_>, has_into: bool) {
        let has = |words: &[&str]| top(tokens, 0, words).is_some();
        if around.rows.is_some() {
            self.error(
                "it runs for many rows, and nothing takes what they return",
                "remove RETURNING, or read the rows in a step of its own",
            );
        }
        match around.dialect {
            Dialect::Mysql if has(&["update"]) && !has(&["insert", "delete", "replace"]) => {
                self.error(
                    "neither MySQL nor MariaDB has UPDATE … RETURNING",
                    "guard the UPDATE, and read the row in a step `one` behind it",
                );
            }
            Dialect::Mysql => {
                let fix = "for MySQL take ids from `:_id` and read in a step `one`; \
                           `gateway check --database` asks the server";
                let message = "MariaDB has RETURNING, MySQL does not";
                self.findings.warning(Rule::Portability, self.place, message, fix);
            }
            Dialect::Oracle if has(&["merge"]) || (has(&["insert"]) && has(&["select"])) => {
                self.error(
                    "Oracle returns nothing from MERGE and INSERT … SELECT",
                    "read the row in a step `one` behind it",
                );
            }
            Dialect::Oracle | Dialect::Sqlite => {}
        }
        if has_into && around.dialect != Dialect::Oracle {
            self.error("RETURNING … INTO is Oracle's", "write RETURNING and the columns alone");
        }
    }

    /// The name of a returned value.
    fn name(&mut self, item: &[Token<'_>], dialect: Dialect) -> Option<Box<str>> {
        match output(item) {
            Selected::Named { name, sql } => {
                let is_renamed = !sql.ends_with(&name);
                if is_renamed && dialect == Dialect::Oracle {
                    let fix = format!("write `RETURNING {sql} INTO :{name}`");
                    self.error("Oracle gives no names in RETURNING", &fix);
                }
                Some(name.into())
            }
            Selected::Star | Selected::Unnamed(_) => {
                let fix = if dialect == Dialect::Oracle {
                    "name it: `RETURNING … INTO :name`"
                } else {
                    "name it: `RETURNING … AS name`, and no `*`"
                };
                self.error("a returned value without a name", fix);
                None
            }
        }
    }
}

impl Compiler<'_, '_> {
    /// The values that an `exec` returns, which are those that it declares.
    pub(super) fn exec_outputs(&mut self, returning: &Returning, parts: &mut Parts) {
        parts.outputs = self.outputs();
        for name in &returning.names {
            match parts.outputs.iter().find(|output| output.name() == &**name) {
                Some(Output::Value(column)) => parts.returning.push(column.clone()),
                Some(Output::Rows { .. }) => {}
                None => self.undeclared(returning, name, name),
            }
        }
        let entries: Vec<Entry> = self.resolved.all(Key::Out).cloned().collect();
        for entry in &entries {
            let Decl::Output(decl) = &*entry.decl else { continue };
            let name = decl.output.name();
            let message = if decl.step.is_some() {
                format!("@{}: only a tx has steps", entry.title())
            } else if matches!(decl.output, Output::Rows { .. }) {
                format!("`{name}`: a statement returns values, and no rows")
            } else if OWN_MEMBERS.contains(&name) {
                format!("`{name}` is in the reply of an exec anyway")
            } else if returning.names.iter().all(|one| **one != *name) {
                format!("`{name}` is declared, and no RETURNING gives it")
            } else {
                continue;
            };
            let fix = "return it (`RETURNING gold`), or remove it";
            self.findings.error(Rule::ResultColumns, &entry.place, message, fix);
        }
    }

    /// What a step returns, with the types that `@out step.name`, or the `@result` of a `@return`, declare.
    pub(super) fn step_returning(&mut self, step: &str, cut: &CutBody<'_>) -> Vec<Column> {
        let mut columns = Vec::new();
        for name in &cut.returning.names {
            match self.declared_return(step, name) {
                Some(column) => columns.push(column),
                None => self.undeclared(&cut.returning, name, &format!("{step}.{name}")),
            }
        }
        columns
    }

    fn declared_return(&self, step: &str, name: &str) -> Option<Column> {
        let own = self.resolved.all(Key::Out).find_map(|entry| match &*entry.decl {
            Decl::Output(decl) if decl.step.as_deref() == Some(step) => match &decl.output {
                Output::Value(column) if *column.name == *name => Some(column.clone()),
                _ => None,
            },
            _ => None,
        });
        let is_it = |(of, member): &(Box<str>, Box<str>)| **of == *step && **member == *name;
        own.or_else(|| {
            let returned = self.resolved.all(Key::Return).find_map(|entry| match &*entry.decl {
                Decl::Return(decl) if decl.value.as_ref().is_some_and(is_it) => Some(&decl.name),
                _ => None,
            })?;
            let mut columns =
                self.resolved.all(Key::Result).filter_map(|entry| match &*entry.decl {
                    Decl::Result(columns) => columns.iter().find(|column| column.name == *returned),
                    _ => None,
                });
            Some(Column { name: name.into(), ..columns.next()?.clone() })
        })
    }

    fn undeclared(&mut self, returning: &Returning, name: &str, title: &str) {
        let place = returning.place.clone().unwrap_or_else(|| self.resolved.place.clone());
        let message = format!("`{name}` is returned and has no type");
        let fix = format!("declare it: `-- @out {title} bigint`");
        self.findings.error(Rule::ResultColumns, &place, message, fix);
    }

    /// `@out step.name` of a tx, which a step of that name must return.
    pub(super) fn step_outputs(&mut self, parts: &Parts) {
        let entries: Vec<Entry> = self.resolved.all(Key::Out).cloned().collect();
        for entry in &entries {
            let Decl::Output(decl) = &*entry.decl else { continue };
            let returns = |name: &str| {
                let mut steps = parts.steps.iter().filter(|step| *step.name == *name);
                steps.any(|step| step.returning.iter().any(|c| *c.name == *decl.output.name()))
            };
            if decl.step.as_deref().is_none_or(|step| !returns(step)) {
                let message = format!("@{}: no step returns it", entry.title());
                let fix = "write `-- @out step.name type` for what a step's RETURNING gives";
                self.findings.error(Rule::ResultColumns, &entry.place, message, fix);
            }
        }
    }

    /// The outputs that are declared, in order.
    pub(super) fn outputs(&self) -> Vec<Output> {
        let outputs = self.resolved.all(Key::Out).filter_map(|entry| match &*entry.decl {
            Decl::Output(decl) if decl.step.is_none() => Some(decl.output.clone()),
            _ => None,
        });
        outputs.collect()
    }
}
