//! A body of steps, cut at its `-- @step` lines; and steps put in the places of others by an override.

use crate::catalog::Dialect;
use crate::catalog::contract::Reader;
use crate::catalog::finding::{Findings, Place, Rule};
use crate::catalog::header::{STEP, is_step};
use crate::catalog::lexer::{self, TokenKind};
use crate::catalog::resolve::{Patch, Resolved};
use crate::catalog::tree::Body;

/// A step as it is written.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    pub(crate) name: Box<str>,
    /// What follows `@step`, the name too.
    pub(crate) header: Box<str>,
    /// Where its line begins.
    pub(crate) place: Place,
    /// Characters of the line before its header.
    indent: u32,
    /// Its statement.
    pub(crate) body: Body,
    /// The header, and its place, of the step in whose place it stands.
    pub(crate) replaced: Option<(Box<str>, Place)>,
}

impl Chunk {
    /// Where byte `at` of the header stands.
    pub(crate) fn place_of(&self, at: usize) -> Place {
        let before = self.header.get(..at).map_or(0, |text| text.chars().count());
        let column = self.place.column + self.indent + u32::try_from(before).unwrap_or(0);
        Place { column, ..self.place.clone() }
    }
}

/// The steps of an operation, with those that overrides replace; `None` when a body cannot be lexed.
pub(crate) fn chunks(resolved: &Resolved, findings: &mut Findings) -> Option<Vec<Chunk>> {
    let mut chunks = cut(resolved.body.as_ref()?, resolved.dialect, findings)?;
    for patch in &resolved.patches {
        let steps = cut(&patch.body, resolved.dialect, findings)?;
        for (name, place) in &patch.names {
            if steps.iter().all(|step| step.name != *name) {
                let message = format!("no step `{name}` stands in this file");
                let fix = format!("write `-- @step {name} …` and its statement below");
                findings.error(Rule::Override, place, message, fix);
            }
        }
        for step in steps {
            replace(&mut chunks, step, patch, findings);
        }
    }
    Some(chunks)
}

fn replace(chunks: &mut [Chunk], step: Chunk, patch: &Patch, findings: &mut Findings) {
    let name = &step.name;
    if patch.names.iter().all(|(one, _)| one != name) {
        let message = format!("step `{name}` is not one that this file replaces");
        let fix = format!("declare it: `-- @replace step {name}`");
        findings.error(Rule::Override, &step.place, message, fix);
        return;
    }
    let Some(base) = chunks.iter_mut().find(|chunk| chunk.name == *name) else {
        let message = format!("there is no step `{name}` to replace");
        findings.error(Rule::Override, &step.place, message, "name a step of the base");
        return;
    };
    let replaced = Some((base.header.clone(), base.place.clone()));
    *base = Chunk { replaced, ..step };
}

/// Cuts one body.
fn cut(body: &Body, dialect: Dialect, findings: &mut Findings) -> Option<Vec<Chunk>> {
    let tokens = match lexer::lex(&body.text, dialect, body.first_line) {
        Ok(tokens) => tokens,
        Err(fault) => {
            let place = Place { line: fault.line, column: fault.column, ..body.place() };
            findings.error(Rule::Lex, &place, fault.message, "close it");
            return None;
        }
    };
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut text = String::new();
    let mut is_stray = false;
    for token in &tokens {
        let place = Place { line: token.line, column: token.column, ..body.place() };
        if token.kind == TokenKind::LineComment && is_step(token.text) {
            end(&mut chunks, &mut text);
            chunks.extend(begin(token.text, place, body, findings));
            is_stray = false;
        } else {
            if chunks.is_empty() && token.is_code() && !is_stray {
                let fix = "begin each statement with `-- @step name kind`";
                findings.error(Rule::Step, &place, "SQL that belongs to no step", fix);
                is_stray = true;
            }
            text.push_str(token.text);
        }
    }
    end(&mut chunks, &mut text);
    Some(chunks)
}

fn begin(comment: &str, place: Place, body: &Body, findings: &mut Findings) -> Option<Chunk> {
    let (before, header) = comment.split_once(STEP)?;
    let name = match Reader::new(header).name() {
        Ok(name) => name.into(),
        Err(fault) => {
            findings.error(Rule::Step, &place, fault.message, "write `-- @step name kind`");
            return None;
        }
    };
    let body = Body { text: "".into(), first_line: place.line, ..body.clone() };
    let indent = u32::try_from(before.len() + STEP.len()).unwrap_or(0);
    Some(Chunk { name, header: header.into(), place, indent, body, replaced: None })
}

/// Gives the last step its text, without the blank lines around it.
fn end(chunks: &mut [Chunk], text: &mut String) {
    let text = std::mem::take(text);
    let Some(last) = chunks.last_mut() else { return };
    let mut kept = text.trim_end();
    while let Some((line, rest)) = kept.split_once('\n')
        && line.trim().is_empty()
    {
        kept = rest;
        last.body.first_line += 1;
    }
    last.body.text = kept.into();
}
