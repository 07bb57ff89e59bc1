//! `@out`, `@guard` and `@on raised`: what a procedure, or a `RETURNING`, gives back and what it means.

use super::column;
use super::reader::{Fault, Reader};
use super::rules::{business_error, comparison};
use crate::catalog::{BusinessError, Column, Comparison, Output};

/// Most columns of a cursor.
const COLUMN_COUNT_MAX: usize = 256;
/// The numbers that programs may raise on Oracle, and by our rule on MySQL.
const RAISED: std::ops::RangeInclusive<u16> = 20_000..=20_999;

/// `@out spent.gold bigint as string`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutputDecl {
    /// The step whose RETURNING it is, of a `tx`.
    pub(crate) step: Option<Box<str>>,
    pub(crate) output: Output,
}

impl OutputDecl {
    /// What tells it from others.
    pub(super) fn title(&self) -> Box<str> {
        match &self.step {
            Some(step) => format!("{step}.{}", self.output.name()).into(),
            None => self.output.name().into(),
        }
    }
}

/// `@guard outcome = 0 else …`.
#[derive(Clone, Debug)]
pub(crate) struct GuardDecl {
    pub(crate) output: Box<str>,
    pub(crate) comparison: Comparison,
    pub(crate) literal: Box<str>,
    pub(crate) error: BusinessError,
}

/// `name type …`, `step.name type …`, `name rows(name type …, …)`.
pub(super) fn output(reader: &mut Reader<'_>) -> Result<OutputDecl, Fault> {
    let mut ahead = reader.clone();
    let first = ahead.name()?;
    if ahead.eat(".") {
        *reader = ahead;
        let output = Output::Value(column::column(reader)?);
        return Ok(OutputDecl { step: Some(first.into()), output });
    }
    if ahead.eat_word("rows") {
        *reader = ahead;
        let (name, columns) = (first.to_ascii_lowercase().into(), rows(reader)?);
        return Ok(OutputDecl { step: None, output: Output::Rows { name, columns } });
    }
    Ok(OutputDecl { step: None, output: Output::Value(column::column(reader)?) })
}

fn rows(reader: &mut Reader<'_>) -> Result<Box<[Column]>, Fault> {
    let at = reader.at();
    reader.expect("(")?;
    let columns = reader.list(column::column)?;
    reader.expect(")")?;
    let is_twice = |(index, one): (usize, &Column)| {
        columns.iter().take(index).any(|other| other.name == one.name)
    };
    if columns.iter().enumerate().any(is_twice) || columns.len() > COLUMN_COUNT_MAX {
        let fix = format!("name each column once, at most {COLUMN_COUNT_MAX}");
        return Err(Fault::new(at, "the columns are not distinct or too many", fix));
    }
    Ok(columns.into())
}

/// `outcome = 0 else 2161 REWARD_TAKEN [409]`.
pub(super) fn guard(reader: &mut Reader<'_>) -> Result<GuardDecl, Fault> {
    let output = reader.name()?.to_ascii_lowercase().into();
    let comparison = comparison(reader)?;
    let literal = reader.text()?.into();
    reader.expect_word("else")?;
    Ok(GuardDecl { output, comparison, literal, error: business_error(reader, 409)? })
}

/// The number behind `raised`.
pub(super) fn raised(reader: &mut Reader<'_>) -> Result<u16, Fault> {
    reader.rest();
    let at = reader.at();
    let number = reader.number()?;
    if !RAISED.contains(&number) {
        let fix = format!(
            "write {} to {}: what RAISE_APPLICATION_ERROR takes, without its minus",
            RAISED.start(),
            RAISED.end()
        );
        return Err(Fault::new(at, format!("no procedure may raise {number}"), fix));
    }
    Ok(number)
}
