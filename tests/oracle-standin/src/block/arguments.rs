//! What the dictionary is told of a procedure's parameters.

use super::procedure::Parameter;
use crate::error::OracleError;
use crate::rewrite::lexer::Token;
use crate::session::{Command, Effect, Session};
use crate::value::{Kind, Value};

/// Forgets what was written of a procedure before.
const FORGET: &str =
    "DELETE FROM oracle_standin.argument WHERE owner = current_schema() AND name = $1";
/// A type that is copied from a column is that column's.
const TELL: &str = "INSERT INTO oracle_standin.argument (owner, name, position, argument, in_out, data_type, defaulted) \
    SELECT current_schema(), $1, $2, $3, $4, coalesce((SELECT regexp_replace(data_type, '[(].*$', '') \
    FROM oracle_standin.all_tab_columns WHERE owner = upper(current_schema()) AND table_name = $6 AND column_name = $7), \
    $5), $8";

/// Writes the parameters down.
///
/// # Errors
/// What PostgreSQL says.
pub fn tell(
    session: &mut Session,
    procedure: &str,
    parameters: &[Parameter],
) -> Result<(), OracleError> {
    let text = |text: &str| Value::Text(text.to_owned());
    run(session, FORGET, &[text(procedure)])?;
    for (position, parameter) in (1..).zip(parameters) {
        let in_out = match (parameter.is_in, parameter.is_out) {
            (true, true) => "IN/OUT",
            (_, true) => "OUT",
            _ => "IN",
        };
        let (table, column) = copied(&parameter.data_type);
        let values = [
            text(procedure),
            Value::Number(i32::to_string(&position)),
            text(&parameter.name),
            text(in_out),
            text(&told(&parameter.data_type)),
            text(&table),
            text(&column),
            text(if parameter.default.is_empty() { "N" } else { "Y" }),
        ];
        run(session, TELL, &values)?;
    }
    Ok(())
}

/// Forgets them.
///
/// # Errors
/// What PostgreSQL says.
pub fn forget(session: &mut Session, procedure: &str) -> Result<(), OracleError> {
    run(session, FORGET, &[Value::Text(procedure.to_owned())])
}

fn run(session: &mut Session, sql: &str, values: &[Value]) -> Result<(), OracleError> {
    let kind = |value: &Value| match value {
        Value::Number(_) => Kind::Number,
        _ => Kind::DeclaredText,
    };
    let kinds: Vec<Kind> = values.iter().map(kind).collect();
    let command = Command { sql, kinds: &kinds, effect: Effect::Schema, wait_seconds: None };
    session.run(&command, values).map(drop)
}

/// The type as the dictionary names it.
fn told(data_type: &[Token]) -> String {
    match data_type.first() {
        Some(token) if token.is("SYS_REFCURSOR") => "REF CURSOR".to_owned(),
        Some(token) if token.is_any(&["INTEGER", "INT", "DECIMAL", "NUMERIC"]) => {
            "NUMBER".to_owned()
        }
        Some(token) if token.is_any(&["PLS_INTEGER"]) => "BINARY_INTEGER".to_owned(),
        Some(Token::Word(word)) => word.to_uppercase(),
        _ => "UNDEFINED".to_owned(),
    }
}

/// Table and column of `table.column%TYPE`.
fn copied(data_type: &[Token]) -> (String, String) {
    match data_type {
        [Token::Word(table), Token::Symbol("."), Token::Word(column), Token::Symbol("%"), ..] => {
            (table.to_uppercase(), column.to_uppercase())
        }
        _ => (String::from(" "), String::from(" ")),
    }
}
