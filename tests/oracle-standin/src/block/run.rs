//! Runs a block: its expressions and its SQL are PostgreSQL's statements, one by one.

use std::collections::BTreeMap;

use super::evaluate::kind_of;
use super::parse;
use super::{Block, Declaration, Step, Target, builtin, procedure};
use crate::error::OracleError;
use crate::rewrite::lexer::{Token, lex};
use crate::row;
use crate::session::Session;
use crate::value::{Kind, Value};

/// A variable or a bind: its value, and what it is declared as.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// What it is declared as.
    pub kind: Kind,
    /// What it holds.
    pub value: Value,
}

/// What OPEN gives to a bind: rows and what they were selected by.
pub type Cursor = (tokio_postgres::Statement, Vec<tokio_postgres::Row>);

/// A block that runs.
#[derive(Debug)]
pub struct Run<'s> {
    /// Where its SQL runs.
    pub session: &'s mut Session,
    /// Variables of the blocks around, the innermost last.
    pub(super) scopes: Vec<BTreeMap<String, Cell>>,
    exceptions: Vec<(String, i32)>,
    /// The client's binds, by occurrence: which of them are one is told by their names.
    pub binds: Vec<(String, Cell)>,
    /// Parameters that are cursors of the client's: which occurrence of a bind each is.
    aliases: BTreeMap<String, usize>,
    /// Cursors that were opened into binds, by occurrence.
    pub cursors: Vec<(usize, Cursor)>,
    /// What is being handled.
    pub(super) error: Option<OracleError>,
    /// `SQL%ROWCOUNT`.
    pub row_count: u64,
}

/// How a statement ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// The next one follows.
    Next,
    /// The loop around it is left.
    Exit,
    /// The block or the procedure is left.
    Return,
}

impl<'s> Run<'s> {
    /// Begins, with the client's binds.
    pub const fn new(session: &'s mut Session, binds: Vec<(String, Cell)>) -> Self {
        Self {
            session,
            scopes: Vec::new(),
            exceptions: Vec::new(),
            binds,
            aliases: BTreeMap::new(),
            cursors: Vec::new(),
            error: None,
            row_count: 0,
        }
    }

    /// Runs a block in variables of its own.
    ///
    /// # Errors
    /// What no handler took.
    pub fn block(&mut self, block: &Block) -> Result<Flow, OracleError> {
        self.scopes.push(BTreeMap::new());
        let known = self.exceptions.len();
        self.exceptions.extend(block.exceptions.iter().cloned());
        let result = self.block_within(block);
        self.exceptions.truncate(known);
        self.scopes.pop();
        result
    }

    fn block_within(&mut self, block: &Block) -> Result<Flow, OracleError> {
        for declaration in &block.declarations {
            self.declare(declaration)?;
        }
        let error = match self.steps(&block.steps) {
            Err(error) if !error.ends_session() && !matches!(error.code, 1013 | 3156 | 12161) => {
                error
            }
            other => return other,
        };
        let handler = block
            .handlers
            .iter()
            .find(|(names, _)| names.iter().any(|name| self.is_named(name, &error)));
        let Some((_, steps)) = handler else { return Err(error) };
        let around = self.error.replace(error);
        let result = self.steps(steps);
        self.error = around;
        result
    }

    fn is_named(&self, name: &str, error: &OracleError) -> bool {
        let code = match name {
            "OTHERS" => return true,
            "DUP_VAL_ON_INDEX" => 1,
            "NO_DATA_FOUND" => 1403,
            "TOO_MANY_ROWS" => 1422,
            "ZERO_DIVIDE" => 1476,
            "INVALID_NUMBER" => 1722,
            "VALUE_ERROR" => 6502,
            "TIMEOUT_ON_RESOURCE" => 51,
            _ => match self.exceptions.iter().rev().find(|(own, _)| own == name) {
                Some((_, code)) => *code,
                None => return false,
            },
        };
        error.code == code
    }

    fn declare(&mut self, declaration: &Declaration) -> Result<(), OracleError> {
        let kind = kind_of(&declaration.data_type);
        let value = if declaration.value.is_empty() {
            Value::Null
        } else {
            self.evaluate(&declaration.value)?.value
        };
        self.set_variable(declaration.name.clone(), Cell { kind, value });
        Ok(())
    }

    /// Makes or changes a variable of the innermost block.
    pub fn set_variable(&mut self, name: String, cell: Cell) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name, cell);
        }
    }

    fn steps(&mut self, steps: &[Step]) -> Result<Flow, OracleError> {
        for step in steps {
            match self.step(step)? {
                Flow::Next => {}
                other => return Ok(other),
            }
        }
        Ok(Flow::Next)
    }

    fn step(&mut self, step: &Step) -> Result<Flow, OracleError> {
        match step {
            Step::Null => {}
            Step::Assign(target, expression) => {
                let value = self.evaluate(expression)?.value;
                self.assign(target, value)?;
            }
            Step::Sql(tokens, targets) => self.sql(tokens, targets)?,
            Step::Immediate(text, targets, using) => self.immediate(text, targets, using)?,
            Step::If(branches, otherwise) => {
                for (condition, steps) in branches {
                    if self.is_true(condition)? {
                        return self.steps(steps);
                    }
                }
                return self.steps(otherwise);
            }
            Step::Range(name, low, high, steps) => return self.range(name, low, high, steps),
            Step::While(condition, steps) => {
                while condition.is_empty() || self.is_true(condition)? {
                    match self.steps(steps)? {
                        Flow::Next => {}
                        Flow::Exit => break,
                        Flow::Return => return Ok(Flow::Return),
                    }
                }
            }
            Step::Exit(condition) => {
                if condition.is_empty() || self.is_true(condition)? {
                    return Ok(Flow::Exit);
                }
            }
            Step::Raise(name) => return Err(self.raised(name.as_deref())),
            Step::Call(name, arguments) => self.call(name, arguments)?,
            Step::Open(target, query) => self.open(target, query)?,
            Step::Return => return Ok(Flow::Return),
            Step::Block(block) => return self.block(block),
        }
        Ok(Flow::Next)
    }

    fn range(
        &mut self,
        name: &str,
        low: &[Token],
        high: &[Token],
        steps: &[Step],
    ) -> Result<Flow, OracleError> {
        let (low, high) = (self.integer(low)?, self.integer(high)?);
        for number in low..=high {
            self.scopes.push(BTreeMap::new());
            let value = Value::Number(number.to_string());
            self.set_variable(name.to_owned(), Cell { kind: Kind::Number, value });
            let flow = self.steps(steps);
            self.scopes.pop();
            match flow? {
                Flow::Next => {}
                Flow::Exit => break,
                Flow::Return => return Ok(Flow::Return),
            }
        }
        Ok(Flow::Next)
    }

    fn raised(&self, name: Option<&str>) -> OracleError {
        let Some(name) = name else {
            return self
                .error
                .clone()
                .unwrap_or_else(|| OracleError::new(6550, "RAISE outside of a handler"));
        };
        let known = self.exceptions.iter().rev().find(|(own, _)| own == name);
        match (known, name) {
            (Some((_, code)), _) => {
                OracleError::new(*code, "PL/SQL: unhandled user-defined exception")
            }
            (None, "NO_DATA_FOUND") => no_data(),
            (None, other) => {
                OracleError::new(6550, format_args!("identifier '{other}' must be declared"))
            }
        }
    }

    fn call(&mut self, name: &str, arguments: &[Vec<Token>]) -> Result<(), OracleError> {
        if builtin::call(self, name, arguments)? {
            return Ok(());
        }
        procedure::call(self, name, arguments)
    }

    /// Gives a value to a variable or a bind.
    ///
    /// # Errors
    /// ORA-06550: there is no such variable.
    pub fn assign(&mut self, target: &Target, value: Value) -> Result<(), OracleError> {
        match target {
            Target::Variable(name) => {
                let cell = self.scopes.iter_mut().rev().find_map(|scope| scope.get_mut(name));
                let unknown = || {
                    OracleError::new(
                        6550,
                        format_args!("PLS-00201: identifier '{name}' must be declared"),
                    )
                };
                cell.ok_or_else(unknown)?.value = value;
            }
            Target::Client(occurrence) => {
                let name = self.binds.get(*occurrence).map(|(name, _)| name.clone());
                for (_, cell) in self.binds.iter_mut().filter(|(own, _)| Some(own) == name.as_ref())
                {
                    cell.value = value.clone();
                }
            }
            Target::NewColumn(_) => {
                return Err(OracleError::new(
                    4082,
                    "NEW or OLD references not allowed in table level triggers",
                ));
            }
        }
        Ok(())
    }

    fn sql(&mut self, tokens: &[Token], targets: &[Target]) -> Result<(), OracleError> {
        let returning = parse::returned_targets(tokens)?;
        let (tokens, operands) = self.operands(tokens);
        let (_, answer) = self.run_tokens(tokens, &operands)?;
        self.row_count = answer.count;
        let targets = if targets.is_empty() { returning.as_slice() } else { targets };
        if targets.is_empty() {
            return Ok(());
        }
        if answer.rows.len() > 1 {
            return Err(OracleError::new(
                1422,
                "exact fetch returns more than requested number of rows",
            ));
        }
        let Some(row) = answer.rows.first() else {
            return if returning.is_empty() { Err(no_data()) } else { Ok(()) };
        };
        for (column, target) in targets.iter().enumerate() {
            let value = row::value(row, column, self.session.offset_minutes)?;
            self.assign(target, value)?;
        }
        Ok(())
    }

    fn immediate(
        &mut self,
        text: &[Token],
        targets: &[Target],
        using: &[Vec<Token>],
    ) -> Result<(), OracleError> {
        let text = self.text(text)?;
        let mut cells = Vec::new();
        for argument in using {
            let argument =
                argument.strip_prefix(&[Token::Word("IN".to_owned())]).unwrap_or(argument);
            cells.push(self.evaluate(argument)?);
        }
        let lexed = lex(&text)?;
        if lexed.tokens.first().is_some_and(|token| token.is_any(&["BEGIN", "DECLARE"])) {
            let block = parse::anonymous(&lexed.tokens)?;
            let binds = lexed.binds.into_iter().zip(cells).collect();
            let around = std::mem::replace(&mut self.binds, binds);
            let result = self.block(&block).map(drop);
            self.binds = around;
            return result;
        }
        let (_, answer) = self.run_tokens(lexed.tokens, &cells)?;
        self.row_count = answer.count;
        if targets.is_empty() {
            return Ok(());
        }
        let row = answer.rows.first().ok_or_else(no_data)?;
        for (column, target) in targets.iter().enumerate() {
            let value = row::value(row, column, self.session.offset_minutes)?;
            self.assign(target, value)?;
        }
        Ok(())
    }

    fn open(&mut self, target: &Target, query: &[Token]) -> Result<(), OracleError> {
        let occurrence = match target {
            Target::Client(occurrence) => Some(*occurrence),
            Target::Variable(name) => self.aliases.get(name).copied(),
            Target::NewColumn(_) => None,
        };
        let occurrence = occurrence
            .ok_or_else(|| OracleError::not_imitated("a cursor that is no bind of the client's"))?;
        let (tokens, operands) = self.operands(query);
        let (statement, answer) = self.run_tokens(tokens, &operands)?;
        let statement = statement.ok_or_else(|| OracleError::new(6550, "a query is expected"))?;
        self.cursors.push((occurrence, (statement, answer.rows)));
        Ok(())
    }

    /// Runs the block of a procedure, which sees its parameters and nothing else; returns what they hold then.
    ///
    /// # Errors
    /// What no handler took.
    pub fn within(
        &mut self,
        parameters: BTreeMap<String, Cell>,
        cursors: BTreeMap<String, usize>,
        block: &Block,
    ) -> Result<BTreeMap<String, Cell>, OracleError> {
        let scopes = std::mem::replace(&mut self.scopes, vec![parameters]);
        let exceptions = std::mem::take(&mut self.exceptions);
        let binds = std::mem::take(&mut self.binds);
        let aliases = std::mem::replace(&mut self.aliases, cursors);
        let result = self.block(block);
        let parameters = std::mem::replace(&mut self.scopes, scopes).into_iter().next();
        self.exceptions = exceptions;
        self.binds = binds;
        self.aliases = aliases;
        result.map(|_| parameters.unwrap_or_default())
    }
}

/// A query that was to find a row found none.
pub(super) fn no_data() -> OracleError {
    OracleError::new(1403, "no data found")
}
