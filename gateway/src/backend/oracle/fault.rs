//! What the driver, the client library or the database says, as the other drivers' errors are told.

use std::error::Error as StdError;
use std::fmt;

use sqlx::error::{DatabaseError, ErrorKind};

/// The client library cannot be loaded.
const DPI_NO_CLIENT: i32 = 1047;
/// The client library is too old for what is asked of it.
const DPI_OLD_CLIENT: i32 = 1050;

/// Where a number comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend) enum Number {
    /// `ORA-`: the database's, or the client library's.
    Ora(i32),
    /// `DPI-`: of the layer between the library and the driver.
    Dpi(i32),
    /// None: the driver's own, about values that never reached the database.
    Driver,
}

/// A failure.
#[derive(Debug)]
pub(in crate::backend) struct OracleFault {
    number: Number,
    /// In one line, for a log.
    message: String,
}

impl OracleFault {
    /// What a row of a batch met, or any statement.
    pub(super) fn of_row(error: &oracle::DbError) -> Self {
        Self { number: Number::Ora(error.code()), message: one_line(error.message()) }
    }

    /// A fault of the values at hand, in words of ours.
    pub(super) fn of_value(message: impl Into<String>) -> Self {
        Self { number: Number::Driver, message: message.into() }
    }

    /// Its number.
    pub(in crate::backend) const fn number(&self) -> Number {
        self.number
    }

    /// As those who wanted a connection are told: what to do, where the client library is missing or too old.
    pub(super) fn of_connect(self) -> sqlx::Error {
        match self.number {
            Number::Dpi(DPI_NO_CLIENT | DPI_OLD_CLIENT) => {
                sqlx::Error::Configuration(diagnosis(&self).into())
            }
            _ => self.into(),
        }
    }
}

impl From<oracle::Error> for OracleFault {
    fn from(error: oracle::Error) -> Self {
        let number = match (error.oci_code(), error.dpi_code()) {
            (_, Some(code)) => Number::Dpi(code),
            (Some(code), None) => Number::Ora(code),
            (None, None) => Number::Driver,
        };
        let message =
            error.db_error().map_or_else(|| error.to_string(), |one| one.message().into());
        Self { number, message: one_line(&message) }
    }
}

/// What to do about a client library that is not there.
fn diagnosis(fault: &OracleFault) -> String {
    format!(
        "Oracle's client library (libclntsh.so, 18 or later) cannot be used: install Oracle Instant Client Basic \
         and name its folder in LD_LIBRARY_PATH or /etc/ld.so.conf.d, with libaio beside it; {}",
        fault.message
    )
}

/// Without the lines that only help at a prompt (`Help: https://…`).
fn one_line(message: &str) -> String {
    let lines = message.lines().map(str::trim).filter(|line| !line.starts_with("Help: "));
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

impl fmt::Display for OracleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for OracleFault {}

impl DatabaseError for OracleFault {
    fn message(&self) -> &str {
        &self.message
    }

    fn kind(&self) -> ErrorKind {
        match self.number {
            Number::Ora(1) => ErrorKind::UniqueViolation,
            _ => ErrorKind::Other,
        }
    }

    fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_is_one_line_without_its_link() {
        let error = oracle::DbError::new(
            1,
            2,
            "ORA-00001: unique constraint (G.PK) violated\nHelp: https://docs.oracle.com/error-help/",
            "",
            "",
        );
        let fault = OracleFault::of_row(&error);
        assert_eq!(fault.to_string(), "ORA-00001: unique constraint (G.PK) violated");
        assert_eq!(fault.number(), Number::Ora(1));
    }

    #[test]
    fn missing_client_library_is_told_with_what_to_install() {
        let missing = OracleFault { number: Number::Dpi(1047), message: "DPI-1047: no".into() };
        let error = missing.of_connect();
        assert!(matches!(error, sqlx::Error::Configuration(_)));
        let text = error.to_string();
        assert!(text.contains("Instant Client") && text.ends_with("DPI-1047: no"), "{text}");
    }
}
