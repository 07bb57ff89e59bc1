//! Procedures that Oracle brings along.

use std::time::Duration;

use super::run::Run;
use crate::error::OracleError;
use crate::rewrite::lexer::Token;

/// Calls a procedure of Oracle's; returns whether it is one.
///
/// # Errors
/// What the procedure does.
pub fn call(run: &mut Run<'_>, name: &str, arguments: &[Vec<Token>]) -> Result<bool, OracleError> {
    let argument = |index: usize| arguments.get(index).map(Vec::as_slice).unwrap_or_default();
    match name {
        "RAISE_APPLICATION_ERROR" => {
            let code = run.integer(argument(0))?;
            let text = run.text(argument(1))?;
            let code = i32::try_from(-code).unwrap_or(20_000);
            return Err(OracleError::new(code, text));
        }
        "DBMS_LOCK.SLEEP" | "DBMS_SESSION.SLEEP" => {
            let seconds = run.text(argument(0))?.parse::<f64>().unwrap_or(0.0);
            run.session.sleep(Duration::try_from_secs_f64(seconds).unwrap_or_default())?;
        }
        // Nobody reads it here.
        "DBMS_OUTPUT.PUT_LINE" | "DBMS_OUTPUT.ENABLE" => {}
        _ => return Ok(false),
    }
    Ok(true)
}
