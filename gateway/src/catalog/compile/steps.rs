//! The steps of a `tx`: read and checked like everything else, though nothing runs them yet.

use super::slots::Slots;
use crate::catalog::Dialect;
use crate::catalog::contract::{Fault, Reader, business_error};
use crate::catalog::finding::{Findings, Place, Rule};
use crate::catalog::header::is_step;
use crate::catalog::lexer::{self, Token, TokenKind};
use crate::catalog::tree::Body;

/// Most steps of a transaction.
const STEP_COUNT_MAX: usize = 32;

/// Checks a body of steps.
pub(super) fn check(body: &Body, dialect: Dialect, slots: &Slots, findings: &mut Findings) {
    let tokens = match lexer::lex(&body.text, dialect, body.first_line) {
        Ok(tokens) => tokens,
        Err(fault) => {
            let place = Place { line: fault.line, column: fault.column, ..body.place() };
            findings.error(Rule::Lex, &place, fault.message, "close it");
            return;
        }
    };
    let at = |token: &Token<'_>| Place { line: token.line, column: token.column, ..body.place() };
    let mut names: Vec<String> = Vec::new();
    let mut statement_is_open = false;
    for token in &tokens {
        let place = at(token);
        if token.kind == TokenKind::LineComment && is_step(token.text) {
            match step(token.text, &names, slots) {
                Ok(name) => names.push(name),
                Err(fault) => findings.error(Rule::Step, &place, fault.message, fault.fix),
            }
            statement_is_open = true;
            continue;
        }
        if token.is_code() && !statement_is_open {
            let fix = "begin each statement with `-- @step name kind`";
            findings.error(Rule::Step, &place, "SQL that belongs to no step", fix);
            statement_is_open = true;
        }
        match token.kind {
            TokenKind::Bind => bind(token, &place, &names, slots, findings),
            TokenKind::Placeholder => {
                let message = format!("`{}` is a driver's placeholder", token.text);
                findings.error(Rule::Placeholder, &place, message, "bind by name: `:player_id`");
            }
            TokenKind::Punct if token.text == ";" => {
                findings.error(
                    Rule::Statement,
                    &place,
                    "`;` in a step",
                    "separate statements by `-- @step`",
                );
            }
            _ => {}
        }
    }
    if names.is_empty() || names.len() > STEP_COUNT_MAX {
        let message = format!("{} steps", names.len());
        findings.error(Rule::Step, &body.place(), message, format!("write 1 to {STEP_COUNT_MAX}"));
    }
}

fn bind(
    token: &Token<'_>,
    place: &Place,
    names: &[String],
    slots: &Slots,
    findings: &mut Findings,
) {
    let name = token.text.trim_start_matches(':');
    let supplied =
        ["_now", "_id", "_caller", "_trace"].contains(&name) || name.starts_with("_claim.");
    if supplied || slots.has_row_field(name) {
        if let Some((rows, _)) = name.split_once('.') {
            slots.find(rows);
        }
        return;
    }
    match name.split_once('.') {
        None => drop(slots.need(name, place, findings)),
        Some((step, _)) if names.iter().rev().skip(1).any(|one| one == step) => {}
        Some((step, _)) => {
            let message = format!("`{step}` is not an earlier step");
            findings.error(Rule::Step, place, message, "name a step that stands above");
        }
    }
}

/// Reads a `-- @step` line; its name.
fn step(comment: &str, earlier: &[String], slots: &Slots) -> Result<String, Fault> {
    let text = comment.trim_start_matches('-').trim_start().trim_start_matches("@step");
    let mut reader = Reader::new(text);
    let name = reader.name()?.to_owned();
    if earlier.contains(&name) {
        return reader.fault(format!("a second step `{name}`"), "give it another name");
    }
    if !["one", "optional", "many", "exec"].iter().any(|kind| reader.eat_word(kind)) {
        return reader.fault("a step's kind is missing", "use one, optional, many, exec");
    }
    if reader.eat_word("each") {
        let rows = reader.name()?;
        if slots.find(rows).is_none() {
            return reader
                .fault(format!("there is no parameter `{rows}`"), "name a rows(…) parameter");
        }
    }
    if reader.eat_word("affected") || reader.eat_word("rows") {
        comparison(&mut reader)?;
        reader.number::<u32>()?;
    }
    if reader.eat_word("else") {
        business_error(&mut reader, 409)?;
    }
    if reader.eat_word("on") {
        reader.expect_word("duplicate_key")?;
        reader.expect_word("else")?;
        business_error(&mut reader, 409)?;
    }
    if reader.eat_word("when") {
        let step = reader.name()?;
        reader.expect(".")?;
        reader.name()?;
        comparison(&mut reader)?;
        reader.text()?;
        if !earlier.iter().any(|one| one == step) {
            return reader.fault(
                format!("`{step}` is not an earlier step"),
                "name a step that stands above",
            );
        }
    }
    reader.end()?;
    Ok(name)
}

fn comparison(reader: &mut Reader<'_>) -> Result<(), Fault> {
    let signs = ["<>", "<=", ">=", "=", "<", ">"];
    if signs.iter().any(|sign| reader.eat(sign)) {
        return Ok(());
    }
    reader.fault("a comparison is missing", "use one of = <> < <= > >=")
}
