//! The steps of a `tx`: each a statement, what must hold of it, and what it leaves to those after it.

use std::cell::RefCell;

use super::body::{self, Around, CutBody};
use super::chunks::{Chunk, chunks};
use super::slots::Slots;
use super::{Compiler, Parts, fold};
use crate::catalog::contract::{Fault, Reader, business_error, comparison, guard};
use crate::catalog::finding::Rule;
use crate::catalog::narrow::keeps_guard;
use crate::catalog::statement::Output;
use crate::catalog::{
    BusinessError, Comparison, Guard, Kind, Plan, Scalar, Step, StepKind, StepValue, When,
};

/// Most steps of a transaction.
const STEP_COUNT_MAX: usize = 32;

/// A step as those after it see it.
#[derive(Debug)]
pub(crate) struct Earlier {
    name: Box<str>,
    kind: StepKind,
    each: bool,
    /// What it selects; `None`: its own faults keep that from being known, and no other is told for it.
    outputs: Option<Vec<Output>>,
    /// What the RETURNING of a write gives.
    returning: Vec<Box<str>>,
    /// The columns that others use.
    columns: RefCell<Vec<Box<str>>>,
}

impl Earlier {
    /// Its number of rows, or a column of its first one; else what is wrong and how to mend it.
    fn value(&self, member: &str) -> Result<StepValue, (String, String)> {
        if member == "affected" {
            return Ok(StepValue::Affected);
        }
        let (name, lower) = (&self.name, member.to_ascii_lowercase());
        let Some(outputs) = &self.outputs else {
            return Ok(StepValue::Column(self.remember(lower.into())));
        };
        if self.returning.iter().any(|one| **one == *lower) && !self.each {
            return Ok(StepValue::Column(self.remember(lower.into())));
        }
        if self.kind == StepKind::Exec {
            let fix = format!("use `{name}.affected`, or read the value in a step of its own");
            return Err((format!("`{name}` writes, and has no column `{member}`"), fix));
        }
        if self.each {
            let message = format!("`{name}` runs for many rows, and `{member}` has many values");
            return Err((message, format!("use `{name}.affected`")));
        }
        let named =
            |output: &&Output| matches!(output, Output::Named { name, .. } if *name == lower);
        match outputs.iter().filter(named).count() {
            1 => Ok(StepValue::Column(self.remember(lower.into()))),
            0 => {
                let fix = format!("select it, and name the columns: `SELECT … AS {lower}`");
                Err((format!("`{name}` selects no column `{lower}`"), fix))
            }
            _ => {
                let fix = "give one of them another name".to_owned();
                Err((format!("`{name}` selects `{lower}` twice"), fix))
            }
        }
    }

    fn remember(&self, column: Box<str>) -> usize {
        let mut columns = self.columns.borrow_mut();
        columns.iter().position(|one| *one == column).unwrap_or_else(|| {
            columns.push(column);
            columns.len() - 1
        })
    }
}

/// The value `name.member` of a step: its index and what of it.
pub(super) fn value_of(
    earlier: &[Earlier],
    name: &str,
    member: &str,
) -> Result<(usize, StepValue), (String, String)> {
    let Some(index) = earlier.iter().position(|step| &*step.name == name) else {
        let message = format!("`{name}` is not an earlier step");
        return Err((message, "name a step that stands above".to_owned()));
    };
    let step = earlier.get(index).map_or(Ok(StepValue::Affected), |step| step.value(member));
    step.map(|value| (index, value))
}

/// A `-- @step` line, read.
#[derive(Debug)]
struct Line {
    kind: StepKind,
    each: Option<usize>,
    guard: Option<Guard>,
    on_duplicate: Option<BusinessError>,
    when: Option<When>,
}

impl Compiler<'_, '_> {
    /// Compiles the steps of a `tx`.
    pub(super) fn steps(&mut self, slots: &Slots) -> Option<Parts> {
        let chunks = chunks(self.resolved, self.findings)?;
        if chunks.is_empty() || chunks.len() > STEP_COUNT_MAX {
            let place = self.resolved.body.as_ref()?.place();
            let fix =
                format!("write 1 to {STEP_COUNT_MAX}, each below a line `-- @step name kind`");
            self.findings.error(Rule::Step, &place, format!("{} steps", chunks.len()), fix);
        }
        let mut parts = Parts::default();
        let mut earlier: Vec<Earlier> = Vec::with_capacity(chunks.len());
        for chunk in &chunks {
            let line = self.line(chunk, &earlier, slots);
            let cut = self.statement_of(chunk, line.as_ref(), (&earlier, slots));
            let known = line.as_ref().zip(cut.as_ref());
            earlier.push(Earlier {
                name: chunk.name.clone(),
                kind: line.as_ref().map_or(StepKind::Exec, |line| line.kind),
                each: line.as_ref().is_some_and(|line| line.each.is_some()),
                outputs: known.map(|(_, cut)| cut.statement.outputs()),
                returning: known.map_or_else(Vec::new, |(_, cut)| cut.returning.names.clone()),
                columns: RefCell::default(),
            });
            if let Some((line, cut)) = line.zip(cut) {
                self.step(chunk, (line, cut), &mut parts, slots);
            }
        }
        self.step_outputs(&parts);
        parts.columns = self.declared_columns();
        parts.returns = self.returns(&earlier, &parts.columns);
        // Steps with faults are not in `parts`, and then nothing of it is used.
        for (step, seen) in parts.steps.iter_mut().zip(earlier) {
            step.columns = seen.columns.into_inner();
        }
        Some(parts)
    }

    /// Cuts a step's statement; of a line with a fault as well, so that its parameters count as used.
    fn statement_of<'a>(
        &mut self,
        chunk: &'a Chunk,
        line: Option<&Line>,
        (earlier, slots): (&[Earlier], &Slots),
    ) -> Option<CutBody<'a>> {
        let around = Around {
            body: &chunk.body,
            dialect: self.resolved.dialect,
            writes: line.is_some_and(|line| line.kind == StepKind::Exec),
            slots,
            rows: line.and_then(|line| line.each),
            earlier: Some(earlier),
        };
        let cut = body::cut(around, self.findings)?;
        if let Some(line) = line {
            let kind = if line.kind == StepKind::Exec { Kind::Exec } else { Kind::Many };
            if cut.statement.code.is_empty() {
                let fix = "write its statement below, or remove the line";
                self.findings.error(Rule::Step, &chunk.place, "a step without SQL", fix);
            } else {
                self.statement(kind, &chunk.body, &cut);
            }
        }
        Some(cut)
    }

    fn step(
        &mut self,
        chunk: &Chunk,
        (line, mut cut): (Line, CutBody<'_>),
        parts: &mut Parts,
        slots: &Slots,
    ) {
        self.optional_lists(slots, &cut.pieces, &chunk.body);
        // No step is a page: markers of one are findings.
        self.page(Kind::Tx, slots, &[], &cut);
        let dialect = self.resolved.dialect;
        let returning = self.step_returning(&chunk.name, &cut);
        let fold = fold::fold(&cut.pieces, dialect).filter(|_| returning.is_empty());
        let pieces = std::mem::take(&mut cut.pieces);
        let plan = Plan { pieces, nonempty: cut.nonempty, fold, ..Plan::default() };
        self.placeholders(&plan, slots, &chunk.body);
        parts.absorb(&mut cut);
        parts.step_places.push(chunk.place.clone());
        parts.steps.push(Step {
            name: chunk.name.clone(),
            kind: line.kind,
            each: line.each,
            guard: line.guard,
            on_duplicate: line.on_duplicate,
            when: line.when,
            columns: Vec::new(),
            returning,
            plan: plan.sealed(dialect),
        });
    }

    /// A chunk's `-- @step` line; a fault becomes a finding.
    fn line(&mut self, chunk: &Chunk, earlier: &[Earlier], slots: &Slots) -> Option<Line> {
        if earlier.iter().any(|step| step.name == chunk.name) {
            let message = format!("a second step `{}`", chunk.name);
            self.findings.error(Rule::Step, &chunk.place, message, "give it another name");
        }
        if slots.list.iter().any(|slot| slot.name == chunk.name && !slot.ty.is_single()) {
            let message = format!("`{}` is a parameter with many values already", chunk.name);
            self.findings.error(Rule::Step, &chunk.place, message, "give the step another name");
        }
        match line(&chunk.header, earlier, slots) {
            Ok(line) => {
                self.replaces(chunk, &line, (earlier, slots));
                Some(line)
            }
            Err(fault) => {
                let place = chunk.place_of(fault.at);
                self.findings.error(Rule::Step, &place, fault.message, fault.fix);
                None
            }
        }
    }

    /// A step that stands in another's place is of its kind, and has its guard.
    fn replaces(&mut self, chunk: &Chunk, over: &Line, (earlier, slots): (&[Earlier], &Slots)) {
        let Some((header, place)) = &chunk.replaced else { return };
        let Ok(base) = line(header, earlier, slots) else { return };
        let message = if (base.kind, base.each) != (over.kind, over.each) {
            "does not run what the base's step runs"
        } else if !keeps_guard(base.guard.as_ref(), over.guard.as_ref()) {
            "has not the guard of the base's step"
        } else {
            return;
        };
        let message = format!("step `{}` {message}", chunk.name);
        let fix = format!("write kind, `each` and condition as at {place}");
        self.findings.error(Rule::Override, &chunk.place, message, fix);
    }

    /// Whether some guard, the kind's or a step's, can fail.
    pub(super) fn has_guard(&self, parts: &Parts) -> bool {
        self.kind().is_some_and(|decl| decl.guard.is_some())
            || parts.steps.iter().any(|step| step.guard.is_some())
            || parts.procedure.as_ref().is_some_and(|procedure| !procedure.guards.is_empty())
    }
}

/// Reads what follows `-- @step name`.
fn line(header: &str, earlier: &[Earlier], slots: &Slots) -> Result<Line, Fault> {
    let mut reader = Reader::new(header);
    reader.name()?;
    let kinds = [
        ("one", StepKind::One),
        ("optional", StepKind::Optional),
        ("many", StepKind::Many),
        ("exec", StepKind::Exec),
    ];
    let Some((_, kind)) = kinds.into_iter().find(|(word, _)| reader.eat_word(word)) else {
        return reader.fault("a step's kind is missing", "use one, optional, many, exec");
    };
    let each = if reader.eat_word("each") { Some(rows(&mut reader, slots)?) } else { None };
    let guard = guarded(&mut reader, kind)?;
    let mut on_duplicate = None;
    if reader.eat_word("on") {
        if kind != StepKind::Exec {
            return reader.fault("a read meets no duplicate key", "remove `on duplicate_key …`");
        }
        reader.expect_word("duplicate_key")?;
        reader.expect_word("else")?;
        on_duplicate = Some(business_error(&mut reader, 409)?);
    }
    let when = if reader.eat_word("when") { Some(when(&mut reader, earlier)?) } else { None };
    reader.end()?;
    Ok(Line { kind, each, guard, on_duplicate, when })
}

fn rows(reader: &mut Reader<'_>, slots: &Slots) -> Result<usize, Fault> {
    let at = reader.at();
    let name = reader.name()?;
    slots.rows(name).ok_or_else(|| {
        let message = format!("`{name}` is not a parameter of rows");
        Fault::new(at, message, format!("declare it: `-- @param {name} rows(…)`"))
    })
}

/// `affected = 1 else …` of a write, `rows >= 1 else …` of a read; `one else …`, which needs a row.
fn guarded(reader: &mut Reader<'_>, kind: StepKind) -> Result<Option<Guard>, Fault> {
    let (word, other) =
        if kind == StepKind::Exec { ("affected", "rows") } else { ("rows", "affected") };
    let mut read = guard(reader, word)?;
    if read.is_none() && reader.eat_word(other) {
        let message = format!("this step has no `{other}`");
        return reader.fault(message, format!("write `{word}`: writes affect, reads have rows"));
    }
    if !reader.eat_word("else") {
        return Ok(read);
    }
    if read.is_none() && kind == StepKind::One {
        read = Some(Guard { comparison: Comparison::Ge, count: 1, error: None });
    }
    let Some(guard) = read else {
        return reader
            .fault("`else`, and no condition before it", format!("write `{word} = 1 else …`"));
    };
    let status = if kind == StepKind::One { 404 } else { 409 };
    Ok(Some(Guard { error: Some(business_error(reader, status)?), ..guard }))
}

/// `credit.affected = 0`, `before.state = 'open'`.
fn when(reader: &mut Reader<'_>, earlier: &[Earlier]) -> Result<When, Fault> {
    let at = {
        reader.rest();
        reader.at()
    };
    let name = reader.name()?;
    reader.expect(".")?;
    let member = reader.name()?;
    let (step, value) =
        value_of(earlier, name, member).map_err(|(message, fix)| Fault::new(at, message, fix))?;
    let comparison = comparison(reader)?;
    reader.rest();
    let at = reader.at();
    let is_text = reader.rest().starts_with(['\'', '"']);
    let text = reader.text()?;
    let literal = if is_text {
        Scalar::Str(text.into())
    } else {
        let number = text.parse().map(Scalar::Int);
        number.map_err(|error| {
            let fix = "write a whole number, or a text in quotes";
            Fault::new(at, format!("`{text}` is no literal: {error}"), fix)
        })?
    };
    if value == StepValue::Affected && is_text {
        return Err(Fault::new(at, "a number of rows is no text", "compare it with a number"));
    }
    Ok(When { step, value, comparison, literal })
}
