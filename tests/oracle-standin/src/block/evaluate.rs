//! Expressions and SQL of a block: variables and binds become parameters of PostgreSQL's statements.

use super::run::{Cell, Run, no_data};
use crate::error::OracleError;
use crate::execute;
use crate::rewrite::lexer::Token;
use crate::rewrite::{self, Action, Part, kind};
use crate::row;
use crate::session::{Answer, Command, Commits, Session};
use crate::value::{Kind, Value};

impl Run<'_> {
    /// A whole number.
    ///
    /// # Errors
    /// ORA-06502: it is none.
    pub fn integer(&mut self, tokens: &[Token]) -> Result<i64, OracleError> {
        let wrong = || OracleError::new(6502, "PL/SQL: numeric or value error");
        match self.evaluate(tokens)?.value {
            Value::Number(text) | Value::Text(text) => text.parse().map_err(|_no_integer| wrong()),
            _ => Err(wrong()),
        }
    }

    /// A text; NULL is the empty one.
    ///
    /// # Errors
    /// What the expression fails with.
    pub fn text(&mut self, tokens: &[Token]) -> Result<String, OracleError> {
        Ok(self.evaluate(tokens)?.value.postgres_text().unwrap_or_default())
    }

    /// Whether a condition holds; NULL does not.
    pub(super) fn is_true(&mut self, condition: &[Token]) -> Result<bool, OracleError> {
        let mut tokens = vec![Token::Made("CASE WHEN".to_owned())];
        tokens.extend_from_slice(condition);
        tokens.push(Token::Made("THEN 1 ELSE 0 END".to_owned()));
        Ok(self.evaluate(&tokens)?.value == Value::Number("1".to_owned()))
    }

    /// The value of an expression.
    ///
    /// # Errors
    /// What PostgreSQL says of it.
    pub fn evaluate(&mut self, expression: &[Token]) -> Result<Cell, OracleError> {
        let (tokens, operands) = self.operands(expression);
        match tokens.as_slice() {
            [Token::Bind(index)] => {
                if let Some(cell) = operands.get(*index) {
                    return Ok(cell.clone());
                }
            }
            [Token::Text(text)] => {
                return Ok(Cell { kind: Kind::Text, value: Value::text(text.clone()) });
            }
            [Token::Number(number)] => {
                return Ok(Cell { kind: Kind::Number, value: Value::Number(number.clone()) });
            }
            [token] if token.is("NULL") => {
                return Ok(Cell { kind: Kind::Text, value: Value::Null });
            }
            _ => {}
        }
        let mut query = vec![Token::Word("SELECT".to_owned())];
        query.extend(tokens);
        let answer = self.run_tokens(query, &operands)?.1;
        let row = answer.rows.first().ok_or_else(no_data)?;
        let value = row::value(row, 0, self.session.offset_minutes)?;
        let kind = match &value {
            Value::Number(_) => Kind::Number,
            Value::Double(_) => Kind::Double,
            Value::Moment(_, with_zone) => {
                if *with_zone {
                    Kind::TimestampZone
                } else {
                    Kind::Timestamp
                }
            }
            Value::Bytes(_) => Kind::Bytes,
            Value::Boolean(_) => Kind::Boolean,
            Value::Null | Value::Text(_) => Kind::Text,
        };
        Ok(Cell { kind, value })
    }

    /// Puts values in the place of variables, binds, and what SQL says about itself.
    pub(super) fn operands(&self, tokens: &[Token]) -> (Vec<Token>, Vec<Cell>) {
        let mut made = Vec::with_capacity(tokens.len());
        let mut cells: Vec<Cell> = Vec::new();
        let mut skipped = 0;
        for (index, token) in tokens.iter().enumerate() {
            if skipped > 0 {
                skipped -= 1;
                continue;
            }
            let next = tokens.get(index + 1);
            let is_part = next.is_some_and(|next| next.is_symbol(".") || next.is_symbol("("))
                || index
                    .checked_sub(1)
                    .and_then(|before| tokens.get(before))
                    .is_some_and(|before| before.is_symbol("."));
            let mut operand = |cell: Cell| {
                cells.push(cell);
                Token::Bind(cells.len() - 1)
            };
            made.push(match token {
                Token::Bind(occurrence) => match self.binds.get(*occurrence) {
                    Some((_, cell)) => operand(cell.clone()),
                    None => token.clone(),
                },
                token if token.is("SQL") && next.is_some_and(|next| next.is_symbol("%")) => {
                    skipped = 2;
                    let found = self.row_count > 0;
                    let truth =
                        |truth: bool| Token::Made(if truth { "TRUE" } else { "FALSE" }.to_owned());
                    match tokens.get(index + 2) {
                        Some(name) if name.is("FOUND") => truth(found),
                        Some(name) if name.is("NOTFOUND") => truth(!found),
                        _ => Token::Number(self.row_count.to_string()),
                    }
                }
                token if token.is("SQLCODE") => {
                    // Oracle's numbers are negative here, but for the one that is positive.
                    let code = self.error.as_ref().map_or(0, |error| error.code);
                    Token::Made(format!("({})", if code == 1403 { 100 } else { -code }))
                }
                token if token.is("SQLERRM") => Token::Text(
                    self.error.as_ref().map_or_else(String::new, |error| error.message.clone()),
                ),
                Token::Word(word) if !is_part => match self.variable(&word.to_uppercase()) {
                    Some(cell) => operand(cell.clone()),
                    None => token.clone(),
                },
                other => other.clone(),
            });
        }
        (made, cells)
    }

    fn variable(&self, name: &str) -> Option<&Cell> {
        self.scopes.iter().rev().find_map(|scope| scope.get(name))
    }

    /// Runs a statement whose binds are numbers of operands.
    pub(super) fn run_tokens(
        &mut self,
        tokens: Vec<Token>,
        operands: &[Cell],
    ) -> Result<(Option<tokio_postgres::Statement>, Answer), OracleError> {
        let program = rewrite::program_of(tokens, vec![String::new(); operands.len()]);
        let none = Answer { rows: Vec::new(), count: 0 };
        match program.action.clone()? {
            Action::Commit | Action::Rollback if self.session.commits == Commits::Client => {
                let verb = if program.kind == kind::COMMIT { "COMMIT" } else { "ROLLBACK" };
                let text = format_args!("cannot {verb} in current PL/SQL session");
                Err(OracleError::new(34, text))
            }
            Action::Commit => self.session.commit().map(|()| (None, none)),
            Action::Rollback => self.session.rollback().map(|()| (None, none)),
            Action::Savepoint(sql) => self.session.savepoint(&sql).map(|()| (None, none)),
            Action::Run(parts, effect) => {
                let mut last = (None, none);
                for part in &parts {
                    let (kinds, values) = parameters(part, operands);
                    let wait_seconds = program.wait_seconds;
                    let command = Command { sql: &part.sql, kinds: &kinds, effect, wait_seconds };
                    last = run_one(self.session, &command, &values)?;
                }
                Ok(last)
            }
            other => Err(OracleError::not_imitated(format_args!("{other:?} in a block"))),
        }
    }
}

fn run_one(
    session: &mut Session,
    command: &Command<'_>,
    values: &[Value],
) -> Result<(Option<tokio_postgres::Statement>, Answer), OracleError> {
    let (mut answers, statement) = execute::run_converted(session, command, &[values.to_vec()])?;
    Ok((Some(statement), answers.pop().unwrap_or(Answer { rows: Vec::new(), count: 0 })))
}

fn parameters(part: &Part, operands: &[Cell]) -> (Vec<Kind>, Vec<Value>) {
    let none = Cell { kind: Kind::Text, value: Value::Null };
    let cells = part.parameters.iter().map(|index| operands.get(*index).unwrap_or(&none));
    cells.map(|cell| (cell.kind, cell.value.clone())).unzip()
}

/// What a variable of a type is declared as.
pub fn kind_of(data_type: &[Token]) -> Kind {
    let is_copied = data_type.iter().any(|token| token.is_symbol("%"));
    match data_type.first() {
        _ if is_copied => Kind::Text,
        Some(token)
            if token.is_any(&[
                "NUMBER",
                "INTEGER",
                "PLS_INTEGER",
                "BINARY_INTEGER",
                "INT",
                "DECIMAL",
                "NUMERIC",
            ]) =>
        {
            Kind::Number
        }
        Some(token) if token.is_any(&["DATE", "TIMESTAMP"]) => Kind::Timestamp,
        Some(token) if token.is_any(&["RAW", "BLOB"]) => Kind::Bytes,
        Some(token) if token.is_any(&["BINARY_DOUBLE", "BINARY_FLOAT", "FLOAT"]) => Kind::Double,
        Some(token) if token.is("BOOLEAN") => Kind::Boolean,
        _ => Kind::Text,
    }
}
