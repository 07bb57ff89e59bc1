//! Oracle's SQL made PostgreSQL's: over tokens, never over raw text.
//!
//! [`program`] reads a statement into tokens, changes what the two dialects say differently, and prints the rest as
//! it stands. What neither changes nor exists in PostgreSQL fails there, with an error, not silently.

pub mod ddl;
pub mod dml;
pub mod expression;
pub mod lexer;
pub mod query;
pub mod users;

use crate::block::{self, Block, Step};
use crate::error::OracleError;
use crate::session::Effect;
use crate::settings::COMMIT_IN_PROCEDURE;
use lexer::Token;

/// `OCI_STMT_*`: the kinds of statements that a driver tells apart.
pub mod kind {
    /// Not one of the others: LOCK, COMMENT, TRUNCATE, SET.
    pub const OTHER: u16 = 0;
    /// A query.
    pub const SELECT: u16 = 1;
    /// UPDATE.
    pub const UPDATE: u16 = 2;
    /// DELETE.
    pub const DELETE: u16 = 3;
    /// INSERT.
    pub const INSERT: u16 = 4;
    /// CREATE.
    pub const CREATE: u16 = 5;
    /// DROP.
    pub const DROP: u16 = 6;
    /// ALTER.
    pub const ALTER: u16 = 7;
    /// An anonymous block.
    pub const BEGIN: u16 = 8;
    /// An anonymous block with declarations.
    pub const DECLARE: u16 = 9;
    /// CALL.
    pub const CALL: u16 = 10;
    /// MERGE.
    pub const MERGE: u16 = 16;
    /// ROLLBACK.
    pub const ROLLBACK: u16 = 17;
    /// COMMIT.
    pub const COMMIT: u16 = 21;
}

/// A statement in PostgreSQL's dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its text, with `$1` for its first parameter.
    pub sql: String,
    /// Which occurrence of a bind each parameter is.
    pub parameters: Vec<usize>,
}

/// What is to be done for a statement of Oracle's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Statements of PostgreSQL's, and what they do: one, but for `INSERT ALL` and some of the schema.
    Run(Vec<Part>, Effect),
    /// COMMIT.
    Commit,
    /// ROLLBACK.
    Rollback,
    /// A savepoint of the client's own.
    Savepoint(String),
    /// `SET TRANSACTION`: modes of the transaction that begins.
    Begin(String),
    /// `ALTER SESSION SET name = value …`.
    SetSession(Vec<(String, String)>),
    /// A block of PL/SQL.
    Block(Block),
    /// `CREATE PROCEDURE`: its text is read when it is made, and at each call.
    CreateProcedure,
    /// `DROP PROCEDURE`, by its name in capitals.
    DropProcedure(String),
    /// `EXPLAIN PLAN`: its `STATEMENT_ID`, and what PostgreSQL is to explain.
    Explain(Option<String>, Vec<Part>),
}

/// A statement of Oracle's, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// `OCI_STMT_*`.
    pub kind: u16,
    /// Name of each occurrence of a bind.
    pub binds: Vec<String>,
    /// What is to be done.
    pub action: Result<Action, OracleError>,
    /// Binds of `RETURNING … INTO`, by occurrence.
    pub returning: Vec<usize>,
    /// `WAIT n` of `FOR UPDATE` and `LOCK TABLE`.
    pub wait_seconds: Option<u32>,
}

/// Reads a statement.
pub fn program(sql: &str) -> Program {
    let lexed = match lexer::lex(sql) {
        Ok(lexed) => lexed,
        Err(error) => {
            return Program {
                kind: kind::OTHER,
                binds: Vec::new(),
                action: Err(error),
                returning: Vec::new(),
                wait_seconds: None,
            };
        }
    };
    program_of(lexed.tokens, lexed.binds)
}

/// Reads a statement that is tokens already.
///
/// - `binds`: name of each occurrence of a bind.
pub fn program_of(mut tokens: Vec<Token>, binds: Vec<String>) -> Program {
    let kind = kind_of(&tokens);
    if !matches!(kind, kind::BEGIN | kind::DECLARE | kind::CREATE) {
        while tokens.last().is_some_and(|token| token.is_symbol(";")) {
            tokens.pop();
        }
    }
    let mut program = Program {
        kind,
        binds,
        action: Ok(Action::Commit),
        returning: Vec::new(),
        wait_seconds: None,
    };
    program.action = action(tokens, &mut program);
    if kind == kind::CREATE {
        // `:NEW` of a trigger is no bind.
        program.binds.clear();
    }
    program
}

fn kind_of(tokens: &[Token]) -> u16 {
    let first = tokens.iter().find(|token| !token.is_symbol("("));
    let Some(Token::Word(word)) = first else { return kind::OTHER };
    match word.to_ascii_uppercase().as_str() {
        "SELECT" | "WITH" => kind::SELECT,
        "UPDATE" => kind::UPDATE,
        "DELETE" => kind::DELETE,
        "INSERT" => kind::INSERT,
        "CREATE" => kind::CREATE,
        "DROP" => kind::DROP,
        "ALTER" => kind::ALTER,
        "BEGIN" => kind::BEGIN,
        "DECLARE" => kind::DECLARE,
        "CALL" => kind::CALL,
        "MERGE" => kind::MERGE,
        "ROLLBACK" => kind::ROLLBACK,
        "COMMIT" => kind::COMMIT,
        _ => kind::OTHER,
    }
}

fn action(tokens: Vec<Token>, program: &mut Program) -> Result<Action, OracleError> {
    match program.kind {
        kind::SELECT => query::rewrite(tokens, program),
        kind::INSERT | kind::UPDATE | kind::DELETE | kind::MERGE => dml::rewrite(tokens, program),
        kind::ALTER if tokens.get(1).is_some_and(|token| token.is("SESSION")) => {
            alter_session(&tokens)
        }
        kind::CREATE if is_of(&tokens, "PROCEDURE") => Ok(Action::CreateProcedure),
        kind::CREATE if is_of(&tokens, "TRIGGER") => {
            Ok(Action::Run(block::trigger::create(&tokens, &program.binds)?, Effect::Schema))
        }
        kind::DROP if is_of(&tokens, "PROCEDURE") => Ok(Action::DropProcedure(name_of(&tokens)?)),
        kind::DROP if is_of(&tokens, "TRIGGER") => {
            Ok(Action::Run(vec![block::trigger::drop_named(&name_of(&tokens)?)], Effect::Schema))
        }
        kind::CREATE | kind::DROP if tokens.get(1).is_some_and(|token| token.is("USER")) => {
            users::rewrite(&tokens)
        }
        kind::ALTER if tokens.get(1).is_some_and(|token| token.is("SYSTEM")) => {
            users::kill_session(&tokens)
        }
        kind::CREATE | kind::DROP | kind::ALTER => ddl::rewrite(tokens),
        kind::COMMIT => Ok(Action::Commit),
        kind::ROLLBACK if tokens.iter().any(|token| token.is("TO")) => {
            Ok(Action::Savepoint(savepoint(&tokens, "ROLLBACK TO SAVEPOINT")?))
        }
        kind::ROLLBACK => Ok(Action::Rollback),
        kind::BEGIN | kind::DECLARE => Ok(Action::Block(block::parse::anonymous(&tokens)?)),
        kind::CALL => call(tokens),
        _ => other(tokens, program),
    }
}

/// Whether it makes or drops such an object.
fn is_of(tokens: &[Token], object: &str) -> bool {
    let words = tokens
        .iter()
        .skip(1)
        .skip_while(|token| token.is_any(&["OR", "REPLACE", "EDITIONABLE", "NONEDITIONABLE"]));
    words.take(1).any(|token| token.is(object))
}

/// The name at the end of a DROP, in capitals.
fn name_of(tokens: &[Token]) -> Result<String, OracleError> {
    match tokens.last() {
        Some(Token::Word(name)) => Ok(name.to_uppercase()),
        Some(Token::Quoted(name)) => Ok(name.clone()),
        _ => Err(OracleError::new(903, "invalid name")),
    }
}

/// `CALL p(…)` is a block of that one statement.
fn call(tokens: Vec<Token>) -> Result<Action, OracleError> {
    let mut block = vec![Token::Word("BEGIN".to_owned())];
    block.extend(tokens.into_iter().skip(1));
    block.extend([Token::Symbol(";"), Token::Word("END".to_owned()), Token::Symbol(";")]);
    let block = block::parse::anonymous(&block)?;
    match block.steps.as_slice() {
        [Step::Call(..)] => Ok(Action::Block(block)),
        _ => Err(OracleError::new(6576, "not a valid function or procedure name")),
    }
}

/// `EXPLAIN PLAN [SET STATEMENT_ID = 'x'] FOR …`: the plan is PostgreSQL's.
fn explain(tokens: Vec<Token>, program: &mut Program) -> Result<Action, OracleError> {
    let (id, start) = match tokens.get(2..6) {
        Some([set, name, Token::Symbol("="), Token::Text(id)])
            if set.is("SET") && name.is("STATEMENT_ID") =>
        {
            (Some(id.clone()), 6)
        }
        _ => (None, 2),
    };
    if !tokens.get(start).is_some_and(|token| token.is("FOR")) {
        return Err(OracleError::new(905, "missing keyword"));
    }
    let statement = tokens.into_iter().skip(start + 1).collect();
    let explained = program_of(statement, program.binds.clone());
    program.returning = explained.returning;
    let Action::Run(parts, _) = explained.action? else {
        return Err(OracleError::new(900, "invalid SQL statement"));
    };
    let explain = |part: Part| Part { sql: format!("EXPLAIN {}", part.sql), ..part };
    Ok(Action::Explain(id, parts.into_iter().map(explain).collect()))
}

/// Statements that OCI has no kind for.
fn other(tokens: Vec<Token>, program: &mut Program) -> Result<Action, OracleError> {
    let first = tokens.first().ok_or_else(|| OracleError::new(900, "invalid SQL statement"))?;
    if first.is("SAVEPOINT") {
        return Ok(Action::Savepoint(savepoint(&tokens, "SAVEPOINT")?));
    }
    if first.is("EXPLAIN") && tokens.get(1).is_some_and(|token| token.is("PLAN")) {
        return explain(tokens, program);
    }
    if first.is("LOCK") {
        return query::rewrite_lock(tokens, program);
    }
    if first.is("SET") && tokens.get(1).is_some_and(|token| token.is("TRANSACTION")) {
        return set_transaction(&tokens);
    }
    if first.is("TRUNCATE") {
        let kept = tokens
            .into_iter()
            .filter(|token| !token.is_any(&["REUSE", "DROP", "STORAGE", "PURGE"]));
        return Ok(Action::Run(vec![part(kept.collect())], Effect::Schema));
    }
    if first.is_any(&["GRANT", "REVOKE"]) && !tokens.iter().any(|token| token.is("ON")) {
        // Rights of the whole system: everybody has all of them here.
        return Ok(Action::Run(Vec::new(), Effect::Schema));
    }
    if first.is_any(&["COMMENT", "GRANT", "REVOKE", "ANALYZE"]) {
        return Ok(Action::Run(vec![part(expression::names(tokens))], Effect::Schema));
    }
    Err(OracleError::new(900, "invalid SQL statement"))
}

/// `SAVEPOINT x` or `ROLLBACK TO [SAVEPOINT] x`, with a name that is no one else's.
fn savepoint(tokens: &[Token], verb: &str) -> Result<String, OracleError> {
    match tokens.last() {
        Some(Token::Word(name)) => Ok(format!("{verb} \"own_{}\"", name.to_lowercase())),
        Some(Token::Quoted(name)) => Ok(format!("{verb} \"own_{name}\"")),
        _ => Err(OracleError::new(2147, "conflicting or missing savepoint name")),
    }
}

/// Oracle's SERIALIZABLE is a snapshot: PostgreSQL's REPEATABLE READ.
fn set_transaction(tokens: &[Token]) -> Result<Action, OracleError> {
    let has = |word: &str| tokens.iter().any(|token| token.is(word));
    Ok(Action::Begin(
        match () {
            () if has("SERIALIZABLE") => "ISOLATION LEVEL REPEATABLE READ",
            () if has("ONLY") => "ISOLATION LEVEL REPEATABLE READ READ ONLY",
            () if has("COMMITTED") || has("WRITE") => "",
            () => return Err(OracleError::new(900, "invalid SQL statement")),
        }
        .to_owned(),
    ))
}

/// `ALTER SESSION SET a = b c = d`, and what sets nothing.
fn alter_session(tokens: &[Token]) -> Result<Action, OracleError> {
    let invalid = || OracleError::new(2248, "invalid option for ALTER SESSION");
    let verb = tokens.get(2).ok_or_else(invalid)?;
    if verb.is_any(&["ENABLE", "DISABLE"]) && tokens.get(3).is_some_and(|token| token.is("COMMIT"))
    {
        let verb = if verb.is("DISABLE") { "DISABLE" } else { "ENABLE" };
        let setting = (COMMIT_IN_PROCEDURE.to_owned(), verb.to_owned());
        return Ok(Action::SetSession(vec![setting]));
    }
    if verb.is_any(&["ENABLE", "DISABLE", "CLOSE", "FORCE"]) {
        return Ok(Action::SetSession(Vec::new()));
    }
    let settings =
        tokens.get(3..).filter(|rest| verb.is("SET") && !rest.is_empty()).ok_or_else(invalid)?;
    let settings = settings.chunks(3).map(|setting| match setting {
        [Token::Word(name), Token::Symbol("="), value] => {
            let (Token::Text(value)
            | Token::Word(value)
            | Token::Quoted(value)
            | Token::Number(value)) = value
            else {
                return Err(invalid());
            };
            Ok((name.to_uppercase(), value.clone()))
        }
        _ => Err(invalid()),
    });
    Ok(Action::SetSession(settings.collect::<Result<_, _>>()?))
}

/// Prints tokens as a statement of PostgreSQL's.
pub fn part(tokens: Vec<Token>) -> Part {
    let mut part = Part { sql: String::new(), parameters: Vec::new() };
    for token in tokens {
        if !part.sql.is_empty() {
            part.sql.push(' ');
        }
        let text = match token {
            // `serial#`, which PostgreSQL knows as a quoted name only.
            Token::Word(text) if text.contains('#') => quoted_name(&text.to_uppercase()),
            Token::Word(text) | Token::Number(text) | Token::Made(text) => text,
            Token::Quoted(name) => quoted_name(&name),
            Token::Text(text) if text.is_empty() => "NULL".to_owned(),
            Token::Text(text) => format!("'{}'", text.replace('\'', "''")),
            Token::Symbol("!=" | "^=") => "<>".to_owned(),
            Token::Symbol(symbol) => symbol.to_owned(),
            Token::Bind(occurrence) => {
                let known = part.parameters.iter().position(|own| *own == occurrence);
                let index = known.unwrap_or_else(|| {
                    part.parameters.push(occurrence);
                    part.parameters.len() - 1
                });
                format!("${}", index + 1)
            }
        };
        part.sql.push_str(&text);
    }
    part
}

/// Marks a quoted name that Oracle would not fold, so that its case comes back from a description.
pub const EXACT: char = '=';

/// A quoted name. One in capitals is the same as the unquoted name; PostgreSQL's unquoted names are small.
fn quoted_name(name: &str) -> String {
    let is_plain =
        |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, '_' | '$' | '#');
    if name.chars().all(is_plain) {
        return format!("\"{}\"", name.to_ascii_lowercase());
    }
    format!("\"{EXACT}{}\"", name.replace('"', "\"\""))
}

/// A name as Oracle tells it: what was not quoted is in capitals.
pub fn described_name(name: &str) -> String {
    name.strip_prefix(EXACT).map_or_else(|| name.to_uppercase(), str::to_owned)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What a statement becomes: its parts, in a line each.
    #[track_caller]
    pub(crate) fn check(oracle: &str, postgres: &str) {
        let program = program(oracle);
        let text = match program.action.unwrap() {
            Action::Run(parts, _) => {
                parts.into_iter().map(|part| part.sql).collect::<Vec<_>>().join("\n")
            }
            other => format!("{other:?}"),
        };
        assert_eq!(text, postgres, "of: {oracle}");
    }

    #[test]
    fn quoted_names_keep_their_case_and_capitals_are_plain_names() {
        check(
            "SELECT \"PLAYER_ID\", \"playerId\" FROM \"T\"",
            "SELECT \"player_id\" , \"=playerId\" FROM \"t\"",
        );
        check("SELECT Serial# FROM v$session", "SELECT \"serial#\" FROM v$session");
        assert_eq!(described_name("player_id"), "PLAYER_ID");
        assert_eq!(described_name("=playerId"), "playerId");
    }

    #[test]
    fn each_occurrence_of_a_bind_is_a_parameter_of_its_own() {
        let program = program("SELECT :a, :b, :A FROM dual");
        assert_eq!(program.binds, ["A", "B", "A"]);
        let Ok(Action::Run(parts, Effect::Read)) = program.action else { panic!() };
        assert_eq!(parts[0].sql, "SELECT $1 , $2 , $3 FROM dual");
        assert_eq!(parts[0].parameters, [0, 1, 2]);
    }

    #[test]
    fn transactions_and_sessions_are_told_apart() {
        check("COMMIT", "Commit");
        check("rollback work", "Rollback");
        check("SAVEPOINT a", "Savepoint(\"SAVEPOINT \\\"own_a\\\"\")");
        check("ROLLBACK TO A", "Savepoint(\"ROLLBACK TO SAVEPOINT \\\"own_a\\\"\")");
        check(
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "Begin(\"ISOLATION LEVEL REPEATABLE READ\")",
        );
        assert_eq!(program("FLUSH x").action.unwrap_err().code, 900);
    }
}
