//! Fills a schema with sample rows, by a script that the schema's owner wrote.

use crate::catalog::{Scalar, positional};
use crate::config::ConnectionConfig;

use super::connection::{Connection, Statement};
use super::error::BackendError;
use super::fault::Failure;
use super::script::{ScriptFault, split};

/// How long one statement of a seed may take, in seconds: a million rows on a slow disk.
const STATEMENT_SECONDS: u64 = 600;

/// Why a database was not seeded. Nothing of the script stands then.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// The script cannot be cut into statements.
    #[error("the script is faulty")]
    Script(#[from] ScriptFault),
    /// A string or a comment does not end, or a bind is not `:players`.
    #[error("line {line}: {fault}")]
    Bind {
        /// Where the statement begins, from 1.
        line: usize,
        /// What is wrong.
        fault: String,
    },
    /// The database refused.
    #[error("line {line}: the database refused")]
    Refused {
        /// Where the statement begins, from 1; 0: the transaction itself.
        line: usize,
        /// The driver's words.
        #[source]
        source: sqlx::Error,
    },
    /// A row of the script is there already.
    #[error(
        "line {line}: there are such rows already: only an empty database is seeded, and only once"
    )]
    Present {
        /// Where the statement begins, from 1.
        line: usize,
    },
    /// The connection failed, or a row could not be written.
    #[error("line {line}: {fault}")]
    Failed {
        /// Where the statement begins, from 1.
        line: usize,
        /// What happened.
        fault: String,
    },
}

/// Runs a seed script in one transaction.
///
/// - `script`: statements whose only bind is `:players`.
/// - `players`: how many.
///
/// # Errors
///
/// [`SeedError`].
pub async fn seed(config: &ConnectionConfig, script: &str, players: u64) -> Result<(), SeedError> {
    let refused = |source| SeedError::Refused { line: 0, source };
    let patient = ConnectionConfig {
        query_timeout: std::time::Duration::from_secs(STATEMENT_SECONDS),
        ..config.clone()
    };
    let parts = split(script, config.dialect)?;
    let mut connection = Connection::open(&patient).await.map_err(refused)?;
    connection.begin(None).await.map_err(refused)?;
    for part in parts {
        let line = part.line;
        let (sql, names) = positional(part.text, config.dialect)
            .map_err(|fault| SeedError::Bind { line, fault })?;
        if let Some(other) = names.iter().find(|name| **name != "players") {
            let fault = format!("`:{other}` is not known to a seed, only `:players`");
            return Err(SeedError::Bind { line, fault });
        }
        let players = i64::try_from(players).unwrap_or(i64::MAX);
        let binds = names.iter().map(|_| Scalar::Int(players)).collect();
        let statement = Statement { sql: sql.into(), binds };
        connection.execute(&statement).await.map_err(|failure| match failure {
            Failure::Lost(source) => SeedError::Refused { line, source },
            Failure::Refused(BackendError::Duplicate { .. }) => SeedError::Present { line },
            Failure::Refused(error) | Failure::Unread(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                SeedError::Failed { line, fault: cause.unwrap_or_else(|| error.to_string()) }
            }
        })?;
    }
    connection.commit().await.map_err(refused)?;
    connection.close(std::time::Duration::from_secs(1)).await;
    Ok(())
}
