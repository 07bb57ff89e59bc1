//! Users, each with a schema of its name, and their sessions.

use super::lexer::Token;
use super::{Action, Part};
use crate::error::OracleError;
use crate::session::Effect;

/// `CREATE USER x IDENTIFIED BY "password"`, `DROP USER x [CASCADE]`. The schema is made when the user logs on first.
///
/// # Errors
/// ORA-01935: no name; ORA-00922: what is not understood.
pub fn rewrite(tokens: &[Token]) -> Result<Action, OracleError> {
    let name = match tokens.get(2) {
        Some(Token::Word(name) | Token::Quoted(name)) => name.to_lowercase(),
        _ => return Err(OracleError::new(1935, "missing user or role name")),
    };
    let rest = tokens.get(3..).unwrap_or_default();
    let creates = tokens.first().is_some_and(|token| token.is("CREATE"));
    let statements = match rest {
        [identified, by, Token::Quoted(password) | Token::Word(password)]
            if creates && identified.is("IDENTIFIED") && by.is("BY") =>
        {
            let password = password.replace('\'', "''");
            vec![format!("CREATE ROLE \"{name}\" SUPERUSER LOGIN PASSWORD '{password}'")]
        }
        [] | [_] if !creates && rest.iter().all(|token| token.is("CASCADE")) => vec![
            format!("DROP SCHEMA IF EXISTS \"{name}\" CASCADE"),
            format!("DROP ROLE \"{name}\""),
        ],
        _ => return Err(OracleError::new(922, "missing or invalid option")),
    };
    Ok(run(statements))
}

/// `ALTER SYSTEM KILL SESSION 'sid,serial#' [IMMEDIATE]`.
///
/// # Errors
/// ORA-00026: no session's id; ORA-02065: another ALTER SYSTEM.
pub fn kill_session(tokens: &[Token]) -> Result<Action, OracleError> {
    let [_, _, kill, session, Token::Text(id), ..] = tokens else {
        return Err(OracleError::new(2065, "illegal option for ALTER SYSTEM"));
    };
    if !kill.is("KILL") || !session.is("SESSION") {
        return Err(OracleError::new(2065, "illegal option for ALTER SYSTEM"));
    }
    let missing = |_no_number| OracleError::new(26, "missing or invalid session ID");
    let sid: u32 = id.split(',').next().unwrap_or_default().parse().map_err(missing)?;
    Ok(run(vec![format!("SELECT pg_terminate_backend({sid})")]))
}

fn run(statements: Vec<String>) -> Action {
    let parts = statements.into_iter().map(|sql| Part { sql, parameters: Vec::new() });
    Action::Run(parts.collect(), Effect::Schema)
}

#[cfg(test)]
mod tests {
    use super::super::program;
    use super::super::tests::check;

    #[test]
    fn users_are_roles_and_their_schemas() {
        check(
            "CREATE USER Game1 IDENTIFIED BY \"it's\"",
            "CREATE ROLE \"game1\" SUPERUSER LOGIN PASSWORD 'it''s'",
        );
        check(
            "DROP USER game1 CASCADE",
            "DROP SCHEMA IF EXISTS \"game1\" CASCADE\nDROP ROLE \"game1\"",
        );
        check("ALTER SYSTEM KILL SESSION '17,1' IMMEDIATE", "SELECT pg_terminate_backend(17)");
        check("GRANT CREATE SESSION, UNLIMITED TABLESPACE TO game1", "");
        for refused in ["CREATE USER x", "DROP USER x NOW", "ALTER SYSTEM CHECKPOINT"] {
            assert!(program(refused).action.is_err(), "{refused}");
        }
    }
}
