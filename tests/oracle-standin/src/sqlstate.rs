//! PostgreSQL's errors, told with Oracle's numbers and texts.

use tokio_postgres::error::DbError;

use crate::error::OracleError;

/// What PostgreSQL said, as Oracle would.
///
/// - `waits`: the statement had a `WAIT n`, whose end has a number of its own.
pub fn translate(error: &DbError, waits: bool) -> OracleError {
    let state = error.code().code();
    OracleError { state: Some(state.to_owned()), ..translate_state(state, error, waits) }
}

fn translate_state(code: &str, error: &DbError, waits: bool) -> OracleError {
    let schema = error.schema().unwrap_or("PUBLIC").to_uppercase();
    let name = |part: Option<&str>| part.unwrap_or("?").to_uppercase();
    let constraint = format!("{schema}.{}", name(error.constraint()));
    let column = format!("\"{schema}\".\"{}\".\"{}\"", name(error.table()), name(error.column()));
    let message = error.message();
    match code {
        "23505" => OracleError::new(1, format_args!("unique constraint ({constraint}) violated")),
        "23502" => OracleError::new(1400, format_args!("cannot insert NULL into ({column})")),
        "23503" if message.starts_with("update or delete") => OracleError::new(
            2292,
            format_args!("integrity constraint ({constraint}) violated - child record found"),
        ),
        "23503" => OracleError::new(
            2291,
            format_args!("integrity constraint ({constraint}) violated - parent key not found"),
        ),
        "23514" => OracleError::new(2290, format_args!("check constraint ({constraint}) violated")),
        "22001" => OracleError::new(12899, format_args!("value too large for column ({message})")),
        "22003" => OracleError::new(
            1438,
            format_args!(
                "value larger than specified precision allowed for this column ({message})"
            ),
        ),
        "22P02" | "22007" if message.contains("numeric") => {
            OracleError::new(1722, "invalid number")
        }
        "22007" | "22P02" | "22008" => {
            OracleError::new(1858, "a non-numeric character was found where a numeric was expected")
        }
        "22012" => OracleError::new(1476, "divisor is equal to zero"),
        "40P01" => OracleError::new(60, "deadlock detected while waiting for resource"),
        "40001" => OracleError::new(8177, "can't serialize access for this transaction"),
        "55P03" if waits => {
            OracleError::new(30006, "resource busy; acquire with WAIT timeout expired")
        }
        "55P03" => OracleError::new(
            54,
            "resource busy and acquire with NOWAIT specified or timeout expired",
        ),
        "57014" => OracleError::new(1013, "user requested cancel of current operation"),
        "28P01" | "28000" => OracleError::new(1017, "invalid username/password; logon denied"),
        "3D000" => OracleError::new(
            12514,
            "TNS:listener does not currently know of service requested in connect descriptor",
        ),
        "53300" => OracleError::new(12516, "TNS:listener could not find available handler"),
        "57P01" | "57P02" | "57P05" | "08006" | "08003" => {
            OracleError::new(3113, "end-of-file on communication channel")
        }
        "57P03" => OracleError::new(1033, "ORACLE initialization or shutdown in progress"),
        "53100" => OracleError::new(1653, format_args!("unable to extend table ({message})")),
        "25006" => OracleError::new(
            1456,
            "may not perform insert/delete/update operation inside a READ ONLY transaction",
        ),
        "21000" if message.contains("MERGE") => {
            OracleError::new(30926, "unable to get a stable set of rows in the source tables")
        }
        "21000" => OracleError::new(1427, "single-row subquery returns more than one row"),
        _ => translate_names(code, message),
    }
}

/// Errors of names and of syntax.
fn translate_names(code: &str, message: &str) -> OracleError {
    match code {
        "42P01" if message.contains("sequence") => {
            OracleError::new(2289, "sequence does not exist")
        }
        "42P01" | "3F000" => OracleError::new(942, "table or view does not exist"),
        "42703" | "42883" => OracleError::new(904, format_args!("invalid identifier ({message})")),
        "42702" => OracleError::new(918, "column ambiguously defined"),
        "42710" if message.contains("trigger") => OracleError::new(4081, format_args!("{message}")),
        "42704" if message.contains("trigger") => OracleError::new(4080, format_args!("{message}")),
        "42P07" | "42710" => OracleError::new(955, "name is already used by an existing object"),
        "42701" => OracleError::new(1430, "column being added already exists in table"),
        "42P16" => OracleError::new(2260, "table can have only one primary key"),
        "42704" if message.contains("constraint") => {
            OracleError::new(2443, "Cannot drop constraint  - nonexistent constraint")
        }
        "42704" if message.contains("index") => {
            OracleError::new(1418, "specified index does not exist")
        }
        "42704" => OracleError::new(4043, format_args!("object does not exist ({message})")),
        "42803" => OracleError::new(979, "not a GROUP BY expression"),
        "42804" | "42846" => {
            OracleError::new(932, format_args!("inconsistent datatypes ({message})"))
        }
        "2BP01" => {
            OracleError::new(2449, "unique/primary keys in table referenced by foreign keys")
        }
        "42501" => OracleError::new(1031, "insufficient privileges"),
        "0A000" if message.starts_with("not imitated") => OracleError::not_imitated(message),
        "42601" => OracleError::new(900, format_args!("invalid SQL statement ({message})")),
        _ => OracleError::new(
            600,
            format_args!("internal error code, arguments: [{code}], [{message}]"),
        ),
    }
}

/// An error that is not the server's answer: the connection is gone.
pub fn lost() -> OracleError {
    OracleError::new(3113, "end-of-file on communication channel")
}

/// A call on a connection that was lost before.
pub fn not_connected() -> OracleError {
    OracleError::new(3114, "not connected to ORACLE")
}
