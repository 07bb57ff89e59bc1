//! Stored procedures: their text is kept in a table, and read again at each call.

use std::collections::BTreeMap;

use super::arguments;
use super::evaluate::kind_of;
use super::parse::Reader;
use super::run::{Cell, Run};
use super::{Block, Target};
use crate::error::OracleError;
use crate::rewrite::lexer::{Token, lex};
use crate::row;
use crate::session::{Command, Effect, Session};
use crate::value::{Kind, Value};

/// A parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, in capitals.
    pub name: String,
    /// Its type's tokens.
    pub data_type: Vec<Token>,
    /// Whether a value goes in.
    pub is_in: bool,
    /// Whether one comes back.
    pub is_out: bool,
    /// What is passed where nothing is.
    pub default: Vec<Token>,
}

/// A procedure.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Procedure {
    name: String,
    parameters: Vec<Parameter>,
    block: Block,
}

/// Reads `CREATE [OR REPLACE] PROCEDURE name (…) IS …`.
fn read(text: &str) -> Result<Procedure, OracleError> {
    let lexed = lex(text)?;
    let mut reader = Reader::new(&lexed.tokens);
    for keyword in ["CREATE", "OR", "REPLACE", "EDITIONABLE", "NONEDITIONABLE", "PROCEDURE"] {
        reader.take(keyword);
    }
    let name = reader.name()?;
    let header = reader.until(&["IS", "AS"], &[]);
    let inner = header
        .split_first()
        .zip(header.len().checked_sub(1))
        .map(|((_, rest), end)| rest.get(..end.saturating_sub(1)).unwrap_or_default());
    let mut parameters = Vec::new();
    for tokens in crate::rewrite::expression::split(inner.unwrap_or_default()) {
        if tokens.is_empty() {
            continue;
        }
        let mut reader = Reader::new(&tokens);
        let name = reader.name()?;
        let says_in = reader.take("IN");
        let is_out = reader.take("OUT");
        reader.take("NOCOPY");
        let data_type = reader.until(&["DEFAULT"], &[":="]);
        let rest = reader.until(&[], &[]);
        let default = rest.split_first().map(|(_, rest)| rest.to_vec()).unwrap_or_default();
        let is_in = says_in || !is_out;
        parameters.push(Parameter { name, data_type, is_in, is_out, default });
    }
    if !reader.take("IS") {
        reader.take("AS");
    }
    Ok(Procedure { name, parameters, block: reader.block()? })
}

/// Keeps a procedure, when it can be read.
///
/// # Errors
/// ORA-06550: it cannot.
pub fn create(session: &mut Session, text: &str) -> Result<(), OracleError> {
    let procedure = read(text)?;
    let sql = "INSERT INTO oracle_standin.source (owner, name, source) VALUES (current_schema(), $1, $2) \
               ON CONFLICT (owner, name) DO UPDATE SET source = excluded.source";
    let kinds = [Kind::DeclaredText, Kind::DeclaredText];
    let command = Command { sql, kinds: &kinds, effect: Effect::Schema, wait_seconds: None };
    arguments::tell(session, &procedure.name, &procedure.parameters)?;
    session.run(&command, &[Value::Text(procedure.name), Value::Text(text.to_owned())]).map(drop)
}

/// Forgets a procedure.
///
/// # Errors
/// ORA-04043: there is none.
pub fn drop_named(session: &mut Session, name: &str) -> Result<(), OracleError> {
    let sql = "DELETE FROM oracle_standin.source WHERE owner = current_schema() AND name = $1";
    let command =
        Command { sql, kinds: &[Kind::DeclaredText], effect: Effect::Schema, wait_seconds: None };
    arguments::forget(session, name)?;
    let (answer, _) = session.run(&command, &[Value::Text(name.to_owned())])?;
    if answer.count == 0 {
        return Err(OracleError::new(4043, format_args!("object {name} does not exist")));
    }
    Ok(())
}

fn find(session: &mut Session, name: &str) -> Result<Procedure, OracleError> {
    let unknown =
        || OracleError::new(6550, format_args!("PLS-00201: identifier '{name}' must be declared"));
    let own = name.rsplit('.').next().unwrap_or(name);
    let sql =
        "SELECT source FROM oracle_standin.source WHERE owner = current_schema() AND name = $1";
    let command =
        Command { sql, kinds: &[Kind::DeclaredText], effect: Effect::Read, wait_seconds: None };
    let (answer, _) = session.run(&command, &[Value::Text(own.to_owned())])?;
    let row = answer.rows.first().ok_or_else(unknown)?;
    match row::value(row, 0, 0)? {
        Value::Text(source) => read(&source),
        _ => Err(unknown()),
    }
}

/// Calls a procedure: values go in, and what its OUT parameters hold comes back.
///
/// # Errors
/// ORA-06550: there is none of that name, or it takes other arguments; or what it fails with.
pub fn call(run: &mut Run<'_>, name: &str, arguments: &[Vec<Token>]) -> Result<(), OracleError> {
    let procedure = find(run.session, name)?;
    let wrong = || {
        OracleError::new(
            6550,
            format_args!("PLS-00306: wrong number or types of arguments in call to '{name}'"),
        )
    };
    let mut given: BTreeMap<String, Vec<Token>> = BTreeMap::new();
    for (index, argument) in arguments.iter().enumerate() {
        let (name, value) = match argument.as_slice() {
            [Token::Word(name), Token::Symbol("=>"), value @ ..] => {
                (name.to_uppercase(), value.to_vec())
            }
            value => {
                (procedure.parameters.get(index).ok_or_else(wrong)?.name.clone(), value.to_vec())
            }
        };
        given.insert(name, value);
    }
    let mut variables = BTreeMap::new();
    let mut outs: Vec<(String, Target)> = Vec::new();
    let mut cursors = BTreeMap::new();
    for parameter in &procedure.parameters {
        let argument = given.remove(&parameter.name).unwrap_or_else(|| parameter.default.clone());
        if argument.is_empty() {
            return Err(wrong());
        }
        let is_cursor = parameter.data_type.first().is_some_and(|token| token.is("SYS_REFCURSOR"));
        if is_cursor && let [Token::Bind(occurrence)] = argument.as_slice() {
            cursors.insert(parameter.name.clone(), *occurrence);
            continue;
        }
        // What is OUT alone begins as NULL, whatever the bind holds.
        let value = if parameter.is_in { run.evaluate(&argument)?.value } else { Value::Null };
        if parameter.is_out {
            outs.push((parameter.name.clone(), Reader::new(&argument).target()?));
        }
        variables
            .insert(parameter.name.clone(), Cell { kind: kind_of(&parameter.data_type), value });
    }
    if !given.is_empty() {
        return Err(wrong());
    }
    let variables = run.within(variables, cursors, &procedure.block)?;
    for (name, target) in outs {
        let value = variables.get(&name).map_or(Value::Null, |cell| cell.value.clone());
        run.assign(&target, value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn procedures_are_read_with_their_parameters() {
        let text = "CREATE OR REPLACE PROCEDURE pay(p_id IN NUMBER, p_sum NUMBER DEFAULT 1, p_left IN OUT NOCOPY NUMBER,
            p_rows OUT SYS_REFCURSOR) AS v NUMBER; BEGIN p_left := p_left - p_sum; END pay;";
        let procedure = read(text).unwrap();
        let told: Vec<(&str, bool, usize)> = procedure
            .parameters
            .iter()
            .map(|parameter| (parameter.name.as_str(), parameter.is_out, parameter.default.len()))
            .collect();
        assert_eq!(
            told,
            [("P_ID", false, 0), ("P_SUM", false, 1), ("P_LEFT", true, 0), ("P_ROWS", true, 0)]
        );
        assert_eq!(procedure.block.declarations.len(), 1);
        let bare = read("create procedure p is begin null; end;").unwrap();
        assert!(bare.parameters.is_empty());
        assert_eq!(read("CREATE PROCEDURE p IS BEGIN NULL END;").unwrap_err().code, 6550);
    }
}
